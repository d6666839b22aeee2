"""Finding what a bijector learns, so that Keras trains and saves it."""

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from companion import _validation
from companion.bijectors import Bijector
from companion.flows.composition import Composition, parts_of

__all__ = [
    "AdoptedVariables",
    "flattened",
    "keras_layers_in",
    "require_own_variables",
    "variables_to_adopt",
]

_CHAINS = (tfb.Chain, *(base for base in tfb.Chain.__bases__ if base.__name__ == "_Chain"))


def flattened(bijectors):
    """The bijectors from noise to data, each `tfb.Chain` as its parts."""
    for bijector in bijectors:
        if isinstance(bijector, _CHAINS):
            yield from flattened(reversed(bijector.bijectors))
        elif isinstance(bijector, Composition) and bijector.context is None:
            yield from flattened(bijector.maps.bijectors)
        else:
            yield bijector


def keras_layers_in(bijectors):
    """The Keras layers that the bijectors hold, each once."""
    layers = {}
    for bijector in bijectors:
        for part, _ in parts_of(bijector):
            held = part.layers if isinstance(part, Bijector) else list(part.parameters.values())
            layers.update({id(layer): layer for layer in held if isinstance(layer, keras.layers.Layer)})
    return list(layers.values())


def variables_to_adopt(bijectors, base):
    """The variables (`tf.Variable`) of TFP's objects that belong to no Keras layer, each once."""
    owned = {v.value.ref() for layer in keras_layers_in(bijectors) for v in layer.variables}
    modules = [*bijectors, *([] if base is None else [base])]
    found = {v.ref(): v for module in modules for v in module.variables if isinstance(v, tf.Variable)}
    return [v for ref, v in found.items() if ref not in owned]


def require_own_variables(argument, bijectors):
    """Refuses to save what would come back as two: a net or a variable that two bijectors share."""
    distinct, seen = {id(p): p for b in bijectors for p, _ in parts_of(b)}, set()
    for part in distinct.values():
        inside = getattr(part, "bijectors", None) or getattr(part, "bijector", None)
        held = set() if inside else {v.ref() for v in part.variables} | {id(layer) for layer in keras_layers_in([part])}
        if held & seen:
            expected = "no net or variable that two bijectors share, to save the model with"
            raise TypeError(_validation.message(argument, expected, f"one that {type(part).__name__} shares"))
        seen |= held


class AdoptedVariables(keras.layers.Layer):
    """Variables of TensorFlow as weights of a Keras layer: the same memory, so both see every change.

    Args:
        variables: a list of `tf.Variable` objects.
        dtype: of the layer.
    """

    def __init__(self, variables, dtype):
        super().__init__(dtype=dtype, autocast=False)
        self.adopted = [
            keras.Variable(v, trainable=v.trainable, dtype=v.dtype.name, autocast=False, name=f"adopted_{i}")
            for i, v in enumerate(variables)
        ]
        self.built = True
