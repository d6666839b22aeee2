"""The score-function estimator (REINFORCE, likelihood ratio), and its baselines."""

import numbers

import tensorflow as tf

from companion import _validation
from companion.gradients.log_density import differentiable_log_prob
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
        num_samples: how many samples, at least 1; at least 2 for "leave_one_out" and "optimal".
        seed: as for `companion.gradients.pathwise`.
        baseline: None for 0; a number; or

            - "leave_one_out": for each sample the mean of f over the others;
            - "optimal": for each entry of the parameters the best constant, E[f s^2] / E[s^2] with s the score,
              estimated for each half of the samples from the other half, so that no sample meets itself;
            - a callable, called with the mapping of parameters, that returns b: a number, or a tensor of shape
              [] or [*batch]. It does not see the samples.

            With the two that are estimated, each sample is unbiased but the samples are not independent: their
            correlations are of order 1 / num_samples^2.

    Returns:
        A `GradientEstimate`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as for `companion.gradients.pathwise`, or if `baseline` is unknown.

    Reference:
        Williams (1992); Glynn (1990); Greensmith, Bartlett and Baxter (2004) for the optimal baseline; Kool, van Hoof
        and Welling (2019) for leave-one-out. Chapter: Motivation.

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
    optimal = isinstance(baseline, str) and baseline == "optimal"
    weights = tf.stop_gradient(values if optimal else values - _baseline(baseline, values, problem))
    with tf.GradientTape(persistent=optimal, watch_accessed_variables=False) as tape:
        tape.watch(rows)
        log_prob = differentiable_log_prob(make_distribution(**rows), z)  # [num_samples, *batch]
        if values.shape.rank == 1:  # one f of the whole batch: its members are independent, their scores add
            log_prob = tf.reduce_sum(log_prob, axis=list(range(1, log_prob.shape.rank)))
        surrogate = weights * log_prob
    gradients = tape.gradient(surrogate, rows)
    if optimal:
        gradients = _less_optimal_baseline(gradients, tape.gradient(log_prob, rows), problem.num_samples)
    return problem.estimate(values, gradients)


def _baseline(baseline, values, problem):
    """b, of a shape that broadcasts to that of the values."""
    if baseline is None:
        return tf.zeros([], values.dtype)
    if isinstance(baseline, str) and baseline == "leave_one_out":
        n = _validation.count("num_samples (for baseline='leave_one_out')", values.shape[0], minimum=2)
        return (tf.reduce_sum(values, axis=0) - values) / (n - 1)
    if isinstance(baseline, numbers.Real) and not isinstance(baseline, bool):
        return _validation.float_tensor("baseline", float(baseline), values.dtype)
    if callable(baseline):
        return _from_callable(baseline, values, problem)
    expected = "None, a number, 'leave_one_out', 'optimal' or a callable of the parameters"
    raise ValueError(_validation.message("baseline", expected, _validation.describe(baseline)))


def _from_callable(baseline, values, problem):
    b = _validation.float_tensor("baseline(params)", baseline(dict(problem.params)), values.dtype)
    if b.dtype != values.dtype:
        raise TypeError(_validation.message("baseline(params)", f"{values.dtype.name}, the width of f", b.dtype.name))
    if b.shape.rank != 0 and (
        b.shape.rank != values.shape.rank - 1 or not b.shape.is_compatible_with(values.shape[1:])
    ):
        expected = f"a number, or one a member of the batch, shape {list(values.shape[1:])}"
        raise ValueError(_validation.message("baseline(params)", expected, f"shape {list(b.shape)}"))
    return b


def _less_optimal_baseline(gradients, scores, num_samples):
    """Takes the score times the best constant out, the constant for each half estimated from the other.

    For a gradient g and a score s of one entry, g - b s has its least variance at b = E[g s] / E[s^2].
    """
    _validation.count("num_samples (for baseline='optimal')", num_samples, minimum=2)
    half = num_samples // 2

    def less(g, s):
        if g is None:
            return None
        constants = [
            tf.math.divide_no_nan(tf.reduce_sum(g[part] * s[part], axis=0), tf.reduce_sum(s[part] ** 2, axis=0))
            for part in (slice(half, None), slice(None, half))
        ]
        sizes = (half, num_samples - half)
        b = tf.concat([tf.repeat(c[None], n, axis=0) for c, n in zip(constants, sizes, strict=True)], axis=0)
        return g - b * s

    return {name: less(g, scores[name]) for name, g in gradients.items()}
