"""Checks of the exercises of the chapter "The Gaussian case".

Contract: each check takes a student's function or numbers, prints "Correct. ..." or raises `WrongAnswer` with what
was expected, what came and the likely reason. The targets are exact: closed forms, quadrature, or a direct
optimisation. No check draws random numbers.
"""

import numpy as np
import tensorflow as tf
from scipy import linalg, optimize

from companion import gaussian
from companion.exercises.checks import WrongAnswer, as_numbers, call, correct, expect_close

__all__ = [
    "check_crossover",
    "check_kl_from_factors",
    "check_low_rank_posterior",
    "check_optimal_baseline",
    "check_sine_gradients",
]

_LOC, _SCALE = 0.0, 0.5  # of check_crossover
_LOW_RANK_SLACK = 0.05  # nats
_DIVERGENCES = (  # of check_kl_from_factors: name, dimension, size and least relative scale of the columns, hint
    (
        "in 3 dimensions",
        3,
        1.0,
        1.0,
        "half of |M^-1 L|^2 + |M^-1 (n - m)|^2 - d, plus sum log M_ii - sum log L_ii; solve with M",
    ),
    (
        "in 400 dimensions",
        400,
        0.05,
        1.0,
        "in 400 dimensions a determinant underflows to 0; sum the logarithms of the diagonals instead",
    ),
    (
        "of ill-conditioned factors (the diagonal of M falls from about 1 to 1e-6)",
        20,
        1.0,
        1e-6,
        "a product M M' or L L' squares the condition number, and its inverse has lost the digits; solve with M",
    ),
)


def check_sine_gradients(sine_gradients):
    r"""The two gradients of E sin(kz), z ~ N(mu, sigma^2).

    Args:
        sine_gradients: a function from (mu, sigma, k), three numbers, to the pair (derivative for mu, derivative
            for sigma) of numbers.

    Raises:
        WrongAnswer: with the likely mistake: the damping factor, a sign, the variance for the scale, the
            derivative of f at the mean.

    Example:
        >>> check_sine_gradients(lambda mu, sigma, k: (k * np.cos(k * mu), 0.0))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the derivative for mu at ...: ... Hint: this is f'(mu), ...
    """
    for mu, sigma, k in [(0.3, 0.8, 1.5), (-1.1, 0.4, 2.0), (2.0, 1.2, 0.7)]:
        got = _pair("sine_gradients", call("sine_gradients", sine_gradients, mu, sigma, k))
        damping = np.exp(-((k * sigma) ** 2) / 2)
        cosine, sine = np.cos(k * mu), np.sin(k * mu)
        by_mu, by_sigma = k * damping * cosine, -(k**2) * sigma * damping * sine
        where = f"at mu={mu}, sigma={sigma}, k={k}"
        swapped = {by_sigma: "this is the derivative for sigma: return the pair (for mu, for sigma)"}
        mistakes = swapped | {
            k * cosine: "this is f'(mu), the derivative of f at the mean; it must be averaged over z, which damps it",
            -by_mu: "the sign is wrong: the derivative of sin is +cos",
            damping * cosine: "the inner derivative k is missing",
            k * damping * sine: "differentiate sin(k mu) for mu: the factor is cos(k mu)",
            k * damping**2 * cosine: "the exponent is -k^2 sigma^2 / 2; the half is missing",
        }
        _expect(f"the derivative for mu {where}", got[0], by_mu, mistakes, "E sin(kz) = exp(-k^2 sigma^2/2) sin(k mu)")
        mistakes = {
            -by_sigma: "the sign is wrong: a wider Gaussian damps the sine, it does not raise it",
            by_sigma / (2 * sigma): "this is the derivative for sigma^2; multiply it by 2 sigma",
            by_sigma / k: "k is squared: the exponent is -k^2 sigma^2 / 2",
            by_sigma / sigma: "a factor sigma is missing: differentiate -k^2 sigma^2 / 2 for sigma",
            0.0: "the gradient for sigma is not zero: sigma is in the damping exp(-k^2 sigma^2/2)",
            -(k**2) * damping * cosine * sigma: "sigma stands only in the damping, so the factor stays sin(k mu)",
        }
        _expect(
            f"the derivative for sigma {where}",
            got[1],
            by_sigma,
            mistakes,
            "differentiate the damping exp(-k^2 sigma^2/2)",
        )
    correct("The damping exp(-k^2 sigma^2/2) is what averaging does to a wave.")


def check_optimal_baseline(optimal_baseline):
    r"""The baseline that makes the score-function gradient for the mean least variable, and that variance.

    Args:
        optimal_baseline: a function from (f, loc, scale), a TensorFlow function and two numbers, to the pair
            (baseline, variance) of numbers.

    Raises:
        WrongAnswer: with the likely mistake: E f instead of E f eps^2, the baseline for the scale, a second
            moment for a variance.

    Example:
        >>> check_optimal_baseline(lambda f, loc, scale: (gaussian.expectation(f, loc, scale), 0.0))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the baseline for f = z^2 ...: ... Hint: this is E f, ...
    """
    problems = [
        ("z^2", lambda z: z**2, 1.0, 0.5),
        ("exp(z)", tf.exp, 0.2, 0.8),
        ("cos(2z)", lambda z: tf.cos(2.0 * z), 1.0, 1.0),
    ]
    for label, f, loc, scale in problems:
        where = f"for f = {label} at loc={loc}, scale={scale}"
        got = _pair("optimal_baseline", call("optimal_baseline", optimal_baseline, f, loc, scale))
        mean, b, b_scale = (gaussian.expectation(h, loc, scale) for h in _weighted(f, loc, scale))
        plain = gaussian.gradient_variance(f, loc, scale, "score_function")["loc"]
        least = plain - (b / scale) ** 2
        mistakes = {
            mean: "this is E f, which is good but not best: weigh f with the square of the score",
            b_scale: "this is the best baseline for sigma, E[f (eps^2 - 1)^2] / 2",
            b / scale**2: "divide E[f s^2] by E[s^2] = 1 / sigma^2",
            b * scale**2: "eps is (z - mu) / sigma; the square of z - mu must be divided by sigma^2",
            -b: "the sign is wrong: the estimator is (f - b) times the score",
        }
        _expect(f"the baseline {where}", got[0], b, mistakes, "b = E[f s^2] / E[s^2], where s = eps / sigma")
        mistakes = {
            plain: "this is the variance without a baseline",
            least
            + gaussian.gradient(f, loc, scale)["loc"] ** 2: "this is a second moment; subtract the squared gradient",
            plain - b**2: "subtract b^2 E[s^2], and E[s^2] is 1 / sigma^2",
            plain - b**2 / scale: "E[s^2] is 1 / sigma^2, not 1 / sigma",
            np.sqrt(least): "this is the standard deviation; the variance is its square",
            (b / scale) ** 2: "this is what the baseline takes away; the question is what it leaves",
            least * scale**2: "the score is eps / sigma, not eps: divide by sigma^2",
        }
        _expect(
            f"the variance {where}", got[1], least, mistakes, "Var[(f - b) s] = Var[f s] - b^2 E[s^2] at the best b"
        )
    correct("The best baseline weighs f by the squared score, and is not E f.")


def check_crossover(k):
    r"""The smallest k > 0 at which both estimators of d/dmu E sin(kz) have one variance, at mu = 0, sigma = 1/2.

    Args:
        k: a number, right to four digits.

    Raises:
        WrongAnswer: with the likely mistake: sigma = 1, the gradient for sigma, the cosine, the asymptote 1/sigma;
            never with the answer.

    Example:
        >>> check_crossover(2.0)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: k: not yet, got 2. Hint: 1 / sigma is ...
    """
    right, page = _first_crossing("sin", "loc", _LOC, _SCALE), _first_crossing("cos", "loc", 1.0, 1.0)
    mistakes = {
        right * _SCALE: "this is the answer for sigma = 1; here sigma is 1/2",
        1 / _SCALE: "1 / sigma is where the asymptotic ratio k^2 sigma^2 is 1; the exact ratio is 1 elsewhere",
        _first_crossing("sin", "scale", _LOC, _SCALE): "this is the crossing for sigma; the question is about mu",
        page: "this is the page's crossing, for cos at mu = sigma = 1",
        page / _SCALE: "rescaled from the page's cosine at mu = 1: the phase k mu is another one here",
        _first_crossing("cos", "loc", _LOC, _SCALE): "this is for cos; the question is about sin",
    }
    hint = "solve Var_pathwise = Var_score for k with gaussian.gradient_variance(...)['loc'] and a bracket"
    value = as_numbers("k", k, hint)
    if value.shape:
        raise WrongAnswer(f"k: expected one number, got shape {list(value.shape)}. Hint: {hint}")
    if not np.isclose(value, right, rtol=2e-4):
        raise WrongAnswer(f"k: not yet, got {value:.5g}. Hint: {_reason(value, right, mistakes, hint, 2e-4)}")
    correct("The units decide: only k sigma matters.")


def check_kl_from_factors(kl_from_factors):
    r"""KL between two Gaussians, from means and Cholesky factors, without an inverse or a determinant.

    Args:
        kl_from_factors: a function from (loc, tril, prior_loc, prior_tril), float64 tensors of shapes [d], [d, d],
            [d], [d, d], to a scalar.

    Raises:
        WrongAnswer: with the likely mistake: the direction, the -d, the half of the logarithms, a factor where a
            covariance belongs, a determinant that underflows, the inverse of a product.

    Example:
        >>> check_kl_from_factors(lambda loc, tril, prior_loc, prior_tril: 0.0)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the divergence in 3 dimensions: ...
    """
    rng = np.random.default_rng(0)
    for where, d, size, smallest, hint in _DIVERGENCES:
        prior_tril, relative = (
            np.eye(d) * rng.uniform(0.5, 1.5, d) + np.tril(rng.normal(size=(d, d)), -1) / d**0.5 for _ in "pq"
        )
        prior_tril *= size * np.geomspace(1.0, smallest, d)  # column by column: the rows stay alike, products lose
        tril = prior_tril @ relative
        prior_loc = size * rng.normal(size=d)
        loc = prior_loc - prior_tril @ rng.normal(size=d)
        spread = linalg.solve_triangular(prior_tril, tril, lower=True)
        shift = linalg.solve_triangular(prior_tril, prior_loc - loc, lower=True)
        log_ratio = np.log(np.diag(prior_tril) / np.diag(tril)).sum()
        quadratic, trace = shift @ shift, np.sum(spread**2)
        right = 0.5 * (trace + quadratic - d) + log_ratio
        tensors = [tf.constant(a) for a in (loc, tril, prior_loc, prior_tril)]
        got = call("kl_from_factors", kl_from_factors, *tensors)
        back = linalg.solve_triangular(tril, prior_tril, lower=True)
        move = linalg.solve_triangular(tril, loc - prior_loc, lower=True)
        mistakes = {
            0.5 * (np.sum(back**2) + move @ move - d) - log_ratio: "this is KL(p || q): the direction is swapped",
            right + d / 2: "the -d is missing",
            right - log_ratio / 2: "log|T| is 2 sum log M_ii, so that half of it is the whole sum",
            right + log_ratio: "log|T| is counted twice: half of 2 sum log M_ii is the sum",
            right - 2 * log_ratio: "the sign of the logarithms is wrong: it is log|T| - log|S|",
            2 * right: "the factor 1/2 is missing",
            0.5 * (np.trace(spread) + quadratic - d)
            + log_ratio: "tr(T^-1 S) is the sum of squares of M^-1 L, not its trace",
            right - quadratic / 2: "the quadratic form in the means is missing",
        }
        _expect(f"the divergence {where}", got, right, mistakes, hint, rtol=1e-6)
    correct("Two triangular solves and a sum of logarithms: safe in any dimension.")


def check_low_rank_posterior(loc, scale, factor, posterior_mean, posterior_precision):
    r"""The fit of N(loc, diag(scale^2) + factor factor') to a Gaussian posterior.

    The gap KL(q || posterior) is computed exactly, and must be within 0.05 nats of the best in the family, which is
    found by direct optimisation.

    Args:
        loc: the mean, shape [d].
        scale: standard deviations of the diagonal part, positive, shape [d].
        factor: the vector v, shape [d].
        posterior_mean: the exact mean, shape [d].
        posterior_precision: the exact precision, shape [d, d].

    Raises:
        WrongAnswer: with the likely mistake: a vector that stayed at zero, a covariance for the precision, variances or
            marginal standard deviations for scales, means that have not arrived, too few steps.

    Example:
        >>> P = np.array([[2.0, 1.0], [1.0, 2.0]])
        >>> check_low_rank_posterior(np.zeros(2), P.diagonal() ** -0.5, np.zeros(2), np.zeros(2), P)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: factor: ... Hint: ...
    """
    mean, precision = np.asarray(posterior_mean, float), np.asarray(posterior_precision, float)
    d = len(mean)
    given = {"loc": loc, "scale": scale, "factor": factor}
    for name, value in given.items():
        given[name] = _vector(name, value, d)
    loc, scale, factor = given.values()
    if (scale <= 0).any():
        raise WrongAnswer(
            f"scale: expected positive numbers, got {scale.min():.3g}. Hint: pass it through softplus or exp"
        )
    best = _best_low_rank_gap(precision)
    diagonal = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    shift = loc - mean
    gap = _low_rank_gap(scale, factor, precision) + 0.5 * shift @ precision @ shift
    if gap <= best + _LOW_RANK_SLACK:
        correct(f"Your gap is {gap:.2f} nats; the best in the family {best:.2f}, the mean field's {diagonal:.2f}.")
        return
    came = f"expected a gap within {_LOW_RANK_SLACK} nats of the best, {best:.3f}, got {gap:.3f}"
    if np.abs(factor).max() < 1e-3 * scale.max():
        raise WrongAnswer(f"factor: {came}. Hint: v is zero, where its gradient is zero; start it away from zero")
    covariance = np.linalg.inv(precision)
    if _low_rank_gap(scale, factor, covariance) <= _best_low_rank_gap(covariance) + _LOW_RANK_SLACK:
        raise WrongAnswer(f"posterior_precision: {came}. Hint: the fit is to its inverse; is this the covariance?")
    if 0.5 * shift @ precision @ shift > _LOW_RANK_SLACK:
        raise WrongAnswer(f"loc: {came}. Hint: the mean has not arrived; more steps, decreasing in size")
    if _low_rank_gap(np.sqrt(scale), factor, precision) <= best + _LOW_RANK_SLACK:
        raise WrongAnswer(f"scale: {came}. Hint: these are variances; hand in standard deviations")
    rest = scale**2 - factor**2
    if (rest > 0).all() and _low_rank_gap(np.sqrt(rest), factor, precision) <= best + _LOW_RANK_SLACK:
        raise WrongAnswer(f"scale: {came}. Hint: these are the standard deviations of the whole; take v^2 out")
    raise WrongAnswer(f"scale and factor: {came}. Hint: more steps, or decreasing ones, or another start of v")


def _weighted(f, loc, scale):
    """f, f times the squared score for the mean, and the same for the scale, both normalised."""
    return (
        f,
        lambda z: f(z) * ((z - loc) / scale) ** 2,
        lambda z: f(z) * (((z - loc) / scale) ** 2 - 1.0) ** 2 / 2.0,
    )


def _first_crossing(wave, name, loc, scale):
    """The smallest k at which the variances of both estimators of E wave(kz) agree, wave "sin" or "cos".

    By the closed forms of the chapter's proposition for the cosine; the sine is a cosine a quarter period on.
    """

    def difference(k):
        a, phase = 2 * k * scale, k * loc - (np.pi / 2 if wave == "sin" else 0.0)
        wobble = np.exp(-(a**2) / 2) * np.cos(2 * phase)
        if name == "loc":
            return k**2 / 2 * (1 - wobble) - (1 + (1 - a**2) * wobble) / (2 * scale**2)
        return k**2 / 2 * (1 - (1 - a**2) * wobble) - (2 + (a**4 - 4 * a**2 + 2) * wobble) / (2 * scale**2)

    grid = np.arange(0.1, 5.0, 0.1) / scale
    i = next(i for i, k in enumerate(grid) if difference(k) > 0)
    return optimize.brentq(difference, grid[i - 1], grid[i], xtol=1e-12)


def _low_rank_gap(scale, factor, precision):
    """KL(N(m, diag(scale^2) + factor factor') || N(m, precision^-1))."""
    trace = np.diag(precision) @ scale**2 + factor @ precision @ factor
    log_det = 2 * np.log(scale).sum() + np.log1p(np.sum((factor / scale) ** 2))
    return 0.5 * (trace - len(scale) - log_det - np.linalg.slogdet(precision)[1])


def _best_low_rank_gap(precision):
    """The least gap in the family, by quasi-Newton steps from the leading eigenvectors of the covariance."""
    d, unit = len(precision), np.diag(precision) ** -0.5  # in units of the mean field's scales
    scaled = precision * np.outer(unit, unit)
    vectors = np.linalg.eigh(np.linalg.inv(scaled))[1]
    starts = [np.concatenate([np.zeros(d), v]) for v in vectors.T]
    runs = [optimize.minimize(lambda p: _low_rank_gap(np.exp(p[:d]), p[d:], scaled), p, method="BFGS") for p in starts]
    return min(run.fun for run in runs)


def _expect(what, got, expected, mistakes, hint, rtol=1e-4):
    """`expect_close`, with a hint that names the mistake if the answer is that of a known one."""
    value = as_numbers(what, got, hint)
    if not value.shape:
        hint = _reason(value, expected, mistakes, hint, rtol)
    expect_close(what, value, expected, hint, rtol=rtol)


def _reason(value, expected, mistakes, hint, rtol):
    """The reason of the mistake that gives the value, or the hint if none does."""
    for wrong, reason in mistakes.items():
        if not np.isclose(wrong, expected, rtol=rtol) and np.isclose(value, wrong, rtol=1e-3, atol=1e-9):
            return reason
    return hint


def _pair(name, answer):
    """The answer as a tuple of two."""
    try:
        first, second = (None, None) if answer is None else answer
    except (TypeError, ValueError) as error:
        raise WrongAnswer(f"{name}: expected a pair of numbers, got {answer!r}. Hint: return two numbers") from error
    if first is None or second is None:
        raise WrongAnswer(f"{name}: got {answer}. Hint: does your function return?")
    return first, second


def _vector(name, value, d):
    """The answer as a finite float64 array of shape [d]."""
    array = as_numbers(name, value, "a tensor or an array")
    if array.shape != (d,):
        raise WrongAnswer(f"{name}: expected shape [{d}], got {list(array.shape)}. Hint: one number a weight")
    if not np.isfinite(array).all():
        raise WrongAnswer(f"{name}: expected finite numbers, got NaN or infinity. Hint: a smaller step")
    return array
