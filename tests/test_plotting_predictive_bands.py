"""Bands along one input; what the choices show is checked with Vega itself, run by node."""

import json

import numpy as np
import pytest
import vega

from companion.plotting import InteractiveFigure, StaticFigure, predictive_bands

X = np.linspace(-1.0, 1.0, 5)
RNG = np.random.default_rng(0)
MEAN, EPISTEMIC = RNG.normal(size=(2, 3, 5)), np.exp(RNG.normal(size=(2, 3, 5)))
DATA = RNG.uniform(-1, 1, size=(2, 8)).round(3)
SCALES, COUNTS = [0.5, 2.0], [2, 4, 8]


def explorer():
    return predictive_bands.explorer(X, SCALES, COUNTS, MEAN, EPISTEMIC, 0.3, DATA, np.sin(X))


@pytest.fixture(scope="module")
def settings():
    """The tables at two choices."""
    return vega.tables(explorer(), [{"scale": 0.5, "count": 8}, {"scale": 2.0, "count": 2}])


def rows_with(tables, *fields):
    return next(table for table in tables if table and all(field in table[0] for field in fields))


class TestExplorer:
    @pytest.mark.parametrize(("setting", "i", "j"), [(0, 0, 2), (1, 1, 0)])
    def test_it_shows_the_fit_that_was_chosen(self, settings, setting, i, j):
        rows = rows_with(settings[setting], "lowest", "mean")
        found = {name: np.array([row[name] for row in rows]) for name in ("x", "mean", "low", "highest", "truth")}
        sd = np.sqrt(EPISTEMIC[i, j])
        assert np.allclose(found["x"], X)
        assert np.allclose(found["truth"], np.sin(X), atol=1e-3)
        assert np.allclose(found["mean"], MEAN[i, j], atol=1e-3)
        assert np.allclose(found["low"], MEAN[i, j] - 2 * sd, atol=3e-3)
        assert np.allclose(found["highest"], MEAN[i, j] + 2 * np.sqrt(sd**2 + 0.09), atol=3e-3)
        assert not np.allclose(found["mean"], MEAN[1 - i, j], atol=1e-2)

    def test_only_the_data_that_the_fit_has_seen(self, settings):
        for tables, count in zip(settings, (8, 2), strict=True):
            points = min((table for table in tables if table and "px" in table[0]), key=len)  # after the filter
            assert sorted(row["px"] for row in points) == sorted(DATA[0, :count])

    def test_the_words_give_both_ends_and_the_least(self, settings):
        text = next(row["text"] for table in settings[0] for row in table if "text" in row)
        sd = np.sqrt(EPISTEMIC[0, 2])
        for number in (sd[0], sd.min(), sd[-1]):
            assert f"{number:.2f}" in text

    def test_it_fits_a_phone_and_says_what_it_is(self):
        figure = explorer()
        assert isinstance(figure, InteractiveFigure)
        assert "prior" in figure.description
        spec = figure.chart.to_dict()
        assert all(panel["width"] <= 320 for panel in spec["vconcat"])
        assert len(json.dumps(spec)) < 300_000
        controls = {p["name"]: p["bind"]["options"] for p in spec["params"] if "bind" in p}
        assert controls == {"scale": SCALES, "count": COUNTS}


def test_panels_have_two_bands_a_curve_and_the_data():
    predictions = {"exact": (X, 0 * X + 0.04, 0 * X + 0.09), "other": (2 * X, 0 * X + 0.04, 0 * X + 0.09)}
    figure = predictive_bands.panels(X, predictions, DATA, np.cos(X), limits=(-3, 3))
    assert isinstance(figure, StaticFigure)
    assert repr(figure) == "StaticFigure(exact; other)"
    for ax, slope in zip(figure.figure.axes, (1, 2), strict=True):
        mean, truth, data = (line.get_xydata() for line in ax.lines)
        assert np.allclose(mean[:, 1], slope * X)
        assert np.allclose(truth[:, 1], np.cos(X))
        assert np.allclose(data, DATA.T)
        widths = [np.ptp(band.get_paths()[0].vertices[:, 1]) for band in ax.collections]
        assert np.allclose(widths, [2 * slope + 4 * 0.3, 2 * slope + 4 * 0.2])
        assert ax.get_ylim() == (-3, 3)
    assert len(predictive_bands.panels(X, {"a": (X, X**2, X**2)}, DATA).figure.axes[0].lines) == 2
