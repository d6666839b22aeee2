"""The laws next to a law, with one parameter moved a little, and the ends of a law's support."""

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation

__all__ = ["ends", "neighbours", "step_of"]

_MOVE = 0.05  # how far a parameter is moved, as a fraction of its size or of 1


def step_of(p):
    """How far the entries of a parameter move, at most: 0.05 max(1, size), and not all alike.

    Some laws do not change if all entries move alike (logits).
    """
    shares = tf.reshape(tf.linspace(tf.ones([], p.dtype), 0.5, max(1, p.shape.num_elements())), p.shape)
    return _MOVE * shares * tf.maximum(tf.abs(p), 1.0)


def neighbours(problem, name, fraction=1.0, once=False):
    """The valid distributions next to this one, with one parameter moved to either side.

    A step that leaves the domain is made shorter, unless `once`; probabilities that add up to one keep their sum.

    Yields:
        Distributions, two at most.
    """
    p = problem.params[name]
    for sign in (1.0, -1.0):
        for shorter in (1.0,) if once else (1.0, 0.1, 0.01):
            step = sign * fraction * shorter * step_of(p)
            made = _first_valid(problem, name, [p + step, _with_the_sum_of(p, p * (1.0 + step))])
            if made is not None:
                yield made
                break


def _with_the_sum_of(p, moved):
    if not p.shape.rank:
        return moved
    return moved * tf.reduce_sum(p, axis=-1, keepdims=True) / tf.reduce_sum(moved, axis=-1, keepdims=True)


def _first_valid(problem, name, candidates):
    for candidate in candidates:
        try:
            made = problem.make_distribution(**{**problem.params, name: candidate})
            return _validation.distribution("make_distribution", made)
        except ValueError:
            continue
    return None


def ends(distribution):
    """The lowest and the highest possible number, each of the shape of the batch; None where that has no meaning."""
    if distribution.event_shape.rank or isinstance(distribution, tfd.Deterministic):
        return None
    to_support = distribution.experimental_default_event_space_bijector()
    if to_support is None:
        return None
    infinity = tf.constant(np.inf, distribution.dtype)
    one, other = to_support.forward(-infinity), to_support.forward(infinity)
    return tf.minimum(one, other), tf.maximum(one, other)
