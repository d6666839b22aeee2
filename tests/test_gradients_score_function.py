"""The baselines of the score function: they leave the mean alone, and each is what its name says."""

import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_mean, assert_variance
from cases import PROBLEMS, in_width
from tensorflow_probability import distributions as tfd

from companion import gaussian
from companion.gradients import score_function

NORMAL = {"loc": 0.0, "scale": 1.0}
IN_FLOAT64 = in_width({"loc": 0.4, "scale": 1.5}, tf.float64)


def square(z):
    return z**2


def parts_of(num_samples, seed=0):
    """f and both scores at the samples, from the estimate without a baseline."""
    plain = score_function(square, tfd.Normal, IN_FLOAT64, num_samples, seed)
    f = plain.function_values.numpy()
    return f, {name: g.numpy() / f for name, g in plain.samples.items()}


def test_leave_one_out_leaves_the_own_sample_out():
    estimate = score_function(square, tfd.Normal, IN_FLOAT64, 3, 0, "leave_one_out")
    f, score = parts_of(3)
    others = np.array([f[1] + f[2], f[0] + f[2], f[0] + f[1]]) / 2
    for name in score:
        np.testing.assert_allclose(estimate.samples[name], (f - others) * score[name], rtol=1e-10)


@pytest.mark.parametrize("num_samples", [2, 5, 8])
def test_the_optimal_baseline_comes_from_the_other_half(num_samples):
    estimate = score_function(square, tfd.Normal, IN_FLOAT64, num_samples, 0, "optimal")
    f, score = parts_of(num_samples)
    half = num_samples // 2
    for name, s in score.items():
        first, second = ((f[part] @ s[part] ** 2) / (s[part] @ s[part]) for part in (slice(half), slice(half, None)))
        b = np.where(np.arange(num_samples) < half, second, first)
        np.testing.assert_allclose(estimate.samples[name], (f - b) * s, rtol=1e-10)


def test_the_optimal_baseline_from_the_same_samples_would_be_biased():
    """With four samples an estimate, over many estimates: ours has the right mean, the tempting one has not."""
    members = 100_000
    params = in_width({"loc": np.full(members, 0.4), "scale": np.full(members, 1.5)}, tf.float64)
    plain = score_function(square, tfd.Normal, params, 4, 0)
    f, s = plain.function_values.numpy(), plain.samples["scale"].numpy() / plain.function_values.numpy()
    exact = gaussian.gradient(square, 0.4, 1.5)["scale"]
    ours = score_function(square, tfd.Normal, params, 4, 0, "optimal")
    assert_mean(ours.mean["scale"].numpy(), exact)
    tempting = ((f - (f * s**2).sum(axis=0) / (s**2).sum(axis=0)) * s).mean(axis=0)
    with pytest.raises(AssertionError):
        assert_mean(tempting, exact)


def test_the_optimal_baseline_of_a_shared_parameter():
    """Members that are separate for f share a scale: the constant multiplies the sum of their scores."""
    params = in_width({"loc": [0.5, -1.0], "scale": 0.7}, tf.float64)
    plain = score_function(square, tfd.Normal, params, 6, 0)
    f = plain.function_values.numpy()
    # the samples, recovered from the scores of loc
    z = params["loc"].numpy() + plain.samples["loc"].numpy() / f * 0.7**2
    total = (((z - params["loc"].numpy()) ** 2 / 0.7**2 - 1) / 0.7).sum(axis=1)
    g = plain.samples["scale"].numpy()
    b = [(g[part] @ total[part]) / (total[part] @ total[part]) for part in (slice(3, None), slice(3))]
    estimate = score_function(square, tfd.Normal, params, 6, 0, "optimal")
    np.testing.assert_allclose(estimate.samples["scale"], g - np.repeat(b, 3) * total, rtol=1e-9)


def test_a_callable_gets_the_parameters_and_nothing_else():
    seen = []

    def at_the_mean(params):
        seen.append(params)
        return params["loc"] ** 2

    estimate = score_function(square, tfd.Normal, IN_FLOAT64, 5, 0, at_the_mean)
    f, score = parts_of(5)
    assert list(seen[0]) == ["loc", "scale"]
    for name in score:
        np.testing.assert_allclose(estimate.samples[name], (f - 0.16) * score[name], rtol=1e-10)


def test_a_callable_may_serve_a_batch():
    params = in_width({"loc": [0.5, -1.0, 2.0], "scale": [1.0, 0.5, 2.0]}, tf.float64)
    estimate = score_function(square, tfd.Normal, params, 5, 0, lambda p: p["loc"] ** 2)
    for i in range(3):
        number = score_function(square, tfd.Normal, params, 5, 0, float(params["loc"][i] ** 2))
        np.testing.assert_allclose(estimate.samples["loc"][:, i], number.samples["loc"][:, i], rtol=1e-12)


def test_the_callable_of_a_single_bernoulli_takes_all_noise_away():
    """b = (1 - p) f(1) + p f(0) is the one baseline with variance zero (facts of Grathwohl et al., 2018)."""
    p = PROBLEMS["bernoulli"]

    def perfect(params):
        probs = tf.sigmoid(params["logits"])
        return (1.0 - probs) * 0.55**2 + probs * 0.45**2

    params = in_width(p.params, tf.float64)
    estimate = score_function(p.f, p.make, params, 1000, 0, perfect)
    np.testing.assert_allclose(estimate.samples["logits"], np.full(1000, p.gradient["logits"]), rtol=1e-12)


def test_each_baseline_has_its_exact_variance():
    f, loc, scale = square, 1.0, 0.8
    params = in_width({"loc": loc, "scale": scale}, tf.float64)
    cases = {"leave_one_out": {"num_samples": 200_000}, "optimal": {}, 1.64: {}}
    for baseline, options in cases.items():
        estimate = score_function(f, tfd.Normal, params, 200_000, 3, baseline)
        exact = gaussian.gradient_variance(f, loc, scale, "score_function", baseline=baseline, **options)
        plain = gaussian.gradient_variance(f, loc, scale, "score_function")
        for name, variance in exact.items():
            assert_variance(estimate.samples[name].numpy(), variance, shared_among=6)
            with pytest.raises(AssertionError):
                assert_variance(estimate.samples[name].numpy(), plain[name], shared_among=6)


def test_unknown_baselines_are_refused():
    expected = "baseline: expected None, a number, 'leave_one_out', 'optimal' or a callable"
    for wrong in ("mean", True, [1.0]):
        with pytest.raises(ValueError, match=expected):
            score_function(square, tfd.Normal, NORMAL, 10, seed=0, baseline=wrong)
    for kind in ("leave_one_out", "optimal"):
        with pytest.raises(ValueError, match=r"baseline.*at least 2; got 1"):
            score_function(square, tfd.Normal, NORMAL, 1, seed=0, baseline=kind)
    with pytest.raises(ValueError, match="baseline: expected finite numbers"):
        score_function(square, tfd.Normal, NORMAL, 10, seed=0, baseline=float("nan"))


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda params: float("nan"), ValueError, r"baseline\(params\): expected finite numbers"),
        (lambda params: tf.zeros([10]), ValueError, r"baseline\(params\): expected a number.*got shape \[10\]"),
        (lambda params: tf.zeros([], tf.float64), TypeError, r"baseline\(params\): expected float32.*got float64"),
        (lambda params: "b", TypeError, r"baseline\(params\): expected numbers"),
        (lambda params: None, TypeError, r"baseline\(params\): expected numbers"),
    ],
)
def test_what_a_callable_may_not_return(answer, error, message):
    with pytest.raises(error, match=message):
        score_function(square, tfd.Normal, NORMAL, 10, seed=0, baseline=answer)


def test_a_callable_may_not_broadcast_over_a_batch():
    params = {"loc": [0.0, 1.0], "scale": [1.0, 1.0]}
    for wrong in (tf.zeros([1]), tf.zeros([3]), tf.zeros([1, 2])):
        expected = r"baseline\(params\): expected a number, or one a member of the batch, shape \[2\]; got shape"
        with pytest.raises(ValueError, match=expected):
            score_function(square, tfd.Normal, params, 10, seed=0, baseline=lambda params, wrong=wrong: wrong)
