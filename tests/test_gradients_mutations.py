"""Planted errors in the estimators' own source, each of which a law must find.

`make mutants` tries hundreds of small changes; these are the ones that people make, kept where every run of the tests
sees them: a sign, a baseline that meets its own sample, a sigma too many, a sample inside the tape, a coupling with the
wrong law. The unchanged source passes the same laws.
"""

import importlib
import inspect
import types

import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_mean, assert_variance
from tensorflow_probability import distributions as tfd

from companion import gaussian, gradients

MEMBERS, FEW = 40_000, 4  # separate problems, each with few samples: where a bias of 1 / num_samples shows
LOC, SCALE = 0.4, 1.5
RATE = 1.5

# name: (module, what stands there, what is planted)
PLANTED = {
    "baseline with the wrong sign": ("score_function", "values - _baseline(", "-values - _baseline("),
    "leave one out that leaves none out": (
        "score_function",
        "(tf.reduce_sum(values, axis=0) - values) / (n - 1)",
        "tf.reduce_sum(values, axis=0) / n",
    ),
    "optimal baseline from the same half": (
        "score_function",
        "(slice(half, None), slice(None, half))",
        "(slice(None, half), slice(half, None))",
    ),
    "score of a sample inside the tape": ("score_function", "(**rows), z)", "(**rows), problem.draw(rows))"),
    "path cut": (
        "pathwise",
        "problem.draw(rows)",
        "tf.stop_gradient(problem.draw(rows)) + 0 * rows['loc'] * rows['scale']",
    ),
    "step with the wrong sign": ("weak_derivatives", "loc - scale * left", "loc + scale * left"),
    "sigma squared for sigma": ("weak_derivatives", "1.0 / (scale * math.sqrt", "1.0 / (scale**2 * math.sqrt"),
    "constant forgotten": (
        "weak_derivatives",
        "WeakDerivative(scale, 1.0 / scale,",
        "WeakDerivative(scale, scale / scale,",
    ),
    "rayleigh without its two": ("weak_derivatives", "tf.sqrt(-2.0 * tf.math.log", "tf.sqrt(-tf.math.log"),
    "maxwell of two normals": ("weak_derivatives", "eps**2 + rayleigh(length_seed) ** 2", "rayleigh(length_seed) ** 2"),
    "maxwell on one side": ("weak_derivatives", "tf.sign(eps) * tf.sqrt", "tf.sqrt"),
    "coupling that shares nothing": (
        "weak_derivatives",
        "right if coupled else",
        "rayleigh(left_seed) if coupled else",
    ),
    "coupling of the scale that shares nothing": (
        "weak_derivatives",
        "(plain - loc) / scale if coupled",
        "0 * scale + standard_normal(shape, dtype).sample(seed=other_seed) if coupled",
    ),
    "exponential that does not wait": (
        "weak_derivatives",
        "None, start + _wait(d, rate, more_seed))]\n\n\ndef _gamma",
        "None, start)]\n\n\ndef _gamma",
    ),
    "plain side with the wrong sign": (
        "measure_valued",
        "- _moved(problem, z, values, d.negative)",
        "+ _moved(problem, z, values, d.negative)",
    ),
    "difference with the wrong sign": ("finite_difference", "- total(-shift", "+ total(-shift"),
    "difference over one step": ("finite_difference", "/ (2.0 * h)", "/ h"),
}


def square(z):
    return z**2


def planted(name, monkeypatch):
    """The estimators as the planted source has them."""
    module_name, there, instead = PLANTED[name] if name else ("score_function", "", "")
    modules = {m: importlib.import_module(f"companion.gradients.{m}") for m in (module_name, "measure_valued")}
    source = inspect.getsource(modules[module_name])
    assert not there or source.count(there) == 1, f"the planted error has lost its place: {there}"
    changed = types.ModuleType(modules[module_name].__name__)
    exec(compile(source.replace(there, instead) if there else source, module_name, "exec"), changed.__dict__)
    if module_name == "weak_derivatives":
        monkeypatch.setattr(modules["measure_valued"], "decompose", changed.decompose)
        return gradients
    estimators = types.SimpleNamespace(**{e: getattr(gradients, e) for e in gradients.__all__})
    setattr(estimators, module_name, getattr(changed, module_name))
    return estimators


def check_laws(estimators):
    """The laws, at a few problems: right means with few samples a problem, right means and variances with many."""
    exact = gaussian.gradient(square, LOC, SCALE)
    many = {
        "loc": tf.fill([MEMBERS], tf.constant(LOC, tf.float64)),
        "scale": tf.fill([MEMBERS], tf.constant(SCALE, tf.float64)),
    }
    for baseline in ("leave_one_out", "optimal", None):
        estimate = estimators.score_function(square, tfd.Normal, many, FEW, 1, baseline)
        for name, gradient in exact.items():
            assert_mean(estimate.mean[name].numpy(), gradient, shared_among=20)
    one = {"loc": tf.constant(LOC, tf.float64), "scale": tf.constant(SCALE, tf.float64)}
    for estimator in (estimators.pathwise, estimators.measure_valued, estimators.finite_difference):
        estimate = estimator(square, tfd.Normal, one, MEMBERS, 1)
        for name, gradient in exact.items():
            assert_mean(estimate.samples[name].numpy(), gradient, shared_among=20)
            if estimator is estimators.measure_valued:
                variance = gaussian.gradient_variance(square, LOC, SCALE, "measure_valued")[name]
                assert_variance(estimate.samples[name].numpy(), variance, shared_among=20)
    waiting = estimators.measure_valued(square, tfd.Exponential, {"rate": np.float64(RATE)}, MEMBERS, 1)
    assert_mean(waiting.samples["rate"].numpy(), -4 / RATE**3, shared_among=20)


def test_the_source_as_it_stands_keeps_the_laws(monkeypatch):
    check_laws(planted(None, monkeypatch))


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_error_is_found(name, monkeypatch):
    with pytest.raises((AssertionError, ValueError)):
        check_laws(planted(name, monkeypatch))
