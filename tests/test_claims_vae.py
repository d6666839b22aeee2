"""Every labelled statement of the chapter "Variational autoencoders".

Exact statements are compared with quadrature, enumeration or numerical optimisation that share no formula with them.
Statistical comparisons are z-tests against exact answers; there are fewer than 100, each with a false-alarm rate of
1e-6, so that a right implementation fails this file with a probability below 1e-4 over seeds; the seeds are fixed. Each
kind has a twin with a planted error.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from calibration import agree, variance_agrees
from scipy import integrate, optimize, special, stats
from tensorflow_probability import distributions as tfd

import companion
from companion import bounds, gaussian
from companion.probabilistic_pca import ProbabilisticPCA, eigenvalues, mean_log_likelihood

NUM_SAMPLES = 20_000
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(120)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def difference(f, x, h=1e-5):
    return (f(x + h) - f(x - h)) / (2 * h)


# One latent, three binary pixels: a posterior that is not Gaussian --------------------------------------------------

SLOPES, OFFSETS, PIXELS = np.array([2.0, -1.0, 0.5]), np.array([0.3, 0.1, -0.8]), np.array([1.0, 0.0, 1.0])
LOC, SCALE = 0.4, 0.7


def pixel_log_joint(z, slopes=SLOPES):
    """log p(x, z) for z of any shape, in NumPy."""
    logits = np.maximum(np.asarray(z)[..., None] * slopes, -0.2) + OFFSETS  # a kink, as ReLU has
    return stats.norm.logpdf(z) + (PIXELS * logits - np.logaddexp(0.0, logits)).sum(-1)


def tf_pixel_log_joint(z, slopes=None):
    slopes = tf.constant(SLOPES) if slopes is None else slopes
    logits = tf.maximum(z[..., None] * slopes, -0.2) + OFFSETS
    log_likelihood = tf.reduce_sum(PIXELS * logits - tf.nn.softplus(logits), axis=-1)
    return tfd.Normal(np.float64(0), np.float64(1)).log_prob(z) + log_likelihood


def integral(f, low=-20.0, high=20.0):
    return integrate.quad(f, low, high, epsabs=1e-12, epsrel=1e-11, limit=400, points=[0.0, -0.1, 0.2, -0.4])[0]


def pixel_elbo(loc, scale, slopes=SLOPES):
    def under(z):
        q = stats.norm.pdf(z, loc, scale)
        return q * (pixel_log_joint(z, slopes) - stats.norm.logpdf(z, loc, scale))

    return integral(under)


LOG_MARGINAL = np.log(integral(lambda z: np.exp(pixel_log_joint(z))))


def gradients(gradient, num_draws=None, loc=LOC, scale=SCALE, log_joint=tf_pixel_log_joint, seed=0, n=NUM_SAMPLES):
    """n independent estimates of the gradient for (loc, scale): [n, 2]."""
    copies = [tf.fill([n], np.float64(value)) for value in (loc, scale)]
    with tf.GradientTape() as tape:
        tape.watch(copies)
        q = tfd.Normal(*copies)
        if num_draws is None:
            total = bounds.elbo(log_joint, q, seed=seed, gradient=gradient)
        else:
            total = bounds.importance_weighted(log_joint, q, num_draws, seed=seed, gradient=gradient)
        total = tf.reduce_sum(total)
    return np.stack(tape.gradient(total, copies), axis=1)


# The ELBO -----------------------------------------------------------------------------------------------------------


@pytest.mark.verifies("def-vae")
def test_the_model_averages_log_weights():
    x = (np.random.default_rng(0).uniform(size=(4, 6)) < 0.5).astype(float)
    vae = companion.VAE([5], [5], latent_dim=2, kl="sampled", num_samples=300, seed=0, dtype="float64")
    by_model = vae.elbo(x, num_samples=4000, seed=1)
    q = vae.posterior(x)
    z = q.sample(4000, seed=2)
    log_weights = vae.prior_distribution.log_prob(z) + vae.decode(z).log_prob(x) - q.log_prob(z)
    error = np.std(log_weights, axis=0) / np.sqrt(4000)
    assert np.all(np.abs(by_model - np.mean(log_weights, axis=0)) < 7 * error)
    assert not np.all(np.abs(by_model + q.entropy() - np.mean(log_weights, axis=0)) < 7 * error)


@pytest.mark.verifies("thm-elbo-identity")
class TestElboIdentity:
    @pytest.mark.parametrize(("loc", "scale"), [(0.4, 0.7), (-1.0, 0.3), (0.0, 2.0)])
    def test_elbo_plus_divergence_is_log_p(self, loc, scale):
        def divergence(z):
            q = stats.norm.logpdf(z, loc, scale)
            return np.exp(q) * (q - pixel_log_joint(z) + LOG_MARGINAL)

        elbo = pixel_elbo(loc, scale)
        assert elbo + integral(divergence) == pytest.approx(LOG_MARGINAL, abs=1e-8)
        assert elbo < LOG_MARGINAL - 1e-3
        first = integral(lambda z: stats.norm.pdf(z, loc, scale) * (pixel_log_joint(z) - stats.norm.logpdf(z)))
        kl = gaussian.kl_divergence(loc, scale, 0.0, 1.0).numpy()
        assert first - kl == pytest.approx(elbo, abs=1e-8)  # part 4
        assert first - 2 * kl != pytest.approx(elbo, abs=1e-3)

    def test_a_q_that_does_not_cover_loses_the_mean_of_the_weights_but_keeps_the_elbo(self):
        low, high = -0.5, 1.5
        mean_weight = integral(lambda z: np.exp(pixel_log_joint(z)), low, high)
        elbo = integral(lambda z: (pixel_log_joint(z) + np.log(high - low)) / (high - low), low, high)
        assert elbo < np.log(mean_weight) < LOG_MARGINAL - 0.1

    def test_a_q_outside_of_the_support_has_no_elbo_and_weights_with_the_right_mean(self):
        # z ~ U(0, 1) and q = U(0, 2): half of the weights are zero
        def log_joint(z):
            return tf.where(z < 1.0, tf.zeros_like(z), -np.inf)

        q = tfd.Uniform(np.float64(0.0), np.float64(2.0))
        with pytest.raises(ValueError, match="finite"):
            bounds.elbo(log_joint, q, num_samples=100, seed=0)
        weighted = bounds.importance_weighted(log_joint, q, 100_000, seed=0)
        assert abs(weighted) < 0.03  # log p = 0

    def test_constant_weights_belong_to_the_posterior(self):
        z = np.linspace(-3, 3, 7)
        log_joint = stats.norm.logpdf(z) + stats.norm.logpdf(1.0, z)
        exact = log_joint - stats.norm.logpdf(z, 0.5, np.sqrt(0.5))
        assert np.allclose(exact, stats.norm.logpdf(1.0, 0.0, np.sqrt(2.0)))
        assert np.ptp(log_joint - stats.norm.logpdf(z, 0.5, 0.6)) > 0.1


@pytest.mark.verifies("prop-elbo-gradients")
class TestElboGradients:
    exact = np.array([difference(lambda m: pixel_elbo(m, SCALE), LOC), difference(lambda s: pixel_elbo(LOC, s), SCALE)])

    @pytest.mark.parametrize("gradient", ["pathwise", "sticking_the_landing", "score_function"])
    def test_each_estimator_of_the_encoders_gradient_is_unbiased(self, gradient):
        found = gradients(gradient, seed=1)
        assert agree(found, self.exact)
        assert not agree(found + 0.5, self.exact)

    def test_a_gradient_without_the_path_is_wrong(self):
        found = gradients("pathwise", seed=1)
        entropy = np.array([0.0, 1 / SCALE])
        assert not agree(np.broadcast_to(entropy, found.shape) + 1e-9 * found, self.exact)

    def test_analytic_divergence(self):
        n, eps = NUM_SAMPLES, np.random.default_rng(2).normal(size=NUM_SAMPLES)
        copies = [tf.fill([n], np.float64(value)) for value in (LOC, SCALE)]
        with tf.GradientTape() as tape:
            tape.watch(copies)
            z = copies[0] + copies[1] * eps
            log_likelihood = tf_pixel_log_joint(z) - tfd.Normal(np.float64(0), np.float64(1)).log_prob(z)
            total = tf.reduce_sum(log_likelihood - gaussian.kl_divergence(*copies, 0.0, 1.0))
        found = np.stack(tape.gradient(total, copies), axis=1)
        assert agree(found, self.exact)
        assert not agree(1.2 * found, self.exact)

    def test_the_decoders_gradient_needs_no_path(self):
        exact = np.array([difference(lambda v, i=i: pixel_elbo(LOC, SCALE, _moved(i, v)), SLOPES[i]) for i in range(3)])
        z = (LOC + SCALE * np.random.default_rng(3).normal(size=NUM_SAMPLES))[:, None]
        copies = tf.constant(np.tile(SLOPES, (NUM_SAMPLES, 1)))
        with tf.GradientTape() as tape:
            tape.watch(copies)
            total = tf.reduce_sum(tf_pixel_log_joint(tf.constant(z[:, 0]), copies))
        found = tape.gradient(total, copies).numpy()
        assert agree(found, exact)
        assert not agree(1.1 * found, exact)


def _moved(place, value):
    slopes = SLOPES.copy()
    slopes[place] = value
    return slopes


# Gaussian in one dimension: exact variances ------------------------------------------------------------------------


def quadratic(precision, mean):
    """log p(x, z) = -P (z - mu)^2 / 2, as a TensorFlow function."""
    return lambda z: -precision * (z - mean) ** 2 / 2


@pytest.mark.verifies("prop-sticking-the-landing")
class TestStickingTheLanding:
    @pytest.mark.parametrize(("precision", "mean"), [(1.0, 0.0), (4.0, 3.0)])
    def test_at_the_posterior_every_sample_is_zero_and_the_plain_one_has_the_fisher_information(self, precision, mean):
        scale = precision**-0.5
        landing = gradients("sticking_the_landing", None, mean, scale, quadratic(precision, mean))
        plain = gradients("pathwise", None, mean, scale, quadratic(precision, mean), seed=4)
        assert np.abs(landing).max() < 1e-9
        assert variance_agrees(plain, np.array([1 / scale**2, 2 / scale**2]))
        assert not variance_agrees(plain, 1.3 * np.array([1 / scale**2, 2 / scale**2]))
        covariance = np.prod(plain - plain.mean(0), axis=1)
        assert agree(covariance, 0.0)

    @pytest.mark.parametrize("ratio", [0.3, 0.45, 0.55, 1.0, 3.0])
    def test_it_is_the_quieter_one_above_half_of_the_posteriors_variance(self, ratio):
        precision, mean = 2.0, 0.5
        scale = np.sqrt(ratio / precision)
        landing, plain = (
            gradients(g, None, 0.1, scale, quadratic(precision, mean), seed=5)
            for g in ("sticking_the_landing", "pathwise")
        )
        assert variance_agrees(landing[:, 0], scale**2 * (precision - 1 / scale**2) ** 2)
        assert variance_agrees(plain[:, 0], scale**2 * precision**2)
        assert np.all((landing.var(0) < plain.var(0)) == (ratio > 0.5))

    def test_it_is_biased_for_more_samples_than_one_and_follows_the_other_divergence(self):
        """Its limit is the gradient of -KL(p || q), (mu - m) / s^2 and ((mu - m)^2 + 1/P) / s^3 - 1 / s."""
        precision, mean, loc, scale = 2.0, 0.5, 0.3, 0.8
        landing, double = (
            gradients(g, 400, loc, scale, quadratic(precision, mean), seed=6, n=1000)
            for g in ("sticking_the_landing", "doubly_reparameterized")
        )
        limit = np.array([(mean - loc) / scale**2, ((mean - loc) ** 2 + 1 / precision) / scale**3 - 1 / scale])
        assert np.allclose(landing.mean(0), limit, atol=0.02)
        assert np.abs(double.mean(0)).max() < 0.01
        assert np.abs(limit).min() > 0.15


@pytest.mark.verifies("prop-sampled-or-analytic-kl")
class TestAnalyticOrSampled:
    POINTS = ((0.5, 0.3, 0.8, 1.0), (3.0, 3.0, 0.5, 12.0), (2.0, -1.0, 1.5, 0.7))  # lambda, m, s, c

    @staticmethod
    def table(strength, m, s, c):
        d, p = c - (1 + strength) * m, 1 + strength
        landing = p * s - 1 / s
        value = s**2 * d**2 + (p * s**2 - 1) ** 2 / 2
        return {
            "analytic": (
                s**2 * (d + m) ** 2 + strength**2 * s**4 / 2,
                (strength * s) ** 2,
                (d + m) ** 2 + 2 * (strength * s) ** 2,
            ),
            "pathwise": (value, (p * s) ** 2, d**2 + 2 * (p * s) ** 2),
            "sticking_the_landing": (value, landing**2, d**2 + 2 * landing**2),
        }

    @pytest.mark.parametrize("point", POINTS)
    def test_samples_have_these_variances(self, point):
        strength, m, s, c = point
        table = self.table(*point)
        eps = np.random.default_rng(7).normal(size=NUM_SAMPLES)
        z = m + s * eps
        slope = c - strength * z
        by_hand = np.stack([c * z - strength * z**2 / 2, slope, slope * eps], axis=1)
        assert variance_agrees(by_hand, np.array(table["analytic"]))
        assert not variance_agrees(by_hand, 1.2 * np.array(table["analytic"]))

        def log_joint(z):
            return c * z - strength * z**2 / 2 - z**2 / 2

        for gradient in ("pathwise", "sticking_the_landing"):
            found = gradients(gradient, None, m, s, log_joint, seed=8)
            assert variance_agrees(found, np.array(table[gradient][1:]))
        log_weights = log_joint(z) - stats.norm.logpdf(z, m, s)
        assert variance_agrees(log_weights, table["pathwise"][0])

    def test_who_wins(self):
        for strength, m, s, c in itertools.product(
            (0.1, 1.0, 4.0), (-2.0, 0.2, 3.0), (0.3, 0.6, 0.9, 1.2), (-1.0, 2.0)
        ):
            table, d = self.table(strength, m, s, c), c - (1 + strength) * m
            assert table["analytic"][1] < table["pathwise"][1]
            assert (table["sticking_the_landing"][1] < table["analytic"][1]) == (1 / (1 + 2 * strength) < s**2 < 1)
            assert (table["pathwise"][2] < table["analytic"][2]) == (m**2 + 2 * d * m > 2 * (1 + 2 * strength) * s**2)

    @pytest.mark.parametrize("strength", [0.2, 1.0, 5.0])
    def test_at_the_posterior(self, strength):
        s, edge = (1 + strength) ** -0.5, np.sqrt(2 * (1 + 2 * strength) / (1 + strength))
        for m in (0.9 * edge, 1.1 * edge):
            table = self.table(strength, m, s, (1 + strength) * m)
            assert table["pathwise"][0] == pytest.approx(0.0, abs=1e-20)
            assert table["sticking_the_landing"][1:] == pytest.approx((0.0, 0.0), abs=1e-20)
            assert (table["pathwise"][2] < table["analytic"][2]) == (m > edge)


# The linear VAE -----------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(9)
DATA = RNG.normal(size=(60, 6)) @ np.diag([2.0, 1.5, 1.1, 0.7, 0.5, 0.4]) @ RNG.normal(size=(6, 6)) / 2 + 1.0
MODEL = ProbabilisticPCA(RNG.normal(size=(6, 3)), np.ones(6), 0.8)


@pytest.mark.verifies("def-inference-gaps")
@pytest.mark.verifies("prop-linear-vae-gap")
class TestGaps:
    def test_no_diagonal_gaussian_comes_nearer(self):
        x = DATA[:1]

        def lost(parameters):
            loc, scale = parameters[None, :3], np.exp(parameters[3:])
            return float(MODEL.log_marginal(x)[0] - MODEL.elbo(x, loc, scale)[0])

        found = optimize.minimize(lost, np.zeros(6), method="BFGS", options={"gtol": 1e-9})
        assert found.fun == pytest.approx(MODEL.gap, abs=1e-7)
        assert MODEL.gap > 0.05
        best = MODEL.best_diagonal_posterior(x)
        assert np.allclose(found.x[:3], best.loc[0], atol=1e-4)
        assert np.allclose(np.exp(found.x[3:]), best.scale, atol=1e-4)

    def test_the_gap_is_that_of_the_formula_for_every_x_and_the_two_parts_add_up(self):
        M = MODEL.loadings.T @ MODEL.loadings + 0.64 * np.eye(3)
        gap = (np.log(np.diag(M)).sum() - np.linalg.slogdet(M)[1]) / 2
        loc, scale = MODEL.best_diagonal_posterior(DATA)
        best = MODEL.log_marginal(DATA) - MODEL.elbo(DATA, loc, scale)
        assert np.allclose(best, gap)
        worse = MODEL.log_marginal(DATA) - MODEL.elbo(DATA, loc + 0.1, 1.2 * scale)
        amortisation = MODEL.elbo(DATA, loc, scale) - MODEL.elbo(DATA, loc + 0.1, 1.2 * scale)
        assert np.all(amortisation > 0)
        assert np.allclose(worse, best + amortisation)

    def test_the_posterior_is_that_of_conditioning_a_joint_normal(self):
        W, s2 = MODEL.loadings, 0.64
        joint = W @ W.T + s2 * np.eye(6)
        loc = (DATA - 1.0) @ np.linalg.solve(joint, W)
        covariance = np.eye(3) - W.T @ np.linalg.solve(joint, W)
        M = W.T @ W + s2 * np.eye(3)
        assert np.allclose(loc, (DATA - 1.0) @ W @ np.linalg.inv(M))
        assert np.allclose(covariance, s2 * np.linalg.inv(M))

    def test_it_is_zero_for_orthogonal_columns_alone(self):
        orthogonal = np.linalg.qr(MODEL.loadings)[0] * [3.0, 1.0, 0.5]
        assert ProbabilisticPCA(orthogonal, np.ones(6), 0.8).gap == pytest.approx(0.0, abs=1e-12)
        tilted = orthogonal + 0.1 * orthogonal[:, ::-1]
        assert ProbabilisticPCA(tilted, np.ones(6), 0.8).gap > 1e-3


def mean_elbo(parameters, latent_dim, noise_scale=None, data=DATA):
    """The mean ELBO of W, b, the encoder's A, a, log scales and log sigma in one vector: plain formulas."""
    d = data.shape[1]
    W, A = (parameters[i * d * latent_dim : (i + 1) * d * latent_dim].reshape(d, latent_dim) for i in range(2))
    rest = parameters[2 * d * latent_dim :]
    b, a, log_s = rest[:d], rest[d : d + latent_dim], rest[d + latent_dim : d + 2 * latent_dim]
    log_sigma = rest[-1] if noise_scale is None else np.log(noise_scale)
    m, s2 = data @ A + a, np.exp(2 * log_s)
    squares = ((data - b - m @ W.T) ** 2).sum(1) + (W**2 @ s2).sum()
    reconstruction = -squares / (2 * np.exp(2 * log_sigma)) - d * (log_sigma + np.log(2 * np.pi) / 2)
    return (reconstruction - (m**2 + s2 - 1 - 2 * log_s).sum(1) / 2).mean()


def optimised(latent_dim, noise_scale=None, seed=0):
    size = 2 * 6 * latent_dim + 6 + 2 * latent_dim + 1
    start = 0.3 * np.random.default_rng(seed).normal(size=size)
    options = {"maxiter": 5000, "maxfun": 10**6, "ftol": 1e-14, "gtol": 1e-9}
    return optimize.minimize(
        lambda p: -mean_elbo(p, latent_dim, noise_scale), start, method="L-BFGS-B", options=options
    )


@pytest.mark.verifies("thm-linear-vae-optimum")
class TestOptimum:
    spectrum = eigenvalues(DATA)

    @pytest.mark.parametrize(("latent_dim", "noise_scale"), [(2, None), (3, 0.6), (2, 1.0)])
    def test_an_optimiser_finds_the_closed_form(self, latent_dim, noise_scale):
        found = optimised(latent_dim, noise_scale)
        exact = mean_log_likelihood(self.spectrum, latent_dim, noise_scale)
        assert -found.fun == pytest.approx(exact, abs=2e-4)
        W = found.x[: 6 * latent_dim].reshape(6, latent_dim)
        products = W.T @ W
        assert np.abs(products - np.diag(np.diag(products))).max() < 0.05 * max(1.0, np.diag(products).max())
        s2 = noise_scale**2 if noise_scale else np.exp(2 * found.x[-1])
        if noise_scale is None:
            assert s2 == pytest.approx(self.spectrum[latent_dim:].mean(), rel=1e-2)
        kept = np.maximum(self.spectrum[:latent_dim] - s2, 0.0)
        assert np.allclose(np.sort(np.linalg.eigvalsh(products))[::-1], kept, atol=0.03)

    def test_the_formula_is_that_of_the_theorem(self):
        q, s2 = 2, self.spectrum[2:].mean()
        by_hand = -(6 * np.log(2 * np.pi) + np.log(self.spectrum[:q]).sum() + 4 * np.log(s2) + 6) / 2
        assert mean_log_likelihood(self.spectrum, q) == pytest.approx(by_hand)
        best = ProbabilisticPCA.fit(DATA, q)
        assert best.log_marginal(DATA).mean() == pytest.approx(by_hand)
        loc, scale = best.best_diagonal_posterior(DATA)
        assert best.elbo(DATA, loc, scale).mean() == pytest.approx(by_hand)

    def test_the_encoder_is_determined_at_the_data_alone(self):
        data = np.where(np.arange(6) == 5, 0.3, DATA)  # the last pixel never changes
        best, exact = ProbabilisticPCA.fit(data, 2), mean_log_likelihood(eigenvalues(data), 2)
        scale = best.best_diagonal_posterior(data).scale
        elsewhere = data + np.eye(6)[5]
        for pixel, attained in ((5, True), (4, False)):  # an encoder with another weight for one pixel

            def encode(x, pixel=pixel):
                return best.posterior(x).loc + 0.5 * (x[:, pixel, None] - best.mean[pixel])

            assert (best.elbo(data, encode(data), scale).mean() == pytest.approx(exact, abs=1e-9)) == attained
        other = best.posterior(elsewhere).loc + 0.5
        assert np.all(best.elbo(elsewhere, other, scale) < best.log_marginal(elsewhere) - 0.01)

    def test_a_rotation_keeps_the_likelihood_and_loses_the_elbo(self):
        best = ProbabilisticPCA.fit(DATA, 2)
        c, s = np.cos(0.7), np.sin(0.7)
        turned = ProbabilisticPCA(best.loadings @ [[c, -s], [s, c]], best.mean, best.noise_scale)
        assert np.allclose(turned.log_marginal(DATA), best.log_marginal(DATA))
        assert turned.gap > 0.01
        assert best.gap == pytest.approx(0.0, abs=1e-12)

    def test_other_scales_are_worse(self):
        best = mean_log_likelihood(self.spectrum, 2)
        assert all(
            mean_log_likelihood(self.spectrum, 2, f * np.sqrt(self.spectrum[2:].mean())) < best
            for f in (0.8, 0.99, 1.01, 2, 9)
        )


@pytest.mark.verifies("prop-beta-is-a-noise-scale")
def test_a_weight_is_a_noise_scale():
    rng = np.random.default_rng(10)
    z, W = rng.normal(size=(50, 4, 2)), rng.normal(size=(5, 2))
    differences = []
    for c, beta in [(1.0, 1.0), (0.5, 1.0), (1 / 5, 1.0), (1.0, 2.0), (2.0, 0.3)]:
        s2 = beta / (2 * c)
        rows = []
        for seed in range(3):  # three encoders and decoders
            rng = np.random.default_rng(seed)
            x, kl, f = rng.normal(size=(4, 5)), rng.uniform(size=4), z @ W.T * rng.uniform()
            squares = ((x - f) ** 2).sum(-1).mean(0)
            elbo = stats.norm.logpdf(x, f, np.sqrt(s2)).sum(-1).mean(0) - kl
            rows.append((c * squares + beta * kl) / beta + elbo)
        differences.append(np.ptp(rows))
        assert np.allclose(rows, -2.5 * np.log(2 * np.pi * s2))
    assert max(differences) < 1e-9


@pytest.mark.verifies("thm-collapse-criterion")
class TestCollapse:
    spectrum = eigenvalues(DATA)

    @pytest.mark.parametrize("place", range(4))
    def test_active_latents_and_their_nats(self, place):
        s2 = np.sqrt(self.spectrum[place] * self.spectrum[place + 1])  # between two eigenvalues
        model = ProbabilisticPCA.fit(DATA, 4, noise_scale=np.sqrt(s2))
        lengths = np.linalg.norm(model.loadings, axis=0)
        assert (lengths > 1e-9).sum() == model.active_dimensions == min(4, place + 1)
        loc, scale = model.best_diagonal_posterior(DATA)
        kl = gaussian.kl_divergence(loc, np.broadcast_to(scale, loc.shape), 0.0, 1.0).numpy().mean(0)
        assert np.allclose(kl, np.log(np.maximum(self.spectrum[:4] / s2, 1.0)) / 2)
        assert not np.allclose(kl, np.log(np.maximum(self.spectrum[:4] / s2, 1.0)))
        assert np.allclose(loc[:, lengths < 1e-9], 0.0)
        assert np.allclose(scale[lengths < 1e-9], 1.0)

    @pytest.mark.parametrize("factor", [0.7, 1.3])
    def test_the_collapsed_point(self, factor):
        noise_scale = np.sqrt(factor * self.spectrum[0])
        collapsed = np.concatenate([np.zeros(24), DATA.mean(0), np.zeros(5)])

        def f(p):
            return mean_elbo(p, 2, noise_scale)

        slopes = optimize.approx_fprime(collapsed, f, 1e-6)
        assert np.abs(slopes).max() < 1e-4
        axis = np.linalg.eigh(np.cov(DATA.T))[1][:, -1]
        # W = t u_1, A = r t u_1, a = -A b: along u_1, for the best ratio r
        step = collapsed.copy()
        t = 0.05
        step[:12:2], step[12:24:2] = t * axis, t * axis / noise_scale**2
        step[30] = -step[12:24:2] @ DATA.mean(0)
        step[32] = -np.log1p(t**2 / noise_scale**2) / 2
        assert (f(step) > f(collapsed)) == (factor < 1)
        assert (mean_log_likelihood(self.spectrum, 2, noise_scale) > f(collapsed) + 1e-9) == (factor < 1)

    def test_a_learnt_scale_keeps_all(self):
        for latent_dim in range(1, 6):
            assert ProbabilisticPCA.fit(DATA, latent_dim).active_dimensions == latent_dim


# Importance weighting -----------------------------------------------------------------------------------------------


def enumerated(weights, probs, num_draws):
    """L_K exactly for weights with finitely many values: piecewise constant densities."""
    total = 0.0
    for counts in itertools.combinations_with_replacement(range(len(weights)), num_draws):
        number = np.bincount(counts, minlength=len(weights))
        probability = stats.multinomial.pmf(number, num_draws, probs)
        total += probability * np.log(number @ weights / num_draws) if number @ weights > 0 else -np.inf
    return total


@pytest.mark.verifies("thm-importance-weighted-bound")
class TestImportanceWeightedBound:
    probs = np.array([0.5, 0.3, 0.2])
    joint = np.array([0.1, 0.02, 0.3])  # p(x, z) of the three cells

    def test_it_rises_from_the_elbo_to_log_p(self):
        weights = self.joint / self.probs
        values = [enumerated(weights, self.probs, k) for k in (1, 2, 3, 5, 8, 40)]
        assert values[0] == pytest.approx(self.probs @ np.log(weights))
        assert np.all(np.diff(values) > 0)
        log_p = np.log(self.joint.sum())
        assert values[-1] < log_p
        variance = self.probs @ (weights - self.joint.sum()) ** 2 / self.joint.sum() ** 2
        assert log_p - values[-1] == pytest.approx(variance / 80, rel=0.1)

    def test_it_stops_short_if_q_does_not_cover(self):
        weights, probs = self.joint[:2] / [0.6, 0.4], np.array([0.6, 0.4])
        limit = np.log(self.joint[:2].sum())
        values = [enumerated(weights, probs, k) for k in (1, 10, 100, 300)]
        assert values[-1] == pytest.approx(limit, abs=5e-3)
        assert limit < np.log(self.joint.sum()) - 0.5

    def test_constant_weights_gain_nothing(self):
        weights = np.full(3, 0.4)
        assert enumerated(weights, self.probs, 5) == pytest.approx(enumerated(weights, self.probs, 1))

    def test_the_package_estimates_it(self):
        q = tfd.Normal(tf.fill([NUM_SAMPLES], np.float64(LOC)), np.float64(SCALE))
        exact = weighted_bound(LOC, SCALE, 2)
        found = bounds.importance_weighted(tf_pixel_log_joint, q, 2, seed=11).numpy()
        assert agree(found, exact)
        assert not agree(found, pixel_elbo(LOC, SCALE))
        assert pixel_elbo(LOC, SCALE) < exact < LOG_MARGINAL


def weighted_bound(loc, scale, num_draws):
    """L_K by tensor quadrature at fixed z, so that it is smooth in loc and scale although the joint has kinks."""
    ends = np.array([-7.0, -0.4, -0.1, 0.2, 7.0])  # with the kinks at -0.4, -0.1 and 0.2
    nodes, weights = np.polynomial.legendre.leggauss(80)
    halves = np.diff(ends)[:, None] / 2
    z = ((ends[:-1] + ends[1:])[:, None] / 2 + halves * nodes).ravel()
    probs = (halves * weights).ravel() * stats.norm.pdf(z, loc, scale)
    log_w = pixel_log_joint(z) - stats.norm.logpdf(z, loc, scale)
    shift = log_w.max()
    total, measure = np.exp(log_w - shift), probs
    for _ in range(num_draws - 1):
        total = total[..., None] + np.exp(log_w - shift)
        measure = measure[..., None] * probs
    return shift + float((measure * np.log(total / num_draws)).sum())


@pytest.mark.verifies("thm-doubly-reparameterized")
class TestDoublyReparameterized:
    @pytest.mark.parametrize("num_draws", [1, 2])
    def test_both_expressions_have_the_gradient_of_the_bound_as_mean(self, num_draws):
        exact = np.array(
            [
                difference(lambda m: weighted_bound(m, SCALE, num_draws), LOC, 1e-4),
                difference(lambda s: weighted_bound(LOC, s, num_draws), SCALE, 1e-4),
            ]
        )
        for gradient in ("pathwise", "doubly_reparameterized", "score_function"):
            found = gradients(gradient, num_draws, seed=12)
            assert agree(found, exact), gradient
        landing = gradients("sticking_the_landing", num_draws, seed=12)
        assert agree(landing, exact) == (num_draws == 1)

    def test_at_the_posterior_it_is_zero_for_every_number_of_samples(self):
        found = gradients("doubly_reparameterized", 7, 0.5, 2.0**-0.5, quadratic(2.0, 0.5), n=100)
        assert np.abs(found).max() < 1e-12


@pytest.mark.verifies("prop-signal-to-noise")
class TestSignalToNoise:
    """z ~ N(mu, 1), x | z ~ N(z, 1), q = N(m, 2/3): bounded weights."""

    MU, X, M, S = 0.4, 1.5, 0.7, np.sqrt(2.0 / 3.0)

    @classmethod
    def limits(cls):
        """The three limits by quadrature over the noise."""
        z = cls.M + cls.S * NODES
        p = stats.norm.pdf(cls.X, cls.MU, np.sqrt(2.0))
        w = stats.norm.pdf(z, cls.MU) * stats.norm.pdf(cls.X, z) / stats.norm.pdf(z, cls.M, cls.S)

        def mean(f):
            return float(WEIGHTS @ f)

        def sd(f):
            return np.sqrt(mean(f**2) - mean(f) ** 2)

        assert mean(w) == pytest.approx(p, rel=1e-10)
        by_mu, by_m = w * (z - cls.MU), w * (cls.MU + cls.X - 2 * z)  # along the path log q does not change with m
        assert mean(by_mu) == pytest.approx(p * (cls.X - cls.MU) / 2)
        assert mean(by_m) == pytest.approx(0.0, abs=1e-12)
        slope = cls.MU + cls.X - 2 * z + (z - cls.M) / cls.S**2  # D
        c = mean(w**2 * slope)
        assert c == pytest.approx(-mean(w * by_m), rel=1e-9)  # both are K p^2 times the mean
        log_slope = mean(by_mu) / p
        return {
            "model": abs(log_slope) / sd((by_mu - w * log_slope) / p),
            "pathwise": abs(2 * mean(w * by_m)) / (2 * p * sd(by_m)),
            "doubly_reparameterized": abs(c) / sd(w**2 * slope - 2 * c * w / p),
        }

    @classmethod
    def measured(cls, num_draws, gradient, wanted, n=20_000):
        copies = [tf.fill([n], np.float64(v)) for v in (cls.MU, cls.M)]
        with tf.GradientTape() as tape:
            tape.watch(copies)
            one = np.float64(1)

            def log_joint(z):
                return tfd.Normal(copies[0], one).log_prob(z) + tfd.Normal(z, one).log_prob(np.float64(cls.X))

            q = tfd.Normal(copies[1], np.float64(cls.S))
            total = tf.reduce_sum(bounds.importance_weighted(log_joint, q, num_draws, seed=13, gradient=gradient))
        g = tape.gradient(total, copies)[wanted].numpy()
        return g.mean(), g.std()

    def test_the_rates_and_their_constants(self):
        num_draws, limits = 100, self.limits()
        mean, spread = self.measured(num_draws, "pathwise", 0)
        assert abs(mean) / spread / np.sqrt(num_draws) == pytest.approx(limits["model"], rel=0.08)
        signal, quiet = self.measured(num_draws, "doubly_reparameterized", 1)
        _, noisy = self.measured(num_draws, "pathwise", 1)
        assert abs(signal) / quiet / np.sqrt(num_draws) == pytest.approx(limits["doubly_reparameterized"], rel=0.08)
        assert abs(signal) / noisy * np.sqrt(num_draws) == pytest.approx(limits["pathwise"], rel=0.08)
        assert abs(signal) / noisy / np.sqrt(num_draws) != pytest.approx(limits["pathwise"], rel=0.5)

    def test_the_mean_of_independent_estimates_multiplies_by_the_root_of_their_number(self):
        rng = np.random.default_rng(14)
        g = 1.0 + rng.normal(size=(50_000, 9))
        assert g.mean(1).mean() / g.mean(1).std() == pytest.approx(3.0, rel=0.02)


# Grey images --------------------------------------------------------------------------------------------------------


@pytest.mark.verifies("prop-grey-bernoulli")
class TestGreyBernoulli:
    def test_the_mass_of_one_pixel_is_at_most_one_half(self):
        for logit in (-6.0, -1.0, 1e-6, 0.5, 3.0, 20.0):
            mass = integrate.quad(lambda t, v=logit: np.exp(t * v - np.logaddexp(0, v)), 0, 1)[0]
            assert mass == pytest.approx(np.tanh(logit / 2) / logit)
            assert mass <= 0.5

    def test_it_is_the_mean_elbo_of_binarised_images_and_below_minus_their_entropy(self):
        rng = np.random.default_rng(15)
        x = rng.uniform(size=3)
        binary = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
        law = np.prod(np.where(binary == 1, x, 1 - x), axis=1)
        z = LOC + SCALE * NODES
        logits = z[:, None] * SLOPES + OFFSETS
        kl = gaussian.kl_divergence(LOC, SCALE, 0.0, 1.0).numpy()

        def bound(pixels):
            return WEIGHTS @ (pixels * logits - np.logaddexp(0, logits)).sum(1) - kl

        prior_logits = NODES[:, None] * SLOPES + OFFSETS
        log_p = [
            special.logsumexp((b * prior_logits - np.logaddexp(0, prior_logits)).sum(1), b=WEIGHTS) for b in binary
        ]
        assert bound(x) == pytest.approx(law @ [bound(b) for b in binary])
        entropy = stats.bernoulli(x).entropy().sum()
        assert bound(x) < law @ log_p < -entropy
