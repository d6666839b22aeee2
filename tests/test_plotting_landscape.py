"""The figures of a decision under uncertainty show the numbers they were given."""

import numpy as np
import pytest

from companion.plotting import StaticFigure, landscape

X = np.linspace(0.0, 1.0, 5)
Y = np.linspace(2.0, 3.0, 4)
HEIGHTS = Y[:, None] * X[None, :]


def payoff():
    return landscape.payoff_and_densities(X, X**2, {"today": 1.0 - X, "later": X}, "demand", "profit")


def hill(**options):
    return landscape.surface(X, Y, HEIGHTS, "x", "y", "height", **options)


def test_payoff_is_above_and_every_density_below():
    above, below = payoff().figure.axes
    assert np.array_equal(above.lines[0].get_ydata(), X**2)
    assert {line.get_label(): line.get_ydata().tolist() for line in below.lines} == {
        "today": (1.0 - X).tolist(),
        "later": X.tolist(),
    }
    assert (above.get_ylabel(), below.get_xlabel()) == ("profit", "demand")


def test_surface_marks_points_and_paths_where_they_are():
    path = np.array([[0.1, 2.1], [0.5, 2.5], [0.9, 2.9]])
    axes, bar = hill(points={"top": (1.0, 3.0)}, paths={"ascent": path}).figure.axes
    drawn = {line.get_label(): line.get_xydata() for line in axes.lines}
    assert np.array_equal(drawn["ascent"], path)
    assert np.array_equal(drawn["top"], [[1.0, 3.0]])
    assert axes.get_xlim() == (0.0, 1.0)
    assert axes.get_ylim() == (2.0, 3.0)
    assert bar.get_ylabel() == "height"


def test_surface_needs_no_legend_without_points_and_paths():
    assert hill().figure.axes[0].get_legend() is None
    assert [t.get_text() for t in hill(points={"top": (1, 3)}).figure.axes[0].get_legend().get_texts()] == ["top"]


@pytest.mark.parametrize("draw", [payoff, hill])
def test_the_same_data_give_the_same_bytes(draw):
    assert isinstance(draw(), StaticFigure)
    assert draw()._repr_mimebundle_()["image/png"] == draw()._repr_mimebundle_()["image/png"]


def test_wrong_shapes_are_refused():
    with pytest.raises(TypeError, match=r"(?i)length|shape"):
        landscape.surface(X, Y, HEIGHTS.T, "x", "y", "height")
    with pytest.raises(ValueError, match=r"(?i)dimension|shape"):
        landscape.payoff_and_densities(X, X[:-1], {"today": X}, "x", "y")
