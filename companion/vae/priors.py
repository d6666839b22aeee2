"""The prior p(z) of a model."""

import keras
from tensorflow_probability import distributions as tfd

from companion import _validation

__all__ = ["find"]


def find(prior, latent_dim, dtype):
    """The prior as it was given, after a check; None stands for a standard normal and is passed on."""
    if prior is None or (callable(getattr(prior, "distribution", None)) and isinstance(prior, keras.layers.Layer)):
        return prior
    expected = f"a {dtype} tfd.Distribution of event shape [{latent_dim}] and no batch"
    if not isinstance(prior, tfd.Distribution):
        expected += ", a Keras layer whose distribution() makes one, or None"
        raise TypeError(_validation.message("prior", expected, _validation.describe(prior)))
    _validation.distribution("prior", prior)
    if prior.variables:
        expected = "a distribution of constants; one that is to be learnt comes from a Keras layer's distribution()"
        raise ValueError(_validation.message("prior", expected, f"{type(prior).__name__} with tf.Variables"))
    if prior.event_shape != [latent_dim] or prior.batch_shape.rank or prior.dtype != dtype:
        got = f"{prior.dtype.name}, event shape {prior.event_shape}, batch shape {prior.batch_shape}"
        raise ValueError(_validation.message("prior", expected, got))
    return prior
