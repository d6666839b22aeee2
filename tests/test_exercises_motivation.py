"""Right answers pass the checks of the chapter "Motivation"; wrong ones fail with a message that names the mistake."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from companion import gaussian
from companion.exercises import WrongAnswer
from companion.exercises import motivation as check

MU, SIGMA = np.log(60.0), 0.8


def profit(z):
    return 2.5 * np.minimum(np.exp(z), 100.0) - 100.0


def profit_tensor(z):
    return 2.5 * tf.minimum(tf.exp(z), 100.0) - 100.0


# -- waste paper is worth something ---------------------------------------------------------------------------------


def salvage(mu, sigma, price, cost, stock, salvage):
    below = np.exp(mu + sigma**2 / 2) * stats.norm.cdf((np.log(stock) - mu) / sigma - sigma)
    alpha, margin = (np.log(stock) - mu) / sigma, price - salvage
    value = margin * (below + stock * stats.norm.sf(alpha)) + (salvage - cost) * stock
    return value, margin * below, margin * (sigma * below - stock * stats.norm.pdf(alpha))


def without_boundary(mu, sigma, price, cost, stock, worth):
    value, d_mu, _ = salvage(mu, sigma, price, cost, stock, worth)
    return value, d_mu, sigma * d_mu


def without_constant(*args):
    value, d_mu, d_sigma = salvage(*args)
    return value - args[5] * args[4], d_mu, d_sigma


@pytest.mark.parametrize(
    "answer", [salvage, lambda *args: list(salvage(*args)), lambda *args: np.array(salvage(*args))]
)
def test_salvage_accepts_right_answers(answer, capsys):
    check.check_salvage_profit(answer)
    assert capsys.readouterr().out.startswith("Correct")


def test_salvage_agrees_with_quadrature():
    """The answer of the check, from the profit as the exercise states it."""

    def stated(z):
        return 2.5 * tf.minimum(tf.exp(z), 100.0) + 0.4 * tf.maximum(100.0 - tf.exp(z), 0.0) - 100.0

    exact = gaussian.gradient(stated, MU, SIGMA)
    expected = [gaussian.expectation(stated, MU, SIGMA), exact["loc"], exact["scale"]]
    assert salvage(MU, SIGMA, 2.5, 1.0, 100.0, 0.4) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda m, s, p, c, k, v: salvage(m, s, p, c, k, 0.0), "salvage value is missing"),
        (lambda m, s, p, c, k, v: salvage(m, s, p + 2 * v, c, k, v), "lowers the margin"),
        (without_constant, "the constant"),
        (without_boundary, "second term"),
        (lambda *args: tuple(-x for x in salvage(*args)), "expected profit"),
        (lambda *args: salvage(*args)[0], "three numbers"),
        (lambda *args: ("a", "b", "c"), "numbers"),
        (lambda *args: (np.nan, 1.0, 2.0), "finite"),
        (lambda mu: mu, "raised TypeError"),
        ((1.0, 2.0, 3.0), "a function"),
        (None, "a function"),
    ],
)
def test_salvage_names_the_mistake(answer, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_salvage_profit(answer)


# -- the score function by hand -------------------------------------------------------------------------------------


def rows(z, mu, sigma, baseline, loc=None, scale=None, sign=-1.0):
    eps = (z - mu) / sigma
    loc = eps / sigma if loc is None else loc(eps, sigma)
    scale = (eps**2 - 1) / sigma if scale is None else scale(eps, sigma)
    return (profit(z) + sign * baseline)[:, None] * np.stack([loc, scale], axis=1)


def along_the_path(z, mu, sigma, baseline):
    slope = np.where(np.exp(z) < 100.0, 2.5 * np.exp(z), 0.0)
    return np.stack([slope, slope * (z - mu) / sigma], axis=1)


def score_alone(z, mu, sigma, baseline):
    eps = (z - mu) / sigma
    return np.stack([eps, eps**2 - 1], axis=1) / sigma


@pytest.mark.parametrize("answer", [rows, lambda *args: tf.constant(rows(*args))], ids=["numpy", "tensor"])
def test_score_accepts_right_answers(answer, capsys):
    check.check_score_gradients(answer)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda z, m, s, b: s * rows(z, m, s, b), "factor 1 / sigma"),
        (lambda z, m, s, b: -rows(z, m, s, b), "sign is reversed"),
        (lambda z, m, s, b: rows(z, m, s, 0.0), "baseline is not subtracted"),
        (lambda z, m, s, b: rows(z, m, s, b, sign=1.0), "baseline is added"),
        (score_alone, "multiplied by the profit"),
        (lambda z, m, s, b: rows(z, m, s, b, scale=lambda e, s: e**2 / s), "mean is not zero"),
        (along_the_path, "along the path"),
        (lambda *args: rows(*args).T, r"\[2, 4\]"),
        (lambda *args: rows(*args).mean(axis=0), "no mean over n"),
        (lambda *args: rows(*args)[:, :1], "shape"),
        (lambda *args: 1.1 * rows(*args), "expected"),
        (lambda *args: "text", "numbers"),
        (lambda z: z, "raised TypeError"),
        (7, "a function"),
    ],
)
def test_score_names_the_mistake(answer, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_score_gradients(answer)


def test_score_that_is_right_at_single_samples_only_is_biased():
    """Few samples are checked one by one; what is dropped elsewhere shows in the mean."""

    def clipped(z, mu, sigma, baseline):
        found = rows(z, mu, sigma, baseline)
        return found if len(z) < 100 else np.clip(found, -60.0, 60.0)

    with pytest.raises(WrongAnswer, match="standard error"):
        check.check_score_gradients(clipped)


# -- the best constant ----------------------------------------------------------------------------------------------


def best_constants():
    scores = {
        "loc": lambda z: (z - MU) / SIGMA**2,
        "scale": lambda z: ((z - MU) ** 2 / SIGMA**2 - 1) / SIGMA,
    }
    baselines, variances = {}, {}
    for name, score in scores.items():
        square = gaussian.expectation(lambda z, s=score: s(z) ** 2, MU, SIGMA)
        weighted = gaussian.expectation(lambda z, s=score: profit_tensor(z) * s(z) ** 2, MU, SIGMA)
        b = baselines[name] = weighted / square
        spread = gaussian.gradient_variance(lambda z, b=b: profit_tensor(z) - b, MU, SIGMA, "score_function")
        variances[name] = spread[name]
    return baselines, variances


@pytest.fixture(scope="module")
def best():
    return best_constants()


def test_baseline_accepts_the_right_numbers(best, capsys):
    check.check_optimal_baseline(*best)
    check.check_optimal_baseline(*({name: tf.constant(x) for name, x in part.items()} for part in best))
    assert capsys.readouterr().out.count("Correct") == 2


def test_baseline_names_the_mistake(best):
    baselines, variances = best
    mean = gaussian.expectation(profit_tensor, MU, SIGMA)
    slope = gaussian.gradient(profit_tensor, MU, SIGMA)["loc"]
    plain = gaussian.gradient_variance(profit_tensor, MU, SIGMA, "score_function")
    wrong = [
        ({**baselines, "loc": mean}, variances, r"E\[f\], a good baseline"),
        ({**baselines, "loc": 0.0}, variances, "no baseline"),
        ({**baselines, "loc": baselines["loc"] / SIGMA**2}, variances, r"divided by E\[s\^2\]"),
        ({**baselines, "loc": baselines["loc"] + 100.0}, variances, "printing bill"),
        ({**baselines, "scale": baselines["loc"]}, variances, "scale"),
        (baselines, plain, "without a baseline"),
        (baselines, {**variances, "loc": variances["loc"] + slope**2}, "second moment"),
        (baselines, {**variances, "loc": np.sqrt(variances["loc"])}, "standard deviation"),
        (baselines, {**variances, "scale": 1.0}, "variances"),
        ([1.0, 2.0], variances, "mapping"),
        ({"mu": 1.0, "sigma": 2.0}, variances, "keys"),
        (baselines, None, "mapping"),
        ({**baselines, "loc": "forty"}, variances, "numbers"),
    ]
    for b, v, words in wrong:
        with pytest.raises(WrongAnswer, match=words):
            check.check_optimal_baseline(b, v)


# -- central differences --------------------------------------------------------------------------------------------


def central(up, down, h, left=1.0, width=2.0):
    return (profit(MU + (SIGMA + h) * up) - profit(MU + (SIGMA - left * h) * down)) / (width * h)


@pytest.mark.parametrize("answer", [central, lambda *args: tf.constant(central(*args))], ids=["numpy", "tensor"])
def test_differences_accept_right_answers(answer, capsys):
    check.check_central_differences(answer)
    said = capsys.readouterr().out
    ratio = float(said.split(" is ")[1].split()[0])
    assert said.startswith("Correct")
    assert 5e3 < ratio < 2e4  # V / (2 h^2) over the variance along the path


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda u, d, h: central(u, d, h, width=1.0), "2 h apart"),
        (lambda u, d, h: -central(u, d, h), "sign is reversed"),
        (lambda u, d, h: central(u, d, h, left=0.0, width=1.0), "forward difference"),
        (lambda u, d, h: central(u, u, h), "eps_down is not used"),
        (lambda u, d, h: (profit(MU + h + SIGMA * u) - profit(MU - h + SIGMA * d)) / (2 * h), "step moves mu"),
        (lambda u, d, h: central(u, d, h).mean(), "no mean"),
        (lambda u, d, h: central(u, d, h)[:2], "shape"),
        (lambda u, d, h: central(u, d, h) + 1.0, "expected"),
        (lambda u, d, h: None, "numbers|finite|return"),
        (lambda u: u, "raised TypeError"),
        ("central", "a function"),
    ],
)
def test_differences_name_the_mistake(answer, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_central_differences(answer)


# -- project: the price ---------------------------------------------------------------------------------------------


def price_slope(price, eps, margin=1.0, share=-1.5, baseline=50.0):
    sales = np.minimum(np.exp(MU - 1.5 * np.log(price / 2.5) + SIGMA * eps), 100.0)
    return margin * sales + share * (sales - baseline) * eps / SIGMA


def revenue(price):
    mu = MU - 1.5 * np.log(price / 2.5)
    return price * gaussian.expectation(lambda z: tf.minimum(tf.exp(z), 100.0), mu, SIGMA)


@pytest.fixture(scope="module")
def best_price():
    """The best price to a cent, by trying them all: a referee that shares nothing with the check."""
    coarse = np.linspace(0.5, 8.0, 31)
    middle = coarse[np.argmax([revenue(p) for p in coarse])]
    fine = middle + np.arange(-0.3, 0.31, 0.02)
    return fine[np.argmax([revenue(p) for p in fine])]


def along_the_price(price, eps):
    sales = np.exp(MU - 1.5 * np.log(price / 2.5) + SIGMA * eps)
    return np.minimum(sales, 100.0) - 1.5 * np.where(sales < 100.0, sales, 0.0)


@pytest.mark.parametrize(
    "gradients", [price_slope, lambda p, e: tf.constant(price_slope(p, e, baseline=0.0)), along_the_price]
)
def test_price_accepts_right_answers(gradients, best_price, capsys):
    for error in (0.0, 0.03, -0.03):
        check.check_price(gradients, best_price + error)
    assert capsys.readouterr().out.count("Correct") == 3


@pytest.mark.parametrize(
    ("gradients", "words"),
    [
        (lambda p, e: price_slope(p, e, margin=0.0), "margin is missing"),
        (lambda p, e: price_slope(p, e, share=0.0), "demand's share is missing"),
        (lambda p, e: price_slope(p, e, share=1.5), "sign of mu"),
        (lambda p, e: price_slope(p, e, share=p), "chain rule"),
        (lambda p, e: -price_slope(p, e), "gradient's sign"),
        (lambda p, e: price_slope(p, e) + 2.0, "standard error"),
        (lambda p, e: price_slope(p, e).mean(), "no mean"),
        (lambda p, e: np.full_like(e, np.nan), "finite"),
        (lambda p, e: "text", "numbers"),
        (lambda p: p, "raised TypeError"),
        (2.5, "a function"),
    ],
)
def test_price_names_the_mistake(gradients, words, best_price):
    with pytest.raises(WrongAnswer, match=words):
        check.check_price(gradients, best_price)


@pytest.mark.parametrize(("off", "words"), [(0.1, "within 0.05"), (-0.1, "within 0.05"), (np.nan, "finite")])
def test_price_too_far_from_the_best_is_refused(off, words, best_price):
    with pytest.raises(WrongAnswer, match=words):
        check.check_price(price_slope, best_price + off)


@pytest.mark.parametrize("price", [None, "2.5 euros", [2.5, 2.6]])
def test_price_of_another_type_is_refused(price):
    with pytest.raises(WrongAnswer, match="best_price"):
        check.check_price(price_slope, price)


def same_sample_baseline(price, eps):
    sales = price_slope(price, eps, share=0.0)
    return sales - 1.5 * (sales - sales.mean()) * eps / SIGMA


def left_out_baseline(price, eps):
    sales = price_slope(price, eps, share=0.0)
    others = (sales.sum() - sales) / (len(sales) - 1)
    return sales - 1.5 * (sales - others) * eps / SIGMA


def test_price_sees_a_baseline_from_the_same_samples(best_price, capsys):
    """At 100 000 samples its bias is invisible; at two it is half the gradient."""
    with pytest.raises(WrongAnswer, match="leave the sample itself out"):
        check.check_price(same_sample_baseline, best_price)
    check.check_price(left_out_baseline, best_price)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(("price", "words"), [("2.893", "not text"), (None, "return"), ([2.893], "one number")])
def test_price_that_is_no_number_gets_the_right_reason(price, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_price(price_slope, price)


def test_salvage_accepts_a_stacked_tensor(capsys):
    check.check_salvage_profit(lambda *args: tf.stack([tf.constant(x, tf.float64) for x in salvage(*args)]))
    assert capsys.readouterr().out.startswith("Correct")


def test_a_function_that_returns_nothing_is_told_so(best_price):
    with pytest.raises(WrongAnswer, match="does your function return"):
        check.check_price(lambda price, eps: None, best_price)
