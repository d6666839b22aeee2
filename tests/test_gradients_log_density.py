"""The derivative of the log-density has mean zero at every parameter, also where TFP's own has not."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion.gradients import score_function
from companion.gradients.log_density import differentiable_log_prob

# name: (distribution of one parameter, the value at which TFP's derivative is wrong, a sample)
SINGLED_OUT = {
    "gamma": (lambda p: tfd.Gamma(p, 2.0 * tf.ones_like(p)), 1.0, 0.3),
    "beta": (lambda p: tfd.Beta(p, 2.0 * tf.ones_like(p)), 1.0, 0.3),
    "beta_other_side": (lambda p: tfd.Beta(2.0 * tf.ones_like(p), p), 1.0, 0.3),
    "dirichlet": (lambda p: tfd.Dirichlet(tf.stack([p, p, p], axis=-1)), 1.0, [0.2, 0.3, 0.5]),
    "weibull": (lambda p: tfd.Weibull(p, tf.ones_like(p)), 1.0, 0.3),
    "kumaraswamy": (lambda p: tfd.Kumaraswamy(p, 2.0 * tf.ones_like(p)), 1.0, 0.3),
    "chi2": (tfd.Chi2, 2.0, 0.3),
    "chi": (tfd.Chi, 2.0, 0.3),
    "generalized_pareto": (lambda p: tfd.GeneralizedPareto(0.0 * p, tf.ones_like(p), p), 0.0, 0.3),
    "extreme_value": (lambda p: tfd.GeneralizedExtremeValue(0.0 * p, tf.ones_like(p), p), 0.0, 0.3),
    "independent": (
        lambda p: tfd.Independent(tfd.Gamma(p[..., None], 2.0 * tf.ones_like(p[..., None])), 1),
        1.0,
        [0.3],
    ),
    "transformed": (
        lambda p: tfd.TransformedDistribution(tfd.Gamma(p, 2.0 * tf.ones_like(p)), tfb.Scale(tf.ones_like(p))),
        1.0,
        0.3,
    ),
}


def score(log_prob, make, p, z):
    p, z = tf.constant(p, tf.float64), tf.constant(z, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(p)
        value = log_prob(make(p), z)
    return float(tape.gradient(value, p))


@pytest.mark.parametrize("name", SINGLED_OUT)
def test_the_score_is_continuous_where_tfps_is_not(name):
    make, p, z = SINGLED_OUT[name]
    near = np.mean([score(tfd.Distribution.log_prob, make, p + h, z) for h in (-1e-4, 1e-4)])
    assert score(differentiable_log_prob, make, p, z) == pytest.approx(near, rel=1e-5, abs=1e-6)
    assert abs(score(tfd.Distribution.log_prob, make, p, z) - near) > 1e-3  # so the step aside is needed


@pytest.mark.parametrize("name", SINGLED_OUT)
def test_the_value_is_the_density(name):
    make, p, z = SINGLED_OUT[name]
    for dtype, tolerance in ((tf.float32, 1e-3), (tf.float64, 1e-7)):
        d, z_there = make(tf.constant(p, dtype)), tf.constant(z, dtype)
        np.testing.assert_allclose(
            differentiable_log_prob(d, z_there), d.log_prob(z_there), rtol=tolerance, atol=tolerance
        )


def test_elsewhere_it_is_tfps():
    for d in (tfd.Normal(0.3, 2.0), tfd.Gamma(2.0, 1.0), tfd.Gamma(2.0, log_rate=0.3), tfd.Poisson(3.0)):
        np.testing.assert_array_equal(differentiable_log_prob(d, 2.0), d.log_prob(2.0))


def test_score_function_is_right_at_a_concentration_of_one():
    """The mean of Gamma(a, 1) is a, at a = 1, too; a batch mixes singled-out values with others."""
    params = {"a": tf.constant([1.0, 2.0])}
    estimate = score_function(tf.identity, lambda a: tfd.Gamma(a, tf.ones_like(a)), params, 200_000, 1, "leave_one_out")
    distance = (estimate.mean["a"] - 1.0) / estimate.standard_error["a"]
    assert np.abs(distance).max() < 4.5
    assert float(estimate.standard_error["a"][0]) < 0.02  # TFP's own score would give 0.58
