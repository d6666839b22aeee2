r"""Checks of the exercises of the chapter "Variational autoencoders".

Contract: each check takes a student's function, prints "Correct. ..." or raises `WrongAnswer` with what was expected,
what came and the likely reason. The targets are closed forms or sums over given noise. No check draws random numbers
that an answer could depend on.
"""

import numpy as np
import tensorflow as tf
from scipy import linalg, special
from tensorflow_probability import distributions as tfd

from companion import datasets
from companion.exercises.checks import WrongAnswer, as_numbers, call, correct, expect_close
from companion.probabilistic_pca import ProbabilisticPCA

__all__ = [
    "check_active_latents",
    "check_closed_gap",
    "check_diagonal_gap",
    "check_doubly_reparameterized",
    "check_elbo_terms",
    "check_repaired_loss",
    "check_weighted_bound",
    "given_decoder",
]

_MOST_GAP = 0.4  # nats, of check_closed_gap; the best diagonal posterior leaves 0.516
_LATENT_DIM = 8  # of check_closed_gap


def check_elbo_terms(elbo_terms):
    r"""The two terms of the ELBO of binary images, by hand.

    Args:
        elbo_terms: a function from (x, logits, loc, scale), NumPy arrays of shapes [num_examples, num_pixels],
            [num_samples, num_examples, num_pixels], [num_examples, latent_dim] and [num_examples, latent_dim], to the
            pair (reconstruction, kl), each of shape [num_examples], in nats.

    Raises:
        WrongAnswer: with the likely mistake: a mean over pixels or latents, a sign, a missing half, the variance for
            the scale, an overflow.

    Example:
        >>> check_elbo_terms(lambda x, logits, loc, scale: (0.0 * x[:, 0], 0.0 * x[:, 0]))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the reconstruction term: ...
    """
    rng = np.random.default_rng(0)
    x = (rng.uniform(size=(3, 5)) < 0.5).astype(float)
    logits, loc = 2.0 * rng.normal(size=(4, 3, 5)), rng.normal(size=(3, 2))
    scale = np.exp(rng.normal(size=(3, 2)))
    fits = x * logits - np.logaddexp(0.0, logits)  # (num_samples, num_examples, num_pixels)
    parts = (loc**2 + scale**2 - 1.0 - 2.0 * np.log(scale)) / 2.0
    got = _pair("elbo_terms", call("elbo_terms", elbo_terms, x.copy(), logits.copy(), loc.copy(), scale.copy()))
    reconstruction, kl = fits.sum(-1).mean(0), parts.sum(-1)
    _expect(
        "the reconstruction term",
        got[0],
        reconstruction,
        [
            (fits.mean(-1).mean(0), "this is a mean over pixels; log p(x | z) is a sum over them"),
            (-reconstruction, "this is the cross-entropy, minus the reconstruction term"),
            (fits.sum(-1).sum(0), "the samples are averaged, not summed"),
            (fits.sum(-1)[0], "this is the first sample alone"),
            (np.log(np.exp(fits.sum(-1)).mean(0)), "average log p(x | z), not p(x | z)"),
            (kl, "return the pair (reconstruction, kl) in this order"),
        ],
        "sum x * logit - log(1 + exp(logit)) over pixels, then average over samples",
    )
    _expect(
        "the KL term",
        got[1],
        kl,
        [
            (parts.mean(-1), "this is a mean over latents; the divergence is a sum over them"),
            (-kl, "the sign is wrong: a divergence is at least 0"),
            (2.0 * kl, "the factor 1/2 is missing, so the KL is charged twice"),
            ((loc**2 + scale - 1.0 - np.log(scale)).sum(-1) / 2.0, "scale is a standard deviation; square it"),
            ((loc**2 + scale**2 - 1.0 - np.log(scale)).sum(-1) / 2.0, "log of the variance is 2 log(scale)"),
            (np.full(3, kl.mean()), "one number an example; do not average over the batch"),
        ],
        "sum (loc^2 + scale^2 - 1 - log scale^2) / 2 over latents",
    )
    large = np.array([[[800.0, -800.0], [800.0, -800.0]]])
    pixels = np.array([[1.0, 0.0], [0.0, 0.0]])  # the second image has one pixel on the wrong side
    got = _pair("elbo_terms", call("elbo_terms", elbo_terms, pixels, large, np.zeros([2, 2]), np.ones([2, 2])))
    expect_close(
        "the reconstruction term at logits of 800 and -800",
        got[0],
        [0.0, -800.0],
        "exp(800) is infinite, and sigmoid(800) is 1 (to clip it is wrong by hundreds of nats); "
        "use log(1 + exp(l)) = np.logaddexp(0, l)",
    )
    correct("Sums over pixels and latents, a mean over samples: then both terms are in nats per example.")


def check_repaired_loss(repaired_loss):
    r"""Minus the ELBO of a Gaussian VAE, one number an example, without the bugs of the exercise.

    Args:
        repaired_loss: a function from (x, loc, log_variance, eps, decode, noise_scale): examples
            [num_examples, num_pixels], the encoder's outputs [num_examples, latent_dim] each, standard normal noise
            [num_samples, num_examples, latent_dim], the decoder (latents to means), and the standard deviation of the
            pixels' noise; to the losses, shape [num_examples].

    Raises:
        WrongAnswer: with the bug that is still in it.

    Example:
        >>> check_repaired_loss(lambda x, loc, log_variance, eps, decode, noise_scale: 0.0)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the loss: expected shape [3], got []. ...
    """
    rng = np.random.default_rng(1)
    weights, noise_scale = rng.normal(size=(7, 2)), 0.6
    x, loc, eps = rng.normal(size=(3, 7)), rng.normal(size=(3, 2)), rng.normal(size=(5, 3, 2))
    log_variance = rng.normal(size=(3, 2))
    eps = np.concatenate([eps, -eps])

    def decode(z):
        return np.asarray(z) @ weights.T

    given = (x, loc, log_variance, eps, decode, noise_scale)
    copies = (x.copy(), loc.copy(), log_variance.copy(), eps.copy(), decode, noise_scale)
    got = call("repaired_loss", repaired_loss, *copies)
    variants = {
        (): "",
        ("deviation",): "exp(log_variance) is a variance; the standard deviation is exp(log_variance / 2)",
        ("noise",): "the noise is multiplied by 0.01: eps has standard deviation 1 already",
        ("mean",): "the squared error is a mean over pixels, while the KL is a sum over latents",
        ("mean", "thin"): "log p(x | z) is a mean over pixels, while the KL is a sum over latents",
        ("scale",): "the squared error must be divided by 2 noise_scale^2",
        ("constant",): "the normaliser, log(noise_scale) + log(2 pi) / 2 for each pixel, is missing",
        ("scale", "constant"): "a squared error is no log-likelihood: divide by 2 noise_scale^2 and add the normaliser",
        ("double",): "the KL is charged twice: the factor 1/2 is missing",
        ("center",): "there is no noise in z: the ELBO is an expectation over q",
    }
    mistakes = [(_gaussian_loss(*given, bugs), reason) for bugs, reason in variants.items() if bugs]
    left = {"deviation": "the standard deviation of z", "mean": "the mean over pixels", "constant": "the normaliser"}
    for bugs in (("deviation", "mean"), ("deviation", "constant"), ("mean", "constant"), tuple(left)):
        reason = f"{len(bugs)} bugs are left: " + ", ".join(left[bug] for bug in bugs)
        mistakes.append((_gaussian_loss(*given, bugs), reason))
    right = _gaussian_loss(*given, ())
    mistakes += [(-right, "the sign is wrong: the loss is minus the ELBO")]
    _expect("the loss", got, right, mistakes, "-log p(x | z), averaged over samples, plus the KL, for each example")
    correct("Now the loss is minus a bound, and every nat of it means something.")


def _gaussian_loss(x, loc, log_variance, eps, decode, noise_scale, bugs):
    """The loss of `check_repaired_loss` with bugs by name."""
    deviation = np.exp(log_variance if "deviation" in bugs else log_variance / 2.0)
    z = loc + deviation * eps * (0.01 if "noise" in bugs else 0.0 if "center" in bugs else 1.0)
    squares = (x - decode(z)) ** 2
    squares = squares if "scale" in bugs else squares / (2.0 * noise_scale**2)
    constant = 0.0 if "constant" in bugs else np.log(noise_scale) + np.log(2.0 * np.pi) / 2.0
    total = squares.mean(-1) if "mean" in bugs else squares.sum(-1)
    total = total + constant * (1 if "thin" in bugs else x.shape[-1])
    kl = (loc**2 + np.exp(log_variance) - 1.0 - log_variance).sum(-1) / 2.0
    return total.mean(0) + (2.0 if "double" in bugs else 1.0) * kl


def check_diagonal_gap(diagonal_gap):
    r"""The scales of the best diagonal posterior of a linear VAE, and how far its ELBO is below log p(x).

    Args:
        diagonal_gap: a function from (loadings, noise_scale), an array of shape [data_dim, latent_dim] and a number,
            to the pair (scales, gap): shape [latent_dim], and a number in nats.

    Raises:
        WrongAnswer: with the likely mistake: marginal for conditional standard deviations, variances, a missing half,
            a sign.

    Example:
        >>> check_diagonal_gap(lambda loadings, noise_scale: (np.ones(loadings.shape[1]), 0.0))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the scales ...
    """
    rng = np.random.default_rng(2)
    for data_dim, latent_dim, noise_scale in [(6, 3, 1.5), (5, 4, 0.5)]:
        loadings = rng.normal(size=(data_dim, latent_dim))
        got = _pair("diagonal_gap", call("diagonal_gap", diagonal_gap, loadings.copy(), noise_scale))
        model = ProbabilisticPCA(loadings, np.zeros(data_dim), noise_scale)
        where = f"for {latent_dim} latents and noise_scale={noise_scale}"
        _, scale = model.best_diagonal_posterior(np.zeros([1, data_dim]))
        marginal = np.sqrt(np.diag(model.posterior(np.zeros([1, data_dim])).covariance))
        prior_lost = noise_scale / np.linalg.norm(loadings, axis=0)
        reasons = [
            (marginal, "these are the posterior's marginal standard deviations; the best q has the conditional ones"),
            (scale**2, "these are variances"),
            (scale / noise_scale, "a factor sigma is missing: the precision is M / sigma^2"),
            (prior_lost, "the prior's precision is missing: M = W'W + sigma^2 I"),
        ]
        _expect(f"the scales {where}", got[0], scale, reasons, "sigma / sqrt(M_ii), M = W'W + sigma^2 I")
        gap = model.gap
        other = np.sum(np.log(marginal / scale))
        reasons = [
            (2.0 * gap, "the factor 1/2 is missing"),
            (-gap, "the sign is wrong: log p(x) is above the ELBO"),
            (0.0, "the columns of W are not orthogonal, so a diagonal q leaves a gap"),
            (other, "compare log|diag M| with log|M|, not with the marginal variances"),
        ]
        _expect(f"the gap {where}", got[1], gap, reasons, "half of sum log M_ii - log|M|")
    correct("The gap is the same for every x: the posterior's covariance does not depend on x.")


def check_weighted_bound(weighted_bound):
    r"""The importance-weighted bound from log weights, without overflow.

    Args:
        weighted_bound: a function from log weights, a NumPy array of shape [num_samples, num_examples], to the bounds,
            shape [num_examples].

    Raises:
        WrongAnswer: with the likely mistake: a mean of logs, a sum without 1/K, the wrong axis, an overflow.

    Example:
        >>> check_weighted_bound(lambda log_weights: log_weights.mean(axis=0))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the bound ...: ... Hint: this is the ELBO, ...
    """
    rng = np.random.default_rng(3)
    small = rng.normal(size=(6, 3))
    for shift, size in ((0.0, "of ordinary size"), (-2000.0, "of about -2000"), (900.0, "of about 900")):
        log_weights = small + shift
        right = special.logsumexp(log_weights, axis=0) - np.log(6)
        got = call("weighted_bound", weighted_bound, log_weights.copy())
        reasons = [
            (log_weights.mean(0), "this is the ELBO, the mean of the logs; take the log of the mean"),
            (right + np.log(6), "this is the log of a sum; divide by the number of samples"),
            (right + np.log(6) - np.log(3), "divide by the number of samples, not of examples"),
            (log_weights.max(0), "this is the largest log weight alone"),
            (log_weights.max(0) - np.log(6), "this is the largest weight alone"),
            (np.exp(small).mean(0) if not shift else np.nan, "this is the mean weight; take its logarithm"),
        ]
        hint = "log mean exp over the samples, the first axis"
        if shift:
            hint = "exp of such a number is 0 or infinite: take the largest log weight out of the sum first"
        with np.errstate(all="ignore"):
            _expect(f"the bound for log weights {size}", got, right, reasons, hint)
    log_weights = small + np.array([-2000.0, 0.0, 900.0])
    log_weights[0] += [800.0, 1500.0, -1500.0]  # the first sample is far from the others
    right = special.logsumexp(log_weights, axis=0) - np.log(6)
    got = call("weighted_bound", weighted_bound, log_weights.copy())
    hint = "take each example's own largest log weight out; one for all, the first or the mean will not do"
    with np.errstate(all="ignore"):
        _expect("the bound for log weights that differ by thousands", got, right, [], hint)
    correct("For more samples it rises from the ELBO to log p(x), on average.")


def check_doubly_reparameterized(doubly_reparameterized):
    r"""The doubly reparameterized gradient for a Gaussian q, from what one set of samples gives.

    Args:
        doubly_reparameterized: a function from (log_weights, slopes, eps): log w(z_k), shape [num_samples]; the
            gradients of log w with respect to z at z_k, q's parameters held fixed, shape [num_samples, latent_dim]; and
            the noise, z_k = loc + scale eps_k, of the same shape; to the pair of gradients for loc and for scale, each
            of shape [latent_dim].

    Raises:
        WrongAnswer: with the likely mistake: v instead of v squared, a mean for a sum, the noise missing.

    Example:
        >>> check_doubly_reparameterized(lambda log_weights, slopes, eps: (slopes[0], slopes[0]))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the gradient for loc: ...
    """
    rng = np.random.default_rng(4)
    for shift in (0.0, -1500.0):
        log_weights = rng.normal(size=5) + shift
        slopes, eps = rng.normal(size=(2, 5, 3))
        v = special.softmax(log_weights)[:, None]
        given = (log_weights.copy(), slopes.copy(), eps.copy())
        got = _pair("doubly_reparameterized", call("doubly_reparameterized", doubly_reparameterized, *given))
        where = "" if not shift else " at log weights of about -1500"
        for part, number, path in (("loc", 0, 1.0), ("scale", 1, eps)):
            sample = slopes * path
            right = (v**2 * sample).sum(0)
            reasons = [
                (-right, "the sign is wrong: this is the gradient of minus the bound"),
                ((v * sample).sum(0), "the weights are squared; with v alone this is sticking the landing, biased"),
                (sample.mean(0), "the weights are missing"),
                (right / 5, "sum over the samples; the weights are normalised already"),
                ((v**2 / (v**2).sum() * sample).sum(0), "square the normalised weights, do not normalise the squares"),
                ((v * (1.0 - v) * sample).sum(0), "this is the part that is taken off; what stays has v^2"),
                ((v**2 * slopes).sum(0), "for scale the path z = loc + scale eps has the slope eps"),
            ]
            reasons += [(np.full(3, np.nan), "exp(-1500) is 0: take the largest log weight out before exp")]
            _expect(f"the gradient for {part}{where}", got[number], right, reasons, "sum v_k^2 dlog w/dz_k dz_k/dphi")
    correct("At K = 1 it is sticking the landing; where q is the posterior it is zero for every K.")


def check_active_latents(active_latents):
    r"""How many latents a linear VAE uses, and how many nats they carry, for a loss c |x - f(z)|^2 + beta KL.

    Args:
        active_latents: a function from (eigenvalues, latent_dim, c, beta): an array of the eigenvalues of the data's
            covariance, largest first; an integer; two numbers; to the pair (how many are active, nats of all of them).

    Raises:
        WrongAnswer: with the likely mistake: the noise variance 1/c or 1/(2c), beta ignored, more latents than there
            are, the nats without their half.

    Example:
        >>> check_active_latents(lambda eigenvalues, latent_dim, c, beta: (latent_dim, 0.0))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the number of active latents ...
    """
    eigenvalues = np.array([5.0, 2.0, 1.2, 0.7, 0.3, 0.05])
    for latent_dim, c, beta in [(4, 0.5, 1.0), (2, 2.0, 1.0), (6, 1.0, 3.0), (3, 0.01, 1.0), (5, 4.0, 0.5)]:
        given = (eigenvalues.copy(), latent_dim, c, beta)
        got = _pair("active_latents", call("active_latents", active_latents, *given))
        where = f"for latent_dim={latent_dim}, c={c}, beta={beta}"

        def answer(variance, latent_dim=latent_dim):
            kept = eigenvalues[:latent_dim]
            kept = kept[kept > variance]
            return len(kept), np.log(kept / variance).sum() / 2.0

        number, nats = answer(beta / (2.0 * c))
        reasons = [
            (answer(1.0 / (2.0 * c))[0], "beta counts: the noise variance is beta / (2 c)"),
            (answer(beta / c)[0], "c = 1 / (2 sigma^2), not 1 / sigma^2"),
            (answer(2.0 * c / beta)[0], "the noise variance is beta / (2 c), not its inverse"),
            (answer(beta / (2.0 * c), 6)[0], "there are only latent_dim latents"),
        ]
        _expect(
            f"the number of active latents {where}", got[0], number, reasons, "count eigenvalues above beta / (2 c)"
        )
        reasons = [
            (2.0 * nats, "the factor 1/2 is missing"),
            (-nats, "the sign is wrong: log(l / sigma^2) / 2"),
            (nats / np.log(2.0), "these are bits"),
            (answer(beta / (2.0 * c), 6)[1], "count the active latents alone"),
            (
                np.log(eigenvalues[:latent_dim] * 2.0 * c / beta).sum() / 2.0,
                "a collapsed latent carries nothing, not a negative number of nats",
            ),
        ]
        _expect(f"the nats {where}", got[1], nats, reasons, "sum log(l / sigma^2) / 2 over the active latents")
    correct("A loss tells which directions of the data it will ignore before anything is trained.")


def given_decoder():
    """The decoder of the project: the most likely linear one for the grey digits, its latent space turned.

    Returns:
        A `companion.probabilistic_pca.ProbabilisticPCA` with 64 pixels and 8 latents; the columns of its loadings are
        not orthogonal.

    Example:
        >>> given_decoder()
        ProbabilisticPCA(data_dim=64, latent_dim=8, noise_scale=0.16...)
    """
    best = ProbabilisticPCA.fit(_grey("x_train"), _LATENT_DIM)
    rotation = linalg.hadamard(_LATENT_DIM) / np.sqrt(_LATENT_DIM)  # all columns get the same length
    return ProbabilisticPCA(best.loadings @ rotation, best.mean, best.noise_scale)


def check_closed_gap(posterior_of):
    """An encoder for `given_decoder()` whose ELBO is nearer to log p(x) on the test images than any diagonal q's.

    The gap is computed exactly: nothing is sampled.

    Args:
        posterior_of: a function from images, float32 of shape [num_examples, 64], to a Gaussian `tfd.Distribution` of
            event shape [8], such as the method `posterior` of a `companion.VAE`.

    Raises:
        WrongAnswer: with the gap, and whether it is that of the best diagonal posterior.

    Example:
        >>> from tensorflow_probability import distributions as tfd
        >>> check_closed_gap(lambda x: tfd.MultivariateNormalDiag(tf.zeros([len(x), 8]), tf.ones(8)))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the gap: ...
    """
    model, x = given_decoder(), _grey("x_test")
    q = call("posterior_of", posterior_of, x.astype(np.float32))
    try:
        loc, covariance = np.asarray(q.mean(), dtype=float), _covariance(q)
    except Exception as error:
        raise WrongAnswer(f"posterior_of: expected a Gaussian tfd.Distribution, got {q!r}. Hint: {error}") from error
    if loc.shape != (len(x), _LATENT_DIM) or covariance.shape[-2:] != (_LATENT_DIM, _LATENT_DIM):
        expected = f"batch shape [{len(x)}] and event shape [{_LATENT_DIM}]"
        got = f"means of shape {list(loc.shape)}"
        raise WrongAnswer(f"posterior_of: expected {expected}, got {got}. Hint: one Gaussian for each image")
    diverged = "the run has diverged: take a smaller rate, or another gradient"
    if not (np.isfinite(loc).all() and np.isfinite(covariance).all()):
        raise WrongAnswer(f"posterior_of: expected finite numbers, got NaN or infinity. Hint: {diverged}")
    try:
        factors = np.linalg.cholesky(np.broadcast_to(covariance, [len(x), _LATENT_DIM, _LATENT_DIM]))
    except np.linalg.LinAlgError as error:
        what = "posterior_of: expected positive definite covariances, got others"
        raise WrongAnswer(f"{what}. Hint: {diverged}") from error
    gap = float(np.mean(model.log_marginal(x) - model.elbo_full_covariance(x, loc, factors)))
    if not gap < _MOST_GAP:
        hint = "train longer, or with another rate, and let it fall to zero"
        if np.allclose(covariance, covariance * np.eye(_LATENT_DIM)):
            hint = f"no diagonal q comes below {model.gap:.2f} nats here; a family with a full covariance does"
        raise WrongAnswer(f"the gap: expected less than {_MOST_GAP} nats on average, got {gap:.3g}. Hint: {hint}")
    correct("The bound is tight: what is left to gain is in the model.")


def _covariance(q):
    """The covariance matrices of a Gaussian, those of independent coordinates too, which TFP does not give."""
    if isinstance(q, tfd.Independent):
        variance = np.asarray(q.variance(), dtype=float)
        return variance[..., None] * np.eye(variance.shape[-1])
    return np.asarray(q.covariance(), dtype=float)


def _grey(part):
    return getattr(datasets.digits(binarize=None), part).reshape(-1, 64).astype(float)


def _pair(what, answer):
    """The two parts of a pair."""
    try:
        first, second = answer
    except (TypeError, ValueError) as error:
        raise WrongAnswer(f"{what}: expected a pair, got {answer!r}. Hint: return two things") from error
    return first, second


def _expect(what, got, right, mistakes, hint):
    """Raises unless an answer is right, with the reason of the first mistake that gives the same."""
    got = as_numbers(what, tf.convert_to_tensor(got).numpy() if tf.is_tensor(got) else got, hint)
    right = np.asarray(right, dtype=float)
    if got.shape == right.shape and not np.allclose(got, right, rtol=1e-4, atol=1e-6):
        for value, reason in mistakes:
            if np.allclose(got, value, rtol=1e-6, atol=1e-9, equal_nan=True):
                hint = reason
                break
    expect_close(what, got, right, hint)
