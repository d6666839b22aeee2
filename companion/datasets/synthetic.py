"""Data that are drawn from a formula, any number of them."""

import numpy as np
from scipy import special

from companion import _validation, seeds
from companion.datasets.tables import Regression

__all__ = ["blundell_regression"]


def blundell_regression(num_examples, seed=0):
    r"""A curve in noise, seen on one interval only: what a network says elsewhere is for it to know.

    .. math::

        y = x + 0.3 \sin 2\pi(x + \varepsilon) + 0.3 \sin 4\pi(x + \varepsilon) + \varepsilon,
        \qquad x \sim U(0, 0.5), \quad \varepsilon \sim N(0, 0.02^2)

    The noise is inside of the sines too, so the standard deviation of y depends on x: it is 0.02 times the slope in
    epsilon, :math:`|1 + 0.6\pi \cos 2\pi x + 1.2\pi \cos 4\pi x|`, up to curvature. That is 0.13 at x = 0, as little
    as 0.01 at x = 0.17 and 0.38, and 0.06 at x = 0.5.

    Args:
        num_examples: how many examples. Of one seed, those of a smaller number are the first of a larger.
        seed: as for `companion.seeds.as_seed`.

    Returns:
        A `Regression` with the one column "x".

    Raises:
        TypeError: if seed is no seed.
        ValueError: if num_examples is not a positive integer.

    Reference:
        Blundell, Cornebise, Kavukcuoglu and Wierstra (2015), Weight uncertainty in neural networks, section 5.2. They
        write N(0, 0.02); 0.02 is the standard deviation here.

    Example:
        >>> data = blundell_regression(100)
        >>> data.x.shape, data.y.shape, data.feature_names
        ((100, 1), (100,), ('x',))
    """
    n = _validation.count("num_examples", num_examples)
    uniform = seeds.uniform_rows(0, [n, 2], seed, "float64").numpy()
    x, eps = uniform[:, 0] / 2, 0.02 * special.ndtri(uniform[:, 1])
    turns = 2 * np.pi * (x + eps)
    return Regression(x[:, None], x + 0.3 * np.sin(turns) + 0.3 * np.sin(2 * turns) + eps, ("x",))
