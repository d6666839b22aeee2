"""The radial map."""

import keras
import numpy as np
import tensorflow as tf

from companion.bijectors.parameters import SMALLEST_SLOPE, FromParameters, above_minus_one, dot

__all__ = ["Radial"]


@keras.saving.register_keras_serializable(package="companion.bijectors")
class Radial(FromParameters):
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

    def _initial(self, rng):
        return {"centre": rng.standard_normal(self.dim), "alpha": np.log(np.e - 1), "beta": 0.1}

    def _forward_pass(self, x, context):
        centre, alpha, slope = self._shape_of_push(context)
        offset = x - centre
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
        values = self.values(context)
        alpha = tf.nn.softplus(values["alpha"]) + SMALLEST_SLOPE
        return values["centre"], alpha, above_minus_one(values["beta"])


def _norm(x):
    """The length of vectors, whose derivative at 0 is 0."""
    square = dot(x, x)
    known = square > 0.0
    return tf.where(known, tf.sqrt(tf.where(known, square, 1.0)), 0.0)
