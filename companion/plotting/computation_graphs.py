"""Computation graphs of E f(z): squares are computed, circles are drawn, dashed arrows carry gradients.

The convention of circles and squares is that of Schulman, Heess, Weber and Abbeel (2015).
"""

from matplotlib.patches import FancyArrowPatch

from companion.plotting.figure import COLOURS, StaticFigure, new_axes

__all__ = ["before_and_after"]

_PARAMETER, _SAMPLE, _FUNCTION, _NOISE = (0.0, 0.0), (2.2, 0.0), (4.4, 0.0), (2.2, 1.7)
_NODE_SIZE = 1500  # points squared; arrows stop short of it by _GAP points
_GAP = 23


def before_and_after():
    """The graph in which z is drawn from q, beside the graph in which z is computed from noise.

    Returns:
        A `StaticFigure` of two panels.

    Example:
        >>> before_and_after()
        StaticFigure(Before: z is drawn; After: z is computed)
    """
    figure, (before, after) = new_axes(columns=2, width=8.4, height=2.7)
    _empty(before, "Before: z is drawn")
    _node(before, _PARAMETER, r"$\theta$")
    _node(before, _SAMPLE, r"$z \sim q$", drawn=True)
    _node(before, _FUNCTION, r"$f(z)$")
    _forward(before, _PARAMETER, _SAMPLE)
    _forward(before, _SAMPLE, _FUNCTION)
    _backward(before, _FUNCTION, _SAMPLE, r"$f'(z)$")
    before.text(1.1, -0.48, r"$\times$", ha="center", va="center", fontsize=24, color=COLOURS["orange"])
    before.text(1.1, -0.92, "no derivative", ha="center", va="center", color=COLOURS["orange"])

    _empty(after, "After: z is computed")
    _node(after, _PARAMETER, r"$\theta$")
    _node(after, _NOISE, r"$\epsilon \sim p$", drawn=True)
    _node(after, _SAMPLE, r"$g(\epsilon, \theta)$")
    _node(after, _FUNCTION, r"$f(z)$")
    for start, end in ((_PARAMETER, _SAMPLE), (_NOISE, _SAMPLE), (_SAMPLE, _FUNCTION)):
        _forward(after, start, end)
    _backward(after, _FUNCTION, _SAMPLE, r"$f'(z)$")
    _backward(after, _SAMPLE, _PARAMETER, r"$\partial g / \partial\theta$")
    return StaticFigure(figure)


def _empty(ax, title):
    ax.set_title(title)
    ax.set(xlim=(-0.7, 5.1), ylim=(-1.2, 2.3))
    ax.set_axis_off()


def _node(ax, where, text, drawn=False):
    colour = COLOURS["blue"] if drawn else COLOURS["black"]
    face = "#DCEBF5" if drawn else "white"
    ax.scatter(*where, s=_NODE_SIZE, marker="o" if drawn else "s", facecolor=face, edgecolor=colour, zorder=3)
    ax.text(*where, text, ha="center", va="center", color=COLOURS["black"], zorder=4, fontsize=10)


def _forward(ax, start, end):
    _arrow(ax, start, end, COLOURS["grey"], "-")


def _backward(ax, start, end, text):
    lowered = [(x, y - 0.48) for x, y in (start, end)]
    _arrow(ax, *lowered, COLOURS["orange"], "--")
    middle = 0.5 * (start[0] + end[0])
    ax.text(middle, -0.92, text, ha="center", va="center", color=COLOURS["orange"])


def _arrow(ax, start, end, colour, style):
    arrow = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=13, shrinkA=_GAP, shrinkB=_GAP, color=colour, linestyle=style
    )
    ax.add_patch(arrow)
