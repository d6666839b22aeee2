"""A VAE with one affine layer on each side, as a `companion.VAE` and as exact formulas in TensorFlow."""

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from companion import VAE, vae


def from_pca(pca, posterior_family="diagonal", **options):
    """The VAE whose decoder is a `ProbabilisticPCA` and whose encoder gives its best posterior."""
    model = untrained(
        pca.data_dim, pca.latent_dim, vae.Gaussian(pca.noise_scale, dtype="float64"), posterior_family, **options
    )
    model.build((None, pca.data_dim))
    model.decoder.set_weights([pca.loadings.T, pca.mean])
    slope, offset = pca.encoder()
    numbers = model.posterior_family.num_outputs(pca.latent_dim) - pca.latent_dim
    if posterior_family == "diagonal":
        rho = softplus_inverse(pca.best_diagonal_posterior(np.zeros([1, pca.data_dim])).scale)
    else:
        factor = np.linalg.cholesky(pca.posterior(np.zeros([1, pca.data_dim])).covariance)
        np.fill_diagonal(factor, softplus_inverse(np.diag(factor)))
        rho = tfb.FillTriangular().inverse(factor).numpy()
    kernel = np.concatenate([slope.T, np.zeros([pca.data_dim, numbers])], axis=1)
    model.encoder.set_weights([kernel, np.concatenate([offset, rho])])
    return model


def untrained(data_dim, latent_dim, likelihood="gaussian", posterior_family="diagonal", **options):
    """A linear VAE in float64."""
    outputs = vae.DiagonalNormal().num_outputs(latent_dim)
    if posterior_family == "full_covariance":
        outputs = vae.FullCovarianceNormal().num_outputs(latent_dim)
    dense = {"dtype": "float64", "kernel_initializer": keras.initializers.GlorotUniform(seed=1)}
    encoder, decoder = keras.layers.Dense(outputs, **dense), keras.layers.Dense(data_dim, **dense)
    given = {"likelihood": likelihood, "posterior_family": posterior_family, "dtype": "float64", "seed": 0, **options}
    return VAE(encoder, decoder, latent_dim, **given)


def exact_elbo(model, x):
    """The ELBO of each example as a function of the model's weights, differentiable."""
    loc, rho = tf.split(model.encoder(x), 2, axis=1)
    scale, noise = tf.nn.softplus(rho), model.likelihood.scale
    kernel = tf.convert_to_tensor(model.decoder.kernel)  # (latent_dim, data_dim)
    squares = tf.reduce_sum((x - model.decoder(loc)) ** 2, axis=1)
    squares += tf.reduce_sum(scale**2 * tf.reduce_sum(kernel**2, axis=1), axis=1)
    fit = -squares / (2 * noise**2) - x.shape[1] * (tf.math.log(noise) + 0.5 * np.log(2 * np.pi))
    return fit - 0.5 * tf.reduce_sum(loc**2 + scale**2 - 1 - 2 * tf.math.log(scale), axis=1)


def softplus_inverse(y):
    return y + np.log(-np.expm1(-y))
