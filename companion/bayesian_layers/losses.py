"""`NegativeLogLikelihood`: the loss beside which the KL divergence has its right weight."""

import keras
import tensorflow as tf

from companion import _validation
from companion.bayesian_layers import likelihoods

__all__ = ["NegativeLogLikelihood"]


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class NegativeLogLikelihood(keras.losses.Loss):
    r"""The mean over a batch of -log p(y | x, w), as a Keras loss.

    .. math::

        \frac1M\sum_{i=1}^M -\log p(y_i \mid x_i, w)

    It sums over what belongs to one example and averages over examples, with the normalising constant: with the KL
    divergence that Bayesian layers add, the loss of `evaluate` is the negative ELBO per example, in nats. For one label
    an example `keras.losses.SparseCategoricalCrossentropy(from_logits=True)` is the same.

    Args:
        likelihood: "categorical", "bernoulli" or an object of `companion.bayesian_layers.likelihoods`.
        reduction: as in Keras; another than the mean weighs the KL divergence wrongly.
        name: as in Keras.
        dtype: as in Keras; "float64" for a float64 model.

    Raises:
        ValueError: if the likelihood is none, or targets and outputs do not fit.

    Example:
        >>> loss = NegativeLogLikelihood(likelihoods.Normal(scale=0.5))
        >>> round(float(loss(tf.zeros([3, 1]), tf.zeros([3, 1]))), 4)
        0.2258
    """

    def __init__(self, likelihood, reduction="sum_over_batch_size", name="negative_log_likelihood", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.likelihood = likelihoods.find(likelihood)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of a batch; weights and masks are for examples, not for parts of them."""
        mask = getattr(y_pred, "_keras_mask", None)
        for argument, weights in (("mask", mask), ("sample_weight", sample_weight)):
            if weights is not None and any(length != 1 for length in weights.shape[1:]):
                expected = "one weight for each example, since the likelihood sums over what belongs to one"
                raise ValueError(_validation.message(argument, expected, f"shape {list(weights.shape)}"))
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        """-log p(y | x, w) of every example, shape [batch]."""
        y_pred = tf.convert_to_tensor(y_pred)
        return -self.likelihood.log_prob(y_pred, self.likelihood.targets(y_true, y_pred))

    def get_config(self):
        """What `from_config` needs."""
        return {
            **super().get_config(),
            "dtype": self.dtype,
            "likelihood": keras.saving.serialize_keras_object(self.likelihood),
        }

    @classmethod
    def from_config(cls, config):
        """A loss with the configuration of another."""
        return cls(**{**config, "likelihood": keras.saving.deserialize_keras_object(config["likelihood"])})
