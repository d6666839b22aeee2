"""What a network with uncertain weights predicts along one input: its mean, and bands for what it does not know.

Contract: as for the package. The inner band is two standard deviations of the function (epistemic), the outer one two
of a target (the noise added).
"""

import altair as alt
import numpy as np

from companion.plotting.figure import COLOURS, InteractiveFigure, StaticFigure, new_axes

__all__ = ["explorer", "panels"]

_WIDTH = 230  # so that it fits a phone


def panels(x, predictions, data, truth=None, limits=None):
    """Bands of several models over one set of data, one panel beside another.

    Args:
        x: where the predictions are, shape [num_x].
        predictions: a mapping of titles to triples (mean, epistemic, total), the last two variances, each [num_x].
        data: a pair (x, y) of arrays of shape [num_examples].
        truth: the function behind the data at `x`, shape [num_x], or None.
        limits: a pair, the ends of the vertical axis, or None.

    Returns:
        A `StaticFigure` with one axes a model.

    Example:
        >>> x = np.linspace(0.0, 1.0, 3)
        >>> panels(x, {"exact": (x, 0 * x + 0.1, 0 * x + 0.2)}, ([0.5], [0.4]))
        StaticFigure(exact)
    """
    figure, axes = new_axes(columns=len(predictions), height=3.0, squeeze=False, sharey=True)
    for ax, (title, (mean, epistemic, total)) in zip(axes[0], predictions.items(), strict=True):
        mean = np.asarray(mean)
        for variance, alpha, label in ((total, 0.18, "a target"), (epistemic, 0.4, "the function")):
            width = 2.0 * np.sqrt(variance)
            colour = COLOURS["blue"]
            ax.fill_between(x, mean - width, mean + width, color=colour, alpha=alpha, linewidth=0, label=label)
        ax.plot(x, mean, color=COLOURS["blue"], label="mean")
        if truth is not None:
            ax.plot(x, truth, color=COLOURS["black"], linestyle="--", linewidth=1.2, label="truth")
        ax.plot(*data, "o", color=COLOURS["orange"], markersize=3, label="data")
        ax.set(title=title, xlabel="x", ylim=limits)
    axes[0, 0].set_ylabel("y")
    axes[0, 0].legend(fontsize="x-small", loc="best")
    return StaticFigure(figure)


def explorer(x, prior_scales, counts, mean, epistemic, noise_scale, data, truth, limits=(-2.5, 2.5)):
    """A regression's bands for a grid of prior scales and numbers of data, one of which the reader chooses.

    Nothing is interpolated between fits: each choice shows a network that was trained.

    Args:
        x: where the predictions are, shape [num_x].
        prior_scales: standard deviations of the prior, one a row of fits, shape [num_scales].
        counts: numbers of data, one a column of fits; the first so many of `data` are shown, shape [num_counts].
        mean: the predictive means, shape [num_scales, num_counts, num_x]. Rounded to three decimals.
        epistemic: the variances of the function, of the same shape.
        noise_scale: the standard deviation of a target about the function.
        data: a pair (x, y) of arrays of shape [num_examples].
        truth: the function behind the data at `x`, shape [num_x].
        limits: the ends of the vertical axis.

    Returns:
        An `InteractiveFigure`.

    Example:
        >>> grid = np.zeros((1, 1, 3))
        >>> explorer([0.0, 0.5, 1.0], [1.0], [2], grid, grid + 0.1, 0.1, ([0.2, 0.4], [0.0, 0.1]), [0.0, 0.0, 0.0])
        InteractiveFigure(Choices of the prior's ...)
    """
    x, mean, epistemic = (np.asarray(a, dtype=float) for a in (x, mean, epistemic))
    scales, counts = [float(s) for s in prior_scales], [int(n) for n in counts]
    tables = {
        "places": x.round(3).tolist(),
        "truths": np.asarray(truth, dtype=float).round(3).tolist(),
        "means": mean.round(3).tolist(),
        "spreads": np.sqrt(epistemic).round(3).tolist(),
        "scales": scales,
        "counts": counts,
    }
    middle = [len(options) // 2 for options in (scales, counts)]
    controls = [
        _choice("scale", "prior scale ", scales, middle[0]),
        _choice("count", "number of data ", counts, middle[1]),
        *(alt.param(name=name, value=value) for name, value in tables.items()),
    ]
    layers = [*_bands(len(x), noise_scale, limits), _points(data)]
    chart = alt.layer(*layers).properties(width=_WIDTH, height=260, title="mean, two standard deviations")
    chart = alt.vconcat(chart, _words(x)).add_params(*controls).configure_view(stroke=None)
    description = (
        "Choices of the prior's standard deviation and of the number of data. A curve shows the mean prediction of a "
        "trained network, a dark band its epistemic and a light band its total uncertainty, a dashed curve the truth."
    )
    return InteractiveFigure(chart, description)


def _choice(name, label, options, start):
    return alt.param(name=name, value=options[start], bind=alt.binding_radio(options=options, name=label))


_FIT = "{table}[indexof(scales, scale)][indexof(counts, count)][datum.i]"


def _bands(num_x, noise_scale, limits):
    """The two bands, the mean and the truth."""
    fields = {
        "x": "places[datum.i]",
        "truth": "truths[datum.i]",
        "mean": _FIT.format(table="means"),
        "spread": _FIT.format(table="spreads"),
        "total": f"sqrt(pow(datum.spread, 2) + {noise_scale**2})",
        "low": "datum.mean - 2 * datum.spread",
        "high": "datum.mean + 2 * datum.spread",
        "lowest": "datum.mean - 2 * datum.total",
        "highest": "datum.mean + 2 * datum.total",
    }
    base = alt.Chart(alt.sequence(0, num_x, 1, as_="i"))
    for name, expression in fields.items():
        base = base.transform_calculate(**{name: expression})
    x = alt.X("x:Q", title="x", scale=alt.Scale(nice=False))

    def y(name):
        return alt.Y(f"{name}:Q", title="y", scale=alt.Scale(domain=list(limits), nice=False))

    blue, black = COLOURS["blue"], COLOURS["black"]
    return [
        base.mark_area(color=blue, opacity=0.18, clip=True).encode(x, y("lowest"), alt.Y2("highest:Q")),
        base.mark_area(color=blue, opacity=0.4, clip=True).encode(x, y("low"), alt.Y2("high:Q")),
        base.mark_line(color=blue, strokeWidth=2, clip=True).encode(x, y("mean")),
        base.mark_line(color=black, strokeDash=[5, 3], strokeWidth=1.2, clip=True).encode(x, y("truth")),
    ]


def _points(data):
    """The data that the chosen fit has seen."""
    rows = [
        {"n": n, "px": round(float(a), 3), "py": round(float(b), 3)} for n, (a, b) in enumerate(zip(*data, strict=True))
    ]
    points = alt.Chart(alt.Data(values=rows)).transform_filter("datum.n < count")
    return points.mark_point(color=COLOURS["orange"], filled=True, size=18, opacity=0.8).encode(
        alt.X("px:Q"), alt.Y("py:Q")
    )


def _words(x):
    """The epistemic standard deviation in numbers: at both ends, and least."""
    chart = alt.Chart(alt.sequence(0, len(x), 1, as_="i")).transform_calculate(spread=_FIT.format(table="spreads"))
    chart = chart.transform_aggregate(left="argmin(i)", right="argmax(i)", least="min(spread)").transform_calculate(
        text=f"'epistemic sd ' + format(datum.left.spread, '.2f') + ' at {x[0]:g},  least ' "
        f"+ format(datum.least, '.2f') + ',  ' + format(datum.right.spread, '.2f') + ' at {x[-1]:g}'"
    )
    return (
        chart.mark_text(align="left", fontSize=12, x=0).encode(alt.Text("text:N")).properties(width=_WIDTH, height=20)
    )
