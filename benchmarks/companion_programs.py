"""The estimators of the package, as they stand, as a graph, and compiled."""

from functools import partial

import problem
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import gradients

MODES = {"eager": None, "tf.function": {"jit_compile": False}, "XLA": {"jit_compile": True}}
_ESTIMATORS = {
    "pathwise": gradients.pathwise,
    "score_function": gradients.score_function,
    "score_function, leave one out": partial(gradients.score_function, baseline="leave_one_out"),
    "score_function, optimal": partial(gradients.score_function, baseline="optimal"),
    "measure_valued": gradients.measure_valued,
    "measure_valued, independent": partial(gradients.measure_valued, coupled=False),
    "finite_difference": partial(gradients.finite_difference, step=problem.STEP),
    "finite_difference, independent": partial(
        gradients.finite_difference, step=problem.STEP, common_random_numbers=False
    ),
}


def squares(z):
    """f, for z of shape [num_samples, dim]."""
    return tf.reduce_sum((z - 1.0) ** 2, axis=-1)


def normal(loc, scale):
    """A vector of independent normals."""
    return tfd.Independent(tfd.Normal(loc, scale), 1)


def program(estimator, n, dim, mode):
    """A function from a seed to the gradients of n samples."""
    params = {"loc": tf.fill([dim], problem.LOC), "scale": tf.fill([dim], problem.SCALE)}

    def run(seed):
        return _ESTIMATORS[estimator](squares, normal, params, n, seed).samples

    return run if MODES[mode] is None else tf.function(run, autograph=False, **MODES[mode])
