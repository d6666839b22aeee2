"""The planar map."""

import keras
import tensorflow as tf

from companion.bijectors.parameters import FromParameters, above_minus_one, dot

__all__ = ["Planar"]

_SEARCH = 60  # iterations, each of which halves the step or the bracket at least


@keras.saving.register_keras_serializable(package="companion.bijectors")
class Planar(FromParameters):
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

    The inverse has no closed form: it is the root of one scalar equation for each vector, found by Newton's method
    inside of a bracket, and differentiated as two more of its steps, whose derivatives are those of the root up to the
    third.

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

    def _initial(self, rng):
        return {"u": 0.1 * rng.standard_normal(self.dim), "w": rng.standard_normal(self.dim) / self.dim**0.5, "b": 0.0}

    def _forward_pass(self, x, context):
        u, w, b, slope = self._directions(context)
        h = tf.tanh(dot(w, x) + b)
        return x + u * h[..., None], _log_slope(slope, h)

    def _inverse_pass(self, y, context):
        u, w, b, slope = self._directions(context)
        h = tf.tanh(_preimage(dot(w, y) + b, slope))
        return y - u * h[..., None], -_log_slope(slope, h)

    def _directions(self, context):
        """u-hat, w, b and u-hat . w."""
        values = self.values(context)
        u, w, b = values["u"], values["w"], values["b"]
        slope = above_minus_one(dot(u, w))
        unit = tf.math.divide_no_nan(w, dot(w, w)[..., None])
        for _ in range(2):  # the part of u across w; once more for what rounding leaves of a long u
            u -= dot(u, w)[..., None] * unit
        return u + slope[..., None] * unit, w, b, slope


def _log_slope(slope, h):
    return tf.math.log1p(slope * (1.0 - h * h))


def _preimage(target, slope):
    """The root a of a + slope tanh(a) = target, by Newton's method inside of a bracket, and its derivatives."""
    slope = slope + tf.zeros_like(target)
    fixed_target, fixed_slope = tf.stop_gradient(target), tf.stop_gradient(slope)

    def excess_and_step(a, target, slope):
        h = tf.tanh(a)
        excess = a + slope * h - target
        return excess, a - excess / (1.0 + slope * (1.0 - h * h))

    def narrow(a, low, high, last):
        excess, new = excess_and_step(a, fixed_target, fixed_slope)
        low, high = tf.where(excess < 0.0, a, low), tf.where(excess > 0.0, a, high)
        fast = (new >= low) & (new <= high) & (tf.abs(new - a) <= 0.5 * last)  # else it may go to and fro
        new = tf.where(fast, new, 0.5 * (low + high))
        return new, low, high, tf.abs(new - a)

    reach = tf.abs(fixed_slope)
    start = (fixed_target, fixed_target - reach, fixed_target + reach, 2.0 * reach)
    root, *_ = tf.while_loop(lambda *_: True, narrow, start, maximum_iterations=_SEARCH, parallel_iterations=1)
    root = tf.stop_gradient(root)
    for _ in range(2):  # where it was; the first step has the first derivatives of the root, the second three
        _, root = excess_and_step(root, target, slope)
    return root
