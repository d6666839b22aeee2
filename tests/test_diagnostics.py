"""`compare` and `samples_needed`: every number against its exact value."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from calibration import FALSE_ALARM, quantile
from scipy import stats
from tensorflow_probability import distributions as tfd

from companion import gaussian, gradients
from companion.diagnostics import Comparison, compare, samples_needed
from companion.gradients import GradientEstimate, pathwise, score_function

N = 50_000
PARAMS = {"loc": 0.3, "scale": 1.4}
ALL = {
    "pathwise": (pathwise, {"estimator": "pathwise"}),
    "score": (score_function, {"estimator": "score_function"}),
    "score, leave one out": (
        functools.partial(score_function, baseline="leave_one_out"),
        {"estimator": "score_function", "baseline": "leave_one_out", "num_samples": N},
    ),
    "measure-valued": (gradients.measure_valued, {"estimator": "measure_valued"}),
    "difference": (gradients.finite_difference, {"estimator": "finite_difference"}),
}


def bowl(z):
    return (z - 1.0) ** 2


@pytest.fixture(scope="module")
def comparison():
    return compare({name: e for name, (e, _) in ALL.items()}, bowl, tfd.Normal, PARAMS, N, seed=1)


def test_the_numbers(comparison):
    """Mean, variance, signal-to-noise against the exact ones, within their own standard errors."""
    comparisons = 6 * len(ALL)
    for i, (_, options) in enumerate(ALL.values()):
        exact_variance = gaussian.gradient_variance(bowl, **PARAMS, **options)
        for name, exact in gaussian.gradient(bowl, **PARAMS).items():
            assert abs(comparison.exact[name] - exact) < 1e-6
            assert abs(comparison.bias[name][i]) < quantile(comparisons)
            error = (comparison.mean[name][i] - exact) / comparison.bias[name][i]
            np.testing.assert_allclose(error, comparison.standard_error[name][i], rtol=1e-3)
            low, high = comparison.variance_interval[name][:, i]
            spread = np.log(high / low) / (2 * 1.96) * quantile(comparisons)
            assert abs(np.log(comparison.variance[name][i] / exact_variance[name])) < spread
            snr = abs(exact) / np.sqrt(exact_variance[name])
            assert abs(comparison.snr[name][i] / snr - 1) < 0.1
    assert comparison.names == tuple(ALL)
    assert comparison.num_samples == N


def test_intervals_of_the_variance_cover_at_their_rate():
    """Over 400 members of a batch, 95 per cent intervals of a variance hold it as often as they say."""
    members = 400
    params = {"loc": np.full(members, 0.3, np.float32), "scale": np.full(members, 1.4, np.float32)}
    found = compare([pathwise], bowl, tfd.Normal, params, 2000, seed=2)
    exact = gaussian.gradient_variance(bowl, **PARAMS, estimator="pathwise")
    for name in params:
        low, high = found.variance_interval[name][:, 0]
        covered = np.sum((low <= exact[name]) & (exact[name] <= high))
        at_least, at_most = stats.binom.interval(1 - FALSE_ALARM, members, 0.94)[0], members
        assert at_least <= covered <= at_most
        half_as_wide = np.sum((low * 1.02 <= exact[name]) & (exact[name] <= high / 1.02))
        assert half_as_wide < covered


def test_a_biased_estimator_is_shown_to_be():
    def biased(*arguments):
        estimate = pathwise(*arguments)
        return estimate._replace(samples={name: 1.1 * g for name, g in estimate.samples.items()})

    found = compare([pathwise, biased], bowl, tfd.Normal, PARAMS, N, seed=1)
    assert np.abs(found.bias["loc"][0]) < quantile(4) < np.abs(found.bias["loc"][1])


def test_an_estimator_without_noise():
    """phi(0) for a step under N(0, 1): coupled measure-valued has it at every sample; its rounding is no bias."""
    found = compare(
        [gradients.measure_valued],
        lambda z: tf.cast(z > 0, z.dtype),
        lambda loc: tfd.Normal(loc, 1.0),
        {"loc": 0.0},
        100,
    )
    assert found.variance["loc"][0] < 1e-12
    assert abs(found.bias["loc"][0]) < 3
    assert found.snr["loc"][0] > 1e6
    assert np.isfinite(found.variance_interval["loc"]).all()


def test_cost(comparison):
    assert comparison.seconds_per_thousand.shape == (len(ALL),)
    assert (comparison.seconds_per_thousand > 0).all()
    for name in PARAMS:
        product = comparison.variance[name] * comparison.seconds_per_thousand / 1000
        np.testing.assert_allclose(comparison.variance_times_cost[name], product)


def test_cost_is_measured_and_compiling_is_not():
    """A slow f shows; the first call, which traces, does not."""

    def slow(z):
        return tf.reduce_sum(tf.math.lgamma(z[:, None] + tf.range(1.0, 400.0)), axis=1)

    slowly = compare([score_function], slow, lambda rate: tfd.Exponential(rate), {"rate": 1.0}, 2000, seed=0)
    quickly = compare([score_function], tf.identity, lambda rate: tfd.Exponential(rate), {"rate": 1.0}, 2000, seed=0)
    assert slowly.seconds_per_thousand[0] > 2 * quickly.seconds_per_thousand[0]


def test_without_a_referee():
    params = {"loc": [0.3, 0.1], "scale_diag": [1.0, 2.0]}
    found = compare([pathwise], lambda z: tf.reduce_sum(z**2, -1), tfd.MultivariateNormalDiag, params, 100, seed=1)
    assert found.exact is None
    assert found.bias is None
    assert "bias / s.e." in found.table()
    assert found.mean["loc"].shape == (1, 2)


def test_an_f_that_can_not_be_traced_is_timed_as_it_runs():
    found = compare([score_function], lambda z: tf.constant(z.numpy() ** 2), tfd.Normal, PARAMS, 100, seed=1)
    assert found.seconds_per_thousand[0] > 0


def test_tables(comparison):
    lines = comparison.table(cost=False).splitlines()
    assert len(lines) == 2 + 2 * len(ALL)
    assert lines[0].split()[:3] == ["gradient", "of", "estimator"]
    assert "ms / 1000" not in comparison.table(cost=False)
    assert "ms / 1000" in str(comparison)
    assert comparison.table(cost=False) == comparison.table(cost=False)
    html = comparison._repr_html_()
    assert html.count("<tr>") == 1 + 2 * len(ALL)
    assert "<caption>" in html
    assert "score, leave one out" in repr(comparison)


def test_a_long_parameter_has_one_row():
    params = {"loc": np.zeros(7, np.float32)}
    make = functools.partial(_vector)
    found = compare([pathwise, score_function], lambda z: tf.reduce_sum(z**2, -1), make, params, 200, seed=1)
    lines = found.table(cost=False).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("loc (7 entries)")
    assert found.variance["loc"].shape == (2, 7)


def _vector(loc):
    return tfd.Independent(tfd.Normal(loc, 1.0), 1)


def test_numbers_repeat_with_the_seed(comparison):
    again = compare({name: e for name, (e, _) in ALL.items()}, bowl, tfd.Normal, PARAMS, N, seed=1)
    for name in PARAMS:
        np.testing.assert_array_equal(again.mean[name], comparison.mean[name])
    assert isinstance(again, Comparison)


def _only_loc(*arguments):
    estimate = pathwise(*arguments)
    return estimate._replace(samples={"loc": estimate.samples["loc"]})


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"estimators": {}}, ValueError, "estimators: expected at least one"),
        ({"estimators": pathwise}, TypeError, "estimators: expected a mapping of names"),
        ({"estimators": [functools.partial(pathwise)]}, TypeError, "functools.partial needs a name"),
        ({"estimators": [pathwise, pathwise]}, ValueError, "functions of different names"),
        ({"estimators": {1: pathwise, "1": score_function}}, TypeError, "names that are strings; got 1"),
        ({"estimators": {"a": lambda *arguments: None}}, TypeError, r"estimators\['a'\]: expected an estimator that"),
        (
            {"estimators": {"a": lambda f, make, params, n, seed: pathwise(f, make, params, n + 1, seed)}},
            ValueError,
            r"estimators\['a'\]: expected gradients of shapes",
        ),
        (
            {"estimators": {"a": pathwise, "b": _only_loc}},
            ValueError,
            r"estimators\['b'\]: expected gradients of shapes",
        ),
        ({"estimators": {"a": 3}}, TypeError, r"estimators\['a'\]: expected a callable"),
        ({"num_samples": 1}, ValueError, "num_samples: expected an integer of at least 2"),
        ({"f": 3}, TypeError, "f: expected a callable"),
        ({"params": {"loc": 0.0, "scale": -1.0}}, ValueError, "positive"),
        ({"seed": 1.5}, TypeError, "seed: expected an integer"),
    ],
)
def test_bad_arguments_are_named(changed, error, message):
    arguments = {
        "estimators": [pathwise],
        "f": bowl,
        "make_distribution": tfd.Normal,
        "params": PARAMS,
        "num_samples": 10,
        "seed": 0,
    }
    with pytest.raises(error, match=message):
        compare(**{**arguments, **changed})


def test_samples_needed_is_the_ratio_of_variance_to_squared_mean():
    estimate = pathwise(bowl, tfd.Normal, {"loc": 3.0, "scale": 1.4}, 400_000, seed=3)
    exact = gaussian.gradient_variance(bowl, 3.0, 1.4, "pathwise")
    found = samples_needed(estimate, 0.01)
    for name, gradient in gaussian.gradient(bowl, 3.0, 1.4).items():
        assert abs(found[name] / (exact[name] / (0.01 * gradient) ** 2) - 1) < 0.05


def test_that_many_samples_do_reach_the_relative_error():
    params = {"loc": [3.0, -1.0], "scale": [1.0, 2.0]}

    def f(z):
        return tf.reduce_sum((z - 1.0) ** 2, axis=-1)

    pilot = pathwise(f, tfd.Normal, params, 100_000, seed=3)
    needed = samples_needed(pilot, 0.1)["loc"]
    truth = np.array([4.0, -4.0])
    means = [pathwise(f, tfd.Normal, params, needed, seed=s).mean["loc"].numpy() for s in range(400)]
    squares = ((np.array(means) - truth) ** 2).sum(axis=1) / (truth @ truth)
    error = squares.std() / np.sqrt(len(squares))
    assert abs(squares.mean() - 0.1**2) < quantile(1) * error + 0.1**2 / needed  # rounded up to whole samples
    assert abs(squares.mean() / 4 - 0.1**2) > quantile(1) * error  # power: half the error is told apart


def test_samples_needed_refuses_what_has_no_relative_error():
    estimate = pathwise(bowl, tfd.Normal, {"loc": 1.0, "scale": 1.0}, 1000, seed=0)
    with pytest.raises(ValueError, match=r"estimate: expected a mean gradient of loc that can be told from 0"):
        samples_needed(estimate, 0.1)
    flat = GradientEstimate(tf.zeros([5]), {"loc": tf.zeros([5])})
    with pytest.raises(ValueError, match="can be told from 0"):
        samples_needed(flat, 0.1)
    for wrong in (0.0, -1.0, "0.1", None, float("nan"), float("inf"), True):
        with pytest.raises(ValueError, match="relative_error: expected a positive number"):
            samples_needed(estimate, wrong)
    with pytest.raises(TypeError, match="estimate: expected a GradientEstimate"):
        samples_needed(estimate.mean, 0.1)


def test_an_estimator_without_noise_needs_one_sample():
    steady = GradientEstimate(tf.zeros([5]), {"loc": tf.fill([5], 2.0)})
    assert samples_needed(steady, 0.1) == {"loc": 1}


def test_samples_needed_at_the_ends_of_the_floats():
    """Sizes near the ends of float32 are no obstacle; what can't be reached, or is no number, is an error."""
    huge = GradientEstimate(tf.zeros([4]), {"loc": tf.constant([9e30, 10e30, 11e30, 10e30])})
    assert samples_needed(huge, 0.01) == {"loc": 67}
    with pytest.raises(ValueError, match="relative_error: expected one that can be reached; got 1e-200"):
        samples_needed(huge, 1e-200)
    broken = GradientEstimate(tf.zeros([4]), {"loc": tf.constant([1.0, np.nan, 1.0, 1.0])})
    with pytest.raises(ValueError, match="estimate: expected finite gradients of loc"):
        samples_needed(broken, 0.1)


def test_graphs_are_refused():
    with pytest.raises(RuntimeError, match="compare: expected eager execution"):
        tf.function(lambda: compare([pathwise], bowl, tfd.Normal, PARAMS, 10))()
