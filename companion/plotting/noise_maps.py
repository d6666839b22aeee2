"""Pictures of z = g(eps, theta): samples against densities, noise that flows to samples, fields of dz/dtheta."""

import altair as alt
import numpy as np

from companion.plotting.figure import COLOURS, InteractiveFigure, StaticFigure, new_axes

__all__ = ["noise_to_samples", "samples_against_densities", "variances_of_two_maps", "velocity_fields"]

_WIDTH = 320  # pixels; fits a phone


def samples_against_densities(panels, xlabel="z", bins=40):
    """A histogram of samples below the density they should have, one panel a family.

    Args:
        panels: a mapping of titles to triples (samples, grid, density): samples of shape [num_samples],
            grid and density of shape [num_points]. Samples outside the grid are counted, not drawn.
        xlabel: the name of the horizontal axis.
        bins: how many bars between the ends of the grid.

    Returns:
        A `StaticFigure` with two panels a row.

    Example:
        >>> grid = np.linspace(0, 1, 5)
        >>> samples_against_densities({"U(0, 1)": (np.linspace(0, 1, 50), grid, np.ones(5))})
        StaticFigure(U(0, 1))
    """
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = new_axes(columns=columns, rows=rows, height=2.5, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, (samples, grid, density)) in zip(axes.flat, panels.items(), strict=False):
        edges = np.linspace(grid[0], grid[-1], bins + 1)
        heights = np.histogram(samples, edges)[0] / (len(samples) * np.diff(edges))
        ax.stairs(heights, edges, fill=True, color=COLOURS["sky"], alpha=0.6, label="samples")
        ax.plot(grid, density, color=COLOURS["black"], label="density")
        ax.set(title=title, xlabel=xlabel, ylim=(0, None))
    axes.flat[0].legend()
    return StaticFigure(figure)


def velocity_fields(points, fields, covariance):
    """Fields dz/dtheta over the plane, with ellipses of equal density of N(0, covariance).

    Args:
        points: where the arrows start, shape [num_points, 2].
        fields: a mapping of titles to arrows, each of shape [num_points, 2].
        covariance: shape [2, 2].

    Returns:
        A `StaticFigure` with one panel a field, all arrows to one scale.

    Example:
        >>> velocity_fields(np.ones([1, 2]), {"still": np.zeros([1, 2])}, np.eye(2))
        StaticFigure(still)
    """
    figure, axes = new_axes(columns=len(fields), width=8.4, height=3.0, squeeze=False, sharey=True)
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    ellipse = np.linalg.cholesky(covariance) @ circle  # [2, 200]
    for ax, (title, arrows) in zip(axes.flat, fields.items(), strict=True):
        for radius in (1, 2):
            ax.plot(*(radius * ellipse), color=COLOURS["grey"], linewidth=1)
        ax.quiver(*points.T, *arrows.T, color=COLOURS["blue"], angles="xy", scale_units="xy", scale=5, width=0.008)
        ax.set(title=title, xlabel="$z_1$", aspect="equal", xlim=(-3, 3), ylim=(-3, 3))
    axes.flat[0].set_ylabel("$z_2$")
    return StaticFigure(figure)


def variances_of_two_maps(correlation, curves, estimates):
    """Variances of one sample's gradient against the correlation: exact curves, measured points.

    Args:
        correlation: shape [num_points], for the curves.
        curves: a mapping of titles of panels to mappings of names of maps to variances, shape [num_points].
        estimates: the same with pairs (correlations, variances) measured, each of shape [num_measured].

    Returns:
        A `StaticFigure` with one panel an integrand.

    Example:
        >>> rho = np.array([0.0, 0.5])
        >>> variances_of_two_maps(rho, {"f": {"one": rho}}, {"f": {"one": (rho, rho)}})
        StaticFigure(f)
    """
    figure, axes = new_axes(columns=len(curves), width=8.0, height=3.0, squeeze=False, sharey=True)
    for ax, (title, by_map) in zip(axes.flat, curves.items(), strict=True):
        for (name, variance), colour, marker in zip(by_map.items(), ("orange", "blue"), "os", strict=False):
            ax.plot(correlation, variance, color=COLOURS[colour], label=name)
            ax.plot(*estimates[title][name], marker, color=COLOURS[colour], markersize=5)
        ax.set(title=title, xlabel=r"correlation $\rho$")
    axes.flat[0].set_ylabel("variance of one sample")
    axes.flat[0].legend()
    return StaticFigure(figure)


def noise_to_samples(theta, noise, samples, slopes, truths):
    """Fixed noise flows through g to samples while a slider moves theta; below, each sample's slope dz/dtheta.

    Args:
        theta: the positions of the slider, evenly spaced, shape [num_thetas].
        noise: a mapping of names of families to noise, each of shape [num_points].
        samples: z = g(eps, theta) for each family, shape [num_thetas, num_points].
        slopes: dz/dtheta for each family, shape [num_thetas, num_points].
        truths: the exact d/dtheta E z for each family, shape [num_thetas].

    Returns:
        An `InteractiveFigure` with a slider and a choice of family.

    Example:
        >>> one = {"still": np.zeros([2, 1])}
        >>> noise_to_samples(np.array([1.0, 2.0]), {"still": np.zeros(1)}, one, one, {"still": np.zeros(2)})
        InteractiveFigure(Lines from noise points, ...)
    """
    families = list(noise)
    rows = [
        {"f": k, "t": _round(t), "e": _round(noise[name][j]), "z": _round(samples[name][i][j]),
         "s": _round(slopes[name][i][j]), "g": _round(truths[name][i])}
        for k, name in enumerate(families)
        for i, t in enumerate(theta)
        for j in range(len(noise[name]))
    ]  # fmt: skip
    step = float(theta[1] - theta[0])
    slider = alt.binding_range(min=_round(theta[0]), max=_round(theta[-1]), step=_round(step), name="theta ")
    position = alt.param(name="theta", value=_round(theta[len(theta) // 3]), bind=slider)
    choice = alt.binding_radio(options=list(range(len(families))), labels=families, name="family ")
    family = alt.param(name="family", value=0, bind=choice)
    here = f"datum.f == family && abs(datum.t - theta) < {step / 2}"
    base = alt.Chart(alt.Data(values=rows)).transform_filter(here)

    values = [row[key] for row in rows for key in ("e", "z")]
    axis = alt.Scale(domain=[min(values) - 0.3, max(values) + 0.3], nice=False)
    slope_range = alt.Scale(domain=[min(r["s"] for r in rows) - 0.3, max(r["s"] for r in rows) + 0.3], nice=False)
    height = alt.Scale(domain=[-0.15, 1.15])
    lines = base.mark_rule(color=COLOURS["grey"], opacity=0.7).encode(
        x=alt.X("e:Q", scale=axis, title="noise (below) and sample (above)"),
        x2="z:Q",
        y=alt.YDatum(0, scale=height, axis=None),
        y2=alt.Y2Datum(1),
    )
    below = base.mark_point(filled=True, size=45, color=COLOURS["black"])
    above = base.mark_point(filled=True, size=55, color=COLOURS["blue"])
    flow = lines
    flow += below.encode(x=alt.X("e:Q", scale=axis), y=alt.YDatum(0, scale=height, axis=None))
    flow += above.encode(x=alt.X("z:Q", scale=axis), y=alt.YDatum(1, scale=height, axis=None))

    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(color=COLOURS["grey"]).encode(y=alt.YDatum(0))
    dots = base.mark_point(filled=True, size=45, color=COLOURS["orange"]).encode(
        x=alt.X("z:Q", scale=axis, title="sample z"), y=alt.Y("s:Q", scale=slope_range, title="slope dz/dtheta")
    )
    words = "'mean slope ' + format(datum.m, '.2f') + ', true d/dtheta E z ' + format(datum.g, '.2f')"
    summary = (
        base.transform_aggregate(m="mean(s)", g="mean(g)")
        .transform_calculate(words=words)
        .mark_text(align="left", fontSize=13, color=COLOURS["black"])
        .encode(text="words:N", x=alt.value(0), y=alt.value(-12))
    )
    upper = flow.properties(width=_WIDTH, height=170)
    lower = (zero + dots + summary).properties(width=_WIDTH, height=170)
    chart = alt.vconcat(upper, lower, spacing=35).add_params(position, family)
    what = (
        "Lines from noise points, which stay where they are, to samples, which move with the slider theta; "
        "below, the slope dz/dtheta of each sample, its mean, and the exact derivative of the expectation"
    )
    return InteractiveFigure(chart, what)


def _round(x):
    return round(float(x), 3)
