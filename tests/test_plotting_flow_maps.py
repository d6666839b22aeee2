"""Pictures of flows; what the slider shows is checked with Vega itself, run by node."""

import json

import numpy as np
import pytest
import vega

from companion.plotting import InteractiveFigure, StaticFigure, flow_maps

STEPS = np.random.default_rng(0).normal(size=(4, 6, 2)).round(2)


@pytest.mark.parametrize(("layer", "lower", "share"), [(0, 0, 0.0), (1.25, 1, 0.25), (2, 2, 0.0), (3, 2, 1.0)])
def test_the_slider_interpolates_between_layers(layer, lower, share):
    (tables,) = vega.tables(flow_maps.walk(STEPS, limit=5.0), [{"layer": layer}])
    rows = next(table for table in tables if table and "here_x" in table[0])
    here = np.array([[row["here_x"], row["here_y"]] for row in rows])
    expected = STEPS[lower] + share * (STEPS[lower + 1] - STEPS[lower])
    assert np.allclose(here, expected, atol=1e-6)
    assert not np.allclose(here, STEPS[(lower + 2) % 4], atol=1e-2)


def test_the_colour_is_the_angle_of_the_noise():
    (tables,) = vega.tables(flow_maps.walk(STEPS, limit=5.0), [{"layer": 3}])
    rows = next(table for table in tables if table and "here_x" in table[0])
    angles = np.array([row["angle"] for row in rows])
    assert np.allclose(angles, np.arctan2(STEPS[0, :, 1], STEPS[0, :, 0]), atol=0.006)


def test_the_slider_fits_a_phone_and_says_what_it_is():
    figure = flow_maps.walk(np.random.default_rng(1).normal(size=(7, 500, 2)), limit=3.5)
    assert isinstance(figure, InteractiveFigure)
    assert "slider from 0 to 6 moves 500 points" in figure.description
    spec = figure.chart.to_dict()
    assert spec["width"] <= 320
    assert len(json.dumps(spec)) < 300_000


def test_a_gallery_draws_points_and_densities():
    values = np.exp(-np.sum(flow_maps.grid(2.0, num=20) ** 2, axis=1) / 2)
    figure = flow_maps.gallery({"density": values, "points": STEPS[0], "more": STEPS[1]}, columns=2, limit=2.0)
    assert isinstance(figure, StaticFigure)
    assert repr(figure) == "StaticFigure(density; points; more)"
    first, second, third, empty = figure.figure.axes
    assert np.allclose(first.images[0].get_array(), values.reshape(20, 20))
    assert first.images[0].get_extent() == [-2.0, 2.0, -2.0, 2.0]
    assert first.images[0].origin == "lower"
    assert np.allclose(second.lines[0].get_xydata(), STEPS[0])
    assert np.allclose(third.lines[0].get_xydata(), STEPS[1])
    assert not empty.axison


def test_the_grid_goes_row_by_row_from_the_lower_left():
    grid = flow_maps.grid(1.0, num=3)
    assert grid[0].tolist() == [-1.0, -1.0]
    assert grid[1].tolist() == [0.0, -1.0]
    assert grid[-1].tolist() == [1.0, 1.0]


def test_clouds_stand_side_by_side():
    axes = flow_maps.clouds({"a": STEPS[0], "b": STEPS[1]}, limit=1.0).figure.axes
    assert [ax.get_title() for ax in axes] == ["a", "b"]
    assert [ax.get_subplotspec().colspan.start for ax in axes] == [0, 1]


def test_learning_curves_show_both_losses_and_the_levels():
    figure = flow_maps.learning_curves({"loss": [3.0, 2.0], "val_loss": [3.0, 4.0]}, {"entropy": 1.5}, ylim=(0, 5))
    (ax,) = figure.figure.axes
    assert [line.get_label() for line in ax.lines] == ["training", "held out", "entropy"]
    assert np.allclose(ax.lines[1].get_xydata(), [[1, 3], [2, 4]])
    assert ax.lines[2].get_ydata()[0] == 1.5
    assert ax.get_ylim() == (0, 5)
