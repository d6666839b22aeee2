"""Stateless seeds, and uniform noise that is the same everywhere.

Contract: the same seed gives the same numbers, on any device, eagerly, inside ``tf.function`` and
under XLA. ``None`` asks for fresh numbers at each call.

TensorFlow's own float samplers do not keep that contract: for one seed, eager execution and XLA give
different floats. Their integer bits do agree, so the uniform noise here is made from bits.
"""

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import random as tfp_random

from companion._validation import FLOATS, describe, message

__all__ = ["as_seed", "split", "uniform"]


def as_seed(seed=None):
    """A stateless seed: an int32 tensor of shape [2].

    Args:
        seed: an integer; an integer tensor, array or pair of shape [2]; a `keras.random.SeedGenerator`
            (whose state advances); or None for a fresh seed at each call.

    Returns:
        An int32 tensor of shape [2].

    Raises:
        TypeError: if `seed` is none of these.

    Example:
        >>> as_seed(7).numpy().tolist()
        [0, 7]
    """
    if seed is None:
        return tfp_random.sanitize_seed(None)
    if isinstance(seed, keras.random.SeedGenerator):
        return tf.cast(tf.convert_to_tensor(seed.next()), tf.int32)  # int64 there, int32 in TFP
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, (bool, np.bool_)):
        words = np.array([int(seed) >> 32, int(seed)], dtype=object) & 0xFFFFFFFF
        return tf.constant(words.astype(np.uint32).view(np.int32))
    if isinstance(seed, (list, tuple)) and all(isinstance(word, (int, np.integer)) for word in seed):
        seed = np.asarray(seed)
    if (tf.is_tensor(seed) or isinstance(seed, (np.ndarray, tf.Variable))) and tuple(seed.shape) == (2,):
        tensor = tf.convert_to_tensor(seed)
        if tensor.dtype.is_integer:
            return tf.cast(tensor, tf.int32)
    expected = "an integer, an integer tensor of shape [2], a keras.random.SeedGenerator or None"
    raise TypeError(message("seed", expected, describe(seed)))


def split(seed, n):
    """`n` independent seeds made from one.

    Args:
        seed: as for `as_seed`.
        n: how many.

    Returns:
        A list of `n` int32 tensors of shape [2].

    Example:
        >>> first, second = split(7, 2)
        >>> bool(tf.reduce_all(first == second))
        False
    """
    return tf.unstack(tfp_random.split_seed(as_seed(seed), n), num=n)


def uniform(shape, seed=None, dtype=tf.float32):
    """Uniform noise on the open interval (0, 1), symmetric about 1/2.

    The value is ``(k + 1/2) / 2**m`` for ``m`` random bits ``k``: 23 in float32, 52 in float64, so that
    it is exact, never 0 and never 1, and every quantile function is finite at it.

    Args:
        shape: the shape of the result.
        seed: as for `as_seed`.
        dtype: tf.float32 or tf.float64.

    Returns:
        A tensor of `shape`; the same for one seed in eager mode, in a graph and under XLA.

    Raises:
        TypeError: if `dtype` is not float32 or float64.

    Example:
        >>> u = uniform([1000], seed=1)
        >>> bool(tf.reduce_all((u > 0) & (u < 1)))
        True
    """
    dtype = tf.as_dtype(dtype)
    if dtype not in FLOATS:
        raise TypeError(message("dtype", "float32 or float64", dtype.name))
    bits, word, unused = (23, tf.uint32, 9) if dtype == tf.float32 else (52, tf.uint64, 12)
    key = tf.bitwise.bitwise_and(as_seed(seed), 0x7FFFFFFF)  # XLA and the kernels widen a negative seed differently
    raw = tf.random.stateless_uniform(shape, key, minval=None, maxval=None, dtype=word)
    k = tf.cast(tf.bitwise.right_shift(raw, tf.constant(unused, word)), dtype)
    return (k + 0.5) * 2.0**-bits
