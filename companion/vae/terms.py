"""The terms of a VAE's bounds for a batch of examples.

Contract: every term is a tensor of one number an example, in nats. `loss` has the gradient that was asked for; the
others are what is reported.
"""

from typing import NamedTuple

import tensorflow as tf

from companion.bounds import samples
from companion.bounds.elbo import mean
from companion.bounds.importance_weighted import at_samples

__all__ = ["Terms", "elbo", "importance_weighted"]


class Terms(NamedTuple):
    """The loss, and the two terms of the ELBO whose difference is the ELBO."""

    loss: tf.Tensor
    reconstruction: tf.Tensor
    kl: tf.Tensor

    @property
    def elbo(self):
        """reconstruction - kl."""
        return self.reconstruction - self.kl

    def stacked(self):
        """loss, elbo, reconstruction, kl: shape [4, batch]."""
        return tf.stack([self.loss, self.elbo, self.reconstruction, self.kl])


def elbo(log_likelihood, prior, posterior, z, gradient, kl, beta):
    """Minus the ELBO with the KL term times beta.

    Args:
        log_likelihood: log p(x | z), [num_samples, batch], as a function of z, [num_samples, batch, latent_dim].
        prior: p(z).
        posterior: q(z | x).
        z: samples of it.
        gradient: as for `companion.bounds.elbo`.
        kl: "analytic" or "sampled".
        beta: the weight of the KL term, a scalar.

    Returns:
        The `Terms`.
    """
    z, log_q = samples.log_density(posterior, z, gradient)
    fit = log_likelihood(z)
    if kl == "analytic":
        divergence = posterior.kl_divergence(prior)
        reconstruction = mean(fit, log_q, gradient)
        return Terms(beta * divergence - reconstruction, reconstruction, divergence)
    divergence = log_q - prior.log_prob(z)
    loss = -mean(fit - beta * divergence, log_q, gradient)
    return Terms(loss, tf.reduce_mean(fit, axis=0), tf.reduce_mean(divergence, axis=0))


def importance_weighted(log_likelihood, prior, posterior, z, gradient):
    """Minus the importance-weighted bound, and the ELBO's terms from the same samples. Arguments as for `elbo`."""
    bound, log_weights = at_samples(lambda z: log_likelihood(z) + prior.log_prob(z), posterior, z, gradient)
    divergence = tf.reduce_mean(posterior.log_prob(z) - prior.log_prob(z), axis=0)
    return Terms(-bound, tf.reduce_mean(log_weights, axis=0) + divergence, divergence)
