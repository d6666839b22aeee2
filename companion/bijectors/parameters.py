"""Learnt numbers of a bijector, the same for all vectors or a linear function of their context."""

import keras
import numpy as np
import tensorflow as tf

from companion import _validation

__all__ = ["Parameters", "width"]


def width(dtype):
    """The name of a floating width, Keras' own for None."""
    name = tf.as_dtype(dtype or keras.config.floatx()).name
    return _validation.one_of("dtype", name, ("float32", "float64"))


class Parameters(keras.layers.Layer):
    """Named vectors, one of each; or, with a context, for each context: initial value + linear map of it.

    Args:
        initial: a mapping of names to arrays of shape [length]. [] stands for a scalar, as does its result.
        context_dim: the length of a context vector, or None.
        seed: of the initial weights of the linear map, an integer.
        dtype: "float32" or "float64".
    """

    def __init__(self, initial, context_dim, seed, dtype, **kwargs):
        super().__init__(dtype=dtype, autocast=False, **kwargs)
        self._lengths = {name: np.shape(values) for name, values in initial.items()}
        flat = np.concatenate([np.ravel(values) for values in initial.values()])
        self.values = self.add_weight(
            shape=flat.shape, initializer=lambda shape, dtype: tf.constant(flat, dtype), name="values"
        )
        self.map = None
        if context_dim is not None:
            small = keras.initializers.VarianceScaling(1e-2, seed=seed)
            self.map = self.add_weight(shape=(context_dim, flat.size), initializer=small, name="map")
        self.built = True

    def call(self, context=None):
        """A mapping of names to tensors of shape [..., length], or [...] for scalars, where ... is the context's."""
        flat = tf.convert_to_tensor(self.values)
        if self.map is not None:
            flat += tf.linalg.matvec(tf.convert_to_tensor(self.map), context, transpose_a=True)
        sizes = [int(np.prod(shape)) for shape in self._lengths.values()]
        parts = tf.split(flat, sizes, axis=-1)
        return {
            name: part if shape else part[..., 0]
            for (name, shape), part in zip(self._lengths.items(), parts, strict=True)
        }
