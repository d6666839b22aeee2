"""A scale and a shift that start from the data."""

import keras
import numpy as np
import tensorflow as tf

from companion import _validation
from companion.bijectors.base import Bijector, width

__all__ = ["ActNorm"]


class _ScaleAndShift(keras.layers.Layer):
    def __init__(self, dim, dtype):
        super().__init__(dtype=dtype, autocast=False)
        self.log_scale = self.add_weight(shape=(dim,), initializer="zeros", name="log_scale")
        self.shift = self.add_weight(shape=(dim,), initializer="zeros", name="shift")
        self.initialized = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, autocast=False, name="initialized"
        )
        self.built = True


@keras.saving.register_keras_serializable(package="companion.bijectors")
class ActNorm(Bijector):
    r"""A scale and a shift of each coordinate, which the first data set so that their noise has mean 0 and variance 1.

    .. math::

        y = x \odot e^{s} + t, \qquad \log\Bigl|\det\frac{\partial y}{\partial x}\Bigr| = \sum_i s_i

    After `initialize`, which `companion.Flow.fit` calls once, s and t are parameters as any other: the density never
    depends on the batch that is being scored, as it would with batch normalisation.

    Args:
        dim: the length of the vectors.
        dtype: "float32" or "float64"; None for Keras' floatx.

    Raises:
        ValueError: if an argument is out of its domain.

    Reference:
        Kingma and Dhariwal (2018), section 3.1. Chapter: Normalizing flows.

    Example:
        >>> norm = ActNorm(2)
        >>> norm.initialize(tf.constant([[1.0, 10.0], [3.0, 30.0]]))
        >>> norm.inverse(tf.constant([[1.0, 10.0], [3.0, 30.0]])).numpy().round(3).tolist()
        [[-1.0, -1.0], [1.0, 1.0]]
    """

    def __init__(self, dim, dtype=None, name=None):
        parameters = locals()
        dim = _validation.count("dim", dim)
        super().__init__(dim, [_ScaleAndShift(dim, width(dtype))], parameters, None, width(dtype), name)

    @property
    def initialized(self):
        """Whether data, or training, have set scale and shift."""
        layer = self.layers[0]
        return bool(layer.initialized.numpy()) or any(np.any(v.numpy()) for v in (layer.log_scale, layer.shift))

    def initialize(self, y):
        """Sets scale and shift to the standard deviation and the mean of data.

        Args:
            y: vectors on the side of the data, shape [num_examples, dim]. A coordinate that is constant keeps scale 1.
        """
        y = _validation.finite("y", self._vectors("y", y))
        mean, variance = tf.nn.moments(tf.reshape(y, [-1, self.dim]), axes=0)
        variance = tf.where(variance > 0.0, variance, 1.0)
        self.layers[0].shift.assign(mean)
        self.layers[0].log_scale.assign(0.5 * tf.math.log(variance))
        self.layers[0].initialized.assign(1)

    def get_config(self):
        """The arguments that make this bijector anew."""
        return {"dim": self.dim, "dtype": self.dtype.name}

    def _forward_pass(self, x, context):
        log_scale, shift = self._values()
        return x * tf.exp(log_scale) + shift, tf.zeros_like(x[..., 0]) + tf.reduce_sum(log_scale)

    def _inverse_pass(self, y, context):
        log_scale, shift = self._values()
        return (y - shift) * tf.exp(-log_scale), tf.zeros_like(y[..., 0]) - tf.reduce_sum(log_scale)

    def _values(self):
        layer = self.layers[0]
        return tf.convert_to_tensor(layer.log_scale), tf.convert_to_tensor(layer.shift)
