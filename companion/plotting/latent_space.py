"""What a variational autoencoder has learnt, in pictures: where examples lie in its latent space, what it decodes.

Contract: as for the package. Images come as arrays with values in [0, 1], white for 0 and black for 1, as ink is.
"""

import altair as alt
import numpy as np

from companion.plotting.figure import COLOURS, InteractiveFigure, StaticFigure, new_axes

__all__ = ["image_rows", "latent_map", "walker"]

# Ten colours; the points are drawn as the digits they stand for, so that no colour needs to be told from another
_LABEL_COLOURS = [COLOURS[name] for name in ("blue", "orange", "green", "purple", "amber", "black", "sky", "grey")]
_LABEL_COLOURS += ["#661100", "#332288"]
_WIDTH = 240


def latent_map(panels, limit=3.5):
    """Examples in a two-dimensional latent space, each drawn as its label, one panel beside another.

    Args:
        panels: a mapping of titles to pairs (z, labels), of shapes [num_examples, 2] and [num_examples], labels 0 to 9.
        limit: both axes go from -limit to limit; what lies outside is not drawn.

    Returns:
        A `StaticFigure` with one axes a panel.

    Example:
        >>> latent_map({"dense": ([[0.0, 1.0], [1.0, 0.0]], [3, 7])})
        StaticFigure(dense)
    """
    figure, axes = new_axes(columns=len(panels), height=3.8, squeeze=False, sharey=True)
    for ax, (title, (z, labels)) in zip(axes[0], panels.items(), strict=True):
        z, labels = np.asarray(z), np.asarray(labels)
        for label in np.unique(labels):
            of_label = z[labels == label]
            colour = _LABEL_COLOURS[int(label)]
            ax.plot(*of_label.T, linestyle="", marker=f"${label}$", markersize=5, color=colour, markeredgewidth=0.2)
        ax.set(title=title, xlim=(-limit, limit), ylim=(-limit, limit), xlabel="$z_1$", aspect="equal")
    axes[0, 0].set_ylabel("$z_2$")
    return StaticFigure(figure)


def image_rows(rows):
    """Rows of images, each with a title.

    Args:
        rows: a mapping of titles to images of shape [num_images, height, width] or [num_images, height, width, 1].

    Returns:
        A `StaticFigure` with one axes a row.

    Example:
        >>> image_rows({"given": np.zeros((3, 8, 8)), "decoded": np.ones((3, 8, 8, 1))})
        StaticFigure(given; decoded)
    """
    rows = {title: np.asarray(images).reshape(np.shape(images)[:3]) for title, images in rows.items()}
    figure, axes = new_axes(rows=len(rows), height=0.95, squeeze=False)
    for (ax,), (title, images) in zip(axes, rows.items(), strict=True):
        strip = np.concatenate(np.pad(images, ((0, 0), (0, 0), (0, 1))), axis=1)  # a white column after each image
        ax.imshow(strip, cmap="gray_r", vmin=0.0, vmax=1.0)
        ax.set_title(title, loc="left", fontsize="small")
        ax.set_ylabel(title)  # not drawn, for the figure's name
        ax.set_axis_off()
    return StaticFigure(figure)


def walker(images, z, labels, limit=3.0):
    """Two sliders that walk a two-dimensional latent space; the browser shows what the decoder makes of the place.

    Between the points of the grid the images are interpolated (bilinearly).

    Args:
        images: decoded means on a square grid, shape [num_steps, num_steps, height, width] or with one more axis of
            length 1: the first axis is z_1, the second z_2, both from -limit to limit. Rounded to two decimals.
        z: examples in the latent space, shape [num_examples, 2].
        labels: their labels, 0 to 9, shape [num_examples].
        limit: how far the sliders go.

    Returns:
        An `InteractiveFigure`.

    Example:
        >>> walker(np.zeros((5, 5, 8, 8)), [[0.0, 1.0]], [3])
        InteractiveFigure(Two sliders ...)
    """
    images = np.asarray(images, dtype=float)
    num_steps, _, height, width = images.shape[:4]
    table = images.reshape(num_steps**2, height * width).round(2).tolist()
    controls = [
        alt.param(name=f"z{k}", value=0, bind=alt.binding_range(min=-limit, max=limit, step=0.1, name=f"z{k} "))
        for k in (1, 2)
    ]
    decoded = _decoded(num_steps, height, width, limit)
    chart = alt.vconcat(decoded, _places(z, labels, limit), spacing=18)
    chart = chart.add_params(*controls, alt.param(name="images", value=table)).configure_view(stroke=None)
    description = (
        "Two sliders choose a point of the latent space. Above: the image that the decoder makes of it. Below: a map "
        "of the test images, each drawn as the digit it shows, with a cross at the chosen point."
    )
    return InteractiveFigure(chart, description)


def _decoded(num_steps, height, width, limit):
    """The image at the sliders' place, one row of the data a pixel."""
    step = 2.0 * limit / (num_steps - 1)
    fields = {
        "a": f"(z1 + {limit}) / {step}",
        "b": f"(z2 + {limit}) / {step}",
        "i": f"min(floor(datum.a), {num_steps - 2})",
        "j": f"min(floor(datum.b), {num_steps - 2})",
        "row": f"floor(datum.pixel / {width})",
        "column": f"datum.pixel % {width}",
    }
    corner = f"images[(datum.i + {{p}}) * {num_steps} + datum.j + {{q}}][datum.pixel]"
    weights = {"0": "1 - datum.{x} + datum.{n}", "1": "datum.{x} - datum.{n}"}
    terms = [
        f"({weights[p].format(x='a', n='i')}) * ({weights[q].format(x='b', n='j')}) * {corner.format(p=p, q=q)}"
        for p in "01"
        for q in "01"
    ]
    chart = alt.Chart(alt.sequence(0, height * width, 1, as_="pixel"))
    for name, expression in (fields | {"value": " + ".join(terms)}).items():
        chart = chart.transform_calculate(**{name: expression})
    colour = alt.Color("value:Q", scale=alt.Scale(domain=[0, 1], range=["#ffffff", "#000000"]), legend=None)
    squares = chart.mark_rect(stroke=None).encode(
        alt.X("column:O", axis=None, scale=alt.Scale(padding=0)),
        alt.Y("row:O", axis=None, scale=alt.Scale(padding=0)),
        colour,
    )
    return squares.properties(width=160, height=160, title="decoded: the mean of p(x | z)")


def _places(z, labels, limit):
    """The map of the examples, and a cross where the sliders are."""
    z, labels = np.asarray(z, dtype=float), np.asarray(labels)
    inside = np.abs(z).max(axis=1) <= limit
    rows = [
        {"a": round(float(p), 2), "b": round(float(q), 2), "label": str(label)}
        for (p, q), label in zip(z[inside], labels[inside], strict=True)
    ]
    scale = alt.Scale(domain=[-limit, limit], nice=False)
    x, y = alt.X("a:Q", title="z1", scale=scale), alt.Y("b:Q", title="z2", scale=scale)
    colours = alt.Scale(domain=[str(label) for label in range(10)], range=_LABEL_COLOURS)
    points = alt.Chart(alt.Data(values=rows)).mark_text(fontSize=10)
    points = points.encode(x, y, alt.Text("label:N"), alt.Color("label:N", scale=colours, legend=None))
    here = alt.Chart(alt.sequence(0, 1, 1, as_="one")).transform_calculate(a="z1", b="z2")
    here = here.mark_point(shape="cross", size=260, filled=True, color=COLOURS["black"], opacity=0.85).encode(x, y)
    return (points + here).properties(width=_WIDTH, height=_WIDTH, title="test images, at the mean of q(z | x)")
