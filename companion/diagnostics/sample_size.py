"""How many samples a wanted accuracy takes."""

import math
import numbers

import numpy as np

from companion import _validation
from companion.gradients import GradientEstimate

__all__ = ["samples_needed"]


def samples_needed(estimate, relative_error):
    r"""How many samples make the standard error of the mean a given fraction of the gradient's length.

    .. math::

        n = \left\lceil \frac{\operatorname{tr}\operatorname{Var}(g)}{r^2\, \|\mathbb{E}\, g\|^2} \right\rceil

    with g one sample's gradient and r the relative error, for each parameter as a whole. The squared length is
    estimated without bias, as the squared mean less its expected noise.

    Args:
        estimate: a `companion.gradients.GradientEstimate` of independent samples, with at least 2 of them.
        relative_error: r, such as 0.1; positive.

    Returns:
        A dict of ints, with the names of the parameters as keys.

    Raises:
        TypeError: if `estimate` is not a `GradientEstimate`.
        ValueError: if `relative_error` is not positive, or the mean can't be told from 0 (it is below three of its
            standard errors), so that there is no length to be relative to.

    Reference:
        The standard error of a mean. Chapter: Which estimator?

    Example:
        >>> import tensorflow as tf
        >>> estimate = GradientEstimate(tf.zeros([4]), {"loc": tf.constant([9.0, 10.0, 11.0, 10.0])})
        >>> samples_needed(estimate, relative_error=0.01)
        {'loc': 67}
    """
    if not isinstance(estimate, GradientEstimate):
        raise TypeError(_validation.message("estimate", "a GradientEstimate", _validation.describe(estimate)))
    fine = isinstance(relative_error, numbers.Real) and not isinstance(relative_error, bool)
    if not (fine and 0 < relative_error < math.inf):
        raise ValueError(
            _validation.message("relative_error", "a positive number", _validation.describe(relative_error))
        )
    return {name: _needed(name, np.asarray(g, float), float(relative_error)) for name, g in estimate.samples.items()}


def _needed(name, g, relative_error):
    """The number of samples for one parameter, from its samples [num_samples, *shape]."""
    if not np.isfinite(g).all():
        raise ValueError(_validation.message("estimate", f"finite gradients of {name}", "NaN or infinity"))
    n = _validation.count("num_samples (for a variance)", len(g), minimum=2)
    total, square = g.var(axis=0, ddof=1).sum(), (g.mean(axis=0) ** 2).sum()
    noise = total / n
    if square <= 9.0 * noise:
        expected = f"a mean gradient of {name} that can be told from 0"
        got = f"length {math.sqrt(square):.3g} with standard error {math.sqrt(noise):.3g}; take more samples"
        raise ValueError(_validation.message("estimate", expected, got))
    needed = total / (square - noise) / relative_error / relative_error
    if not math.isfinite(needed):
        raise ValueError(_validation.message("relative_error", "one that can be reached", f"{relative_error:g}"))
    return max(1, math.ceil(needed))
