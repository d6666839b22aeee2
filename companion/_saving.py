"""Distributions made from numbers, as something that JSON holds, and back: for models that are saved.

Contract: `from_config(to_config(value))` is a distribution of the same family with the same parameters.
"""

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation


def to_config(argument, value):
    """A distribution, or anything it was made from, as lists, strings and numbers.

    Args:
        argument: its name in an error.
        value: a `tfd.Distribution`, a Keras layer, or a number, string, array or list of them.
    """
    if isinstance(value, tfd.Distribution) and getattr(tfd, type(value).__name__, None) is type(value):
        given = {name: to_config(argument, v) for name, v in value.parameters.items() if v is not None}
        return {"family": type(value).__name__, "parameters": given}
    if isinstance(value, keras.layers.Layer):
        return keras.saving.serialize_keras_object(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)) or tf.is_tensor(value):
        array = np.asarray(value)
        return {"array": array.tolist(), "dtype": array.dtype.name}
    if isinstance(value, (list, tuple)):
        return [to_config(argument, v) for v in value]
    if isinstance(value, tf.DType):
        return {"dtype": value.name}
    expected = "a tfd distribution made from numbers and other tfd distributions, to save the model with"
    raise TypeError(_validation.message(argument, expected, _validation.describe(value)))


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
