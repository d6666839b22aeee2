"""The interactive figure of variances: Vega itself, run by node, must compute what the package computes."""

import json

import numpy as np
import pytest
import tensorflow as tf
import vega

from companion import gaussian
from companion.plotting import InteractiveFigure, variance_explorer

SETTINGS = [
    {"mu": 1.0, "sigma": 1.0, "k": 2.0, "choice": "cos(k z)", "which": "μ"},
    {"mu": 1.0, "sigma": 1.0, "k": 2.6, "choice": "cos(k z)", "which": "σ"},
    {"mu": -0.7, "sigma": 1.8, "k": 4.3, "choice": "cos(k z)", "which": "μ"},  # t = 7.7: beyond the table
    {"mu": 0.4, "sigma": 0.3, "k": 0.4, "choice": "cos(k z)", "which": "σ"},
    {"mu": 1.0, "sigma": 0.6, "k": 3.0, "choice": "(z - k)²", "which": "μ"},
    {"mu": -2.0, "sigma": 1.3, "k": 0.5, "choice": "(z - k)²", "which": "σ"},
]
OPTIONS = {
    "pathwise": ("pathwise", {}),
    "score function": ("score_function", {}),
    "score function, best baseline": ("score_function", {"baseline": "optimal"}),
    "measure-valued": ("measure_valued", {}),
    "measure-valued, independent": ("measure_valued", {"coupled": False}),
}


def exact(setting, k):
    """The five variances by quadrature."""
    f = (lambda z: (z - k) ** 2) if setting["choice"].startswith("(z") else (lambda z: tf.cos(k * z))
    name = {"μ": "loc", "σ": "scale"}[setting["which"]]
    return {
        label: gaussian.gradient_variance(f, setting["mu"], setting["sigma"], estimator, **chosen)[name]
        for label, (estimator, chosen) in OPTIONS.items()
    }


@pytest.fixture(scope="module")
def computed():
    """For each setting, all rows of all tables."""
    found = vega.tables(variance_explorer.gaussian_variances(), SETTINGS)
    return [[row for table in tables for row in table if "variance" in row and "estimator" in row] for tables in found]


@pytest.mark.parametrize("number", range(len(SETTINGS)))
class TestWhatTheReaderSees:
    def test_the_numbers_are_the_exact_variances(self, computed, number):
        expected = exact(SETTINGS[number], SETTINGS[number]["k"])
        rows = [row for row in computed[number] if "text" in row]
        shown = {row["estimator"]: row["variance"] for row in rows}
        assert shown == pytest.approx(expected, rel=2e-3, abs=1e-4 * max(expected.values()))
        assert shown != pytest.approx({name: 1.01 * value for name, value in expected.items()}, rel=2e-3)

    def test_the_least_is_marked(self, computed, number):
        expected = exact(SETTINGS[number], SETTINGS[number]["k"])
        marked = {row["estimator"] for row in computed[number] if "← least" in row.get("text", "")}
        assert marked == {min(expected, key=expected.get)}

    def test_the_curves_are_exact_elsewhere(self, computed, number):
        for k in (0.3, 1.5, 4.1):
            rows = [r for r in computed[number] if "text" not in r and abs(r["kk"] - k) < 1e-6 and r["variance"] > 1e-4]
            expected = exact(SETTINGS[number], k)
            drawn = {row["estimator"]: row["variance"] for row in rows}
            assert len(drawn) >= 4
            for name, value in drawn.items():
                assert value == pytest.approx(expected[name], rel=5e-3, abs=2e-4 * max(expected.values()))


def test_a_symmetric_function_has_no_variance_when_coupled():
    setting = {"mu": 2.0, "sigma": 1.0, "k": 2.0, "choice": "(z - k)²", "which": "μ"}
    tables = vega.tables(variance_explorer.gaussian_variances(), [setting])[0]
    row = next(r for t in tables for r in t if r.get("estimator") == "measure-valued" and "text" in r)
    assert row["text"].startswith("measure-valued: 0")


def test_sliders_have_readable_labels_and_panels_fit_a_phone():
    figure = variance_explorer.gaussian_variances(loc=-1.0, scale=0.5, k=1.0)
    assert isinstance(figure, InteractiveFigure)
    spec = figure.chart.to_dict()
    start = {p["name"]: p["value"] for p in spec["params"]}
    assert (start["mu"], start["sigma"], start["k"]) == (-1.0, 0.5, 1.0)
    assert all(p["bind"]["name"].strip() for p in spec["params"] if p["name"] != "dawson")
    assert all(panel["width"] <= 320 for panel in spec["vconcat"])
    assert len(json.dumps(spec)) < 60_000
    assert figure._repr_mimebundle_() == variance_explorer.gaussian_variances(-1.0, 0.5, 1.0)._repr_mimebundle_()


def test_the_table_of_dawsons_integral_starts_at_its_limit():
    table = variance_explorer._table()
    assert table[0] == 2.0
    assert np.all(np.diff(table) < 0)
