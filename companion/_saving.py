"""Distributions and bijectors made from numbers, as something that JSON holds, and back: for models that are saved.

Contract: `from_config(to_config(value))` is an object of the same class with the same parameters.
"""

import inspect

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import _validation

_LIBRARIES = {"family": tfd, "bijector": tfb}


def to_config(argument, value):
    """A distribution or bijector, or anything it was made from, as lists, strings and numbers.

    Args:
        argument: its name in an error.
        value: a `tfd.Distribution`, a `tfb.Bijector` of TFP or of this package, a Keras layer, or a number, string,
            array, `tf.Variable` or list of them.
    """
    for kind, library in _LIBRARIES.items():
        name = type(value).__name__.lstrip("_")  # TFP has a second class of a name for parts without a type spec
        found = getattr(library, name, None)
        if found is not None and isinstance(found, type) and issubclass(found, type(value)):
            defaults = inspect.signature(found.__init__).parameters
            changed = {k: v for k, v in value.parameters.items() if k not in defaults or v is not defaults[k].default}
            return {kind: name, "parameters": {k: to_config(argument, v) for k, v in changed.items()}}
    if isinstance(value, tfp.util.TransformedVariable):
        start = to_config(argument, tf.convert_to_tensor(value))
        trainable = value.pretransformed_input.trainable
        return {"transformed": start, "bijector": to_config(argument, value.bijector), "trainable": trainable}
    if isinstance(value, keras.layers.Layer) or (isinstance(value, tfb.Bijector) and hasattr(value, "get_config")):
        return keras.saving.serialize_keras_object(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, tf.Variable):
        return {**to_config(argument, value.numpy()), "trainable": value.trainable}
    plain = tf.is_tensor(value) and not isinstance(value, tfp.util.DeferredTensor)
    if isinstance(value, (np.ndarray, np.generic)) or plain:
        array = np.asarray(value)
        return {"array": array.tolist(), "dtype": array.dtype.name}
    if isinstance(value, (list, tuple)):
        return [to_config(argument, v) for v in value]
    if isinstance(value, tf.DType):
        return {"dtype": value.name}
    expected = "something made from numbers, tf.Variables and distributions or bijectors of TFP, to save the model with"
    raise TypeError(_validation.message(argument, expected, _validation.describe(value)))


def from_config(config):
    """What `to_config` was given."""
    if isinstance(config, list):
        return [from_config(v) for v in config]
    if not isinstance(config, dict):
        return config
    if "transformed" in config:
        start, bijector = from_config(config["transformed"]), from_config(config["bijector"])
        return tfp.util.TransformedVariable(start, bijector, trainable=config["trainable"])
    for kind, library in _LIBRARIES.items():
        if kind in config:
            given = {name: from_config(v) for name, v in config["parameters"].items()}
            return getattr(library, config[kind])(**given)
    if "trainable" in config:
        return tf.Variable(config["array"], trainable=config["trainable"], dtype=config["dtype"])
    if "array" in config:
        return tf.constant(config["array"], config["dtype"])
    if set(config) == {"dtype"}:
        return tf.as_dtype(config["dtype"])
    return keras.saving.deserialize_keras_object(config)


def list_to_config(argument, values):
    """As `to_config` of each value; one that stands in the list again is named by its first place."""
    places = {}
    for place, value in enumerate(values):
        places.setdefault(id(value), place)
    return [
        to_config(argument, value) if places[id(value)] == place else {"same_as": places[id(value)]}
        for place, value in enumerate(values)
    ]


def list_from_config(configs):
    """What `list_to_config` was given."""
    values = []
    for config in configs:
        again = isinstance(config, dict) and set(config) == {"same_as"}
        values.append(values[config["same_as"]] if again else from_config(config))
    return values
