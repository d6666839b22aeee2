"""The prior p(z), and how a model that is saved remembers it."""

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation

__all__ = ["find", "from_config", "to_config"]


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


def to_config(value):
    """A distribution, or anything it was made from, as lists, strings and numbers."""
    if isinstance(value, tfd.Distribution) and getattr(tfd, type(value).__name__, None) is type(value):
        given = {name: to_config(v) for name, v in value.parameters.items() if v is not None}
        return {"family": type(value).__name__, "parameters": given}
    if isinstance(value, keras.layers.Layer):
        return keras.saving.serialize_keras_object(value)
    if isinstance(value, np.ndarray) or tf.is_tensor(value):
        array = np.asarray(value)
        return {"array": array.tolist(), "dtype": array.dtype.name}
    if isinstance(value, (list, tuple)):
        return [to_config(v) for v in value]
    if isinstance(value, tf.DType):
        return {"dtype": value.name}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    expected = "a tfd distribution made from numbers and other tfd distributions, to save the model with"
    raise TypeError(_validation.message("prior", expected, _validation.describe(value)))


def from_config(config):
    """What `to_config` was given."""
    if isinstance(config, list):
        return [from_config(v) for v in config]
    if not isinstance(config, dict):
        return config
    if "family" in config:
        return getattr(tfd, config["family"])(**{k: from_config(v) for k, v in config["parameters"].items()})
    if "array" in config:
        return tf.constant(config["array"], config["dtype"])
    if set(config) == {"dtype"}:
        return tf.as_dtype(config["dtype"])
    return keras.saving.deserialize_keras_object(config)
