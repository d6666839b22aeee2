r"""Exact answers for one-dimensional Gaussians, z ~ N(loc, scale^2), in float64.

Contract: f is a function from a vector of points to a vector of values, as the estimators use it. loc and
scale are numbers or arrays of one shape, and results have that shape. An integral is returned only if its error
estimate is below 1e-9 of the integral of the absolute value; otherwise there is an error, never a guess.

How: Gauss-Hermite quadrature of two orders, accepted if they agree (exact for polynomials, and fast for
smooth f); else adaptive Gauss-Kronrod quadrature, which closes in on kinks and jumps by bisection. As with any
quadrature of a function known at points only, detail narrower than a hundredth of scale can go unseen.
"""

import numpy as np
import tensorflow as tf
from scipy import integrate, special

from companion import _validation

__all__ = ["expectation", "gradient", "gradient_variance", "kl_divergence"]

_TOLERANCE = 1e-9
_ORDERS = (63, 100)  # one odd, one even: no common node
_EDGES = np.concatenate([[-38, -24, -16, -12], np.arange(-8, 8.1, 1 / 8), [12, 16, 24, 38]])  # beyond, the density is 0
_ESTIMATORS = ("pathwise", "score_function")


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
    f, loc, scale = _checked(f, loc, scale)
    return _over_batch(lambda m, s: _integral(lambda eps: _values(f, m + s * eps)), loc, scale)


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

        >>> step = lambda z: tf.cast(z > 0, tf.float64)
        >>> gradient(step, loc=0.0, scale=2.0)["loc"].round(6)
        np.float64(0.199471)
    """
    f, loc, scale = _checked(f, loc, scale)
    return {
        name: _over_batch(
            lambda m, s, name=name: _integral(lambda eps: _score_function(f, name, eps, m, s)), loc, scale
        )
        for name in ("loc", "scale")
    }


def gradient_variance(f, loc, scale, estimator):
    r"""The exact variance of one sample of a gradient estimator of E f(z), z ~ N(loc, scale^2).

    Args:
        f: as for `expectation`; a TensorFlow function if `estimator` is "pathwise", which differentiates it.
        loc: mean, shape [*batch].
        scale: standard deviation, positive, shape [*batch].
        estimator: "pathwise" or "score_function".

    Returns:
        A dict with keys "loc" and "scale" of float64 numbers or arrays of shape [*batch].

    Raises:
        TypeError: as for `expectation`.
        ValueError: as for `expectation`, or if `estimator` is unknown. An infinite variance is such an error.

    Reference:
        Mohamed, Rosca, Figurnov and Mnih (2020), section 3. Chapter: The Gaussian case.

    Example:
        For f = z^2 at loc 0 and scale 1 the two are 4 and 15.

        >>> [gradient_variance(lambda z: z**2, 0.0, 1.0, e)["loc"].round(9) for e in ("pathwise", "score_function")]
        [np.float64(4.0), np.float64(15.0)]
    """
    if estimator not in _ESTIMATORS:
        expected = " or ".join(map(repr, _ESTIMATORS))
        raise ValueError(_validation.message("estimator", expected, repr(estimator)))
    f, loc, scale = _checked(f, loc, scale)

    sample = _score_function if estimator == "score_function" else _pathwise
    return {
        name: _over_batch(lambda m, s, name=name: _variance(lambda eps: sample(f, name, eps, m, s)), loc, scale)
        for name in ("loc", "scale")
    }


def kl_divergence(loc, scale, prior_loc, prior_scale):
    r"""KL(N(loc, scale^2) || N(prior_loc, prior_scale^2)), in nats, elementwise and differentiable.

    .. math::

        \log\frac{\sigma_0}{\sigma} + \frac{\sigma^2 + (\mu - \mu_0)^2}{2\sigma_0^2} - \frac12

    Args:
        loc: mean, shape [*batch].
        scale: standard deviation, positive, shape [*batch].
        prior_loc: the prior's mean, shape [*batch] or a scalar.
        prior_scale: the prior's standard deviation, positive, shape [*batch] or a scalar.

    Returns:
        A tensor of shape [*batch]. Sum it for independent components.

    Raises:
        TypeError: if the arguments are not numbers of one floating width.
        ValueError: if a scale is not positive, a number is not finite, or shapes differ.

    Example:
        >>> float(kl_divergence(1.0, 1.0, 0.0, 1.0))
        0.5
    """
    given = {"loc": loc, "scale": scale, "prior_loc": prior_loc, "prior_scale": prior_scale}
    given = _validation.float_tensors("kl_divergence arguments", given)
    shape = next((x.shape for x in given.values() if x.shape.rank), tf.TensorShape([]))
    for name, x in given.items():
        if x.shape.rank:
            _validation.same_shape(name, x, shape, "that of the other arguments, or a scalar")
    m, s, m0, s0 = given["loc"], given["scale"], given["prior_loc"], given["prior_scale"]
    for name in ("scale", "prior_scale"):
        _validation.positive(name, given[name])
    ratio, distance = s / s0, (m - m0) / s0
    return 0.5 * (ratio**2 + distance**2 - 1.0) - tf.math.log(ratio)


def _score_function(f, name, eps, m, s):
    """One sample of the score-function gradient, f(z) d log q / d theta, as a function of eps."""
    return _values(f, m + s * eps) * (eps if name == "loc" else eps**2 - 1.0) / s


def _pathwise(f, name, eps, m, s):
    """One sample of the pathwise gradient, f'(z) dz / d theta, as a function of eps."""
    return _slopes(f, m + s * eps) * (1.0 if name == "loc" else eps)


def _variance(h):
    mean = _integral(h)
    return _integral(lambda eps: (h(eps) - mean) ** 2)


def _checked(f, loc, scale):
    """The function, and loc and scale as float64 arrays of one shape."""
    _validation.function("f", f)
    if not tf.executing_eagerly():
        raise RuntimeError(_validation.message("companion.gaussian", "eager execution", "a call inside tf.function"))
    arrays = []
    for name, x in (("loc", loc), ("scale", scale)):
        x = x if hasattr(x, "dtype") else np.asarray(x, dtype=float)
        arrays.append(_validation.float_tensor(name, x).numpy().astype(np.float64))
    loc, scale = arrays
    if loc.shape != scale.shape and loc.ndim and scale.ndim:
        raise ValueError(_validation.message("scale", f"the shape of loc, {list(loc.shape)}", list(scale.shape)))
    _validation.positive("scale", tf.constant(scale))
    return f, *np.broadcast_arrays(loc, scale)


def _over_batch(function, loc, scale):
    """The function at each loc and scale; a number for numbers."""
    out = np.array([function(m, s) for m, s in zip(loc.flat, scale.flat, strict=True)]).reshape(loc.shape)
    return out[()]


def _values(f, z):
    """f at the points z, as a float64 array."""
    values = np.asarray(f(tf.constant(z)))
    if values.shape != z.shape:
        raise ValueError(_validation.message("f", f"one value a point, shape {list(z.shape)}", list(values.shape)))
    return _validation.finite("f(z)", tf.constant(values, tf.float64)).numpy()


def _slopes(f, z):
    """f' at the points z by automatic differentiation, zero where f is flat."""
    z = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(z)
        values = tf.convert_to_tensor(f(z))
    slopes = tape.gradient(values, z)
    if slopes is None:
        got = "the gradient None (a comparison, or a value taken out of TensorFlow)"
        raise ValueError(_validation.message("f", "a function that TensorFlow can differentiate", got))
    return slopes.numpy()


def _integral(h):
    """The integral of h(eps) under N(0, 1), or an error if it can't be had to the tolerance."""
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow ends as "does not converge" below
        mass = _mass(h)
        coarse, fine = ((w @ h(x), w @ np.abs(h(x))) for x, w in map(_hermite, _ORDERS))
        seen = abs(fine[1] - mass) <= 0.1 * mass < np.inf  # a bump between the nodes would be missed by both orders
        if seen and abs(fine[0] - coarse[0]) <= _TOLERANCE * mass:
            return fine[0]
        return _adaptive(h, mass)


def _hermite(order):
    """Nodes and weights for the integral under N(0, 1)."""
    nodes, weights = special.roots_hermitenorm(order)
    return nodes, weights / weights.sum()


def _panels(h):
    """h times the density on all panels side by side: [num_points, 1] in (0, 1) -> [num_points, num_panels]."""
    left, width = _EDGES[:-1], np.diff(_EDGES)

    def on_panels(points):
        eps = left + width * points
        return h(eps.ravel()).reshape(eps.shape) * np.exp(-0.5 * eps**2) / np.sqrt(2.0 * np.pi) * width

    return on_panels


def _mass(h):
    """The integral of |h| to a few per cent, by the midpoint rule."""
    return np.abs(_panels(h)((np.arange(16.0)[:, None] + 0.5) / 16.0)).mean(axis=0).sum()


def _adaptive(h, mass):
    """The integral by Gauss-Kronrod rules on intervals that are halved where the error is largest."""
    ends = np.abs(h(_EDGES[[0, -1]])) * np.exp(-0.5 * _EDGES[-1] ** 2)
    if not _EDGES[-1] * ends.max() <= _TOLERANCE * mass < np.inf:  # so written, it catches NaN too
        raise ValueError(_validation.message("f", "a finite expectation", "an integral that does not converge"))
    tolerance = max(_TOLERANCE * mass / (len(_EDGES) - 1), np.finfo(float).tiny)
    found = integrate.cubature(_panels(h), [0.0], [1.0], rule="gk21", rtol=_TOLERANCE, atol=tolerance)
    if found.status != "converged":
        got = f"{found.estimate.sum():.6g} with an error estimate of {found.error.sum():.1e}"
        raise ValueError(_validation.message("f", f"an integral to within {_TOLERANCE * mass:.1e}", got))
    return float(found.estimate.sum())
