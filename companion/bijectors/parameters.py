"""Bijectors without a net: learnt numbers, the same for all vectors or a linear function of their context."""

import keras
import numpy as np
import tensorflow as tf

from companion import _validation, seeds
from companion.bijectors.base import Bijector, width

__all__ = ["SMALLEST_SLOPE", "FromParameters", "Parameters", "above_minus_one", "dot"]

SMALLEST_SLOPE = 1e-3  # of a map along its own direction; above the rounding of float32


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


class FromParameters(Bijector):
    """A bijector of named vectors; a subclass defines `_initial(rng)`, which gives where they start.

    Args:
        dim: the length of the vectors.
        context_dim: the length of a context vector, of which the parameters are then linear functions; None for none.
        seed: an integer that decides where the parameters start. None for one that Keras draws.
        dtype: "float32" or "float64"; None for Keras' floatx.
        name: of the bijector.
    """

    forward_passes = inverse_passes = 1

    def __init__(self, dim, context_dim=None, seed=None, dtype=None, name=None):
        given = locals()
        self.dim = _validation.count("dim", dim)
        context_dim = None if context_dim is None else _validation.count("context_dim", context_dim)
        self.seed = seeds.any_seed() if seed is None else _validation.count("seed", seed, minimum=0)
        initial = self._initial(np.random.default_rng(self.seed))
        parameters = Parameters(initial, context_dim, seeds.integer(self.seed, 1), width(dtype))
        super().__init__(self.dim, [parameters], given, context_dim, parameters.dtype, name)

    def get_config(self):
        """The arguments that make this bijector anew."""
        return {"dim": self.dim, "context_dim": self.context_dim, "seed": self.seed, "dtype": self.dtype.name}

    def values(self, context):
        """The parameters by name, each of shape [..., length], or [...] for scalars, where ... is the context's."""
        return self.layers[0](context)


def above_minus_one(t):
    """m(t), increasing, with m(0) = 0 and m(t) >= -0.999."""
    span = 1.0 - SMALLEST_SLOPE
    return span * (tf.nn.softplus(t + float(np.log(np.e - 1.0))) - 1.0)


def dot(a, b):
    """The scalar products of vectors, shape [...]."""
    return tf.reduce_sum(a * b, axis=-1)
