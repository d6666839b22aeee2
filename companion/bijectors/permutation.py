"""The order of the coordinates."""

import keras
import numpy as np
import tensorflow as tf

from companion import _validation
from companion.bijectors.base import Bijector, width

__all__ = ["Permutation"]


@keras.saving.register_keras_serializable(package="companion.bijectors")
class Permutation(Bijector):
    r"""Puts the coordinates in another order, which is fixed: y_i = x_{p(i)}, log-determinant 0.

    Between couplings it lets every coordinate move, between autoregressive maps it lets every coordinate come first.

    Args:
        permutation: the numbers 0 to dim - 1 in some order.
        dtype: "float32" or "float64"; None for Keras' floatx.

    Raises:
        ValueError: if it is no permutation.

    Reference:
        Dinh, Sohl-Dickstein and Bengio (2017), section 3.5. Chapter: Normalizing flows.

    Example:
        >>> Permutation([2, 0, 1]).forward(tf.constant([10.0, 11.0, 12.0])).numpy().tolist()
        [12.0, 10.0, 11.0]
    """

    def __init__(self, permutation, dtype=None, name=None):
        parameters = locals()
        order = np.asarray(permutation)
        if order.ndim != 1 or order.dtype.kind not in "iu" or sorted(order.tolist()) != list(range(order.size)):
            expected = "the numbers from 0 to dim - 1, each once"
            raise ValueError(_validation.message("permutation", expected, _validation.describe(permutation)))
        if not order.size:
            raise ValueError(_validation.message("permutation", "at least one number", "none"))
        self._order, self._back = order, np.argsort(order)
        super().__init__(order.size, [], parameters, None, width(dtype), name)

    @classmethod
    def reverse(cls, dim, dtype=None):
        """The coordinates in the opposite order.

        Args:
            dim: how many.
            dtype: as above.
        """
        return cls(np.arange(_validation.count("dim", dim))[::-1], dtype)

    @classmethod
    def random(cls, dim, seed, dtype=None):
        """One of all orders, each as probable as the others.

        Args:
            dim: how many coordinates.
            seed: a non-negative integer.
            dtype: as above.
        """
        seed = _validation.count("seed", seed, minimum=0)
        return cls(np.random.default_rng(seed).permutation(_validation.count("dim", dim)), dtype)

    def get_config(self):
        """The arguments that make this bijector anew."""
        return {"permutation": self._order.tolist(), "dtype": self.dtype.name}

    def _forward_pass(self, x, context):
        return tf.gather(x, self._order, axis=-1), tf.zeros_like(x[..., 0])

    def _inverse_pass(self, y, context):
        return tf.gather(y, self._back, axis=-1), tf.zeros_like(y[..., 0])
