"""The score-function estimator (REINFORCE, likelihood ratio)."""

import numbers

import tensorflow as tf

from companion import _validation
from companion.gradients.problem import Problem

__all__ = ["score_function"]


def score_function(f, make_distribution, params, num_samples, seed=None, baseline=None):
    r"""Estimates the gradient of E f(z) by differentiating the log-density at fixed samples.

    .. math::

        \nabla_\theta \mathbb{E}_{q(z;\theta)}[f(z)]
        = \mathbb{E}_{q(z;\theta)}\bigl[(f(z) - b)\, \nabla_\theta \log q(z;\theta)\bigr]

    It is unbiased if q is differentiable in theta, a dominating integrable bound on \|f grad q\| exists near
    theta, and the support of q does not depend on theta (so it is wrong for U(0, theta)). f need not be
    differentiable or even continuous, and z may be discrete. Any baseline b that does not depend on the
    sample leaves the mean as it is, because the score has mean zero, and changes the variance.

    Args:
        f: as for `companion.gradients.pathwise`; it is not differentiated.
        make_distribution: a callable, called with the parameters as keywords, that returns a
            `tfd.Distribution` with a `log_prob`.
        params: a mapping of names to tensors, arrays, variables or numbers, of one floating width.
        num_samples: how many samples, at least 1; at least 2 for "leave_one_out".
        seed: as for `companion.gradients.pathwise`.
        baseline: None for 0; a number; or "leave_one_out", for each sample the mean of f over the others.
            The leave-one-out samples are each unbiased but not independent of one another: their
            correlations are of order 1 / num_samples^2.

    Returns:
        A `GradientEstimate`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as for `companion.gradients.pathwise`, or if `baseline` is unknown.

    Reference:
        Williams (1992); Glynn (1990). Chapter: Motivation.

    Example:
        The gradient of P(b = 1) with respect to the probability itself is 1.

        >>> from tensorflow_probability import distributions as tfd
        >>> make = lambda probs: tfd.Bernoulli(probs=probs, dtype=tf.float32)
        >>> estimate = score_function(lambda b: b, make, {"probs": 0.3}, 10000, seed=0)
        >>> abs(float(estimate.mean["probs"]) - 1) < 4 * float(estimate.standard_error["probs"])
        True
    """
    problem = Problem(f, make_distribution, params, num_samples, seed)
    rows = problem.rows()
    z = tf.stop_gradient(problem.draw(rows))
    values = problem.evaluate(z)
    weights = tf.stop_gradient(values - _baseline(baseline, values))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(rows)
        log_prob = make_distribution(**rows).log_prob(z)  # [num_samples, *batch]
        if values.shape.rank == 1:  # one f of the whole batch: its members are independent, their scores add
            log_prob = tf.reduce_sum(log_prob, axis=list(range(1, log_prob.shape.rank)))
        surrogate = weights * log_prob
    return problem.estimate(values, tape.gradient(surrogate, rows))


def _baseline(baseline, values):
    if baseline is None:
        return tf.zeros([], values.dtype)
    if baseline == "leave_one_out":
        n = _validation.count("num_samples (for baseline='leave_one_out')", values.shape[0], minimum=2)
        return (tf.reduce_sum(values, axis=0) - values) / (n - 1)
    if isinstance(baseline, numbers.Real) and not isinstance(baseline, bool):
        return _validation.float_tensor("baseline", float(baseline), values.dtype)
    expected = "None, a number or 'leave_one_out'"
    raise ValueError(_validation.message("baseline", expected, _validation.describe(baseline)))
