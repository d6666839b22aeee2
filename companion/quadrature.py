r"""Adaptive integrals of functions of one variable, each with an error estimate, in float64.

Contract: a function takes points of shape [n] and returns values of shape [n], or [n, k] for k integrands at once.
An integral is returned only if its error estimate is below a tolerance, 1e-9 unless told, of its mass: the integral
of the absolute value. Otherwise there is an error, never a guess.

How: the interval comes as panels, and on each there are Clenshaw-Curtis rules of 9, 17 and 33 points, which share
points and include the ends. The error estimate is the spread of the three. Where a panel holds one jump or one kink, it
bounds the error. A panel that contributes more than its part of the error is halved. As with any quadrature of a
function known at points only, detail narrower than a twentieth of its panel can go unseen.
"""

import functools
from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from companion import _validation

__all__ = ["NORMAL_EDGES", "TOLERANCE", "integrate_normal", "integrate_panels", "integrate_triangle", "normal_density"]

TOLERANCE = 1e-9
NORMAL_EDGES = np.concatenate([[-38, -24, -16, -12], np.arange(-8, 8.1, 1 / 8), [12, 16, 24, 38]])  # beyond, it is 0
_ORDERS = (8, 16, 32)
_MOST_PANELS, _MOST_ROUNDS = 20_000, 100


def integrate_panels(h, edges, tolerance=TOLERANCE, argument="h", floor=0.0):
    r"""The integral of h from edges[0] to edges[-1].

    .. math::

        \int h(x)\,dx = \sum_j \int_{e_j}^{e_{j+1}} h(x)\,dx

    All integrands are refined together: what one of k integrands makes visible is seen by all.

    Args:
        h: a function from points, a float64 array of shape [n], to an array of shape [n] or [n, k].
        edges: ends of the panels, increasing, shape [num_panels + 1]. Jumps and kinks that are known belong here.
        tolerance: the error allowed, as a multiple of the mass of each integrand alone.
        argument: what to call h in errors.
        floor: the least mass to measure errors by, a number or of shape [k]. Where h is 0 but for rounding, the
            rounding itself would not converge.

    Returns:
        A float64 number, or an array of shape [k]. An integrand that is 0 wherever it is evaluated gives 0.

    Raises:
        TypeError: if h can't be called.
        ValueError: if the integral does not converge to the tolerance, h has values that are not finite or a wrong
            shape, edges do not increase, or tolerance is not positive.

    Reference:
        Clenshaw and Curtis (1960), A method for numerical integration on an automatic computer.

    Example:
        >>> integrate_panels(lambda x: np.stack([x, np.abs(x - 0.3)], axis=-1), [0.0, 0.5, 1.0]).round(9)
        array([0.5 , 0.29])
    """
    return _integral_and_mass(h, edges, tolerance, argument, floor)[0]


def integrate_normal(h, argument="h", floor=0.0):
    r"""E h(eps) for eps ~ N(0, 1).

    The panels are of width 1/8 around 0, so detail narrower than a hundredth can go unseen.

    Args:
        h: as for `integrate_panels`.
        argument: as for `integrate_panels`.
        floor: as for `integrate_panels`.

    Returns:
        A float64 number, or an array of shape [k].

    Raises:
        TypeError: as for `integrate_panels`.
        ValueError: as for `integrate_panels`. An infinite expectation does not converge.

    Example:
        >>> integrate_normal(lambda eps: np.maximum(eps, 0.0)).round(9)
        np.float64(0.39894228)
    """
    _validation.function(argument, h)

    def weighted(eps):
        values = _call(h, eps, argument)
        return values * _along(normal_density(eps), values)

    with np.errstate(over="ignore", invalid="ignore"):
        tails = np.abs(weighted(NORMAL_EDGES[[0, -1]])).max(axis=0) * NORMAL_EDGES[-1]
    integral, mass = _integral_and_mass(weighted, NORMAL_EDGES, TOLERANCE, argument, floor)
    if not (tails <= TOLERANCE * np.maximum(mass, floor)).all():  # so written, it catches NaN too
        raise ValueError(_validation.message(argument, "a finite expectation", "an integral that does not converge"))
    return integral


def integrate_triangle(pair, edges, tolerance=TOLERANCE, argument="pair", floor=0.0):
    r"""The integral of g(x) h(y) over the triangle edges[0] < y < x < edges[-1].

    .. math::

        \int g(x)\,H(x)\,dx, \qquad H(x) = \int_{e_0}^x h(y)\,dy

    The error that a panel contributes counts what its integrals of g and h are multiplied with on the others.

    Args:
        pair: a function from points of shape [n] to an array of shape [n, 2], g and h side by side.
        edges: as for `integrate_panels`.
        tolerance: as for `integrate_panels`; the mass is the integral of \|g(x) h(y)\|.
        argument: what to call pair in errors.
        floor: as for `integrate_panels`.

    Returns:
        A float64 number.

    Raises:
        TypeError: as for `integrate_panels`.
        ValueError: as for `integrate_panels`.

    Example:
        >>> integrate_triangle(lambda x: np.stack([x, x**2], axis=-1), [0.0, 1.0, 2.0]).round(9)  # 2^5 / 15
        np.float64(2.133333333)
    """
    _validation.function(argument, pair)

    def measure(left, width):
        """Integrals of g, h, g(x) h(y) over y < x, |g| and |h|, on each panel by each rule: [num_panels, 3, 5]."""
        values = _on_panels(pair, left, width, argument)
        if values.shape[2:] != (2,):
            got = f"shape {list(values.shape[2:])} a point"
            raise ValueError(_validation.message(argument, "values of shape [n, 2]", got))
        by_rule = []
        for n in _ORDERS:
            g, h = np.moveaxis(_thinned(values, n, axis=1), -1, 0) * width[:, None]  # [num_panels, n + 1] each
            weights, antiderivative = _rule(n).weights, _rule(n).antiderivative
            integrals = (g, h, g * (h @ antiderivative.T), np.abs(g), np.abs(h))
            by_rule.append(np.stack([integral @ weights for integral in integrals], axis=-1))
        return np.stack(by_rule, axis=1)

    return _refine(measure, _assemble_triangle, edges, tolerance, argument, floor)[0]


def normal_density(eps):
    """The density of N(0, 1) at points of any shape."""
    return np.exp(-0.5 * eps**2) / np.sqrt(2.0 * np.pi)


def _assemble_triangle(parts):
    """The integral, the error that each panel contributes, and the mass."""
    error_g, error_h, error_within = np.ptp(parts[:, :, :3], axis=1).T
    g, h, within, mass_g, mass_h = parts[:, -1].T
    h_before, g_after = np.cumsum(h) - h, np.cumsum(g[::-1])[::-1] - g
    errors = error_within + error_g * np.abs(h_before) + error_h * np.abs(g_after)
    return (within + g * h_before).sum(), errors, mass_g @ (np.cumsum(mass_h) - 0.5 * mass_h)


def _integral_and_mass(h, edges, tolerance, argument, floor):
    _validation.function(argument, h)

    def measure(left, width):
        """On each panel, the integral of h by each rule, then of |h|: [num_panels, 4] or [num_panels, 4, k]."""
        values = _on_panels(h, left, width, argument)
        values = values * _along(width, values)
        by_rule = [np.tensordot(_thinned(values, n, axis=1), _rule(n).weights, axes=(1, 0)) for n in _ORDERS]
        by_rule.append(np.tensordot(np.abs(values), _rule(_ORDERS[-1]).weights, axes=(1, 0)))
        return np.stack(by_rule, axis=1)

    def assemble(parts):
        return parts[:, -2].sum(axis=0), np.ptp(parts[:, :-1], axis=1), parts[:, -1].sum(axis=0)

    return _refine(measure, assemble, edges, tolerance, argument, floor)


def _refine(measure, assemble, edges, tolerance, argument, floor):
    """Halves panels until the error is within tolerance times the mass, which comes back with the integral.

    Args:
        measure: a function from the left ends and widths of panels to an array with one row a panel.
        assemble: a function from such rows, in the order of the panels, to the integral, the errors that the panels
            contribute, and the mass, of shapes [], [num_panels] and [], or [k], [num_panels, k] and [k].
        edges, tolerance, argument, floor: as for `integrate_panels`.
    """
    edges, tolerance = _checked_edges(edges), _checked_tolerance(tolerance)
    left, width = edges[:-1], np.diff(edges)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # an overflow ends as an error below
        parts = measure(left, width)
        for _ in range(_MOST_ROUNDS):
            integral, errors, mass = assemble(parts)
            error = errors.sum(axis=0)
            _require_finite(integral + error + mass, argument)
            allowed = tolerance * np.maximum(mass, floor)
            if (error <= allowed).all():
                return integral, mass
            split = ((errors > allowed / len(errors)) & (error > allowed)).reshape(len(errors), -1).any(axis=1)
            if len(left) + split.sum() > _MOST_PANELS:
                break
            half = width[split] / 2
            new = np.concatenate([left[split], left[split] + half]), np.concatenate([half, half])
            left, width, parts = (
                np.concatenate([old[~split], added])
                for old, added in zip((left, width, parts), (*new, measure(*new)), strict=True)
            )
            order = np.argsort(left)
            left, width, parts = left[order], width[order], parts[order]
    expected = f"an integral to within {np.array2string(np.asarray(allowed), precision=1)}"
    got = f"{integral} with an error estimate of {np.array2string(np.asarray(error), precision=1)}"
    raise ValueError(_validation.message(argument, expected, got))


class _Rule(NamedTuple):
    """Clenshaw-Curtis quadrature on (0, 1)."""

    nodes: np.ndarray  # [order + 1]
    weights: np.ndarray  # [order + 1]
    antiderivative: np.ndarray  # [order + 1, order + 1], takes values to integrals from 0 to each node


@functools.cache
def _rule(order):
    x = -np.cos(np.pi * np.arange(order + 1) / order)
    to_series = np.linalg.inv(chebyshev.chebvander(x, order))
    integrals = chebyshev.chebvander(x, order + 1) @ chebyshev.chebint(np.eye(order + 1), lbnd=-1)
    antiderivative = integrals @ to_series / 2.0
    # Just inside the ends, for a jump may stand on an edge.
    return _Rule(np.clip((x + 1.0) / 2.0, 1e-12, 1.0 - 1e-12), antiderivative[-1], antiderivative)


def _thinned(values, order, axis):
    """Of the values at the nodes of the finest rule, those at the nodes of a coarser one."""
    return values[(slice(None),) * axis + (slice(None, None, _ORDERS[-1] // order),)]


def _on_panels(h, left, width, argument):
    """h at the nodes of the finest rule, [num_panels, 33] or [num_panels, 33, k]."""
    x = left[:, None] + width[:, None] * _rule(_ORDERS[-1]).nodes
    values = _call(h, x.ravel(), argument)
    return values.reshape(*x.shape, *values.shape[1:])


def _call(h, x, argument):
    """h at points of shape [n], as an array of shape [n] or [n, k]."""
    values = np.asarray(h(x), dtype=float)
    if values.shape[:1] != x.shape or values.ndim > 2:
        expected = f"values of shape [{x.size}] or [{x.size}, k]"
        raise ValueError(_validation.message(argument, expected, f"shape {list(values.shape)}"))
    return values


def _along(x, values):
    """x of shape [n], ready to be multiplied with values of shape [n, ...]."""
    return x.reshape(-1, *[1] * (values.ndim - 1))


def _require_finite(x, argument):
    if not np.isfinite(x).all():
        got = "an integral that does not converge (values that are NaN, infinite or too large)"
        raise ValueError(_validation.message(argument, "a finite integral", got))


def _checked_edges(edges):
    edges = np.asarray(edges, dtype=float)
    if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        raise ValueError(_validation.message("edges", "at least two finite numbers that increase", edges))
    return edges


def _checked_tolerance(tolerance):
    if not tolerance > 0.0:
        raise ValueError(_validation.message("tolerance", "a positive number", tolerance))
    return tolerance
