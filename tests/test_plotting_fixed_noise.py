"""The interactive figure of the Gaussian: Vega itself, run by node, must compute what the package computes."""

import json

import numpy as np
import pytest
import tensorflow as tf
import vega
from tensorflow_probability import distributions as tfd

from companion import gaussian, gradients, reparameterize
from companion.plotting import InteractiveFigure, fixed_noise

SEED, NUM_SAMPLES = 6, 50
SETTINGS = [
    {"mu": 1.0, "sigma": 1.0, "k": 3.0, "choice": "(z - k)²"},
    {"mu": -0.7, "sigma": 0.4, "k": 1.0, "choice": "(z - k)²"},
    {"mu": 0.4, "sigma": 1.3, "k": 2.0, "choice": "cos(k z)"},
    {"mu": 1.0, "sigma": 0.6, "k": 5.0, "choice": "cos(k z)"},
]


@pytest.fixture(scope="module")
def eps():
    return reparameterize(tfd.Normal(0.0, 1.0)).sample(NUM_SAMPLES, seed=SEED).numpy()


@pytest.fixture(scope="module")
def computed(eps):
    """For each setting, a list of tables: lists of rows."""
    return vega.tables(fixed_noise.gaussian_gradients(eps), SETTINGS)


def rows_with(tables, *fields):
    return next(table for table in tables if table and all(field in table[0] for field in fields))


def chosen(setting):
    k = setting["k"]
    return (lambda z: (z - k) ** 2) if setting["choice"].startswith("(z") else (lambda z: tf.cos(k * z))


@pytest.mark.parametrize("number", range(len(SETTINGS)))
class TestWhatTheReaderSees:
    def test_the_estimates_are_those_of_the_package(self, computed, number):
        setting = SETTINGS[number]
        params = {"loc": setting["mu"], "scale": setting["sigma"]}
        for name, param in {"mu": "loc", "sigma": "scale"}.items():
            for key, estimator in {"pathwise": gradients.pathwise, "score": gradients.score_function}.items():
                estimate = estimator(chosen(setting), tfd.Normal, params, NUM_SAMPLES, seed=SEED)
                wanted = f"{key}_{name}"
                row = next(r for t in computed[number] for r in t if r.get("key") == wanted and "standard_error" in r)
                scale = 1e-3 * (1 + abs(float(estimate.mean[param])))  # float32 and eps in four decimals
                assert row["mean"] == pytest.approx(float(estimate.mean[param]), abs=scale)
                assert row["standard_error"] == pytest.approx(float(estimate.standard_error[param]), rel=2e-3, abs=1e-6)

    def test_the_exact_gradients_are_exact(self, computed, number):
        setting = SETTINGS[number]
        exact = gaussian.gradient(chosen(setting), setting["mu"], setting["sigma"])
        shown = {
            round(r["mean"], 6) for t in computed[number] for r in t if r.get("estimator") == "exact" and "mean" in r
        }
        assert shown == {round(float(value), 6) for value in exact.values()}

    def test_the_curves_are_the_expectation_and_its_sample_mean(self, computed, number, eps):
        setting = SETTINGS[number]
        f = chosen(setting)
        for estimator, truth in {
            "exact": lambda m: gaussian.expectation(f, m, setting["sigma"]),
            "mean over the samples": lambda m: np.mean(f(m + setting["sigma"] * np.round(eps.astype(float), 4))),
        }.items():
            rows = [r for t in computed[number] for r in t if r.get("estimator") == estimator and "m" in r]
            assert len(rows) >= 160
            for row in rows[::40]:
                assert row["value"] == pytest.approx(truth(row["m"]), abs=1e-8)

    def test_the_samples_are_the_noise_moved_and_stretched(self, computed, number, eps):
        setting = SETTINGS[number]
        rows = rows_with(computed[number], "eps", "z", "f")
        expected = setting["mu"] + setting["sigma"] * eps
        assert np.allclose(sorted(row["z"] for row in rows), np.sort(expected), atol=1e-3)


def test_four_panels_fit_a_phone_and_the_data_are_small(eps):
    figure = fixed_noise.gaussian_gradients(eps)
    assert isinstance(figure, InteractiveFigure)
    spec = figure.chart.to_dict()
    assert len(spec["vconcat"]) == 4
    assert all(panel["width"] <= 320 for panel in spec["vconcat"])
    assert len(json.dumps(spec)) < 60_000


def test_every_slider_has_a_readable_label(eps):
    params = fixed_noise.gaussian_gradients(eps).chart.to_dict()["params"]
    assert {p["name"] for p in params} == {"mu", "sigma", "k", "choice"}
    assert all(p["bind"]["name"].strip() for p in params)


def test_the_sliders_start_where_asked():
    spec = fixed_noise.gaussian_gradients(np.array([0.1, -0.3]), loc=-1.0, scale=0.5, k=2.0).chart.to_dict()
    start = {p["name"]: p["value"] for p in spec["params"]}
    assert (start["mu"], start["sigma"], start["k"]) == (-1.0, 0.5, 2.0)
