"""Flows as distributions: their densities, and what training may and may not reach."""

import gc
import itertools
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from calibration import agree, assert_law, assert_mean, quantile
from flow_cases import MAKERS, trained
from modes import MODES
from scipy import stats
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import Flow, datasets, flows
from companion import bijectors as cb
from companion.flows.density import log_densities
from companion.potentials import rezende_mohamed

MADE = pytest.mark.parametrize("name", MAKERS)


def grid(low, high, points):
    """Midpoints of a square grid, shape [points^2, 2], and the area of a cell."""
    step = (high - low) / points
    axis = low + step * (np.arange(points) + 0.5)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2), step**2


class TestAsDistributions:
    @MADE
    def test_densities_integrate_to_one(self, name):
        flow = trained(MAKERS[name](2, seed=0, dtype="float64"), spread=0.1)
        points, area = grid(-12.0, 12.0, 400)
        np.testing.assert_allclose(np.exp(flow.log_prob(points)).sum() * area, 1.0, atol=2e-3)

    @MADE
    def test_samples_have_the_density(self, name):
        """The share of samples in cells of a grid is the integral of the density there (chi-square)."""
        flow = trained(MAKERS[name](2, seed=0, dtype="float64"), spread=0.1)
        edges = np.array([-np.inf, -1.5, -0.7, 0.0, 0.7, 1.5, np.inf])
        points, area = grid(-12.0, 12.0, 600)
        density = np.exp(flow.log_prob(points).numpy()) * area

        def shares(x, weights=None):
            places = [np.searchsorted(edges, x[:, axis]) for axis in range(2)]
            return np.bincount(6 * (places[0] - 1) + places[1] - 1, weights, minlength=36)

        exact, counts = shares(points, density), shares(flow.sample(4000, seed=1).numpy())
        expected = exact / exact.sum() * counts.sum()
        kept = expected > 5
        statistic = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
        limit = stats.chi2.isf(1e-4 / len(MAKERS), kept.sum())
        assert statistic < limit
        shifted = shares(flow.sample(4000, seed=1).numpy() + np.array([0.25, 0.0]))  # power
        assert ((shifted - expected)[kept] ** 2 / expected[kept]).sum() > limit

    @MADE
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_sample_and_log_prob_agree(self, name, dtype):
        flow = trained(MAKERS[name](3, seed=0, dtype=dtype))
        z, log_q = flow.sample_and_log_prob(50, seed=4)
        assert z.dtype == dtype
        assert log_q.dtype == dtype
        tolerance = 1e-8 if dtype == "float64" else 5e-3
        np.testing.assert_allclose(flow.log_prob(z), log_q, atol=tolerance)
        np.testing.assert_array_equal(flow.sample(50, seed=4), z)

    @MADE
    def test_the_tfp_distribution_is_the_same(self, name):
        flow = trained(MAKERS[name](3, seed=0, dtype="float64"))
        distribution, x = flow.distribution, np.random.default_rng(0).standard_normal((5, 3))
        assert isinstance(distribution, tfd.TransformedDistribution)
        np.testing.assert_allclose(distribution.log_prob(x), flow.log_prob(x), atol=1e-10)
        z, log_q = distribution.experimental_sample_and_log_prob(7, seed=(1, 2))
        np.testing.assert_allclose(log_q, flow.log_prob(z), atol=1e-8)

    @MADE
    def test_eager_graph_and_xla_agree(self, name):
        flow = trained(MAKERS[name](3, seed=0, dtype="float64"))
        x = tf.constant(np.random.default_rng(0).standard_normal((5, 3)))
        ran = [run(lambda: (flow.log_prob(x), *flow.sample_and_log_prob(4, seed=2))) for run in MODES.values()]
        for one, two in itertools.pairwise(ran):
            for a, b in zip(one, two, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)

    @MADE
    def test_conditional_flows_integrate_to_one_for_each_context(self, name):
        flow = trained(MAKERS[name](2, seed=0, dtype="float64", context_dim=1), spread=0.1)
        points, area = grid(-12.0, 12.0, 300)
        for context in (-1.0, 2.0):
            total = np.exp(flow.log_prob(points, context=np.array([context]))).sum() * area
            np.testing.assert_allclose(total, 1.0, atol=3e-3)
        context = np.array([[-1.0], [2.0], [0.0]])
        z, log_q = flow.sample_and_log_prob(4, seed=0, context=context)
        assert z.shape == (4, 3, 2)
        for j in range(3):
            np.testing.assert_allclose(flow.log_prob(z[:, j], context=context[j]), log_q[:, j], atol=1e-8)
        distribution = flow.distribution_given(context)
        assert distribution.batch_shape == [3]
        np.testing.assert_allclose(distribution.log_prob(z), log_q, atol=1e-8)

    def test_cost_counts_the_passes_of_the_nets(self):
        assert flows.coupling_flow(4, layers=3, seed=0).cost == (3, 3)
        assert flows.autoregressive_flow(4, layers=3, seed=0).cost == (12, 3)
        assert flows.autoregressive_flow(4, layers=3, direction="sampling", seed=0).cost == (3, 12)
        backwards = Flow([tfb.Invert(cb.MaskedAutoregressive(5, seed=0)), cb.AffineCoupling(5, seed=0)])
        assert backwards.cost == (2, 6)

    def test_intermediate_points_lead_from_noise_to_samples(self):
        flow = trained(flows.coupling_flow(2, layers=3, seed=0, dtype="float64"))
        eps = np.random.default_rng(0).standard_normal((5, 2))
        points = flow.intermediate(eps)
        assert len(points) == 4
        np.testing.assert_array_equal(points[0], eps)
        for bijector, before, after in zip(flow.bijectors, points, points[1:], strict=False):
            np.testing.assert_allclose(bijector.forward(before), after, rtol=1e-12)
        np.testing.assert_array_equal(points[-1], flow.forward_and_log_det(eps)[0])

    def test_bijectors_stand_in_the_order_from_noise_to_data(self):
        flow = Flow([tfb.Scale(np.float64(2.0)), tfb.Shift(np.float64(10.0))], event_shape=1, dtype="float64")
        samples = flow.sample(2000, seed=0).numpy()[:, 0]
        assert_law(samples, stats.norm(10.0, 2.0).cdf, shared_among=1)
        with pytest.raises(AssertionError, match="goodness of fit"):
            assert_law(samples, stats.norm(20.0, 2.0).cdf, shared_among=1)


# What maximum likelihood may reach

SETS = ["two_moons", "eight_gaussians", "spirals", "checkerboard", "rings"]
DISTANCES = {"two_moons": 0.2, "eight_gaussians": 0.25, "spirals": 0.6, "checkerboard": 0.35, "rings": 0.45}


def gap(flow, data):
    """log p - log q at points of p: their mean is the KL divergence."""
    return data.log_prob(data.x) - flow.log_prob(data.x).numpy().astype(float)


@pytest.fixture(scope="module")
def fitted():
    """Flows by the set that they were fitted to, each fitted once."""
    made = {}

    def fit(name):
        if name not in made:
            flow = flows.coupling_flow(2, layers=4, hidden=(32, 32), transform="spline", bound=4.0, seed=1)
            flow.compile(keras.optimizers.Adam(5e-3))
            flow.fit(getattr(datasets, name)(8192, seed=1).x, batch_size=256, epochs=16, verbose=0)
            made[name] = gap(flow, getattr(datasets, name)(4000, seed=2))
        return made[name]

    return fit


def above_floor(excess):
    """Whether the mean of log p - log q can be that of a KL divergence."""
    return excess.mean() > -quantile(len(SETS)) * excess.std(ddof=1) / len(excess) ** 0.5


@pytest.mark.parametrize("name", SETS)
def test_the_likelihood_comes_near_the_entropy_and_never_beyond(name, fitted):
    excess = fitted(name)
    assert above_floor(excess)
    assert excess.mean() < DISTANCES[name]


def test_a_density_that_integrates_to_more_than_one_goes_beyond_the_entropy(fitted):
    """Power: the floor above sees a flow that claims as many nats more as it may lack."""
    assert not above_floor(fitted("eight_gaussians") - DISTANCES["eight_gaussians"] - 0.05)


class TestTheOrderOfVariables:
    @pytest.fixture(scope="class")
    @classmethod
    def data(cls):
        return datasets.conditional_autoregressive(20000, seed=1), datasets.conditional_autoregressive(8000, seed=2)

    def fitted(self, data, order, layers):
        flow = flows.autoregressive_flow(2, layers=layers, hidden=(64, 64), order=order, actnorm=True, seed=0)
        flow.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, 1500)))
        flow.fit(data[0].x, batch_size=400, epochs=30, verbose=0)
        return gap(flow, data[1])

    def test_one_layer_in_the_right_order_reaches_the_entropy(self, data):
        excess = self.fitted(data, "right_to_left", 1)
        error = excess.std(ddof=1) / len(excess) ** 0.5
        assert -quantile(3) * error < excess.mean() < 0.03

    def test_one_layer_in_the_wrong_order_stays_at_its_exact_distance(self, data):
        floor = datasets.wrong_order_cross_entropy() - data[1].entropy
        excess = self.fitted(data, "left_to_right", 1)
        error = excess.std(ddof=1) / len(excess) ** 0.5
        assert -quantile(3) * error < excess.mean() - floor < 0.05


# The other direction

WINDOW = (-4.0, 4.0)


def normal_target(z):
    return tfd.MultivariateNormalTriL(
        tf.constant([0.5, -1.0], z.dtype), tf.constant([[1.5, 0.0], [0.7, 0.4]], z.dtype)
    ).log_prob(z) + tf.cast(np.log(7.0), z.dtype)


class TestFreeEnergy:
    @pytest.mark.parametrize("number", [1, 2, 3, 4])
    def test_never_below_minus_log_z(self, number):
        potential = rezende_mohamed(number, window=WINDOW)
        flow = flows.planar_flow(2, layers=8, seed=number)
        flows.fit_to_density(flow, potential.log_prob, 400, 128, optimizer=keras.optimizers.Adam(1e-2))
        estimate = flows.free_energy(flow, potential.log_prob, 20000, seed=9)
        above = estimate.value + potential.log_normaliser()
        assert above > -quantile(4) * estimate.standard_error
        assert above < 1.0

    def test_a_gaussian_is_reached_exactly(self):
        scale, shift = tf.Variable([[1.0, 0.0], [0.0, 1.0]]), tf.Variable([0.0, 0.0])
        flow = Flow([tfb.ScaleMatvecTriL(scale), tfb.Shift(shift)], event_shape=2)
        rate = keras.optimizers.schedules.CosineDecay(5e-2, 600)
        for gradient in ("pathwise", "sticking_the_landing"):
            flows.fit_to_density(flow, normal_target, 600, 32, gradient, keras.optimizers.Adam(rate))
        estimate = flows.free_energy(flow, normal_target, 1000, seed=0)
        np.testing.assert_allclose(estimate.value, -np.log(7.0), atol=1e-3)

    def test_the_same_seed_gives_the_same_fit_whatever_the_chunks(self, monkeypatch):
        histories = []
        for steps in (50, 7):
            monkeypatch.setattr("companion.flows.density._STEPS_A_CALL", steps)
            flow = flows.planar_flow(2, layers=2, seed=3)
            histories.append(flows.fit_to_density(flow, normal_target, 30, 16).free_energy)
        np.testing.assert_allclose(*histories, rtol=1e-5)

    def test_a_fit_in_two_parts_is_one_fit(self):
        whole, parts = flows.planar_flow(2, layers=2, seed=3), flows.planar_flow(2, layers=2, seed=3)
        one = flows.fit_to_density(whole, normal_target, 30, 16, optimizer=keras.optimizers.SGD(1e-2)).free_energy
        optimizer = keras.optimizers.SGD(1e-2)
        two = [flows.fit_to_density(parts, normal_target, 15, 16, optimizer=optimizer).free_energy for _ in range(2)]
        np.testing.assert_allclose(one, np.concatenate(two), rtol=1e-5)

    def test_xla_gives_the_same(self):
        histories = []
        for compiled in (False, True):
            flow = flows.planar_flow(2, layers=2, seed=3, dtype="float64")
            histories.append(flows.fit_to_density(flow, normal_target, 20, 16, jit_compile=compiled).free_energy)
        np.testing.assert_allclose(*histories, rtol=1e-7)

    @pytest.mark.parametrize("gradient", flows.density.GRADIENTS)
    def test_a_target_without_a_gradient_is_refused(self, gradient):
        def target(z):
            return tf.stop_gradient(normal_target(z))

        with pytest.raises(ValueError, match="target_log_prob: expected a function of z that TensorFlow can differ"):
            flows.fit_to_density(flows.planar_flow(2, layers=1, seed=0), target, 5, 4, gradient)

    def test_after_an_error_the_flow_is_as_it_was(self):
        flow = flows.planar_flow(2, layers=1, seed=0)
        before = flow.get_weights()

        def target(z):
            return tf.where(z[:, 0] > 0.0, -tf.exp(90.0 * z[:, 0]), normal_target(z))

        with pytest.raises(ValueError, match="the free energy: expected finite numbers"):
            flows.fit_to_density(flow, target, 60, 64)
        for one, two in zip(before, flow.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)

    def test_regularizers_are_charged(self):
        sizes = []
        for strength in (0.0, 10.0):
            regularizer = keras.regularizers.L2(strength)
            dense = keras.layers.Dense(2, kernel_initializer="ones", kernel_regularizer=regularizer)
            flow = Flow([cb.AffineCoupling(2, net=keras.Sequential([keras.Input([1]), dense]), seed=0)], seed=0)
            flows.fit_to_density(flow, normal_target, 60, 64, optimizer=keras.optimizers.SGD(1e-2))
            sizes.append(np.abs(dense.kernel.numpy()).max())
        assert sizes[1] < 0.5 * sizes[0]

    def test_annealing_changes_the_path_and_not_what_is_reported(self):
        def first(annealing_steps):
            flow = flows.planar_flow(2, layers=2, seed=3)
            return flows.fit_to_density(flow, normal_target, 20, 16, annealing_steps=annealing_steps).free_energy

        straight, annealed = first(0), first(100)
        assert straight[0] == annealed[0]
        assert straight[-1] != annealed[-1]


def replicated_gradients(flow, target, gradient, replications=400, num_samples=8):
    """Independent estimates of the gradient of the free energy, one row each."""

    @tf.function(autograph=False)
    def one(seed):
        with tf.GradientTape() as tape:
            log_q, log_p = log_densities(flow, target, num_samples, seed, gradient)
            loss = tf.reduce_mean(log_q - log_p)
        return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(loss, flow.trainable_variables)], axis=0)

    return np.stack([one(tf.constant([5, i])).numpy() for i in range(replications)])


def exact_gradient(flow, target):
    """The gradient of the free energy by quadrature over the noise."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    eps = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    weights = np.outer(weights, weights).ravel() / (2 * np.pi)
    with tf.GradientTape() as tape:
        z, log_det = flow.forward_and_log_det(eps)
        integrand = tfd.Normal(np.float64(0), np.float64(1)).log_prob(eps)
        loss = tf.reduce_sum(weights * (tf.reduce_sum(integrand, axis=-1) - log_det - target(z)))
    return np.concatenate([np.ravel(g) for g in tape.gradient(loss, flow.trainable_variables)])


class TestGradientsOfTheFreeEnergy:
    @pytest.fixture(scope="class")
    @classmethod
    def flow(cls):
        return trained(flows.planar_flow(2, layers=2, seed=0, dtype="float64"), spread=0.3)

    @pytest.fixture(scope="class")
    @classmethod
    def exact(cls, flow):
        return exact_gradient(flow, normal_target)

    @pytest.mark.parametrize("gradient", flows.density.GRADIENTS)
    def test_unbiased(self, flow, exact, gradient):
        assert_mean(replicated_gradients(flow, normal_target, gradient), exact, shared_among=2)

    def test_without_the_log_determinant_it_is_biased(self, flow, exact):
        """Power: the test above sees the mistake of differentiating the target alone."""

        def rows():
            for row in range(400):
                with tf.GradientTape() as tape:
                    z = flow.sample(8, seed=row)
                    loss = -tf.reduce_mean(normal_target(z))
                yield np.concatenate([np.ravel(g) for g in tape.gradient(loss, flow.trainable_variables)])

        assert not agree(np.stack(list(rows())), exact)

    def test_at_the_target_sticking_the_landing_is_zero_and_pathwise_is_not(self, flow):
        target = flows.planar_flow(2, layers=2, seed=0, dtype="float64")
        target.set_weights(flow.get_weights())
        landing = replicated_gradients(flow, target.log_prob, "sticking_the_landing", replications=20)
        pathwise = replicated_gradients(flow, target.log_prob, "pathwise", replications=20)
        assert np.abs(landing).max() < 1e-9
        assert pathwise.std(axis=0).max() > 0.05


def test_a_flow_may_score_its_own_samples_under_another_tape_in_a_graph():
    flow = trained(flows.planar_flow(2, layers=2, seed=0, dtype="float64"))
    distribution = flow.distribution

    def scores():
        z = distribution.sample(5, seed=(1, 2))
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = tf.reduce_sum(distribution.log_prob(z))
        return tape.gradient(value, [z, *flow.trainable_variables])

    for one, two in zip(scores(), tf.function(scores, autograph=False)(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-8, atol=1e-10)


class TestPace:
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch):
        monkeypatch.setattr("companion.flows.pace.ENOUGH_FOR_XLA", 10)

    def made(self, **options):
        flow = flows.coupling_flow(2, layers=2, hidden=[4], seed=0)
        flow.compile(keras.optimizers.Adam(1e-2), **options)
        return flow

    def test_a_long_fit_is_compiled_and_gives_the_same(self):
        x = np.random.default_rng(0).standard_normal((50, 2)).astype("float32")
        plain, long = self.made(jit_compile=False, steps_per_execution=1), self.made()
        losses = [flow.fit(x, batch_size=10, epochs=4, verbose=0).history["loss"] for flow in (plain, long)]
        assert (long.jit_compile, long.steps_per_execution) == (True, 5)
        np.testing.assert_allclose(*losses, rtol=1e-4)
        np.testing.assert_allclose(long.evaluate(x, verbose=0), plain.evaluate(x, verbose=0), rtol=1e-4)
        assert long.get_compile_config()["jit_compile"] == "auto"

    def test_a_short_fit_is_not_compiled_also_after_a_long_one(self):
        x = np.random.default_rng(0).standard_normal((50, 2)).astype("float32")
        flow = self.made()
        flow.fit(x, batch_size=25, epochs=1, verbose=0)
        assert (flow.jit_compile, flow.steps_per_execution) == (False, 2)
        flow.fit(x, batch_size=10, epochs=2, verbose=0)
        assert flow.jit_compile
        flow.fit(x[:30], batch_size=10, epochs=1, verbose=0)
        assert (flow.jit_compile, flow.steps_per_execution) == (False, 3)

    def test_long_epochs_are_cut_into_hundreds(self):
        x = np.random.default_rng(0).standard_normal((1030, 2)).astype("float32")
        plain, long = self.made(jit_compile=False, steps_per_execution=1), self.made()
        losses = [flow.fit(x, batch_size=10, epochs=2, verbose=0).history["loss"] for flow in (plain, long)]
        assert (long.jit_compile, long.steps_per_execution) == (True, 100)
        np.testing.assert_allclose(*losses, rtol=1e-3)
        assert int(long.steps_taken.numpy()) == 206

    def test_nets_from_outside_are_not_compiled_unasked(self):
        x = np.random.default_rng(0).standard_normal((50, 2)).astype("float32")
        net = keras.Sequential([keras.Input([1]), keras.layers.Dense(2)])
        flow = Flow([cb.AffineCoupling(2, net=net)], seed=0)
        flow.compile("adam")
        flow.fit(x, batch_size=10, epochs=4, verbose=0)
        assert not flow.jit_compile

    def test_a_target_that_xla_does_not_know_is_fitted_all_the_same(self, monkeypatch):
        @tf.custom_gradient
        def target(z):
            value = tf.ensure_shape(tf.numpy_function(lambda z: -0.5 * (z**2).sum(1), [z], tf.float32), [None])
            return value, lambda upstream: -upstream[:, None] * z

        monkeypatch.setattr("companion.flows.density.ENOUGH_FOR_XLA", 4)
        flow = flows.planar_flow(2, layers=1, seed=0)
        assert np.isfinite(flows.fit_to_density(flow, target, 10, 8).free_energy).all()
        with pytest.raises(tf.errors.InvalidArgumentError):
            flows.fit_to_density(flow, target, 10, 8, jit_compile=True)

    def test_what_was_said_is_kept(self):
        x = np.random.default_rng(0).standard_normal((50, 2)).astype("float32")
        flow = self.made(jit_compile=False, steps_per_execution=3)
        flow.fit(x, batch_size=10, epochs=4, verbose=0)
        assert (flow.jit_compile, flow.steps_per_execution) == (False, 3)


@pytest.mark.parametrize("form", ["array", "dataset"])
def test_a_fitted_flow_is_freed(form):
    x = np.zeros((20, 2), "float32")
    data = x if form == "array" else tf.data.Dataset.from_tensor_slices(x).batch(5)
    flow = flows.planar_flow(2, layers=1, seed=0)
    flow.compile("adam")
    flow.fit(data, verbose=0)
    alive = weakref.ref(flow)
    del flow
    gc.collect()
    assert alive() is None


class TestLikelihoodNeedsNoNoise:
    def test_a_step_of_fit_is_the_same_for_every_seed(self):
        x = datasets.two_moons(64, seed=0).x.astype("float32")
        weights = []
        for seed in (1, 2):
            flow = flows.coupling_flow(2, layers=2, hidden=[8], seed=0)
            flow.seed = seed
            flow.compile(keras.optimizers.SGD(0.1))
            flow.fit(x, batch_size=64, epochs=1, shuffle=False, verbose=0)
            weights.append(flow.get_weights())
        for one, two in zip(*weights, strict=True):
            np.testing.assert_array_equal(one, two)
