"""Points in the plane have the density that they come with, and its entropy; each law is shown planted errors.

Integrals are sums over Gauss-Legendre cells, densities SciPy's or integrals written down again from the docstrings.
"""

import inspect
import itertools
import math
import re
import types

import numpy as np
import pytest
from calibration import FALSE_ALARM, agree, assert_mean, assert_variance
from scipy import integrate, special, stats

from companion import datasets, seeds
from companion.datasets import laws, planes

NAMES = ["two_moons", "eight_gaussians", "spirals", "checkerboard", "rings", "conditional_autoregressive"]
SIZE = 20_000
LAWS = {}


def law(function):
    LAWS[function.__name__] = function
    return function


def drawn(module, name, num_examples=SIZE, seed=1):
    return getattr(module, name)(num_examples, seed)


def cells(low, high, num_cells, order):
    """Gauss-Legendre nodes [num_cells^2, order^2, 2] and weights [order^2] on equal cells of a box."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    width = (high - low) / num_cells
    starts = np.stack(np.meshgrid(*[np.arange(num_cells)] * 2, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    inner = (np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(1, -1, 2) + 1) / 2
    return low + width * (starts + inner), np.outer(weights, weights).ravel() * width.prod() / 4


def whole(data):
    """Nodes and weights on a box that holds all but 1e-10 of the mass; the board is cut along its squares."""
    low, high = data.window
    margin = np.array([30.0, 4.0]) if data.name == "conditional_autoregressive" else 1.0
    return cells(low - margin, high + margin, 36, order=7)


def power_divergence(data, num_cells=12):
    """The p-value of the chi-square test of the points' number in each cell of the window; scarce cells are one."""
    low, high = data.window
    x, weights = cells(low, high, num_cells, order=16)
    probs = np.exp(data.log_prob(x)) @ weights
    places = np.floor((data.x - low) / (high - low) * num_cells).astype(int)
    inside = ((places >= 0) & (places < num_cells)).all(axis=1)
    counts = np.bincount(places[inside] @ [num_cells, 1], minlength=num_cells**2)
    enough = probs * len(data.x) > 10
    rest = 1 - probs[enough].sum()
    probs, counts = np.append(probs[enough], rest), np.append(counts[enough], len(data.x) - counts[enough].sum())
    if rest * len(data.x) < 1e-3:
        assert counts[-1] == 0, "points where the density is nothing"
        probs, counts = probs[:-1] / probs[:-1].sum(), counts[:-1]
    return stats.chisquare(counts, probs * len(data.x)).pvalue


@law
def the_density_integrates_to_one(module, name):
    data = drawn(module, name, 1)
    for (x, weights), missing in ((cells(*data.window, 36, order=7), 1e-6), (whole(data), 1e-9)):
        mass = (np.exp(data.log_prob(x)) @ weights).sum()
        assert -missing - 1e-9 < mass - 1 < 1e-7


@law
def the_points_have_the_density(module, name):
    assert power_divergence(drawn(module, name)) > FALSE_ALARM / len(NAMES)


@law
def the_entropy_is_that_of_the_density(module, name):
    """By a sum over other nodes, and by the points."""
    data = drawn(module, name)
    x, weights = whole(data)
    log_p = data.log_prob(x)
    exact = (special.entr(np.exp(log_p)) @ weights).sum()
    assert isinstance(data.entropy, float)
    np.testing.assert_allclose(data.entropy, exact, rtol=0, atol=1e-7)
    assert_mean(-data.log_prob(data.x), np.array(data.entropy), shared_among=len(NAMES))


@law
def the_density_is_the_one_of_the_docstring(module, name):
    data = drawn(module, name, 10)
    x = np.concatenate([data.x, np.random.default_rng(0).uniform(*data.window, size=[10, 2])])
    np.testing.assert_allclose(np.exp(data.log_prob(x)), [DENSITIES[name](point) for point in x], rtol=1e-7, atol=0)


@law
def the_moments_are_those_of_the_docstring(module, name):
    data = drawn(module, name)
    mean, variance = MOMENTS[name]
    assert_mean(data.x, np.array(mean), shared_among=2 * len(NAMES))
    assert_variance(data.x, np.array(variance), shared_among=2 * len(NAMES))


@law
def points_stay_when_more_come(module, name):
    few, many = drawn(module, name, 10), drawn(module, name, 1000)
    assert many.x.shape == (1000, 2)
    assert many.x.dtype == np.float64
    np.testing.assert_array_equal(few.x, many.x[:10])
    np.testing.assert_array_equal(many.x, drawn(module, name, 1000, seeds.as_seed(1)).x)
    other = drawn(module, name, 1000, seed=2)
    assert not (other.x == many.x).any()
    cross = (other.x - other.x.mean(axis=0)) * (many.x - many.x.mean(axis=0))
    assert agree(cross, 0.0)


def along(curve, scale, density=lambda v: 1.0):
    """The density of a curve in noise, by SciPy's adaptive quadrature, on pieces in which it can't be missed."""

    def at(point):
        def integrand(v):
            distance = ((point - curve(v)) ** 2).sum() / scale**2
            return density(v) * math.exp(-distance / 2) / (2 * math.pi * scale**2)

        pieces = itertools.pairwise(np.linspace(0, 1, 31))
        return sum(integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-9)[0] for a, b in pieces)

    return at


def half_circle(v):
    return np.array([1.5 * np.cos(np.pi * v) - 0.75, 1.5 * np.sin(np.pi * v) - 0.375])


def arm(v):
    return 3 * v * np.array([np.cos(3 * np.pi * v), np.sin(3 * np.pi * v)])


def both_signs(density):
    return lambda point: (density(point) + density(-point)) / 2


def islands(point):
    angles = np.arange(8) * np.pi / 4
    return stats.norm.pdf(point, 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.2).prod(axis=1).mean()


def rice(point):
    """The radius by SciPy's law of it, spread over the circle."""
    r, rho = np.linalg.norm(point), np.array([0.6, 1.2, 1.8, 2.4])
    return stats.rice.pdf(r, rho / 0.08, scale=0.08).mean() / (2 * np.pi * r)


def black(point):
    return 0.125 if (np.abs(point) < 2).all() and np.floor(point).sum() % 2 == 0 else 0.0


def parabola(point):
    return stats.norm.pdf(point[1], 0, 2) * stats.norm.pdf(point[0], point[1] ** 2 / 4, 1)


DENSITIES = {
    "two_moons": both_signs(along(half_circle, 0.15)),
    "eight_gaussians": islands,
    "spirals": both_signs(along(arm, 0.1, density=lambda v: 2 * v)),
    "checkerboard": black,
    "rings": rice,
    "conditional_autoregressive": parabola,
}


def of_curve(curve, scale, density=lambda v: 1.0):
    """Variances of a curve, its mirror image and noise."""
    return [
        integrate.quad(lambda v, i=i: density(v) * curve(v)[i] ** 2, 0, 1, epsabs=1e-12)[0] + scale**2 for i in (0, 1)
    ]


MOMENTS = {
    "two_moons": ([0.0, 0.0], of_curve(half_circle, 0.15)),
    "eight_gaussians": ([0.0, 0.0], [2.04, 2.04]),
    "spirals": ([0.0, 0.0], of_curve(arm, 0.1, density=lambda v: 2 * v)),
    "checkerboard": ([0.0, 0.0], [4 / 3, 4 / 3]),
    "rings": ([0.0, 0.0], [0.36 * 7.5 / 2 + 0.08**2] * 2),
    "conditional_autoregressive": ([1.0, 0.0], [3.0, 4.0]),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("law", LAWS)
def test_law_holds(law, name):
    LAWS[law](datasets, name)


# what stands in the source, what is planted, the law that must find it, the set it shows in
PLANTED = {
    "noise too wide": ("+ self.scale * special", "+ 1.1 * self.scale * special", 1, "two_moons"),
    "noise twice used": ("special.ndtri(uniform[:, 2:])", "special.ndtri(uniform[:, 1:3])", 1, "two_moons"),
    "curves not alike": ("(self._num_curves * uniform[:, 0])", "(self._num_curves * uniform[:, 0] ** 1.1)", 1, "rings"),
    "uniform along v": ("uniform[:, 1] ** (1 / self._power)", "uniform[:, 1]", 1, "spirals"),
    "root the other way": ("** (1 / self._power)", "** self._power", 4, "spirals"),
    "a window too narrow": ("0.15, [3.2, 2.1]", "0.15, [2.5, 2.1]", 0, "two_moons"),
    "constant of one dimension": (
        "np.log(2 * np.pi * self.scale**2) if",
        "np.log(2 * np.pi * self.scale) if",
        0,
        "spirals",
    ),
    "half forgotten": ("- (nodes**2).sum(axis=1) / 2", "- (nodes**2).sum(axis=1)", 0, "eight_gaussians"),
    "a curve counted twice": ("num_curves) / num_curves  #", "num_curves)  #", 0, "two_moons"),
    "flat shares": ("shares * power * v ** (power - 1)", "shares", 3, "spirals"),
    "too few panels": ("np.sqrt(np.linspace(0, 1, 51))", "np.sqrt(np.linspace(0, 1, 21))", 3, "spirals"),
    "mesh too coarse": ("_STEP = 1 / 3", "_STEP = 1.0", 2, "two_moons"),
    "mesh cut short": ("_REACH = 9.0", "_REACH = 4.0", 2, "rings"),
    "entropy of one step": (".sum() * step**2)", ".sum() * step)", 2, "spirals"),
    "sign of the entropy": ("return float(-(np", "return float((np", 2, "eight_gaussians"),
    "islands nearer": (
        "return 2 * np.stack([np.cos(np.pi * k / 4)",
        "return 1.98 * np.stack([np.cos(np.pi * k / 4)",
        3,
        "eight_gaussians",
    ),
    "moons not in the middle": ("np.sin(np.pi * v) - 0.25", "np.sin(np.pi * v) - 0.3", 3, "two_moons"),
    "one moon": ("return 1 - 2 * k[:, None]", "return 1 + 0 * k[:, None]", 4, "two_moons"),
    "a Bessel function of the other order": ("special.i0e", "special.i1e", 0, "rings"),
    "rings counted once": ("self.scale**2 * len(rho))", "self.scale**2)", 0, "rings"),
    "radius of Rice, not the plane": ("np.log(special.i0e(r * rho))", "np.log(special.i0e(r * rho) * r)", 0, "rings"),
    "white squares": ("np.floor(first) % 2 - 2", "(np.floor(first) + 1) % 2 - 2", 1, "checkerboard"),
    "sixteen squares": ("np.where(black, -np.log(8.0)", "np.where(black, -np.log(16.0)", 0, "checkerboard"),
    "board without an end": ("& ((corners >= -2) & (corners < 2)).all(axis=1)", "", 0, "checkerboard"),
    "entropy of the board": (
        '"checkerboard", 2, float(np.log(8.0))',
        '"checkerboard", 2, float(np.log(16.0))',
        2,
        "checkerboard",
    ),
    "variance for the scale": (
        "return np.stack([second**2 + first, 2 * second]",
        "return np.stack([second**2 + first, 4 * second]",
        1,
        "conditional_autoregressive",
    ),
    "columns exchanged": (
        "np.stack([second**2 + first, 2 * second]",
        "np.stack([2 * second, second**2 + first]",
        4,
        "conditional_autoregressive",
    ),
    "parabola too steep": ("x[:, 1] ** 2 / 4", "x[:, 1] ** 2 / 3", 3, "conditional_autoregressive"),
    "constant of the Gaussians": ("np.log(4 * np.pi)", "np.log(2 * np.pi)", 0, "conditional_autoregressive"),
    "entropy of variance two": (
        "np.log(2 * np.pi * np.e * 2.0)",
        "np.log(2 * np.pi * np.e * 4.0)",
        2,
        "conditional_autoregressive",
    ),
    "rows of a table of their own": ("seeds.uniform_rows(0, [n,", "seeds.uniform([n,", 5, "rings"),
}


def planted(there, instead):
    """`companion.datasets.planes` with its laws in one source that was changed."""
    source = inspect.getsource(laws) + re.sub(r"from companion\.datasets\.laws .*\n", "", inspect.getsource(planes))
    assert source.count(there) == 1
    changed = types.ModuleType("changed")
    exec(compile(source.replace(there, instead), "<changed>", "exec"), vars(changed))
    return changed


@pytest.mark.parametrize("error", PLANTED)
def test_planted_error_is_found(error):
    there, instead, number, name = PLANTED[error]
    with pytest.raises(AssertionError):
        list(LAWS.values())[number](planted(there, instead), name)
