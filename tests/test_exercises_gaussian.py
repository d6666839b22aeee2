"""The checks of the chapter's exercises: right answers pass, wrong ones are told what is wrong."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from scipy import linalg, optimize
from tensorflow_probability import distributions as tfd

from companion import gaussian
from companion.exercises import WrongAnswer
from companion.exercises import gaussian as check


def damped(mu, sigma, k):
    damping = np.exp(-((k * sigma) ** 2) / 2)
    return damping, np.sin(k * mu), np.cos(k * mu)


def sine_gradients(mu, sigma, k):
    damping, sine, cosine = damped(mu, sigma, k)
    return k * damping * cosine, -(k**2) * sigma * damping * sine


class TestSineGradients:
    def test_right(self, capsys):
        check.check_sine_gradients(sine_gradients)
        assert capsys.readouterr().out.startswith("Correct")

    def test_right_as_tensors(self):
        check.check_sine_gradients(lambda *a: tuple(map(tf.constant, sine_gradients(*a))))

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda m, s, k: (k * np.cos(k * m), 0.0), "derivative of f at the mean"),
            (lambda m, s, k: (-sine_gradients(m, s, k)[0], 0.0), "sign"),
            (lambda m, s, k: (sine_gradients(m, s, k)[0] / k, 0.0), "inner derivative"),
            (lambda m, s, k: sine_gradients(m, s, k)[::-1], "return the pair"),
            (lambda m, s, k: (sine_gradients(m, s, k)[0], -sine_gradients(m, s, k)[1]), "damps"),
            (lambda m, s, k: (sine_gradients(m, s, k)[0], sine_gradients(m, s, k)[1] / (2 * s)), "sigma\\^2"),
            (lambda m, s, k: (sine_gradients(m, s, k)[0], sine_gradients(m, s, k)[1] / k), "k is squared"),
            (lambda m, s, k: (sine_gradients(m, s, k)[0], 0.0), "not zero"),
            (lambda m, s, k: 1.0, "pair"),
            (lambda m: 1.0, "3 arguments"),
            (lambda m, s, k: tuple(map(str, sine_gradients(m, s, k))), "not text"),
            (lambda m, s, k: np.array(sine_gradients(m, s, k), dtype=str), "not text"),
            (lambda m, s, k: None, "sine_gradients: got None. Hint: does your function return"),
            (lambda m, s, k: (sine_gradients(m, s, k)[0], None), "None.*does your function return"),
            (3.0, "expected a function"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_sine_gradients(wrong)


def optimal_baseline(f, loc, scale):
    b = gaussian.expectation(lambda z: f(z) * ((z - loc) / scale) ** 2, loc, scale)
    return b, gaussian.gradient_variance(lambda z: f(z) - b, loc, scale, "score_function")["loc"]


class TestOptimalBaseline:
    def test_right(self, capsys):
        check.check_optimal_baseline(optimal_baseline)
        assert capsys.readouterr().out.startswith("Correct")

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda f, m, s: (gaussian.expectation(f, m, s), 0.0), "this is E f"),
            (lambda f, m, s: (optimal_baseline(f, m, s)[0] / s**2, 0.0), "divide"),
            (
                lambda f, m, s: (
                    optimal_baseline(f, m, s)[0],
                    gaussian.gradient_variance(f, m, s, "score_function")["loc"],
                ),
                "without a baseline",
            ),
            (
                lambda f, m, s: (
                    optimal_baseline(f, m, s)[0],
                    optimal_baseline(f, m, s)[1] + gaussian.gradient(f, m, s)["loc"] ** 2,
                ),
                "second moment",
            ),
            (lambda f, m, s: (optimal_baseline(f, m, s)[0] * s**2, 0.0), "square of z - mu"),
            (lambda f, m, s: (optimal_baseline(f, m, s)[0], np.sqrt(optimal_baseline(f, m, s)[1])), "deviation"),
            (
                lambda f, m, s: (optimal_baseline(f, m, s)[0], (optimal_baseline(f, m, s)[0] / s) ** 2),
                "takes away",
            ),
            (lambda f, m, s: (optimal_baseline(f, m, s)[0], optimal_baseline(f, m, s)[1] * s**2), "not eps"),
            (lambda f, m, s: 1.0, "pair"),
            (lambda f, m, s: None, "does your function return"),
            (lambda f, m, s: 1 / 0, "ZeroDivisionError"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_optimal_baseline(wrong)


def variance(wave, k, name, loc, scale, estimator):
    return gaussian.gradient_variance(lambda z: wave(k * z), loc, scale, estimator)[name]


@functools.cache
def crossing(wave=tf.sin, name="loc", loc=0.0, scale=0.5, bracket=(1.0, 4.0)):
    def log_ratio(k):
        return np.log(
            variance(wave, k, name, loc, scale, "pathwise") / variance(wave, k, name, loc, scale, "score_function")
        )

    return optimize.brentq(log_ratio, *bracket)


class TestCrossover:
    def test_right(self, capsys):
        check.check_crossover(crossing())
        check.check_crossover(np.round(crossing(), 4))
        assert "Correct" in capsys.readouterr().out

    def test_it_is_the_smallest(self):
        below = np.linspace(0.05, crossing() - 0.05, 12)
        for k in below:
            two = [variance(tf.sin, k, "loc", 0.0, 0.5, e) for e in ("pathwise", "score_function")]
            assert two[0] < two[1]

    @pytest.mark.parametrize(("wave", "name"), [("sin", "loc"), ("sin", "scale"), ("cos", "loc")])
    def test_the_closed_form_is_that_of_quadrature(self, wave, name):
        k = check._first_crossing(wave, name, 0.4, 0.7)
        two = [variance(getattr(tf, wave), k, name, 0.4, 0.7, e) for e in ("pathwise", "score_function")]
        assert two[0] == pytest.approx(two[1], rel=1e-7)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (2.0, "asymptotic"),
            (crossing() / 2, "sigma = 1"),
            (crossing(tf.cos, "loc", 1.0, 1.0, (0.5, 3.0)), "the page's crossing"),
            (2 * crossing(tf.cos, "loc", 1.0, 1.0, (0.5, 3.0)), "rescaled from the page's cosine"),
            (1.2345, "gradient_variance"),
            (np.nan, "gradient_variance"),
            ("two", "expected a number"),
            (str(crossing()), "not text"),
            (None, "k: got None. Hint: does your function return"),
            ([1.0, 2.0], "shape"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_crossover(wrong)

    @pytest.mark.parametrize("wrong", [2.0, 1.2345, crossing() + 0.01, crossing() / 2])
    def test_the_answer_is_not_told(self, wrong):
        with pytest.raises(WrongAnswer, match="not yet") as raised:
            check.check_crossover(wrong)
        assert f"{crossing():.3g}" not in str(raised.value).replace(f"{wrong:.5g}", "")


def kl(loc, tril, prior_loc, prior_tril, trace=True, minus_d=1.0, logs=1.0, factor=0.5):
    loc, tril, prior_loc, prior_tril = map(np.asarray, (loc, tril, prior_loc, prior_tril))
    spread = linalg.solve_triangular(prior_tril, tril, lower=True)
    shift = linalg.solve_triangular(prior_tril, prior_loc - loc, lower=True)
    total = np.sum(spread**2) if trace else np.trace(spread)
    log_ratio = np.log(np.diag(prior_tril) / np.diag(tril)).sum()
    return factor * (total + shift @ shift - minus_d * len(loc)) + logs * log_ratio


def kl_by_determinants(loc, tril, prior_loc, prior_tril):
    s, t = tril @ tf.transpose(tril), prior_tril @ tf.transpose(prior_tril)
    inverse, shift = tf.linalg.inv(t), (prior_loc - loc)[:, None]
    logs = tf.math.log(tf.linalg.det(t) / tf.linalg.det(s))
    quadratic = tf.reduce_sum(shift * (inverse @ shift))
    return 0.5 * (tf.linalg.trace(inverse @ s) + quadratic - len(loc) + logs)


def kl_by_inverses(loc, tril, prior_loc, prior_tril):
    s, t = (np.asarray(a) @ np.asarray(a).T for a in (tril, prior_tril))
    inverse, shift = np.linalg.inv(t), np.asarray(prior_loc - loc)
    logs = np.linalg.slogdet(t)[1] - np.linalg.slogdet(s)[1]
    return 0.5 * (np.trace(inverse @ s) + shift @ inverse @ shift - len(shift) + logs)


def kl_by_tfp(loc, tril, prior_loc, prior_tril):
    q, p = tfd.MultivariateNormalTriL(loc, tril), tfd.MultivariateNormalTriL(prior_loc, prior_tril)
    return tfd.kl_divergence(q, p)


class TestKl:
    def test_right(self, capsys):
        check.check_kl_from_factors(kl)
        check.check_kl_from_factors(kl_by_tfp)
        assert capsys.readouterr().out.startswith("Correct")

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda m, s, n, t: kl(n, t, m, s), "swapped"),
            (lambda *a: kl(*a, minus_d=0.0), "-d is missing"),
            (lambda *a: kl(*a, logs=0.5), "half of it is the whole sum"),
            (lambda *a: kl(*a, logs=2.0), "counted twice"),
            (lambda *a: kl(*a, logs=-1.0), "sign of the logarithms"),
            (lambda *a: kl(*a, factor=1.0, logs=2.0), "factor 1/2"),
            (lambda *a: kl(*a, trace=False), "not its trace"),
            (kl_by_determinants, "underflows"),
            (kl_by_inverses, "ill-conditioned.*squares the condition number"),
            (lambda a: 0.0, "4 arguments"),
            (lambda *a: np.zeros(3), "shape"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_kl_from_factors(wrong)


class TestLowRank:
    mean = np.array([1.0, -2.0, 0.5])
    precision = np.array([[4.0, 3.0, 0.5], [3.0, 4.0, 0.3], [0.5, 0.3, 2.0]])

    def best(self):
        def gap(p):
            covariance = np.diag(np.exp(2 * p[:3])) + np.outer(p[3:], p[3:])
            return np.trace(self.precision @ covariance) - np.linalg.slogdet(covariance)[1]

        found = optimize.minimize(gap, [-1.0, -1.0, -0.4, 0.5, -0.5, 0.0], method="BFGS").x
        return self.mean, np.exp(found[:3]), found[3:]

    def test_right(self, capsys):
        loc, scale, factor = self.best()
        check.check_low_rank_posterior(loc, scale, factor, self.mean, self.precision)
        check.check_low_rank_posterior(loc, scale, -factor, self.mean, self.precision)
        assert "best in the family" in capsys.readouterr().out

    def test_wrong(self):
        loc, scale, factor = self.best()
        cases = [
            ((loc, np.diag(self.precision) ** -0.5, 0 * factor), "v is zero"),
            ((loc + 0.5, scale, factor), "mean has not arrived"),
            ((loc, scale**2, factor), "variances"),
            ((loc, np.sqrt(scale**2 + factor**2), factor), "take v\\^2 out"),
            ((loc, 3 * scale, factor), "more steps"),
            ((loc, -scale, factor), "positive"),
            ((loc, scale, factor[:2]), "shape"),
            ((loc, scale, np.nan * factor), "finite"),
            ((loc, "abc", factor), "not text"),
            ((loc, scale.astype(str), factor), "not text"),
            ((None, scale, factor), "loc: got None"),
        ]
        for answer, message in cases:
            with pytest.raises(WrongAnswer, match=message):
                check.check_low_rank_posterior(*answer, self.mean, self.precision)

    def test_the_covariance_in_place_of_the_precision(self):
        with pytest.raises(WrongAnswer, match="is this the covariance"):
            check.check_low_rank_posterior(*self.best(), self.mean, np.linalg.inv(self.precision))

    def test_the_best_gap_lies_between_zero_and_the_mean_field(self):
        diagonal = (np.log(np.diag(self.precision)).sum() - np.linalg.slogdet(self.precision)[1]) / 2
        assert 0 < check._best_low_rank_gap(self.precision) < diagonal
