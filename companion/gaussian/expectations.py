"""Expectations of f and their gradients, by quadrature."""

from companion.gaussian.arguments import checked, over_batch, values
from companion.quadrature import integrate_normal

__all__ = ["expectation", "gradient"]


def expectation(f, loc, scale):
    r"""E f(z) for z ~ N(loc, scale^2).

    Args:
        f: a function from points, a float64 tensor of shape [num_points], to values of the same shape. It
            may have kinks and jumps.
        loc: mean, shape [*batch].
        scale: standard deviation, positive, shape [*batch].

    Returns:
        A float64 number, or an array of shape [*batch].

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a parameter is out of its domain, f returns the wrong shape, or the integral does not
            converge to a relative error of 1e-9 (an infinite expectation does not).

    Example:
        >>> expectation(lambda z: z**2, loc=3.0, scale=2.0).round(9)
        np.float64(13.0)
    """
    f, loc, scale = checked(f, loc, scale)
    return over_batch(lambda m, s: integrate_normal(lambda eps: values(f, m + s * eps), "f"), loc, scale)


def gradient(f, loc, scale):
    r"""The gradient of E f(z), z ~ N(loc, scale^2), with respect to loc and scale.

    .. math::

        \partial_\mu \mathbb{E} f = \mathbb{E}[f(z)\,\epsilon] / \sigma, \qquad
        \partial_\sigma \mathbb{E} f = \mathbb{E}[f(z)(\epsilon^2 - 1)] / \sigma, \qquad z = \mu + \sigma\epsilon

    f is not differentiated, so this is right for f with jumps.

    Args:
        f: as for `expectation`.
        loc: mean, shape [*batch].
        scale: standard deviation, positive, shape [*batch].

    Returns:
        A dict with keys "loc" and "scale" of float64 numbers or arrays of shape [*batch].

    Raises:
        TypeError: as for `expectation`.
        ValueError: as for `expectation`.

    Example:
        A step has no derivative, but its expectation has: phi(loc / scale) / scale.

        >>> import tensorflow as tf
        >>> step = lambda z: tf.cast(z > 0, tf.float64)
        >>> gradient(step, loc=0.0, scale=2.0)["loc"].round(6)
        np.float64(0.199471)
    """
    f, loc, scale = checked(f, loc, scale)
    return {
        name: over_batch(
            lambda m, s, name=name: integrate_normal(lambda eps: _score_function(f, name, eps, m, s), "f"), loc, scale
        )
        for name in ("loc", "scale")
    }


def _score_function(f, name, eps, m, s):
    """One sample of the score-function gradient, f(z) d log q / d theta, as a function of eps."""
    return values(f, m + s * eps) * (eps if name == "loc" else eps**2 - 1.0) / s
