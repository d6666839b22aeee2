"""The prior of a layer's weights: any `tfd.Distribution` over one weight, or over all of an array."""

import numbers

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation

__all__ = ["find", "fit_to", "over", "scale_mixture"]


def scale_mixture(weight=0.5, scales=(1.0, 0.1), dtype="float32"):
    r"""Blundell's prior: a mixture of two normal distributions about zero, one wide and one narrow.

    .. math::

        p(w) = \pi\,\mathcal{N}(w; 0, \sigma_1^2) + (1 - \pi)\,\mathcal{N}(w; 0, \sigma_2^2)

    Its KL divergence from a normal distribution has no closed form, so layers estimate it from samples.

    Args:
        weight: pi, between 0 and 1.
        scales: sigma_1 and sigma_2, positive.
        dtype: "float32", or "float64" for layers of that width.

    Returns:
        A `tfd.Distribution` over one weight.

    Raises:
        ValueError: if the weight does not lie in (0, 1), or the scales are not two positive numbers.

    Reference:
        Blundell, Cornebise, Kavukcuoglu and Wierstra (2015), section 3.3.

    Example:
        >>> float(scale_mixture(0.25, (1.0, 0.1)).stddev()) > 0.25
        True
    """
    if not isinstance(weight, numbers.Real) or not 0.0 < weight < 1.0:
        raise ValueError(_validation.message("weight", "a number in (0, 1)", _validation.describe(weight)))
    scales = _validation.float_tensor("scales", tf.cast(scales, dtype))
    _validation.positive("scales", _validation.same_shape("scales", scales, [2], "two of them"))
    which = tfd.Categorical(probs=tf.constant([weight, 1.0 - weight], dtype))
    return tfd.MixtureSameFamily(which, tfd.Normal(tf.zeros([2], dtype), scales))


def find(argument, prior, dtype):
    """The prior after a check; None stands for a standard normal."""
    if prior is None:
        return tfd.Normal(tf.zeros([], dtype), tf.ones([], dtype))
    _validation.distribution(argument, prior)
    if prior.variables:
        raise ValueError(_validation.message(argument, "a distribution of constants", "one with tf.Variables"))
    if prior.dtype != tf.as_dtype(dtype):
        expected = f"a tfd.Distribution of {dtype}, the width of the layer's variables"
        raise ValueError(_validation.message(argument, expected, f"{type(prior).__name__} of {_width(prior)}"))
    if not _is_over_all_numbers(prior):
        got = f"{type(prior).__name__}, whose density is not"
        raise ValueError(_validation.message(argument, "a density that is positive for all real weights", got))
    return prior


def fit_to(argument, prior, shape):
    """The prior, if it is over one weight, or over an array of the shape of all weights."""
    own = tuple(prior.batch_shape) + tuple(prior.event_shape)
    if own not in ((), tuple(shape)):
        expected = f"a distribution over one weight, or over the weights' shape {list(shape)}"
        raise ValueError(_validation.message(argument, expected, f"shape {list(own)} (batch and event)"))
    return prior


def over(prior, shape):
    """The prior of all weights, with their shape as its event."""
    while isinstance(prior, tfd.Independent):
        prior = prior.distribution
    if isinstance(prior, (tfd.Normal, tfd.Laplace)):  # in this form TFP knows KL divergences
        prior = type(prior)(*(tf.broadcast_to(x, shape) for x in (prior.loc, prior.scale)))
    if prior.batch_shape.rank:
        return tfd.Independent(prior, prior.batch_shape.rank)
    return prior if prior.event_shape.rank else tfd.Sample(prior, shape)


def _is_over_all_numbers(prior):
    """Whether TFP's map from the real numbers to the prior's support goes far both ways, and densities are finite."""
    try:
        to_support = prior.experimental_default_event_space_bijector()
        if to_support is None:  # a mixture
            parts = [part for part in _validation.parts(prior) if part is not prior and part.dtype.is_floating]
            return bool(parts) and all(map(_is_over_all_numbers, parts))
        one = tf.ones(prior.event_shape, prior.dtype)
        reaches_far = [sign * to_support.forward(sign * 1e6 * one) > 1e3 for sign in (1.0, -1.0)]
        has_density = [tf.math.is_finite(prior.log_prob(sign * one)) for sign in (1.0, -1.0)]
        return all(bool(tf.reduce_all(true)) for true in (*reaches_far, *has_density))
    except (NotImplementedError, TypeError, ValueError):
        return False


def _width(prior):
    return prior.dtype.name if isinstance(prior.dtype, tf.DType) else "several parts"
