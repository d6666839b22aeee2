"""The figures that put estimators side by side show the numbers they were given."""

import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch

from companion.plotting import StaticFigure, estimators

K = np.array([1.0, 2.0, 3.0])
EXACT = {
    "loc": {"pathwise": np.array([1.0, 4.0, 9.0]), "measure-valued": np.array([2.0, 0.0, 2.0])},
    "scale": {"pathwise": np.array([3.0, 3.0, 3.0]), "measure-valued": np.array([1.0, 2.0, 4.0])},
}
RUN = {
    "estimator": "pathwise",
    "dashed": False,
    "steps": [0, 1, 2],
    "objective": [-3.0, -1.5, -1.2],
    "evaluations": [0, 5, 10],
    "diverged_at": None,
}


def variances(**options):
    return estimators.variance_curves(K, EXACT, K, EXACT, EXACT, {"loc": [1.5]}, **options)


def labelled(axis):
    return {line.get_label(): line for line in axis.lines if not line.get_label().startswith("_")}


def test_variance_curves_have_a_panel_a_parameter_and_a_line_an_estimator():
    axes = variances().figure.axes
    assert [axis.get_title() for axis in axes] == ["gradient for loc", "gradient for scale"]
    for axis, rows in zip(axes, EXACT.values(), strict=True):
        for name, curve in rows.items():
            drawn = labelled(axis)[name].get_ydata()
            assert np.array_equal(drawn[curve > 0], curve[curve > 0])
            assert np.isnan(drawn[curve == 0]).all()  # a logarithmic axis has no zero
    assert [np.any([np.allclose(line.get_xdata(), 1.5) for line in axis.lines]) for axis in axes] == [True, False]


def test_variance_curves_measure_where_told_and_end_at_the_lowest():
    left, _ = variances(lowest=0.5, xscale="log").figure.axes
    assert left.get_ylim()[0] >= 0.5
    assert (left.get_xscale(), left.get_yscale()) == ("log", "log")
    points = [container.lines[0].get_xydata() for container in left.containers]
    assert np.array_equal(points[0], np.column_stack([K, EXACT["loc"]["pathwise"]]))


def test_growth_draws_curves_and_points_in_the_estimators_colours():
    panels = {"variance": {"pathwise": (K, ([1, 3], [1.1, 2.9])), "measure-valued": (2 * K, ([1], [2.0]))}}
    figure = estimators.growth(K, panels, "dimension").figure
    lines = figure.axes[0].lines
    assert np.array_equal(lines[0].get_ydata(), K)
    assert np.array_equal(lines[1].get_ydata(), [1.1, 2.9])
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color()


def test_learning_curves_show_objective_distance_and_optimum():
    left, right = estimators.learning_curves({"a": RUN}, -1.0, -4.0).figure.axes
    drawn = labelled(left)
    assert np.array_equal(drawn["a"].get_ydata(), RUN["objective"])
    assert set(drawn["optimum"].get_ydata()) == {-1.0}
    assert np.allclose(right.lines[0].get_xydata(), [[5, 0.5], [10, 0.2]])  # the start has cost nothing yet


def test_a_run_that_diverged_is_a_cross_where_it_ended_and_nothing_else():
    runs = {"a": RUN, "b": RUN | {"diverged_at": 2, "dashed": True}}
    left, right = estimators.learning_curves(runs, -1.0, -4.0).figure.axes
    cross = labelled(left)["b: diverged"]
    assert cross.get_xdata() == [2]
    assert -4.0 < cross.get_ydata()[0] < -1.0
    assert len(right.lines) == 1


def test_the_guide_asks_every_question_and_each_has_a_yes_and_a_no():
    figure = estimators.decision_guide().figure
    texts = [text.get_text() for text in figure.axes[0].texts]
    asked = [text for text in texts if "?" in text]
    assert len(asked) == 5
    assert texts.count("yes") == texts.count("no") == len(asked)
    for answer in ("Sum exactly", "Pathwise", "Measure-valued", "Finite differences", "Score function"):
        assert any(text.startswith(answer) for text in texts)


def test_every_answer_of_the_guide_can_be_reached_and_no_question_is_a_dead_end():
    starts = [start for start, _, _ in estimators._EDGES]
    reached = {"finite"}
    for start, end, _ in estimators._EDGES:
        if start in reached:
            reached.add(end)
    assert reached == set(estimators._NODES)
    for name, (*_, answer) in estimators._NODES.items():
        assert starts.count(name) == (0 if answer else 2)


def test_every_text_of_the_guide_fits_its_box_and_can_be_read_on_a_page():
    figure = estimators.decision_guide().figure
    figure.canvas.draw()
    axis = figure.axes[0]
    boxes = [patch for patch in axis.patches if isinstance(patch, FancyBboxPatch)]
    texts = [text for text in axis.texts if text.get_text() not in ("yes", "no")]
    assert len(boxes) == len(texts)
    for box, text in zip(boxes, texts, strict=True):
        outer, inner = box.get_window_extent(), text.get_window_extent()
        assert outer.x0 < inner.x0 < inner.x1 < outer.x1, text.get_text()
        assert outer.y0 < inner.y0 < inner.y1 < outer.y1, text.get_text()
        # 700 pixels wide, the letters are those of 12 pixels at least
        assert text.get_fontsize() / 72 * 700 / figure.get_size_inches()[0] >= 12


@pytest.mark.parametrize("figure", [variances(), estimators.decision_guide()], ids=["variances", "guide"])
def test_the_same_data_give_the_same_bytes(figure):
    assert isinstance(figure, StaticFigure)
    assert figure._repr_mimebundle_()["image/png"] == figure._repr_mimebundle_()["image/png"]
