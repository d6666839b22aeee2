"""Stateless seeds, and uniform noise that is the same everywhere.

Contract: the same seed gives the same numbers, on any device, eagerly, inside ``tf.function`` and
under XLA. ``None`` asks for fresh numbers at each call.

TensorFlow's own float samplers do not keep that contract: for one seed, eager execution and XLA give
different floats. Their integer bits do agree, so the uniform noise here is made from bits.
"""

import random

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import random as tfp_random

from companion._validation import FLOATS, describe, message

__all__ = ["any_seed", "as_seed", "fold", "integer", "normal", "signs", "split", "uniform", "uniform_rows"]


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


def any_seed():
    """An integer from the generator that `keras.utils.set_random_seed` sets, for a model that is given no seed.

    Example:
        >>> keras.utils.set_random_seed(3)
        >>> first = any_seed()
        >>> keras.utils.set_random_seed(3)
        >>> any_seed() == first
        True
    """
    return random.randint(1, 10**9)


def integer(*numbers):
    """One integer for each sequence of non-negative integers, so that those of neighbouring sequences do not meet.

    For things that want an integer for a seed, such as Keras' initializers and layers.

    Example:
        >>> integer(7, 0) == integer(7, 0), integer(7, 0) == integer(7, 1)
        (True, False)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)


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


def fold(seed, number):
    """A seed made from a seed and an integer, such as the number of a step; different numbers, independent seeds.

    Args:
        seed: as for `as_seed`.
        number: an integer, or an integer tensor of shape [].

    Returns:
        An int32 tensor of shape [2].

    Example:
        >>> bool(tf.reduce_all(fold(7, 1) == fold(7, 2)))
        False
    """
    return tf.random.experimental.stateless_fold_in(_key(seed), tf.cast(number, tf.int32))


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
    word, to_floats = _words(dtype)
    key, counter = _philox_start(seed)
    return to_floats(_philox(shape, key, counter, word))


def normal(shape, seed=None, dtype=tf.float32):
    """Standard normal noise: the standard normal quantiles of `uniform`.

    Args:
        shape: the shape of the result.
        seed: as for `as_seed`.
        dtype: tf.float32 or tf.float64.

    Returns:
        A tensor of `shape`; the same for one seed, to rounding, in eager mode, in a graph and under XLA.

    Raises:
        TypeError: if `dtype` is not float32 or float64.

    Example:
        >>> bool(tf.reduce_all(normal([1000], seed=1) == tf.math.ndtri(uniform([1000], seed=1))))
        True
    """
    return tf.math.ndtri(uniform(shape, seed, dtype))


def signs(shape, seed=None, dtype=tf.float32):
    """Independent signs, -1 or 1 with probability 1/2 each.

    Args:
        shape: the shape of the result.
        seed: as for `as_seed`.
        dtype: of the result, any type of floats.

    Returns:
        A tensor of `shape`; the same for one seed in eager mode, in a graph and under XLA.

    Example:
        >>> sorted(set(signs([100], seed=1).numpy().tolist()))
        [-1.0, 1.0]
    """
    size = tf.reduce_prod(tf.cast(shape, tf.int32))
    words = _philox([(size + 3) // 4], *_philox_start(seed), tf.uint32)
    numbers = tf.reshape(tf.bitcast(words, tf.int8), [-1])[:size]  # four of each word
    return tf.reshape(tf.where(numbers < 0, -tf.ones([], dtype), tf.ones([], dtype)), shape)


def uniform_rows(first_row, shape, seed=None, dtype=tf.float32):
    """Rows of one endless table of uniform noise: row i is the same whichever rows are asked for with it.

    So the noise of an example depends on the seed and on its place in the data, not on how the data are cut into
    batches or shared among devices.

    Args:
        first_row: the first row wanted, an integer or an integer tensor of shape [].
        shape: [num_rows, num_columns]; the number of columns is a Python integer, and belongs to the table: tables
            of different widths have nothing to do with each other.
        seed: as for `as_seed`.
        dtype: tf.float32 or tf.float64.

    Returns:
        A tensor of `shape`, as from `uniform`.

    Raises:
        TypeError: if `dtype` is not float32 or float64.

    Reference:
        Salmon, Moraes, Dror and Shaw (2011): a counter-based generator starts anywhere.

    Example:
        >>> table = uniform_rows(0, [10, 3], seed=1)
        >>> bool(tf.reduce_all(uniform_rows(4, [2, 3], seed=1) == table[4:6]))
        True
    """
    word, to_floats = _words(dtype)
    num_rows, num_columns = shape
    words_a_count = 16 // word.size  # Philox makes 16 bytes for each value of its counter
    counts_a_row = -(-num_columns // words_a_count)
    key, origin = _philox_start(seed)
    start = tf.cast(first_row, tf.uint64) * tf.constant(counts_a_row, tf.uint64)
    counter = origin + tf.stack([start, tf.zeros([], tf.uint64)])
    return to_floats(_philox([num_rows, counts_a_row * words_a_count], key, counter, word)[:, :num_columns])


def _philox(shape, key, counter, word):
    """Random words of the generator Philox from a key, shape [1], and a counter, shape [2]."""
    return tf.raw_ops.StatelessRandomUniformFullIntV2(shape=shape, key=key, counter=counter, alg=1, dtype=word)


def _philox_start(seed):
    """The key and the counter that TensorFlow's kernels make of a seed.

    As its `StatelessRandomGetKeyCounter`; after that one XLA on a processor makes words thirty times more slowly.
    """
    own_key = tf.constant([0x02461E293EC8F720], tf.uint64)
    mixed = _philox([2], own_key, tf.cast(_key(seed), tf.uint64), tf.uint64)
    return mixed[:1], tf.stack([tf.zeros([], tf.uint64), mixed[1]])


def _key(seed):
    """The seed, non-negative: XLA and the kernels widen a negative one differently."""
    return tf.bitwise.bitwise_and(as_seed(seed), 0x7FFFFFFF)


def _words(dtype):
    """The type of random words for a floating width, and how they become numbers of (0, 1)."""
    dtype = tf.as_dtype(dtype)
    if dtype not in FLOATS:
        raise TypeError(message("dtype", "float32 or float64", dtype.name))
    bits, word, unused = (23, tf.uint32, 9) if dtype == tf.float32 else (52, tf.uint64, 12)

    def to_floats(raw):
        k = tf.cast(tf.bitwise.right_shift(raw, tf.constant(unused, word)), dtype)
        return (k + 0.5) * 2.0**-bits

    return word, to_floats
