"""What the encoder's outputs mean: the family of approximate posteriors q(z | x).

Contract: a posterior family is a Keras layer, so that what it learns besides the encoder is trained and saved with the
model. `num_outputs(latent_dim)` says how many numbers the encoder gives for an example; `distribution` makes q(z | x)
from them, a `tfd.Distribution` of event shape [latent_dim] whose noise, by `companion.reparameterize`, is standard
normal; `standard_normal` is the prior in a form whose KL divergence from q TFP knows in closed form, if there is one.
"""

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

__all__ = ["FAMILIES", "DiagonalNormal", "FullCovarianceNormal"]


@keras.saving.register_keras_serializable(package="companion")
class DiagonalNormal(keras.layers.Layer):
    """Mean-field: loc first, then rho, and scale = softplus(rho).

    Example:
        >>> q = DiagonalNormal().distribution(tf.zeros([5, 4]))
        >>> q.batch_shape, q.event_shape
        (TensorShape([5]), TensorShape([2]))
    """

    def num_outputs(self, latent_dim):
        """latent_dim means and latent_dim numbers rho."""
        return 2 * latent_dim

    def distribution(self, outputs):
        """q(z | x) from outputs of shape [batch, 2 latent_dim]."""
        loc, rho = tf.split(outputs, 2, axis=-1)
        smallest = np.finfo(outputs.dtype.as_numpy_dtype).tiny  # where softplus is zero, log scale stays finite
        scale = tf.nn.softplus(rho) + smallest
        return tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=1)

    def standard_normal(self, latent_dim, dtype):
        """N(0, I)."""
        return tfd.Independent(tfd.Normal(tf.zeros([latent_dim], dtype), tf.ones([], dtype)), 1)


@keras.saving.register_keras_serializable(package="companion")
class FullCovarianceNormal(keras.layers.Layer):
    """Any covariance: loc first, then the rows of a lower-triangular factor, softplus on its diagonal.

    Example:
        >>> FullCovarianceNormal().num_outputs(3)
        9
    """

    def num_outputs(self, latent_dim):
        """latent_dim means and latent_dim (latent_dim + 1) / 2 numbers of the factor."""
        return latent_dim + latent_dim * (latent_dim + 1) // 2

    def distribution(self, outputs):
        """q(z | x) from outputs of shape [batch, num_outputs]."""
        latent_dim = next(n for n in range(1, outputs.shape[-1]) if self.num_outputs(n) == outputs.shape[-1])
        loc, entries = outputs[:, :latent_dim], outputs[:, latent_dim:]
        factor = tfb.FillScaleTriL(diag_bijector=tfb.Softplus(), diag_shift=None)
        return tfd.MultivariateNormalTriL(loc, factor.forward(entries))

    def standard_normal(self, latent_dim, dtype):
        """N(0, I)."""
        return tfd.MultivariateNormalDiag(tf.zeros([latent_dim], dtype), tf.ones([latent_dim], dtype))


FAMILIES = {"diagonal": DiagonalNormal, "full_covariance": FullCovarianceNormal}
