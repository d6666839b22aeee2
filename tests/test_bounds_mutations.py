"""Planted errors in the bounds' own source, each of which a law must find: those that public code has.

The unchanged source passes the same laws. (The stop-gradients on factors of a zero, such as z - stop_gradient(z), spare
the tape work; dropping one changes no first derivative.)
"""

import importlib
import inspect
import types
from functools import partial

import gaussian_latents as model
import numpy as np
import pytest
from calibration import assert_mean

MEMBERS = 20_000

# name: (module, what stands there, what is planted)
PLANTED = {
    "dropped stop-gradient on log q": ("samples", "z, tf.stop_gradient(log_q) + along", "z, log_q + along"),
    "dropped stop-gradient on the samples of the score": ("samples", "fixed = tf.stop_gradient(z)", "fixed = z"),
    "path with the wrong sign": ("samples", "(z - tf.stop_gradient(z))", "(tf.stop_gradient(z) - z)"),
    "score forgotten": ("elbo", "values = values + score(values, log_q)", "values = values"),
    "sum for mean": ("elbo", "tf.reduce_mean(values, axis=0)", "tf.reduce_sum(values, axis=0)"),
    "entropy with the wrong sign": (
        "elbo",
        "evaluate(log_joint, z, log_q) - log_q)",
        "evaluate(log_joint, z, log_q) + log_q)",
    ),
    "mean of logs for log of mean": (
        "importance_weighted",
        "bound = tf.reduce_logsumexp(log_weights, axis=0)",
        "bound = tf.reduce_mean(log_weights, axis=0) + math.log(log_weights.shape[0])",
    ),
    "number of samples forgotten": ("importance_weighted", "bound - math.log(log_weights.shape[0])", "bound"),
    "weights not squared": ("importance_weighted", "weights**2 * path", "weights * path"),
    "weights normalised over the batch": (
        "importance_weighted",
        "tf.nn.softmax(log_weights, axis=0)",
        "tf.nn.softmax(log_weights, axis=1)",
    ),
    "log q left in theta's path": ("importance_weighted", "log_p - tf.stop_gradient(log_q)", "log_p - log_q"),
    "slope of log p alone": ("importance_weighted", "slope = log_p - log_q", "slope = log_p"),
    "score of one sample only": (
        "importance_weighted",
        "tf.reduce_sum(score(bound, log_q), axis=0)",
        "score(bound, log_q)[0]",
    ),
}


def planted(name):
    """The bounds as the planted source has them."""
    modules = {}
    for module in ("samples", "elbo", "importance_weighted"):  # in the order in which they need each other
        real = importlib.import_module(f"companion.bounds.{module}")
        source = inspect.getsource(real)
        if name and PLANTED[name][0] == module:
            _, there, instead = PLANTED[name]
            assert source.count(there) == 1, f"the planted error has lost its place: {there}"
            source = source.replace(there, instead)
        changed = modules[module] = types.ModuleType(real.__name__)
        exec(compile(source, module, "exec"), changed.__dict__)
        changed.__dict__.update({k: v for k, v in vars(modules["samples"]).items() if k in changed.__dict__})
    return modules["elbo"].elbo, modules["importance_weighted"].importance_weighted


def check_laws(elbo, importance_weighted):
    """Values and gradients of every choice, at K = 1 and 2, against quadrature; the variance that must be zero."""
    params = model.members(model.POINT, MEMBERS)
    kinds = [(elbo, 2, 1, g) for g in ("pathwise", "sticking_the_landing", "score_function")]
    kinds += [(importance_weighted, 2, 2, g) for g in ("pathwise", "doubly_reparameterized", "score_function")]
    for bound, num_samples, of_bound, gradient in kinds:
        wanted, slopes = model.exact_bound(of_bound, model.POINT)
        estimate = partial(bound, num_samples=num_samples, seed=1, gradient=gradient)
        value, found = model.differentiate(estimate, params)
        assert_mean(value, wanted, shared_among=24)
        for name, slope in slopes.items():
            assert_mean(found[name], slope, shared_among=24)
    few = model.members(model.EXACT_POSTERIOR, 50)
    for bound, gradient in ((elbo, "sticking_the_landing"), (importance_weighted, "doubly_reparameterized")):
        _, found = model.differentiate(partial(bound, num_samples=2, seed=1, gradient=gradient), few)
        np.testing.assert_allclose([found["loc"], found["scale"]], 0.0, atol=1e-12)


def test_the_source_as_it_stands_keeps_the_laws():
    check_laws(*planted(None))


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_error_is_found(name):
    with pytest.raises((AssertionError, ValueError)):
        check_laws(*planted(name))
