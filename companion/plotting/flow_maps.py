"""Points and densities in the plane, before, after and on their way through a flow.

Contract: as for the package. A density is drawn from values on a square grid, points as dots.
"""

import altair as alt
import numpy as np

from companion.plotting.figure import COLOURS, InteractiveFigure, StaticFigure, new_axes

__all__ = ["clouds", "gallery", "grid", "learning_curves", "walk"]

_WIDTH = 300
# cyclic, both halves told apart by hue and all by lightness; after matplotlib's "twilight"
_WHEEL = ["#2f1436", "#5e43a5", "#6c90c4", "#a6bfca", "#d9c6b6", "#c78a6a", "#a3424e", "#5c1747", "#2f1436"]


def grid(limit, num=160):
    """The points of a square grid, row after row from the lower left, for the values that `gallery` draws.

    Args:
        limit: both coordinates go from -limit to limit.
        num: how many points a side.

    Returns:
        A float64 array of shape [num * num, 2].

    Example:
        >>> grid(1.0, num=2).tolist()
        [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]
    """
    ticks = np.linspace(-limit, limit, num)
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)


def clouds(panels, limit):
    """Points in the plane, one panel beside another.

    Args:
        panels: a mapping of titles to points of shape [num_points, 2].
        limit: both axes go from -limit to limit; what lies outside is not drawn.

    Returns:
        A `StaticFigure` with one axes a panel.

    Example:
        >>> clouds({"noise": [[0.0, 1.0]], "sample": [[2.0, 1.0]]}, limit=3.0)
        StaticFigure(noise; sample)
    """
    return gallery(panels, columns=len(panels), limit=limit)


def gallery(panels, columns, limit):
    """Points and densities in the plane, in rows.

    Args:
        panels: a mapping of titles to points, shape [num_points, 2], or to values of a density on `grid(limit)`, shape
            [num * num].
        columns: how many panels a row.
        limit: both axes go from -limit to limit.

    Returns:
        A `StaticFigure` with one axes a panel.

    Example:
        >>> gallery({"density": np.ones(9), "points": np.zeros((4, 2))}, columns=2, limit=1.0)
        StaticFigure(density; points)
    """
    rows = -(-len(panels) // columns)
    figure, axes = new_axes(columns, rows, height=7.2 / columns + 0.15, squeeze=False, sharex=True, sharey=True)
    for ax, (title, values) in zip(axes.flat, panels.items(), strict=False):
        values = np.asarray(values)
        if values.ndim == 1:
            side = round(len(values) ** 0.5)
            shades = {"cmap": "Blues", "vmin": 0.0, "vmax": np.quantile(values, 0.995)}  # spikes must not pale the rest
            ax.imshow(values.reshape(side, side), extent=[-limit, limit] * 2, origin="lower", **shades)
        else:
            ax.plot(*values.T, ".", color=COLOURS["blue"], markersize=1.0, alpha=0.6, rasterized=True)
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        ax.set_title(title, fontsize="small")
        ax.grid(False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    return StaticFigure(figure)


def learning_curves(curves, levels, ylim=None):
    """Losses against the epoch, with horizontal lines.

    Args:
        curves: a mapping with "loss" and "val_loss", arrays of shape [num_epochs].
        levels: a mapping of names to numbers: dashed lines.
        ylim: a pair, the ends of the vertical axis, or None.

    Returns:
        A `StaticFigure`.

    Example:
        >>> learning_curves({"loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}, {"entropy": 1.2})
        StaticFigure(nats per example)
    """
    figure, ax = new_axes()
    names = {"loss": ("training", "blue"), "val_loss": ("held out", "orange")}
    for key, (label, colour) in names.items():
        ax.plot(1 + np.arange(len(curves[key])), curves[key], color=COLOURS[colour], label=label)
    for (label, level), colour in zip(levels.items(), ("black", "green", "purple"), strict=False):
        ax.axhline(level, color=COLOURS[colour], linestyle="--", linewidth=1.3, label=label)
    ax.set(xlabel="epoch", ylabel="nats per example", ylim=ylim)
    ax.legend(fontsize="small")
    return StaticFigure(figure)


def walk(steps, limit):
    """A slider that moves points through the layers of a flow, interpolated between them by the browser.

    Args:
        steps: the points before the first layer, after it, and so on: shape [1 + num_layers, num_points, 2]. Rounded
            to two decimals. The colour of a point is the angle of its first place, and stays.
        limit: both axes go from -limit to limit; points outside are not drawn.

    Returns:
        An `InteractiveFigure`.

    Example:
        >>> walk(np.zeros((3, 5, 2)), limit=2.0)
        InteractiveFigure(A slider ...)
    """
    steps = np.asarray(steps, dtype=float)
    num_layers = len(steps) - 1
    angles = np.arctan2(steps[0, :, 1], steps[0, :, 0])
    rows = [
        {"x": path[:, 0].round(2).tolist(), "y": path[:, 1].round(2).tolist(), "angle": round(float(angle), 2)}
        for path, angle in zip(steps.transpose(1, 0, 2), angles, strict=True)
    ]
    slider = alt.binding_range(min=0, max=num_layers, step=0.05, name="layers ")
    place = alt.param(name="layer", value=0, bind=slider)
    chart = alt.Chart(alt.Data(values=rows)).transform_calculate(lower=f"min(floor(layer), {max(num_layers - 1, 0)})")
    chart = chart.transform_calculate(
        here_x="datum.x[datum.lower] + (layer - datum.lower) * (datum.x[datum.lower + 1] - datum.x[datum.lower])",
        here_y="datum.y[datum.lower] + (layer - datum.lower) * (datum.y[datum.lower + 1] - datum.y[datum.lower])",
    )
    scale = alt.Scale(domain=[-limit, limit], nice=False)
    wheel = alt.Scale(domain=np.linspace(-np.pi, np.pi, len(_WHEEL)).round(3).tolist(), range=_WHEEL)
    chart = chart.mark_circle(size=14, opacity=0.9, clip=True).encode(
        alt.X("here_x:Q", title="first coordinate", scale=scale),
        alt.Y("here_y:Q", title="second coordinate", scale=scale),
        alt.Color("angle:Q", scale=wheel, legend=None),
    )
    chart = chart.properties(width=_WIDTH, height=_WIDTH).add_params(place).configure_view(stroke=None)
    description = (
        f"A slider from 0 to {num_layers} moves {steps.shape[1]} points through the layers of a flow, from a round "
        "cloud of noise to a sample. Each point keeps the colour of the angle at which it started."
    )
    return InteractiveFigure(chart, description)
