"""The self-check: it passes here, and every check finds an error planted where it looks."""

import keras
import pytest
import tensorflow as tf

from companion import _self_check, bayesian_layers, bijectors, flows, gaussian, probabilistic_pca, vae

# For each check, a thing it relies on and a wrong one in its place.
PLANTED = {
    "gradient_of_a_gaussian": (gaussian, "gradient", lambda f, loc, scale: {"loc": 0.0, "scale": 0.0}),
    "map_and_its_inverse": (bijectors.AffineCoupling, "inverse", lambda self, y: y),
    "bound_of_a_linear_vae": (vae.VAE, "elbo", lambda self, x, num_samples, seed: tf.cast(tf.range(-20, -10), x.dtype)),
    "divergence_of_a_bayesian_layer": (bayesian_layers.DenseReparameterization, "kl_divergence", lambda self: 1.0),
    "flow_saved_and_loaded": (keras.models, "load_model", lambda path: flows.coupling_flow(2, seed=1)),
}


@pytest.mark.parametrize("check", _self_check.CHECKS.values(), ids=lambda check: check.__name__)
def test_check_passes_and_finds_a_planted_error(monkeypatch, check):
    check()
    monkeypatch.setattr(*PLANTED[check.__name__])
    with pytest.raises(_self_check.Mismatch, match=r"is .*, expected "):
        check()


def test_a_wrong_log_determinant_is_found(monkeypatch):
    right = bijectors.AffineCoupling.forward_and_log_det

    def wrong(self, x):
        y, log_det = right(self, x)
        return y, 1.001 * log_det

    monkeypatch.setattr(bijectors.AffineCoupling, "forward_and_log_det", wrong)
    with pytest.raises(_self_check.Mismatch, match="the log-determinant is"):
        _self_check.map_and_its_inverse()


def test_a_bound_above_the_log_likelihood_is_found(monkeypatch):
    monkeypatch.setattr(_self_check, "_require", lambda *arguments: None)
    monkeypatch.setattr(probabilistic_pca.ProbabilisticPCA, "log_marginal", lambda self, x: [-100.0])
    with pytest.raises(_self_check.Mismatch, match="expected less than"):
        _self_check.bound_of_a_linear_vae()


def test_a_number_that_is_not_one_is_found():
    with pytest.raises(_self_check.Mismatch, match="the sum is nan, expected 1"):
        _self_check._require("the sum", float("nan"), 1.0, 1e-3)


def test_failures_are_told_and_the_rest_still_runs():
    def wrong():
        raise _self_check.Mismatch("the sum is 2, expected 1")

    def broken():
        raise OSError("no space left")

    results = list(_self_check.run({"a": wrong, "b": broken, "c": lambda: None}))
    assert [(result.name, result.problem) for result in results] == [
        ("a", "the sum is 2, expected 1"),
        ("b", "OSError: no space left"),
        ("c", None),
    ]
    assert all(result.seconds >= 0 for result in results)
