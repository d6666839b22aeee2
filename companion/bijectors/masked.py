"""Networks whose output for one coordinate sees earlier coordinates alone."""

import itertools

import keras
import numpy as np
import tensorflow as tf

from companion import _networks

__all__ = ["MaskedDense", "MaskedNetwork"]


@keras.saving.register_keras_serializable(package="companion.bijectors")
class MaskedDense(keras.layers.Dense):
    """A dense layer with some of its connections taken away.

    Args:
        units: how many outputs.
        mask: 1 where a connection stays, else 0: shape [num_inputs, units].
        **kwargs: those of `keras.layers.Dense`.
    """

    def __init__(self, units, mask, **kwargs):
        super().__init__(units, **kwargs)
        self._mask = np.asarray(mask)

    def call(self, inputs, training=None):
        """The layer's outputs, shape [batch, units]."""
        kernel = tf.convert_to_tensor(self.kernel)
        outputs = tf.matmul(inputs, kernel * tf.constant(self._mask, kernel.dtype))
        return self.activation(outputs + tf.convert_to_tensor(self.bias))

    def get_config(self):
        """The arguments that make this layer anew."""
        return {**super().get_config(), "mask": self._mask.tolist()}


class MaskedNetwork(keras.layers.Layer):
    r"""A masked autoregressive network (MADE): the outputs for coordinate i depend on coordinates before it alone.

    Every unit has a degree: an input its place in the order, from 1 to dim, a context 0; a unit is connected to those
    of the layer before it whose degree is not larger, an output of degree i to hidden units of degree less than i.

    Args:
        dim: how many coordinates.
        num_parameters: P, how many outputs a coordinate.
        hidden: widths of the hidden layers.
        places: the place of each coordinate in the order, 0 for the first.
        context_dim: the length of a context vector, or None.
        seed: an integer that decides the initial weights.
        dtype: "float32" or "float64".

    Reference:
        Germain, Gregor, Murray and Larochelle (2015).
    """

    def __init__(self, dim, num_parameters, hidden, places, context_dim, seed, dtype):
        super().__init__(dtype=dtype, autocast=False)
        self.dim, self.num_parameters = dim, num_parameters
        degrees = [np.concatenate([np.asarray(places) + 1, np.zeros(context_dim or 0, int)])]
        degrees += [_degrees(width, dim, context_dim) for width in hidden]
        outputs = np.tile(np.asarray(places) + 1, num_parameters)
        masks = [low[:, None] <= high for low, high in itertools.pairwise(degrees)]
        masks = iter([*masks, degrees[-1][:, None] < outputs])

        def masked(units, **kwargs):
            return MaskedDense(units, next(masks).astype(int), **kwargs)

        sizes = [*hidden, dim * num_parameters]
        self.dense = _networks.dense(sizes, dtype, (seed,), make=masked, last_scale=0.1, num_inputs=degrees[0].size)
        for layer, degree in zip(self.dense, degrees, strict=True):
            layer.build((None, degree.size))
        self.built = True

    def call(self, x):
        """Parameters of shape [..., P, dim] for vectors, with their context behind them, of shape [..., dim + c]."""
        outputs = tf.reshape(x, [-1, x.shape[-1]])
        for layer in self.dense:
            outputs = layer(outputs)
        return tf.reshape(outputs, tf.concat([tf.shape(x)[:-1], [self.num_parameters, self.dim]], axis=0))


def _degrees(width, dim, context_dim):
    """The degrees of hidden units, evenly spread; those of degree 0 see the context alone, if there is room for it."""
    least = 0 if dim == 1 or (context_dim and width >= dim) else 1
    return np.round(np.linspace(least, dim - 1, width))
