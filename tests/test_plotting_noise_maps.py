"""Figures of maps from noise to samples: what is drawn is what was given."""

import json

import numpy as np
import pytest

from companion.plotting import InteractiveFigure, StaticFigure, noise_maps


def test_histogram_is_normalised_and_has_one_panel_a_family():
    grid = np.linspace(0.0, 1.0, 11)
    samples = np.linspace(0.0, 1.0, 1001)
    shown = noise_maps.samples_against_densities({n: (samples, grid, np.ones(11)) for n in "abc"}, bins=10)
    assert isinstance(shown, StaticFigure)
    titles = [ax.get_title() for ax in shown.figure.axes]
    assert [t for t in titles if t] == ["a", "b", "c"]
    heights = shown.figure.axes[0].patches[0].get_data().values
    assert len(heights) == 10
    assert np.mean(heights) == pytest.approx(1.0)


def test_histogram_counts_samples_outside_the_grid():
    shown = noise_maps.samples_against_densities(
        {"a": (np.array([0.5, 9.0]), np.array([0.0, 1.0]), np.ones(2))}, bins=1
    )
    assert shown.figure.axes[0].patches[0].get_data().values == pytest.approx([0.5])


def test_velocity_fields_share_one_scale():
    points, arrows = np.ones([3, 2]), np.arange(6.0).reshape(3, 2)
    shown = noise_maps.velocity_fields(points, {"one": arrows, "two": 2 * arrows}, np.eye(2))
    quivers = [ax.collections[0] for ax in shown.figure.axes]
    assert {q.scale for q in quivers} == {quivers[0].scale}
    np.testing.assert_allclose(quivers[1].U, 2 * quivers[0].U)


def test_variances_show_curves_and_measurements():
    rho = np.array([0.0, 0.5])
    shown = noise_maps.variances_of_two_maps(
        rho, {"f": {"x": rho, "y": 2 * rho}}, {"f": {"x": (rho, rho), "y": (rho, rho)}}
    )
    assert len(shown.figure.axes[0].lines) == 4
    assert [t.get_text() for t in shown.figure.axes[0].get_legend().get_texts()] == ["x", "y"]


@pytest.fixture
def interactive():
    theta, points = np.linspace(0.5, 2.0, 4), np.linspace(-1.0, 1.0, 5)
    samples = {"scale": np.outer(theta, points), "mean": theta[:, None] + points}
    slopes = {"scale": np.tile(points, (4, 1)), "mean": np.ones([4, 5])}
    truths = {"scale": np.zeros(4), "mean": np.ones(4)}
    return noise_maps.noise_to_samples(theta, {"scale": points, "mean": points}, samples, slopes, truths)


def test_slider_and_choice_have_readable_names(interactive):
    assert isinstance(interactive, InteractiveFigure)
    spec = interactive.chart.to_dict()
    params = {p["name"]: p for p in spec["params"] if "bind" in p}
    assert params["theta"]["bind"] == {"input": "range", "min": 0.5, "max": 2.0, "step": 0.5, "name": "theta "}
    assert params["family"]["bind"]["labels"] == ["scale", "mean"]
    assert spec["description"] == interactive.description


def test_data_are_complete_and_every_slider_position_meets_rows(interactive):
    spec = json.loads(json.dumps(interactive.chart.to_dict()))
    rows = find_rows(spec)
    assert len(rows) == 2 * 4 * 5
    assert {r["t"] for r in rows} == {0.5, 1.0, 1.5, 2.0}
    assert all(r["z"] == pytest.approx(r["t"] * r["e"], abs=1e-3) for r in rows if r["f"] == 0)


def test_it_fits_a_phone(interactive):
    widths = [view["width"] for view in interactive.chart.to_dict()["vconcat"]]
    assert max(widths) <= 320


def find_rows(node):
    """The longest list of inline data in a specification."""
    if isinstance(node, dict):
        own = [node["values"]] if isinstance(node.get("values"), list) else []
        return max([*own, *(find_rows(v) for v in node.values())], key=len, default=[])
    if isinstance(node, list):
        return max((find_rows(v) for v in node), key=len, default=[])
    return []
