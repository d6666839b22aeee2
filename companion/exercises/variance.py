"""Checks of the exercises of the chapter "Which estimator?".

Contract: each check takes a student's function or numbers, prints "Correct. ..." or raises `WrongAnswer` with what
was expected, what came and the likely reason. Targets are closed forms and quadrature. One check draws random
numbers, with a fixed seed; it rejects a right answer with a probability below 1e-5.
"""

import numpy as np
import tensorflow as tf
from scipy import integrate, optimize

from companion import gaussian
from companion.exercises.checks import WrongAnswer, as_numbers, call, correct, expect_close, expect_unbiased

__all__ = [
    "check_antithetic_steps",
    "check_best_estimator",
    "check_cubic_crossovers",
    "check_exponential_gradient",
    "check_leave_one_out",
    "check_mixture",
]

_NUM_SAMPLES = 40_000
_MIXTURE_FREQUENCY = 1.5  # of check_mixture, at loc = scale = 1
_RAYLEIGH_MEAN = np.sqrt(np.pi / 2)


def check_exponential_gradient(exponential_gradient):
    r"""The coupled measure-valued estimator of the derivative of E f(z), z ~ Exponential(rate).

    Args:
        exponential_gradient: a function from (f, rate, u, v): a function of NumPy arrays, a number, and two arrays of
            independent uniform noise, shape [num_samples]; to one estimate a sample, shape [num_samples].

    Raises:
        WrongAnswer: with the likely mistake: the sign, the constant 1 / rate, a second waiting time that is missing or
            not shared, the score function instead of the weak derivative.

    Example:
        >>> check_exponential_gradient(lambda f, rate, u, v: 0.0 * u)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the estimate for f = z at rate=0.5: ...
    """
    rng = np.random.default_rng(0)
    for rate in (0.5, 2.0):
        u, v = rng.uniform(1e-12, 1.0, size=(2, _NUM_SAMPLES))
        problems = {
            "f = z": (lambda z: z, -1.0 / rate**2),
            "f = z^2": (lambda z: z**2, -4.0 / rate**3),
            "f = 1[z > 1]": (lambda z: np.asarray(z > 1.0, dtype=float), -np.exp(-rate)),
        }
        for label, (f, exact) in problems.items():
            where = f"the estimate for {label} at rate={rate}"
            got = as_numbers(where, call("exponential_gradient", exponential_gradient, f, rate, u, v), "numbers")
            if got.shape != u.shape:
                hint = "return one estimate a sample, not their mean"
                raise WrongAnswer(f"{where}: expected shape {list(u.shape)}, got {list(got.shape)}. Hint: {hint}")
            expect_unbiased(where, got, exact, _exponential_hint(got, exact, rate))
            if label == "f = z":
                _expect_one_waiting_time_apart(where, got, rate)
    correct("Of the two laws, one waits once and the other twice; the first wait can be the same.")


def _exponential_hint(got, exact, rate):
    """The likely mistake behind a wrong mean."""
    mistakes = {
        -exact: "the sign is wrong: a higher rate means shorter waits",
        exact * rate: "the constant 1 / rate is missing",
        exact / rate: "the constant is 1 / rate, once",
        exact * rate**2: "divide by rate, do not multiply",
        0.0: "the two sides have one law; the negative side waits for two events",
    }
    error = got.std(ddof=1) / np.sqrt(len(got))
    for value, reason in mistakes.items():
        if abs(got.mean() - value) <= 5.0 * error + 1e-9:
            return reason
    return "split d q / d rate = (1 / rate - z) q into 1 / rate times (Exponential - Erlang of order 2)"


def _expect_one_waiting_time_apart(where, got, rate):
    """For f = z the coupled estimate is -(second wait) / rate, of variance 1 / rate^4."""
    square, exact = (got - got.mean()) ** 2, rate**-4.0
    error = square.std() / np.sqrt(len(got))
    if abs(square.mean() - exact) <= 5.0 * error:
        return
    hint = "let the negative side wait -log(u) / rate as the positive one does, and then -log(v) / rate more"
    likely = {
        13.0 * exact: "this is the score function, f times (1 / rate - z): unbiased, and not what is asked",
        3.0 * exact: "the two sides do not share their first waiting time",
    }
    for value, reason in likely.items():
        if abs(square.mean() - value) <= 8.0 * error:
            hint = reason
    raise WrongAnswer(
        f"{where}: right in the mean, but its variance is {square.mean():.3g} where sharing the first waiting time "
        f"gives {exact:.3g}. Hint: {hint}"
    )


def check_cubic_crossovers(low, high):
    r"""Where the coupled measure-valued and the pathwise gradient for mu of E z^3 have one variance, scale 1.

    Args:
        low: the smaller such \|mu\|, to four digits.
        high: the larger one.

    Raises:
        WrongAnswer: with the likely mistake: squares, the independent version, the order; never with the answer.

    Example:
        >>> check_cubic_crossovers(0.5, 3.0)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: low: not yet, got 0.5. Hint: ...
    """
    hint = "solve Var_pathwise = Var_measure_valued for mu with gaussian.gradient_variance and a bracket on each side"
    squares = _cubic_crossings_squared()
    right = np.sqrt(squares)
    got = [as_numbers(name, x, hint) for name, x in (("low", low), ("high", high))]
    for name, x in zip(("low", "high"), got, strict=True):
        if x.shape:
            raise WrongAnswer(f"{name}: expected one number, got shape {list(x.shape)}. Hint: {hint}")
    if np.allclose(got, right[::-1], rtol=2e-4):
        raise WrongAnswer("low and high: not yet. Hint: they are swapped, the smaller comes first")
    for name, x, exact, square in zip(("low", "high"), got, right, squares, strict=True):
        if np.isclose(x, exact, rtol=2e-4):
            continue
        reasons = {square: "this is mu squared"} | dict.fromkeys(-right, "the question is about |mu|")
        reasons |= dict.fromkeys(_cubic_crossings(coupled=False), "this is for the independent version")
        reason = next((why for value, why in reasons.items() if np.isclose(x, value, rtol=2e-4)), hint)
        raise WrongAnswer(f"{name}: not yet, got {x:.5g}. Hint: {reason}")
    correct("Between the two the measure-valued estimator is the better one, outside the path.")


def _cubic_crossings_squared():
    """Roots x = mu^2 of Var_measure_valued - Var_pathwise, with W Rayleigh: E W^4 = 8, E W^6 = 48, E W^3 = 3 E W."""
    m2 = _RAYLEIGH_MEAN**2
    measure = np.array([36.0 * (2.0 - m2), 24.0 * (8.0 - 3.0 * m2), 4.0 * (48.0 - 9.0 * m2)]) / (2.0 * np.pi)
    return np.sort(np.roots(measure - [0.0, 36.0, 18.0]))


def _cubic_crossings(coupled):
    """All |mu| in (0, 8) where the two variances agree, by quadrature on a grid and bisection."""

    def difference(mu):
        measure = gaussian.gradient_variance(_cube, mu, 1.0, "measure_valued", coupled=coupled)["loc"]
        return measure - (36.0 * mu**2 + 18.0)

    grid = np.linspace(0.01, 8.0, 33)
    values = [difference(mu) for mu in grid]
    brackets = [(a, b) for a, b, x, y in zip(grid, grid[1:], values, values[1:], strict=False) if x * y < 0]
    return [optimize.brentq(difference, *bracket, xtol=1e-10) for bracket in brackets]


def _cube(z):
    return z**3


def check_leave_one_out(leave_one_out):
    """Each sample's score-function gradient with the mean of the others as baseline.

    Args:
        leave_one_out: a function from (values, scores), two arrays of shape [num_samples], to an array of shape
            [num_samples].

    Raises:
        WrongAnswer: with the likely mistake: the mean of all samples, a sum for a mean, the sign, the
            mean of the result.

    Example:
        >>> check_leave_one_out(lambda values, scores: (values - values.mean()) * scores)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the estimates of ...: ... Hint: the baseline has ...
    """
    for values, scores in [([2.0, -1.0, 0.0, 7.0], [1.0, -0.5, 2.0, -1.5]), ([1.0, 4.0], [0.5, -1.0])]:
        values, scores = np.array(values), np.array(scores)
        n = len(values)
        right = (values - (values.sum() - values) / (n - 1)) * scores
        where = f"the estimates of {n} samples"
        got = as_numbers(where, call("leave_one_out", leave_one_out, values.copy(), scores.copy()), "numbers")
        mistakes = [
            ((values - values.mean()) * scores, "the baseline has the sample itself in it, which biases by 1 - 1/n"),
            ((values - (values.sum() - values)) * scores, "the others are summed; divide by n - 1"),
            ((values - (values.sum() - values) / n) * scores, "there are n - 1 others, not n"),
            (
                (values - np.roll(values, 1)) * scores,
                "one other sample is unbiased, but the mean of all others is asked",
            ),
            (-right, "the sign is wrong: the sample's own value less the baseline"),
            ((n - 1) / n * (values - values.mean()) * scores, "the factor is n / (n - 1), not its inverse"),
            (values * scores, "there is no baseline in it"),
            (right / n, "one estimate a sample: do not divide by n"),
            (right / scores, "multiply by the score"),
        ]
        if got.shape == () and np.isclose(got, right.mean()):
            raise WrongAnswer(f"{where}: expected shape [{n}], got []. Hint: one estimate a sample, not their mean")
        hint = next(
            (why for value, why in mistakes if got.shape == right.shape and np.allclose(got, value)),
            "(f_i - mean of the other f_j) * s_i",
        )
        expect_close(where, got, right, hint)
    correct("Their mean is the sample covariance of f and the score.")


def check_best_estimator(best_estimator):
    """The estimator whose mean has the least variance under a budget.

    Args:
        best_estimator: a function from (variances, costs, budget): two mappings of names to the variance of one sample
            and to its cost, and a number; to the name. Samples are whole; None if no estimator can afford one.

    Raises:
        WrongAnswer: with the likely mistake: variance alone, cost alone, samples that are not whole, an estimator that
            can't be paid.

    Example:
        >>> check_best_estimator(lambda variances, costs, budget: min(variances, key=variances.get))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: with a budget of ...: ... Hint: this has ...
    """
    cases = [
        ({"path": 4.0, "score": 87.0, "measure": 3.0}, {"path": 2.0, "score": 1.0, "measure": 5.0}, 1000.0),
        ({"path": 4.0, "score": 9.0}, {"path": 10.0, "score": 1.0}, 100.0),
        ({"a": 10.0, "b": 6.0}, {"a": 3.0, "b": 4.0}, 11.0),
        ({"a": 6.0, "b": 10.0}, {"a": 6.0, "b": 3.0}, 11.0),
        # a has 2 samples; the least product is b's, and nearly 2 samples of b are one
        ({"a": 10.0, "b": 6.0, "c": 5.9, "d": 40.0}, {"a": 3.0, "b": 4.0, "c": 7.0, "d": 1.0}, 7.0),
        ({"a": 1.0, "b": 9.0}, {"a": 10.0, "b": 4.0}, 10.0),  # a takes the whole budget
        ({"good": 1.0, "cheap": 50.0}, {"good": 20.0, "cheap": 3.0}, 10.0),
        ({"a": 1.0, "b": 2.0}, {"a": 5.0, "b": 4.0}, 3.0),
    ]
    for variances, costs, budget in cases:
        got = call("best_estimator", best_estimator, dict(variances), dict(costs), budget)
        affordable = [name for name in variances if costs[name] <= budget]
        right = min(affordable, key=lambda n: variances[n] / (budget // costs[n])) if affordable else None
        if got is not None and not isinstance(got, str):
            raise WrongAnswer(
                f"best_estimator: expected a name or None, got {got!r}. Hint: return the key, not the value"
            )
        if got == right:
            continue
        mistakes = {
            min(
                variances, key=lambda n: variances[n] * costs[n]
            ): "the product is right for large budgets; here the number of samples, budget // cost, is small and whole",
            min(costs, key=costs.get): "this is the cheapest; the variance counts too",
            min(
                variances, key=variances.get
            ): "this has the least variance of one sample; the cost decides how many you get",
        }
        reason = mistakes.get(got, "compare variance / (budget // cost) among those that can be paid")
        if got is not None and got in costs and costs[got] > budget:
            reason = "its first sample costs more than the budget"
        if got is None:
            reason = "one of them can pay for a sample"
        raise WrongAnswer(
            f"with a budget of {budget:g}, variances {variances} and costs {costs}: got {got!r}. Hint: {reason}"
        )
    correct("For large budgets that is the least variance times cost.")


def check_antithetic_steps(antithetic_gradient):
    r"""The measure-valued gradient for mu with antithetic steps: W from u to the right, W' from 1 - u to the left.

    Args:
        antithetic_gradient: a function from (f, loc, scale, u): a function of NumPy arrays, two numbers, and uniform
            noise of shape [num_samples]; to one estimate a sample, shape [num_samples].

    Raises:
        WrongAnswer: with the likely mistake: equal steps, independent steps, the constant, the sign, a step without
            scale.

    Example:
        >>> check_antithetic_steps(lambda f, loc, scale, u: 0.0 * u)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the estimates for f = exp(z): ...
    """
    u = np.array([0.07, 0.31, 0.5, 0.66, 0.93])
    w, other = np.sqrt(-2.0 * np.log(u)), np.sqrt(-2.0 * np.log1p(-u))
    for label, f, loc, scale in [("exp(z)", np.exp, 0.3, 0.5), ("z^3 - z", lambda z: z**3 - z, -0.4, 2.0)]:
        where = f"the estimates for f = {label}"
        got = as_numbers(where, call("antithetic_gradient", antithetic_gradient, f, loc, scale, u.copy()), "numbers")
        constant = 1.0 / (scale * np.sqrt(2.0 * np.pi))

        def estimates(right, left, f=f, loc=loc, scale=scale, constant=constant):
            return constant * (f(loc + scale * right) - f(loc - scale * left))

        correct_ones = (estimates(w, other), estimates(other, w))
        if got.shape == u.shape and any(np.allclose(got, right, rtol=1e-6) for right in correct_ones):
            continue
        mistakes = [
            (estimates(w, w), "both steps are equal: give the left one 1 - u"),
            (estimates(other, other), "both steps are equal: give the left one u where the right one has 1 - u"),
            *[(-right, "the sign is wrong: right less left") for right in correct_ones],
            *[(right * scale, "the constant is 1 / (scale sqrt(2 pi))") for right in correct_ones],
            *[(right / constant, "the constant 1 / (scale sqrt(2 pi)) is missing") for right in correct_ones],
            *[
                (constant * (f(loc + a) - f(loc - b)), "the steps are scale times W")
                for a, b in ((w, other), (other, w))
            ],
            (constant * (f(loc + scale * w) - f(loc + scale * other)), "the second step goes to the left"),
        ]
        hint = next(
            (why for value, why in mistakes if got.shape == u.shape and np.allclose(got, value)),
            "W = sqrt(-2 log u) has the Rayleigh law, and so has sqrt(-2 log(1 - u))",
        )
        if got.shape != u.shape:
            hint = "return one estimate a sample"
        raise WrongAnswer(f"{where}: not yet, got {np.array2string(got, precision=4, threshold=8)}. Hint: {hint}")
    shared, opposite = (_antithetic_variance(coupled) for coupled in ("equal", "antithetic"))
    correct(f"For f = z the variance falls from {shared:.2f} with equal steps to {opposite:.3f}.")


def _antithetic_variance(coupling):
    """Var[(W + W') / sqrt(2 pi)], the variance for f = z: W' = W ("equal") or from 1 - u ("antithetic")."""
    variance = 2.0 - _RAYLEIGH_MEAN**2
    if coupling == "equal":
        return 4.0 * variance / (2.0 * np.pi)
    product, _ = integrate.quad(lambda u: 2.0 * np.sqrt(np.log(u) * np.log1p(-u)), 0.0, 1.0)
    return 2.0 * (variance + product - _RAYLEIGH_MEAN**2) / (2.0 * np.pi)


def check_mixture(weight, variance):
    r"""The best mixture of the pathwise and the score-function gradient for mu, f = cos(1.5 z), z ~ N(1, 1).

    Args:
        weight: the weight a of the pathwise sample in a g_path + (1 - a) g_score, both from one z; to four digits.
        variance: the variance of that mixture.

    Raises:
        WrongAnswer: with the likely mistake: a covariance taken for 0, second moments for variances, the weight of the
            other one, the gradient for sigma; never with the answer.

    Example:
        >>> check_mixture(0.5, 0.1)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: weight: not yet, got 0.5. Hint: ...
    """
    path, score, covariance, square = _mixture_moments("loc")
    right = _best_weight(path, score, covariance)
    least = path * right**2 + score * (1 - right) ** 2 + 2 * right * (1 - right) * covariance
    hint = "a g_path + (1 - a) g_score = g_score - a (g_score - g_path): a control variate with mean zero"
    got = [as_numbers(name, x, hint) for name, x in (("weight", weight), ("variance", variance))]
    for name, x in zip(("weight", "variance"), got, strict=True):
        if x.shape:
            raise WrongAnswer(f"{name}: expected one number, got shape {list(x.shape)}. Hint: {hint}")
    weights = {
        1 - right: "this is the weight of the score-function sample",
        score / (path + score): "both come from one z, so their covariance is not 0",
        _best_weight(
            path, score, covariance + square
        ): "E[g_path g_score] is not yet the covariance; subtract the squared gradient, as in the variances",
        _best_weight(*_mixture_moments("scale")[:3]): "this is for sigma; the question is about mu",
        -right: "the sign is wrong",
    }
    variances = {
        least + square: "this is a second moment; subtract the squared gradient",
        np.sqrt(least): "this is the standard deviation",
        path * right**2 + score * (1 - right) ** 2: "the covariance of the two is missing",
        least - right * (1 - right) * covariance: "the covariance counts twice",
        least + 2 * right * (1 - right) * square: "E[g_path g_score] is not yet the covariance",
        path: "this is the variance of the path alone",
        score: "this is the variance of the score function alone",
    }
    for name, x, exact, mistakes in (("weight", got[0], right, weights), ("variance", got[1], least, variances)):
        if not np.isclose(x, exact, rtol=2e-4):
            reason = next((why for value, why in mistakes.items() if np.isclose(x, value, rtol=2e-4)), hint)
            raise WrongAnswer(f"{name}: not yet, got {x:.5g}. Hint: {reason}")
    correct(f"Better than both: {path:.3f} for the path and {score:.3f} for the score function.")


def _best_weight(path, score, covariance):
    return (score - covariance) / (path + score - 2.0 * covariance)


def _mixture_moments(name):
    """Variances of both estimators, their covariance, and the squared gradient, at loc = scale = 1."""
    k = _MIXTURE_FREQUENCY

    def wave(z):
        return tf.cos(k * z)

    def product(z):
        eps = z - 1.0
        slope, score = -k * tf.sin(k * z), (eps if name == "loc" else eps**2 - 1.0)
        return slope * (1.0 if name == "loc" else eps) * wave(z) * score

    path, score = (gaussian.gradient_variance(wave, 1.0, 1.0, e)[name] for e in ("pathwise", "score_function"))
    square = gaussian.gradient(wave, 1.0, 1.0)[name] ** 2
    return path, score, gaussian.expectation(product, 1.0, 1.0) - square, square
