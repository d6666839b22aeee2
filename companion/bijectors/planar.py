"""The planar and the radial map."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from companion import _validation, seeds
from companion.bijectors.base import Bijector
from companion.bijectors.parameters import Parameters, width

__all__ = ["Planar", "Radial"]

_SMALLEST_SLOPE = 1e-3  # of a map along its own direction; above the rounding of float32


@keras.saving.register_keras_serializable(package="companion.bijectors")
class Planar(Bijector):
    r"""Pushes along one direction by a squashed linear function.

    .. math::

        g(x) = x + \hat u \tanh(w^\top x + b), \qquad
        \det\frac{\partial g}{\partial x} = 1 + \hat u^\top w \,\bigl(1 - \tanh^2(w^\top x + b)\bigr)

    It is invertible if :math:`\hat u^\top w > -1`. For any learnt :math:`u`,

    .. math::

        \hat u = u + \bigl(m(u^\top w) - u^\top w\bigr) \frac{w}{\lVert w\rVert^2}, \qquad m(t) > -1,

    has :math:`\hat u^\top w = m(u^\top w)`. Rezende and Mohamed take :math:`m(t) = \log(1 + e^t) - 1`, whose value at
    0 is not 0, so that their :math:`\hat u` grows without bound as w goes to 0. Here m is softplus, shifted so that
    m(0) = 0, with 1 + m(t) at least 0.001: the determinant stays positive in float32 too, at every step of training.

    The inverse has no closed form: it is the root of one scalar equation for each vector, found by Chandrupatla's
    method, and differentiated by the implicit function theorem (first derivatives only).

    Args:
        dim: the length of the vectors.
        context_dim: the length of a context vector, of which u, w and b are then linear functions; None for none.
        seed: an integer that decides the initial w and u. None for one that Keras draws.
        dtype: "float32" or "float64"; None for Keras' floatx.

    Raises:
        ValueError: if an argument is out of its domain.

    Reference:
        Rezende and Mohamed (2015), sections 4.1 and A.1. Chapter: Normalizing flows.

    Example:
        >>> planar = Planar(2, seed=0)
        >>> x = tf.constant([[0.5, -1.0]])
        >>> y, log_det = planar.forward_and_log_det(x)
        >>> bool(tf.reduce_all(abs(planar.inverse(y) - x) < 1e-5))
        True
    """

    forward_passes = inverse_passes = 1

    def __init__(self, dim, context_dim=None, seed=None, dtype=None, name=None):
        parameters = locals()
        dim, context_dim = _validation.count("dim", dim), _context_dim(context_dim)
        self.seed = seeds.any_seed() if seed is None else _validation.count("seed", seed, minimum=0)
        rng = np.random.default_rng(self.seed)
        initial = {"u": 0.1 * rng.standard_normal(dim), "w": rng.standard_normal(dim) / dim**0.5, "b": 0.0}
        parts = Parameters(initial, context_dim, seeds.integer(self.seed, 1), width(dtype))
        super().__init__(dim, [parts], parameters, context_dim, parts.dtype, name)

    def get_config(self):
        """The arguments that make this bijector anew."""
        return {"dim": self.dim, "context_dim": self.context_dim, "seed": self.seed, "dtype": self.dtype.name}

    def _forward_pass(self, x, context):
        u, w, b, slope = self._directions(context)
        h = tf.tanh(_dot(w, x) + b)
        return x + u * h[..., None], _log_slope(slope, h)

    def _inverse_pass(self, y, context):
        u, w, b, slope = self._directions(context)
        h = tf.tanh(_preimage(_dot(w, y) + b, slope))
        return y - u * h[..., None], -_log_slope(slope, h)

    def _directions(self, context):
        """u-hat, w, b and u-hat . w."""
        values = self.layers[0](context)
        u, w, b = values["u"], values["w"], values["b"]
        along = _dot(u, w)
        slope = _above_minus_one(along)
        u += tf.math.divide_no_nan(slope - along, _dot(w, w))[..., None] * w
        return u, w, b, slope


@keras.saving.register_keras_serializable(package="companion.bijectors")
class Radial(Bijector):
    r"""Pushes away from a point, or towards it.

    .. math::

        g(x) = x + \frac{\beta}{\alpha + r}(x - c), \quad r = \lVert x - c\rVert, \qquad
        \det\frac{\partial g}{\partial x} =
        \Bigl(1 + \frac{\beta}{\alpha + r}\Bigr)^{d-1}\Bigl(1 + \frac{\alpha\beta}{(\alpha + r)^2}\Bigr)

    It is invertible if :math:`\beta > -\alpha`; here :math:`\alpha` is a softplus and
    :math:`\beta = \alpha\, m(\cdot)` with the m of `Planar`, at least -0.999. The inverse solves a quadratic equation
    for r.

    Args:
        dim: the length of the vectors.
        context_dim: the length of a context vector, of which the parameters are then linear functions; None for none.
        seed: an integer that decides the initial c. None for one that Keras draws.
        dtype: "float32" or "float64"; None for Keras' floatx.

    Raises:
        ValueError: if an argument is out of its domain.

    Reference:
        Rezende and Mohamed (2015), sections 4.1 and A.2. Chapter: Normalizing flows.

    Example:
        >>> radial = Radial(2, seed=0)
        >>> x = tf.constant([[0.5, -1.0]])
        >>> y, log_det = radial.forward_and_log_det(x)
        >>> bool(tf.reduce_all(abs(radial.inverse(y) - x) < 1e-5))
        True
    """

    forward_passes = inverse_passes = 1

    def __init__(self, dim, context_dim=None, seed=None, dtype=None, name=None):
        parameters = locals()
        dim, context_dim = _validation.count("dim", dim), _context_dim(context_dim)
        self.seed = seeds.any_seed() if seed is None else _validation.count("seed", seed, minimum=0)
        centre = np.random.default_rng(self.seed).standard_normal(dim)
        initial = {"centre": centre, "alpha": np.log(np.e - 1), "beta": 0.1}
        parts = Parameters(initial, context_dim, seeds.integer(self.seed, 1), width(dtype))
        super().__init__(dim, [parts], parameters, context_dim, parts.dtype, name)

    def get_config(self):
        """The arguments that make this bijector anew."""
        return {"dim": self.dim, "context_dim": self.context_dim, "seed": self.seed, "dtype": self.dtype.name}

    def _forward_pass(self, x, context):
        centre, alpha, slope = self._shape_of_push(context)
        return self._push(x - centre, centre, alpha, slope)

    def _push(self, offset, centre, alpha, slope):
        r = _norm(offset)
        stretch = slope * alpha / (alpha + r)  # beta / (alpha + r)
        y = centre + (1.0 + stretch)[..., None] * offset
        return y, self._log_det(r, alpha, slope)

    def _inverse_pass(self, y, context):
        centre, alpha, slope = self._shape_of_push(context)
        offset = y - centre
        pushed = _norm(offset)  # r + beta r / (alpha + r)
        half = 0.5 * (alpha * (1.0 + slope) - pushed)  # r^2 + 2 half r - alpha pushed = 0
        root = tf.sqrt(half * half + alpha * pushed)
        r = tf.where(half > 0.0, alpha * pushed / (tf.abs(half) + root), root - half)
        stretch = slope * alpha / (alpha + r)
        return centre + offset / (1.0 + stretch)[..., None], -self._log_det(r, alpha, slope)

    def _log_det(self, r, alpha, slope):
        share = alpha / (alpha + r)
        return (self.dim - 1) * tf.math.log1p(slope * share) + tf.math.log1p(slope * share * share)

    def _shape_of_push(self, context):
        """c, alpha and beta / alpha."""
        values = self.layers[0](context)
        alpha = tf.nn.softplus(values["alpha"]) + _SMALLEST_SLOPE
        return values["centre"], alpha, _above_minus_one(values["beta"])


def _context_dim(value):
    return None if value is None else _validation.count("context_dim", value)


def _above_minus_one(t):
    """m(t), increasing, with m(0) = 0 and m(t) >= -0.999."""
    span = 1.0 - _SMALLEST_SLOPE
    return span * (tf.nn.softplus(t + float(np.log(np.e - 1.0))) - 1.0)


def _dot(a, b):
    return tf.reduce_sum(a * b, axis=-1)


def _norm(x):
    """The length of vectors, whose derivative at 0 is 0."""
    square = _dot(x, x)
    known = square > 0.0
    return tf.where(known, tf.sqrt(tf.where(known, square, 1.0)), 0.0)


def _log_slope(slope, h):
    return tf.math.log1p(slope * (1.0 - h * h))


def _preimage(target, slope):
    """The root a of a + slope tanh(a) = target: its value by bracketing, its derivatives by those of the equation."""
    slope = slope + tf.zeros_like(target)

    def excess(a, target, slope):
        return a + slope * tf.tanh(a) - target

    fixed_target, fixed_slope = tf.stop_gradient(target), tf.stop_gradient(slope)
    reach = tf.abs(fixed_slope)
    root = tfp.math.find_root_chandrupatla(
        lambda a: excess(a, fixed_target, fixed_slope),
        low=fixed_target - reach,
        high=fixed_target + reach,
        position_tolerance=0.0,
        value_tolerance=0.0,
        max_iterations=100,
    ).estimated_root
    root = tf.stop_gradient(root)
    h = tf.tanh(root)
    return root - excess(root, target, slope) / tf.stop_gradient(1.0 + slope * (1.0 - h * h))  # one step of Newton's
