r"""Sets of points in the plane whose density and entropy are known: exact referees for density estimation.

No model can have a mean negative log-likelihood below the entropy, but by chance: the difference is the divergence of
the model from the truth. Each function draws, from the same law every time, any number of points. Of one seed, those of
a smaller number are the first of a larger.
"""

import numpy as np

from companion import _validation, seeds
from companion.datasets.laws import Checkerboard, ConditionalAutoregressive, NoisyCurves, NoisyRings, direction
from companion.quadrature import integrate_panels

__all__ = [
    "Plane",
    "checkerboard",
    "conditional_autoregressive",
    "eight_gaussians",
    "rings",
    "spirals",
    "two_moons",
    "wrong_order_cross_entropy",
]


class Plane:
    """Points in the plane, and the distribution they are drawn from.

    The functions of `companion.datasets` make these.

    Attributes:
        x: the points, float64, shape [num_examples, 2].
        name: what the distribution is called.
        window: a box that holds all but a millionth of the mass, its corners (low, high), of shape [2] each.
    """

    def __init__(self, law, num_examples, seed):
        n = _validation.count("num_examples", num_examples)
        self.x = law.draw(seeds.uniform_rows(0, [n, law.num_columns], seed, "float64").numpy())
        self.name, self.window, self._law = law.name, tuple(corner.copy() for corner in law.window), law

    def __repr__(self):
        return f"{type(self).__name__}({self.name}, x: {_validation.describe(self.x)})"

    def log_prob(self, x):
        """The logarithm of the exact density, to within 1e-7 in the window.

        Args:
            x: points, shape [..., 2].

        Returns:
            A float64 array of shape [...]; -inf where the density is 0.

        Raises:
            TypeError: if x is not made of floats.
            ValueError: if the last axis is not of size 2, or a number is not finite.

        Example:
            >>> checkerboard(3).log_prob([[0.5, 0.5], [0.5, -0.5]]).round(6)
            array([-2.079442,      -inf])
        """
        points = _validation.float_tensor("x", x, "float64").numpy().astype(float)
        if points.shape[-1:] != (2,):
            raise ValueError(_validation.message("x", "shape [..., 2]", f"shape {list(points.shape)}"))
        return self._law.log_prob(points.reshape(-1, 2)).reshape(points.shape[:-1])

    @property
    def entropy(self):
        """-E log p(x) of the distribution, not of the points, in nats: exact, or to within 1e-8 by quadrature.

        It is computed when first asked for, and kept.
        """
        return self._law.entropy


def two_moons(num_examples, seed=0):
    r"""Two half-circles that reach into each other.

    .. math::

        x = \pm 1.5\, (\cos\pi v - \tfrac12,\; \sin\pi v - \tfrac14) + 0.15\,\varepsilon, \qquad v \sim U(0, 1)

    either sign with probability 1/2. The mean is 0. It is scikit-learn's `make_moons` with noise 0.1, in the middle
    and half as large again. The density is an integral over v, by quadrature.

    Args:
        num_examples: how many points. Of one seed, those of a smaller number are the first of a larger.
        seed: as for `companion.seeds.as_seed`.

    Returns:
        A `Plane`.

    Raises:
        TypeError: if seed is no seed.
        ValueError: if num_examples is not a positive integer.

    Reference:
        Pedregosa et al. (2011), Scikit-learn: machine learning in Python. Chapter: Normalizing flows.

    Example:
        >>> data = two_moons(100)
        >>> data, round(data.entropy, 6)
        (Plane(two_moons, x: float64 of shape [100, 2]), 1.818515)
    """
    return Plane(_TWO_MOONS, num_examples, seed)


def eight_gaussians(num_examples, seed=0):
    r"""Eight islands on a circle.

    .. math::

        p(x) = \frac18 \sum_{k=0}^7 N\bigl(x;\; 2\,(\cos\tfrac{\pi k}{4}, \sin\tfrac{\pi k}{4}),\; 0.2^2 I\bigr)

    The mean is 0.

    Args:
        num_examples: as for `two_moons`.
        seed: as for `two_moons`.

    Returns:
        A `Plane`.

    Raises:
        TypeError: as for `two_moons`.
        ValueError: as for `two_moons`.

    Reference:
        Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud (2019), FFJORD, figure 2. Chapter: Normalizing flows.

    Example:
        >>> data = eight_gaussians(100)
        >>> islands_apart = np.log(8) + np.log(2 * np.pi * np.e * 0.2**2)
        >>> round(data.entropy, 6), islands_apart.round(6)
        (1.698061, np.float64(1.698443))
    """
    return Plane(_EIGHT_GAUSSIANS, num_examples, seed)


def spirals(num_examples, seed=0):
    r"""Two spirals of one turn and a half, wound into each other.

    .. math::

        x = \pm 3 v\, (\cos 3\pi v,\; \sin 3\pi v) + 0.1\,\varepsilon, \qquad v = \sqrt{u}, \quad u \sim U(0, 1)

    either sign with probability 1/2. The mean is 0; the root spreads points evenly along the arms, but for the
    centre. The density is an integral over v, by quadrature.

    Args:
        num_examples: as for `two_moons`.
        seed: as for `two_moons`.

    Returns:
        A `Plane`.

    Raises:
        TypeError: as for `two_moons`.
        ValueError: as for `two_moons`.

    Reference:
        Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud (2019), FFJORD, figure 2. Chapter: Normalizing flows.

    Example:
        >>> spirals(100)
        Plane(spirals, x: float64 of shape [100, 2])
    """
    return Plane(_SPIRALS, num_examples, seed)


def checkerboard(num_examples, seed=0):
    r"""Uniform on the eight black squares of a board of sixteen, each of side 1: the density jumps.

    .. math::

        p(x) = \tfrac18 \text{ if } x \in [-2, 2)^2 \text{ and } \lfloor x_1 \rfloor + \lfloor x_2 \rfloor
        \text{ is even, else } 0

    The mean is 0, the entropy log 8.

    Args:
        num_examples: as for `two_moons`.
        seed: as for `two_moons`.

    Returns:
        A `Plane`.

    Raises:
        TypeError: as for `two_moons`.
        ValueError: as for `two_moons`.

    Reference:
        Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud (2019), FFJORD, figure 2. Chapter: Normalizing flows.

    Example:
        >>> data = checkerboard(100)
        >>> set(np.floor(data.x).sum(axis=1) % 2)
        {np.float64(0.0)}
    """
    return Plane(_CHECKERBOARD, num_examples, seed)


def rings(num_examples, seed=0):
    r"""Four rings around the origin, equally likely, of radii 0.6, 1.2, 1.8 and 2.4.

    .. math::

        x = \rho_k\, (\cos 2\pi v,\; \sin 2\pi v) + 0.08\,\varepsilon, \qquad v \sim U(0, 1)

    The angle is uniform and the radius has, given k, Rice's distribution, whose density needs no cutting at 0:

    .. math::

        p(r \mid k) = \frac{r}{s^2} \exp\Bigl(-\frac{r^2 + \rho_k^2}{2 s^2}\Bigr) I_0\Bigl(\frac{r \rho_k}{s^2}\Bigr),
        \qquad p(x) = \frac{1}{2\pi r} \cdot \frac14 \sum_k p(r \mid k), \quad s = 0.08

    Args:
        num_examples: as for `two_moons`.
        seed: as for `two_moons`.

    Returns:
        A `Plane`.

    Raises:
        TypeError: as for `two_moons`.
        ValueError: as for `two_moons`.

    Reference:
        Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud (2019), FFJORD, figure 2; Rice (1945), Mathematical
        analysis of random noise, section 3.10. Chapter: Normalizing flows.

    Example:
        >>> data = rings(100)
        >>> round(data.entropy, 6), data.log_prob([0.0, 0.0]).round(3)
        (2.399064, np.float64(-26.298))
    """
    return Plane(_RINGS, num_examples, seed)


def conditional_autoregressive(num_examples, seed=0):
    r"""A parabola on its side: one order of the coordinates suits an autoregressive model, the other does not.

    .. math::

        x_2 \sim N(0, 4), \qquad x_1 \mid x_2 \sim N(\tfrac14 x_2^2,\; 1)

    4 is the variance. In the order (2, 1) both conditionals are Gaussian, so that one layer of Gaussian conditionals
    reaches the entropy, log 2 pi e + log 2. In the order of the columns, (1, 2), it does not: see
    `wrong_order_cross_entropy`. The mean is (1, 0), the variances are 3 and 4.

    Args:
        num_examples: as for `two_moons`.
        seed: as for `two_moons`.

    Returns:
        A `Plane`.

    Raises:
        TypeError: as for `two_moons`.
        ValueError: as for `two_moons`.

    Reference:
        Papamakarios, Pavlakou and Murray (2017), Masked autoregressive flow for density estimation, figure 1.
        Chapter: Normalizing flows.

    Example:
        >>> data = conditional_autoregressive(100)
        >>> round(data.entropy, 6), round(wrong_order_cross_entropy(), 6)
        (3.531024, 3.866454)
    """
    return Plane(_CONDITIONAL_AUTOREGRESSIVE, num_examples, seed)


def wrong_order_cross_entropy():
    r"""The least mean negative log-likelihood of Gaussian conditionals in the order (1, 2), in nats.

    On `conditional_autoregressive`, the best Gaussian for x1 and the best for x2 given x1 have the moments of the
    truth. By symmetry the mean of x2 given x1 is 0, while its distribution has two modes where x1 is large.

    .. math::

        \min_q -\mathbb{E} \log q(x_1)\, q(x_2 \mid x_1)
        = \tfrac12 \log 2\pi e \mathrm{Var}(x_1)
        + \tfrac12 \mathbb{E} \log 2\pi e\, \mathbb{E}[x_2^2 \mid x_1], \qquad \mathrm{Var}(x_1) = 3

    One layer of an affine autoregressive flow in this order cannot get below it, whatever its net. It is an integral
    over an integral, each to within 1e-9.

    Returns:
        A number.

    Reference:
        Papamakarios, Pavlakou and Murray (2017), Masked autoregressive flow for density estimation, section 3.1.

    Example:
        >>> round(wrong_order_cross_entropy() - conditional_autoregressive(1).entropy, 4)
        0.3354
    """

    def joint(second, first):
        """p(x1, x2) and x2^2 p(x1, x2) on the half-plane, [num_seconds, 2 num_firsts]."""
        points = np.stack(np.broadcast_arrays(first, second[:, None]), axis=-1)
        p = 2 * np.exp(_CONDITIONAL_AUTOREGRESSIVE.log_prob(points.reshape(-1, 2))).reshape(points.shape[:2])
        return np.concatenate([p, second[:, None] ** 2 * p], axis=1)

    def log_variances(first):
        p, moment = np.split(integrate_panels(lambda second: joint(second, first), np.linspace(0, 24, 9)), 2)
        return p * np.log(moment / p)

    mean = integrate_panels(log_variances, np.linspace(-8, 56, 17))
    return float(np.log(2 * np.pi * np.e) + (np.log(3.0) + mean) / 2)


def _half_circle(k, v):
    return 1.5 * _sign(k) * (direction(np.pi * v) - [0.5, 0.25])


def _arm(k, v):
    return 3 * _sign(k) * v[:, None] * direction(3 * np.pi * v)


def _island(k, v):
    return 2 * direction(np.pi * k / 4)


def _sign(k):
    """1 for the first of two, -1 for the second, [n, 1]."""
    return 1 - 2 * k[:, None]


_TWO_MOONS = NoisyCurves("two_moons", _half_circle, 2, 0.15, [3.2, 2.1], edges=np.linspace(0, 1, 11))
_EIGHT_GAUSSIANS = NoisyCurves("eight_gaussians", _island, 8, 0.2, [3.2, 3.2])
_SPIRALS = NoisyCurves("spirals", _arm, 2, 0.1, [3.6, 3.2], edges=np.sqrt(np.linspace(0, 1, 51)), power=2)
_RINGS = NoisyRings("rings", [0.6, 1.2, 1.8, 2.4], 0.08, [2.9, 2.9])
_CHECKERBOARD = Checkerboard()
_CONDITIONAL_AUTOREGRESSIVE = ConditionalAutoregressive()
