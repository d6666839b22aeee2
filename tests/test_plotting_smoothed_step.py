"""The interactive figure of a smoothed step: Vega itself, run by node, must compute what the package computes."""

import json

import numpy as np
import pytest
import tensorflow as tf
import vega
from scipy import stats
from tensorflow_probability import distributions as tfd

from companion import gaussian, gradients, reparameterize
from companion.plotting import InteractiveFigure, smoothed_step

SEED, NUM_SAMPLES = 4, 100
SETTINGS = [
    {"log_t": -0.5, "mu": 0.5},
    {"log_t": 0.4, "mu": -0.7},
    {"log_t": -2.0, "mu": 1.2},
    {"log_t": -4.0, "mu": 0.5},
]


@pytest.fixture(scope="module")
def eps():
    return reparameterize(tfd.Normal(np.float64(0.0), np.float64(1.0))).sample(NUM_SAMPLES, seed=SEED).numpy()


@pytest.fixture(scope="module")
def computed(eps):
    """For each setting, all rows of all tables."""
    return [[row for table in tables for row in table] for tables in vega.tables(smoothed_step.explorer(eps), SETTINGS)]


def smoothed(log_t):
    return lambda z: tf.sigmoid((z - 1.0) / 10.0**log_t)


def labelled(rows, estimator):
    return next(r for r in rows if r.get("estimator") == estimator and "label" in r)


@pytest.mark.parametrize("number", range(len(SETTINGS)))
class TestWhatTheReaderSees:
    def test_the_estimate_and_its_standard_error_are_those_of_the_package(self, computed, eps, number):
        log_t, mu = SETTINGS[number].values()
        z = np.round(eps, 4) + mu
        with tf.GradientTape() as tape:
            points = tf.constant(z)
            tape.watch(points)
            values = smoothed(log_t)(points)
        slopes = tape.gradient(values, points).numpy()
        row = labelled(computed[number], "pathwise")
        assert row["gradient"] == pytest.approx(slopes.mean(), rel=1e-6, abs=1e-12)
        assert row["error"] == pytest.approx(slopes.std(ddof=1) / np.sqrt(NUM_SAMPLES), rel=1e-6, abs=1e-12)
        assert row["high"] - row["low"] == pytest.approx(4 * row["error"])
        if log_t > -2:
            params = {"loc": np.float64(mu), "scale": np.float64(1.0)}
            estimate = gradients.pathwise(smoothed(log_t), tfd.Normal, params, NUM_SAMPLES, seed=SEED)
            assert row["gradient"] == pytest.approx(float(estimate.mean["loc"]), abs=1e-3)

    def test_the_exact_gradients_are_exact(self, computed, number):
        log_t, mu = SETTINGS[number].values()
        exact = gaussian.gradient(smoothed(log_t), mu, 1.0)["loc"] if log_t > -3 else stats.norm.pdf(1.0 - mu)
        assert labelled(computed[number], "exact, smoothed")["gradient"] == pytest.approx(exact, abs=1e-5)
        assert labelled(computed[number], "exact, step")["gradient"] == pytest.approx(stats.norm.pdf(1.0 - mu))

    def test_the_curves_hold_the_number_at_the_slider(self, computed, number):
        log_t = SETTINGS[number]["log_t"]
        for estimator in ("pathwise", "exact, smoothed"):
            curve = [r for r in computed[number] if r.get("estimator") == estimator and "label" not in r]
            assert len(curve) == 61
            near = min(curve, key=lambda r: abs(r["log_tau"] - log_t))
            if log_t > -1:
                assert near["gradient"] == pytest.approx(labelled(computed[number], estimator)["gradient"], abs=0.02)


def test_the_estimate_ends_at_zero_with_no_error_and_the_truth_does_not(computed):
    cold = computed[3]
    assert labelled(cold, "pathwise")["label"] == "0.000 ± 0.000"
    assert labelled(cold, "exact, smoothed")["label"] == "0.352"


def test_three_panels_fit_a_phone_and_the_data_are_small(eps):
    figure = smoothed_step.explorer(eps)
    assert isinstance(figure, InteractiveFigure)
    spec = figure.chart.to_dict()
    assert len(spec["vconcat"]) == 3
    assert all(panel["width"] <= 320 for panel in spec["vconcat"])
    assert len(json.dumps(spec)) < 60_000


def test_sliders_have_readable_labels_and_start_where_asked(eps):
    params = smoothed_step.explorer(eps, loc=-0.5, log_temperature=-1.5).chart.to_dict()["params"]
    assert {p["name"]: p["value"] for p in params} == {"log_t": -1.5, "mu": -0.5}
    assert all(p["bind"]["name"].strip() for p in params)
