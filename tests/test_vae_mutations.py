"""Planted errors in the VAE's own source, those that public code has; each must fail a law.

The laws are closed forms of the linear VAE, with both forms of the KL term, and the weighted bound at the exact
posterior.
"""

import importlib
import inspect
import types

import linear_vae
import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_mean
from test_vae import pca_of

COPIES, FEW = 2000, 4

# name: (module, what stands there, what is planted)
PLANTED = {
    "doubled KL in the loss": ("terms", "Terms(beta * divergence -", "Terms(2.0 * beta * divergence -"),
    "doubled KL in the metric": ("terms", "reconstruction, divergence)", "reconstruction, 2.0 * divergence)"),
    "doubled sampled KL": ("terms", "divergence = log_q - prior", "divergence = 2.0 * log_q - 2.0 * prior"),
    "KL with the wrong sign": ("terms", "log_q - prior.log_prob(z)\n", "prior.log_prob(z) - log_q\n"),
    "prior forgotten in the weights": ("terms", "log_likelihood(z) + prior.log_prob(z)", "log_likelihood(z)"),
    "mean over pixels": ("likelihoods", "tf.reduce_sum(values, axis=range", "tf.reduce_mean(values, axis=range"),
    "squared error for the likelihood": ("likelihoods", "-0.5 * tf.exp(-2.0 * log_scale) * _sum", "-0.5 * _sum"),
    "scale for variance": ("likelihoods", "tf.exp(-2.0 * log_scale)", "tf.exp(-1.0 * log_scale)"),
    "constant dropped": ("likelihoods", "** 2, x) - constant", "** 2, x)"),
    "log-variance as standard deviation": ("posteriors", "tf.nn.softplus(rho)", "tf.exp(rho)"),
    "log-variance twice": ("posteriors", "tf.nn.softplus(rho)", "tf.nn.softplus(rho) ** 2"),
    "halves exchanged": ("posteriors", "loc, rho = tf.split", "rho, loc = tf.split"),
    "noise of a hundredth": ("model", "tf.math.ndtri(u)", "0.01 * tf.math.ndtri(u)"),
    "mean for a sample": ("model", "tf.math.ndtri(u)", "0.0 * tf.math.ndtri(u)"),
    "noise with a mean": ("model", "tf.math.ndtri(u)", "0.1 + tf.math.ndtri(u)"),
    "noise shared by an example's samples": (
        "model",
        "return tf.transpose(eps, [1, 0, 2])",
        "return tf.transpose(eps[:, :1] + 0 * eps, [1, 0, 2])",
    ),
}


def plant(name, monkeypatch):
    """Puts the functions and methods of the planted source in the place of those in use."""
    module, there, instead = PLANTED[name]
    real = importlib.import_module(f"companion.vae.{module}")
    source = inspect.getsource(real)
    assert there in source, f"the planted error has lost its place: {there}"
    source = source.replace('@keras.saving.register_keras_serializable(package="companion")\n', "")
    changed = types.ModuleType(real.__name__)
    exec(compile(source.replace(there, instead), module, "exec"), changed.__dict__)
    for attribute, value in vars(changed).items():
        if inspect.isfunction(value) and value.__module__ == real.__name__:
            monkeypatch.setattr(real, attribute, value)
        elif inspect.isclass(value) and value.__module__ == real.__name__ and not issubclass(value, tuple):
            for method, function in vars(value).items():
                if inspect.isfunction(function) and "__class__" not in function.__code__.co_freevars:
                    monkeypatch.setattr(getattr(real, attribute), method, function)


def check_laws():
    x, pca = pca_of("wine")
    x = x[:FEW]
    copies = tf.constant(np.repeat(x, COPIES, axis=0))
    exact = pca.elbo(x, *pca.best_diagonal_posterior(x))
    for kl in ("analytic", "sampled"):
        model = linear_vae.from_pca(pca, kl=kl)
        terms = model.terms(copies, model.noise(0, len(copies), 2, model.evaluation_seed))
        for values in (-terms.loss, terms.elbo):
            assert_mean(values.numpy().reshape(FEW, COPIES).T, exact, shared_among=10)
    loose = linear_vae.from_pca(pca, objective="importance_weighted", num_samples=8)
    terms = loose.terms(copies, loose.noise(0, len(copies), 8, loose.evaluation_seed))
    lost = np.repeat(pca.log_marginal(x), COPIES) + terms.loss.numpy()
    assert lost.mean() < pca.gap / 2 - 4 * lost.std() / np.sqrt(len(lost))  # eight samples are worth more than one
    weighted = linear_vae.from_pca(pca, "full_covariance", objective="importance_weighted", num_samples=3)
    terms = weighted.terms(copies[:COPIES], weighted.noise(0, COPIES, 3, weighted.evaluation_seed))
    np.testing.assert_allclose(-terms.loss, pca.log_marginal(x)[0], atol=1e-9)


def test_the_source_as_it_stands_keeps_the_laws():
    check_laws()


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_error_is_found(name, monkeypatch):
    plant(name, monkeypatch)
    with pytest.raises(AssertionError):
        check_laws()
