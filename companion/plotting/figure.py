"""What every plotting function returns: a `StaticFigure` (Matplotlib) or an `InteractiveFigure` (Altair).

Contract: plotting functions take arrays and return one of these. Both show themselves in a notebook, the
same bytes for the same data; neither touches pyplot or any other global state.
"""

import hashlib
import io
import json

import matplotlib
from matplotlib.figure import Figure

__all__ = ["COLOURS", "InteractiveFigure", "StaticFigure", "new_axes"]

# Okabe and Ito's palette, told apart with every kind of colour vision and readable on the white card
COLOURS = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "amber": "#E69F00",
    "black": "#222222",
    "grey": "#8C8C8C",
}

_STYLE = {
    "axes.grid": True,
    "axes.prop_cycle": matplotlib.cycler(
        color=[COLOURS[name] for name in ("blue", "orange", "green", "purple", "amber")], linewidth=[1.8] * 5
    ),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.dpi": 144,
    "font.size": 10,
    "grid.alpha": 0.25,
}


class StaticFigure:
    """A Matplotlib figure that shows itself as a PNG on a white background.

    Attributes:
        figure: the `matplotlib.figure.Figure`, for whoever wants to change or save it.
    """

    def __init__(self, figure):
        self.figure = figure

    def save(self, path):
        """Writes the figure to a file; the ending of the name decides the format."""
        self.figure.savefig(path, bbox_inches="tight")

    def _repr_mimebundle_(self, include=None, exclude=None):
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
        return {"image/png": buffer.getvalue(), "text/plain": repr(self)}

    def __repr__(self):
        titles = [ax.get_title() or ax.get_ylabel() for ax in self.figure.axes]
        return f"StaticFigure({'; '.join(t for t in titles if t)})"


class InteractiveFigure:
    """An Altair chart with sliders that work without a kernel.

    Args:
        chart: the chart.
        description: what the figure shows, for someone who does not see it.
    """

    def __init__(self, chart, description):
        self.chart = chart.properties(description=description)
        self.description = description

    def save(self, path):
        """Writes the figure to a file that a browser opens (.html), or its specification (.json)."""
        self.chart.save(path)

    def _repr_mimebundle_(self, include=None, exclude=None):
        spec = json.dumps(self.chart.to_dict(), sort_keys=True)
        name = "figure-" + hashlib.sha256(spec.encode()).hexdigest()[:12]
        options = {"actions": False}  # the menu's editor is on another site
        html = self.chart.to_html(template="universal", fullhtml=False, output_div=name, embed_options=options)
        return {"text/html": html, "text/plain": repr(self)}

    def __repr__(self):
        return f"InteractiveFigure({self.description})"


def new_axes(columns=1, rows=1, width=7.2, height=3.2, **options):
    """A figure in the book's style and its axes: one `Axes`, or an array of them.

    Args:
        columns: how many axes side by side.
        rows: how many one above another.
        width: inches.
        height: inches, of one row.
        **options: passed to `Figure.subplots`, such as sharey=True.

    Returns:
        A pair of a `matplotlib.figure.Figure` and its axes.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height * rows), layout="constrained")
        return figure, figure.subplots(rows, columns, **options)
