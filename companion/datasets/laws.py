r"""Distributions in the plane that can be drawn from and whose densities are known, in float64.

Contract: a law has a `name`; a `window`, the corners (low, high) of a box that holds all but a millionth of the mass;
`draw`, which makes points of rows of uniform noise, `num_columns` numbers a point; `log_prob`, from points of shape
[n, 2] to [n]; and the `entropy` in nats.
"""

from functools import cached_property

import numpy as np
from scipy import special

_ORDER = 16  # nodes of a panel
_REACH = 9.0  # standard deviations around the curves that the entropy is summed over
_STEP = 1 / 3  # of a standard deviation: the mesh of that sum
_AT_ONCE = 2048  # points whose distances from all nodes are held


class NoisyCurves:
    r"""Points on curves, and isotropic Gaussian noise around them.

    .. math::

        x = c_k(v) + s\,\varepsilon, \qquad
        p(x) = \frac{1}{K} \sum_k \int_0^1 N(x;\; c_k(v),\; s^2 I)\; p(v)\, dv

    The integrals are sums over Gauss-Legendre panels, so that p is computed as a mixture of Gaussians: to within 1e-7
    in the window if a panel is not longer than four standard deviations. The entropy is the sum over a mesh of
    a third of a standard deviation, to within 1e-8, as analytic functions that decay on all sides allow.

    Args:
        name: what the law is called.
        curve: the function c from k, an integer array [n], and v in (0, 1), shape [n], to points [n, 2].
        num_curves: K, all equally likely.
        scale: s, the standard deviation of the noise.
        window: half the widths of the window, around the origin.
        edges: ends of the panels of v, from 0 to 1; None if the curves are points.
        power: a; v is a uniform number to the power of 1 / a, with the density a v^(a - 1).
    """

    num_columns = 4  # the curve, the place on it, noise

    def __init__(self, name, curve, num_curves, scale, window, edges=None, power=1):
        self.name, self.scale = name, scale
        self.window = -np.array(window), np.array(window)
        self._curve, self._num_curves, self._power = curve, num_curves, power
        v, shares = _panels([0.0, 1.0], order=1) if edges is None else _panels(edges)
        k = np.repeat(np.arange(num_curves), len(v))
        self._nodes = curve(k, np.tile(v, num_curves))  # [num_nodes, 2]
        self._shares = np.tile(shares * power * v ** (power - 1), num_curves) / num_curves  # [num_nodes]

    def draw(self, uniform):
        k = (self._num_curves * uniform[:, 0]).astype(int)
        return self._curve(k, uniform[:, 1] ** (1 / self._power)) + self.scale * special.ndtri(uniform[:, 2:])

    def log_prob(self, x):
        parts = [self._log_sum(x[i : i + _AT_ONCE]) for i in range(0, len(x), _AT_ONCE)]
        return np.concatenate(parts) - np.log(2 * np.pi * self.scale**2) if parts else np.zeros(0)

    def _log_sum(self, x):
        """The logarithm of the sum of shares times exp(-distance^2 / 2); x . node is a product of matrices."""
        nodes, x = self._nodes / self.scale, x / self.scale
        exponents = x @ nodes.T  # [n, num_nodes]
        exponents += np.log(self._shares) - (nodes**2).sum(axis=1) / 2
        most = exponents.max(axis=1)
        exponents -= most[:, None]
        np.exp(exponents, out=exponents)
        return np.log(exponents.sum(axis=1)) + most - (x**2).sum(axis=1) / 2

    @cached_property
    def entropy(self):
        step = _STEP * self.scale
        margin = _REACH * self.scale
        ends = self._nodes.min(axis=0) - margin, self._nodes.max(axis=0) + margin
        axes = [np.arange(low, high + step, step) for low, high in zip(*ends, strict=True)]
        log_p = self.log_prob(np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2))
        return float(-(np.exp(log_p) * log_p).sum() * step**2)


class NoisyRings(NoisyCurves):
    r"""Circles around the origin in Gaussian noise: the integral over the angle is a Bessel function.

    .. math::

        p(x) = \frac{1}{K} \sum_k \frac{1}{2\pi s^2} \exp\Bigl(-\frac{r^2 + \rho_k^2}{2 s^2}\Bigr)
        I_0\Bigl(\frac{r \rho_k}{s^2}\Bigr), \qquad r = \lVert x \rVert

    The angle is uniform, and r has a mixture of Rice distributions, of density 2 pi r p.
    """

    def __init__(self, name, radii, scale, window):
        self.radii = np.asarray(radii)

        def circle(k, v):
            return self.radii[k, None] * direction(2 * np.pi * v)

        super().__init__(name, circle, len(radii), scale, window, edges=np.linspace(0, 1, 5))  # for where they are

    def log_prob(self, x):
        r, rho = np.linalg.norm(x, axis=1)[:, None] / self.scale, self.radii / self.scale
        log_terms = np.log(special.i0e(r * rho)) - (r - rho) ** 2 / 2  # [n, num_rings]
        return special.logsumexp(log_terms, axis=1) - np.log(2 * np.pi * self.scale**2 * len(rho))


class Checkerboard:
    """Uniform on eight of the sixteen unit squares of [-2, 2]^2, those whose lower corners have an even sum."""

    name, num_columns, entropy = "checkerboard", 2, float(np.log(8.0))
    window = np.full(2, -2.0), np.full(2, 2.0)

    def draw(self, uniform):
        first, second = 4 * uniform[:, 0] - 2, 2 * uniform[:, 1]  # exact, as is what follows
        shift = np.floor(second) + np.floor(first) % 2 - 2  # [0, 1) and [1, 2) go to squares of one column
        return np.stack([first, second + shift], axis=1)

    def log_prob(self, x):
        corners = np.floor(x)
        black = (corners.sum(axis=1) % 2 == 0) & ((corners >= -2) & (corners < 2)).all(axis=1)
        return np.where(black, -np.log(8.0), -np.inf)


class ConditionalAutoregressive:
    r"""A Gaussian, and one whose mean is a parabola of the first: :math:`x_2 \sim N(0, 4), x_1 \sim N(x_2^2/4, 1)`."""

    name, num_columns, entropy = "conditional_autoregressive", 2, float(np.log(2 * np.pi * np.e * 2.0))
    window = np.array([-5.0, -10.0]), np.array([29.0, 10.0])

    def draw(self, uniform):
        first, second = special.ndtri(uniform).T
        return np.stack([second**2 + first, 2 * second], axis=1)  # (2 second)^2 / 4

    def log_prob(self, x):
        first, second = x[:, 0] - x[:, 1] ** 2 / 4, x[:, 1] / 2
        return -(first**2 + second**2) / 2 - np.log(4 * np.pi)


def _panels(edges, order=_ORDER):
    """Nodes and weights of Gauss-Legendre quadrature, panel by panel."""
    left, width = np.asarray(edges)[:-1, None], np.diff(edges)[:, None]
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return (left + width * (nodes + 1) / 2).ravel(), (width * weights / 2).ravel()


def direction(angle):
    """Points of the unit circle, [n, 2]."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
