"""The figures of noise show what they were given; Vega itself, run by node, computes the estimates of the sliders."""

import numpy as np
import pytest
import vega

from companion.plotting import InteractiveFigure, StaticFigure, gradient_noise

PROBLEM = {"loc": 4.0, "scale": 0.7, "price": 2.5, "cost": 1.0, "stock": 100.0, "exact": 80.0}
SETTINGS = [{"log_h": -1.0, "n": 6}, {"log_h": 0.0, "n": 1}, {"log_h": -2.5, "n": 12}]
RANDOM = np.random.default_rng(1)
EPS, OTHER = RANDOM.standard_normal((2, 5, 12))


def explorer():
    return gradient_noise.difference_explorer(EPS, OTHER, **PROBLEM)


@pytest.fixture(scope="module")
def computed():
    """For each setting, all rows of all tables."""
    return [[row for table in tables for row in table] for tables in vega.tables(explorer(), SETTINGS)]


def estimates(log_h, n):
    """What the chapter means by an estimate, in NumPy."""
    h, (eps, other) = 10.0**log_h, (np.round(e[:, :n], 3) for e in (EPS, OTHER))

    def profit(z):
        return PROBLEM["price"] * np.minimum(np.exp(z), PROBLEM["stock"]) - PROBLEM["cost"] * PROBLEM["stock"]

    before = profit(PROBLEM["loc"] + PROBLEM["scale"] * eps)
    after = {"independent": other, "common": eps}
    return {
        name: ((profit(PROBLEM["loc"] + h + PROBLEM["scale"] * e) - before) / h).mean(axis=1)
        for name, e in after.items()
    }


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_browser_computes_the_estimates(computed, number):
    exact = estimates(**SETTINGS[number])
    for name, expected in exact.items():
        shown = {round(r["estimate"], 6) for r in computed[number] if r.get("noise") == name and "estimate" in r}
        assert sorted(shown) == pytest.approx(np.sort(expected), rel=1e-6, abs=1e-5)
        words = next(r["text"] for r in computed[number] if r.get("noise") == name and "text" in r)
        assert words.startswith(f"mean {expected.mean():.1f}".replace("-", "\N{MINUS SIGN}"))
    wrong = sorted(exact["independent"] * 1.01)
    assert sorted(exact["independent"]) != pytest.approx(wrong, rel=1e-6)


def test_explorer_has_labelled_sliders_and_fits_a_phone():
    figure = explorer()
    spec = figure.chart.to_dict()
    assert isinstance(figure, InteractiveFigure)
    assert {p["name"] for p in spec["params"]} == {"log_h", "n"}
    assert all(p["bind"]["name"].strip() for p in spec["params"])
    assert all(panel["width"] <= 320 for panel in spec["vconcat"])
    assert figure._repr_mimebundle_() == explorer()._repr_mimebundle_()


def test_explorer_refuses_noise_of_two_shapes():
    with pytest.raises(ValueError, match="zip"):
        gradient_noise.difference_explorer(EPS, OTHER[:2], **PROBLEM)


def test_log_log_has_one_colour_a_method_and_points_where_measured():
    panels = {"variance": {"a": [1.0, 2.0], "b": ([3.0, 4.0], ([1.0], [5.0]))}, "error": {"b": [1.0, 1.0]}}
    left, right = gradient_noise.log_log([1.0, 10.0], panels, "step").figure.axes
    assert [ax.get_ylabel() for ax in (left, right)] == ["variance", "error"]
    drawn = {line.get_label(): line for line in left.lines}
    assert drawn["a"].get_ydata().tolist() == [1.0, 2.0]
    assert left.lines[-1].get_xydata().tolist() == [[1.0, 5.0]]
    assert right.lines[0].get_color() == drawn["b"].get_color() == left.lines[-1].get_color() != drawn["a"].get_color()
    assert (left.get_xscale(), left.get_yscale(), left.get_xlabel()) == ("log", "log", "step")


def test_histograms_count_every_estimate_on_one_axis():
    values = {"narrow": np.linspace(0.4, 0.6, 50), "wide": np.linspace(-1.0, 3.0, 80)}
    figure = gradient_noise.histograms(values, 0.5, "gradient", bins=20).figure
    for ax, (name, estimates) in zip(figure.axes, values.items(), strict=True):
        assert ax.get_title() == name
        assert sum(patch.get_height() for patch in ax.patches) == len(estimates)
        assert ax.lines[0].get_xdata()[0] == 0.5
        assert len(ax.patches) == 20


@pytest.mark.parametrize(
    "draw",
    [
        lambda: gradient_noise.log_log([1.0, 10.0], {"v": {"a": [1.0, 2.0]}}, "step"),
        lambda: gradient_noise.histograms({"a": np.arange(9.0)}, 0.5, "gradient"),
    ],
    ids=["log_log", "histograms"],
)
def test_the_same_data_give_the_same_bytes(draw):
    assert isinstance(draw(), StaticFigure)
    assert draw()._repr_mimebundle_()["image/png"] == draw()._repr_mimebundle_()["image/png"]


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="dimension"):
        gradient_noise.log_log([1.0, 10.0], {"v": {"a": [1.0, 2.0, 3.0]}}, "step")
    with pytest.raises(ValueError, match=r"need at least one|empty|zero"):
        gradient_noise.histograms({"a": np.array([])}, 0.5, "gradient")
