"""What a network's outputs mean: the distribution p(y | x, w) of the targets.

Contract: `targets(y, outputs)` gives targets the width and the shape that fit a network's outputs, or raises. With them
`log_prob(outputs, y)` is log p(y | x, w) of every example, shape ``[*draws, batch]`` for outputs of shape
``[*draws, batch, ...]``; `mean(outputs)` the expectation of y, or the probabilities of its classes;
`uncertainty(outputs)`, for one axis of draws, the total, the aleatoric and the epistemic uncertainty.
"""

import math

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation

__all__ = ["Bernoulli", "Categorical", "HeteroscedasticNormal", "Likelihood", "Normal", "find"]


class Likelihood:
    """What they share: how they are saved."""

    def get_config(self):
        """What `from_config` needs."""
        return {}

    @classmethod
    def from_config(cls, config):
        """A likelihood with the configuration of another."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class Normal(Likelihood):
    r"""Independent numbers with one known standard deviation; the network gives their means.

    .. math::

        -\log p(y \mid x, w)
        = \sum_d \Bigl[\frac{(y_d - f_d(x, w))^2}{2 \sigma^2} + \log\sigma + \tfrac12\log 2\pi\Bigr]

    Uncertainties are variances, in the square of y's units: total = aleatoric + epistemic.

    Args:
        scale: sigma, in the units of y, positive.

    Raises:
        ValueError: if `scale` is not a positive number.

    Example:
        >>> round(float(Normal(1.0).log_prob(tf.zeros([1, 1]), tf.zeros([1, 1]))[0]), 4)
        -0.9189
    """

    def __init__(self, scale):
        self.scale = _validation.positive_number("scale", scale)

    def distribution(self, outputs):
        """p(y | x, w), a `tfd.Normal` of the outputs' shape."""
        return tfd.Normal(outputs, tf.cast(self.scale, outputs.dtype))

    def targets(self, y, outputs):
        """One number for each mean."""
        return _numbers(y, self.mean(outputs))

    def log_prob(self, outputs, y):
        """log p(y | x, w), summed over what belongs to one example."""
        return _sum_over_event(self.distribution(outputs).log_prob(y), y)

    def mean(self, outputs):
        """E[y | x, w]."""
        return self.distribution(outputs).loc

    def uncertainty(self, outputs):
        """Total, aleatoric and epistemic variance of y.

        The second is the mean over draws of the variance of y; the third the variance over draws, with S - 1 for S
        draws, of its mean.
        """
        distribution = self.distribution(outputs)
        means = distribution.loc
        if means.shape[0] == 1:
            expected = "at least 2 draws, since the epistemic variance is that between them"
            raise ValueError(_validation.message("outputs", expected, "1 (num_samples=1)"))
        num_samples = tf.cast(tf.shape(means)[0], means.dtype)
        epistemic = tf.math.reduce_variance(means, axis=0) * num_samples / (num_samples - 1.0)
        aleatoric = tf.reduce_mean(distribution.scale**2 + tf.zeros_like(means), axis=0)
        return aleatoric + epistemic, aleatoric, epistemic

    def get_config(self):
        """What `from_config` needs."""
        return {"scale": self.scale}


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class HeteroscedasticNormal(Normal):
    """Independent numbers, each with a standard deviation of its own: the network gives means, then rho.

    scale = min_scale + softplus(rho); outputs have shape [batch, ..., 2 d] for targets of shape [batch, ..., d].
    Uncertainties are variances.

    Args:
        min_scale: the least standard deviation, positive, in the units of y. Without one the expected log-likelihood
            of a network with two hidden ReLU layers of random weights is minus infinity: the expectation of 1 / scale^2
            diverges.

    Raises:
        ValueError: if `min_scale` is not a positive number.

    Example:
        >>> HeteroscedasticNormal(min_scale=0.01).mean(tf.zeros([4, 2])).shape
        TensorShape([4, 1])
    """

    def __init__(self, min_scale=1e-3):
        super().__init__(_validation.positive_number("min_scale", min_scale))

    def distribution(self, outputs):
        """p(y | x, w), a `tfd.Normal` of half the outputs' length."""
        if outputs.shape[-1] % 2:
            expected = "means and as many rho, an even number on the last axis"
            raise ValueError(_validation.message("outputs", expected, f"shape {list(outputs.shape)}"))
        loc, rho = tf.split(outputs, 2, axis=-1)
        return tfd.Normal(loc, self.scale + tf.nn.softplus(rho))

    def get_config(self):
        """What `from_config` needs."""
        return {"min_scale": self.scale}


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class Categorical(Likelihood):
    r"""One of several classes; the network gives logits f on the last axis. Targets are integer labels.

    .. math::

        -\log p(y \mid x, w) = -f_y(x, w) + \log\sum_k e^{f_k(x, w)}

    Uncertainties are entropies, in nats: the total is that of the mean probabilities, the aleatoric the mean of those
    of the draws, the epistemic their difference, which is the mutual information between y and the weights.

    Example:
        >>> round(float(Categorical().log_prob(tf.zeros([1, 4]), tf.constant([2]))[0]), 4)
        -1.3863
    """

    def targets(self, y, outputs):
        """One label for each vector of logits."""
        y = tf.convert_to_tensor(y)
        y = _with_shape(y, outputs.shape[:-1], "one integer label for each vector of logits")
        labels, num_classes = tf.cast(y, tf.int32), outputs.shape[-1]
        valid = (tf.cast(labels, y.dtype) == y) & (labels >= 0) & (labels < num_classes)
        if tf.executing_eagerly() and not bool(tf.reduce_all(valid)):
            got = f"{np.ravel(y[~valid])[0]}"
            raise ValueError(_validation.message("y", f"integer labels from 0 to {num_classes - 1}", got))
        return labels

    def log_prob(self, outputs, y):
        """log p(y | x, w), summed over what belongs to one example; NaN for a label that is no class."""
        chosen = tf.one_hot(y, outputs.shape[-1], dtype=outputs.dtype)
        log_prob = tf.reduce_sum(tf.math.multiply_no_nan(tf.nn.log_softmax(outputs), chosen), axis=-1)
        is_class = (y >= 0) & (y < outputs.shape[-1])
        return _sum_over_event(tf.where(is_class, log_prob, tf.constant(np.nan, outputs.dtype)), y)

    def mean(self, outputs):
        """The probabilities of the classes."""
        return tf.nn.softmax(outputs)

    def uncertainty(self, outputs):
        """Total, aleatoric and epistemic entropy of y, in nats."""
        log_probs = tf.nn.log_softmax(outputs)
        total, aleatoric = _entropy(_log_mean_exp(log_probs)), tf.reduce_mean(_entropy(log_probs), axis=0)
        return total, aleatoric, total - aleatoric


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class Bernoulli(Likelihood):
    r"""Independent yes or no, 1 or 0; the network gives a logit f for each.

    .. math::

        -\log p(y \mid x, w) = \sum_d \log(1 + e^{f_d(x, w)}) - y_d f_d(x, w)

    Uncertainties are entropies, in nats, of each target.

    Example:
        >>> round(float(Bernoulli().log_prob(tf.zeros([1, 1]), tf.ones([1, 1]))[0]), 4)
        -0.6931
    """

    def targets(self, y, outputs):
        """One number from 0 to 1 for each logit."""
        return _validation.between("y", _numbers(y, outputs), 0.0, 1.0)

    def log_prob(self, outputs, y):
        """log p(y | x, w), summed over what belongs to one example."""
        return _sum_over_event(y * outputs - tf.nn.softplus(outputs), y)

    def mean(self, outputs):
        """The probabilities of 1."""
        return tf.sigmoid(outputs)

    def uncertainty(self, outputs):
        """Total, aleatoric and epistemic entropy of y, in nats."""
        log_probs = -tf.nn.softplus(tf.stack([-outputs, outputs], axis=-1))
        total, aleatoric = _entropy(_log_mean_exp(log_probs)), tf.reduce_mean(_entropy(log_probs), axis=0)
        return total, aleatoric, total - aleatoric


LIKELIHOODS = {"categorical": Categorical, "bernoulli": Bernoulli}


def find(likelihood):
    """A likelihood by its name, or itself."""
    if isinstance(likelihood, Likelihood):
        return likelihood
    if isinstance(likelihood, str) and likelihood in LIKELIHOODS:
        return LIKELIHOODS[likelihood]()
    expected = '"categorical", "bernoulli", or a likelihood such as likelihoods.Normal(scale)'
    raise ValueError(_validation.message("likelihood", expected, _validation.describe(likelihood)))


def _numbers(y, means):
    """Targets with the width and the shape of the means."""
    return _with_shape(tf.cast(y, means.dtype), means.shape, "one number for each mean or logit")


def _with_shape(y, shape, meaning):
    """The targets, with a last axis of length one put in or left out as the shape says."""
    if y.shape.rank is None:  # as from tf.numpy_function
        y = tf.ensure_shape(y, shape)
    if y.shape.rank == shape.rank - 1 and shape[-1] == 1:
        y = y[..., tf.newaxis]
    elif y.shape.rank == shape.rank + 1 and y.shape[-1] == 1:
        y = y[..., 0]
    return _validation.same_shape("y", y, shape, meaning)


def _sum_over_event(values, y):
    """The sum over all axes but those of draws and the batch; y has shape [batch, *event]."""
    return tf.reduce_sum(values, axis=tuple(range(1 - y.shape.rank, 0)))


def _log_mean_exp(log_probs):
    return tf.reduce_logsumexp(log_probs, axis=0) - math.log(log_probs.shape[0])


def _entropy(log_probs):
    return -tf.reduce_sum(tf.math.multiply_no_nan(log_probs, tf.exp(log_probs)), axis=-1)
