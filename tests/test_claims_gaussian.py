"""Every labelled statement of the chapter "The Gaussian case".

Statistical comparisons are z-tests against exact answers. There are fewer than 100 of them, each with a
false-alarm rate of 1e-6, so that a right implementation fails this file with a probability below 1e-4 over
seeds; the seeds are fixed. Each kind has a twin with a planted error that the same test must reject.
"""

import numpy as np
import pytest
import tensorflow as tf
from calibration import agree, assert_law, quantile, variance_agrees
from scipy import integrate, optimize, special, stats
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import datasets, gaussian, gradients, reparameterize

NUM_SAMPLES = 40_000
ESTIMATORS = {"pathwise": gradients.pathwise, "score_function": gradients.score_function}
SMOOTH = {
    "square": lambda z: (z - 3.0) ** 2,
    "cosine": lambda z: tf.cos(2.0 * z),
    "exponential": lambda z: tf.exp(0.5 * z),
    "softplus": tf.nn.softplus,
}
KINKED = {"relu": tf.nn.relu, "modulus": lambda z: tf.abs(z - 0.3)}
POINTS = [(1.0, 0.5), (-0.4, 1.3)]


def noise(*shape, seed):
    return reparameterize(tfd.Normal(np.float64(0), np.float64(1))).sample([NUM_SAMPLES, *shape], seed=seed).numpy()


def parameters(mu, sigma):
    return {"loc": np.float64(mu), "scale": np.float64(sigma)}


def slope(f):
    """f' by automatic differentiation."""

    def derivative(z):
        z = tf.convert_to_tensor(z)
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = f(z)
        return tape.gradient(value, z)

    return derivative


def difference(function, x, h=1e-4):
    """A central difference."""
    return (function(x + h) - function(x - h)) / (2 * h)


@pytest.mark.verifies("thm-gaussian-pathwise-gradients")
class TestPathwiseGradients:
    @pytest.mark.parametrize(("mu", "sigma"), POINTS)
    @pytest.mark.parametrize("f", (SMOOTH | KINKED).values(), ids=SMOOTH | KINKED)
    def test_the_samples_have_the_exact_gradient_as_mean(self, f, mu, sigma):
        samples = gradients.pathwise(f, tfd.Normal, parameters(mu, sigma), NUM_SAMPLES, seed=11).samples
        exact = gaussian.gradient(f, mu, sigma)
        for name in exact:
            assert agree(samples[name], exact[name])

    def test_a_forgotten_factor_eps_is_rejected(self):
        f, (mu, sigma) = SMOOTH["cosine"], POINTS[0]
        samples = gradients.pathwise(f, tfd.Normal, parameters(mu, sigma), NUM_SAMPLES, seed=11).samples
        assert not agree(samples["loc"], gaussian.gradient(f, mu, sigma)["scale"])

    def test_a_jump_breaks_the_condition_and_the_result(self):
        def jump(z):
            return tf.cast(z > 0, z.dtype) + 0.0 * z

        samples = gradients.pathwise(jump, tfd.Normal, parameters(0.5, 1.0), 1000, seed=11).samples
        assert not np.any(samples["loc"])
        assert gaussian.gradient(jump, 0.5, 1.0)["loc"] == pytest.approx(stats.norm.pdf(0.5))

    def test_the_variance_can_be_infinite_within_the_condition(self):
        growth = 0.3  # between 1/4 and 1/2 at sigma = 1
        assert gaussian.gradient(lambda z: tf.exp(growth * z**2), 0.5, 1.0)["loc"] > 0
        with pytest.raises(ValueError, match="converge"):
            gaussian.gradient_variance(lambda z: tf.exp(growth * z**2), 0.5, 1.0, "pathwise")


@pytest.mark.verifies("lem-stein")
@pytest.mark.parametrize(("mu", "sigma"), POINTS)
@pytest.mark.parametrize("f", (SMOOTH | KINKED).values(), ids=SMOOTH | KINKED)
def test_stein_lemma_by_quadrature(f, mu, sigma):
    def eps(z):
        return (z - mu) / sigma

    first = gaussian.expectation(lambda z: f(z) * eps(z), mu, sigma)
    assert first == pytest.approx(sigma * gaussian.expectation(slope(f), mu, sigma), abs=1e-7)
    second = gaussian.expectation(lambda z: f(z) * (eps(z) ** 2 - 1), mu, sigma)
    along = gaussian.expectation(lambda z: slope(f)(z) * eps(z), mu, sigma)
    assert second == pytest.approx(sigma * along, abs=1e-7)
    assert not abs(second - along / sigma) < 1e-4 or abs(along) < 1e-4  # sigma upside down


@pytest.mark.verifies("thm-bonnet-price")
class TestBonnetPrice:
    @pytest.mark.parametrize(("mu", "sigma"), POINTS)
    @pytest.mark.parametrize("f", SMOOTH.values(), ids=SMOOTH)
    def test_one_dimension_by_quadrature(self, f, mu, sigma):
        curvature = gaussian.expectation(slope(slope(f)), mu, sigma)
        exact = gaussian.gradient(f, mu, sigma)
        assert curvature / 2 == pytest.approx(exact["scale"] / (2 * sigma), abs=1e-8)
        assert gaussian.expectation(slope(f), mu, sigma) == pytest.approx(exact["loc"], abs=1e-8)

    def test_several_dimensions_with_the_convention_of_symmetric_matrices(self):
        # f = exp(w.z): E f = exp(w.mu + w'Sigma w / 2), Hessian w w' f
        w, mu = np.array([0.4, -0.7, 0.2]), np.array([0.1, 0.2, -0.3])
        sigma = np.array([[1.0, 0.3, 0.1], [0.3, 0.8, -0.2], [0.1, -0.2, 0.5]])

        def expectation(t, direction):
            return np.exp(w @ mu + w @ (sigma + t * direction) @ w / 2)

        hessian = np.outer(w, w) * expectation(0.0, 0 * sigma)
        pair = np.zeros((3, 3))
        pair[0, 1] = pair[1, 0] = 1.0  # both entries as one parameter
        by_pair = difference(lambda t: expectation(t, pair), 0.0)
        assert by_pair == pytest.approx(np.trace(hessian @ pair) / 2)
        assert by_pair == pytest.approx(hessian[0, 1])
        assert by_pair != pytest.approx(hessian[0, 1] / 2)  # the half belongs to the trace

    def test_several_dimensions_by_samples(self):
        tril = np.array([[1.0, 0.0], [0.5, 0.8]])
        eps = noise(2, seed=12)
        z = eps @ tril.T
        # f = sin(z_0) z_1^2: along Sigma_{01} = Sigma_{10}, Price says E d_0 d_1 f
        price = 2 * np.cos(z[:, 0]) * z[:, 1]
        inverse = np.linalg.inv(tril)
        scores = z @ (inverse.T @ inverse)  # Sigma^-1 (z - mu)
        by_score = np.sin(z[:, 0]) * z[:, 1] ** 2 * (scores[:, 0] * scores[:, 1] - (inverse.T @ inverse)[0, 1])
        assert agree(price - by_score, 0.0)
        assert not agree(price + 0.2 - by_score, 0.0)
        # along mu, Bonnet says E grad f
        bonnet = np.stack([np.cos(z[:, 0]) * z[:, 1] ** 2, 2 * np.sin(z[:, 0]) * z[:, 1]], axis=1)
        by_score = (np.sin(z[:, 0]) * z[:, 1] ** 2)[:, None] * scores
        assert agree(bonnet - by_score, 0.0)
        for shift in np.diag([0.2, 0.2]):
            assert not agree(bonnet + shift - by_score, 0.0)


@pytest.mark.verifies("claim-relu-second-order")
class TestRelu:
    mu, sigma = 0.5, 0.8

    def test_the_closed_forms(self):
        r, s = self.mu / self.sigma, self.sigma
        exact = gaussian.gradient(tf.nn.relu, self.mu, s)
        assert gaussian.expectation(tf.nn.relu, self.mu, s) == pytest.approx(
            self.mu * stats.norm.cdf(r) + s * stats.norm.pdf(r)
        )
        assert exact["loc"] == pytest.approx(stats.norm.cdf(r))
        assert exact["scale"] == pytest.approx(stats.norm.pdf(r))
        curvature = difference(lambda m: gaussian.gradient(tf.nn.relu, m, s)["loc"], self.mu)
        assert curvature == pytest.approx(stats.norm.pdf(r) / s, rel=1e-5)
        assert exact["scale"] / (2 * s) == pytest.approx(curvature / 2, rel=1e-5)

    def test_the_second_derivative_on_the_path_is_zero_and_the_mixed_estimator_is_right(self):
        eps = noise(seed=13)
        mu = tf.constant(self.mu, tf.float64)
        with tf.GradientTape() as outer:
            outer.watch(mu)
            with tf.GradientTape() as inner:
                inner.watch(mu)
                value = tf.reduce_sum(tf.nn.relu(mu + self.sigma * eps))
            first = inner.gradient(value, mu)
        second = outer.gradient(first, mu, unconnected_gradients="zero")
        assert float(second) == 0.0
        truth = stats.norm.pdf(self.mu / self.sigma) / self.sigma
        mixed = (self.mu + self.sigma * eps > 0) * eps / self.sigma
        assert agree(mixed, truth)
        assert not agree(mixed * self.sigma, truth)

    def test_price_estimator_is_zero_and_wrong(self):
        price = slope(slope(tf.nn.relu))(tf.constant(self.mu + self.sigma * noise(seed=13))).numpy() / 2
        assert not price.any()
        truth = gaussian.gradient(tf.nn.relu, self.mu, self.sigma)["scale"] / (2 * self.sigma)
        assert not agree(price, truth)
        smooth = slope(slope(tf.nn.softplus))(tf.constant(self.mu + self.sigma * noise(seed=13))).numpy() / 2
        assert agree(smooth, gaussian.gradient(tf.nn.softplus, self.mu, self.sigma)["scale"] / (2 * self.sigma))


@pytest.mark.verifies("prop-scale-chain-rule")
@pytest.mark.parametrize("rho", [-6.0, -1.0, 0.5, 3.0, 20.0])
@pytest.mark.parametrize(
    ("to_scale", "factor"),
    [(tf.exp, lambda s: s), (tf.nn.softplus, lambda s: -np.expm1(-s))],
    ids=["exp", "softplus"],
)
def test_chain_factors(to_scale, factor, rho):
    rho = tf.constant(rho, tf.float64)
    sigma = float(to_scale(rho))
    assert float(slope(to_scale)(rho)) == pytest.approx(factor(sigma), rel=1e-12)

    def family(loc, rho):
        return tfd.Normal(loc, to_scale(rho))

    params = {"loc": np.float64(1.0), "rho": rho}
    f = SMOOTH["cosine"]
    if rho < 4:
        exact = gaussian.gradient(f, 1.0, sigma)["scale"] * factor(sigma)
        samples = gradients.pathwise(f, family, params, NUM_SAMPLES, seed=14).samples["rho"]
        assert agree(samples, exact)
        assert not agree(samples + 0.1 * np.std(samples), exact)


@pytest.mark.verifies("prop-scale-chain-rule")
def test_chain_factors_agree_for_small_scales_and_part_for_large_ones():
    small, large = 1e-6, 50.0
    assert -np.expm1(-small) / small == pytest.approx(1.0, abs=1e-6)
    assert -np.expm1(-large) == pytest.approx(1.0)


@pytest.mark.verifies("prop-scale-conditioning")
@pytest.mark.parametrize("tau", [0.1, 1.0, 10.0])
def test_curvature_at_the_optimum(tau):
    cases = [
        (tf.identity, tau, 2 / tau**2),
        (tf.nn.softplus, np.log(np.expm1(tau)), 2 * np.expm1(-tau) ** 2 / tau**2),
        (tf.exp, np.log(tau), 2.0),
    ]
    for to_scale, optimum, curvature in cases:

        def kl(rho, to_scale=to_scale):
            ratio = to_scale(rho) / tau
            return ratio**2 / 2 - tf.math.log(ratio)

        at = tf.constant(optimum, tf.float64)
        assert float(slope(kl)(at)) == pytest.approx(0.0, abs=1e-9)
        assert float(slope(slope(kl))(at)) == pytest.approx(curvature, rel=1e-8)
        rho = at + 1e-5
        for rate, factor in ((0.3, 0.7), (2.2, -1.2)):  # the second beyond 2: the distance changes sign and grows
            moved = rho - rate / curvature * slope(kl)(rho)
            assert float(moved - at) == pytest.approx(factor * 1e-5, rel=1e-3)


def square_variances(mu, sigma, k):
    d = mu - k
    return {
        "pathwise": (4 * sigma**2, 4 * d**2 + 8 * sigma**2),
        "score_function": (
            d**4 / sigma**2 + 14 * d**2 + 15 * sigma**2,
            2 * d**4 / sigma**2 + 60 * d**2 + 74 * sigma**2,
        ),
    }


@pytest.mark.verifies("prop-quadratic-variances")
@pytest.mark.parametrize(("mu", "sigma", "k"), [(1.0, 0.5, 3.0), (0.0, 1.0, 0.0), (-1.0, 2.0, 0.5)])
class TestVariancesForASquare:
    def test_against_quadrature(self, mu, sigma, k):
        for estimator, row in square_variances(mu, sigma, k).items():
            exact = gaussian.gradient_variance(lambda z: (z - k) ** 2, mu, sigma, estimator)
            assert row == pytest.approx((exact["loc"], exact["scale"]), rel=1e-8)

    def test_against_samples(self, mu, sigma, k):
        for estimator, row in square_variances(mu, sigma, k).items():
            made = ESTIMATORS[estimator](
                lambda z: (z - k) ** 2, tfd.Normal, parameters(mu, sigma), NUM_SAMPLES, seed=15
            )
            for name, exact in zip(("loc", "scale"), row, strict=True):
                assert variance_agrees(made.samples[name], exact)
                assert not variance_agrees(1.5 * np.asarray(made.samples[name]), exact)

    def test_with_the_best_baseline(self, mu, sigma, k):
        d = mu - k
        rest = {
            "loc": (d**2 + 3 * sigma**2, 8 * d**2 + 6 * sigma**2),
            "scale": (d**2 + 5 * sigma**2, 40 * d**2 + 24 * sigma**2),
        }
        for name, (baseline, variance) in rest.items():
            exact = gaussian.gradient_variance(lambda z, b=baseline: (z - k) ** 2 - b, mu, sigma, "score_function")
            assert exact[name] == pytest.approx(variance, rel=1e-8)
        pathwise = square_variances(mu, sigma, k)["pathwise"]
        assert pathwise[0] < rest["loc"][1]
        assert pathwise[1] < rest["scale"][1]


@pytest.mark.verifies("prop-gaussian-optimal-baselines")
@pytest.mark.parametrize("f", (SMOOTH | KINKED).values(), ids=SMOOTH | KINKED)
def test_best_baselines(f):
    mu, sigma = 0.3, 0.7

    def eps(z):
        return (z - mu) / sigma

    weights = {"loc": (lambda z: eps(z) ** 2, 1.0), "scale": (lambda z: (eps(z) ** 2 - 1) ** 2 / 2, 2.0)}
    for name, (weight, fisher) in weights.items():
        best = gaussian.expectation(lambda z, w=weight: f(z) * w(z), mu, sigma)

        def variance(b, name=name):
            return gaussian.gradient_variance(lambda z: f(z) - b, mu, sigma, "score_function")[name]

        found = optimize.minimize_scalar(variance).x
        assert found == pytest.approx(best, abs=1e-5)
        assert variance(0.0) - variance(best) == pytest.approx(fisher * (best / sigma) ** 2, abs=1e-7)
        assert variance(gaussian.expectation(f, mu, sigma)) > variance(best)


def cosine_variances(k, mu, sigma):
    a, c = 2 * k * sigma, np.cos(2 * k * mu)
    damping, e = np.exp(-((k * sigma) ** 2) / 2), np.exp(-(a**2) / 2)
    by_mu, by_sigma = -k * damping * np.sin(k * mu), -(k**2) * sigma * damping * np.cos(k * mu)
    return {
        "pathwise": (k**2 / 2 * (1 - e * c) - by_mu**2, k**2 / 2 * (1 - (1 - a**2) * e * c) - by_sigma**2),
        "score_function": (
            (1 + (1 - a**2) * e * c) / (2 * sigma**2) - by_mu**2,
            (2 + (a**4 - 4 * a**2 + 2) * e * c) / (2 * sigma**2) - by_sigma**2,
        ),
        "gradient": (by_mu, by_sigma),
    }


@pytest.mark.verifies("prop-cosine-variances")
class TestVariancesForACosine:
    @pytest.mark.parametrize("k", [0.3, 1.0, 2.5])
    @pytest.mark.parametrize(("mu", "sigma"), [(1.0, 1.0), (-0.4, 0.6)])
    def test_against_quadrature(self, k, mu, sigma):
        def f(z):
            return tf.cos(k * z)

        formulas = cosine_variances(k, mu, sigma)
        exact = gaussian.gradient(f, mu, sigma)
        assert formulas["gradient"] == pytest.approx((exact["loc"], exact["scale"]), abs=1e-9)
        for estimator in ESTIMATORS:
            exact = gaussian.gradient_variance(f, mu, sigma, estimator)
            assert formulas[estimator] == pytest.approx((exact["loc"], exact["scale"]), abs=1e-8)

    def test_against_samples(self):
        for estimator, make in ESTIMATORS.items():
            row = cosine_variances(2.5, 1.0, 1.0)[estimator]
            made = make(lambda z: tf.cos(2.5 * z), tfd.Normal, parameters(1.0, 1.0), NUM_SAMPLES, seed=16)
            for name, exact in zip(("loc", "scale"), row, strict=True):
                assert variance_agrees(made.samples[name], exact)
                assert not variance_agrees(made.samples[name], 1.25 * exact)

    @pytest.mark.parametrize("sigma", [0.5, 2.0])
    def test_the_ratio_at_high_frequency(self, sigma):
        k = 30.0 / sigma
        rows = cosine_variances(k, 0.7, sigma)
        by_mu, by_sigma = (
            p / s / (k * sigma) ** 2 for p, s in zip(rows["pathwise"], rows["score_function"], strict=True)
        )
        assert by_mu == pytest.approx(1.0, abs=1e-6)
        assert by_sigma == pytest.approx(0.5, abs=1e-6)


@pytest.mark.verifies("claim-cosine-crossover")
def test_there_is_one_crossing_and_it_is_where_the_page_says():
    k = np.arange(0.005, 5.001, 0.005)
    rows = [cosine_variances(x, 1.0, 1.0) for x in k]
    for i, crossing in enumerate((1.0638, 1.2973)):
        wins = np.array([row["pathwise"][i] < row["score_function"][i] for row in rows])
        assert np.array_equal(wins, k < crossing)
        below, above = (cosine_variances(crossing + h, 1.0, 1.0) for h in (-1e-4, 1e-4))
        assert below["pathwise"][i] < below["score_function"][i]
        assert above["pathwise"][i] > above["score_function"][i]


@pytest.mark.verifies("prop-lipschitz-variance")
class TestLipschitzBound:
    functions = (  # each with the Lipschitz constant 1
        lambda z: tf.norm(z, axis=-1),
        lambda z: tf.reduce_sum(tf.sin(z), -1) / z.shape[-1] ** 0.5,
        lambda z: tf.reduce_max(z, axis=-1),
    )

    @pytest.mark.parametrize("d", [1, 8, 128])
    def test_a_diagonal_matrix(self, d):
        eps = noise(d, seed=17)[:5000]
        scale = np.linspace(0.5, 2.0, d)
        z = tf.constant(0.3 + scale * eps)
        for f in self.functions:
            slopes = slope(f)(z).numpy()
            assert np.mean(np.sum(slopes**2, axis=1)) <= 1 + 1e-9
            assert slopes.var(axis=0).sum() <= 1
            by_scale = (slopes * eps).var(axis=0)
            assert by_scale.max() <= 1 + quantile(100) * np.sqrt(2 / 5000)
            assert by_scale.sum() <= 4 * np.log(d) + 2 * np.log(2)

    @pytest.mark.parametrize("d", [2, 8])
    def test_a_full_matrix(self, d):
        a = np.eye(d) + np.random.default_rng(3).normal(size=(d, d))
        eps = noise(d, seed=25)[:5000]
        mu = tf.fill(eps.shape, np.float64(0.3))  # a copy for each sample
        for f in self.functions:
            by_mu = slope(lambda mu, f=f: f(mu + eps @ a.T))(mu).numpy()
            assert np.mean(np.sum(by_mu**2, axis=1)) <= 1 + 1e-9
            assert by_mu.var(axis=0).sum() <= 1
            by_eps = slope(lambda eps, f=f: f(mu + eps @ a.T))(tf.constant(eps)).numpy()
            assert np.allclose(by_eps, by_mu @ a)
            assert np.mean(np.sum(by_eps**2, axis=1)) > 1  # the gradient for the noise is not bounded so

    @pytest.mark.parametrize("d", [1, 2, 10, 1000])
    def test_the_bound_on_the_largest_square(self, d):
        # E max eps^2 = integral of P(max eps^2 > x)
        exact = integrate.quad(lambda x: -np.expm1(d * np.log1p(-stats.chi2.sf(x, 1))), 0, np.inf, limit=200)[0]
        assert exact <= 4 * np.log(d) + 2 * np.log(2)

    def test_the_score_function_has_no_such_bound(self):
        totals = []
        for d in (1, 16, 64):
            eps = noise(d, seed=18)[:8000]
            f = np.sin(eps).sum(axis=1) / d**0.5
            totals.append((f[:, None] * eps).var(axis=0).sum())
        assert totals[2] > 16
        assert totals[0] < 1


@pytest.mark.verifies("prop-square-roots")
class TestSquareRoots:
    covariance = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 0.5]])

    def test_every_rotated_factor_is_a_square_root_and_gives_the_law(self):
        lower = np.linalg.cholesky(self.covariance)
        rotation = stats.ortho_group.rvs(3, random_state=1)
        symmetric = np.real(np.asarray(tf.linalg.sqrtm(self.covariance)))
        for root in (lower, lower @ rotation, symmetric):
            assert np.allclose(root @ root.T, self.covariance)
            quotient = np.linalg.solve(lower, root)
            assert np.allclose(quotient @ quotient.T, np.eye(3))
            z = noise(3, seed=19) @ root.T
            direction = np.array([0.5, -1.0, 2.0])
            standardised = z @ direction / np.sqrt(direction @ self.covariance @ direction)
            assert_law(standardised, stats.norm.cdf, shared_among=100)
            with pytest.raises(AssertionError):
                assert_law(1.1 * standardised, stats.norm.cdf, shared_among=100)

    def test_only_one_is_lower_triangular_with_a_positive_diagonal(self):
        lower = np.linalg.cholesky(self.covariance)
        for signs in np.ndindex(2, 2, 2):
            other = lower * (1 - 2 * np.array(signs))
            assert np.allclose(other @ other.T, self.covariance)  # lower triangular, all of them
            assert (np.diag(other) > 0).all() == (sum(signs) == 0)


@pytest.mark.verifies("prop-cholesky-gradient")
class TestCholeskyGradient:
    tril = np.array([[1.0, 0.0], [0.5, 0.8]])
    b = np.array([[2.0, -1.0], [-1.0, 1.0]])

    def samples(self):
        def f(z):
            return tf.einsum("...i,ij,...j->...", z, self.b, z)

        params = {"loc": np.array([0.3, -0.2]), "scale_tril": self.tril}
        return gradients.pathwise(f, tfd.MultivariateNormalTriL, params, NUM_SAMPLES, seed=20).samples["scale_tril"]

    def test_it_is_the_lower_triangle(self):
        samples = self.samples().numpy()
        assert not samples[:, 0, 1].any()
        assert agree(samples, np.tril(2 * self.b @ self.tril))

    def test_the_transposed_gradient_is_rejected(self):
        assert not agree(self.samples(), np.tril((2 * self.b @ self.tril).T))

    def test_each_sample_is_the_outer_product(self):
        loc = np.array([0.3, -0.2])
        r = reparameterize(tfd.MultivariateNormalTriL(tf.constant(loc), tf.constant(self.tril)))
        eps = r.noise.sample(7, seed=21)
        tril = tf.constant(self.tril)
        with tf.GradientTape() as tape:
            tape.watch(tril)
            z = reparameterize(tfd.MultivariateNormalTriL(tf.constant(loc), tril)).transform(eps)
            value = tf.reduce_sum(tf.sin(z[:, 0]) * z[:, 1])
        slopes = np.stack([np.cos(z[:, 0]) * z[:, 1], np.sin(z[:, 0])], axis=1)
        assert np.allclose(tape.gradient(value, tril), np.tril(slopes.T @ eps.numpy()))

    def test_fill_scale_tril_gives_a_cholesky_factor(self):
        factor = tfb.FillScaleTriL().forward(tf.constant([-5.0, 3.0, -2.0, 1.0, 0.0, -9.0])).numpy()
        assert not np.triu(factor, 1).any()
        assert (np.diag(factor) > 0).all()


@pytest.mark.verifies("prop-log-normal-mean-gradient")
def test_log_normal_mean_gradients_and_their_variances():
    mu, sigma = 0.2, 0.5
    mean = np.exp(mu + sigma**2 / 2)
    exact = {"loc": mean, "scale": sigma * mean}
    grown = np.exp(sigma**2)
    variances = {"loc": mean**2 * (grown - 1), "scale": mean**2 * ((1 + 4 * sigma**2) * grown - sigma**2)}
    samples = gradients.pathwise(lambda z: z, tfd.LogNormal, parameters(mu, sigma), NUM_SAMPLES, seed=22).samples
    by_quadrature = gaussian.gradient_variance(tf.exp, mu, sigma, "pathwise")
    for name in exact:
        assert agree(samples[name], exact[name])
        assert not agree(samples[name], exact[name] * np.exp(-(sigma**2) / 2))  # the median for the mean
        assert variances[name] == pytest.approx(by_quadrature[name], rel=1e-8)


@pytest.mark.verifies("thm-gaussian-kl")
class TestKl:
    m, n = np.array([0.3, -1.0]), np.array([0.0, 0.5])
    s, t = np.array([[1.0, 0.4], [0.4, 0.7]]), np.array([[2.0, -0.5], [-0.5, 1.5]])

    def formula(self):
        inverse = np.linalg.inv(self.t)
        shift = self.n - self.m
        log_ratio = np.log(np.linalg.det(self.t) / np.linalg.det(self.s))
        return (np.trace(inverse @ self.s) + shift @ inverse @ shift - 2 + log_ratio) / 2

    def test_against_tfp_and_samples(self):
        q = tfd.MultivariateNormalTriL(self.m, np.linalg.cholesky(self.s))
        p = tfd.MultivariateNormalTriL(self.n, np.linalg.cholesky(self.t))
        assert self.formula() == pytest.approx(float(tfd.kl_divergence(q, p)))
        z = reparameterize(q).sample(NUM_SAMPLES, seed=23)
        samples = (q.log_prob(z) - p.log_prob(z)).numpy()
        assert agree(samples, self.formula())
        assert not agree(samples, float(tfd.kl_divergence(p, q)))

    def test_one_dimension_and_the_standard_normal(self):
        mu, sigma = np.array([0.3, -2.0]), np.array([0.5, 1.7])
        standard = np.sum(sigma**2 + mu**2 - 1 - np.log(sigma**2)) / 2
        assert float(tf.reduce_sum(gaussian.kl_divergence(mu, sigma, 0.0, 1.0))) == pytest.approx(standard)
        by_definition = gaussian.expectation(
            lambda z: (
                tfd.Normal(mu[0], sigma[0]).log_prob(z) - tfd.Normal(np.float64(0.4), np.float64(2.0)).log_prob(z)
            ),
            mu[0],
            sigma[0],
        )
        assert float(gaussian.kl_divergence(mu[0], sigma[0], 0.4, 2.0)) == pytest.approx(by_definition)


class Regression:
    """The regression of the page, small enough for exact linear algebra."""

    def __init__(self):
        data = datasets.diabetes(["bmi", "bp", "s1", "s2", "s5"])
        self.x, self.y, self.s = data.x, data.y, 0.7
        self.precision = np.eye(5) + self.x.T @ self.x / self.s**2
        self.mean = np.linalg.solve(self.precision, self.x.T @ self.y / self.s**2)
        self.posterior = tfd.MultivariateNormalTriL(self.mean, np.linalg.cholesky(np.linalg.inv(self.precision)))
        self.prior = tfd.MultivariateNormalDiag(np.zeros(5), np.ones(5))
        marginal = self.x @ self.x.T + self.s**2 * np.eye(len(self.y))
        self.log_evidence = stats.multivariate_normal(np.zeros(len(self.y)), marginal).logpdf(self.y)

    def log_likelihood(self, w):
        return stats.norm(0, self.s).logpdf(self.y - np.asarray(w) @ self.x.T).sum(axis=-1)

    def elbo(self, q):
        """In closed form: E |y - Xw|^2 = |y - Xm|^2 + tr(X S X')."""
        m, covariance = q.mean().numpy(), q.covariance().numpy()
        spread = np.einsum("ni,ij,nj->", self.x, covariance, self.x) / (2 * self.s**2)
        return self.log_likelihood(m) - spread - float(tfd.kl_divergence(q, self.prior))


@pytest.fixture(scope="module")
def regression():
    return Regression()


@pytest.mark.verifies("prop-conjugate-regression")
def test_the_posterior_and_the_evidence_satisfy_bayes_rule_everywhere(regression):
    for w in np.random.default_rng(0).normal(size=(5, 5)):
        joint = regression.log_likelihood(w) + float(regression.prior.log_prob(w))
        product = regression.log_evidence + float(regression.posterior.log_prob(w))
        assert joint == pytest.approx(product, rel=1e-9)
    assert regression.log_evidence == pytest.approx(-490.48, abs=0.005)


@pytest.mark.verifies("def-elbo")
def test_the_elbo_by_samples_is_the_elbo_in_closed_form(regression):
    q = tfd.MultivariateNormalDiag(regression.mean, np.full(5, 0.05))
    w = reparameterize(q).sample(4000, seed=24)
    kl = q.log_prob(w) - regression.prior.log_prob(w)
    samples = regression.log_likelihood(w) - kl.numpy()
    assert agree(samples, regression.elbo(q))
    assert not agree(samples + kl.numpy(), regression.elbo(q))  # the KL forgotten


@pytest.mark.verifies("prop-elbo-gap")
def test_the_gap_is_the_divergence_to_the_posterior(regression):
    rng = np.random.default_rng(1)
    for _ in range(5):
        loc = regression.mean + 0.1 * rng.normal(size=5)
        tril = 0.05 * (np.eye(5) + np.tril(rng.normal(size=(5, 5)), -1) / 3)
        q = tfd.MultivariateNormalTriL(loc, tril)
        gap = regression.log_evidence - regression.elbo(q)
        assert gap == pytest.approx(float(tfd.kl_divergence(q, regression.posterior)), rel=1e-7)
        assert gap > 0
    assert regression.elbo(regression.posterior) == pytest.approx(regression.log_evidence, abs=1e-7)


@pytest.mark.verifies("prop-mean-field-gap")
class TestMeanField:
    def test_the_optimum_by_direct_optimisation(self, regression):
        precision = regression.precision

        def gap(p):
            q = tfd.MultivariateNormalDiag(tf.constant(p[:5]), tf.exp(tf.constant(p[5:])))
            return float(tfd.kl_divergence(q, regression.posterior))

        optimum = np.concatenate([regression.mean, -np.log(np.diag(precision)) / 2])
        formula = (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2
        assert gap(optimum) == pytest.approx(formula, abs=1e-9)
        rng = np.random.default_rng(2)
        assert all(gap(optimum + 0.02 * rng.normal(size=10)) > formula for _ in range(50))

    def test_the_gap_vanishes_only_for_a_diagonal_and_variances_are_too_small(self, regression):
        def gap(precision):
            return (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2

        assert gap(np.diag([1.0, 3.0, 0.2])) == pytest.approx(0.0, abs=1e-12)
        assert gap(np.array([[1.0, 0.1], [0.1, 1.0]])) > 0
        assert (1 / np.diag(regression.precision) <= np.diag(np.linalg.inv(regression.precision))).all()


def test_rounding_of_exp_and_softplus_far_below_zero():
    """The page's floor: both are 0 in float32 at rho = -110."""
    rho = tf.constant(-110.0)
    assert tf.exp(rho) == 0
    assert tf.nn.softplus(rho) == 0
    assert special.log1p(np.exp(-110.0)) > 0  # not so in exact arithmetic
