"""Right answers pass the checks of the chapter "The trick"; wrong ones fail with a message that names the mistake."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from tensorflow_probability import distributions as tfd

from companion import gaussian
from companion.exercises import WrongAnswer
from companion.exercises import trick as check
from companion.reparameterizations import Reparameterization, register, standard_uniform


def f64(x):
    return tf.constant(x, tf.float64)


# -- a map by hand --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "g",
    [
        lambda eps, scale: scale * tf.sqrt(-2.0 * tf.math.log1p(-eps)),
        lambda eps, scale: scale * tf.sqrt(-2.0 * tf.math.log(eps)),
    ],
    ids=["increasing", "decreasing"],
)
def test_rayleigh_accepts_both_directions(g, capsys):
    check.check_rayleigh_map(g)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(
    ("g", "words"),
    [
        (lambda e, s: s * tf.sqrt(-tf.math.log(e)), "the 2 under the square root is missing"),
        (lambda e, s: -2.0 * s * tf.math.log(e), "the square root is missing"),
        (lambda e, s: s**2 * tf.sqrt(-2.0 * tf.math.log(e)), "the scale is squared"),
        (lambda e, s: tf.sqrt(-2.0 * tf.math.log(e)), "the scale does not enter"),
        (lambda e, s: 1.0 - tf.exp(-(e**2) / (2.0 * s**2)), "F itself"),
        (lambda e, s: -s * tf.sqrt(-2.0 * tf.math.log(e)), "minus sign"),
        (lambda e, s: tf.stop_gradient(s) * tf.sqrt(-2.0 * tf.math.log(e)), "None"),
        (lambda e, s: s * e, "uniform"),
        (lambda e, s: tf.sqrt(2.0 * tf.math.log(e)), "finite"),
        (lambda e, s: s * tf.sqrt(2.0 * tf.math.log1p(-e)), r"finite.*Hint: log\(1 - eps\)"),
        (lambda e, s: -2.0 * s**2 * tf.math.log1p(-e), "the square root is missing"),
        (lambda e, s: 1.7 * tf.sqrt(-2.0 * tf.math.log1p(-e)), "scale 1.7; is that number written into g"),
        (lambda e, s: s * tf.sqrt(-2.0 * tf.math.log(e)) + (s - tf.stop_gradient(s)) * (e - 0.5), "at each eps"),
        (lambda e, s: s.numpy() * np.sqrt(-2.0 * np.log(e)), "None.*NumPy"),
        (lambda e, s: tf.reduce_sum(e), "shape"),
        (lambda e, s: s * tf.sqrt(-2.0 * tf.math.log(e)) + (s - tf.stop_gradient(s)), "the path"),
        (lambda e: e, "the call failed"),
        (lambda e, s: "text", "shape|tensor"),
        (3, "a function"),
    ],
)
def test_rayleigh_names_the_mistake(g, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_rayleigh_map(g)


# -- may it be moved? -----------------------------------------------------------------------------------------------

RIGHT = {
    "abs": True,
    "step": False,
    "relu_squared": True,
    "floor": False,
    "exp_quarter_square": True,
    "abs_of_scaled_noise": False,
    "cubed_exponential": False,
    "uniform_scale": True,
}


def test_conditions_accept_the_right_answers(capsys):
    check.check_which_may_be_moved(RIGHT)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize("name", RIGHT)
def test_conditions_explain_each_wrong_answer(name):
    with pytest.raises(WrongAnswer, match=rf"{name}.*Hint"):
        check.check_which_may_be_moved({**RIGHT, name: not RIGHT[name]})


@pytest.mark.parametrize(
    ("answers", "words"),
    [([True], "dict"), ({**RIGHT, "cosine": True}, "cosine"), ({**RIGHT, "abs": "yes"}, "True or False"), ({}, "None")],
)
def test_conditions_refuse_other_things(answers, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_which_may_be_moved(answers)


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("abs", tf.abs),
        ("step", lambda z: 0.5 * (1.0 + tf.sign(z))),
        ("relu_squared", lambda z: tf.nn.relu(z) ** 2),
        ("floor", lambda z: tf.floor(z) + 0.0 * z),
        ("exp_quarter_square", lambda z: tf.exp(z**2 / 4.0)),
    ],
)
def test_answers_for_a_shifted_normal_are_those_of_quadrature(name, f):
    """At theta = 0.1, so that symmetry does not make both sides vanish."""

    def slope(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            y = f(z)
        return tape.gradient(y, z, unconnected_gradients="zero")

    inside = gaussian.expectation(slope, 0.1, 1.0)
    truth = gaussian.gradient(f, 0.1, 1.0)["loc"]
    assert np.isclose(inside, truth, rtol=1e-6) == RIGHT[name]


# -- the weight of a mixture ----------------------------------------------------------------------------------------

FIRST, SECOND = tfd.Normal(f64(-1.0), f64(1.0)), tfd.Normal(f64(2.0), f64(1.0))


def mixture_slope(z, w):
    return -(FIRST.cdf(z) - SECOND.cdf(z)) / (w * FIRST.prob(z) + (1.0 - w) * SECOND.prob(z))


def test_mixture_accepts_the_right_slope(capsys):
    check.check_implicit_gradient(mixture_slope)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(
    ("slope", "words"),
    [
        (lambda z, w: -mixture_slope(z, w), "minus sign"),
        (lambda z, w: SECOND.cdf(z) - FIRST.cdf(z), "division by the density"),
        (lambda z, w: mixture_slope(z, 1.0 - w), "swapped"),
        (
            lambda z, w: -(FIRST.prob(z) - SECOND.prob(z)) / (w * FIRST.prob(z) + (1 - w) * SECOND.prob(z)),
            "not the density",
        ),
        (
            lambda z, w: -(FIRST.cdf(z) - SECOND.cdf(z)) / (w * FIRST.cdf(z) + (1 - w) * SECOND.cdf(z)),
            "distribution function, not by the density",
        ),
        (lambda z, w: mixture_slope(z, 0.3), "at w = 0.8"),
        (lambda z, w: tf.zeros_like(z), "dF/dw"),
        (lambda z, w: w, "shape"),
        (None, "a function"),
    ],
)
def test_mixture_names_the_mistake(slope, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_implicit_gradient(slope)


# -- a test with a rate ---------------------------------------------------------------------------------------------


def z_score(samples, expected):
    return (np.mean(samples) - expected) / (np.std(samples, ddof=1) / np.sqrt(len(samples)))


def mean_over(standard_error):
    """The two-sided test with another standard error."""
    return lambda x, m, a: bool(abs(np.mean(x) - m) <= stats.norm.isf(a / 2) * standard_error(x))


@pytest.mark.parametrize(
    "test",
    [
        mean_over(lambda x: np.std(x, ddof=1) / np.sqrt(len(x))),
        mean_over(lambda x: np.std(x) / np.sqrt(len(x))),
        lambda x, m, a: stats.ttest_1samp(x, m).pvalue >= a,
    ],
    ids=["normal", "divided by n", "t"],
)
def test_unbiasedness_accepts_right_tests(test, capsys):
    check.check_unbiasedness_test(test)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (mean_over(np.std), "never rejects"),
        (mean_over(lambda x: np.var(x) / np.sqrt(len(x))), "never rejects.*or the variance"),
        (mean_over(lambda x: np.std(x) / len(x)), "True means accept.*sd / sqrt"),
        (mean_over(lambda x: 2.0 / np.sqrt(len(x))), "100 samples.*written in"),
        (mean_over(lambda x: np.std(x) / 20.0), "100 samples.*written in"),
        (lambda x, m, a: bool(abs(z_score(x, 3.0)) <= stats.norm.isf(a / 2)), "100 samples.*written in"),
        (lambda x, m, a: bool(abs(z_score(x, m)) <= stats.norm.isf(a)), "two-sided"),
        (lambda x, m, a: bool(abs(z_score(x, m)) <= stats.norm.isf(a / 4)), "two-sided"),
        (lambda x, m, a: bool(z_score(x, m) <= stats.norm.isf(a / 2)), "only one side.*absolute value"),
        (lambda x, m, a: bool(z_score(x, m) >= -stats.norm.isf(a / 2)), "only one side.*absolute value"),
        (lambda x, m, a: bool(abs(z_score(x, m)) <= 1.96), "rate is ignored"),
        (lambda x, m, a: bool(z_score(x, m) <= stats.norm.isf(a)), "too small"),
        (lambda x, m, a: bool(z_score(x, m) >= -stats.norm.isf(a)), "too large"),
        (lambda x, m, a: bool(abs(z_score(x, m)) > stats.norm.isf(a / 2)), "True means accept"),
        (lambda x, m, a: bool(abs(z_score(x, m)) <= stats.norm.ppf(a / 2)), "quantile positive"),
        (lambda x, m, a: False, "True means accept"),
        (lambda x, m, a: True, "never rejects"),
        (lambda x, m, a: tf.constant(True), r"Hint: wrap it in bool\(\)"),
        (lambda x, m, a: 0.3, "True .accept. or False"),
        (lambda x: True, "the call failed"),
        ("text", "a function"),
    ],
)
def test_unbiasedness_names_the_mistake(test, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_unbiasedness_test(test)


@pytest.mark.parametrize("num_samples", [100, 400])
def test_unbiasedness_rejects_a_right_test_with_the_stated_probability(num_samples):
    """Exactly, for the three right tests: half of the false-alarm rate to each of the two settings."""
    low, high = check._allowed_rejections(num_samples)
    quantile = stats.norm.isf(0.025)
    for rate in (0.05, *(2 * stats.t.sf(quantile * np.sqrt(r), num_samples - 1) for r in (1, 1 - 1 / num_samples))):
        assert stats.binom.cdf(low - 1, 2000, rate) + stats.binom.sf(high, 2000, rate) <= check.FALSE_ALARM / 2


# -- a family of your own -------------------------------------------------------------------------------------------


def family(build):
    """A new family with the law of tfd.GeneralizedPareto, and what is registered for it."""

    class Mine(tfd.GeneralizedPareto):
        pass

    register(Mine)(build)
    return Mine(loc=f64(1.0), scale=f64(2.0), concentration=f64(0.3))


def registered(g, noise=lambda d: standard_uniform(d.batch_shape, d.dtype)):
    """A new family with the law of tfd.GeneralizedPareto and the map g."""
    return family(lambda d: Reparameterization(d, noise(d), lambda e: g(d, e), "z = g(eps)"))


def excess(d, e):
    return tf.math.expm1(-d.concentration * tf.math.log1p(-e)) / d.concentration


def right_map(d, e):
    return d.loc + d.scale * excess(d, e)


def test_family_accepts_a_right_map(capsys):
    check.check_registered_family(registered(right_map))
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(
    ("g", "words"),
    [
        (lambda d, e: d.loc + 1.1 * d.scale * excess(d, e), "another law"),
        (lambda d, e: d.loc + tf.stop_gradient(d.scale) * excess(d, e), "scale"),
        (lambda d, e: d.loc + d.scale * tf.stop_gradient(excess(d, e)), "dz/dconcentration|concentration"),
        (lambda d, e: right_map(d, tf.math.floormod(e + d.loc, 1.0)), "dz/dloc.*does g jump when the parameter moves"),
        (lambda d, e: right_map(d, e).numpy(), "None.*NumPy"),
        (lambda d, e: tf.cast(right_map(d, e), tf.float32), "expected float64, got float32.*d.dtype"),
        (lambda d, e: 1 / 0, "transform.*ZeroDivisionError"),
        (lambda d, e: None, "expected a tensor"),
    ],
    ids=["law", "detached scale", "detached concentration", "jump", "NumPy", "float32", "error", "None"],
)
def test_family_finds_a_broken_map(g, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_registered_family(registered(g))


def test_family_finds_noise_that_depends_on_the_parameters():
    mine = registered(lambda d, e: d.loc + e, noise=lambda d: tfd.GeneralizedPareto(0.0 * d.loc, d.scale, 0.3))
    with pytest.raises(WrongAnswer, match="noise depends on the parameters"):
        check.check_registered_family(mine)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (lambda d: standard_uniform([], d.dtype), r"batch shape \[\], the distribution \[200\].*d.batch_shape"),
        (lambda d: standard_uniform(d.batch_shape), "noise: expected float64, got float32.*d.dtype"),
        (lambda d: 3.0, "noise: expected a tfd.Distribution"),
    ],
    ids=["shared by the batch", "float32", "a number"],
)
def test_family_finds_the_wrong_noise(noise, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_registered_family(registered(right_map, noise))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda d: d.no_such_parameter, "registered function.*AttributeError"),
        (lambda d: d.loc, "expected a Reparameterization"),
        (lambda d: None, "no map is registered"),
    ],
    ids=["error", "a tensor", "None"],
)
def test_family_finds_a_function_that_makes_no_reparameterization(build, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_registered_family(family(build))


@pytest.mark.parametrize(
    "distribution",
    [
        tfd.Normal(f64(1.0), f64(2.0)),
        tfd.StudentT(4.0 + 0.0 * f64(1.0), f64(0.0), f64(1.0)),
        tfd.TruncatedNormal(f64(0.0), f64(1.0), f64(-1.0), f64(2.0)),
        tfd.LogNormal(f64(0.0), f64(0.5)),
        tfd.Exponential(f64(0.5)),
    ],
    ids=lambda d: type(d).__name__,
)
def test_family_accepts_what_the_package_registers(distribution, capsys):
    """StudentT is reparameterized with its degrees of freedom given, so its df has no path."""
    if isinstance(distribution, tfd.StudentT):
        with pytest.raises(WrongAnswer, match="df"):
            check.check_registered_family(distribution)
    else:
        check.check_registered_family(distribution)
        assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        (3.0, "tfd.Distribution"),
        (tfd.Normal(0.0, 1.0), "float64"),
        (tfd.Normal(f64([0.0, 1.0]), f64(1.0)), "scalar"),
        (tfd.HalfCauchy(f64(0.0), f64(1.0)), "no map is registered"),
    ],
)
def test_family_refuses_other_things(distribution, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_registered_family(distribution)
