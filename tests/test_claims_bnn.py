"""Every labelled statement of the chapter "Bayesian neural networks".

Exact statements are compared with enumeration, quadrature or linear algebra that share no formula with them.
Statistical comparisons are tests against exact answers; there are fewer than 100, each with a false-alarm rate of 1e-6,
so that a right implementation fails this file with a probability below 1e-4 over seeds; the seeds are fixed. Each kind
has a twin with a planted error.
"""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from calibration import agree, variance_agrees
from scipy import integrate, special, stats
from tensorflow_probability import distributions as tfd

from companion import bayesian_layers as bl
from companion import datasets
from companion.linear_regression import BayesianLinearRegression
from companion.weight_noise import gradient_noise

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)  # of where means begin


def softplus(rho):
    return np.logaddexp(0.0, rho)


def entropy(p):
    return special.entr(p).sum(axis=-1)


# One weight: y ~ Bernoulli(sigmoid(w x)) -----------------------------------------------------------------------------

X, Y = np.array([0.5, -1.0, 2.0, 1.5]), np.array([1.0, 0.0, 1.0, 0.0])


def losses(w):
    """-log p(y_i | x_i, w) for w of any shape: [*w.shape, 4]."""
    logits = np.asarray(w)[..., None] * X
    return np.logaddexp(0.0, logits) - Y * logits


def integral(f, low=-15.0, high=15.0):
    """By the trapezoidal rule, whose error is exponentially small for smooth f that vanish at both ends."""
    x = np.linspace(low, high, 2001)
    return float(np.sum(f(x)) * (x[1] - x[0]))


def evidence(power=1.0):
    """The integral of p(w) prod_i p(y_i | x_i, w)^power."""
    return integral(lambda w: stats.norm.pdf(w) * np.exp(-power * losses(w).sum(-1)))


def negative_elbo(loc, scale, weight=1.0):
    """sum E l_i + weight KL for q = N(loc, scale^2), with a KL by quadrature."""
    w = loc + scale * NODES
    kl = WEIGHTS @ (stats.norm.logpdf(w, loc, scale) - stats.norm.logpdf(w))
    return WEIGHTS @ losses(w).sum(-1) + weight * kl


@pytest.mark.verifies("def-bayesian-network")
class TestDefinition:
    def test_predictive_distribution_averages_the_networks(self):
        rng = np.random.default_rng(0)
        x, new = rng.normal(size=(6, 2)), np.array([[0.3, -1.0]])
        y = rng.normal(size=6)
        model = BayesianLinearRegression(x, y, 0.5, bias=False)
        # the posterior by brute force on a grid
        axis = np.linspace(-4, 4, 161)
        w = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        log_joint = stats.norm.logpdf(w).sum(-1) + stats.norm.logpdf(y, w @ x.T, 0.5).sum(-1)
        posterior = np.exp(log_joint - special.logsumexp(log_joint))
        density = posterior @ stats.norm.pdf(0.7, w @ new[0], 0.5)
        known = model.predict(new)
        assert density == pytest.approx(stats.norm.pdf(0.7, known.mean[0], np.sqrt(known.total[0])), rel=1e-6)
        assert density != pytest.approx(stats.norm.pdf(0.7, known.mean[0], 0.5), rel=1e-2)  # the best w plugged in

    def test_predict_averages_over_draws_of_whole_networks(self):
        model = keras.Sequential([keras.Input([2]), bl.DenseFlipout(3, seed=0)])
        x = np.random.default_rng(1).normal(size=(5, 2)).astype("float32")
        prediction = bl.predict(model, x, num_samples=50, seed=1, likelihood="categorical")
        assert np.allclose(prediction.mean, special.softmax(prediction.outputs, axis=-1).mean(axis=0), atol=1e-6)
        doubled = bl.predict(model, np.concatenate([x, 2 * x]), 50, seed=1, likelihood="categorical").outputs.numpy()
        bias = model.layers[0].posterior.mean()["bias"]
        # one function a draw: with outputs a + x W, those at x, 2x and x' obey the same W
        differences = doubled[:, 5:] - doubled[:, :5]
        solved = np.linalg.lstsq(x, differences[3], rcond=None)[0]
        assert np.allclose(x @ solved, differences[3], atol=1e-4)
        assert bias.shape == (3,)


@pytest.mark.verifies("prop-uncertainty-decomposition")
class TestUncertaintyDecomposition:
    rng = np.random.default_rng(0)
    classes = rng.dirichlet([0.5, 1.0, 1.5], size=4)  # of four networks, equally likely

    def test_variances_add(self):
        loc, scale = self.rng.normal(size=4), np.exp(self.rng.normal(size=4))
        second = np.mean(scale**2 + loc**2)
        total = second - loc.mean() ** 2  # of the mixture, by moments
        assert total == pytest.approx(np.mean(scale**2) + np.var(loc))
        assert total != pytest.approx(np.mean(scale**2), rel=1e-2)

    def test_entropies_add(self):
        mean = self.classes.mean(axis=0)
        information = np.mean(np.sum(self.classes * np.log(self.classes / mean), axis=-1))
        assert entropy(mean) == pytest.approx(entropy(self.classes).mean() + information)
        assert information > 0.01
        prediction = bl.Prediction(np.log(self.classes)[:, None], "categorical")
        parts = [float(part[0]) for part in (prediction.total, prediction.aleatoric, prediction.epistemic)]
        assert parts == pytest.approx([entropy(mean), entropy(self.classes).mean(), information], abs=1e-6)

    def test_estimates_over_draws_rise_to_the_truth(self):
        """Every set of S draws of the four networks, enumerated."""
        target = self.classes[:, 1]
        informations, scores, alea = [], [], []
        for size in (1, 2, 3, 4, 5):
            draws = np.array(list(itertools.product(range(4), repeat=size)))
            p = self.classes[draws]  # (4^S, S, 3)
            information = entropy(p.mean(axis=1)) - entropy(p).mean(axis=1)
            assert (information > -1e-12).all()
            assert (information <= np.log(size) + 1e-12).all()
            informations.append(information.mean())
            alea.append(entropy(p).mean())
            scores.append(np.log(target[draws].mean(axis=1)).mean())
        truth = entropy(self.classes.mean(axis=0)) - entropy(self.classes).mean()
        assert np.all(np.diff(informations) > 0)
        assert informations[0] == 0
        assert informations[-1] < truth
        assert np.allclose(alea, entropy(self.classes).mean())
        assert np.all(np.diff(scores) > 0)
        assert scores[-1] < np.log(target.mean())

    def test_variance_of_the_means_is_unbiased_with_s_minus_one(self):
        means = np.array([0.0, 1.0, 5.0])
        draws = np.array(list(itertools.product(range(3), repeat=2)))
        outputs = means[draws].T[..., None]  # (2, 9, 1)
        found = bl.Prediction(outputs, bl.likelihoods.Normal(1.0)).epistemic.numpy().mean()
        assert found == pytest.approx(np.var(means))
        assert np.var(outputs, axis=0).mean() != pytest.approx(np.var(means), rel=0.1)


# The ELBO ------------------------------------------------------------------------------------------------------------


@pytest.mark.verifies("thm-network-elbo")
class TestNetworkElbo:
    @pytest.mark.parametrize(("loc", "scale"), [(0.4, 0.7), (-1.0, 0.3)])
    def test_elbo_plus_divergence_is_the_log_evidence(self, loc, scale):
        def to_posterior(w):
            log_posterior = stats.norm.logpdf(w) - losses(w).sum(-1) - np.log(evidence())
            log_q = stats.norm.logpdf(w, loc, scale)
            return np.exp(log_q) * (log_q - log_posterior)

        divergence = integral(to_posterior, loc - 12 * scale, loc + 12 * scale)
        assert -negative_elbo(loc, scale) + divergence == pytest.approx(np.log(evidence()), abs=1e-8)
        assert -negative_elbo(loc, scale, weight=2.0) + divergence != pytest.approx(np.log(evidence()), abs=1e-3)

    def test_evidence_may_be_infinite_though_losses_are_integrable(self):
        """Laplace noise whose scale is |w|, y = 0: hence the condition p(D) < infinity."""

        def cut_off(f, low):
            x = np.linspace(np.log(low), np.log(15.0), 4001)  # w = e^x, twice for the two signs
            return 2 * np.sum(f(np.exp(x)) * stats.norm.pdf(np.exp(x)) * np.exp(x)) * (x[1] - x[0])

        lows = (1e-6, 1e-12, 1e-18)
        evidences = [cut_off(lambda w: 1 / (2 * w), low) for low in lows]
        expected = [cut_off(lambda w: np.abs(np.log(2 * w)), low) for low in lows]
        assert np.allclose(np.diff(evidences), 6 * np.log(10) * stats.norm.pdf(0), rtol=0.01)  # no end
        assert np.ptp(expected) < 1e-3
        assert expected[-1] == pytest.approx(2 * integrate.quad(self.absolute_log, 0, 15, points=[0.5])[0], rel=1e-3)

    @staticmethod
    def absolute_log(w):
        return np.abs(np.log(2 * w)) * stats.norm.pdf(w)

    def test_divergence_of_a_network_is_the_sum_of_the_layers(self):
        model = keras.Sequential([keras.Input([3]), bl.DenseFlipout(4), bl.DenseReparameterization(2)])
        exact = 0.0
        for layer in model.layers:
            for loc, scale in zip(layer.posterior.mean().values(), layer.posterior.stddev().values(), strict=True):
                loc, scale = np.asarray(loc, float), np.asarray(scale, float)
                exact += (loc**2 + scale**2 - 1 - 2 * np.log(scale)).sum() / 2
        assert float(bl.kl_divergence(model)) == pytest.approx(exact, rel=1e-5)


@pytest.mark.verifies("prop-minibatch-elbo")
class TestMinibatch:
    LOC, SCALE, N, M = 0.4, 0.7, 4, 2
    expected = WEIGHTS @ losses(0.4 + 0.7 * NODES)  # E l_i
    KL = (0.4**2 + 0.7**2 - 1 - 2 * np.log(0.7)) / 2

    def over_batches(self, c, d, batches=None):
        batches = batches or list(itertools.combinations(range(4), 2))
        return np.mean([c * self.expected[list(b)].sum() + d * self.KL for b in batches])

    def test_mean_over_all_batches(self):
        assert self.over_batches(1 / 2, 1 / 4) == pytest.approx(negative_elbo(0.4, 0.7) / 4)
        assert self.over_batches(1 / 2, 1 / 2) != pytest.approx(negative_elbo(0.4, 0.7) / 4, rel=0.01)

    @pytest.mark.parametrize(
        ("c", "d", "weight"),
        [
            (1 / 2, 1 / 4, 1),  # mean + KL / N
            (1, 2 / 4, 1),  # sum + KL M / N
            (1 / 2, 1, 4),  # not divided: N
            (1, 1, 2),  # once a batch: N / M
            (1 / 2, 1 / 2, 2),  # mean and the number of batches: M
            (1 / 2, 1 / 16, 1 / 4),  # divided twice: 1 / N
        ],
    )
    def test_weights_of_the_table(self, c, d, weight):
        assert weight == pytest.approx(d * 4 / (c * 2))
        assert self.over_batches(c, d) == pytest.approx(c * 2 / 4 * negative_elbo(0.4, 0.7, weight))

    def test_batches_of_a_permutation_the_short_one_too(self):
        for places in (slice(0, 3), slice(3, 4)):  # batches of 3 and of 1
            batches = [order[places] for order in itertools.permutations(range(4))]
            size = len(batches[0])
            assert self.over_batches(1 / size, 1 / 4, batches) == pytest.approx(negative_elbo(0.4, 0.7) / 4)

    def test_evaluate_reports_it_at_every_batch_size(self):
        data = datasets.diabetes(["bmi", "bp", "s1", "s2", "s5"])
        referee = BayesianLinearRegression(data.x, data.y, 0.7, bias=False)
        begin = bl.MeanFieldNormal(scale_initializer=0.02)
        layer = bl.DenseLocalReparameterization(1, bias=None, posterior=begin, num_examples=442, seed=1)
        model = keras.Sequential([keras.Input([5]), layer])
        model.compile(loss=bl.NegativeLogLikelihood(bl.likelihoods.Normal(0.7)))
        loc, scale = (np.ravel(v["kernel"]) for v in (layer.posterior.mean(), layer.posterior.stddev()))
        for batch_size in (100, 442):
            seen = [model.evaluate(data.x, data.y, batch_size=batch_size, verbose=0) for _ in range(12)]
            error = 9 * np.std(seen, ddof=1) / np.sqrt(12)  # Student's t with 11 degrees of freedom: 2e-6
            assert abs(np.mean(seen) - referee.loss(loc, scale)) < error + 1e-5
            kl = referee.kl_divergence(loc, scale) / 442
            assert error < 0.5 * kl  # one KL more or less would be seen


@pytest.mark.verifies("prop-tempered-kl")
class TestTemperedKl:
    @pytest.mark.parametrize("weight", [0.3, 1.0, 4.0])
    def test_identity_by_quadrature(self, weight):
        for loc, scale in [(0.2, 0.5), (-0.5, 1.0)]:

            def to_tempered(w, loc=loc, scale=scale):
                log_tempered = stats.norm.logpdf(w) - losses(w).sum(-1) / weight - np.log(evidence(1 / weight))
                log_q = stats.norm.logpdf(w, loc, scale)
                return np.exp(log_q) * (log_q - log_tempered)

            right = weight * integral(to_tempered, loc - 12 * scale, loc + 12 * scale)
            right -= weight * np.log(evidence(1 / weight))
            assert negative_elbo(loc, scale, weight) == pytest.approx(right, abs=1e-7)
            assert negative_elbo(loc, scale, 1.1 * weight) != pytest.approx(right, abs=1e-3)

    @pytest.mark.parametrize("weight", [1 / 442, 0.5, 13.8, 442.0])
    def test_regression_has_the_noise_of_a_larger_variance(self, weight):
        rng = np.random.default_rng(2)
        x, y, s = rng.normal(size=(30, 3)), rng.normal(size=30), 0.6
        # minimise E losses + weight KL over diagonal Gaussians by its stationarity conditions
        gram, target = x.T @ x / s**2, x.T @ y / s**2
        loc = np.linalg.solve(gram + weight * np.eye(3), target)
        scale = np.sqrt(weight / (np.diag(gram) + weight))
        tempered = BayesianLinearRegression(x, y, s, bias=False).tempered(weight).mean_field_posterior
        assert np.allclose(tempered.mean(), loc)
        assert np.allclose(tempered.stddev(), scale)

    def test_limits(self):
        rng = np.random.default_rng(3)
        x, y, before = rng.normal(size=(30, 3)), rng.normal(size=30), np.array([0.5, 1.0, 2.0])
        model = BayesianLinearRegression(x, y, 0.6, before, bias=False)
        prior, point = (model.tempered(weight).mean_field_posterior for weight in (1e8, 1e-8))
        assert np.allclose(prior.mean(), 0, atol=1e-5)
        assert np.allclose(prior.stddev(), before, atol=1e-5)
        assert np.allclose(point.mean(), np.linalg.lstsq(x, y, rcond=None)[0])
        assert np.all(point.stddev() < 1e-4)

    def test_a_prior_that_is_not_diagonal_is_no_limit(self):
        """The best diagonal Gaussian then has the conditional variances of the prior, by its stationarity."""
        covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
        gram = np.eye(2)
        best = 1 / np.diag(np.linalg.inv(covariance) + gram / 1e8)
        assert np.allclose(best, 1 - 0.8**2)
        assert not np.allclose(best, np.diag(covariance), rtol=0.1)


# Bayes by Backprop ---------------------------------------------------------------------------------------------------


def kinked(w):
    """A loss with kinks: (max(w1 x, 0) w2 - 1)^2, and its gradient."""
    hidden = np.maximum(1.3 * w[:, 0], 0.0)
    residual = hidden * w[:, 1] - 1.0
    slope = np.stack([2 * residual * w[:, 1] * 1.3 * (w[:, 0] > 0), 2 * residual * hidden], axis=1)
    return residual**2, slope


@pytest.mark.verifies("prop-bayes-by-backprop")
class TestBayesByBackprop:
    loc, rho = np.array([0.0, 0.5]), np.array([0.0, -1.0])

    @staticmethod
    def expected_loss(loc, rho):
        """E (h w2 - 1)^2 with h = max(1.3 w1, 0), from the moments of h and w2."""
        s = softplus(rho)

        def density(u):
            return stats.norm.pdf(u, loc[0], s[0])

        first, second = (integrate.quad(lambda u, k: (1.3 * u) ** k * density(u), 0, 15, (k,))[0] for k in (1, 2))
        return second * (loc[1] ** 2 + s[1] ** 2) - 2 * first * loc[1] + 1

    def exact(self):
        h, gradients = 1e-5, []
        for which in range(2):
            for j in range(2):
                shifted = []
                for sign in (1, -1):
                    arguments = [self.loc.copy(), self.rho.copy()]
                    arguments[which][j] += sign * h
                    shifted.append(self.expected_loss(*arguments))
                gradients.append((shifted[0] - shifted[1]) / (2 * h))
        return np.array(gradients)

    def samples(self, n=40_000):
        eps = np.random.default_rng(4).normal(size=(n, 2))
        _, slope = kinked(self.loc + softplus(self.rho) * eps)
        return slope, slope * eps * special.expit(self.rho)

    def test_unbiased_though_the_mean_sits_on_the_kink(self):
        slope, along_rho = self.samples()
        found = np.concatenate([slope, along_rho], axis=1)
        assert agree(found, self.exact())
        forgotten = np.concatenate([slope, along_rho / special.expit(self.rho)], axis=1)
        assert not agree(forgotten, self.exact())

    def test_sampled_kl_has_the_same_mean(self):
        n, eps = 40_000, np.random.default_rng(5).normal(size=(40_000, 2))
        s = softplus(self.rho)
        w = self.loc + s * eps
        slope_loc, slope_rho = w, (w * eps - 1 / s) * special.expit(self.rho)  # of log q - log p along the path
        exact_rho = (s - 1 / s) * special.expit(self.rho)
        assert agree(slope_loc, self.loc)
        assert agree(slope_rho, exact_rho)
        assert not agree(slope_rho + 1 / s * special.expit(self.rho), exact_rho)
        assert n == len(w)

    def test_the_layer_computes_it(self):
        """Gradients of a layer against those of the closed form, as means over draws."""
        data = datasets.diabetes(["bmi", "s1"])
        referee = BayesianLinearRegression(data.x, data.y, 0.7, bias=False)
        begin = bl.MeanFieldNormal("ones", 0.3)
        layer = bl.DenseReparameterization(1, bias=None, posterior=begin, num_examples=442, seed=2)
        model = keras.Sequential([keras.Input([2]), layer])
        loss = bl.NegativeLogLikelihood(bl.likelihoods.Normal(0.7))
        x, y = tf.constant(data.x, tf.float32), tf.constant(data.y[:, None], tf.float32)

        def once(_):
            with tf.GradientTape() as tape:
                value = loss(y, model(x, training=True)) + tf.add_n(model.losses)
            gradients = tape.gradient(value, [v.value for v in model.trainable_variables])
            return tf.concat([tf.reshape(g, [-1]) for g in gradients], axis=0)

        found = tf.function(lambda: tf.map_fn(once, tf.range(1500), fn_output_signature=tf.float32))()
        precision, scale = referee.precision, 0.3
        for_loc = (precision @ np.ones(2) - data.x.T @ data.y / 0.49) / 442
        for_rho = (np.diag(precision) * scale - 1 / scale) / 442 * (1 - np.exp(-scale))
        assert agree(found, np.concatenate([for_loc, for_rho]))
        assert not agree(found, np.concatenate([for_loc, for_rho / (1 - np.exp(-scale))]))


@pytest.mark.verifies("prop-scale-needs-a-floor")
class TestScaleNeedsAFloor:
    @staticmethod
    def expected_inverse_square(x, sigma_u, sigma_v, limit):
        """E exp(-2 v h) cut off at |u| = limit, the factor that bounds the loss from below."""

        def inner(u):
            return 2 * sigma_v**2 * max(u * x, 0.0) ** 2

        def f(u):
            return np.exp(inner(u) - u**2 / (2 * sigma_u**2)) / np.sqrt(2 * np.pi) / sigma_u

        return integrate.quad(f, -limit, limit, limit=500)[0]

    def test_threshold(self):
        below = [self.expected_inverse_square(1.0, 0.7, 0.7, limit) for limit in (10, 20, 30)]
        above = [self.expected_inverse_square(1.0, 0.75, 0.7, limit) for limit in (10, 20, 30)]
        assert 2 * 0.7 * 0.7 < 1 < 2 * 0.75 * 0.7
        assert below[2] == pytest.approx(below[1], rel=1e-2)
        assert above[1] > 5 * above[0]
        assert above[2] > 50 * above[1]
        # below it, the value is half of 1 + 1 / sqrt(1 - (2 s_u s_v x)^2)
        exact = (1 + 1 / np.sqrt(1 - (2 * 0.6 * 0.7) ** 2)) / 2
        assert self.expected_inverse_square(1.0, 0.6, 0.7, 30) == pytest.approx(exact)

    def test_second_unit_makes_it_infinite_for_small_scales(self):
        """log E exp(-2 v max(u' max(u, 0), 0)) cut off at u, u' <= limit; all scales 0.3, fine for one unit."""

        def log_integral(limit, power):
            u = np.linspace(0.0, limit, 1501)
            exponent = 2 * 0.09 * np.multiply.outer(u, u) ** 2 if power == 2 else 2 * 0.09 * u[:, None] ** 2 + 0 * u
            exponent = exponent - np.add.outer(u**2, u**2) / (2 * 0.09)
            return special.logsumexp(exponent) + 2 * np.log(u[1])

        one, two = ([log_integral(limit, power) for limit in (4, 6, 10, 12)] for power in (1, 2))
        assert np.ptp(one) < 0.05
        assert abs(two[1] - two[0]) < 0.05
        assert two[2] > two[1] + 100
        assert two[3] > two[2] + 100

    def test_bounds_of_softplus(self):
        rho = np.linspace(-30, 30, 1001)
        assert np.all(softplus(rho) <= np.exp(rho) * (1 + 1e-12))
        assert np.all(np.abs(np.log(softplus(rho))) <= np.abs(rho) + np.log(2) + 1e-12)

    def test_with_a_floor_means_settle(self):
        rng = np.random.default_rng(6)
        u, v, m = rng.normal(size=(3, 200_000))
        rho = v * np.maximum(u, 0)
        square = (1 - m) ** 2 / 2
        floored, bare = square / (0.1 + softplus(rho)) ** 2, square / softplus(rho) ** 2
        assert floored.max() / floored.sum() < 0.01 < bare.max() / bare.sum()


# The noise -----------------------------------------------------------------------------------------------------------

METHODS = ("shared", "per_example", "flipout", "local_reparameterization")


def simulated(x, y, loc, scale, method, n=40_000, seed=0):
    """Gradients of the linear layer with one output, drawn by hand: for loc and for scale, [n, inputs] each."""
    rng = np.random.default_rng(seed)
    num_examples, inputs = x.shape
    if method == "local_reparameterization":
        v = x**2 @ scale**2
        zeta = rng.normal(size=(n, num_examples))
        residual = x @ loc - y + np.sqrt(v) * zeta
        path = zeta[..., None] * x**2 * scale / np.sqrt(v)[:, None]
        return residual @ x / num_examples, np.einsum("ni,nij->nj", residual, path) / num_examples
    eps = rng.normal(size=(n, num_examples if method == "per_example" else 1, inputs))
    if method == "flipout":
        eps = eps * rng.choice([-1.0, 1.0], size=(n, num_examples, inputs))
    eps = np.broadcast_to(eps, (n, num_examples, inputs))
    residual = np.einsum("ij,nij->ni", x, loc + scale * eps) - y
    return residual @ x / num_examples, np.einsum("ni,ij,nij->nj", residual, x, eps) / num_examples


def table(x, y, loc, scale):
    """The variances of the theorem: a mapping of methods to (for loc, for scale)."""
    m = len(x)
    d, v, a = x @ loc - y, x**2 @ scale**2, x.T @ x / m
    b, cross = x.T @ d / m, (x.T @ x / m) ** 2 @ scale**2
    many = (x**2).T @ v / m**2
    each = ((x**2) * (d**2 + v)[:, None] + x**4 * scale**2).sum(0) / m**2
    floor = 2 * scale**2 * (np.diag(a) ** 2 - (x**4).sum(0) / m**2)
    local = (x**4 * (d**2 / v + 2)[:, None]).sum(0) * scale**2 / m**2
    return {
        "shared": (cross, b**2 + np.diag(a) ** 2 * scale**2 + cross),
        "per_example": (many, each),
        "flipout": (many, each + floor),
        "local_reparameterization": (many, local),
    }


@pytest.mark.verifies("thm-linear-layer-noise")
class TestLinearLayerNoise:
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=5)
    loc, scale = rng.normal(size=3), np.array([0.4, 0.8, 0.2])

    @pytest.mark.parametrize("method", METHODS)
    def test_means_and_variances(self, method):
        found = simulated(self.x, self.y, self.loc, self.scale, method)
        exact = table(self.x, self.y, self.loc, self.scale)[method]
        a = self.x.T @ self.x / 5
        means = self.x.T @ (self.x @ self.loc - self.y) / 5, np.diag(a) * self.scale
        for sample, mean, variance in zip(found, means, exact, strict=True):
            assert agree(sample, mean)
            assert variance_agrees(sample, variance)
        other = table(self.x, self.y, self.loc, self.scale)["flipout" if method != "flipout" else "per_example"][1]
        assert not variance_agrees(found[1], other)

    @pytest.mark.parametrize("method", METHODS)
    def test_the_package_has_the_same(self, method):
        given = (self.x, self.y[:, None], self.loc[:, None], self.scale[:, None])
        found = gradient_noise(*given, method).variance
        exact = table(self.x, self.y, self.loc, self.scale)[method]
        assert np.allclose(found["loc"][:, 0], exact[0])
        assert np.allclose(found["scale"][:, 0], exact[1])

    def test_order_for_scale(self):
        for _ in range(200):
            x, y, loc = self.rng.normal(size=(4, 3)), self.rng.normal(size=4), self.rng.normal(size=3)
            exact = table(x, y, loc, np.exp(self.rng.normal(size=3)))
            rows = [exact[name][1] for name in ("local_reparameterization", "per_example", "flipout")]
            assert np.all(np.diff(rows, axis=0) >= -1e-12)

    def test_no_order_between_one_sample_and_the_others(self):
        cross, same = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])
        zero, one = np.zeros(2), np.ones(2)
        first = table(cross, np.array([-1.0, 1.0]), zero, one)  # d = (1, -1)
        second = table(same, -np.ones(2), zero, one)  # d = (1, 1)
        assert (first["shared"][1][0], first["flipout"][1][0]) == pytest.approx((2, 3))
        assert (second["shared"][1][0], second["flipout"][1][0]) == pytest.approx((3, 2.5))
        third = table(cross, zero, zero, np.array([1.0, 3.0]))
        assert (third["shared"][0][0], third["flipout"][0][0]) == pytest.approx((1, 5))
        assert (second["shared"][0][0], second["flipout"][0][0]) == pytest.approx((1, 0.5))

    def test_summed_over_inputs_one_sample_is_never_better(self):
        for _ in range(100):
            exact = table(self.rng.normal(size=(4, 6)), np.zeros(4), np.zeros(6), np.full(6, 0.5))
            assert exact["shared"][0].sum() > exact["flipout"][0].sum()
        orthogonal = np.linalg.qr(self.rng.normal(size=(6, 4)))[0].T
        exact = table(orthogonal, np.zeros(4), np.zeros(6), np.full(6, 0.5))
        assert exact["shared"][0].sum() == pytest.approx(exact["flipout"][0].sum())

    def test_what_decays_with_the_batch(self):
        x = self.rng.normal(size=(20_000, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
        y = self.rng.normal(size=20_000)
        small, large = (table(x[:m], y[:m], self.loc, self.scale) for m in (200, 20_000))
        for method, part in [("per_example", 0), ("per_example", 1), ("local_reparameterization", 1), ("flipout", 0)]:
            ratio = small[method][part] / large[method][part]
            assert np.all((ratio > 50) & (ratio < 200))
        second = np.array([[1.0, 0.5, 0.0], [0.5, 1.25, 0.0], [0.0, 0.0, 4.0]])  # E x x'
        assert np.allclose(large["shared"][0], second**2 @ self.scale**2, rtol=0.1)
        assert np.allclose(large["flipout"][1], 2 * self.scale**2 * np.diag(second) ** 2, rtol=0.1)
        floor = (second @ self.loc) ** 2 + np.diag(second) ** 2 * self.scale**2 + second**2 @ self.scale**2
        assert np.allclose(large["shared"][1], floor, rtol=0.1)  # y is independent of x: E d x = E x x' loc
        assert not np.allclose(large["shared"][1], floor - (second @ self.loc) ** 2, rtol=0.1)


def outputs_of(kind, x, repetitions, seed=0, hidden=3):
    """Outputs of a two-layer network of one kind for inputs x: [repetitions, len(x)]."""
    start = bl.MeanFieldNormal(keras.initializers.RandomNormal(stddev=1.0, seed=5), 0.5)
    made = [kind(hidden, "relu", posterior=start, seed=seed), kind(1, posterior=start, seed=seed + 1)]
    model = keras.Sequential([keras.Input([x.shape[1]]), *made])
    # the rows of one batch differ in their noise only where the method says so: repeat calls
    loop = tf.function(
        lambda: tf.map_fn(lambda _: model(x)[:, 0], tf.range(repetitions), fn_output_signature=tf.float32)
    )
    return loop().numpy().astype(float)


X_PAIR = np.array([[1.0, -0.5], [0.3, 2.0]], "float32")


@pytest.fixture(scope="module")
def draws():
    kinds = {"shared": bl.DenseReparameterization, "local": bl.DenseLocalReparameterization, "flipout": bl.DenseFlipout}
    return {name: outputs_of(kind, X_PAIR, 6000) for name, kind in kinds.items()}


@pytest.mark.verifies("prop-local-reparameterization")
class TestLocalReparameterization:
    def test_one_examples_outputs_have_their_law(self, draws):
        for i in range(2):
            assert stats.ks_2samp(draws["shared"][:, i], draws["local"][:, i]).pvalue > 1e-6
        assert stats.ks_2samp(draws["shared"][:, 0], draws["local"][:, 1]).pvalue < 1e-6

    def test_its_gradient_is_the_conditional_expectation(self):
        """Two layers, tanh between: the gradient by weights, averaged given the pre-activations."""
        rng = np.random.default_rng(8)
        h = np.array([0.7, -1.2])
        mu1, s1 = rng.normal(size=(2, 2)), np.exp(rng.normal(size=(2, 2)))
        mu2, s2 = rng.normal(size=2), np.exp(rng.normal(size=2))
        v1 = h**2 @ s1**2
        zeta1 = rng.normal(size=2)
        t1 = h @ mu1 + np.sqrt(v1) * zeta1
        a, slope = np.tanh(t1), 1 - np.tanh(t1) ** 2
        v2 = a**2 @ s2**2
        zeta2 = rng.normal()
        t2 = a @ mu2 + np.sqrt(v2) * zeta2
        # local: along t2(a(t1(mu, s)))
        back = mu2 + a * s2**2 * zeta2 / np.sqrt(v2)
        local = h[:, None] ** 2 * s1 * zeta1 / np.sqrt(v1) * slope * back * 2 * t2
        # weights given t1 and t2: independent Gaussians under two linear constraints
        n = 200_000
        eps1, eps2 = rng.normal(size=(n, 2, 2)), rng.normal(size=(n, 2))
        w1, w2 = mu1 + s1 * eps1, mu2 + s2 * eps2
        w1 = w1 + (s1**2 * h[:, None] / v1) * (t1 - np.einsum("j,njk->nk", h, w1))[:, None, :]
        w2 = w2 + (s2**2 * a / v2) * (t2 - w2 @ a)[:, None]
        by_weights = h[:, None] * (w1 - mu1) / s1 * (slope * w2 * 2 * t2)[:, None, :]
        assert agree(by_weights.reshape(n, 4), local.ravel())
        assert not agree(by_weights.reshape(n, 4), (local * mu2 / back).ravel())  # the noise above forgotten

    def test_convolution_drops_covariances(self):
        image = np.random.default_rng(9).normal(size=(1, 5, 5, 1)).astype("float32")
        patches = np.array([image[0, i : i + 3, j : j + 3, 0].ravel() for i in range(3) for j in range(3)], float)
        covariance = 0.09 * patches @ patches.T
        for kind, exact in {
            bl.Conv2DFlipout: covariance,
            bl.Conv2DLocalReparameterization: np.diag(np.diag(covariance)),
        }.items():
            layer = kind(1, 3, bias=None, posterior=bl.MeanFieldNormal("zeros", 0.3), seed=3)
            layer.build([None, 5, 5, 1])

            def body(_, layer=layer):
                return tf.reshape(layer(image), [9])

            found = tf.function(lambda body=body: tf.map_fn(body, tf.range(4000), fn_output_signature=tf.float32))()
            found = found.numpy().astype(float)
            products = found[:, :, None] * found[:, None]
            assert agree(products, exact)
            if kind is bl.Conv2DFlipout:
                assert not agree(products, np.diag(np.diag(covariance)))
                assert variance_agrees(found.mean(axis=1), 0.09 * (patches.mean(axis=0) ** 2).sum())

    def test_factor_for_equal_patches(self):
        patch, positions = np.array([1.0, -2.0, 0.5]), 7
        patches = np.tile(patch, (positions, 1))
        local = (patches**2).sum() / positions**2
        assert (patches.mean(axis=0) ** 2).sum() / local == pytest.approx(positions)

    def test_patches_that_cancel_are_certain_and_local_is_not(self):
        patches = np.array([[1.0, -2.0], [-1.0, 2.0]])
        assert (patches.mean(axis=0) ** 2).sum() == 0 < (patches**2).sum() / 4


@pytest.mark.verifies("prop-flipout")
class TestFlipout:
    def test_one_examples_outputs_have_their_law(self, draws):
        for i in range(2):
            assert stats.ks_2samp(draws["shared"][:, i], draws["flipout"][:, i]).pvalue > 1e-6

    def test_two_matrix_products_are_the_same(self):
        rng = np.random.default_rng(10)
        x, loc, noise = rng.normal(size=3), rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
        s, r = np.array([1, -1, -1.0]), np.array([-1, 1.0])
        whole = x @ (loc + noise * np.outer(s, r))
        assert np.allclose(whole, x @ loc + ((x * s) @ noise) * r)

    def test_uncorrelated_and_not_independent(self):
        layer = bl.DenseFlipout(1, bias=None, posterior=bl.MeanFieldNormal("zeros", 1.0), seed=4)
        layer.build([None, 1])
        x = tf.ones([2, 1])
        found = tf.function(
            lambda: tf.map_fn(lambda _: layer(x)[:, 0], tf.range(4000), fn_output_signature=tf.float32)
        )()
        first, second = found.numpy().astype(float).T
        assert agree((first * second)[:, None], [0.0])
        assert np.allclose(np.abs(first), np.abs(second), rtol=1e-5)
        assert not agree((first**2 * second**2)[:, None], [1.0])  # 3 of a shared size, 1 if independent
        assert agree((first**2 * second**2)[:, None], [3.0])

    def test_still_dependent_when_every_size_is_constant(self):
        """2 x 2 random signs for E: the quotient of two perturbations has rank one; of independent ones, half."""
        rng = np.random.default_rng(15)
        signs = rng.choice([-1.0, 1.0], size=(4, 4000, 2))
        first, second = (s[:, :, None] * r[:, None, :] for s, r in (signs[:2], signs[2:]))
        noise, other = rng.choice([-1.0, 1.0], size=(2, 4000, 2, 2))
        assert np.all(np.linalg.det((noise * first) / (noise * second)) == 0)
        singular = np.linalg.det((noise * first) / (other * second)) == 0
        assert agree(singular[:, None].astype(float), [0.5])

    def test_affine_gradients_of_two_examples_are_uncorrelated(self):
        """And those for the scales are not: 2 sigma^2 x^2 x'^2, as in the proof of the theorem."""
        rng = np.random.default_rng(16)
        x, y, scale = np.array([1.0, 2.0]), np.array([0.5, -1.0]), 0.7  # two examples of one input
        eps, signs = rng.normal(size=(40_000, 1)), rng.choice([-1.0, 1.0], size=(40_000, 2))
        residual = x * (0.3 + scale * eps * signs) - y
        for_loc, for_scale = residual * x, residual * x * eps * signs
        means = x * (0.3 * x - y), x**2 * scale
        centred = [(g - m).prod(axis=1)[:, None] for g, m in zip((for_loc, for_scale), means, strict=True)]
        assert agree(centred[0], [0.0])
        assert agree(centred[1], [2 * scale**2 * (x**2).prod()])
        assert not agree(centred[1], [0.0])

    def test_signs_have_to_be_independent_of_the_noise(self):
        eps = np.random.default_rng(17).normal(size=(4000, 1))
        free = np.random.default_rng(18).choice([-1.0, 1.0], size=(4000, 1))
        assert agree(eps * free, [0.0])
        assert not agree(eps * np.sign(eps), [0.0])  # signs that are uniform, and made of E

    def test_every_pattern_of_signs_has_the_same_law(self):
        eps = np.array([[-1.0], [0.5]])  # any symmetric noise: the set of its sign patterns is closed under signs
        patterns = {tuple(np.sign(eps[:, 0]) * np.array(s)) for s in itertools.product((-1, 1), repeat=2)}
        assert patterns == set(itertools.product((-1.0, 1.0), repeat=2))


# The family and the prior --------------------------------------------------------------------------------------------


def second_data():
    """Ten measurements instead of five, and another noise and prior."""
    data = datasets.diabetes()
    return BayesianLinearRegression(data.x[:60], data.y[:60], 0.9, prior_scale=0.5, bias=False)


def first_data():
    data = datasets.diabetes(["bmi", "bp", "s1", "s2", "s5"])
    return BayesianLinearRegression(data.x, data.y, 0.7, bias=False)


@pytest.mark.verifies("thm-mean-field-conjugate")
class TestMeanFieldConjugate:
    @pytest.mark.parametrize("make", [first_data, second_data])
    def test_all_four_parts(self, make):
        model = make()
        precision, s = model.precision, model.noise_scale
        covariance, conditional = np.linalg.inv(precision), 1 / np.diag(precision)
        best = model.mean_field_posterior
        assert np.allclose(best.mean(), covariance @ model.x.T @ model.y / s**2)
        assert np.allclose(best.variance(), conditional)
        elbo = model.elbo(best.mean(), best.stddev())
        root = np.sqrt(conditional)
        scaled = root[:, None] * precision * root
        assert model.log_evidence - elbo == pytest.approx(-np.linalg.slogdet(scaled)[1] / 2)
        rng = np.random.default_rng(11)
        for _ in range(50):  # 1: no other is better
            loc = best.mean() + 0.1 * rng.normal(size=len(root))
            assert model.elbo(loc, best.stddev() * np.exp(0.2 * rng.normal(size=len(root)))) < elbo
        assert np.all(conditional < np.diag(covariance))  # 2
        eigenvalues, vectors = np.linalg.eigh(scaled)

        def ratio(x):
            return x @ (conditional * x) / (x @ covariance @ x)

        ratios = [ratio(x) for x in rng.normal(size=(500, len(root)))]
        assert eigenvalues[0] - 1e-9 < min(ratios)
        assert max(ratios) < eigenvalues[-1] + 1e-9
        assert ratio(vectors[:, 0] / root) == pytest.approx(eigenvalues[0])
        assert ratio(vectors[:, -1] / root) == pytest.approx(eigenvalues[-1])
        assert eigenvalues.mean() == pytest.approx(1)
        assert eigenvalues[0] < 1 < eigenvalues[-1]
        on_data = [np.mean([x @ B @ x for x in model.x]) for B in (np.diag(conditional), covariance)]  # 4
        excess = s**2 / len(model.x) * np.sum((np.diag(covariance) - conditional) / model.prior_scale**2)
        assert on_data[0] - on_data[1] == pytest.approx(excess)
        assert excess > 0

    def test_without_correlation_nothing_is_lost(self):
        x = np.linalg.qr(np.random.default_rng(12).normal(size=(8, 3)))[0]
        model = BayesianLinearRegression(x, x[:, 0], 0.5, bias=False)
        assert model.gap == pytest.approx(0, abs=1e-10)
        assert np.allclose(model.predictive_ratio_range, 1)

    @pytest.mark.parametrize("make", [first_data, second_data])
    def test_a_layer_reaches_the_optimum_by_plain_fit(self, make):
        model = make()
        prior = tfd.Normal(0.0, np.float32(model.prior_scale[0]))
        layer = bl.DenseLocalReparameterization(1, bias=None, prior=prior, num_examples=len(model.y), seed=1)
        network = keras.Sequential([keras.Input([model.x.shape[1]]), layer])
        rate = keras.optimizers.schedules.CosineDecay(0.05, 1500)
        loss = bl.NegativeLogLikelihood(bl.likelihoods.Normal(model.noise_scale))
        network.compile(keras.optimizers.Adam(rate), loss=loss, steps_per_execution=100)
        data = tf.data.Dataset.from_tensors((model.x, model.y[:, None])).repeat()
        network.fit(data, steps_per_epoch=1500, shuffle=False, verbose=0)
        loc, scale = (np.ravel(v["kernel"]).astype(float) for v in (layer.posterior.mean(), layer.posterior.stddev()))
        best = model.mean_field_posterior
        short = model.elbo(best.mean(), best.stddev()) - model.elbo(loc, scale)
        assert 0 <= short < 0.05
        assert np.allclose(scale, best.stddev(), rtol=0.05)
        wrong = model.tempered(2.0).mean_field_posterior.stddev()  # a doubled KL would be seen
        assert not np.allclose(scale, wrong, rtol=0.05)


@pytest.mark.verifies("prop-mean-field-gap-band")
def test_mean_field_variance_is_convex_and_the_exact_one_is_not():
    rng = np.random.default_rng(13)
    a, c, variances = rng.normal(size=(20, 2)), rng.normal(size=20), np.exp(rng.normal(size=21))

    def hidden(x):
        return np.maximum(a @ x + c, 0)

    def variance(x):
        return variances[0] + variances[1:] @ hidden(x) ** 2

    for _ in range(300):
        p, q, t = rng.normal(size=2) * 2, rng.normal(size=2) * 2, rng.uniform()
        between = variance(t * p + (1 - t) * q)
        assert between <= t * variance(p) + (1 - t) * variance(q) + 1e-9
        assert between <= max(variance(p), variance(q)) + 1e-9
    x = np.concatenate([np.linspace(-1, -0.7, 20), np.linspace(0.5, 0.8, 20)])

    def features(x):
        return np.maximum(np.subtract.outer(x, np.linspace(-2, 2, 25)), 0)

    exact = BayesianLinearRegression(features(x), np.cos(4 * x), 0.1)
    places = np.array([-0.85, -0.1, 0.65])
    left, middle, right = exact.predict(features(places)).epistemic
    assert middle > 10 * max(left, right)
    left, middle, right = exact.predict_mean_field(features(places)).epistemic
    assert middle <= max(left, right)


@pytest.mark.verifies("prop-prior-and-width")
class TestPriorAndWidth:
    @staticmethod
    def exact(x, widths, sigmas, taus):
        q = np.sum(x**2)
        for width, sigma, tau in zip(widths, sigmas, taus, strict=False):
            q = width * (tau**2 + sigma**2 * q) / 2
        return taus[-1] ** 2 + sigmas[-1] ** 2 * q

    def test_against_networks_drawn_from_the_prior(self):
        rng, x = np.random.default_rng(14), np.array([1.0, -0.5])
        widths, sigmas, taus = (5, 4), (1.0, 0.7, 1.3), (0.5, 1.0, 0.2)
        n = 100_000
        h, fan_in = np.broadcast_to(x, (n, 2)), 2
        for units, sigma, tau in zip((*widths, 1), sigmas, taus, strict=True):
            w = sigma * rng.normal(size=(n, fan_in, units))
            t = np.einsum("ni,nij->nj", h, w) + tau * rng.normal(size=(n, units))
            h, fan_in = np.maximum(t, 0), units
        variance = self.exact(x, widths, sigmas, taus)
        assert agree(t, [0.0])
        assert agree(t**2, [variance])
        assert not agree(t**2, [self.exact(x, (6, 4), sigmas, taus)])

    def test_growth_with_the_width(self):
        x = np.ones(1)
        flat = [self.exact(x, (h, h), (1, 1, 1), (1, 1, 1)) for h in (100, 1000, 10_000)]
        assert flat[2] / flat[1] == pytest.approx(100, rel=0.01)
        scaled = [self.exact(x, (h, h), (2**0.5, (2 / h) ** 0.5, (2 / h) ** 0.5), (1, 1, 1)) for h in (10, 10_000)]
        assert scaled[0] == pytest.approx(scaled[1])

    def test_the_layers_prior_is_that_prior(self):
        layer = bl.DenseFlipout(3, prior=tfd.Normal(0.0, 0.5))
        layer.build([None, 4])
        drawn = layer.prior.sample(4000, seed=1)
        assert agree(np.reshape(drawn["kernel"], [4000, 12]) ** 2, np.full(12, 0.25))
        assert agree(np.asarray(drawn["bias"]) ** 2, np.full(3, 0.25))
