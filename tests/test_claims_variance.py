"""Every labelled statement of the chapter "Which estimator?".

Exact statements are compared with quadrature that shares no formula with them. Statistical comparisons are z-tests
against exact answers; there are fewer than 100, each with a false-alarm rate of 1e-6, so that a right implementation
fails this file with a probability below 1e-4 over seeds; the seeds are fixed. Each kind has a twin with a planted
error.
"""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from calibration import agree, quantile, variance_agrees
from scipy import integrate, special, stats
from tensorflow_probability import distributions as tfd

from companion import datasets, diagnostics, gaussian, gradients, reparameterize
from companion.logistic_regression import BayesianLogisticRegression, fit

NUM_SAMPLES = 40_000
POINTS = [(1.0, 1.0, 1.3), (0.4, 0.7, 2.0), (-1.2, 1.5, 0.6)]  # mu, sigma, k
MEASURE = {"coupled": True, "independent": False}


def uniform(*shape, seed):
    return reparameterize(tfd.Uniform(np.float64(0), np.float64(1))).sample([NUM_SAMPLES, *shape], seed=seed).numpy()


def normal(*shape, seed):
    return special.ndtri(uniform(*shape, seed=seed))


def rayleigh(u):
    return np.sqrt(-2.0 * np.log(u))


def under(density, f, low=-np.inf, high=np.inf):
    """The integral of f times a density, by SciPy's quadrature."""
    return integrate.quad(lambda x: f(x) * density(x), low, high, epsabs=1e-12, epsrel=1e-11, limit=400)[0]


def difference(function, x, h=1e-5):
    return (function(x + h) - function(x - h)) / (2 * h)


def square(k):
    return lambda z: (z - k) ** 2


def wave(k):
    return lambda z: np.cos(k * z)


def bell(k):
    return lambda z: np.exp(-k * z**2)


RAYLEIGH = {"density": lambda w: w * np.exp(-(w**2) / 2), "low": 0.0, "high": 40.0}
NORMAL = {"density": stats.norm.pdf, "low": -12.0, "high": 12.0}
MAXWELL = {"density": lambda m: m**2 * stats.norm.pdf(m), "low": -12.0, "high": 12.0}


def measured(f, mu, sigma):
    """Measure-valued variances by two-dimensional brute force: {"coupled": (mu, sigma), "independent": (mu, sigma)}."""

    def right(w):
        return f(mu + sigma * w)

    def left(w):
        return f(mu - sigma * w)

    def moments(g, law):
        first = under(f=g, **law)
        return first, under(f=lambda x: g(x) ** 2, **law) - first**2

    def centred(m):
        return f(mu + sigma * m)

    nodes, weights = np.polynomial.legendre.leggauss(60)

    def inner(m):  # E over u of f(mu + sigma m u)
        return np.sum(weights / 2 * centred(m * (nodes + 1) / 2))

    (a, va), (b, vb) = moments(right, RAYLEIGH), moments(left, RAYLEIGH)
    across = under(f=lambda w: right(w) * left(w), **RAYLEIGH) - a * b
    (p, vp), (q, vq) = moments(centred, MAXWELL), moments(centred, NORMAL)
    along = under(f=lambda m: centred(m) * inner(m), **MAXWELL) - p * q
    loc, scale = 1 / (2 * np.pi * sigma**2), 1 / sigma**2
    return {
        "coupled": (loc * (va + vb - 2 * across), scale * (vp + vq - 2 * along)),
        "independent": (loc * (va + vb), scale * (vp + vq)),
    }


# The weak derivative ------------------------------------------------------------------------------------------


@pytest.mark.verifies("def-weak-derivative")
@pytest.mark.parametrize("f", [np.sin, np.sqrt, lambda z: np.abs(z - 0.3)])
def test_the_uniform_law_has_a_weak_derivative_for_continuous_functions(f):
    theta = 0.8

    def expectation(t):
        return integrate.quad(f, 0, t, points=[0.3])[0] / t

    assert (f(theta) - expectation(theta)) / theta == pytest.approx(difference(expectation, theta), rel=1e-5)
    by_score = -expectation(theta) / theta
    assert by_score != pytest.approx(difference(expectation, theta), rel=1e-2)


@pytest.mark.verifies("def-weak-derivative")
def test_the_uniform_laws_weak_derivative_is_not_for_a_jump_at_the_end_that_moves():
    def jump(z):
        return np.where(z >= 0.8, 1.0, 0.0)

    right_sided = (1 - 0.8 / 0.81) / 0.01  # of P(z >= 0.8), from 0.8 to 0.81
    claimed = (jump(0.8) - 0.0) / 0.8
    left_sided = 0.0
    assert right_sided == pytest.approx(claimed, rel=0.02)
    assert left_sided != pytest.approx(claimed)  # so there is no derivative


DENSITIES = {  # density, parameter, window
    "normal scale": (lambda z, s: stats.norm.pdf(z, 0.3, s), 0.9, (-9, 9)),
    "exponential": (lambda z, r: r * np.exp(-r * z), 1.4, (0, 30)),
    "logistic": (lambda z, m: stats.logistic.pdf(z, m), 0.5, (-40, 40)),
}


@pytest.mark.verifies("thm-measure-valued-gradient")
class TestMeasureValuedGradient:
    @pytest.mark.parametrize("name", DENSITIES)
    def test_positive_and_negative_part_have_one_mass_and_give_the_derivative(self, name):
        q, theta, (low, high) = DENSITIES[name]
        z = np.linspace(low, high, 200_001)
        slope, density = difference(lambda t: q(z, t), theta), q(z, theta)
        plus, minus = (integrate.simpson(np.maximum(s, 0), x=z) for s in (slope, -slope))
        assert plus == pytest.approx(minus, rel=1e-4)
        assert plus == pytest.approx(integrate.simpson(np.abs(slope / density) * density, x=z) / 2, rel=1e-4)
        for f in (np.sin, lambda x: np.where(x > 0.7, 1.0, 0.0)):
            sides = [integrate.simpson(f(z) * np.maximum(s, 0), x=z) / plus for s in (slope, -slope)]
            exact = difference(lambda t, f=f: integrate.simpson(f(z) * q(z, t), x=z), theta)
            assert plus * (sides[0] - sides[1]) == pytest.approx(exact, abs=2e-4)
            assert 1.1 * plus * (sides[0] - sides[1]) != pytest.approx(exact, abs=2e-4)

    def test_no_decomposition_has_a_smaller_constant(self):
        sigma = 0.7
        least = 0.5 * under(f=lambda e: abs(e**2 - 1) / sigma, density=stats.norm.pdf, low=-12, high=12)
        assert least == pytest.approx(2 * stats.norm.pdf(1) / sigma)
        assert least == pytest.approx(0.48 / sigma, abs=0.01)
        assert 1 / sigma > least  # that of Maxwell against normal
        rate = 3.0
        counts = np.arange(60)
        poisson = 0.5 * np.sum(np.abs(counts / rate - 1) * stats.poisson.pmf(counts, rate))
        assert poisson < 1

    def test_a_constant_added_to_f_changes_no_sample(self):
        params = {"loc": np.float64(0.3), "scale": np.float64(0.8)}
        plain, lifted = (
            gradients.measure_valued(lambda z, c=c: tf.sin(z) + c, tfd.Normal, params, 100, seed=1).samples
            for c in (0.0, 100.0)
        )
        score = gradients.score_function(lambda z: tf.sin(z) + 100.0, tfd.Normal, params, 100, seed=1).samples
        for name in params:
            assert np.allclose(plain[name], lifted[name], atol=1e-9)
            assert not np.allclose(plain[name], score[name], atol=1.0)


def step_at(t):
    return lambda z: tf.cast(z > t, tf.float64)


FAMILIES = {
    "normal": (tf.sin, tfd.Normal, {"loc": 0.4, "scale": 0.9}),
    "normal, a jump": (step_at(0.7), tfd.Normal, {"loc": 0.4, "scale": 0.9}),
    "exponential": (lambda z: tf.sqrt(z) + z**2, tfd.Exponential, {"rate": 1.3}),
    "Poisson": (lambda z: tf.cos(z) + 1.2**z, tfd.Poisson, {"rate": 2.5}),
    "Bernoulli": (
        lambda b: (b - 0.45) ** 2,
        lambda probs: tfd.Bernoulli(probs=probs, dtype=tf.float64),
        {"probs": 0.3},
    ),
}


@pytest.mark.verifies("prop-weak-derivatives-of-families")
class TestFamilies:
    @pytest.mark.parametrize("coupled", MEASURE.values(), ids=MEASURE)
    @pytest.mark.parametrize("name", FAMILIES)
    def test_samples_have_the_exact_gradient_as_mean(self, name, coupled):
        f, make, params = FAMILIES[name]
        params = {key: np.float64(value) for key, value in params.items()}
        exact = gradients.exact(f, make, params)
        samples = gradients.measure_valued(f, make, params, NUM_SAMPLES, seed=2, coupled=coupled).samples
        for key, g in samples.items():
            assert agree(g, exact[key])
            assert not agree(1.5 * g, exact[key])

    def test_the_densities_of_the_table_add_up_to_the_derivative(self):
        z = np.linspace(-4.0, 5.0, 401)
        mu, sigma = 0.3, 0.8
        e = (z - mu) / sigma
        q = partial(stats.norm.pdf, z)
        side = np.abs(e) * np.exp(-(e**2) / 2) / sigma  # Rayleigh, as a density in z
        constant = 1 / (sigma * np.sqrt(2 * np.pi))
        assert np.allclose(constant * np.sign(e) * side, difference(lambda m: q(m, sigma), mu), atol=1e-7)
        maxwell = e**2 * stats.norm.pdf(e) / sigma
        assert np.allclose((maxwell - q(mu, sigma)) / sigma, difference(lambda s: q(mu, s), sigma), atol=1e-7)
        t, rate = np.linspace(0.01, 9, 300), 1.7
        law, erlang = rate * np.exp(-rate * t), rate**2 * t * np.exp(-rate * t)
        assert np.allclose((law - erlang) / rate, difference(lambda r: r * np.exp(-r * t), rate), atol=1e-7)
        n = np.arange(30)
        more = np.where(n > 0, stats.poisson.pmf(n - 1, rate), 0.0)
        assert np.allclose(
            more - stats.poisson.pmf(n, rate), difference(lambda r: stats.poisson.pmf(n, r), rate), atol=1e-7
        )

    def test_bernoulli_leaves_nothing_to_draw(self):
        f, make, _ = FAMILIES["Bernoulli"]
        estimate = gradients.measure_valued(f, make, {"probs": np.float64(0.3)}, 50, seed=3)
        assert np.allclose(estimate.samples["probs"], 0.55**2 - 0.45**2)


@pytest.mark.verifies("lem-maxwell-times-uniform")
def test_maxwell_times_uniform_is_normal():
    u = uniform(4, seed=4)
    maxwell = np.sign(u[:, 3] - 0.5) * np.sqrt(rayleigh(u[:, 0]) ** 2 + special.ndtri(u[:, 1]) ** 2)

    def cumulative(m):
        return stats.norm.cdf(m) - m * stats.norm.pdf(m)

    assert stats.kstest(maxwell, cumulative).pvalue > 1e-6
    assert stats.kstest(maxwell * u[:, 2], stats.norm.cdf).pvalue > 1e-6
    assert stats.kstest(maxwell * np.sqrt(u[:, 2]), stats.norm.cdf).pvalue < 1e-6
    assert stats.kstest(maxwell / np.sqrt(3), stats.norm.cdf).pvalue < 1e-6  # variance 1 is not enough


@pytest.mark.verifies("lem-maxwell-times-uniform")
class TestMaxwellAroundANormalNumber:
    @staticmethod
    def is_the_pair(maxwell, eps):
        """Whether eps / M is uniform on (0, 1) and independent of M, which has Maxwell's law: 3 tests at 1e-6."""
        share = eps / maxwell
        uniform_share = stats.kstest(share, stats.uniform.cdf).pvalue > 1e-6
        law = stats.kstest(maxwell, lambda m: stats.norm.cdf(m) - m * stats.norm.pdf(m)).pvalue > 1e-6
        cells, _, _ = np.histogram2d(
            share, maxwell, bins=[np.quantile(x, np.linspace(0, 1, 7)) for x in (share, maxwell)]
        )
        return uniform_share and law and stats.chi2_contingency(cells).pvalue > 1e-6

    def test_it_is_maxwell_with_a_uniform_share(self):
        eps, w = normal(seed=40), rayleigh(uniform(seed=41))
        assert self.is_the_pair(np.sign(eps) * np.sqrt(eps**2 + w**2), eps)
        assert not self.is_the_pair(np.sqrt(eps**2 + w**2), eps)  # without the sign
        assert not self.is_the_pair(np.sign(eps) * np.sqrt(eps**2 + w**2 / 2), eps)
        assert not self.is_the_pair(np.sign(eps) * np.sqrt(eps**2 + normal(2, seed=42)[:, 0] ** 2), eps)

    def test_the_joint_densities_agree(self):
        x, m = 0.4, 1.7
        in_m = difference(lambda top: 1 - np.exp(-(top**2 - x**2) / 2), m)  # of M, given eps = x
        assert stats.norm.pdf(x) * in_m == pytest.approx(m * stats.norm.pdf(m), rel=1e-8)


THREE = {"loc": np.array([0.3, -0.5, 1.0]), "log_scale": np.log([0.5, 1.0, 0.7])}


def evaluations(make, params, **options):
    """How often measure_valued evaluates f a sample."""
    seen = []

    def f(z):
        seen.append(z.shape[0])
        return tf.reduce_sum(z, axis=-1)

    gradients.measure_valued(f, make, params, 10, seed=7, **options)
    return sum(seen) / 10


@pytest.mark.verifies("prop-one-coordinate-at-a-time")
class TestOneCoordinateAtATime:
    @staticmethod
    def make(loc, log_scale):
        return tfd.MultivariateNormalDiag(loc, tf.exp(log_scale))

    def test_the_gradient_is_exact_in_the_mean(self):
        def f(z):
            return tf.sin(z[..., 0] * z[..., 1]) + z[..., 1] * z[..., 2] ** 2

        weak = gradients.measure_valued(f, self.make, THREE, NUM_SAMPLES, seed=5).samples
        path = gradients.pathwise(f, self.make, THREE, NUM_SAMPLES, seed=6).samples
        for name in THREE:
            both = np.asarray(weak[name]) - np.asarray(path[name])  # independent: the mean of the difference is 0
            assert agree(both, 0.0)
            assert not agree(1.2 * np.asarray(weak[name]) - np.asarray(path[name]), 0.0)

    def test_it_evaluates_f_as_often_as_said(self):
        assert evaluations(self.make, THREE) == 1 + 3 * 3
        assert evaluations(self.make, THREE, coupled=False) == 1 + 3 * 3

    @pytest.mark.parametrize("coupled", MEASURE.values(), ids=MEASURE)
    def test_a_side_that_is_the_law_itself_costs_nothing(self, coupled):
        fixed = tf.constant([0.3, -0.5, 1.0], tf.float64)
        three = np.array([0.5, 1.0, 0.7])
        counts = {
            "scales alone": (lambda scale: tfd.MultivariateNormalDiag(fixed, scale), "scale", 1 + 3),
            "means alone": (lambda loc: tfd.MultivariateNormalDiag(loc, fixed**2), "loc", 1 + 2 * 3),
            "Poisson": (lambda rate: tfd.Independent(tfd.Poisson(rate), 1), "rate", 1 + 3),
            "Exponential": (lambda rate: tfd.Independent(tfd.Exponential(rate), 1), "rate", 1 + 3),
            "Bernoulli": (
                lambda probs: tfd.Independent(tfd.Bernoulli(probs=0.5 * probs, dtype=tf.float64), 1),
                "probs",
                1 + 2 * 3,
            ),
        }
        for label, (make, name, expected) in counts.items():
            assert evaluations(make, {name: three}, coupled=coupled) == expected, label


# Exact variances ----------------------------------------------------------------------------------------------


@pytest.mark.verifies("prop-quadratic-measure-valued")
class TestQuadratic:
    @staticmethod
    def table(mu, sigma, k):
        d2, s2, r = (mu - k) ** 2, sigma**2, 4 / np.pi - 1
        return {
            "coupled": (4 * d2 * r, 4 * d2 + 4 * s2),
            "independent": (2 * d2 * r + 4 / np.pi * s2, 16 * d2 + 8 * s2),
        }

    @pytest.mark.parametrize(("mu", "sigma", "k"), POINTS)
    def test_brute_force_and_the_package_agree_with_the_table(self, mu, sigma, k):
        table, brute = self.table(mu, sigma, k), measured(square(k), mu, sigma)
        for label, coupled in MEASURE.items():
            assert brute[label] == pytest.approx(table[label], rel=1e-7)
            exact = gaussian.gradient_variance(square(k), mu, sigma, "measure_valued", coupled=coupled)
            assert (exact["loc"], exact["scale"]) == pytest.approx(table[label], rel=1e-8)

    def test_samples_have_these_variances(self):
        mu, sigma, k = POINTS[1]
        params = {"loc": np.float64(mu), "scale": np.float64(sigma)}
        for label, coupled in MEASURE.items():
            samples = gradients.measure_valued(
                square(k), tfd.Normal, params, NUM_SAMPLES, seed=8, coupled=coupled
            ).samples
            for g, exact in zip(samples.values(), self.table(mu, sigma, k)[label], strict=True):
                assert variance_agrees(g, exact)
                assert not variance_agrees(g, 1.1 * exact)

    @pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5])
    def test_the_comparisons(self, sigma):
        for d in np.linspace(0, 4 * sigma, 81):
            table = self.table(d, sigma, 0.0)
            coupled, independent = table["coupled"], table["independent"]
            assert (coupled[0] < 4 * sigma**2) == (d < sigma / np.sqrt(4 / np.pi - 1))
            assert (coupled[0] < independent[0]) == (d < sigma * np.sqrt(2 / (4 - np.pi)))
            assert coupled[1] == pytest.approx(4 * d**2 + 8 * sigma**2 - 4 * sigma**2)
            assert coupled[1] < independent[1]
        assert 1 / np.sqrt(4 / np.pi - 1) == pytest.approx(1.91, abs=0.005)
        assert np.sqrt(2 / (4 - np.pi)) == pytest.approx(1.53, abs=0.005)


def dawson_h(t):
    return np.sqrt(2) * t * special.dawsn(np.sqrt(2) * t)


def cosine_table(mu, sigma, k):
    t = k * sigma
    e, big, s, c = np.exp(-(t**2) / 2), np.exp(-2 * t**2) * np.cos(2 * k * mu), np.sin(k * mu) ** 2, np.cos(k * mu) ** 2
    odd, even = dawson_h(t) - np.pi / 2 * t**2 * e**2, 1 - dawson_h(t) - (1 - 2 * dawson_h(t / 2)) ** 2
    g = -(k**2) * sigma * e * np.cos(k * mu)
    return {
        "coupled": (2 * s * odd / (np.pi * sigma**2), (1 - (1 + 2 * t**2) * big - 2 * s * e) / sigma**2 - g**2),
        "independent": (
            (c * even + s * odd) / (np.pi * sigma**2),
            (1 + (1 - 2 * t**2) * big - ((1 - t**2) ** 2 + 1) * e**2 * c) / sigma**2,
        ),
    }


@pytest.mark.verifies("prop-cosine-measure-valued")
class TestCosine:
    @pytest.mark.parametrize(("mu", "sigma", "k"), POINTS)
    def test_brute_force_and_the_package_agree_with_the_table(self, mu, sigma, k):
        table, brute = cosine_table(mu, sigma, k), measured(wave(k), mu, sigma)
        for label, coupled in MEASURE.items():
            assert brute[label] == pytest.approx(table[label], rel=1e-6)
            assert brute[label] != pytest.approx([1.001 * v for v in table[label]], rel=1e-6)
            exact = gaussian.gradient_variance(lambda z: tf.cos(k * z), mu, sigma, "measure_valued", coupled=coupled)
            assert (exact["loc"], exact["scale"]) == pytest.approx(table[label], rel=1e-7)

    def test_the_limits_at_high_frequency(self):
        sigma = 0.8
        for mu in (0.3, 1.1):
            k = 120.0
            table, s = cosine_table(mu, sigma, k), np.sin(k * mu) ** 2
            assert table["coupled"] == pytest.approx((s / (np.pi * sigma**2), 1 / sigma**2), rel=1e-3)
            assert table["independent"] == pytest.approx((1 / (2 * np.pi * sigma**2), 1 / sigma**2), rel=1e-3)

    def test_coupling_hurts_for_the_mean_where_the_page_says(self):
        roots = (1.1194, 2.4083, 3.9146)
        for k in np.linspace(0.1, 5.0, 99):
            table = cosine_table(1.0, 1.0, k)
            hurts = roots[0] < k < roots[1] or k > roots[2]
            if min(abs(k - r) for r in roots) > 1e-3:
                assert (table["coupled"][0] > table["independent"][0]) == hurts

    def test_coupling_helps_for_the_scale_by_the_amount_that_the_page_says(self):
        for mu, sigma, k in [*POINTS, (1.0, 1.0, 4.5), (0.0, 0.3, 0.2)]:
            table, t, s = cosine_table(mu, sigma, k), k * sigma, np.sin(k * mu) ** 2
            gain = (1 - s) * np.exp(-(t**2)) * (np.exp(-(t**2)) - 1 + t**2) + s * (
                np.exp(-(t**2) / 2) - np.exp(-2 * t**2)
            )
            assert table["independent"][1] - table["coupled"][1] == pytest.approx(2 / sigma**2 * gain, abs=1e-12)
            assert gain >= 0


def bell_table(mu, sigma, k):
    def d(c):
        return 1 + 2 * c * sigma**2

    def z(c):
        return d(c) ** -0.5 * np.exp(-c * mu**2 / d(c))

    a, b = (mu / d(2 * k) - mu) / sigma, d(2 * k) ** -0.5
    ak, bk = (mu / d(k) - mu) / sigma, d(k) ** -0.5
    e2, e3, e4 = a**2 + b**2, a**3 + 3 * a * b**2, a**4 + 6 * a**2 * b**2 + 3 * b**4
    z2, s2 = z(2 * k), sigma**2
    modulus = b * np.sqrt(2 / np.pi) * np.exp(-(a**2) / (2 * b**2)) + a * special.erf(a / (np.sqrt(2) * b))
    bend = special.erf(mu * np.sqrt(k / (d(k) * d(2 * k)))) - special.erf(mu * np.sqrt(k))
    r = bk**2 * z2 + ak * z(k) / (2 * sigma) * np.sqrt(np.pi / k) * bend
    gradient = np.array([z(k) * ak / sigma, z(k) * (ak**2 + bk**2 - 1) / sigma])
    seconds = {
        "pathwise": (
            4 * k**2 * z2 * (mu**2 + 2 * mu * sigma * a + s2 * e2),
            4 * k**2 * z2 * (mu**2 * e2 + 2 * mu * sigma * e3 + s2 * e4),
        ),
        "score_function": (z2 * e2 / s2, z2 * (e4 - 2 * e2 + 1) / s2),
        "measure_valued": (
            (np.sqrt(2 * np.pi) * z2 * modulus - 2 * np.exp(-2 * k * mu**2) / (1 + 4 * k * s2)) / (2 * np.pi * s2),
            (z2 * (e2 + 1) - 2 * r) / s2,
        ),
    }
    return gradient, {label: np.array(rows) - gradient**2 for label, rows in seconds.items()}


@pytest.mark.verifies("prop-bell-variances")
class TestBell:
    @pytest.mark.parametrize(("mu", "sigma", "k"), POINTS)
    def test_the_package_agrees_with_the_table(self, mu, sigma, k):
        def f(z):
            return tf.exp(-k * z**2)

        gradient, table = bell_table(mu, sigma, k)
        exact = gaussian.gradient(f, mu, sigma)
        assert (exact["loc"], exact["scale"]) == pytest.approx(tuple(gradient), rel=1e-7)
        for estimator, row in table.items():
            exact = gaussian.gradient_variance(f, mu, sigma, estimator)
            assert (exact["loc"], exact["scale"]) == pytest.approx(tuple(row), rel=1e-7)
            assert (exact["loc"], exact["scale"]) != pytest.approx(tuple(1.001 * row), rel=1e-7)

    @pytest.mark.parametrize(("mu", "sigma", "k"), POINTS)
    def test_brute_force_agrees_with_the_measure_valued_row(self, mu, sigma, k):
        brute = measured(bell(k), mu, sigma)["coupled"]
        assert brute == pytest.approx(tuple(bell_table(mu, sigma, k)[1]["measure_valued"]), rel=1e-6)

    def test_coupling_helps_for_the_scale_at_one_and_one(self):
        for k in np.geomspace(0.1, 10.0, 25):
            coupled, independent = (
                gaussian.gradient_variance(lambda z, k=k: tf.exp(-k * z**2), 1.0, 1.0, "measure_valued", coupled=c)
                for c in MEASURE.values()
            )
            assert coupled["scale"] < independent["scale"]


@pytest.mark.verifies("claim-measure-valued-wins")
class TestWhereItWins:
    @staticmethod
    def cosine_others(k):
        a, e, c = 2 * k, np.exp(-2 * k**2), np.cos(2 * k)
        g = np.array([k * np.sin(k), k**2 * np.cos(k)]) * np.exp(-(k**2) / 2)
        path = k**2 / 2 * np.array([1 - e * c, 1 - (1 - a**2) * e * c]) - g**2
        score = np.array([1 + (1 - a**2) * e * c, 2 + (a**4 - 4 * a**2 + 2) * e * c]) / 2 - g**2
        return path, score

    def test_the_wave(self):
        for k in np.linspace(0.5, 5.0, 2001):
            path, score = self.cosine_others(k)
            weak = np.array(cosine_table(1.0, 1.0, k)["coupled"])
            assert np.all(weak < path)
            assert np.all(weak <= score)

    def test_the_bell(self):
        crossing = {"path": (0.8700, 1.0028), "weak": 1.7299}
        for k in np.linspace(0.1, 10.0, 2001):
            _, table = bell_table(1.0, 1.0, k)
            path, score, weak = (table[e] for e in ("pathwise", "score_function", "measure_valued"))
            assert weak[0] < min(path[0], score[0])
            assert weak[1] < path[1]
            if abs(k - crossing["weak"]) > 1e-4:
                assert (weak[1] < score[1]) == (k < crossing["weak"])
            for i in range(2):
                if abs(k - crossing["path"][i]) > 1e-4:
                    assert (path[i] < score[i]) == (k < crossing["path"][i])

    def test_the_wave_and_the_score_function_for_every_mean_and_scale(self):
        for mu, sigma, k in [*POINTS, (1.0, 1.0, 4.5), (0.0, 0.3, 0.2)]:
            t, c = k * sigma, np.cos(2 * k * mu)
            e, s, g = np.exp(-2 * t**2) * c, np.sin(k * mu) ** 2, k * t * np.exp(-(t**2) / 2) * np.cos(k * mu)
            score = (2 + (16 * t**4 - 16 * t**2 + 2) * e) / (2 * sigma**2) - g**2
            gain = ((8 * t**4 - 6 * t**2 + 2) * e + 2 * s * np.exp(-(t**2) / 2)) / sigma**2
            assert score - cosine_table(mu, sigma, k)["coupled"][1] == pytest.approx(gain, abs=1e-12)
        t = np.linspace(1e-3, 8.0, 4001)
        p = 8 * t**4 - 6 * t**2 + 2
        assert np.all(p > 0)
        assert np.all(p <= 2 * np.exp(1.5 * t**2))
        assert not np.all(p <= 1.9 * np.exp(1.5 * t**2))

    @pytest.mark.parametrize(("family", "low", "high"), [("wave", 2.29, 4.14), ("bell", 1.42, np.inf)])
    def test_the_best_baseline_beats_it_for_the_scale_where_the_page_says(self, family, low, high):
        f = {"wave": lambda z, k: tf.cos(k * z), "bell": lambda z, k: tf.exp(-k * z**2)}[family]
        turns = [turn + h for turn in (low, high) if turn < np.inf for h in (-0.01, 0.01)]
        for k in [*np.arange(0.5, 5.1, 0.25), *turns]:
            at = partial(gaussian.gradient_variance, partial(f, k=k), 1.0, 1.0)
            best, weak = at("score_function", baseline="optimal"), at("measure_valued")
            assert best["loc"] > weak["loc"]
            assert (best["scale"] < weak["scale"]) == (low < k < high)


# One idea -----------------------------------------------------------------------------------------------------


@pytest.mark.verifies("prop-control-variate")
class TestControlVariate:
    def test_variance_of_every_multiple(self):
        # A = eps^2 + eps, C = eps: Var A = 3, Cov = 1, Var C = 1
        eps = normal(seed=9)
        r = 1 / np.sqrt(3)
        for b in (-0.5, 0.2, 0.7, 1.0, 1.9, 2.5):
            exact = (1 - r**2) * 3 + (b - 1) ** 2
            assert variance_agrees(eps**2 + eps - b * eps, exact)
            assert not variance_agrees(eps**2 + eps - b * eps, 1.1 * exact)
            assert (exact < 3) == (0 < b < 2)

    def test_the_best_baseline_is_the_slope_of_a_regression_on_the_score(self):
        mu, sigma, k = POINTS[1]
        for name, score in {"loc": lambda e: e / sigma, "scale": lambda e: (e**2 - 1) / sigma}.items():
            f = bell(k)
            cov = under(f=lambda e, s=score, f=f: f(mu + sigma * e) * s(e) ** 2, **NORMAL)
            spread = under(f=lambda e, s=score: s(e) ** 2, **NORMAL)
            plain = gaussian.gradient_variance(lambda z: tf.exp(-k * z**2), mu, sigma, "score_function")[name]
            best = gaussian.gradient_variance(
                lambda z: tf.exp(-k * z**2), mu, sigma, "score_function", baseline="optimal"
            )[name]
            assert best == pytest.approx(plain - cov**2 / spread, rel=1e-7)


@pytest.mark.verifies("prop-leave-one-out-variance")
class TestLeaveOneOut:
    n = 4
    mu, sigma = 0.4, 0.8

    def exact(self, name):
        """Variance of a sample, covariance of two, variance of the mean."""

        def f(z):
            return np.cos(2 * z)

        def score(z):
            e = (z - self.mu) / self.sigma
            return (e if name == "loc" else e**2 - 1) / self.sigma

        def mean(h):
            return under(f=lambda e: h(self.mu + self.sigma * e), **NORMAL)

        centre, g = mean(f), mean(lambda z: f(z) * score(z))
        fixed = mean(lambda z: (f(z) - centre) ** 2 * score(z) ** 2) - g**2
        extra = mean(lambda z: (f(z) - centre) ** 2) * mean(lambda z: score(z) ** 2) / (self.n - 1)
        single, covariance = fixed + extra, g**2 / (self.n - 1) ** 2
        return g, single, covariance, single / self.n + g**2 / (self.n * (self.n - 1))

    def samples(self):
        batch = {"loc": np.full(NUM_SAMPLES, self.mu), "scale": np.full(NUM_SAMPLES, self.sigma)}
        estimate = gradients.score_function(
            lambda z: tf.cos(2 * z), tfd.Normal, batch, self.n, seed=10, baseline="leave_one_out"
        )
        return {name: np.asarray(g).T for name, g in estimate.samples.items()}  # (repetitions, n)

    def test_mean_variance_and_covariance(self):
        for name, g in self.samples().items():
            mean, single, covariance, of_mean = self.exact(name)
            assert agree(g[:, 0], mean)
            assert variance_agrees(g[:, 0], single)
            assert agree((g[:, 0] - mean) * (g[:, 1] - mean), covariance)
            assert variance_agrees(g.mean(axis=1), of_mean)
            assert not variance_agrees(g.mean(axis=1), 1.2 * of_mean)

    def test_the_covariance_is_seen_where_it_is_large(self):
        # f = 10 z, n = 2: Cov = g^2 = 100, which is not 0 beyond chance
        eps = normal(2, seed=11)
        g = 10 * (eps - eps[:, ::-1]) * eps
        product = (g[:, 0] - 10) * (g[:, 1] - 10)
        assert agree(product, 100.0)
        assert not agree(product, 0.0)

    def test_the_package_has_the_variance_of_one_sample(self):
        exact = gaussian.gradient_variance(
            lambda z: tf.cos(2 * z),
            self.mu,
            self.sigma,
            "score_function",
            baseline="leave_one_out",
            num_samples=self.n,
        )
        for name, value in exact.items():
            assert value == pytest.approx(self.exact(name)[1], rel=1e-8)

    def test_the_mean_is_the_sample_covariance(self):
        f, s = normal(6, seed=12)[0], normal(6, seed=13)[0]
        mean = np.mean((f - (f.sum() - f) / 5) * s)
        assert mean == pytest.approx(np.cov(f, s)[0, 1])
        assert mean == pytest.approx(np.sum((f - f.mean()) * (s - s.mean())) / 5)


@pytest.mark.verifies("thm-coupling-even-odd")
class TestEvenAndOdd:
    @pytest.mark.parametrize("f", [np.exp, np.cos, np.abs, lambda z: np.where(z > 0.2, z, 0.0) ** 2])
    def test_the_variances_of_the_parts(self, f):
        mu, sigma = 0.6, 0.9

        def variance(sign):
            def part(w):
                return (f(mu + sigma * w) + sign * f(mu - sigma * w)) / 2

            first = under(f=part, **RAYLEIGH)
            return under(f=lambda w: part(w) ** 2, **RAYLEIGH) - first**2

        even, odd, brute = variance(1), variance(-1), measured(f, mu, sigma)
        assert brute["coupled"][0] == pytest.approx(2 * odd / (np.pi * sigma**2), rel=1e-5)
        assert brute["independent"][0] == pytest.approx((even + odd) / (np.pi * sigma**2), rel=1e-5)
        assert (brute["coupled"][0] < brute["independent"][0]) == (odd < even)

    def test_symmetric_antisymmetric_monotone(self):
        def variances(f, mu=0.7, sigma=1.2):
            return [
                gaussian.gradient_variance(f, mu, sigma, "measure_valued", coupled=c)["loc"] for c in MEASURE.values()
            ]

        assert variances(lambda z: tf.cos(z - 0.7))[0] == pytest.approx(0.0, abs=1e-9)
        coupled, independent = variances(lambda z: tf.sin(z - 0.7) + 3.0)
        assert coupled == pytest.approx(2 * independent)
        for f in (tf.exp, tf.atan, tf.nn.relu, step_at(0.3), lambda z: -(z**3)):
            coupled, independent = variances(f)
            assert coupled >= independent * (1 - 1e-9)


# Cost ---------------------------------------------------------------------------------------------------------


@pytest.mark.verifies("prop-variance-times-cost")
def test_variance_times_cost_decides_under_large_budgets():
    v, tau = 4.0, 3.0
    for budget in (3.5, 10.0, 100.0, 12_345.0):
        n = budget // tau
        assert v * tau <= budget * v / n <= v * tau * budget / (budget - tau)
    assert 1e9 * v / (1e9 // tau) == pytest.approx(v * tau)
    first, second = (10.0, 3.0), (6.0, 6.0)  # products 30 and 36; at 11 the rounding turns the order around
    at_eleven = [variance / (11 // cost) for variance, cost in ((10.0, 4.0), (6.0, 6.0))]
    assert [variance * cost for variance, cost in ((10.0, 4.0), (6.0, 6.0))] == [40.0, 36.0]
    assert at_eleven[0] < at_eleven[1]
    large = [variance / (1e6 // cost) for variance, cost in (first, second)]
    assert large[0] < large[1]


def diagonal(loc, scale):
    return tfd.MultivariateNormalDiag(loc, scale)


@pytest.mark.verifies("prop-measure-valued-lipschitz")
class TestLipschitz:
    def test_second_moments_are_bounded(self):
        slopes = np.array([0.5, 1.0, 3.0])
        params = {"loc": np.array([0.2, -1.0, 0.5]), "scale": np.array([0.3, 2.0, 1.0])}
        functions = {
            "linear": lambda z: tf.reduce_sum(z * slopes, axis=-1),
            "waves": lambda z: tf.reduce_sum(tf.abs(tf.sin(z)) * slopes, axis=-1),
            "norm": lambda z: tf.norm(z * slopes, axis=-1),
        }
        for f in functions.values():
            samples = gradients.measure_valued(f, diagonal, params, NUM_SAMPLES, seed=14).samples
            for name, bound in {"loc": 4 / np.pi, "scale": 1.0}.items():
                squares = np.asarray(samples[name]) ** 2
                error = squares.std(axis=0) / np.sqrt(NUM_SAMPLES)
                assert np.all(squares.mean(axis=0) <= bound * slopes**2 + quantile(100) * error)

    def test_a_linear_function_reaches_both_bounds(self):
        exact = gaussian.gradient_variance(lambda z: 3.0 * z, 0.4, 0.7, "measure_valued")
        assert exact["loc"] + 9.0 == pytest.approx(9.0 * 4 / np.pi)  # second moment: variance plus squared gradient
        assert exact["scale"] == pytest.approx(9.0)

    def test_independent_draws_break_the_bound_for_the_scale(self):
        assert gaussian.gradient_variance(lambda z: z, 0.4, 0.7, "measure_valued", coupled=False)["scale"] > 3.9


@pytest.mark.verifies("prop-cost-in-many-dimensions")
@pytest.mark.parametrize("dim", [1, 5])
class TestManyDimensions:
    sigma = 0.5

    def rows(self, dim):
        return {
            "score": (gradients.score_function, dim**2 / (2 * self.sigma**2) + 2 * dim + 8, 1),
            "baseline": (partial(gradients.score_function, baseline=dim / 2), 2 * dim + 8, 1),
            "measure-valued": (gradients.measure_valued, 1, 1 + dim),
            "differences": (gradients.finite_difference, 1, 1 + 2 * dim),
            "pathwise": (gradients.pathwise, 1, 1),
        }

    def test_variances_and_evaluations(self, dim):
        params = {"scale": np.full(dim, self.sigma)}

        def make(scale):
            return tfd.MultivariateNormalDiag(tf.fill(tf.shape(scale), tf.constant(0.5, tf.float64)), scale)

        for label, (estimator, variance, evaluations) in self.rows(dim).items():
            samples = estimator(lambda z: tf.reduce_sum(z, axis=-1), make, params, NUM_SAMPLES, seed=15).samples[
                "scale"
            ]
            assert variance_agrees(samples, variance), label
            assert not variance_agrees(samples, 1.2 * variance), label
            seen = []

            def counted(z, seen=seen):
                seen.append(z.shape[0])
                return tf.reduce_sum(z, axis=-1)

            if label != "differences" or dim == 1:  # its loop over the entries traces f once
                estimator(counted, make, params, 100, seed=16)
                assert sum(seen) == 100 * evaluations, label


def test_samples_needed_is_the_variance_over_the_squared_error():
    params = {"loc": np.float64(1.0), "scale": np.float64(1.0)}
    estimate = gradients.pathwise(square(3.0), tfd.Normal, params, NUM_SAMPLES, seed=17)
    needed = diagnostics.samples_needed(estimate, 0.1)
    assert needed["loc"] == pytest.approx(4 / 0.16, rel=0.1)
    assert needed["scale"] == pytest.approx(24 / 0.04, rel=0.1)


# Beside the statements ----------------------------------------------------------------------------------------


def test_the_symmetry_of_f_is_seen_at_the_scale_sigma():
    """For z^2 + 3z at 0 the odd part decides for small sigma, the even one for large; 4 sigma^2 = 9 Var W between."""
    turn = np.sqrt(9 * (2 - np.pi / 2) / 4)
    for sigma in (0.5 * turn, 0.99 * turn, 1.01 * turn, 3 * turn):
        coupled, independent = (
            gaussian.gradient_variance(lambda z: z**2 + 3 * z, 0.0, sigma, "measure_valued", coupled=c)["loc"]
            for c in MEASURE.values()
        )
        assert (coupled < independent) == (sigma > turn)


def test_measured_leave_one_out_seems_better_than_the_best_baseline_and_is_not():
    exact = {
        label: gaussian.gradient_variance(square(3.0), 1.0, 1.0, "score_function", **chosen)
        for label, chosen in {
            "loo": {"baseline": "leave_one_out", "num_samples": 20_000},
            "best": {"baseline": "optimal"},
        }.items()
    }
    assert (exact["best"]["loc"], exact["best"]["scale"]) == pytest.approx((38.0, 184.0))
    assert (exact["loo"]["loc"], exact["loo"]["scale"]) == pytest.approx((42.0, 216.0), rel=1e-4)


def test_the_weight_of_the_path_in_a_mixture_can_be_above_one_and_never_negative():
    eps_law = {"density": stats.norm.pdf, "low": -12.0, "high": 12.0}

    def mean(h):
        return under(f=h, **eps_law)

    def moments(f, slope):  # of path and score for the mean, at mu = sigma = 1
        g = mean(lambda e: slope(1 + e))
        return [
            mean(h) - g**2
            for h in (
                lambda e: slope(1 + e) ** 2,
                lambda e: (f(1 + e) * e) ** 2,
                lambda e: slope(1 + e) * f(1 + e) * e,
            )
        ]

    path, score, covariance = moments(square(3.0), lambda z: 2 * (z - 3))
    assert (path, score, covariance) == pytest.approx((4, 87, 14))
    weight = (score - covariance) / (path + score - 2 * covariance)
    assert weight == pytest.approx(73 / 63)
    mixed = weight**2 * path + (1 - weight) ** 2 * score + 2 * weight * (1 - weight) * covariance
    assert mixed == pytest.approx(2.41, abs=0.005)
    for f, slope in [(np.cos, lambda z: -np.sin(z)), (np.exp, np.exp), (square(3.0), lambda z: 2 * (z - 3))]:
        _, score, covariance = moments(f, slope)
        exact = -mean(lambda e, f=f: f(1 + e) ** 2 * (e**2 + 1)) / 2
        assert covariance - score == pytest.approx(exact, rel=1e-7)


# The case study -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def regression():
    data = datasets.breast_cancer()
    return BayesianLogisticRegression(data.x, data.y)


def mean_field(loc, log_scale):
    return tfd.MultivariateNormalDiag(loc, tf.exp(log_scale))


def test_a_step_of_the_case_study_takes_94_evaluations(regression):
    params = {"loc": np.zeros(31), "log_scale": np.zeros(31)}
    seen = []

    def f(w):
        seen.append(w.shape[0])
        return regression.log_likelihood(w, tf.range(32))

    gradients.measure_valued(f, mean_field, params, 5, seed=1)
    assert sum(seen) == 5 * 94


@pytest.mark.parametrize(
    ("baseline", "seed", "survives"),
    [(None, 0, False), ("leave_one_out", 2, False), ("leave_one_out", 0, True)],
    ids=["plain", "leave one out", "leave one out, the seed that survives"],
)
def test_with_five_samples_the_score_function_diverges_nearly_always(regression, baseline, seed, survives):
    trace = fit(regression, partial(gradients.score_function, baseline=baseline), 5, seed=seed)
    assert trace.diverged != survives
    if survives:
        assert regression.optimum().elbo - trace.elbo[-1] == pytest.approx(3.0, abs=1.0)
    else:
        assert trace.diverged_at < 20
