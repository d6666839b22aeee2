"""The checks of the chapter "Which estimator?" accept right answers and name wrong ones."""

import numpy as np
import pytest
import tensorflow as tf

from companion import gaussian
from companion.exercises import variance as check
from companion.exercises.checks import WrongAnswer


def waits(rate, u, v):
    return -np.log(u) / rate, -np.log(v) / rate


def exponential(f, rate, u, v):
    first, second = waits(rate, u, v)
    return (f(first) - f(first + second)) / rate


def by_score(f, rate, u, v):
    z, _ = waits(rate, u, v)
    return f(z) * (1 / rate - z)


def uncoupled(f, rate, u, v):
    first, second = waits(rate, u, v)
    return (f(np.roll(first, 1)) - f(first + second)) / rate


class TestExponentialGradient:
    def test_right(self, capsys):
        check.check_exponential_gradient(exponential)
        check.check_exponential_gradient(lambda f, rate, u, v: exponential(f, rate, 1 - u, v))
        check.check_exponential_gradient(lambda f, rate, u, v: exponential(f, rate, v, u))
        assert capsys.readouterr().out.count("Correct") == 3

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda f, rate, u, v: -exponential(f, rate, u, v), "the sign is wrong"),
            (lambda f, rate, u, v: rate * exponential(f, rate, u, v), "1 / rate is missing"),
            (lambda f, rate, u, v: exponential(f, rate, u, v) / rate, "1 / rate, once"),
            (lambda f, rate, u, v: rate**2 * exponential(f, rate, u, v), "divide by rate, do not"),
            (lambda f, rate, u, v: (f(-np.log(u) / rate) - f(-np.log(v) / rate)) / rate, "waits for two events"),
            (by_score, "score function"),
            (uncoupled, "do not share their first"),
            (lambda f, rate, u, v: exponential(f, rate, u, v).mean(), "one estimate a sample"),
            (lambda f, rate, u, v: None, "does your function return"),
            (lambda f, rate, u, v: "no", "not text"),
            (lambda f, rate: 0.0, "the call failed"),
            (3.0, "expected a function"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_exponential_gradient(wrong)


class TestCubicCrossovers:
    right = np.sqrt(check._cubic_crossings_squared())

    def test_right(self, capsys):
        check.check_cubic_crossovers(*self.right)
        check.check_cubic_crossovers(tf.constant(self.right[0]), round(self.right[1], 4))
        assert capsys.readouterr().out.count("Correct") == 2

    def test_the_closed_form_is_that_of_quadrature(self):
        assert check._cubic_crossings(coupled=True) == pytest.approx(self.right)

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (right[::-1], "swapped"),
            (right**2, "mu squared"),
            (-right, "about .mu."),
            (-right[::-1], "about .mu."),
            ((right[0], 3.903542), "independent version"),
            ((0.0, right[1]), "low: not yet"),
            ((right[0], right[1] * 1.001), "high: not yet"),
            ((None, 3.0), "got None"),
            (("0.39", 3.0), "not text"),
            ((right, 3.0), "one number"),
            ((right[0], np.nan), "high: not yet"),
        ],
    )
    def test_wrong(self, answer, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_cubic_crossovers(*answer)

    def test_the_answer_is_not_given_away(self):
        with pytest.raises(WrongAnswer) as caught:
            check.check_cubic_crossovers(1.0, 2.0)
        assert "0.39" not in str(caught.value)
        assert "3.06" not in str(caught.value)


def others_mean(values, scores):
    return (values - (values.sum() - values) / (len(values) - 1)) * scores


class TestLeaveOneOut:
    def test_right(self, capsys):
        check.check_leave_one_out(others_mean)
        check.check_leave_one_out(lambda v, s: tf.constant(others_mean(v, s)))
        assert "covariance" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda v, s: (v - v.mean()) * s, "the sample itself"),
            (lambda v, s: (v - (v.sum() - v)) * s, "summed"),
            (lambda v, s: (v - (v.sum() - v) / len(v)) * s, "n - 1 others|the sample itself"),
            (lambda v, s: -others_mean(v, s), "the sign"),
            (lambda v, s: (len(v) - 1) / len(v) * (v - v.mean()) * s, "not its inverse"),
            (lambda v, s: v * s, "no baseline"),
            (lambda v, s: others_mean(v, s) / len(v), "do not divide by n"),
            (lambda v, s: others_mean(v, s).mean(), "not their mean"),
            (lambda v, s: others_mean(v, s) / s, "multiply by the score"),
            (lambda v, s: (v - np.roll(v, 1)) * s, "mean of all others"),
            (lambda v, s: None, "does your function return"),
            (lambda v: v, "the call failed"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_leave_one_out(wrong)


def best(variances, costs, budget):
    counts = {name: budget // cost for name, cost in costs.items() if cost <= budget}
    return min(counts, key=lambda name: variances[name] / counts[name], default=None)


def among(key, strictly=False):
    """Answers with the least key of (variance, cost, budget) among those that cost less than the budget, or as much."""

    def chosen(variances, costs, budget):
        names = [n for n in costs if costs[n] < budget or (costs[n] == budget and not strictly)]
        return min(names, key=lambda n: key(variances[n], costs[n], budget), default=None)

    return chosen


class TestBestEstimator:
    def test_right(self, capsys):
        check.check_best_estimator(best)
        assert "variance times cost" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda v, c, b: min(v, key=v.get), "least variance of one sample"),
            (lambda v, c, b: min(c, key=c.get), "cheapest"),
            (lambda v, c, b: min(v, key=lambda n: v[n] * c[n]), "small and whole|costs more than the budget"),
            (lambda v, c, b: min(v, key=lambda n: v[n] / max(b / c[n], 1e-9)), "small and whole|costs more"),
            (lambda v, c, b: min(v, key=lambda n: v[n] / max(b // c[n], 1)), "costs more than the budget"),
            (among(lambda v, c, b: v * c), "small and whole"),
            (among(lambda v, c, b: v / round(b / c)), "small and whole"),
            (among(lambda v, c, b: v / np.ceil(b / c)), "small and whole"),
            (among(lambda v, c, b: v / (b // c), strictly=True), "budget of 10"),
            (lambda v, c, b: max(v, key=lambda n: v[n] * c[n]), "cheapest"),
            (lambda v, c, b: "nobody", "variance / "),
            (lambda v, c, b: None, "can pay"),
            (lambda v, c, b: 4.0, "return the key"),
            (lambda v, c, b: ["path"], "return the key"),
            (lambda v: "path", "the call failed"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_best_estimator(wrong)


def steps(f, loc, scale, right, left):
    return (f(loc + scale * right) - f(loc - scale * left)) / (scale * np.sqrt(2 * np.pi))


def rayleigh(u):
    return np.sqrt(-2 * np.log(u))


class TestAntitheticSteps:
    def test_right(self, capsys):
        check.check_antithetic_steps(lambda f, m, s, u: steps(f, m, s, rayleigh(u), rayleigh(1 - u)))
        check.check_antithetic_steps(lambda f, m, s, u: steps(f, m, s, rayleigh(1 - u), rayleigh(u)))
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda f, m, s, u: steps(f, m, s, rayleigh(u), rayleigh(u)), "both steps are equal"),
            (lambda f, m, s, u: -steps(f, m, s, rayleigh(u), rayleigh(1 - u)), "the sign"),
            (lambda f, m, s, u: s * steps(f, m, s, rayleigh(u), rayleigh(1 - u)), "the constant is"),
            (lambda f, m, s, u: f(m + s * rayleigh(u)) - f(m - s * rayleigh(1 - u)), "is missing"),
            (lambda f, m, s, u: steps(f, m, s, rayleigh(u), -rayleigh(1 - u)), "goes to the left"),
            (lambda f, m, s, u: steps(f, m, s, rayleigh(u) / s, rayleigh(1 - u) / s), "scale times W"),
            (lambda f, m, s, u: steps(f, m, s, rayleigh(u), rayleigh(1 - u)).mean(), "one estimate a sample"),
            (lambda f, m, s, u: steps(f, m, s, -np.log(u), -np.log(1 - u)), "Rayleigh law"),
            (lambda f, m, s, u: None, "does your function return"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_antithetic_steps(wrong)

    def test_the_variances_it_tells_are_true(self):
        u = np.random.default_rng(0).uniform(size=400_000)
        for coupling, other in {"equal": u, "antithetic": 1 - u}.items():
            sample = (rayleigh(u) + rayleigh(other)) / np.sqrt(2 * np.pi)
            assert check._antithetic_variance(coupling) == pytest.approx(sample.var(), rel=0.05)


class TestMixture:
    path, score, covariance, square = check._mixture_moments("loc")
    weight = (score - covariance) / (path + score - 2 * covariance)
    least = path - (path - covariance) ** 2 / (path + score - 2 * covariance)

    def test_right(self, capsys):
        check.check_mixture(self.weight, self.least)
        check.check_mixture(tf.constant(round(self.weight, 5)), np.float32(self.least))
        assert capsys.readouterr().out.count("Correct") == 2

    def test_the_moments_are_those_of_samples(self):
        z = 1.0 + np.random.default_rng(0).normal(size=400_000)
        both = np.cov(-1.5 * np.sin(1.5 * z), np.cos(1.5 * z) * (z - 1.0))
        assert np.allclose([both[0, 0], both[1, 1], both[0, 1]], [self.path, self.score, self.covariance], atol=0.01)
        gradient = gaussian.gradient(lambda z: tf.cos(1.5 * z), 1.0, 1.0)["loc"]
        assert self.square == pytest.approx(gradient**2)

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            ((1 - weight, least), "weight of the score-function"),
            ((score / (path + score), least), "covariance is not 0"),
            ((weight, least + square), "second moment"),
            ((weight, np.sqrt(least)), "standard deviation"),
            ((weight, path * weight**2 + score * (1 - weight) ** 2), "covariance of the two is missing"),
            ((weight, least - weight * (1 - weight) * covariance), "counts twice"),
            ((weight, least + 2 * weight * (1 - weight) * square), "not yet the covariance"),
            ((check._best_weight(path, score, covariance + square), least), "not yet the covariance"),
            ((check._best_weight(*check._mixture_moments("scale")[:3]), least), "for sigma"),
            ((0.5, least), "weight: not yet"),
            ((weight, score), "score function alone"),
            ((None, least), "got None"),
            ((weight, "x"), "not text"),
            (([weight], least), "one number"),
        ],
    )
    def test_wrong(self, answer, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_mixture(*answer)

    def test_the_answer_is_not_given_away(self):
        with pytest.raises(WrongAnswer) as caught:
            check.check_mixture(0.5, 0.2)
        assert f"{self.weight:.3f}" not in str(caught.value)
