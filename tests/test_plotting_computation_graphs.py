"""The drawn computation graphs hold the nodes and the gradients that the chapter describes."""

from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch

from companion.plotting import StaticFigure, computation_graphs
from companion.plotting.figure import COLOURS


def arrows(ax, colour):
    wanted = COLOURS[colour].lower()
    return [p for p in ax.patches if isinstance(p, FancyArrowPatch) and to_hex(p.get_edgecolor()) == wanted]


def test_gradient_reaches_the_parameter_only_after_the_trick():
    shown = computation_graphs.before_and_after()
    assert isinstance(shown, StaticFigure)
    before, after = shown.figure.axes
    assert len(arrows(before, "orange")) == 1
    assert len(arrows(after, "orange")) == 2
    assert "no derivative" in [t.get_text() for t in before.texts]


def test_noise_is_an_input_of_its_own():
    before, after = computation_graphs.before_and_after().figure.axes
    assert len(arrows(before, "grey")) == 2
    assert len(arrows(after, "grey")) == 3
    assert r"$\epsilon \sim p$" in [t.get_text() for t in after.texts]


def test_two_drawings_are_the_same_bytes():
    first, second = (computation_graphs.before_and_after()._repr_mimebundle_()["image/png"] for _ in range(2))
    assert first == second
