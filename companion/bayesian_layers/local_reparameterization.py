"""Noise on the pre-activations instead of the weights."""

import numpy as np
import tensorflow as tf

from companion import seeds

__all__ = ["LocalReparameterization"]


class LocalReparameterization:
    r"""The pre-activations, which are normal given the inputs, are drawn in place of the weights.

    .. math::

        a = x\mu + b + \sqrt{x^2 \sigma^2 + \sigma_b^2} \odot \epsilon, \qquad \epsilon \sim \mathcal{N}(0, I)

    For a dense layer on vectors this is the exact distribution of each example's pre-activations, as if every example
    had a draw of the weights of its own. Where one example has several positions that share the weights (a
    convolution, or a dense layer on sequences), mean and variance at every position are exact, but positions are drawn
    independently, while shared weights make them dependent: there it is an approximation.
    """

    def noisy(self, x, weights, seeds_of):
        """The pre-activations, each example's with noise of its own.

        Args:
            x: inputs, a tensor.
            weights: `companion.bayesian_layers.layer.Weights` now.
            seeds_of: `companion.bayesian_layers.layer.Seeds` of this call.
        """
        dtype = tf.as_dtype(self.variable_dtype)
        variance = self.linear(tf.cast(x, dtype) ** 2, weights.kernel.scale**2)
        if self.bayesian_bias:
            variance += weights.bias.scale**2
        # where nothing comes in, the variance is 0 and its root has no derivative: there the noise is left out
        scale = tf.sqrt(tf.maximum(variance, np.finfo(dtype.as_numpy_dtype).tiny))
        eps = seeds.normal(tf.shape(variance), seeds_of.examples(0), dtype)
        return self.at_mean(x, weights) + tf.cast(scale * eps, x.dtype)
