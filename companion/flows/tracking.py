"""Finding what a bijector learns, so that Keras trains and saves it."""

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from companion.bijectors import Bijector

__all__ = ["AdoptedVariables", "keras_layers_in", "parts_of", "variables_to_adopt"]


def parts_of(bijector, inverted=False):
    """The bijector and those that it is made of, each with whether it is used backwards."""
    yield bijector, inverted
    inside = getattr(bijector, "bijectors", None) or [getattr(bijector, "bijector", None)]
    for part in inside:
        if isinstance(part, tfb.Bijector):
            yield from parts_of(part, inverted != isinstance(bijector, tfb.Invert))


def keras_layers_in(bijectors):
    """The Keras layers that the bijectors hold, each once."""
    layers = {}
    for bijector in bijectors:
        for part, _ in parts_of(bijector):
            held = part.layers if isinstance(part, Bijector) else list(part.parameters.values())
            layers.update({id(layer): layer for layer in held if isinstance(layer, keras.layers.Layer)})
    return list(layers.values())


def variables_to_adopt(modules):
    """The `tf.Variable`s of TFP's objects that belong to no Keras layer, each once."""
    parts = [part for m in modules if isinstance(m, tfb.Bijector) for part, _ in parts_of(m)]
    owned = {v.value.ref() for layer in keras_layers_in(modules_that_map(modules)) for v in layer.variables}
    owned |= {v.ref() for part in parts if isinstance(part, Bijector) for v in part.variables}
    found = {v.ref(): v for module in modules for v in module.variables if isinstance(v, tf.Variable)}
    return [v for ref, v in found.items() if ref not in owned]


def modules_that_map(modules):
    """Those that are bijectors."""
    return [m for m in modules if isinstance(m, tfb.Bijector)]


class AdoptedVariables(keras.layers.Layer):
    """`tf.Variable`s as weights of a Keras layer: the same memory, so both see every change.

    Args:
        variables: a list of `tf.Variable`s.
        dtype: of the layer.
    """

    def __init__(self, variables, dtype):
        super().__init__(dtype=dtype, autocast=False)
        self.adopted = [
            keras.Variable(v, trainable=v.trainable, dtype=v.dtype.name, autocast=False, name=f"adopted_{i}")
            for i, v in enumerate(variables)
        ]
        self.built = True
