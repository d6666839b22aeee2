"""Every labelled statement of the chapter "Normalizing flows".

Exact statements are compared with quadrature, automatic derivatives or enumeration that share no formula with them.
Statistical comparisons are tests against exact answers; there are fewer than 40, each with a false-alarm rate of 1e-6,
so that a right implementation fails this file with a probability below 1e-4 over seeds; the seeds are fixed. Each kind
has a twin with a planted error.
"""

import numpy as np
import pytest
import tensorflow as tf
from calibration import agree, variance_agrees
from scipy import integrate, special, stats
from tensorflow_probability import bijectors as tfb

import companion
from companion import bijectors, datasets, flows
from companion.potentials import rezende_mohamed

PHI = stats.norm.pdf
RNG = np.random.default_rng(0)


def fits(samples, cdf):
    """Whether samples can have a distribution function (Kolmogorov-Smirnov)."""
    return stats.kstest(samples, cdf).pvalue > 1e-6


def jacobian(function, x):
    """Automatic Jacobians [n, dim, dim] at points [n, dim]."""
    x = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = function(x)
        columns = [tf.reduce_sum(y[:, i]) for i in range(y.shape[1])]
    return np.stack([tape.gradient(column, x) for column in columns], axis=1)


# Densities of transformed noise -------------------------------------------------------------------------------------


@pytest.mark.verifies("thm-change-of-variables")
class TestChangeOfVariables:
    def test_a_map_with_a_kink(self):
        eps = RNG.normal(size=20_000)
        z = np.where(eps < 0, eps, 3 * eps)

        def cdf(z, slope=3.0):
            return stats.norm.cdf(np.where(z < 0, z, z / slope))

        assert fits(z, cdf)
        assert not fits(z, lambda z: cdf(z, slope=2.8))

        def density(z):
            return PHI(z) if z < 0 else PHI(z / 3) / 3

        assert integrate.quad(density, -9, 40, points=[0], limit=200)[0] == pytest.approx(1.0, abs=1e-9)

    def test_a_derivative_that_vanishes_at_a_point(self):
        def cube(z):
            return PHI(np.cbrt(z)) / (3 * np.cbrt(z) ** 2)

        mass = integrate.quad(cube, 0, 1)[0]
        assert mass == pytest.approx(stats.norm.cdf(1) - 0.5, abs=1e-8)

    def test_a_fold_needs_both_preimages(self):
        def one(z):
            return PHI(np.sqrt(z)) / (2 * np.sqrt(z))

        mass = integrate.quad(one, 0, 1)[0] + integrate.quad(one, 1, np.inf)[0]
        assert mass == pytest.approx(0.5, abs=1e-8)
        assert 2 * one(0.7) == pytest.approx(stats.chi2(1).pdf(0.7))

    def test_a_plateau_makes_an_atom(self):
        z = np.maximum(RNG.normal(size=1000), 0.0)
        assert np.mean(z == 0.0) > 0.4  # no density gives a point a positive probability

    def test_two_dimensions_and_the_inverse(self):
        matrix = np.array([[2.0, 1.0], [0.3, 1.5]])
        eps = RNG.normal(size=(5, 2))
        z = np.sinh(eps) @ matrix.T
        log_q = PHI(eps).prod(1) / np.abs(np.cosh(eps).prod(1) * np.linalg.det(matrix))
        inner = z @ np.linalg.inv(matrix).T
        inverse = 1 / np.sqrt(1 + inner**2)
        backwards = PHI(np.arcsinh(inner)).prod(1) * inverse.prod(1) / np.linalg.det(matrix)
        assert np.allclose(log_q, backwards)
        assert not np.allclose(log_q, backwards * np.linalg.det(matrix))


@pytest.mark.verifies("prop-composition-log-determinant")
def test_log_determinants_add_along_the_way():
    first, second = (
        bijectors.AffineCoupling(3, (8,), seed=0, dtype="float64"),
        bijectors.Planar(3, seed=1, dtype="float64"),
    )
    eps = RNG.normal(size=(6, 3))
    middle, first_log_det = first.forward_and_log_det(eps)
    _, second_log_det = second.forward_and_log_det(middle)
    exact = np.linalg.slogdet(jacobian(lambda x: second.forward(first.forward(x)), eps))[1]
    assert np.allclose(first_log_det + second_log_det, exact, atol=1e-10)
    at_the_start = second.forward_and_log_det(eps)[1]
    assert not np.allclose(first_log_det + at_the_start, exact, atol=1e-4)
    flow = companion.Flow([first, second], seed=0)
    z, log_det = flow.forward_and_log_det(eps)
    log_q = stats.norm.logpdf(eps).sum(1) - exact
    assert np.allclose(flow.log_prob(z), log_q, atol=1e-8)
    assert np.allclose(log_det, exact)


@pytest.mark.verifies("def-normalizing-flow")
def test_a_flow_samples_and_scores_the_same_law():
    flow = flows.coupling_flow(2, layers=2, hidden=(8,), seed=0, dtype="float64")
    z, log_q = flow.sample_and_log_prob(20_000, seed=1)
    assert np.allclose(flow.log_prob(z), log_q, atol=1e-8)
    noise = flow.inverse_and_log_det(z)[0].numpy()
    assert fits(noise.ravel(), stats.norm.cdf)
    assert not fits(1.2 * noise.ravel(), stats.norm.cdf)


@pytest.mark.verifies("prop-planar-invertible")
class TestPlanar:
    def test_determinant(self):
        u, w, b = RNG.normal(size=3), RNG.normal(size=3), 0.4
        x = RNG.normal(size=(5, 3))
        full = jacobian(lambda x: x + u * tf.tanh(tf.linalg.matvec(x, w) + b)[:, None], x)
        slope = 1 - np.tanh(x @ w + b) ** 2
        assert np.allclose(np.linalg.det(full), 1 + (u @ w) * slope)
        assert not np.allclose(np.linalg.det(full), 1 + (u @ w) * np.tanh(x @ w + b))

    @pytest.mark.parametrize(("c", "injective"), [(-0.95, True), (-1.0, True), (-1.1, False), (3.0, True)])
    def test_injective_down_to_minus_one(self, c, injective):
        a = np.linspace(-4, 4, 8001)
        along = a + c * np.tanh(a + 0.3)
        assert np.all(np.diff(along) > 0) == injective

    def test_the_correction_and_its_limit(self):
        u = np.array([0.5, 0.5])

        def published(t):
            return np.logaddexp(0, t) - 1

        def ours(t):
            return np.logaddexp(0, t + np.log(np.e - 1)) - 1

        for m in (published, ours):
            for w in RNG.normal(size=(5, 2)):
                corrected = u + (m(u @ w) - u @ w) * w / (w @ w)
                assert corrected @ w == pytest.approx(m(u @ w))
                assert corrected @ w > -1
        lengths = {}
        for m in (published, ours):
            small = 1e-5 * np.array([0.6, 0.8])
            lengths[m] = np.linalg.norm(u + (m(u @ small) - u @ small) * small / (small @ small))
        assert lengths[published] > 1e4
        assert lengths[ours] < 2


# Cheap determinants -------------------------------------------------------------------------------------------------


@pytest.mark.verifies("prop-triangular-determinant")
class TestTriangular:
    @pytest.mark.parametrize("leak", [False, True])
    def test_wild_conditioners_change_nothing(self, leak):
        def parameters(x):
            before = tf.cumsum(x, axis=1, exclusive=not leak)
            return tf.sin(9 * before), 5 * tf.abs(before) ** 1.5

        def g(x):
            s, t = parameters(x)
            return x * tf.exp(s) + t

        x = RNG.normal(size=(6, 4))
        full = jacobian(g, x)
        claimed = np.sum(parameters(tf.constant(x))[0], axis=1)
        assert np.allclose(np.linalg.slogdet(full)[1], claimed) != leak
        assert np.allclose(np.triu(full, 1), 0)

    def test_the_inverse_solves_one_coordinate_after_the_other(self):
        bijector = bijectors.MaskedAutoregressive(4, (16,), seed=0, dtype="float64")
        x = RNG.normal(size=(3, 4))
        assert np.allclose(bijector.inverse(bijector.forward(x)), x, atol=1e-9)


@pytest.mark.verifies("prop-directions-cost")
class TestCost:
    @pytest.mark.parametrize(
        ("kind", "forward", "inverse"),
        [
            (bijectors.AffineCoupling, 1, 1),
            (bijectors.MaskedAutoregressive, 5, 1),
            (bijectors.InverseAutoregressive, 1, 5),
        ],
    )
    def test_passes_of_the_net(self, kind, forward, inverse, monkeypatch):
        bijector = kind(5, (8,), seed=0)
        calls = []
        evaluate = bijector._scalar_parameters
        monkeypatch.setattr(bijector, "_scalar_parameters", lambda *given: calls.append(1) or evaluate(*given))
        x = tf.constant(RNG.normal(size=(3, 5)), tf.float32)
        bijector.forward_and_log_det(x)
        assert len(calls) == forward == bijector.forward_passes
        calls.clear()
        bijector.inverse_and_log_det(x)
        assert len(calls) == inverse == bijector.inverse_passes

    def test_the_inverse_of_an_inverse_autoregressive_map(self):
        given = {"hidden": (8,), "seed": 3, "dtype": "float64"}
        one = bijectors.InverseAutoregressive(4, **given)
        y = RNG.normal(size=(5, 4))
        x = one.inverse(y).numpy()
        shift, raw = np.moveaxis(one.layers[0](x).numpy(), -2, 0)
        s = 5 * np.tanh(raw / 5)
        assert np.allclose(x, y * np.exp(-s) - shift * np.exp(-s))  # a masked map of y by what is before, in x
        assert not np.allclose(x, y * np.exp(-s) + shift * np.exp(-s))


MEANS, SHARES = np.array([[-1.0, 0.5], [1.5, -1.0]]), np.array([0.3, 0.7])


def mixture_noise(x):
    """T(x) of the triangular construction for a mixture of two Gaussians, and the log of its slopes."""
    first = stats.norm.pdf(x[:, :1], MEANS[:, 0]) * SHARES
    weights = first / first.sum(1, keepdims=True)
    cdfs = np.stack(
        [stats.norm.cdf(x[:, :1], MEANS[:, 0]) @ SHARES, (weights * stats.norm.cdf(x[:, 1:], MEANS[:, 1])).sum(1)]
    )
    densities = np.stack([first.sum(1), (weights * stats.norm.pdf(x[:, 1:], MEANS[:, 1])).sum(1)])
    noise = special.ndtri(cdfs)
    return noise.T, (np.log(densities) - stats.norm.logpdf(noise)).sum(0)


@pytest.mark.verifies("thm-triangular-universality")
def test_one_triangular_map_makes_any_positive_density_normal():
    rng = np.random.default_rng(5)
    part = rng.choice(2, size=20_000, p=SHARES)
    x = MEANS[part] + rng.normal(size=(20_000, 2))
    noise, log_det = mixture_noise(x)
    exact = np.log(np.exp(stats.norm.logpdf(x[:, None], MEANS).sum(-1)) @ SHARES)
    assert np.allclose(stats.norm.logpdf(noise).sum(1) + log_det, exact)
    assert fits(noise[:, 0], stats.norm.cdf)
    assert fits(noise[:, 1], stats.norm.cdf)
    assert agree(noise[:, 0] * noise[:, 1], 0.0)
    assert agree(noise[:, 0] * noise[:, 1] ** 2, 0.0)
    marginal = special.ndtri(stats.norm.cdf(x[:, 1:], MEANS[:, 1]) @ SHARES)  # not given the first
    assert fits(marginal, stats.norm.cdf)
    assert not agree(noise[:, 0] * marginal, 0.0)  # normal, and not independent


# Two objectives -----------------------------------------------------------------------------------------------------


@pytest.mark.verifies("thm-two-objectives")
class TestTwoObjectives:
    """q = N(t, exp(2 s)) by an ActNorm; data N(0, 1) or the target 3 N(1, 1/4)."""

    S, T = 0.3, -0.4

    def norm(self, n=1):
        bijector = bijectors.ActNorm(1, dtype="float64")
        bijector.layers[0].log_scale.assign([self.S])
        bijector.layers[0].shift.assign([self.T])
        return bijector

    def test_likelihood_is_entropy_and_divergence(self):
        nll = integrate.quad(lambda x: -PHI(x) * stats.norm.logpdf(x, self.T, np.exp(self.S)), -12, 12)[0]
        kl = (np.exp(-2 * self.S) * (1 + self.T**2) - 1) / 2 + self.S
        assert nll == pytest.approx(stats.norm.entropy() + kl)

    def test_the_likelihoods_gradient_has_no_noise(self):
        flow = companion.Flow([self.norm()], seed=0)
        x = tf.constant(RNG.normal(size=(50, 1)))
        found = []
        for seed in (0, 1):
            tf.random.set_seed(seed)
            with tf.GradientTape() as tape:
                loss = -tf.reduce_mean(flow.log_prob(x))
            found.append([float(g[0]) for g in tape.gradient(loss, [v.value for v in flow.trainable_variables])])
        assert found[0] == found[1]
        u = (x.numpy()[:, 0] - self.T) * np.exp(-self.S)
        by_hand = {"log_scale": np.mean(1 - u**2), "shift": -np.mean(u) * np.exp(-self.S)}
        names = [v.name for v in flow.trainable_variables]
        assert np.allclose(found[0], [by_hand[name] for name in names])

    def path(self, n, cut=False):
        """One-sample gradients of F in (s, t)."""
        s, t = (tf.fill([n], tf.constant(value, tf.float64)) for value in (self.S, self.T))
        eps = tf.constant(np.random.default_rng(7).normal(size=n))
        with tf.GradientTape() as tape:
            tape.watch([s, t])
            z = t + tf.exp(s) * eps
            z = tf.stop_gradient(z) if cut else z
            log_q = -((z - t) ** 2) * tf.exp(-2 * s) / 2 - s
            log_p = -2 * (z - 1) ** 2 + np.log(3 * 2)
            total = tf.reduce_sum(log_q - log_p)
        return np.stack(tape.gradient(total, [s, t]), axis=1)

    def test_the_path_gives_the_gradient_of_the_free_energy(self):
        exact = np.array([4 * np.exp(2 * self.S) - 1, 4 * (self.T - 1)])
        assert agree(self.path(20_000), exact)
        assert not agree(self.path(20_000), exact + 0.2)

    def test_without_it_the_mean_is_zero(self):
        samples = self.path(20_000, cut=True)
        assert agree(samples, np.zeros(2))
        assert not agree(self.path(20_000), np.zeros(2))
        assert samples.std() > 0.1

    def test_a_kink_that_moves_biases_the_pathwise_gradient(self):
        """g = eps + max(eps - b, 0) and the target N(0, 1), at b = 0: (B) fails, for log|g'| jumps."""

        def energy(b):  # up to a constant
            log_slope = np.log(2) * stats.norm.sf(b)
            above = integrate.quad(lambda e: PHI(e) * (2 * e - b) ** 2 / 2, b, 12)[0]
            return above + integrate.quad(lambda e: PHI(e) * e**2 / 2, -12, b)[0] - log_slope

        derivative = (energy(1e-4) - energy(-1e-4)) / 2e-4
        along_paths = integrate.quad(lambda e: -2 * e * PHI(e), 0, 12)[0]
        assert derivative == pytest.approx((np.log(2) - 2) * PHI(0), abs=1e-6)
        assert along_paths == pytest.approx(-2 * PHI(0))


@pytest.mark.verifies("prop-likelihood-floor")
class TestLikelihoodFloor:
    def test_no_density_is_below_the_entropy(self):
        plane = datasets.two_moons(4000, seed=3)
        for scale in (0.5, 1.0, 2.0):
            q = stats.multivariate_normal(np.zeros(2), scale**2)
            gaps = plane.log_prob(plane.x) - q.logpdf(plane.x)
            assert gaps.mean() > 0
        wrong = plane.log_prob(plane.x) + 0.3  # integrates to 1.35
        assert np.mean(-wrong) < plane.entropy - 0.2

    def test_chance_below_the_truth_is_bounded(self):
        rng = np.random.default_rng(1)
        x = rng.normal(size=(20_000, 5))
        excess = (stats.norm.logpdf(x, 0.3, 1.1) - stats.norm.logpdf(x)).sum(1)  # sum of log q - log p
        for c in (0.5, 1.0, 2.0):
            frequency = np.mean(excess >= c)
            assert frequency <= np.exp(-c) + 5 * np.sqrt(np.exp(-c) / len(x))
        assert np.mean(np.exp(excess)) == pytest.approx(1.0, abs=0.1)
        fitted = stats.norm.logpdf(x, x.mean(1, keepdims=True), x.std(1, keepdims=True)).sum(1) - stats.norm.logpdf(
            x
        ).sum(1)
        assert np.mean(fitted >= 0.5) > np.exp(-0.5) + 0.03  # fitted to the points themselves: no such law


@pytest.mark.verifies("prop-free-energy-floor")
def test_the_floor_of_a_free_energy_and_its_absence():
    potential = rezende_mohamed(2, window=(-4, 4))
    rng = np.random.default_rng(2)
    for scale in (0.5, 1.0, 2.0):
        z = scale * rng.normal(size=(4000, 2))
        log_q = stats.norm.logpdf(z, scale=scale).sum(1)
        values = log_q - potential.log_prob(z).numpy()
        assert values.mean() > -potential.log_normaliser()
    endless, found = rezende_mohamed(2), []
    for reach in (4, 40, 400):
        mass = (
            integrate.quad(lambda x: stats.norm.cdf(3, np.sin(np.pi * x / 2), 0.4) * 0.4 * np.sqrt(2 * np.pi), 0, 4)[0]
            / 4
        )
        log_mass = np.log(2 * reach * mass)  # of the box [-reach, reach] x (-infinity, 3]
        z = np.stack([rng.uniform(-reach, reach, 500), np.zeros(500)], axis=1)
        z[:, 1] = np.sin(np.pi * z[:, 0] / 2) + 0.4 * rng.normal(size=500)
        z = z[z[:, 1] < 3]
        log_q = endless.log_prob(z).numpy() - log_mass
        assert np.allclose(log_q - endless.log_prob(z).numpy(), -log_mass)
        found.append(-log_mass)
    assert np.allclose(np.diff(found), -np.log(10))


@pytest.mark.verifies("prop-potentials")
def test_three_of_four_potentials_have_no_integral():
    z2 = np.linspace(-12, 12, 4801)
    for number, slice_mass in ((2, 0.4), (3, 0.7), (4, 0.75)):
        potential = rezende_mohamed(number)
        assert not potential.normalisable
        for z1 in (-7.3, 0.0, 1.0, 25.0):
            z = np.stack([np.full_like(z2, z1), z2], axis=1)
            mass = integrate.trapezoid(np.exp(-potential.energy(z).numpy()), z2)
            assert mass == pytest.approx(slice_mass * np.sqrt(2 * np.pi), rel=1e-6)
    ticks = np.linspace(-8, 8, 801)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1)
    total = np.exp(-rezende_mohamed(1).energy(grid).numpy()).sum() * (ticks[1] - ticks[0]) ** 2
    assert np.log(total) == pytest.approx(rezende_mohamed(1).log_normaliser(), abs=1e-6)


@pytest.mark.verifies("prop-sticking-the-landing-flow")
class TestStickingTheLanding:
    def samples(self, landing, at_optimum, n=20_000):
        """One-sample gradients in (s, t) of q = N(t, exp(2 s)) at (0.3, -0.4), for the target q or N(0, 1)."""
        s, t = (tf.fill([n], tf.constant(v, tf.float64)) for v in (0.3, -0.4))
        eps = tf.constant(np.random.default_rng(11).normal(size=n))
        with tf.GradientTape() as tape:
            tape.watch([s, t])
            z = t + tf.exp(s) * eps
            s_q, t_q = (tf.stop_gradient(s), tf.stop_gradient(t)) if landing else (s, t)
            log_q = -((z - t_q) ** 2) * tf.exp(-2 * s_q) / 2 - s_q
            log_p = -((z + 0.4) ** 2) * np.exp(-0.6) / 2 if at_optimum else -(z**2) / 2
            total = tf.reduce_sum(log_q - log_p)
        return np.stack(tape.gradient(total, [s, t]), axis=1)

    @pytest.mark.parametrize("landing", [True, False])
    def test_both_are_unbiased(self, landing):
        exact = np.array([np.exp(0.6) - 1, -0.4])
        assert agree(self.samples(landing, False), exact)
        assert not agree(self.samples(landing, False), 1.2 * exact)

    def test_at_the_optimum_one_is_zero_and_the_other_is_the_score(self):
        assert np.allclose(self.samples(True, True), 0, atol=1e-12)
        plain = self.samples(False, True)
        fisher = np.array([2.0, np.exp(-0.6)])
        assert variance_agrees(plain, fisher)
        assert not variance_agrees(plain, 1.2 * fisher)


# Data ---------------------------------------------------------------------------------------------------------------


@pytest.mark.verifies("prop-dequantization")
class TestDequantization:
    P = np.array([0.1, 0.6, 0.3])

    def test_noise_makes_a_bound(self):
        levels = np.arange(3)
        for q in (stats.norm(1.5, 0.8), stats.uniform(0, 3), stats.norm(1.2, 0.2)):
            noisy = sum(
                p * integrate.quad(q.logpdf, k + 1e-12, k + 1 - 1e-12)[0] for p, k in zip(self.P, levels, strict=True)
            )
            cells = self.P @ np.log(np.diff(q.cdf(np.arange(4))))
            assert noisy <= cells + 1e-9 <= -stats.entropy(self.P) + 2e-9
        uniform = stats.uniform(0, 3)
        assert self.P @ np.log(np.diff(uniform.cdf(np.arange(4)))) == pytest.approx(np.log(1 / 3))

    def test_units(self):
        data = datasets.dequantized(np.array([[0.0, 0.5, 1.0]]), levels=3)
        q = stats.norm(1.0, 0.7)  # of y = 3 x
        log_q_x = np.sum(q.logpdf(3 * data.x) + np.log(3))
        assert np.sum(q.logpdf(3 * data.x)) == pytest.approx(log_q_x + data.log_det)
        assert data.log_det == pytest.approx(-3 * np.log(3))

    def test_without_noise_no_bound(self):
        points = np.array([0.0, 0.5, 1.0])
        least = [np.log(stats.norm.pdf(points[:, None], points, width).mean(1)).min() for width in (1e-2, 1e-4, 1e-6)]
        assert np.all(np.diff(least) > 4.6)


@pytest.mark.verifies("prop-order-matters")
def test_the_price_of_the_wrong_order():
    plane = datasets.conditional_autoregressive(10)
    assert plane.entropy == pytest.approx(np.log(2 * np.pi * np.e) + np.log(2))
    x2 = np.linspace(-16, 16, 4001)

    def given_first(x1):
        """The density of x1, and E[x2^2; x1], by a sum over x2."""
        joint = stats.norm.pdf(x2, scale=2) * stats.norm.pdf(x1[:, None], x2**2 / 4)
        return integrate.trapezoid(joint, x2), integrate.trapezoid(joint * x2**2, x2)

    x1 = np.linspace(-7, 45, 2001)
    density, second = given_first(x1)
    variance = integrate.trapezoid(density * (x1 - 1) ** 2, x1)
    assert variance == pytest.approx(3.0, abs=1e-6)
    mean_log = integrate.trapezoid(density * np.log(second / density), x1)
    price = np.log(2 * np.pi * np.e) + (np.log(variance) + mean_log) / 2
    assert price == pytest.approx(3.8665, abs=1e-4)
    assert price == pytest.approx(datasets.wrong_order_cross_entropy(), abs=1e-4)
    constant = np.log(2 * np.pi * np.e) + (np.log(3.0) + np.log(4.0)) / 2  # variances that ignore the first
    assert constant > price + 0.05


# Limits -------------------------------------------------------------------------------------------------------------


@pytest.mark.verifies("thm-topology")
def test_a_flow_keeps_a_segment_in_one_piece():
    flow = flows.coupling_flow(2, layers=4, hidden=(16,), seed=3)
    flow.compile("adam")
    two = np.concatenate([RNG.normal(-3, 0.2, size=(500, 2)), RNG.normal(3, 0.2, size=(500, 2))])
    flow.fit(two, batch_size=100, epochs=10, verbose=0)
    longest = []
    for pieces in (1000, 10_000):
        line = np.linspace([-3, -3], [3, 3], pieces).astype("float32")
        z = flow.forward_and_log_det(line)[0].numpy()
        assert np.isfinite(flow.log_prob(z)).all()  # positive density all the way
        longest.append(np.linalg.norm(np.diff(z, axis=0), axis=1).max())
    assert longest[1] < longest[0] / 4
    torn = line + 6 * (line[:, :1] > 0)
    assert np.linalg.norm(np.diff(torn, axis=0), axis=1).max() > 5  # a map that tears


@pytest.mark.verifies("prop-bridges")
class TestBridges:
    @pytest.mark.parametrize("lipschitz", [0.5, 3.0, 40.0])
    def test_half_lines_attain_the_bound(self, lipschitz):
        delta = 2.0
        outside = 1 - 2 * stats.norm.cdf(-delta / 2 / lipschitz)
        alpha = stats.norm.cdf(-delta / 2 / lipschitz)
        bound = stats.norm.cdf(stats.norm.ppf(alpha) + delta / lipschitz) - alpha
        assert outside == pytest.approx(bound)

    def test_a_map_that_separates_two_sets(self):
        steep = 5.0

        def g(eps):
            return eps + 2 * np.clip(2 * eps, -1, 1)  # slope 5 in the middle

        eps = np.random.default_rng(4).normal(size=200_000)
        z = g(eps)
        assert np.all(np.abs(np.diff(g(np.linspace(-3, 3, 1001)))) <= steep * 0.006 + 1e-12)
        for low, high in ((-1.0, 1.0), (-0.5, 2.4), (-2.6, 1.0)):
            alpha, between = np.mean(z <= low), np.mean((z > low) & (z < high))
            bound = stats.norm.cdf(stats.norm.ppf(alpha) + (high - low) / steep) - alpha
            assert between >= bound - 0.005
        alpha, between = np.mean(z <= -1.0), np.mean(np.abs(z) < 1.0)
        flatter = stats.norm.cdf(stats.norm.ppf(alpha) + 2.0 / 3.0) - alpha
        assert between < flatter - 0.005  # with a smaller constant the bound would fail


@pytest.mark.verifies("prop-gaussian-tails")
class TestTails:
    def growth(self, g, dim=3):
        directions = np.random.default_rng(5).normal(size=(200, dim))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return [np.linalg.norm(g(r * directions), axis=1).max() / r for r in (1e4, 1e6, 1e8)]

    @pytest.mark.parametrize(
        "make", [bijectors.AffineCoupling, bijectors.MaskedAutoregressive, bijectors.InverseAutoregressive]
    )
    def test_affine_maps_grow_linearly(self, make):
        bijector = make(3, hidden=(8,), seed=0, dtype="float64")
        for layer in bijector.layers:
            layer.set_weights([3 * w for w in layer.get_weights()])
        found = self.growth(lambda x: bijector.forward(x).numpy())
        assert max(found) < 2 * found[0] + 1
        assert self.growth(lambda x: x * np.exp(np.minimum(np.abs(x), 300)))[1] > 1e50  # an unbounded log-scale

    def test_planar_maps_and_splines_move_points_by_a_bounded_distance(self):
        x = 1e4 * RNG.normal(size=(200, 3))
        for bijector in (
            bijectors.Planar(3, seed=0, dtype="float64"),
            bijectors.SplineCoupling(3, (8,), dtype="float64"),
        ):
            assert np.abs(bijector.forward(x) - x).max() < 20

    def test_the_tail_bound(self):
        bijector = bijectors.Planar(2, seed=1, dtype="float64")
        eps = RNG.normal(size=(50_000, 2))
        z = bijector.forward(eps).numpy()
        most = np.linalg.norm(z - eps, axis=1).max()
        for r in (2.0, 3.0, 4.0):
            assert np.mean(np.linalg.norm(z, axis=1) > r) <= np.mean(np.linalg.norm(eps, axis=1) > r - most)
        assert np.mean(np.linalg.norm(z, axis=1) > 2.0) > np.mean(np.linalg.norm(eps, axis=1) > 2.0 + most)


@pytest.mark.verifies("prop-batch-statistics")
class TestBatchStatistics:
    def density(self, x, others, eta):
        batch = np.append(others, x)
        scale = np.sqrt(batch.var() + eta)
        return PHI((x - batch.mean()) / scale) / scale

    @pytest.mark.parametrize("eta", [0.0, 1e-3])
    @pytest.mark.parametrize("others", [[1.0], [-1.0, 2.0], list(np.arange(7.0))])
    def test_the_tail_is_one_over_x(self, others, eta):
        n = len(others) + 1
        limit = PHI(np.sqrt(n - 1)) * n / np.sqrt(n - 1)
        for x in (1e6, -1e6):
            assert abs(x) * self.density(x, others, eta) == pytest.approx(limit, rel=1e-3)
        fixed = stats.norm.pdf(1e6, np.mean(others), np.std(others) + 1)  # statistics of other points: a density
        assert 1e6 * fixed == 0.0

    def test_the_integral_grows_without_bound(self):
        masses = []
        for reach in (1e2, 1e5, 1e8):
            grid = np.concatenate([-np.geomspace(reach, 1e-3, 3000), np.geomspace(1e-3, reach, 3000)])
            masses.append(integrate.trapezoid([self.density(x, [-1.0, 2.0], 0.0) for x in grid], grid))
        growth = 2 * PHI(np.sqrt(2)) * 3 / np.sqrt(2) * np.log(1e3)
        assert np.diff(masses) == pytest.approx([growth, growth], rel=0.02)


def test_a_flow_through_a_tfp_map_counts_its_jacobian():
    flow = companion.Flow([tfb.Sigmoid()], event_shape=2, seed=0)
    ticks = np.linspace(0.002, 0.998, 500)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2).astype("float32")
    assert np.exp(flow.log_prob(grid)).sum() * (ticks[1] - ticks[0]) ** 2 == pytest.approx(1.0, abs=0.01)
