"""Checks of the exercises of the chapter "Motivation": a newsvendor whose decision moves the demand's distribution.

Contract: each check is called with an answer, a function or numbers. A right answer prints one line that starts with
"Correct"; a wrong one raises `WrongAnswer`, which names the mistake if it is a usual one. What is checked by sampling
rejects a right answer with a probability below 1e-4 for a whole exercise.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from scipy import optimize, stats

from companion import gaussian
from companion.exercises.checks import WrongAnswer, as_numbers, call, correct, expect_close, expect_unbiased
from companion.reparameterizations import standard_normal

__all__ = [
    "check_central_differences",
    "check_optimal_baseline",
    "check_price",
    "check_salvage_profit",
    "check_score_gradients",
]

PRICE, COST, STOCK = 2.5, 1.0, 100.0
MU, SIGMA = np.log(60.0), 0.8
ELASTICITY = 1.5


def check_salvage_profit(answer):
    r"""Exercise "Waste paper is worth something": the exact profit and gradient when unsold copies are bought back.

    Args:
        answer: a function of mu, sigma, price, cost, stock and salvage (numbers, by position) that returns the
            expected profit and its derivatives with respect to mu and sigma, three numbers.

    Raises:
        WrongAnswer: if a number is off by more than a relative 1e-6.

    Example:
        >>> check_salvage_profit(lambda mu, sigma, price, cost, stock, salvage: _salvage(
        ...     mu, sigma, price, cost, stock, salvage))
        Correct. A salvage value is a lower price and a constant.
    """
    names = ("the expected profit", "the derivative in mu", "the derivative in sigma")
    for args in ((MU, SIGMA, PRICE, COST, STOCK, 0.4), (4.0, 0.3, 3.0, 2.0, 70.0, 1.0)):
        got = call("salvage_profit", answer, *args)
        got = got.numpy() if tf.is_tensor(got) else got
        listed = isinstance(got, (tuple, list)) or (isinstance(got, np.ndarray) and got.ndim == 1)
        if not listed or len(got) != 3:
            raise WrongAnswer(f"salvage_profit: expected three numbers, got {got!r}. Hint: profit, d_mu, d_sigma.")
        mu, sigma, price, cost, stock, salvage = args
        below = np.exp(mu + sigma**2 / 2) * stats.norm.cdf((np.log(stock) - mu) / sigma - sigma)
        mistakes = {
            "the salvage value is missing": _salvage(mu, sigma, price, cost, stock, 0.0),
            "salvage is added to the price; a copy that is sold is not bought back, so it lowers the margin": _salvage(
                mu, sigma, price + 2 * salvage, cost, stock, salvage
            ),
            "the constant (salvage - cost) * stock is not right": (
                _salvage(*args)[0] - salvage * stock,
                *_salvage(*args)[1:],
            ),
            "the second term of d/dsigma, stock * phi(alpha), is missing": (
                *_salvage(*args)[:2],
                (price - salvage) * sigma * below,
            ),
        }
        _name_mistake("salvage_profit", got, _salvage(*args), mistakes)
        for name, number, expected in zip(names, got, _salvage(*args), strict=True):
            expect_close(name, number, expected, "max(k - x, 0) = k - min(x, k)", rtol=1e-6)
    correct("A salvage value is a lower price and a constant.")


def check_score_gradients(answer):
    r"""Exercise "The score function by hand": one gradient a sample, for the newsvendor's profit.

    Args:
        answer: a function of z (a float64 array, shape [n]), mu, sigma and baseline that returns an array of
            shape [n, 2]: (f(z) - baseline) times the score for mu, and for sigma.

    Raises:
        WrongAnswer: if the shape, the value at a sample, or (with a probability below 1e-4 for a right answer)
            the mean over 100 000 samples is wrong.

    Example:
        >>> check_score_gradients(_score_gradients)
        Correct. Unbiased with and without a baseline.
    """
    z, mu, sigma = np.array([2.0, 3.7, 4.4, 5.3]), 4.2, 0.7
    for baseline in (0.0, 30.0):
        got = _array("score_gradients", call("score_gradients", answer, z, mu, sigma, baseline))
        if got.shape == (2, len(z)):
            raise WrongAnswer("score_gradients: expected shape [4, 2], got [2, 4]. Hint: np.stack(..., axis=1).")
        if got.shape == (2,):
            raise WrongAnswer("score_gradients: expected one row a sample, got one for all. Hint: no mean over n.")
        weight, eps = (_profit(z) - baseline)[:, None], (z - mu) / sigma
        scores = np.stack([eps / sigma, (eps**2 - 1) / sigma], axis=1)
        without = np.stack([eps, eps**2 - 1], axis=1)
        mistakes = {
            "the factor 1 / sigma is missing": weight * without,
            "the sign is reversed": -weight * scores,
            "the baseline is not subtracted": _profit(z)[:, None] * scores,
            "the baseline is added, not subtracted": (_profit(z) + baseline)[:, None] * scores,
            "the score has to be multiplied by the profit": scores,
            "the score for sigma lacks its -1 / sigma, so its mean is not zero": weight
            * np.stack([eps / sigma, eps**2 / sigma], axis=1),
            "the derivative along the path is another estimator": _slope(z)[:, None] * np.stack([eps * 0 + 1, eps], 1),
        }
        _name_mistake("score_gradients", got, weight * scores, mistakes)
        expect_close("score_gradients", got, weight * scores, "(f(z) - baseline) d log q / d theta")
    eps = standard_normal(dtype=tf.float64).sample(100_000, seed=41).numpy()
    expected = [PRICE * part for part in _sales(MU, SIGMA, STOCK)[1:]]
    for baseline in (0.0, 55.0):
        samples = call("score_gradients", answer, MU + SIGMA * eps, MU, SIGMA, baseline)
        expect_unbiased("score_gradients", samples, expected, "the score for mu is eps / sigma")
    correct("Unbiased with and without a baseline.")


def check_optimal_baseline(baselines, variances):
    r"""Exercise "The best constant": optimal constant baselines and the variances they leave.

    Args:
        baselines: a mapping with the keys "loc" and "scale".
        variances: a mapping with the same keys: the variance of one sample with the optimal baseline.

    Raises:
        WrongAnswer: if a baseline is off by more than 0.01, or a variance by more than a relative 1e-3.

    Example:
        >>> check_optimal_baseline({"loc": 0.0, "scale": 0.0}, {"loc": 1.0, "scale": 1.0})
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: baselines['loc']: no baseline at all. Expected E[f s^2] / E[s^2].
    """
    for argument, given in (("baselines", baselines), ("variances", variances)):
        if not isinstance(given, Mapping) or set(given) != {"loc", "scale"}:
            raise WrongAnswer(f"{argument}: expected a mapping with the keys 'loc' and 'scale', got {given!r}.")
    for name in ("loc", "scale"):
        score = _score(name)
        square = gaussian.expectation(lambda z, s=score: s(z) ** 2, MU, SIGMA)
        product = gaussian.expectation(lambda z, s=score: _profit_tensor(z) * s(z) ** 2, MU, SIGMA)
        second = gaussian.expectation(lambda z, s=score: _profit_tensor(z) ** 2 * s(z) ** 2, MU, SIGMA)
        slope = gaussian.gradient(_profit_tensor, MU, SIGMA)[name]
        value = gaussian.expectation(_profit_tensor, MU, SIGMA)
        best = product / square
        mistakes = {
            "no baseline at all": 0.0,
            "this is E[f], a good baseline and not the best": value,
            "this is E[f s^2]; it has to be divided by E[s^2]": product,
            "this is the optimum without the printing bill; the profit includes it": best + COST * STOCK,
        }
        what = f"baselines[{name!r}]"
        _name_mistake(what, baselines[name], best, mistakes, "Expected E[f s^2] / E[s^2].")
        expect_close(what, baselines[name], best, "E[f s^2] / E[s^2]", rtol=1e-4, atol=0.01)
        variance = second - best**2 * square - slope**2
        mistakes = {
            "this is the variance without a baseline": second - slope**2,
            "this is the second moment; subtract the square of the mean": variance + slope**2,
            "this is a standard deviation": np.sqrt(variance),
        }
        what = f"variances[{name!r}]"
        _name_mistake(what, variances[name], variance, mistakes)
        expect_close(what, variances[name], variance, "gaussian.gradient_variance of f - b", rtol=1e-3)
    correct("Both lie below E[f]: the weight s^2 favours extreme days.")


def check_central_differences(answer):
    r"""Exercise "Central differences in sigma": the quotient, with independent and with common noise.

    Args:
        answer: a function of eps_up, eps_down (float64 arrays, shape [n]) and h that returns the quotients
            (f(MU + (SIGMA + h) eps_up) - f(MU + (SIGMA - h) eps_down)) / (2 h), shape [n].

    Raises:
        WrongAnswer: if the shape or a quotient is wrong.

    Example:
        >>> check_central_differences(_central)
        Correct. At h = 0.01 the variance with independent noise is ... times that with common noise.
    """
    up, down = np.array([-1.5, 0.2, 0.9, 1.1]), np.array([0.3, -0.4, 0.6, -2.0])
    for other in (down, up):
        h = 0.05
        expected = _central(up, other, h)
        mistakes = {
            "divided by h; the two points are 2 h apart": 2 * expected,
            "the sign is reversed": -expected,
            "this is a forward difference": _difference(up, other, SIGMA + h, SIGMA, h),
            "eps_down is not used": _central(up, up, h),
            "the step moves mu; it has to move sigma": (
                (_profit(MU + h + SIGMA * up) - _profit(MU - h + SIGMA * other)) / (2 * h)
            ),
        }
        got = _array("central_differences", call("central_differences", answer, up, other, h))
        if got.shape == ():
            raise WrongAnswer("central_differences: expected one quotient a pair, got one number. Hint: no mean.")
        _name_mistake("central_differences", got, expected, mistakes)
        expect_close("central_differences", got, expected, "sigma + h with eps_up, sigma - h with eps_down")
    noise = standard_normal(dtype=tf.float64)
    eps, other = noise.sample(20_000, seed=42).numpy(), noise.sample(20_000, seed=43).numpy()
    ratio = np.var(call("central_differences", answer, eps, other, 0.01)) / np.var(
        call("central_differences", answer, eps, eps, 0.01)
    )
    correct(f"At h = 0.01 the variance with independent noise is {ratio:.2g} times that with common noise.")


def check_price(price_gradients, best_price):
    r"""Project "The price": an unbiased gradient of the revenue, and a price near the best one.

    Args:
        price_gradients: a function of price (a number) and eps (standard normal noise, float64, shape [n]) that
            returns one estimate of J'(price) for each entry, shape [n].
        best_price: a number within 0.05 of the exact optimum.

    Raises:
        WrongAnswer: if the gradient is biased (a right one is rejected with a probability below 1e-4), or the
            price is too far from the best.

    Example:
        >>> check_price(lambda price, eps: np.zeros_like(eps), 2.5)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: price_gradients at 2: ...
    """
    eps = standard_normal(dtype=tf.float64).sample(100_000, seed=44).numpy()
    for price in (2.0, 2.5, 3.5):
        sales, d_mu, _ = _sales(_mu_of_price(price), SIGMA, STOCK)
        what = f"price_gradients at {price:g}"
        samples = _array(what, call(what, price_gradients, price, eps))
        if samples.shape != eps.shape:
            raise WrongAnswer(f"{what}: expected shape {list(eps.shape)}, got {list(samples.shape)}. Hint: no mean.")
        error = 5 * samples.std() / np.sqrt(len(samples)) + 1e-6
        mistakes = {
            "the margin is missing: f itself contains the price": -ELASTICITY * d_mu,
            "the demand's share is missing: the price also moves mu": sales,
            "the sign of mu'(r) = -1.5 / r is reversed": sales + ELASTICITY * d_mu,
            "the chain rule's factor mu'(r) is missing": sales + price * d_mu,
            "the gradient's sign is reversed": -(sales - ELASTICITY * d_mu),
        }
        expected = sales - ELASTICITY * d_mu
        if abs(samples.mean() - expected) > error:
            for mistake, mean in mistakes.items():
                if abs(samples.mean() - mean) < error:
                    raise WrongAnswer(f"{what}: {mistake}.")
        expect_unbiased(what, samples, expected, "J' = E[min] + r mu'(r) d/dmu E[min]")
    _expect_no_shrinkage(price_gradients, eps)
    best = _best_price()
    found = _array("best_price", best_price)
    if found.shape != ():
        raise WrongAnswer(f"best_price: expected one number, got shape {list(found.shape)}.")
    if not abs(found - best) <= 0.05:
        hint = "smaller steps at the end, more samples, or an average of the last prices"
        raise WrongAnswer(f"best_price: expected within 0.05 of the best, {best:.2f}; got {found}. Hint: {hint}.")
    correct(f"The best price is {best:.2f}, yours is within 5 cents of it.")


def _expect_no_shrinkage(price_gradients, eps, price=2.5):
    """Judges the estimator on pairs of samples, where a baseline from the same samples halves the mean."""
    sales, d_mu, _ = _sales(_mu_of_price(price), SIGMA, STOCK)
    what = f"price_gradients at {price:g}, two samples at a time"
    means = [_array(what, call(what, price_gradients, price, pair)).mean() for pair in eps[:4000].reshape(2000, 2)]
    hint = "a baseline from the same samples shrinks the gradient; leave the sample itself out"
    expect_unbiased(what, np.array(means), sales - ELASTICITY * d_mu, hint)


def _profit(z):
    return PRICE * np.minimum(np.exp(z), STOCK) - COST * STOCK


def _profit_tensor(z):
    return PRICE * tf.minimum(tf.exp(z), STOCK) - COST * STOCK


def _slope(z):
    return np.where(np.exp(z) < STOCK, PRICE * np.exp(z), 0.0)


def _score(name):
    if name == "loc":
        return lambda z: (z - MU) / SIGMA**2
    return lambda z: ((z - MU) ** 2 / SIGMA**2 - 1.0) / SIGMA


def _score_gradients(z, mu, sigma, baseline):
    eps, weight = (z - mu) / sigma, _profit(z) - baseline
    return np.stack([weight * eps / sigma, weight * (eps**2 - 1) / sigma], axis=1)


def _sales(mu, sigma, stock):
    """E min(D, stock) and its derivatives in mu and sigma."""
    alpha = (np.log(stock) - mu) / sigma
    below = np.exp(mu + sigma**2 / 2) * stats.norm.cdf(alpha - sigma)
    return below + stock * stats.norm.sf(alpha), below, sigma * below - stock * stats.norm.pdf(alpha)


def _salvage(mu, sigma, price, cost, stock, salvage):
    value, d_mu, d_sigma = ((price - salvage) * part for part in _sales(mu, sigma, stock))
    return value + (salvage - cost) * stock, d_mu, d_sigma


def _difference(up, down, sigma_up, sigma_down, width):
    return (_profit(MU + sigma_up * up) - _profit(MU + sigma_down * down)) / width


def _central(up, down, h):
    return _difference(up, down, SIGMA + h, SIGMA - h, 2 * h)


def _mu_of_price(price):
    return MU - ELASTICITY * np.log(price / PRICE)


def _best_price():
    def loss(price):
        return -price * _sales(_mu_of_price(price), SIGMA, STOCK)[0]

    return optimize.minimize_scalar(loss, bounds=(0.5, 10.0), method="bounded", options={"xatol": 1e-8}).x


def _array(what, given):
    """The answer as a float64 array."""
    array = as_numbers(what, given, "does your function return numbers?")
    if not np.isfinite(array).all():
        raise WrongAnswer(f"{what}: expected finite numbers, got NaN or infinity.")
    return array


def _name_mistake(what, got, expected, mistakes, more=""):
    """Raises `WrongAnswer` with the name of a mistake if the answer is what that mistake gives."""
    got, expected = _array(what, got), np.asarray(expected)
    if got.shape != expected.shape or np.allclose(got, expected, rtol=1e-6):
        return  # the check that follows says it
    for mistake, result in mistakes.items():
        if np.allclose(got, result, rtol=1e-6):
            raise WrongAnswer(f"{what}: {mistake}. {more}".strip())
