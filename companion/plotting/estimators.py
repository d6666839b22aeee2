"""Estimators of a gradient beside each other: variances against a constant of f, learning curves, which one to take.

Contract: arrays in, a `StaticFigure` out. An estimator has one colour and one marker in all figures.
"""

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from companion.plotting.figure import COLOURS, StaticFigure, new_axes

__all__ = ["ESTIMATOR_COLOURS", "decision_guide", "growth", "learning_curves", "variance_curves"]

ESTIMATOR_COLOURS = {
    "pathwise": "blue",
    "score function": "orange",
    "score function, best baseline": "amber",
    "score function, leave one out": "amber",
    "score function, baseline E[f]": "amber",
    "measure-valued": "green",
    "measure-valued, independent": "purple",
}
_MARKERS = {"blue": "o", "orange": "s", "amber": "D", "green": "^", "purple": "v", "grey": "x"}
_DASHES = {"blue": "-", "orange": "--", "amber": "-.", "green": (0, (5, 1)), "purple": ":", "grey": "-"}


def variance_curves(k, exact, measured_k, measured, interval, crossings=None, lowest=1e-3, xscale="linear"):
    """Variances of estimators against a constant of f, exact (lines) and measured (points with intervals).

    Args:
        k: constants of f, shape [num_points].
        exact: a mapping of parameter names to mappings of estimators to exact variances, each of shape [num_points].
        measured_k: where the variances were measured, shape [num_measured].
        measured: variances as in `exact`, each of shape [num_measured].
        interval: half the length of the interval of each measured variance, as in `measured`.
        crossings: a mapping of parameter names to the constants at which curves of interest cross, or None.
        lowest: where the logarithmic axis of variances ends; what is less is not drawn.
        xscale: "linear" or "log", for k.

    Returns:
        A `StaticFigure` with one panel a parameter.

    Example:
        >>> two = {"pathwise": np.array([1.0, 4.0]), "measure-valued": np.array([2.0, 0.0])}
        >>> variance_curves([1.0, 2.0], {"loc": two}, [1.0, 2.0], {"loc": two}, {"loc": two})
        StaticFigure(gradient for loc)
    """
    figure, axes = new_axes(columns=len(exact), height=3.8, sharex=True, squeeze=False)
    for axis, name in zip(axes[0], exact, strict=True):
        for estimator, curve in exact[name].items():
            colour = ESTIMATOR_COLOURS.get(estimator, "grey")
            drawn = np.where(np.asarray(curve) > 0, curve, np.nan)
            axis.plot(k, drawn, linestyle=_DASHES[colour], color=COLOURS[colour], label=estimator)
            axis.errorbar(
                measured_k,
                measured[name][estimator],
                interval[name][estimator],
                fmt=_MARKERS[colour],
                ms=4,
                color=COLOURS[colour],
                capsize=2,
            )
        for crossing in (crossings or {}).get(name, ()):
            axis.axvline(crossing, color=COLOURS["grey"], linestyle=":", linewidth=1.2)
        axis.set(title=f"gradient for {name}", xlabel="k", xscale=xscale, yscale="log")
        axis.set_ylim(bottom=max(lowest, axis.get_ylim()[0]))
    axes[0][0].set_ylabel("variance of one sample")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return StaticFigure(figure)


def growth(x, panels, xlabel):
    """Curves and measured points of estimators on logarithmic axes, one panel beside another.

    Args:
        x: shape [num_x], where the curves are known.
        panels: a mapping of the label of each panel's vertical axis to a mapping of estimators to pairs
            (curve, (points_x, points_y)), with a curve of shape [num_x].
        xlabel: what `x` is.

    Returns:
        A `StaticFigure` with one axes a panel.

    Example:
        >>> growth([1.0, 10.0], {"variance": {"pathwise": ([1.0, 2.0], ([1], [1.1]))}}, "dimension")
        StaticFigure(variance)
    """
    figure, axes = new_axes(columns=len(panels), height=3.6, squeeze=False)
    for axis, (label, curves) in zip(axes[0], panels.items(), strict=True):
        for estimator, (curve, points) in curves.items():
            colour = ESTIMATOR_COLOURS.get(estimator, "grey")
            axis.loglog(x, curve, linestyle=_DASHES[colour], color=COLOURS[colour], label=estimator)
            axis.loglog(*points, _MARKERS[colour], color=COLOURS[colour], markersize=5)
        axis.set(xlabel=xlabel, ylabel=label)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return StaticFigure(figure)


def learning_curves(traces, optimum, lowest):
    """Exact objectives during optimisations: against the step, and their distance from the optimum against the cost.

    Args:
        traces: a mapping of labels to mappings with "estimator" (for the colour), "dashed" (a truth value), "steps" and
            "objective", each of shape [num_records], "evaluations" of f at each record, of the same shape, and
            "diverged_at", a step or None.
        optimum: the largest value of the objective.
        lowest: where the axis of the objective ends. A run that diverged is a cross above it, at its last
            step.

    Returns:
        A `StaticFigure` with two panels.

    Example:
        >>> run = {"estimator": "pathwise", "dashed": False, "steps": [0, 1], "objective": [-2.0, -1.5]}
        >>> learning_curves({"pathwise, 5": run | {"evaluations": [0, 5], "diverged_at": None}}, -1.0, -3.0)
        StaticFigure(ELBO (nats); distance from the optimum (nats))
    """
    figure, (left, right) = new_axes(columns=2, width=8.4, height=3.6)
    crosses = 0
    for label, trace in traces.items():
        colour = ESTIMATOR_COLOURS.get(trace["estimator"], "grey")
        style = {"color": COLOURS[colour], "linestyle": "--" if trace["dashed"] else "-", "linewidth": 1.6}
        if trace["diverged_at"] is not None:
            crosses += 1
            height = lowest + 0.07 * crosses * (optimum - lowest)
            marker = "X" if trace["dashed"] else "P"
            left.plot(
                trace["diverged_at"], height, marker, color=COLOURS[colour], ms=9, label=f"{label}: diverged", zorder=3
            )
            continue
        steps, objective, evaluations = (np.asarray(trace[x], float) for x in ("steps", "objective", "evaluations"))
        left.plot(steps, objective, label=label, **style)
        paid = evaluations > 0
        right.plot(evaluations[paid], (optimum - objective)[paid], **style)
    left.axhline(optimum, color=COLOURS["black"], linewidth=1.2, label="optimum")
    left.set(xlabel="step", ylabel="ELBO (nats)", ylim=(lowest, optimum + 0.05 * (optimum - lowest)))
    right.set(xlabel="evaluations of the likelihood", ylabel="distance from the optimum (nats)")
    right.set(xscale="log", yscale="log")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return StaticFigure(figure)


# Columns of the guide: centre and half the width, in inches
_COLUMNS = ((1.38, 1.28), (4.18, 0.98), (6.44, 0.86))
# Questions and answers: column, height in inches, text, whether it is an answer
_NODES = {
    "finite": (0, 5.9, "Few values of z,\nall can be visited?", False),
    "path": (
        0,
        4.4,
        "A path z = g(ε, θ), and\nf(g(ε, ·)) is the integral\nof a derivative you can\nget (no jumps)?",
        False,
    ),
    "support": (0, 2.9, "Is q differentiable in θ,\nwith a support that stays?", False),
    "few": (0, 1.4, "A weak derivative is known,\nand about 2DP evaluations\nare affordable?", False),
    "moving": (1, 2.9, "A weak derivative\nis known?", False),
    "sum": (1, 5.9, "Sum exactly:\nno variance", True),
    "pathwise": (1, 4.4, "Pathwise. If f' is\nlarge beside f/σ,\nlet a pilot run decide", True),
    "difference": (2, 2.9, "Finite differences,\ncommon random\nnumbers: biased\nby the step", True),
    "measure": (1, 1.4, "Measure-valued,\ncoupled if a pilot\nrun says so", True),
    "score": (0, 0.1, "Score function,\nleave-one-out baseline", True),
}
_EDGES = (
    ("finite", "sum", "yes"),
    ("finite", "path", "no"),
    ("path", "pathwise", "yes"),
    ("path", "support", "no"),
    ("support", "moving", "no"),
    ("support", "few", "yes"),
    ("moving", "difference", "no"),
    ("moving", "measure", "yes"),
    ("few", "measure", "yes"),
    ("few", "score", "no"),
)
_WIDTH, _BOTTOM, _TOP = 7.4, -0.3, 6.3  # of the guide, in inches
_PAD = 0.05


def decision_guide():
    """The way from a problem to an estimator, as a tree of questions.

    Returns:
        A `StaticFigure`.

    Example:
        >>> decision_guide()
        StaticFigure(Which estimator?)
    """
    figure, axis = new_axes(width=_WIDTH, height=_TOP - _BOTTOM + 0.3)
    axis.set_title("Which estimator?")
    axis.set(xlim=(0.0, _WIDTH), ylim=(_BOTTOM, _TOP))
    axis.set_axis_off()
    boxes = {name: _box(*node[:3]) for name, node in _NODES.items()}
    for name, (_, _, text, answer) in _NODES.items():
        edge, face = (COLOURS["green"], "#DDF1EA") if answer else (COLOURS["blue"], "#FFFFFF")
        shape = f"round,pad={_PAD},rounding_size=0.15" if answer else f"square,pad={_PAD}"
        (x, y), (width, height) = boxes[name]
        corner = (x - width, y - height)
        axis.add_patch(FancyBboxPatch(corner, 2 * width, 2 * height, boxstyle=shape, ec=edge, fc=face, lw=1.4))
        axis.text(x, y, text, ha="center", va="center", fontsize=10.5, color=COLOURS["black"])
    for start, end, word in _EDGES:
        _arrow(axis, boxes[start], boxes[end], word)
    return StaticFigure(figure)


def _box(column, y, text):
    """Centre, and half of width and height, of the box of a text."""
    x, width = _COLUMNS[column]
    return (x, y), (width, 0.1 + 0.095 * (1 + text.count("\n")))


def _arrow(axis, start, end, word):
    """An arrow from the border of one box to that of the next, with the answer beside it."""
    ((x0, y0), (width0, height0)), ((x1, y1), (width1, height1)) = start, end
    if x0 == x1:
        tail, head = (x0, y0 - height0 - _PAD), (x1, y1 + height1 + _PAD)
        place, align = (x0 + 0.08, 0.5 * (tail[1] + head[1])), "left"
    else:
        tail, head = (x0 + width0 + _PAD, y0), (x1 - width1 - _PAD, y1)
        place, align = (0.5 * (tail[0] + head[0]), y0 + 0.14), "center"
    arrow = FancyArrowPatch(
        tail, head, arrowstyle="-|>", mutation_scale=13, shrinkA=1, shrinkB=1, color=COLOURS["grey"]
    )
    axis.add_patch(arrow)
    axis.text(*place, word, ha=align, va="center", fontsize=10.5, color=COLOURS["orange"], fontweight="bold")
