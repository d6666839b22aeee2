"""Whether a classifier's probabilities can be believed: against how often it is right, and under a shift of the data.

Contract: as for the package. Several classifiers share one picture; each has one colour in all panels.
"""

import numpy as np

from companion.plotting.figure import COLOURS, StaticFigure, new_axes

__all__ = ["reliability", "scoreboard", "under_shift"]

_CYCLE = ("orange", "blue", "green", "purple", "amber", "black")
_MARKERS = ("o", "s", "^", "D", "v", "P")


def reliability(classifiers, num_bins=10):
    """How often the most probable class is right, against the probability that it was given.

    On the diagonal a classifier is calibrated. A point's area is in proportion to how many examples its bin holds.

    Args:
        classifiers: a mapping of names to pairs (probabilities, labels), of shapes [num_examples, num_classes] and
            [num_examples].
        num_bins: how many bins of equal width between 0 and 1.

    Returns:
        A `StaticFigure` with one axes a classifier.

    Example:
        >>> reliability({"network": ([[0.9, 0.1], [0.2, 0.8]], [0, 0])})
        StaticFigure(network)
    """
    figure, axes = new_axes(columns=len(classifiers), height=2.6, squeeze=False, sharey=True)
    for ax, (name, (probabilities, labels)), colour in zip(axes[0], classifiers.items(), _CYCLE, strict=False):
        confidence, accuracy, share = _binned(np.asarray(probabilities), np.asarray(labels), num_bins)
        ax.plot([0, 1], [0, 1], color=COLOURS["grey"], linewidth=1)
        ax.plot(confidence, accuracy, color=COLOURS[colour], linewidth=1)
        ax.scatter(confidence, accuracy, s=20 + 400 * share, color=COLOURS[colour], alpha=0.6, linewidth=0)
        ax.set(title=name, xlabel="probability", xlim=(0, 1), ylim=(-0.03, 1.03), aspect="equal")
        ax.title.set_fontsize("small")
    axes[0, 0].set_ylabel("how often right")
    return StaticFigure(figure)


def _binned(probabilities, labels, num_bins):
    """Mean confidence, accuracy and share of the examples, for each bin that holds any."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    held = [bins == b for b in range(num_bins) if (bins == b).any()]
    shares = np.array([chosen.mean() for chosen in held])
    return *(np.array([a[chosen].mean() for chosen in held]) for a in (confidence, right)), shares


def under_shift(x, quantities, xlabel):
    """Curves of several classifiers against the size of a shift, one panel a quantity.

    Args:
        x: the sizes of the shift, shape [num_x].
        quantities: a mapping of the label of each panel to a mapping of names of classifiers to curves, shape [num_x].
        xlabel: what `x` is.

    Returns:
        A `StaticFigure` with one axes a quantity.

    Example:
        >>> under_shift([0, 90], {"accuracy": {"network": [1.0, 0.2]}}, "angle")
        StaticFigure(accuracy)
    """
    figure, axes = new_axes(columns=len(quantities), height=3.0, squeeze=False)
    for ax, (label, curves) in zip(axes[0], quantities.items(), strict=True):
        for (name, curve), colour, marker in zip(curves.items(), _CYCLE, _MARKERS, strict=False):
            ax.plot(x, curve, color=COLOURS[colour], marker=marker, markersize=4, label=name)
        ax.set(xlabel=xlabel, ylabel=label)
    axes[0, 0].legend(fontsize="x-small", loc="best")
    return StaticFigure(figure)


def scoreboard(scores):
    """Numbers of several classifiers side by side, one panel a score, each on its own scale.

    Args:
        scores: a mapping of the name of each score to a mapping of names of classifiers to numbers.

    Returns:
        A `StaticFigure` with one axes a score.

    Example:
        >>> scoreboard({"accuracy": {"network": 0.97, "ensemble": 0.99}})
        StaticFigure(accuracy)
    """
    figure, axes = new_axes(columns=len(scores), height=1.9, squeeze=False, sharey=True)
    for ax, (label, numbers) in zip(axes[0], scores.items(), strict=True):
        names = list(numbers)
        for row, (name, colour) in enumerate(zip(names, _CYCLE, strict=False)):
            ax.plot([numbers[name]], [row], "o", color=COLOURS[colour], markersize=7)
            ax.annotate(f"{numbers[name]:.3f}", (numbers[name], row), (0, 7), textcoords="offset points", ha="center")
        ax.set_title(label, fontsize="small")
        ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.9))
        ax.margins(x=0.3)
        ax.tick_params(axis="x", labelsize="small")
    return StaticFigure(figure)
