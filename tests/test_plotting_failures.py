"""The figures of failures show what they were given."""

import numpy as np
import pytest

from companion.plotting import StaticFigure, failures


def test_running_means_draws_every_run_and_the_exact_value():
    counts = np.array([10, 100, 1000])
    runs = np.arange(6.0).reshape(2, 3)
    figure = failures.running_means(counts, {"calm": (runs, 1.5), "wild": (runs + 1.0, -2.0)})
    assert isinstance(figure, StaticFigure)
    assert [ax.get_title() for ax in figure.figure.axes] == ["calm", "wild"]
    for ax, shift, exact in zip(figure.figure.axes, (0.0, 1.0), (1.5, -2.0), strict=True):
        *lines, level = ax.get_lines()
        assert np.array_equal([line.get_ydata() for line in lines], runs + shift)
        assert np.array_equal(lines[0].get_xdata(), counts)
        assert set(level.get_ydata()) == {exact}
        assert ax.get_xscale() == "log"


def test_verdicts_writes_each_word_in_its_cell_and_colours_by_word():
    rows = {
        "step": ["wrong", "right"],
        "discrete": ["refused", "right"],
        "tail": ["infinite variance", "infinite variance"],
    }
    (ax,) = failures.verdicts(rows, ["pathwise", "score"]).figure.axes
    words = {(round(t.get_position()[0]), round(t.get_position()[1])): t.get_text() for t in ax.texts}
    assert words == {(x, y): word for y, row in enumerate(rows.values()) for x, word in enumerate(row)}
    faces = {}
    for patch, text in zip(ax.patches, ax.texts, strict=True):
        faces.setdefault(text.get_text(), set()).add(patch.get_facecolor())
    assert all(len(colours) == 1 for colours in faces.values())
    assert len(set().union(*faces.values())) == 4
    assert [label.get_text() for label in ax.get_yticklabels()] == list(rows)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["pathwise", "score"]


def test_the_longest_verdict_fits_its_cell():
    columns = ["pathwise", "score function", "measure-valued", "finite difference"]
    figure = failures.verdicts({"nothing dominates": ["infinite variance"] * 4}, columns).figure
    figure.canvas.draw()
    for text, patch in zip(figure.axes[0].texts, figure.axes[0].patches, strict=True):
        assert text.get_window_extent().width < patch.get_window_extent().width


def test_verdicts_refuses_the_word_that_reads_like_a_variance_of_zero():
    with pytest.raises(ValueError, match="got 'no variance'"):
        failures.verdicts({"step": ["no variance"]}, ["pathwise"])


@pytest.mark.parametrize("words", [["right"], ["right", "maybe"]])
def test_verdicts_refuses_what_it_does_not_know(words):
    with pytest.raises(ValueError, match=r"rows\['step'\]: expected"):
        failures.verdicts({"step": words}, ["pathwise", "score"])


def test_the_same_data_give_the_same_bytes():
    first, second = (failures.verdicts({"step": ["wrong"]}, ["pathwise"])._repr_mimebundle_() for _ in range(2))
    assert first["image/png"] == second["image/png"]
