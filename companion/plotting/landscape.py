"""Pictures of a decision under uncertainty: what one outcome is worth, and what the average is worth.

Contract: arrays in, a `StaticFigure` out. Nothing is computed here.
"""

import numpy as np

from companion.plotting.figure import COLOURS, StaticFigure, new_axes

__all__ = ["payoff_and_densities", "surface"]

_LINES = ("blue", "orange", "green", "purple")
_MARKERS = ("o", "*", "s", "D")


def payoff_and_densities(x, payoff, densities, xlabel, payoff_label):
    """The payoff of each outcome above, the densities of the outcome under several decisions below.

    Args:
        x: outcomes, shape [num_points].
        payoff: the payoff at each, shape [num_points].
        densities: a mapping of names of decisions to densities at `x`, each of shape [num_points].
        xlabel: what `x` is.
        payoff_label: what `payoff` is.

    Returns:
        A `StaticFigure` with two axes, one above the other.

    Example:
        >>> x = np.linspace(0.0, 1.0, 5)
        >>> payoff_and_densities(x, x, {"today": 1.0 - x}, "demand", "profit")
        StaticFigure(profit; density)
    """
    figure, (above, below) = new_axes(rows=2, height=1.9, sharex=True)
    above.plot(x, payoff, color=COLOURS["black"])
    above.set_ylabel(payoff_label)
    for (name, density), colour in zip(densities.items(), _LINES, strict=False):
        below.plot(x, density, color=COLOURS[colour], label=name)
        below.fill_between(x, density, color=COLOURS[colour], alpha=0.15, linewidth=0)
    below.set(xlabel=xlabel, ylabel="density")
    below.set_ylim(bottom=0.0)
    below.legend()
    return StaticFigure(figure)


def surface(x, y, values, xlabel, ylabel, value_label, points=None, paths=None):
    """Contours of a function of two decisions, with marked points and the paths of optimisers.

    Args:
        x: shape [num_x].
        y: shape [num_y].
        values: the function, shape [num_y, num_x].
        xlabel: what `x` is.
        ylabel: what `y` is.
        value_label: what the colour stands for.
        points: a mapping of names to pairs (x, y).
        paths: a mapping of names to arrays of shape [num_steps, 2].

    Returns:
        A `StaticFigure`: one axes and its colour bar.

    Example:
        >>> surface(np.arange(3.0), np.arange(2.0), np.ones((2, 3)) * np.arange(3.0), "x", "y", "height")
        StaticFigure(y; height)
    """
    figure, axes = new_axes(width=6.4, height=3.9)
    filled = axes.contourf(x, y, values, levels=24, cmap="cividis")
    axes.contour(x, y, values, levels=filled.levels[::4], colors="white", linewidths=0.5, alpha=0.6)
    figure.colorbar(filled, ax=axes, label=value_label)
    for (name, path), colour in zip((paths or {}).items(), ("orange", "sky", "purple"), strict=False):
        path = np.asarray(path)
        axes.plot(path[:, 0], path[:, 1], color="black", linewidth=2.4, alpha=0.5)
        axes.plot(path[:, 0], path[:, 1], color=COLOURS[colour], linewidth=1.4, label=name)
    for (name, (px, py)), marker in zip((points or {}).items(), _MARKERS, strict=False):
        axes.plot(px, py, marker, color="white", markeredgecolor="black", markersize=11, linestyle="none", label=name)
    axes.grid(False)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set(xlim=(np.min(x), np.max(x)), ylim=(np.min(y), np.max(y)))
    if points or paths:
        axes.legend(frameon=True, framealpha=0.9, facecolor="white")
    return StaticFigure(figure)
