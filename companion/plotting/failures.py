"""How estimators fail: averages that do not settle, and who is right on which problem.

Contract: arrays and strings in, a `StaticFigure` out.
"""

import numpy as np

from companion.plotting.figure import COLOURS, StaticFigure, new_axes

__all__ = ["running_means", "verdicts"]

_CYCLE = ("blue", "orange", "green", "purple", "amber", "sky")
_FACES = {"right": "green", "wrong": "orange", "infinite variance": "amber", "refused": "grey"}


def running_means(counts, panels):
    """Running means against the number of samples, one panel beside another, with the exact value of each.

    Args:
        counts: shape [num_counts], increasing.
        panels: a mapping of titles to pairs of running means, shape [num_runs, num_counts], and an exact value.

    Returns:
        A `StaticFigure` with one axes a panel.

    Example:
        >>> running_means([1, 10], {"calm": (np.ones([2, 2]), 1.0)})
        StaticFigure(calm)
    """
    figure, axes = new_axes(columns=len(panels), squeeze=False)
    for ax, (title, (runs, exact)) in zip(axes[0], panels.items(), strict=True):
        runs = np.asarray(runs, dtype=float)
        for number, run in enumerate(runs):
            ax.semilogx(counts, run, color=COLOURS[_CYCLE[number % len(_CYCLE)]], linewidth=1.2)
        ax.axhline(exact, color=COLOURS["black"], linestyle="--", linewidth=1.2)
        ax.set(title=title, xlabel="number of samples", ylabel="running mean")
    return StaticFigure(figure)


def verdicts(rows, columns):
    """A table of words, one colour a verdict.

    Args:
        rows: a mapping of the names of rows to lists of verdicts: "right", "wrong", "infinite variance" or "refused".
        columns: the names of the columns, shape [num_columns].

    Returns:
        A `StaticFigure` with one axes.

    Raises:
        ValueError: if a verdict is unknown, or a row has another length than the columns.

    Example:
        >>> verdicts({"step": ["wrong", "right"]}, ["pathwise", "score function"])
        StaticFigure(who is right)
    """
    figure, ax = new_axes(height=0.5 + 0.42 * len(rows))
    for y, (name, words) in enumerate(rows.items()):
        if len(words) != len(columns):
            raise ValueError(f"rows[{name!r}]: expected {len(columns)} verdicts, got {len(words)}")
        for x, word in enumerate(words):
            if word not in _FACES:
                raise ValueError(f"rows[{name!r}]: expected one of {', '.join(_FACES)}; got {word!r}")
            ax.barh(y, 0.94, left=x - 0.47, height=0.88, color=COLOURS[_FACES[word]], alpha=0.35)
            ax.text(x, y, word, ha="center", va="center")
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5), title="who is right")
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return StaticFigure(figure)
