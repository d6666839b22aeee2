"""Figures about bounds on log p(x): which directions of the data pay for themselves, and how bounds tighten.

Contract: arrays in, a `StaticFigure` out.
"""

import numpy as np

from companion.plotting.figure import COLOURS, StaticFigure, new_axes

__all__ = ["scree", "tightening"]

_CYCLE = ("orange", "blue", "purple", "green", "amber", "black")


def scree(eigenvalues, levels, measured=None):
    """Eigenvalues of the data's covariance, with the noise variances that decide which of them a linear VAE uses.

    Args:
        eigenvalues: largest first, shape [num_shown].
        levels: a mapping of labels to noise variances, drawn as horizontal lines.
        measured: a mapping of labels to the eigenvalues that trained models found, shape [latent_dim] each, drawn
            as points; None for none.

    Returns:
        A `StaticFigure`.

    Example:
        >>> scree([0.7, 0.3, 0.1], {"learnt": 0.2}, {"found": [0.69, 0.31]})
        StaticFigure(variance along the axis)
    """
    figure, ax = new_axes(height=3.6)
    places = np.arange(1, len(eigenvalues) + 1)
    ax.bar(places, eigenvalues, color=COLOURS["grey"], alpha=0.6, label="data")
    for (label, level), colour in zip(levels.items(), _CYCLE, strict=False):
        ax.axhline(level, color=COLOURS[colour], linestyle="--", linewidth=1.6, label=label)
    for (label, values), colour, marker in zip((measured or {}).items(), _CYCLE, "osD^v*", strict=False):
        ax.plot(places[: len(values)], values, marker, color=COLOURS[colour], markersize=5, label=label)
    ax.set(xlabel="principal axis", ylabel="variance along the axis", yscale="log", xticks=places[::2])
    ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return StaticFigure(figure)


def tightening(num_samples, curves, exact, ylabel="nats per example"):
    """Bounds against the number of importance samples, with the value that they approach.

    Args:
        num_samples: K, shape [num_points].
        curves: a mapping of names to (values, standard errors), each of shape [num_points].
        exact: log p(x).
        ylabel: what the curves are.

    Returns:
        A `StaticFigure`.

    Example:
        >>> tightening([1, 10], {"q": ([-2.0, -1.0], [0.1, 0.1])}, exact=-0.5)
        StaticFigure(nats per example)
    """
    figure, ax = new_axes(height=3.4)
    for (name, (values, errors)), colour in zip(curves.items(), _CYCLE, strict=False):
        bars = {"yerr": 3.0 * np.asarray(errors), "capsize": 2}
        ax.errorbar(num_samples, values, **bars, color=COLOURS[colour], marker="o", markersize=4, label=name)
    ax.axhline(exact, color=COLOURS["black"], linestyle=":", linewidth=1.5, label="$\\log p(x)$, exact")
    ax.set(xlabel="number of samples K", ylabel=ylabel, xscale="log")
    ax.legend(fontsize="small")
    return StaticFigure(figure)
