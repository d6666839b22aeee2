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


# Questions and answers of the guide: centre, text, whether it is an answer
_NODES = {
    "finite": ((1.9, 6.0), "Few values of z,\nall can be visited?", False),
    "path": (
        (1.9, 4.4),
        "A path z = g(ε, θ), and f(g(ε, ·))\nis the integral of a derivative\nyou can get (no jumps)?",
        False,
    ),
    "support": ((1.9, 2.6), "Is q differentiable in θ,\nwith a support that stays?", False),
    "few": ((1.9, 0.9), "A weak derivative is known, and\n1 + 2DP evaluations\nare affordable?", False),
    "moving": ((6.6, 2.6), "A weak derivative\nis known?", False),
    "sum": ((6.6, 6.0), "Sum exactly:\nno variance", True),
    "pathwise": ((6.6, 4.4), "Pathwise. If f' is large beside f/σ,\nlet a pilot run decide", True),
    "difference": ((10.6, 2.6), "Finite differences,\ncommon random numbers:\nbiased by the step", True),
    "measure": ((6.6, 0.9), "Measure-valued, coupled\nif a pilot run says so", True),
    "score": ((1.9, -0.7), "Score function,\nleave-one-out baseline", True),
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
_HALF_WIDTH, _HALF_HEIGHT = 1.72, 0.52


def decision_guide():
    """The way from a problem to an estimator, as a tree of questions.

    Returns:
        A `StaticFigure`.

    Example:
        >>> decision_guide()
        StaticFigure(Which estimator?)
    """
    figure, axis = new_axes(width=8.6, height=5.6)
    axis.set_title("Which estimator?")
    axis.set(xlim=(0.0, 12.5), ylim=(-1.4, 6.7))
    axis.set_axis_off()
    for (x, y), text, answer in _NODES.values():
        edge, face = (COLOURS["green"], "#DDF1EA") if answer else (COLOURS["blue"], "#FFFFFF")
        shape = "round,pad=0.05,rounding_size=0.3" if answer else "square,pad=0.05"
        corner = (x - _HALF_WIDTH, y - _HALF_HEIGHT)
        box = FancyBboxPatch(corner, 2 * _HALF_WIDTH, 2 * _HALF_HEIGHT, boxstyle=shape, ec=edge, fc=face, lw=1.4)
        axis.add_patch(box)
        axis.text(x, y, text, ha="center", va="center", fontsize=8.5, color=COLOURS["black"])
    for start, end, word in _EDGES:
        _arrow(axis, _NODES[start][0], _NODES[end][0], word)
    return StaticFigure(figure)


def _arrow(axis, start, end, word):
    """An arrow from the border of one box to that of the next, with the answer beside it."""
    (x0, y0), (x1, y1) = start, end
    if x0 == x1:
        tail, head = (x0, y0 - _HALF_HEIGHT - 0.06), (x1, y1 + _HALF_HEIGHT + 0.06)
        place, align = (x0 + 0.12, 0.5 * (tail[1] + head[1])), "left"
    else:
        tail, head = (x0 + _HALF_WIDTH + 0.06, y0), (x1 - _HALF_WIDTH - 0.06, y1)
        place, align = (0.5 * (tail[0] + head[0]), y0 + 0.16), "center"
    axis.add_patch(FancyArrowPatch(tail, head, arrowstyle="-|>", mutation_scale=13, color=COLOURS["grey"]))
    axis.text(*place, word, ha=align, va="center", fontsize=9, color=COLOURS["orange"], fontweight="bold")
