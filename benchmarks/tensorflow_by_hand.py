"""What an expert writes in plain TensorFlow for this one problem: copies of the parameters, nothing checked."""

import math

import problem
import tensorflow as tf
from companion_programs import squares
from tensorflow_probability import distributions as tfd

MODES = {"tf.function": {"jit_compile": False}, "XLA": {"jit_compile": True}}


def program(estimator, n, dim, mode):
    """A function from a seed to the gradients of n samples."""
    loc, scale = tf.fill([dim], problem.LOC), tf.fill([dim], problem.SCALE)
    name, _, option = estimator.partition(", ")

    @tf.function(autograph=False, **MODES[mode])
    def run(seed):
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 6), num=6)
        g_loc, g_scale = _BY_HAND[name](loc, scale, n, dim, seeds, option)
        return {"loc": g_loc, "scale": g_scale}

    return run


def loop(n, dim):
    """What one writes first: a loop over samples with a tape for each, compiled as a graph."""
    loc, scale = tf.fill([dim], problem.LOC), tf.fill([dim], problem.SCALE)

    @tf.function(autograph=False)
    def run(seed):
        def one(eps):
            with tf.GradientTape() as tape:
                tape.watch([loc, scale])
                value = tf.reduce_sum((loc + scale * eps - 1.0) ** 2)
            return tuple(tape.gradient(value, [loc, scale]))

        eps = tf.random.stateless_normal([n, dim], seed)
        g_loc, g_scale = tf.map_fn(one, eps, fn_output_signature=(tf.float32, tf.float32))
        return {"loc": g_loc, "scale": g_scale}

    return run


def _pathwise(loc, scale, n, dim, seeds, option):
    rows = [tf.broadcast_to(p, [n, dim]) for p in (loc, scale)]
    eps = tf.random.stateless_normal([n, dim], seeds[0])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        value = squares(rows[0] + rows[1] * eps)
    return tape.gradient(value, rows)


def _score_function(loc, scale, n, dim, seeds, option):
    rows = [tf.broadcast_to(p, [n, dim]) for p in (loc, scale)]
    z = loc + scale * tf.random.stateless_normal([n, dim], seeds[0])
    values = squares(z)
    weights = values
    if option == "leave one out":
        weights = values - (tf.reduce_sum(values) - values) / (n - 1)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        log_prob = tf.reduce_sum(tfd.Normal(*rows).log_prob(z), axis=-1)
    scores = tape.gradient(log_prob, rows)
    if option == "optimal":
        return [(values[:, None] - _other_half(values, s)) * s for s in scores]
    return [weights[:, None] * s for s in scores]


def _other_half(values, score):
    half = values.shape[0] // 2
    parts = (slice(half, None), slice(None, half))
    b = [tf.reduce_sum(values[p, None] * score[p] ** 2, 0) / tf.reduce_sum(score[p] ** 2, 0) for p in parts]
    return tf.concat([tf.repeat(b[0][None], half, 0), tf.repeat(b[1][None], values.shape[0] - half, 0)], 0)


def _measure_valued(loc, scale, n, dim, seeds, option):
    shape, coupled = [n, dim], option != "independent"
    right, left, length = (
        tf.sqrt(-2.0 * tf.math.log(tf.random.stateless_uniform(shape, s, minval=1e-7))) for s in seeds[:3]
    )
    eps, other = (tf.random.stateless_normal(shape, s) for s in seeds[3:5])
    z = loc + scale * eps
    base = eps if coupled else other
    maxwell = tf.sign(base) * tf.sqrt(base**2 + length**2)
    above, below = loc + scale * right, loc - scale * (right if coupled else left)
    return [
        (_one_at_a_time(z, above) - _one_at_a_time(z, below)) / (scale * math.sqrt(2.0 * math.pi)),
        (_one_at_a_time(z, loc + scale * maxwell) - squares(z)[:, None]) / scale,
    ]


def _one_at_a_time(z, side):
    """f with one coordinate from a side: [n, dim]."""
    if z.shape[1] == 1:
        return squares(side)[:, None]
    masks = tf.unstack(tf.eye(z.shape[1], dtype=tf.int32) > 0)
    return tf.stack([squares(tf.where(mask, side, z)) for mask in masks], axis=1)


def _finite_difference(loc, scale, n, dim, seeds, option):
    h = problem.STEP
    eps = tf.random.stateless_normal([n, dim], seeds[0])
    other = tf.random.stateless_normal([n, dim], seeds[1]) if option == "independent" else eps

    def quotient(d_loc, d_scale):
        above, below = loc + d_loc + (scale + d_scale) * eps, loc - d_loc + (scale - d_scale) * other
        return (squares(above) - squares(below)) / (2 * h)

    steps = tf.unstack(h * tf.eye(dim))
    return [tf.stack([quotient(e, 0.0) for e in steps], 1), tf.stack([quotient(0.0, e) for e in steps], 1)]


_BY_HAND = {
    "pathwise": _pathwise,
    "score_function": _score_function,
    "measure_valued": _measure_valued,
    "finite_difference": _finite_difference,
}
