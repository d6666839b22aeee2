"""Figures about bounds draw what they are given."""

import numpy as np

from companion.plotting import StaticFigure, bounds


def test_scree_draws_bars_levels_and_points():
    figure = bounds.scree([0.7, 0.3, 0.1], {"a": 0.5, "b": 0.2}, {"found": [0.69, 0.31]})
    assert isinstance(figure, StaticFigure)
    (ax,) = figure.figure.axes
    assert [bar.get_height() for bar in ax.patches] == [0.7, 0.3, 0.1]
    first, second, points = ax.lines
    assert (first.get_ydata()[0], second.get_ydata()[0]) == (0.5, 0.2)
    assert np.array_equal(points.get_xydata(), [[1, 0.69], [2, 0.31]])
    assert ax.get_yscale() == "log"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert set(labels) == {"data", "a", "b", "found"}


def test_tightening_draws_curves_with_three_standard_errors_and_the_exact_value():
    figure = bounds.tightening([1, 10, 100], {"q": ([-3.0, -2.0, -1.5], [0.1, 0.2, 0.3])}, exact=-1.0)
    (ax,) = figure.figure.axes
    (container,) = ax.containers
    line, _, (bars,) = container
    assert np.array_equal(line.get_xydata(), [[1, -3.0], [10, -2.0], [100, -1.5]])
    heights = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    assert np.allclose(heights, [0.6, 1.2, 1.8])
    assert ax.get_xscale() == "log"
    assert any(np.allclose(other.get_ydata(), -1.0) for other in ax.lines)
