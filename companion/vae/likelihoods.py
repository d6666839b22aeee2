"""What the decoder's outputs mean: the distribution p(x | z) of the data given a latent.

Contract: a likelihood is a Keras layer, so that what it learns is trained and saved with the model. `distribution`
makes p(x | z) from the decoder's outputs, one output for each value of x, and `sample` draws from it; `log_prob` is its
log density summed over an example; `support` is the interval in which the data lie.
"""

import math

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation, seeds

__all__ = ["LIKELIHOODS", "Bernoulli", "Gaussian"]


@keras.saving.register_keras_serializable(package="companion")
class Bernoulli(keras.layers.Layer):
    r"""Independent binary values; the decoder gives the logits.

    .. math::

        \log p(x \mid z) = \sum_d \bigl[x_d\,\ell_d - \log(1 + e^{\ell_d})\bigr], \qquad \ell = \mathrm{decoder}(z)

    For x strictly between 0 and 1 this is no log density of x: it is the expectation of the log-likelihood over binary
    images drawn with the probabilities x.

    Example:
        >>> round(float(Bernoulli().log_prob(tf.constant([[0.0, 0.0]]), tf.constant([[1.0, 0.0]]))[0]), 4)
        -1.3863
    """

    support = (0.0, 1.0)

    def distribution(self, outputs, event_rank):
        """p(x | z) with the outputs as logits, the last `event_rank` dimensions one example."""
        return tfd.Independent(tfd.Bernoulli(logits=outputs, dtype=outputs.dtype), event_rank)

    def sample(self, outputs, seed):
        """One x for each output; the same for one seed eagerly, in a graph and under XLA."""
        return tf.cast(seeds.uniform(tf.shape(outputs), seed, outputs.dtype) < tf.sigmoid(outputs), outputs.dtype)

    def log_prob(self, outputs, x):
        """log p(x | z), shape [*samples, batch], from outputs [*samples, batch, *event] and x [batch, *event]."""
        x = tf.convert_to_tensor(x, outputs.dtype)
        return _sum_over_examples(x * outputs - tf.nn.softplus(outputs), x)


@keras.saving.register_keras_serializable(package="companion")
class Gaussian(keras.layers.Layer):
    r"""Independent normal values of one scale; the decoder gives their means.

    .. math::

        \log p(x \mid z) = -\sum_d \Bigl[\frac{(x_d - \mu_d)^2}{2\sigma^2} + \log\sigma + \tfrac12\log 2\pi\Bigr],
        \qquad \mu = \mathrm{decoder}(z)

    Args:
        scale: sigma, in the units of the data, or where its learning starts.
        trainable: whether sigma is learnt (as log sigma) with the nets.
        **kwargs: those of `keras.layers.Layer`; in a float64 model dtype="float64" here, too.

    Raises:
        ValueError: if `scale` is not a positive number.

    Example:
        >>> likelihood = Gaussian(scale=0.5, trainable=False)
        >>> round(float(likelihood.scale), 6)
        0.5
    """

    support = (-math.inf, math.inf)

    def __init__(self, scale=1.0, trainable=True, **kwargs):
        scale = _validation.positive("scale", _validation.float_tensor("scale", scale, tf.float64))
        scale = float(_validation.same_shape("scale", scale, [], "one number"))
        super().__init__(trainable=trainable, **kwargs)
        initial = keras.initializers.Constant(float(np.log(scale)))
        self._start = scale
        self.log_scale = self.add_weight(shape=(), initializer=initial, name="log_scale", trainable=trainable)

    @property
    def scale(self):
        """sigma now, a scalar tensor."""
        return tf.exp(tf.convert_to_tensor(self.log_scale))

    def distribution(self, outputs, event_rank):
        """p(x | z) with the outputs as means, the last `event_rank` dimensions one example."""
        return tfd.Independent(tfd.Normal(outputs, tf.cast(self.scale, outputs.dtype)), event_rank)

    def sample(self, outputs, seed):
        """One x for each output; the same for one seed eagerly, in a graph and under XLA."""
        eps = seeds.normal(tf.shape(outputs), seed, outputs.dtype)
        return outputs + tf.cast(self.scale, outputs.dtype) * eps

    def log_prob(self, outputs, x):
        """log p(x | z), shape [*samples, batch], from outputs [*samples, batch, *event] and x [batch, *event]."""
        x = tf.convert_to_tensor(x, outputs.dtype)
        log_scale = tf.cast(tf.convert_to_tensor(self.log_scale), x.dtype)
        constant = tf.cast(np.prod(x.shape[1:]), x.dtype) * (log_scale + 0.5 * float(np.log(2.0 * np.pi)))
        return -0.5 * tf.exp(-2.0 * log_scale) * _sum_over_examples((x - outputs) ** 2, x) - constant

    def get_config(self):
        """What `from_config` needs to make this likelihood anew."""
        return {**super().get_config(), "scale": self._start, "trainable": self.trainable}


LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": Gaussian}


def _sum_over_examples(values, x):
    """The sum over all but the samples and the batch."""
    return tf.reduce_sum(values, axis=range(values.shape.rank - x.shape.rank + 1, values.shape.rank))
