"""What all programs train: one VAE, the same data, initial weights and optimizer; and the check of what they end with.

The net is input-hidden-latent-hidden-input with rectified linear units; the encoder gives loc and rho, scale =
softplus(rho); the likelihood is Bernoulli, the KL analytic, the noise one sample an example; Adam, 1e-3. Weights are a
list [kernel, bias, ...] in the order of the layers, kernels of shape [inputs, outputs].
"""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

LEARNING_RATE, EPSILON = 1e-3, 1e-7


class Problem(NamedTuple):
    """Binary data [examples, inputs], the widths, and how the programs go through them."""

    title: str
    x: np.ndarray
    hidden: int
    latent: int
    batch: int
    epochs: int
    tolerance: float  # of the ELBO after `epochs` epochs, in nats: five times its deviation among seeds

    @property
    def steps(self):
        """Steps of an epoch."""
        return len(self.x) // self.batch

    @property
    def layers(self):
        """(inputs, outputs) of the four layers."""
        d = self.x.shape[1]
        return [(d, self.hidden), (self.hidden, 2 * self.latent), (self.latent, self.hidden), (self.hidden, d)]

    @property
    def flop(self):
        """Floating-point operations of a step's matrix products: one forward, two backward, none to the data."""
        products = [2 * self.batch * inputs * outputs for inputs, outputs in self.layers]
        return 3 * sum(products) - products[0]

    def weights(self):
        """The initial weights: Glorot's, and zeros."""
        rng = np.random.default_rng(0)
        weights = []
        for inputs, outputs in self.layers:
            limit = np.sqrt(6.0 / (inputs + outputs))
            kernel = rng.uniform(-limit, limit, [inputs, outputs])
            weights += [kernel.astype(np.float32), np.zeros(outputs, np.float32)]
        return weights

    def elbo(self, weights):
        """The mean ELBO of the data, in nats, in float64 and with noise that is the same for all programs."""
        w = [np.asarray(part, np.float64) for part in weights]
        x = np.asarray(self.x, np.float64)
        loc, rho = np.split(_two_layers(x, w[:4]), 2, axis=1)
        scale = np.logaddexp(rho, 0.0)
        eps = np.random.default_rng(1).standard_normal(loc.shape)
        logits = _two_layers(loc + scale * eps, w[4:])
        reconstruction = (x * logits - np.logaddexp(logits, 0.0)).sum(axis=1)
        kl = (0.5 * (loc**2 + scale**2 - 1.0) - np.log(scale)).sum(axis=1)
        return (reconstruction - kl).mean()


def step():
    """784-400-20-400-784 at batch 128, on noisy copies of ten random binary patterns."""
    rng = np.random.default_rng(0)
    patterns = rng.random([10, 784]) < 0.5
    x = patterns[rng.integers(10, size=12_800)] ^ (rng.random([12_800, 784]) < 0.1)
    title = "one step of 784-400-20-400-784 at batch 128"
    return Problem(title, x.astype(np.float32), hidden=400, latent=20, batch=128, epochs=3, tolerance=1.0)


def digits():
    """scikit-learn's digits, black or white, for 50 epochs."""
    x = (load_digits().data[:1500] >= 8.0).astype(np.float32)
    title = "50 epochs of 64-128-8-128-64 on 1500 digits at batch 100"
    return Problem(title, x, hidden=128, latent=8, batch=100, epochs=50, tolerance=0.2)


PROBLEMS = {"step": step, "digits": digits}


def _two_layers(x, weights):
    w, b, v, c = weights
    return np.maximum(x @ w + b, 0.0) @ v + c
