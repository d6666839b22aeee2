"""The static figures of the Gaussian chapter show the numbers they were given."""

import numpy as np
import pytest

from companion.plotting import StaticFigure, gaussians

TWO = {"pathwise": np.array([1.0, 4.0]), "score_function": np.array([2.0, 3.0])}
K = np.array([1.0, 2.0])


def test_variance_curves_have_a_panel_a_parameter_and_a_line_an_estimator():
    both = {"loc": TWO, "scale": TWO}
    figure = gaussians.variance_curves(K, both, K, both, both, {"loc": 1.3, "scale": 1.4}).figure
    assert [axis.get_title() for axis in figure.axes] == ["gradient for loc", "gradient for scale"]
    for axis, crossing in zip(figure.axes, (1.3, 1.4), strict=True):
        drawn = {line.get_label(): line for line in axis.lines}
        assert np.array_equal(drawn["pathwise"].get_ydata(), TWO["pathwise"])
        assert np.array_equal(drawn["score function"].get_ydata(), TWO["score_function"])
        assert any(np.allclose(line.get_xdata(), crossing) for line in axis.lines)
        assert axis.get_yscale() == "log"


def test_ellipses_hold_the_mass_they_claim():
    mean, covariance = np.array([1.0, -2.0, 0.5]), np.array([[2.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 0.5]])
    figure = gaussians.ellipses({"exact": (mean, covariance)}, [(0, 1), (1, 2)], ["a", "b", "c"]).figure
    for axis, pair in zip(figure.axes, [(0, 1), (1, 2)], strict=True):
        block = covariance[np.ix_(pair, pair)]
        away = axis.lines[0].get_xydata() - mean[list(pair)]
        radius = np.einsum("ni,ij,nj->n", away, np.linalg.inv(block), away)
        assert np.allclose(1 - np.exp(-radius / 2), 0.9)  # the mass inside, for two degrees of freedom


def test_objective_draws_a_floor_only_where_there_is_one():
    distances = {"mean-field": [3.0, 2.0], "full": [3.0, 0.1]}
    axis = gaussians.objective([1, 2], distances, {"mean-field": 1.5, "full": 0.0}).figure.axes[0]
    dotted = [line.get_ydata() for line in axis.lines if line.get_linestyle() == ":"]
    assert np.array_equal(dotted, [[1.5, 1.5]])


def test_positive_maps_draw_the_slope_against_the_scale():
    rho = np.linspace(-2.0, 2.0, 9)
    figure = gaussians.positive_maps(rho, {"exp": np.exp(rho)}, {"exp": np.exp(rho)}).figure
    left, right = figure.axes
    assert np.array_equal(left.lines[0].get_xdata(), rho)
    assert np.array_equal(right.lines[0].get_xdata(), np.exp(rho))


@pytest.mark.parametrize(
    "figure",
    [
        gaussians.objective([1, 2], {"a": [2.0, 1.0]}, {"a": 0.5}),
        gaussians.ellipses({"a": (np.zeros(2), np.eye(2))}, [(0, 1)], "xy"),
    ],
)
def test_the_same_data_give_the_same_bytes(figure):
    assert isinstance(figure, StaticFigure)
    assert figure._repr_mimebundle_()["image/png"] == figure._repr_mimebundle_()["image/png"]
