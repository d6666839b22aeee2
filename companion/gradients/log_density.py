"""log q(z; theta) with the right derivative in theta, where TFP's has a wrong one."""

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

__all__ = ["differentiable_log_prob"]

# TFP computes (a - 1) log z as xlogy(a - 1, z), and TensorFlow's derivative of xlogy(0, z) in its first argument is
# 0 instead of log z; the generalised laws switch to their limit at 0, which has no parameter left.
_SINGLED_OUT = {
    tfd.Gamma: {"concentration": 1.0},
    tfd.Beta: {"concentration1": 1.0, "concentration0": 1.0},
    tfd.Dirichlet: {"concentration": 1.0},
    tfd.Weibull: {"concentration": 1.0},
    tfd.Kumaraswamy: {"concentration1": 1.0, "concentration0": 1.0},
    tfd.Chi2: {"df": 2.0},
    tfd.Chi: {"df": 2.0},
    tfd.GeneralizedExtremeValue: {"concentration": 0.0},
    tfd.GeneralizedPareto: {"concentration": 0.0},
}


def differentiable_log_prob(distribution, z):
    """log q(z), computed beside the parameter values at which TFP's log_prob has a wrong derivative.

    The step aside is one unit in the last place (of 1), the square root of one beside 0.

    Args:
        distribution: a `tfd.Distribution`.
        z: samples.

    Returns:
        A tensor, as `distribution.log_prob(z)`.

    Example:
        The derivative of the log-density of Gamma(a, 1) in a, at a = 1 and z = 1, is Euler's constant plus log 1.
        At z = 2 the second term counts, and TFP forgets it.

        >>> a = tf.constant(1.0)
        >>> with tf.GradientTape(persistent=True) as tape:
        ...     tape.watch(a)
        ...     right = differentiable_log_prob(tfd.Gamma(a, 1.0), 2.0)
        ...     wrong = tfd.Gamma(a, 1.0).log_prob(2.0)
        >>> [round(float(tape.gradient(log_prob, a)), 3) for log_prob in (right, wrong)]
        [1.27, 0.577]
    """
    return _stepped_aside(distribution).log_prob(z)


def _stepped_aside(distribution):
    family = type(distribution)
    if family in _SINGLED_OUT:
        moved = {name: _beside(distribution, name, value) for name, value in _SINGLED_OUT[family].items()}
        return distribution.copy(**{name: p for name, p in moved.items() if p is not None})
    if family in (tfd.Independent, tfd.TransformedDistribution):
        inner = _stepped_aside(distribution.distribution)
        return distribution if inner is distribution.distribution else distribution.copy(distribution=inner)
    return distribution


def _beside(distribution, name, value):
    p = getattr(distribution, name)
    if p is None:
        return None
    p = tf.convert_to_tensor(p)
    unit = np.finfo(p.dtype.as_numpy_dtype).eps
    step = tf.constant(value * unit if value else np.sqrt(unit), p.dtype)
    return p + tf.where(tf.equal(p, value), step, tf.zeros([], p.dtype))
