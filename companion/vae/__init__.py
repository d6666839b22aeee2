"""A variational autoencoder as a plain `keras.Model`, and its exchangeable parts.

`VAE` is the model; `likelihoods` and `posteriors` say what the decoder's and the encoder's outputs mean; `networks`
makes default nets from widths; `BetaSchedule` warms the KL term up.
"""

from companion.vae.likelihoods import Bernoulli, Gaussian
from companion.vae.model import VAE
from companion.vae.posteriors import DiagonalNormal, FullCovarianceNormal
from companion.vae.schedules import BetaSchedule

__all__ = ["VAE", "Bernoulli", "BetaSchedule", "DiagonalNormal", "FullCovarianceNormal", "Gaussian"]
