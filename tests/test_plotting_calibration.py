"""Reliability, shifts and scores of classifiers."""

import numpy as np

from companion.plotting import StaticFigure, calibration

PROBABILITIES = np.array([[0.95, 0.05], [0.9, 0.1], [0.45, 0.55], [0.58, 0.42]])
LABELS = np.array([0, 1, 1, 1])


def test_reliability_bins_by_the_largest_probability():
    figure = calibration.reliability({"a": (PROBABILITIES, LABELS), "b": (PROBABILITIES, 1 - LABELS)}, num_bins=5)
    assert isinstance(figure, StaticFigure)
    assert repr(figure) == "StaticFigure(a; b)"
    points = figure.figure.axes[0].collections[0].get_offsets()
    assert np.allclose(points, [[0.565, 0.5], [0.925, 0.5]])
    points = figure.figure.axes[1].collections[0].get_offsets()
    assert np.allclose(points, [[0.565, 0.5], [0.925, 0.5]])
    sizes = figure.figure.axes[0].collections[0].get_sizes()
    assert np.allclose(sizes[0], sizes[1])


def test_certainty_is_in_the_last_bin_and_areas_count_examples():
    sure = np.array([[1.0, 0.0], [1.0, 0.0], [0.2, 0.8]])
    figure = calibration.reliability({"a": (sure, np.array([0, 0, 0]))}, num_bins=10)
    points = figure.figure.axes[0].collections[0]
    assert np.allclose(points.get_offsets(), [[0.8, 0.0], [1.0, 1.0]])
    few, many = points.get_sizes()
    assert np.isclose((many - 20) / (few - 20), 2)


def test_under_shift_has_a_panel_for_each_quantity_and_a_line_for_each_classifier():
    curves = {"accuracy": {"a": [1.0, 0.2], "b": [0.9, 0.5]}, "entropy": {"a": [0.1, 0.0], "b": [0.2, 1.0]}}
    figure = calibration.under_shift([0, 90], curves, "angle")
    for ax, (label, lines) in zip(figure.figure.axes, curves.items(), strict=True):
        assert (ax.get_ylabel(), ax.get_xlabel()) == (label, "angle")
        assert {line.get_label(): line.get_ydata().tolist() for line in ax.lines} == lines
        markers = [line.get_marker() for line in ax.lines]
        assert len(set(markers)) == 2
    colours = [[line.get_color() for line in ax.lines] for ax in figure.figure.axes]
    assert colours[0] == colours[1]


def test_scoreboard_shows_every_number():
    figure = calibration.scoreboard({"accuracy": {"a": 0.97, "b": 0.9}, "error": {"a": 0.1, "b": 0.2}})
    assert repr(figure) == "StaticFigure(accuracy; error)"
    first, second = figure.figure.axes
    assert [text.get_text() for text in first.texts] == ["0.970", "0.900"]
    assert [line.get_xdata()[0] for line in second.lines] == [0.1, 0.2]
    assert [label.get_text() for label in first.get_yticklabels()] == ["a", "b"]
