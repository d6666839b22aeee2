"""What both bounds share: samples of q, log q at them with the derivative that was asked for, checks of log_joint."""

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation
from companion.reparameterizations import draw, is_discrete

__all__ = ["along", "draw_samples", "evaluate", "log_density", "score"]


def draw_samples(posterior, num_samples, seed, gradient):
    """Samples of q, shape [num_samples, *batch, *event], after a check that the gradient can be had from them."""
    _validation.distribution("posterior", posterior)
    if not isinstance(posterior.event_shape, tf.TensorShape):
        raise TypeError(_validation.message("posterior", "one tensor as event", type(posterior).__name__))
    if gradient != "score_function" and posterior.reparameterization_type != tfd.FULLY_REPARAMETERIZED:
        kind = "which is discrete" if is_discrete(posterior) else "which TFP can't reparameterize"
        expected = f'a reparameterizable posterior for gradient="{gradient}"'
        got = f'{type(posterior).__name__}, {kind}; gradient="score_function" applies'
        raise TypeError(_validation.message("posterior", expected, got))
    return draw(posterior, seed, [_validation.count("num_samples", num_samples)])


def log_density(posterior, z, gradient):
    """The samples as log_joint is to see them, and log q at them, shape [num_samples, *batch].

    Differentiated, they give the chosen estimator.
    """
    if gradient == "pathwise":
        return z, posterior.log_prob(z)
    fixed = tf.stop_gradient(z)
    if gradient == "score_function":
        return fixed, posterior.log_prob(fixed)
    with tf.GradientTape(watch_accessed_variables=False) as tape:  # sticking the landing
        tape.watch(fixed)
        log_q = posterior.log_prob(fixed)
    return z, tf.stop_gradient(log_q) + along(z, tape.gradient(log_q, fixed), log_q.shape.rank)


def along(z, slope, rank):
    """Zero, of shape [num_samples, *batch], with the derivative slope . dz; `rank` is that of the result."""
    step = tf.stop_gradient(slope) * (z - tf.stop_gradient(z))
    return tf.reduce_sum(step, axis=range(rank, z.shape.rank))


def score(values, log_q):
    """Zero, with the derivative of log_q times the values: the score-function term."""
    return tf.stop_gradient(values) * (log_q - tf.stop_gradient(log_q))


def evaluate(log_joint, z, log_q, argument="log_joint"):
    """log p(x, z) at the samples: one number a sample and member of the batch, of the posterior's width."""
    values = log_joint(z)
    try:
        values = tf.convert_to_tensor(values)
    except (TypeError, ValueError) as error:
        raise TypeError(_validation.message(argument, "a tensor of floats", _validation.describe(values))) from error
    if values.dtype != log_q.dtype:
        expected = f"values of dtype {log_q.dtype.name}, the width of the posterior"
        raise TypeError(_validation.message(argument, expected, values.dtype.name))
    if values.shape.rank != log_q.shape.rank or not values.shape.is_compatible_with(log_q.shape):
        expected = f"one value a sample and member of the batch, shape {log_q.shape}"
        got = f"shape {values.shape} from z of shape {z.shape}"
        raise ValueError(_validation.message(argument, expected, got))
    return values
