"""Whether this installation computes what it should: a few quick comparisons with exact answers.

Contract: a check takes nothing, has a fixed seed, and raises `Mismatch` if a number is not what it must be.
"""

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import bayesian_layers, bijectors, flows, gaussian, gradients, probabilistic_pca, vae


class Mismatch(Exception):
    """A number is not what it must be."""


class Result(NamedTuple):
    """What became of a check.

    Attributes:
        name: what was checked.
        problem: None, or what is wrong, in words.
        seconds: how long it took.
    """

    name: str
    problem: str | None
    seconds: float


def gradient_of_a_gaussian():
    """The pathwise gradient of E sin(3 z) lies within five standard errors of the exact one."""
    params = {"loc": 0.5, "scale": 0.8}
    estimate = gradients.pathwise(lambda z: tf.sin(3 * z), tfd.Normal, params, num_samples=10_000, seed=0)
    exact = gaussian.gradient(lambda z: np.sin(3 * z), **params)
    for name, value in exact.items():
        _require(f"the gradient in {name}", estimate.mean[name], value, 5 * estimate.standard_error[name])


def map_and_its_inverse():
    """A coupling's inverse undoes it, and its log-determinant is that of the Jacobian."""
    coupling = bijectors.AffineCoupling(3, hidden=[8], seed=0, dtype="float64")
    x = tf.constant([[0.3, -1.2, 2.0], [-0.7, 0.1, 0.4]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y, log_det = coupling.forward_and_log_det(x)
    jacobian = tape.batch_jacobian(y, x)
    _require("the inverse of the map", coupling.inverse(y), x, 1e-12)
    _require("the log-determinant", log_det, np.linalg.slogdet(jacobian)[1], 1e-12)


def bound_of_a_linear_vae():
    """The ELBO is log p(x) less the KL divergence of q(z) from the exact posterior, and so below log p(x)."""
    exact = probabilistic_pca.ProbabilisticPCA([[1.0], [-2.0], [0.5]], mean=[0.0, 1.0, 0.0], noise_scale=0.7)
    dense = {"dtype": "float64", "kernel_initializer": keras.initializers.GlorotUniform(seed=0)}
    encoder, decoder = keras.layers.Dense(2, **dense), keras.layers.Dense(3, **dense)
    likelihood = vae.Gaussian(exact.noise_scale, dtype="float64")
    model = vae.VAE(encoder, decoder, latent_dim=1, likelihood=likelihood, dtype="float64", seed=0)
    model.build((None, 3))
    decoder.set_weights([exact.loadings.T, exact.mean])
    x = np.array([[0.8, -0.3, 0.4]])
    samples = model.elbo(np.repeat(x, 10_000, axis=0), num_samples=1, seed=0).numpy()
    standard_error = samples.std(ddof=1) / np.sqrt(len(samples))
    log_marginal, posterior = exact.log_marginal(x)[0], exact.posterior(x)
    q, p = model.posterior(x), tfd.Normal(posterior.loc, np.sqrt(posterior.covariance))
    gap = tf.reduce_sum(tfd.kl_divergence(tfd.Normal(q.mean(), q.stddev()), p))
    _require("the ELBO", samples.mean(), log_marginal - gap, 5 * standard_error)
    if not samples.mean() < log_marginal:
        raise Mismatch(f"the ELBO is {samples.mean():.6g}, expected less than log p(x) = {log_marginal:.6g}")


def divergence_of_a_bayesian_layer():
    """A layer's KL divergence is the sum over its weights of those that TensorFlow Probability knows."""
    layer = bayesian_layers.DenseReparameterization(4, prior=tfd.Normal(0.0, 0.5), num_examples=1, seed=0)
    layer.build((None, 3))
    posterior, prior = layer.posterior.model, layer.prior.model
    terms = [tf.reduce_sum(tfd.kl_divergence(posterior[name], prior[name])) for name in posterior]
    _require("the KL divergence", layer.kl_divergence(), sum(terms), 1e-5 * sum(terms))


def flow_saved_and_loaded():
    """A flow that was saved and loaded gives the same densities."""
    flow = flows.coupling_flow(2, layers=2, hidden=[8], seed=0)
    x = flow.sample(5, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flow.keras"
        flow.save(path)
        loaded = keras.models.load_model(path)
    _require("log q(x)", loaded.log_prob(x), flow.log_prob(x), 1e-6)


CHECKS = {
    "pathwise gradient of a Gaussian expectation": gradient_of_a_gaussian,
    "bijector, its inverse and its log-determinant": map_and_its_inverse,
    "ELBO of a linear VAE": bound_of_a_linear_vae,
    "KL divergence of a Bayesian layer": divergence_of_a_bayesian_layer,
    "saving and loading a flow": flow_saved_and_loaded,
}


def run(checks):
    """The result of each of some checks, one after the other, whatever becomes of those before."""
    for name, check in checks.items():
        start, problem = time.perf_counter(), None
        try:
            check()
        except Exception as error:  # on a broken installation any kind is possible, and the other checks still tell
            problem = str(error) if isinstance(error, Mismatch) else f"{type(error).__name__}: {error}"
        yield Result(name, problem, time.perf_counter() - start)


def _require(what, got, exact, tolerance):
    got, exact = np.asarray(got, dtype=float), np.asarray(exact, dtype=float)
    if not np.all(np.abs(got - exact) <= np.asarray(tolerance)):
        raise Mismatch(f"{what} is {got.tolist()}, expected {exact.tolist()}")
