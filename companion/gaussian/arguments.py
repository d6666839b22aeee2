"""What the exact answers share: arguments checked, f at points, a batch member by member."""

import numpy as np
import tensorflow as tf

from companion import _validation

__all__ = ["checked", "over_batch", "slopes", "values"]


def checked(f, loc, scale):
    """The function, and loc and scale as float64 arrays of one shape."""
    _validation.function("f", f)
    _validation.eager("companion.gaussian")
    arrays = []
    for name, x in (("loc", loc), ("scale", scale)):
        x = x if hasattr(x, "dtype") else np.asarray(x, dtype=float)
        arrays.append(_validation.float_tensor(name, x).numpy().astype(np.float64))
    loc, scale = arrays
    if loc.shape != scale.shape and loc.ndim and scale.ndim:
        raise ValueError(_validation.message("scale", f"the shape of loc, {list(loc.shape)}", list(scale.shape)))
    _validation.positive("scale", tf.constant(scale))
    return f, *np.broadcast_arrays(loc, scale)


def over_batch(function, loc, scale):
    """The function at each loc and scale; a number for numbers."""
    out = np.array([function(m, s) for m, s in zip(loc.flat, scale.flat, strict=True)]).reshape(loc.shape)
    return out[()]


def values(f, z):
    """f at the points z, as a float64 array."""
    values = np.asarray(f(tf.constant(z)))
    if values.shape != z.shape:
        raise ValueError(_validation.message("f", f"one value a point, shape {list(z.shape)}", list(values.shape)))
    return _validation.finite("f(z)", tf.constant(values, tf.float64)).numpy()


def slopes(f, z):
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
