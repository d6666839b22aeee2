"""Laws of the gradient estimators, over the registry of problems with exact gradients."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_mean, assert_variance, quantile
from cases import DISCRETE, ESTIMATORS, PROBLEMS, UNBIASED, in_width
from hypothesis import given, settings
from hypothesis import strategies as st
from modes import MODES
from tensorflow_probability import distributions as tfd

from companion import gaussian, reparameterizations
from companion.gradients import (
    GradientEstimate,
    finite_difference,
    measure_valued,
    pathwise,
    score_function,
)
from companion.gradients.weak_derivatives import over_numbers

N = 100_000
COMPARISONS = 2 * len(UNBIASED)  # at most two parameters each

unbiased = pytest.mark.parametrize(("estimator", "name"), UNBIASED, ids=["-".join(pair) for pair in UNBIASED])
estimators = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)


@functools.cache
def estimate_of(estimator, name, num_samples=N, seed=7):
    p = PROBLEMS[name]
    return ESTIMATORS[estimator].run(p.f, p.make, in_width(p.params, tf.float32), num_samples, seed)


def square(z):
    return z**2


@unbiased
def test_the_estimate_is_unbiased(estimator, name):
    """And its biased twin is not: a quarter too much, or a wrong sign, is found in at least one parameter."""
    found = {1.25: 0, -1.0: 0}
    for parameter, exact in PROBLEMS[name].gradient.items():
        samples = estimate_of(estimator, name).samples[parameter]
        assert_mean(samples, exact, shared_among=COMPARISONS)
        for factor in found:
            try:
                assert_mean(factor * samples, exact, shared_among=COMPARISONS)
            except AssertionError:
                found[factor] += 1
    assert all(found.values()), f"power: found {found}"


def test_where_an_estimator_is_wrong_the_law_says_so():
    """A moving support breaks the score function; a jump breaks pathwise: both are found."""
    wrong = estimate_of("score_function", "uniform_mean")
    with pytest.raises(AssertionError):
        assert_mean(wrong.samples["high"], PROBLEMS["uniform_mean"].gradient["high"])
    soft_step = PROBLEMS["normal_step"]._replace(f=lambda z: tf.sign(z) / 2 + 0.5)  # slope 0, not None
    wrong = pathwise(soft_step.f, soft_step.make, soft_step.params, N, seed=7)
    np.testing.assert_array_equal(wrong.samples["loc"], 0.0)


OPTIONS = {  # of `gaussian.gradient_variance`, for each estimator that has an exact variance
    "pathwise": {"estimator": "pathwise"},
    "score_function": {"estimator": "score_function"},
    "leave_one_out": {"estimator": "score_function", "baseline": "leave_one_out", "num_samples": 2 * N},
    "optimal_baseline": {"estimator": "score_function", "baseline": "optimal"},
    "measure_valued": {"estimator": "measure_valued"},
    "measure_valued_independent": {"estimator": "measure_valued", "coupled": False},
}


@pytest.mark.parametrize("estimator", OPTIONS)
@pytest.mark.parametrize("name", ["normal_square", "normal_cosine", "normal_bump", "normal_relu"])
def test_the_variance_is_the_exact_one(estimator, name):
    p = PROBLEMS[name]
    estimate = estimate_of(estimator, name, 2 * N)
    for parameter, exact in gaussian.gradient_variance(p.f, **p.params, **OPTIONS[estimator]).items():
        assert_variance(estimate.samples[parameter], exact, shared_among=48)
        with pytest.raises(AssertionError):
            assert_variance(1.2 * estimate.samples[parameter], exact, shared_among=48)


@unbiased
def test_the_value_estimates_the_expectation(estimator, name):
    """The function values are f at samples of q, and of nothing else."""
    p = PROBLEMS[name]
    estimate = estimate_of(estimator, name)
    plain = p.f(p.make(**in_width(p.params, tf.float32)).sample(N, seed=11))
    assert estimate.function_values.shape == plain.shape
    both = np.stack([estimate.function_values, plain]).astype(float)
    error = np.sqrt((both.var(axis=1) / N).sum(axis=0))
    comparisons = len(UNBIASED) * both[0, 0].size
    assert (np.abs(both[0].mean(axis=0) - both[1].mean(axis=0)) <= quantile(comparisons) * error).all()
    np.testing.assert_allclose(estimate.value, both[0].mean(axis=0), rtol=1e-4)


def _draws_alike(distribution):
    """Whether one seed gives the same samples in every mode: TFP's own samplers do not promise it."""
    numbers = type(over_numbers(distribution))
    return reparameterizations.find(distribution) is not None and numbers not in (tfd.Gamma, tfd.Poisson)


@unbiased
def test_one_seed_gives_one_estimate_in_every_mode(estimator, name):
    p = PROBLEMS[name]
    params = in_width(p.params, tf.float32)
    modes = dict(MODES) if _draws_alike(p.make(**params)) else {"eager": MODES["eager"]}
    if estimator not in ("pathwise", "score_function", "measure_valued") and name != "normal_square":
        modes.pop("xla", None)  # compiling takes seconds; variants of one estimator are compiled on one problem
    run = ESTIMATORS[estimator].run
    results = {mode: execute(lambda: run(p.f, p.make, params, 500, seed=3)) for mode, execute in modes.items()}
    results["again"] = MODES["eager"](lambda: run(p.f, p.make, params, 500, seed=3))
    for result in results.values():
        assert isinstance(result, GradientEstimate)
        for parameter, g in results["eager"].samples.items():
            np.testing.assert_allclose(result.samples[parameter], g, rtol=2e-3, atol=2e-4 * np.abs(g).max())
            assert result.samples[parameter].shape == g.shape


TFP_SAMPLED = [
    (estimator, name)
    for estimator, name in UNBIASED
    if name in ("gamma_mean", "gamma_rate", "beta_mean", "bernoulli", "categorical")
    and estimator in ("pathwise", "score_function", "measure_valued")
]


@pytest.mark.parametrize(("estimator", "name"), TFP_SAMPLED, ids=["-".join(pair) for pair in TFP_SAMPLED])
def test_families_with_tfps_own_sampler_are_unbiased_under_xla(estimator, name):
    estimate = MODES["xla"](lambda: estimate_of.__wrapped__(estimator, name, num_samples=10_000))
    for parameter, exact in PROBLEMS[name].gradient.items():
        assert_mean(estimate.samples[parameter], exact, shared_among=2 * len(TFP_SAMPLED))


@unbiased
def test_both_widths(estimator, name):
    if name.startswith("categorical"):
        return  # f of an integer can't know the width, and theirs is float32
    p = PROBLEMS[name]
    for dtype in (tf.float32, tf.float64):
        estimate = ESTIMATORS[estimator].run(p.f, p.make, in_width(p.params, dtype), 20, seed=0)
        assert estimate.value.dtype == dtype
        assert all(g.dtype == dtype for g in estimate.samples.values())


@estimators
def test_different_seeds_differ_and_none_is_fresh(estimator):
    params = {"loc": 0.3, "scale": 1.0}
    draws = [estimator.run(square, tfd.Normal, params, 10, seed=s).samples["loc"].numpy() for s in (1, 2, None, None)]
    assert len({d.tobytes() for d in draws}) == 4
    compiled = tf.function(lambda: estimator.run(square, tfd.Normal, params, 10).samples["loc"], jit_compile=True)
    assert not np.array_equal(compiled(), compiled())


def test_each_sample_has_its_own_exact_gradient():
    """For f = z^2 the gradient of sample i is 2 z_i dz_i/dtheta, to rounding."""
    params = {"loc": tf.constant(0.3, tf.float64), "scale": tf.constant(1.7, tf.float64)}
    estimate = pathwise(square, tfd.Normal, params, 50, seed=4)
    eps = reparameterizations.reparameterize(tfd.Normal(tf.zeros(50, tf.float64), 1.0)).noise.sample(seed=4)
    z = 0.3 + 1.7 * eps
    np.testing.assert_allclose(estimate.samples["loc"], 2 * z, rtol=1e-12)
    np.testing.assert_allclose(estimate.samples["scale"], 2 * z * eps, rtol=1e-12)
    score = score_function(square, tfd.Normal, params, 50, seed=4)
    np.testing.assert_allclose(score.samples["loc"], z**2 * eps / 1.7, rtol=1e-10)
    np.testing.assert_allclose(score.samples["scale"], z**2 * (eps**2 - 1) / 1.7, rtol=1e-10, atol=1e-12)


def test_implicit_gradients_are_exact_per_sample():
    """TFP's gradient of a gamma sample is -(dF/dtheta) / p, against a difference of F in float64."""
    from scipy import stats

    a = 2.3
    estimate = pathwise(lambda z: z, tfd.Gamma, in_width({"concentration": a, "rate": 1.0}, tf.float64), 200, seed=2)
    z, h = estimate.function_values.numpy(), 1e-5
    slope = (stats.gamma.cdf(z, a + h) - stats.gamma.cdf(z, a - h)) / (2 * h)
    np.testing.assert_allclose(estimate.samples["concentration"], -slope / stats.gamma.pdf(z, a), rtol=1e-4)


def test_batches_are_separate_problems_and_a_joint_f_adds_up():
    params = in_width({"loc": [0.5, -1.0, 2.0], "scale": [1.0, 0.5, 2.0]}, tf.float64)
    for estimator in (pathwise, score_function, measure_valued, finite_difference):
        separate = estimator(square, tfd.Normal, params, 1000, seed=0)
        joint = estimator(lambda z: tf.reduce_sum(z**2, axis=-1), tfd.Normal, params, 1000, seed=0)
        assert separate.value.shape == [3]
        assert joint.value.shape == []
        np.testing.assert_allclose(tf.reduce_sum(separate.value), joint.value, rtol=1e-12)
    joint = pathwise(lambda z: tf.reduce_sum(z**2, axis=-1), tfd.Normal, params, 1000, seed=0)
    separate = pathwise(square, tfd.Normal, params, 1000, seed=0)
    np.testing.assert_allclose(separate.samples["loc"], joint.samples["loc"], rtol=1e-12)


def test_as_many_samples_as_members_of_the_batch():
    """num_samples equal to the batch size is where a wrong broadcast would hide."""
    params = in_width({"loc": [0.5, -1.0, 2.0], "scale": 0.5}, tf.float64)
    for estimator in (pathwise, score_function, measure_valued, finite_difference):
        few = estimator(lambda z: tf.reduce_sum(z**2, axis=-1), tfd.Normal, params, 3, seed=0)
        assert few.samples["loc"].shape == [3, 3]
        assert few.samples["scale"].shape == [3]
    eps = reparameterizations.reparameterize(tfd.Normal(tf.zeros([3, 3], tf.float64), 1.0)).noise.sample(seed=0)
    z = np.array([0.5, -1.0, 2.0]) + 0.5 * eps
    few = pathwise(lambda z: tf.reduce_sum(z**2, axis=-1), tfd.Normal, params, 3, seed=0)
    np.testing.assert_allclose(few.samples["scale"], tf.reduce_sum(2 * z * eps, axis=-1), rtol=1e-12)


def test_statistics_of_an_estimate():
    estimate = GradientEstimate(
        tf.constant([1.0, 2.0, 6.0]), {"a": tf.constant([1.0, 2.0, 6.0]), "b": tf.zeros([3, 2])}
    )
    assert float(estimate.value) == 3.0
    np.testing.assert_allclose(estimate.variance["a"], np.var([1, 2, 6], ddof=1), rtol=1e-6)
    np.testing.assert_allclose(estimate.standard_error["a"], np.sqrt(7 / 3), rtol=1e-6)
    np.testing.assert_allclose(estimate.snr["a"], 3 / np.sqrt(7), rtol=1e-6)
    np.testing.assert_array_equal(estimate.snr["b"], [0.0, 0.0])
    lopsided = GradientEstimate(
        tf.constant([1.0, 1.0]), {"a": tf.constant([-1.0, 1.0]), "b": tf.constant([-1.0, -3.0])}
    )
    assert float(lopsided.snr["a"]) == 0.0
    np.testing.assert_allclose(lopsided.snr["b"], np.sqrt(2.0), rtol=1e-6)
    assert repr(estimate) == "GradientEstimate(num_samples=3, samples={a: [3], b: [3, 2]})"
    with pytest.raises(ValueError, match=r"num_samples \(for a variance\): expected an integer of at least 2"):
        _ = GradientEstimate(tf.constant([1.0]), {"a": tf.constant([1.0])}).variance


def test_inside_a_keras_training_step():
    """A layer's variables, a Keras seed generator, fit with and without XLA: the mean moves to the optimum."""

    class Seeker(keras.Model):
        def __init__(self):
            super().__init__()
            self.loc = self.add_weight(shape=(2,), initializer="zeros", name="loc")
            self.seeds = keras.random.SeedGenerator(3)

        def train_step(self, data):
            params = {"loc": self.loc, "scale": tf.constant(0.1)}
            estimate = pathwise(lambda z: tf.reduce_sum((z - data[0]) ** 2, -1), tfd.Normal, params, 8, self.seeds)
            self.optimizer.apply([estimate.mean["loc"]], [self.loc])
            return {"loss": estimate.value}

    for jit_compile in (False, True):
        model = Seeker()
        model.compile(optimizer=keras.optimizers.SGD(0.05), jit_compile=jit_compile)
        history = model.fit(np.tile([[1.0, -2.0]], (60, 1)), batch_size=1, epochs=1, verbose=0, shuffle=False)
        np.testing.assert_allclose(model.loc, [1.0, -2.0], atol=0.1)
        assert np.isfinite(history.history["loss"]).all()


def test_unknown_batch_sizes_in_a_graph():
    @tf.function(input_signature=[tf.TensorSpec([None, 2])])
    def gradients(loc):
        return pathwise(square_norm, tfd.MultivariateNormalDiag, {"loc": loc, "scale_diag": tf.ones_like(loc)}, 4, 0)

    def square_norm(z):
        return tf.reduce_sum(z**2, axis=-1)

    assert gradients(tf.zeros([5, 2])).samples["loc"].shape == [4, 5, 2]


@estimators
def test_unknown_batch_sizes_do_not_broadcast_wrongly(estimator):
    """loc of shape [None, 3], a scalar scale and 3 samples: [3, None, 3] and [3] would broadcast without an error."""

    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def gradients(loc):
        return estimator.run(square, tfd.Normal, {"loc": loc, "scale": tf.constant(0.5)}, 3, 0)

    loc = tf.constant([[0.5, -1.0, 2.0], [1.0, 0.0, -1.0]])
    eager = estimator.run(square, tfd.Normal, {"loc": loc, "scale": tf.constant(0.5)}, 3, 0)
    found = gradients(loc)
    for name in ("loc", "scale"):
        np.testing.assert_allclose(found.samples[name], eager.samples[name], rtol=1e-4, atol=1e-5)


@estimators
def test_unknown_batch_sizes_still_bind_f(estimator):
    @tf.function(input_signature=[tf.TensorSpec([None])])
    def gradients(loc):
        def keeps_an_axis(z):
            return tf.reduce_sum(z, axis=-1, keepdims=True) + 0.0 * z[:, : tf.shape(z)[1] // 2]

        return estimator.run(keeps_an_axis, tfd.Normal, {"loc": loc, "scale": tf.constant(0.5)}, 4, 0).value

    with pytest.raises(tf.errors.InvalidArgumentError, match="f: expected one value a sample and member"):
        gradients(tf.zeros([6]))


def test_unknown_ranks_are_refused():
    @tf.function(input_signature=[tf.TensorSpec(None)])
    def gradients(loc):
        return pathwise(square, tfd.Normal, {"loc": loc, "scale": tf.constant(0.5)}, 3, 0)

    with pytest.raises(ValueError, match=r"params\['loc'\]: expected a tensor of known rank"):
        gradients(tf.zeros([2]))


NORMAL = {"loc": 0.0, "scale": 1.0}


@estimators
@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"f": 3}, TypeError, r"f: expected a callable; got 3 \(int\)"),
        (
            {"f": lambda z: tf.reduce_mean(z)},
            ValueError,
            r"f: expected one value.*\[10\].*got shape \(\)",
        ),
        ({"f": lambda z: z[:, None] * z}, ValueError, r"f: expected one value a sample.*got shape \(10, 10\)"),
        ({"f": lambda z: z[:5]}, ValueError, r"f: expected one value a sample.*got shape \(5,\)"),
        ({"f": lambda z: tf.cast(z, tf.int32)}, TypeError, "f: expected values of dtype float32.*got int32"),
        ({"f": lambda z: tf.cast(z, tf.float64)}, TypeError, "f: expected values of dtype float32.*got float64"),
        ({"f": lambda z: None}, TypeError, "f: expected a tensor of floats; got None"),
        ({"f": lambda z: "z"}, TypeError, "f: expected"),
        ({"f": lambda z: z / 0.0}, ValueError, r"f\(z\): expected finite numbers"),
        ({"make_distribution": "Normal"}, TypeError, "make_distribution: expected a callable"),
        ({"make_distribution": lambda loc, scale: loc}, TypeError, r"expected a tfd\.Distribution"),
        ({"params": {"loc": 0.0, "scale": -1.0}}, ValueError, r"Normal.*scale.*positive.*got.*scale=-1"),
        ({"params": {"loc": 0.0, "scale": 0.0}}, ValueError, r"Normal.*scale.*positive"),
        ({"params": {"loc": np.nan, "scale": 1.0}}, ValueError, r"params\['loc'\]: expected finite numbers"),
        ({"params": {"loc": [0.0, np.inf], "scale": 1.0}}, ValueError, r"params\['loc'\].*1 of 2 not finite"),
        ({"params": {"loc": "a", "scale": 1.0}}, TypeError, r"params\['loc'\]: expected numbers"),
        ({"params": {"loc": np.array([1, 2]), "scale": 1.0}}, TypeError, "float32 or float64; got int64"),
        ({"params": {"loc": np.float64(0), "scale": tf.constant(1.0)}}, TypeError, "one floating width"),
        ({"params": {}}, TypeError, "params: expected a mapping"),
        ({"params": [1.0]}, TypeError, "params: expected a mapping"),
        ({"num_samples": 0}, ValueError, "num_samples: expected an integer of at least 1; got 0"),
        ({"num_samples": -3}, ValueError, "num_samples: expected an integer of at least 1"),
        ({"num_samples": 2.5}, ValueError, "num_samples: expected an integer"),
        ({"num_samples": True}, ValueError, "num_samples: expected an integer"),
        ({"seed": "seven"}, TypeError, "seed: expected an integer"),
        ({"seed": 1.5}, TypeError, "seed: expected an integer"),
    ],
)
def test_bad_arguments_are_named(estimator, changed, error, message):
    arguments = {"f": square, "make_distribution": tfd.Normal, "params": NORMAL, "num_samples": 10, "seed": 0}
    with pytest.raises(error, match=message):
        estimator.run(**{**arguments, **changed})


@estimators
def test_a_parameter_that_does_not_reach_the_distribution(estimator):
    def forgetful(loc, scale):
        return tfd.Normal(loc, tf.constant(1.0) if loc.shape.rank == 0 else tf.ones_like(loc))

    with pytest.raises(ValueError, match=r"params\['scale'\]: expected a path.*got the gradient None"):
        estimator.run(square, forgetful, NORMAL, 10, seed=0)

    variable = keras.Variable(0.0)
    with pytest.raises(ValueError, match=r"params\['loc'\].*gradient None.*Keras variable"):
        estimator.run(square, lambda loc, scale: tfd.Normal(variable.value + 0.0 * scale, scale), NORMAL, 10, seed=0)


@estimators
def test_rows_that_influence_each_other_are_refused(estimator):
    """A reduction over all axes mixes samples: the numbers would look right and be wrong."""

    def centred(loc, scale):
        return tfd.Normal(loc - tf.reduce_mean(loc), scale)

    with pytest.raises(ValueError, match=r"make_distribution.*rows of params\['loc'\] that influence each other"):
        estimator.run(square, centred, {"loc": [0.0, 1.0], "scale": [1.0, 1.0]}, 10, seed=0)


@estimators
def test_rows_that_influence_each_other_are_refused_in_a_graph_and_behind_an_unused_parameter(estimator):
    def centred(loc, scale, unused=None):
        return tfd.Normal(loc - tf.reduce_mean(loc), scale)

    params = {"unused": 0.0, "loc": [0.0, 1.0], "scale": [1.0, 1.0]}
    with pytest.raises(ValueError, match=r"rows of params\['loc'\] that influence each other"):
        estimator.run(square, centred, params, 10, seed=0)

    @tf.function
    def run(loc, scale):
        return estimator.run(square, centred, {"loc": loc, "scale": scale}, 10, seed=0).value

    with pytest.raises(tf.errors.InvalidArgumentError, match="influence each other"):
        run(tf.constant([0.0, 1.0]), tf.constant([1.0, 1.0]))


@estimators
def test_the_error_for_a_wrong_shape_says_what_is_right(estimator):
    with pytest.raises(ValueError, match=r"shape \[10\]; got shape \(\)"):
        estimator.run(tf.reduce_sum, tfd.Normal, NORMAL, 10, seed=0)
    with pytest.raises(ValueError, match=r"shape \[10\] or, for a batch of problems, \(10, 2\); got shape \(\)"):
        estimator.run(tf.reduce_sum, tfd.Normal, {"loc": [0.0, 1.0], "scale": 1.0}, 10, seed=0)


@estimators
def test_a_distribution_that_ignores_leading_axes_is_refused(estimator):
    with pytest.raises(ValueError, match=r"make_distribution: expected .*leading axis"):
        estimator.run(square, lambda loc: tfd.Normal(tf.reduce_sum(loc), 1.0), {"loc": [0.0, 1.0]}, 10, seed=0)


@pytest.mark.parametrize("name", DISCRETE)
def test_pathwise_refuses_discrete_distributions(name):
    def make(theta):
        return DISCRETE[name]()

    with pytest.raises(TypeError, match=r"discrete; score_function, (measure_valued, )?finite_difference apply"):
        pathwise(lambda z: tf.cast(z, tf.float32), make, {"theta": 0.3}, 10, seed=0)


def test_pathwise_refuses_a_mixture_and_names_the_other_way():
    def mixture(loc):
        components = tfd.Normal(tf.stack([loc, -loc], axis=-1), 1.0)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=tf.zeros_like(components.loc)), components)

    with pytest.raises(TypeError, match=r"MixtureSameFamily.*; score_function, finite_difference apply"):
        pathwise(square, mixture, {"loc": 1.0}, 10, seed=0)
    assert score_function(square, mixture, {"loc": 1.0}, 10, seed=0).samples["loc"].shape == [10]


def test_a_step_that_cuts_the_path_is_an_error_not_a_zero():
    with pytest.raises(ValueError, match="comparison in f"):
        pathwise(lambda z: tf.cast(z > 0, tf.float32), tfd.Normal, NORMAL, 10, seed=0)


@estimators
def test_in_a_graph_bad_numbers_stop_the_run(estimator):
    """Values are unknown while a graph is traced: the check runs with the graph."""

    @tf.function
    def run(loc, scale):
        return estimator.run(square, tfd.Normal, {"loc": loc, "scale": scale}, 4, seed=0).value

    run(tf.constant(0.0), tf.constant(1.0))
    for loc, scale in ((0.0, -1.0), (np.nan, 1.0)):
        with pytest.raises(tf.errors.InvalidArgumentError):
            run(tf.constant(loc), tf.constant(scale))


@given(
    batch=st.lists(st.integers(1, 3), max_size=2),
    num_samples=st.integers(2, 4),
    dtype=st.sampled_from([tf.float32, tf.float64]),
    scalar=st.sampled_from([None, "loc", "scale"]),
    estimator=st.sampled_from(list(ESTIMATORS.values())),
)
@settings(max_examples=60, deadline=None)
def test_shapes_and_widths(batch, num_samples, dtype, scalar, estimator):
    """Any batch, any number of samples, one parameter a scalar: the gradient has the parameter's shape."""
    params = {name: tf.ones([] if name == scalar else batch, dtype) for name in ("loc", "scale")}
    estimate = estimator.run(square, tfd.Normal, params, num_samples, seed=0)
    assert estimate.value.shape == batch
    for name, g in estimate.samples.items():
        assert g.shape == [num_samples, *params[name].shape]
        assert g.dtype == dtype


@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    batch=st.lists(st.integers(1, 3), max_size=1),
    estimator=st.sampled_from(list(ESTIMATORS.values())),
)
@settings(max_examples=60, deadline=None)
def test_f_of_any_other_shape_is_refused(shape, batch, estimator):
    """One value a sample, or one a sample and member of the batch; everything else is an error, never a broadcast."""
    params = {"loc": tf.zeros(batch), "scale": tf.ones(batch)}

    def f(z):
        size = [z.shape[0], *shape[1:]] if shape[:1] == [4] else shape  # measure_valued asks for other numbers, too
        return tf.reduce_sum(z) * tf.ones(size)

    if shape in ([4], [4, *batch]):
        assert estimator.run(f, tfd.Normal, params, 4, seed=0).function_values.shape == shape
    else:
        with pytest.raises(ValueError, match="f: expected one value a sample"):
            estimator.run(f, tfd.Normal, params, 4, seed=0)
