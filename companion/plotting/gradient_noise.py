"""How noisy estimates of a gradient are: against a step or a dimension, side by side, and under a reader's hand.

Contract: arrays in, a `StaticFigure` or an `InteractiveFigure` out. A method has one colour in all of them if it
has one name.
"""

import altair as alt
import numpy as np

from companion.plotting.figure import COLOURS, InteractiveFigure, StaticFigure, new_axes

__all__ = ["difference_explorer", "histograms", "log_log"]

_CYCLE = ("orange", "blue", "purple", "green", "amber", "black")


def log_log(x, panels, xlabel):
    """Curves and measured points on logarithmic axes, one panel beside another.

    Args:
        x: shape [num_x], where the curves are known.
        panels: a mapping of the label of each panel's vertical axis to a mapping of names of methods to
            a curve, shape [num_x], or to a pair (curve, (points_x, points_y)).
        xlabel: what `x` is.

    Returns:
        A `StaticFigure` with one axes a panel.

    Example:
        >>> log_log([1.0, 10.0], {"variance": {"exact": [1.0, 2.0], "seen": ([1, 3], ([1.0], [1.1]))}}, "step")
        StaticFigure(variance)
    """
    figure, axes = new_axes(columns=len(panels), height=3.4, squeeze=False)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    for ax, (label, curves) in zip(axes[0], panels.items(), strict=True):
        for name, curve in curves.items():
            colour = COLOURS[_CYCLE[names.index(name) % len(_CYCLE)]]
            curve, points = curve if isinstance(curve, tuple) else (curve, None)
            ax.loglog(x, curve, color=colour, label=name)
            if points is not None:
                ax.loglog(*points, "o", color=colour, markersize=5)
        ax.set(xlabel=xlabel, ylabel=label)
        ax.legend(fontsize="small")
    return StaticFigure(figure)


def histograms(estimates, exact, xlabel, bins=60):
    """Histograms of estimates of one number, one row a method, on one axis, with the exact value.

    Args:
        estimates: a mapping of names of methods to estimates, each of shape [num_repetitions].
        exact: the number that they estimate.
        xlabel: what is estimated.
        bins: how many bins between the extremes of all estimates.

    Returns:
        A `StaticFigure` with one axes a method.

    Example:
        >>> histograms({"a": np.zeros(9), "b": np.ones(9)}, 0.5, "gradient")
        StaticFigure(a; b)
    """
    figure, axes = new_axes(rows=len(estimates), height=0.95, sharex=True, squeeze=False)
    everything = np.concatenate([np.asarray(values) for values in estimates.values()])
    edges = np.linspace(everything.min(), everything.max(), bins + 1)
    for ax, (name, values), colour in zip(axes[:, 0], estimates.items(), _CYCLE, strict=False):
        ax.hist(values, bins=edges, color=COLOURS[colour], alpha=0.85)
        ax.axvline(exact, color=COLOURS["black"], linewidth=1.2)
        ax.set_title(name, x=0.0, ha="left", fontsize="small")
        ax.set_yticks([])
        ax.grid(False)
    axes[-1, 0].set_xlabel(xlabel)
    return StaticFigure(figure)


def difference_explorer(eps, other_eps, loc, scale, price, cost, stock, exact):
    r"""Finite differences of a newsvendor's mean profit, with sliders for the step and the number of samples.

    Each tick is one estimate (1/n) sum_i [f(loc + h + scale e_i') - f(loc + scale e_i)] / h for
    f(z) = price min(exp(z), stock) - cost stock, where e' is other noise or the same. The browser computes it.

    Args:
        eps: noise of the first price, shape [num_repetitions, max_samples].
        other_eps: independent noise, of the same shape.
        loc: the location at which the derivative is taken.
        scale: the scale.
        price: what one sold piece brings.
        cost: what one piece of the stock costs.
        stock: how many pieces there are.
        exact: the exact derivative.

    Returns:
        An `InteractiveFigure`.

    Example:
        >>> difference_explorer(np.zeros((2, 3)), np.ones((2, 3)), 4.0, 0.5, 2.5, 1.0, 100.0, 60.0)
        InteractiveFigure(Finite differences ...)
    """
    eps, other_eps = (np.round(np.asarray(e, dtype=float), 3) for e in (eps, other_eps))
    rows = [{"j": j, "e": a.tolist(), "o": b.tolist()} for j, (a, b) in enumerate(zip(eps, other_eps, strict=True))]
    step = alt.param(
        name="log_h", value=-1, bind=alt.binding_range(min=-3, max=0, step=0.1, name="log10 of the step h ")
    )
    most = eps.shape[1]
    count = alt.param(name="n", value=most // 2, bind=alt.binding_range(min=1, max=most, step=1, name="samples n "))

    def difference(noise):
        def profit(z):
            return f"{price} * min(exp({z}), {stock}) - {cost * stock}"

        after, before = profit(f"{loc} + datum.h + {scale} * {noise}"), profit(f"{loc} + {scale} * datum.eps")
        return f"({after} - ({before})) / datum.h"

    # New names for what is cut: a field that overwrites itself stays short when n grows again.
    estimates = (
        alt.Chart(alt.Data(values=rows))
        .transform_calculate(h="pow(10, log_h)", first="slice(datum.e, 0, n)", second="slice(datum.o, 0, n)")
        .transform_flatten(["first", "second"], as_=["eps", "other_eps"])
        .transform_calculate(independent=difference("datum.other_eps"), common=difference("datum.eps"))
        .transform_aggregate(independent="mean(independent)", common="mean(common)", groupby=["j"])
        .transform_fold(["independent", "common"], as_=["noise", "estimate"])
    )
    low, high = exact - 4.0 * abs(exact), exact + 4.0 * abs(exact)
    row = alt.Y("noise:N", title=None, sort=["independent", "common"], scale=alt.Scale(paddingInner=0.4))
    colours = alt.Scale(domain=["independent", "common"], range=[COLOURS["orange"], COLOURS["blue"]])
    ticks = estimates.mark_tick(thickness=2, opacity=0.55, clip=True).encode(
        alt.X(
            "estimate:Q",
            title="estimate of the derivative",
            scale=alt.Scale(domain=[low, high], clamp=True, nice=False),
        ),
        row,
        alt.Color("noise:N", scale=colours, legend=None),
    )
    rule = alt.Chart(alt.Data(values=[{"exact": round(float(exact), 4)}])).mark_rule(
        color=COLOURS["black"], strokeDash=[4, 3], strokeWidth=1.5
    )
    strips = alt.layer(ticks, rule.encode(alt.X("exact:Q"))).properties(width=300, height=110)
    words = (
        estimates.transform_aggregate(mean="mean(estimate)", spread="stdev(estimate)", groupby=["noise"])
        .transform_calculate(
            text="'mean ' + format(datum.mean, '.1f') + ', standard deviation ' + format(datum.spread, '.3~g')"
        )
        .mark_text(align="left", fontSize=12, x=0)
        .encode(
            alt.Y("noise:N", title=None, sort=["independent", "common"]),
            alt.Text("text:N"),
            alt.Color("noise:N", scale=colours, legend=None),
        )
        .properties(width=300, height=50, title=alt.Title("over the repetitions", fontSize=12, anchor="start"))
    )
    chart = alt.vconcat(strips, words).add_params(step, count).configure_view(stroke=None)
    description = (
        "Finite differences with sliders for the step and the number of samples. The estimates with independent "
        "noise spread out in proportion to one over the step; those with common noise keep their spread."
    )
    return InteractiveFigure(chart, description)
