"""Companion package of the course on the reparameterization trick.

``reparameterize`` writes a distribution as z = g(eps, theta); ``gradients`` estimates gradients of
expectations; ``gaussian`` gives the exact answers, by ``quadrature``; ``diagnostics`` compares and audits. ``bounds``
are lower bounds on log p(x), and ``VAE`` (with its parts in ``vae``) is a Keras model that is trained on them.
``bayesian_layers`` are Keras layers with random weights. ``Flow`` is a Keras model made of ``bijectors``; ``flows``
makes whole ones. ``datasets``, ``exercises``, ``plotting``, and the models with exact answers, ``linear_regression``,
``logistic_regression``, ``potentials``, ``probabilistic_pca`` and ``weight_noise``, serve the chapters and are loaded
when first used.
"""

import importlib

from companion import (
    bayesian_layers,
    bijectors,
    bounds,
    diagnostics,
    flows,
    gaussian,
    gradients,
    quadrature,
    reparameterizations,
    seeds,
    vae,
)
from companion._about import __version__ as __version__
from companion.flows import Flow
from companion.reparameterizations import Reparameterization, reparameterize
from companion.vae import VAE

__all__ = [
    "VAE",
    "Flow",
    "Reparameterization",
    "bayesian_layers",
    "bijectors",
    "bounds",
    "datasets",
    "diagnostics",
    "exercises",
    "flows",
    "gaussian",
    "gradients",
    "linear_regression",
    "logistic_regression",
    "plotting",
    "potentials",
    "probabilistic_pca",
    "quadrature",
    "reparameterizations",
    "reparameterize",
    "seeds",
    "vae",
    "weight_noise",
]

_LOADED_WHEN_USED = {
    "datasets",
    "exercises",
    "linear_regression",
    "logistic_regression",
    "plotting",
    "potentials",
    "probabilistic_pca",
    "weight_noise",
}


def __getattr__(name):
    if name in _LOADED_WHEN_USED:
        return importlib.import_module(f"companion.{name}")
    raise AttributeError(f"module 'companion' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
