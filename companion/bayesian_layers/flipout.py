"""One draw of the weights' noise, with other signs for every example."""

import tensorflow as tf

from companion import seeds

__all__ = ["Flipout"]


class Flipout:
    r"""Example i multiplies the shared noise by signs r_i of its inputs and s_i of its outputs.

    .. math::

        a_i = x_i\mu + b + \bigl[(x_i \odot r_i)(\sigma\odot\epsilon) + \sigma_b \odot\epsilon_b\bigr] \odot s_i

    Since a normal draw times signs is such a draw again, each example's pre-activations have their exact distribution,
    at all positions together; those of different examples are uncorrelated given the inputs, not independent.

    Reference:
        Wen, Vicol, Ba, Tran and Grosse (2018).
    """

    def noisy(self, x, weights, seeds_of):
        """The pre-activations, each example's with signs of its own.

        Args:
            x: inputs, a tensor; the signs of a feature or channel are the same at all positions of an example.
            weights: `companion.bayesian_layers.layer.Weights` now.
            seeds_of: `companion.bayesian_layers.layer.Seeds` of this call.
        """
        positions = [1] * (x.shape.rank - 2)
        num_examples = tf.shape(x)[0]
        signs_in = seeds.signs([num_examples, *positions, x.shape[-1]], seeds_of.examples(0), x.dtype)
        signs_out = seeds.signs([num_examples, *positions, self.num_outputs], seeds_of.examples(1), x.dtype)
        noise = self.linear(x * signs_in, tf.cast(weights.kernel.noise(seeds_of.kernel), x.dtype))
        if self.bayesian_bias:
            noise += tf.cast(weights.bias.noise(seeds_of.bias), x.dtype)
        return self.at_mean(x, weights) + noise * signs_out
