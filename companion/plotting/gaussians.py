"""Gaussians: variances of gradient estimators, ways to a positive scale, and fits of a posterior.

Contract: as for the package: arrays in, a `StaticFigure` out.
"""

import numpy as np

from companion.plotting.figure import COLOURS, StaticFigure, new_axes

__all__ = ["ellipses", "objective", "positive_maps", "variance_curves"]

_ESTIMATORS = {"pathwise": ("blue", "o", "-"), "score_function": ("orange", "s", "--")}


def variance_curves(k, exact, measured_k, measured, interval, crossover=None):
    r"""Variances of two estimators against a constant of f, exact (lines) and measured (points).

    Args:
        k: constants of f, shape [num_points].
        exact: a mapping of parameter names to mappings of "pathwise" and "score_function" to the exact
            variances, each of shape [num_points].
        measured_k: where the variances were measured, shape [num_measured].
        measured: variances as in `exact`, each of shape [num_measured].
        interval: half the length of the interval of each measured variance, as in `measured`.
        crossover: a mapping of parameter names to the constant at which the curves cross, or None.

    Returns:
        A `StaticFigure` with one panel a parameter.

    Example:
        >>> two = {"pathwise": [1.0, 4.0], "score_function": [2.0, 2.0]}
        >>> variance_curves([1.0, 2.0], {"loc": two}, [1.0, 2.0], {"loc": two}, {"loc": two})
        StaticFigure(gradient for loc)
    """
    figure, axes = new_axes(columns=len(exact), sharex=True, squeeze=False)
    for axis, name in zip(axes[0], exact, strict=True):
        for estimator, (colour, marker, line) in _ESTIMATORS.items():
            label = estimator.replace("_", " ")
            axis.plot(k, exact[name][estimator], line, color=COLOURS[colour], label=label)
            spread = interval[name][estimator]
            axis.errorbar(
                measured_k, measured[name][estimator], spread, fmt=marker, ms=4, color=COLOURS[colour], capsize=2
            )
        if crossover is not None:
            axis.axvline(crossover[name], color=COLOURS["grey"], linestyle=":", linewidth=1.4)
        axis.set(title=f"gradient for {name}", xlabel="k", yscale="log")
    axes[0][0].set_ylabel("variance of one sample")
    axes[0][0].legend(frameon=False)
    return StaticFigure(figure)


def positive_maps(rho, scales, slopes):
    r"""Maps from an unconstrained parameter to a positive scale, and their slopes against the scale.

    Args:
        rho: the unconstrained parameter, shape [num_points].
        scales: a mapping of the maps' names to the scale at each rho, each of shape [num_points].
        slopes: the derivatives of the same, each of shape [num_points].

    Returns:
        A `StaticFigure`.

    Example:
        >>> rho = np.linspace(-2.0, 2.0, 5)
        >>> positive_maps(rho, {"exp": np.exp(rho)}, {"exp": np.exp(rho)})
        StaticFigure(scale; d scale / d rho)
    """
    figure, (left, right) = new_axes(columns=2)
    for (name, scale), line in zip(scales.items(), ("-", "--", ":"), strict=False):
        left.plot(rho, scale, line, label=name)
        right.plot(scale, slopes[name], line, label=name)
    left.set(xlabel=r"$\rho$", title="scale")
    right.set(xlabel="scale", title="d scale / d rho", xscale="log", yscale="log")
    left.legend(frameon=False)
    return StaticFigure(figure)


def ellipses(posteriors, pairs, names):
    """Gaussians as ellipses that hold 90 % of two coordinates' mass, one panel a pair of coordinates.

    Args:
        posteriors: a mapping of labels to pairs of a mean, shape [d], and a covariance, shape [d, d].
        pairs: pairs of indices of coordinates.
        names: names of the coordinates, length d.

    Returns:
        A `StaticFigure`.

    Example:
        >>> ellipses({"exact": (np.zeros(2), np.eye(2))}, [(0, 1)], ["a", "b"])
        StaticFigure(a and b)
    """
    figure, axes = new_axes(columns=len(pairs), height=3.4, squeeze=False)
    angle = np.linspace(0.0, 2.0 * np.pi, 201)
    circle = np.sqrt(-2.0 * np.log(0.1)) * np.stack([np.cos(angle), np.sin(angle)])  # chi-squared, two degrees
    for axis, (i, j) in zip(axes[0], pairs, strict=True):
        for (label, (mean, covariance)), line in zip(posteriors.items(), ("-", "--", ":"), strict=False):
            mean, covariance = np.asarray(mean), np.asarray(covariance)
            block = covariance[np.ix_([i, j], [i, j])]
            x, y = mean[[i, j], None] + np.linalg.cholesky(block) @ circle
            axis.plot(x, y, line, label=label)
        axis.set(xlabel=f"weight of {names[i]}", ylabel=f"weight of {names[j]}", title=f"{names[i]} and {names[j]}")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return StaticFigure(figure)


def objective(steps, distances, floors):
    r"""How far an objective stays below its bound, against the step of an optimisation.

    Args:
        steps: the steps, shape [num_points].
        distances: a mapping of labels to distances, positive, each of shape [num_points].
        floors: a mapping of the same labels to the smallest distance that can be reached; 0 is not drawn.

    Returns:
        A `StaticFigure`.

    Example:
        >>> objective([1, 2], {"diagonal": [3.0, 2.0]}, {"diagonal": 1.0})
        StaticFigure(log evidence - ELBO (nats))
    """
    figure, axis = new_axes(width=6.0)
    for (label, distance), line, colour in zip(distances.items(), ("-", "--"), ("blue", "orange"), strict=False):
        axis.plot(steps, distance, line, color=COLOURS[colour], label=label)
        if floors[label] > 0:
            axis.axhline(floors[label], color=COLOURS[colour], linestyle=":", linewidth=1.4)
    axis.set(xlabel="step", yscale="log", ylabel="log evidence - ELBO (nats)")
    axis.legend(frameon=False)
    return StaticFigure(figure)
