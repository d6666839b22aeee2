"""The checks of the chapter "Variational autoencoders" accept right answers and name wrong ones."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from tensorflow_probability import distributions as tfd

import companion
from companion.exercises import vae as check
from companion.exercises.checks import WrongAnswer


def elbo_terms(x, logits, loc, scale):
    log_likelihood = np.sum(x * logits - np.logaddexp(0, logits), axis=-1)
    return log_likelihood.mean(axis=0), np.sum(loc**2 + scale**2 - 1 - 2 * np.log(scale), axis=-1) / 2


def terms(change):
    """The right terms, changed."""
    return lambda x, logits, loc, scale: change(*elbo_terms(x, logits, loc, scale), x, logits, loc, scale)


def by_probabilities(x, logits, loc, scale):
    with np.errstate(all="ignore"):
        probs = np.exp(logits) / (1 + np.exp(logits))
        fits = np.sum(x * np.log(probs) + (1 - x) * np.log(1 - probs), axis=-1)
    return fits.mean(axis=0), elbo_terms(x, logits, loc, scale)[1]


CLIPPINGS = {
    "probabilities": lambda logits: special.logit(np.clip(special.expit(logits), 1e-7, 1 - 1e-7)),
    "logits": lambda logits: np.clip(logits, -30, 30),
}


def clipped(how):
    """The right terms of logits that have been kept small, which changes nothing at ordinary ones."""
    return lambda x, logits, loc, scale: elbo_terms(x, CLIPPINGS[how](logits), loc, scale)


class TestElboTerms:
    def test_right(self, capsys):
        check.check_elbo_terms(elbo_terms)
        check.check_elbo_terms(lambda *given: tuple(map(tf.constant, elbo_terms(*given))))
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (terms(lambda r, k, x, logits, *_: (r / x.shape[1], k)), "mean over pixels"),
            (terms(lambda r, k, *_: (-r, k)), "the cross-entropy"),
            (terms(lambda r, k, x, logits, *_: (r * len(logits), k)), "averaged, not summed"),
            (terms(lambda r, k, x, logits, *_: (elbo_terms(x, logits[:1], _[0], _[1])[0], k)), "first sample alone"),
            (terms(lambda r, k, *_: (k, r)), "in this order"),
            (terms(lambda r, k, x, logits, loc, _: (r, k / loc.shape[1])), "mean over latents"),
            (terms(lambda r, k, *_: (r, -k)), "divergence is at least 0"),
            (terms(lambda r, k, *_: (r, 2 * k)), "charged twice"),
            (terms(lambda r, k, x, y, m, s: (r, (m**2 + s - 1 - np.log(s)).sum(-1) / 2)), "standard deviation; square"),
            (terms(lambda r, k, x, y, m, s: (r, (m**2 + s**2 - 1 - np.log(s)).sum(-1) / 2)), "2 log.scale."),
            (terms(lambda r, k, *_: (r, 0 * k + k.mean())), "one number an example"),
            (by_probabilities, "logaddexp"),
            *((clipped(how), "hundreds of nats") for how in CLIPPINGS),
            (terms(lambda r, k, *_: r), "expected a pair|reconstruction"),
            (terms(lambda r, k, *_: None), "expected a pair"),
            (terms(lambda r, k, *_: (None, k)), "does your function return"),
            (terms(lambda r, k, *_: (r.mean(), k)), "expected shape"),
            (lambda x: x, "the call failed"),
            (3.0, "expected a function"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_elbo_terms(wrong)


class TestRepairedLoss:
    @staticmethod
    def with_bugs(*bugs):
        return lambda *given: check._gaussian_loss(*given, bugs)

    def test_right(self, capsys):
        check.check_repaired_loss(self.with_bugs())

        def by_tfp(x, loc, log_variance, eps, decode, noise_scale):
            q = tfd.MultivariateNormalDiag(loc, np.exp(log_variance / 2))
            fits = tfd.MultivariateNormalDiag(decode(loc + q.stddev() * eps), np.full(7, noise_scale)).log_prob(x)
            prior = tfd.MultivariateNormalDiag(np.zeros(2), np.ones(2))
            return q.kl_divergence(prior) - tf.reduce_mean(fits, axis=0)

        check.check_repaired_loss(by_tfp)

        def in_place(x, loc, log_variance, eps, decode, noise_scale):
            eps *= np.exp(log_variance / 2)
            eps += loc
            fits = -((x - decode(eps)) ** 2) / (2 * noise_scale**2) - np.log(2 * np.pi * noise_scale**2) / 2
            return (loc**2 + np.exp(log_variance) - 1 - log_variance).sum(-1) / 2 - fits.sum(-1).mean(0)

        check.check_repaired_loss(in_place)
        assert capsys.readouterr().out.count("Correct") == 3

    def test_who_changes_the_noise_is_told(self):
        def silenced(x, loc, log_variance, eps, decode, noise_scale):
            eps *= 0.0
            return check._gaussian_loss(x, loc, log_variance, eps, decode, noise_scale, ())

        with pytest.raises(WrongAnswer, match="no noise in z"):
            check.check_repaired_loss(silenced)

    @pytest.mark.parametrize(
        ("bugs", "message"),
        [
            (["deviation"], "exp.log_variance / 2."),
            (["noise"], "multiplied by 0.01"),
            (["mean"], "squared error is a mean over pixels"),
            (["mean", "thin"], "x | z. is a mean over pixels"),
            (["scale"], "2 noise_scale.2"),
            (["constant"], "normaliser"),
            (["scale", "constant"], "no log-likelihood"),
            (["double"], "charged twice"),
            (["center"], "no noise in z"),
            (["deviation", "mean"], "2 bugs are left: the standard deviation of z, the mean over pixels"),
            (["deviation", "constant"], "2 bugs are left: the standard deviation of z, the normaliser"),
            (["mean", "constant"], "2 bugs are left: the mean over pixels, the normaliser"),
            (["deviation", "mean", "constant"], "3 bugs are left"),
            (["noise", "double"], "for each example"),
        ],
    )
    def test_wrong(self, bugs, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_repaired_loss(self.with_bugs(*bugs))

    def test_sign_and_shape(self):
        with pytest.raises(WrongAnswer, match="sign is wrong"):
            check.check_repaired_loss(lambda *given: -check._gaussian_loss(*given, ()))
        with pytest.raises(WrongAnswer, match="expected shape"):
            check.check_repaired_loss(lambda *given: check._gaussian_loss(*given, ()).mean())


def diagonal_gap(loadings, noise_scale):
    M = loadings.T @ loadings + noise_scale**2 * np.eye(loadings.shape[1])
    return noise_scale / np.sqrt(np.diag(M)), (np.sum(np.log(np.diag(M))) - np.linalg.slogdet(M)[1]) / 2


def marginals(loadings, noise_scale):
    M = loadings.T @ loadings + noise_scale**2 * np.eye(loadings.shape[1])
    return noise_scale * np.sqrt(np.diag(np.linalg.inv(M)))


class TestDiagonalGap:
    def test_right(self, capsys):
        check.check_diagonal_gap(diagonal_gap)
        assert "Correct" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s, g, W, n: (marginals(W, n), g), "conditional ones"),
            (lambda s, g, W, n: (s**2, g), "variances"),
            (lambda s, g, W, n: (s / n, g), "sigma is missing"),
            (lambda s, g, W, n: (n / np.linalg.norm(W, axis=0), g), "prior's precision"),
            (lambda s, g, W, n: (s, 2 * g), "1/2 is missing"),
            (lambda s, g, W, n: (s, -g), "sign is wrong"),
            (lambda s, g, W, n: (s, 0.0), "not orthogonal"),
            (lambda s, g, W, n: (s, np.log(marginals(W, n) / s).sum()), "not with the marginal"),
            (lambda s, g, W, n: (s, "small"), "not text"),
            (lambda s, g, W, n: g, "expected a pair"),
        ],
    )
    def test_wrong(self, change, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_diagonal_gap(lambda W, n: change(*diagonal_gap(W, n), W, n))


def naive_bound(log_weights):
    with np.errstate(all="ignore"):
        return np.log(np.exp(log_weights).mean(axis=0))


def shifted(shift_of):
    """Safe for log weights that are alike, and for no others."""

    def bound(log_weights):
        shift = shift_of(log_weights)
        with np.errstate(all="ignore"):
            return np.log(np.exp(log_weights - shift).mean(axis=0)) + shift

    return bound


class TestWeightedBound:
    def test_right(self, capsys):
        check.check_weighted_bound(lambda a: special.logsumexp(a, axis=0) - np.log(len(a)))
        check.check_weighted_bound(lambda a: tf.reduce_logsumexp(a, axis=0) - np.log(len(a)))
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda a: a.mean(0), "this is the ELBO"),
            (lambda a: special.logsumexp(a, axis=0), "divide by the number"),
            (lambda a: a.max(0), "largest log weight alone"),
            (lambda a: a.max(0) - np.log(len(a)), "largest weight alone"),
            (lambda a: np.exp(a).mean(0), "take its logarithm"),
            (naive_bound, "0 or infinite"),
            (lambda a: special.logsumexp(a, axis=1) - np.log(3), "expected shape"),
            (lambda a: special.logsumexp(a, axis=0) - np.log(3), "not of examples"),
            (lambda a: None, "does your function return"),
            (shifted(lambda a: a.max()), "each example's own"),
            (shifted(lambda a: a.mean()), "each example's own"),
            (shifted(lambda a: a.mean(axis=0)), "each example's own"),
            (shifted(lambda a: a[0]), "each example's own"),
            (shifted(lambda a: a.min(axis=0)), "each example's own"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_weighted_bound(wrong)


def double(log_weights, slopes, eps, power=2):
    v = special.softmax(log_weights)[:, None] ** power
    return np.sum(v * slopes, axis=0), np.sum(v * slopes * eps, axis=0)


def unnormalised(log_weights, slopes, eps):
    w = np.exp(log_weights)[:, None]
    with np.errstate(all="ignore"):
        v = w / w.sum()
    return np.sum(v**2 * slopes, axis=0), np.sum(v**2 * slopes * eps, axis=0)


class TestDoublyReparameterized:
    def test_right(self, capsys):
        check.check_doubly_reparameterized(double)
        assert "Correct" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda a, s, e: double(a, s, e, power=1), "sticking the landing"),
            (lambda a, s, e: (s.mean(0), (s * e).mean(0)), "weights are missing"),
            (lambda a, s, e: tuple(-g for g in double(a, s, e)), "sign is wrong"),
            (lambda a, s, e: tuple(g / 5 for g in double(a, s, e)), "sum over the samples"),
            (lambda a, s, e: double(2 * a, s, e, power=1), "do not normalise the squares"),
            (lambda a, s, e: tuple(np.subtract(double(a, s, e, 1), double(a, s, e))), "what stays has v.2"),
            (lambda a, s, e: (double(a, s, e)[0], double(a, s, e)[0]), "slope eps"),
            (unnormalised, "take the largest log weight out"),
            (lambda a, s, e: double(a, s, e)[0], "expected a pair"),
            (lambda a, s: a, "the call failed"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_doubly_reparameterized(wrong)


def active_latents(eigenvalues, latent_dim, c, beta, variance=None):
    variance = beta / (2 * c) if variance is None else variance
    ratios = eigenvalues[:latent_dim] / variance
    return np.sum(ratios > 1), np.sum(np.log(np.maximum(ratios, 1))) / 2


class TestActiveLatents:
    def test_right(self, capsys):
        check.check_active_latents(active_latents)
        assert "Correct" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda e, q, c, b: active_latents(e, q, c, b, 1 / (2 * c)), "beta counts"),
            (lambda e, q, c, b: active_latents(e, q, c, b, b / c), "not 1 / sigma.2"),
            (lambda e, q, c, b: active_latents(e, q, c, b, 2 * c / b), "not its inverse"),
            (lambda e, q, c, b: active_latents(e, 6, c, b), "only latent_dim"),
            (lambda e, q, c, b: (active_latents(e, q, c, b)[0], 2 * active_latents(e, q, c, b)[1]), "1/2 is missing"),
            (lambda e, q, c, b: (active_latents(e, q, c, b)[0], -active_latents(e, q, c, b)[1]), "sign is wrong"),
            (
                lambda e, q, c, b: (active_latents(e, q, c, b)[0], active_latents(e, q, c, b)[1] / np.log(2)),
                "these are bits",
            ),
            (
                lambda e, q, c, b: (active_latents(e, q, c, b)[0], active_latents(e, 6, c, b)[1]),
                "active latents alone",
            ),
            (
                lambda e, q, c, b: (active_latents(e, q, c, b)[0], np.log(e[:q] * 2 * c / b).sum() / 2),
                "not a negative number",
            ),
            (lambda e, q, c, b: (q, 0.0), "count eigenvalues"),
            (lambda e, q, c, b: 3, "expected a pair"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_active_latents(wrong)


class TestClosedGap:
    model = check.given_decoder()

    def exact(self, x, family="full", shift=0.0):
        x = np.asarray(x, dtype=float)
        if family == "diagonal":
            loc, scale = self.model.best_diagonal_posterior(x)
            return tfd.MultivariateNormalDiag(loc + shift, scale)
        loc, covariance = self.model.posterior(x)
        return tfd.MultivariateNormalTriL(loc + shift, np.linalg.cholesky(covariance))

    def test_right(self, capsys):
        check.check_closed_gap(self.exact)
        check.check_closed_gap(lambda x: self.exact(x, shift=0.01))
        assert capsys.readouterr().out.count("Correct") == 2

    def test_the_numbers_of_the_exercise(self):
        assert self.model.gap == pytest.approx(0.516, abs=5e-4)
        assert self.model.gap > check._MOST_GAP

    @pytest.mark.parametrize("family", ["diagonal", "full_covariance"])
    def test_a_vae_that_is_not_trained(self, family):
        vae = companion.VAE([], [], latent_dim=8, likelihood="gaussian", posterior_family=family, seed=0)
        vae.build([None, 64])
        expected = {"diagonal": "no diagonal q", "full_covariance": "train longer"}[family]
        with pytest.raises(WrongAnswer, match=expected):
            check.check_closed_gap(vae.posterior)

    @pytest.mark.parametrize("shift", [0.05, 0.3])
    def test_a_worse_q_is_told_its_gap(self, shift):
        with pytest.raises(WrongAnswer, match="train longer"):
            check.check_closed_gap(lambda x: self.exact(x, shift=shift * 2))

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda self, x: self.exact(x, "diagonal"), "got 0.516. Hint: no diagonal q"),
            (lambda self, x: np.zeros([len(x), 8]), "expected a Gaussian"),
            (lambda self, x: self.exact(x[:1]), "one Gaussian for each image"),
            (lambda self, x: tfd.MultivariateNormalDiag(np.zeros([len(x), 3]), np.ones(3)), "event shape"),
            (lambda self, x: tfd.MultivariateNormalDiag(np.zeros([len(x), 8]), np.zeros(8)), "has diverged"),
            (lambda self, x: tfd.MultivariateNormalDiag(np.full([len(x), 8], np.nan), np.ones(8)), "has diverged"),
            (lambda self, x: tfd.MultivariateNormalDiag(np.zeros([len(x), 8]), np.full(8, np.inf)), "has diverged"),
            (lambda self, x: None, "expected a Gaussian"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_closed_gap(lambda x: wrong(self, x))
