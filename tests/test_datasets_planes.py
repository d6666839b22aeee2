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
import tensorflow as tf
from calibration import FALSE_ALARM, agree, assert_mean, assert_variance
from scipy import integrate, special, stats

from companion import datasets, seeds
from companion.datasets import laws, planes

NAMES = ["two_moons", "eight_gaussians", "spirals", "checkerboard", "rings", "conditional_autoregressive"]
SIZE = 20_000


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


def mass_law(module, name):
    data = drawn(module, name, 1)
    for (x, weights), missing in ((cells(*data.window, 36, order=7), 1e-6), (whole(data), 1e-9)):
        mass = (np.exp(data.log_prob(x)) @ weights).sum()
        assert -missing - 1e-9 < mass - 1 < 1e-7


def points_law(module, name):
    assert power_divergence(drawn(module, name)) > FALSE_ALARM / len(NAMES)


def entropy_law(module, name):
    """By a sum over other nodes, and by the points."""
    data = drawn(module, name)
    x, weights = whole(data)
    log_p = data.log_prob(x)
    exact = (special.entr(np.exp(log_p)) @ weights).sum()
    assert isinstance(data.entropy, float)
    np.testing.assert_allclose(data.entropy, exact, rtol=0, atol=1e-7)
    assert_mean(-data.log_prob(data.x), np.array(data.entropy), shared_among=len(NAMES))


def density_law(module, name):
    data = drawn(module, name, 10)
    x = np.concatenate([data.x, np.random.default_rng(0).uniform(*data.window, size=[10, 2])])
    np.testing.assert_allclose(np.exp(data.log_prob(x)), [DENSITIES[name](point) for point in x], rtol=1e-7, atol=0)


def moments_law(module, name):
    data = drawn(module, name)
    mean, variance = MOMENTS[name]
    assert_mean(data.x, np.array(mean), shared_among=2 * len(NAMES))
    assert_variance(data.x, np.array(variance), shared_among=2 * len(NAMES))


def seeds_law(module, name):
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


LAWS = {law.__name__: law for law in (mass_law, points_law, entropy_law, density_law, moments_law, seeds_law)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("law", LAWS)
def test_law_holds(law, name):
    LAWS[law](datasets, name)


# what stands in the source, what is planted, the law that must find it, the set it shows in
PLANTED = {
    "noise too wide": ("+ self.scale * special", "+ 1.1 * self.scale * special", "points", "two_moons"),
    "noise twice used": ("special.ndtri(uniform[:, 2:])", "special.ndtri(uniform[:, 1:3])", "points", "two_moons"),
    "curves not alike": (
        "(self._num_curves * uniform[:, 0])",
        "(self._num_curves * uniform[:, 0] ** 1.1)",
        "points",
        "rings",
    ),
    "uniform along v": ("uniform[:, 1] ** (1 / self._power)", "uniform[:, 1]", "points", "spirals"),
    "root the other way": ("** (1 / self._power)", "** self._power", "moments", "spirals"),
    "a window too narrow": ("0.15, [3.2, 2.1]", "0.15, [2.5, 2.1]", "mass", "two_moons"),
    "constant of one dimension": (
        "np.log(2 * np.pi * self.scale**2) if",
        "np.log(2 * np.pi * self.scale) if",
        "mass",
        "two_moons",
    ),
    "half forgotten": ("- (nodes**2).sum(axis=1) / 2", "- (nodes**2).sum(axis=1)", "mass", "eight_gaussians"),
    "a curve counted twice": ("num_curves) / num_curves  #", "num_curves)  #", "mass", "two_moons"),
    "flat shares": ("shares * power * v ** (power - 1)", "shares", "density", "spirals"),
    "too few panels": ("np.sqrt(np.linspace(0, 1, 51))", "np.sqrt(np.linspace(0, 1, 16))", "density", "spirals"),
    "mesh too coarse": ("_STEP = 1 / 3", "_STEP = 1.0", "entropy", "two_moons"),
    "mesh cut short": ("_REACH = 9.0", "_REACH = 4.0", "entropy", "rings"),
    "entropy of one step": (".sum() * step**2)", ".sum() * step)", "entropy", "eight_gaussians"),
    "sign of the entropy": ("return float(-(np", "return float((np", "entropy", "eight_gaussians"),
    "islands nearer": (
        "return 2 * direction(",
        "return 1.98 * direction(",
        "density",
        "eight_gaussians",
    ),
    "moons not in the middle": ("- [0.5, 0.25]", "- [0.5, 0.3]", "density", "two_moons"),
    "one moon": ("return 1 - 2 * k[:, None]", "return 1 + 0 * k[:, None]", "moments", "two_moons"),
    "a Bessel function of the other order": ("special.i0e", "special.i1e", "mass", "rings"),
    "rings counted once": ("self.scale**2 * len(rho))", "self.scale**2)", "mass", "rings"),
    "radius of Rice, not the plane": (
        "np.log(special.i0e(r * rho))",
        "np.log(special.i0e(r * rho) * r)",
        "mass",
        "rings",
    ),
    "white squares": ("np.floor(first) % 2 - 2", "(np.floor(first) + 1) % 2 - 2", "points", "checkerboard"),
    "sixteen squares": ("np.where(black, -np.log(8.0)", "np.where(black, -np.log(16.0)", "mass", "checkerboard"),
    "board without an end": ("& ((corners >= -2) & (corners < 2)).all(axis=1)", "", "mass", "checkerboard"),
    "entropy of the board": (
        '"checkerboard", 2, float(np.log(8.0))',
        '"checkerboard", 2, float(np.log(16.0))',
        "entropy",
        "checkerboard",
    ),
    "variance for the scale": (
        "return np.stack([second**2 + first, 2 * second]",
        "return np.stack([second**2 + first, 4 * second]",
        "points",
        "conditional_autoregressive",
    ),
    "columns exchanged": (
        "np.stack([second**2 + first, 2 * second]",
        "np.stack([2 * second, second**2 + first]",
        "moments",
        "conditional_autoregressive",
    ),
    "parabola too steep": ("x[:, 1] ** 2 / 4", "x[:, 1] ** 2 / 3", "density", "conditional_autoregressive"),
    "constant of the Gaussians": ("np.log(4 * np.pi)", "np.log(2 * np.pi)", "mass", "conditional_autoregressive"),
    "entropy of variance two": (
        "np.log(2 * np.pi * np.e * 2.0)",
        "np.log(2 * np.pi * np.e * 4.0)",
        "entropy",
        "conditional_autoregressive",
    ),
    "the seed forgotten": ('law.num_columns], seed, "float64"', 'law.num_columns], 0, "float64"', "seeds", "rings"),
    "one coordinate from another": (
        "special.ndtri(uniform[:, 2:])",
        "special.ndtri(uniform[:, 3:])",
        "points",
        "rings",
    ),
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
    there, instead, law, name = PLANTED[error]
    with pytest.raises(AssertionError):
        LAWS[f"{law}_law"](planted(there, instead), name)


def best_gaussians():
    """p(x1, x2) on a grid, and the moments that the best Gaussian conditionals take from it."""
    x1, x2 = np.linspace(-9, 60, 1381), np.linspace(-16, 16, 1281)
    p = stats.norm.pdf(x2, 0, 2) * stats.norm.pdf(x1[:, None], x2**2 / 4, 1)
    p *= (x1[1] - x1[0]) * (x2[1] - x2[0])
    marginal = p.sum(axis=1)
    return x1, x2, p, marginal, (p @ x2) / marginal, (p @ x2**2) / marginal


def test_the_wrong_order_costs_what_the_best_gaussians_cost():
    """The cross-entropy by its definition, from a grid, and from points; no other moments do better."""
    x1, x2, p, marginal, mean, variance = best_gaussians()
    np.testing.assert_allclose(p.sum(), 1.0, atol=1e-9)
    np.testing.assert_allclose(mean, 0.0, atol=1e-9)
    first = [(marginal * x1).sum(), (marginal * (x1 - 1) ** 2).sum()]
    np.testing.assert_allclose(first, [1.0, 3.0], atol=1e-7)

    def cost(x1, x2, variance, first_scale=3.0**0.5, shift=0.0):
        return -stats.norm.logpdf(x1, 1.0, first_scale) - stats.norm.logpdf(x2, shift, np.sqrt(variance))

    exact = datasets.wrong_order_cross_entropy()
    np.testing.assert_allclose((p * cost(x1[:, None], x2, variance[:, None])).sum(), exact, atol=1e-7)
    for change in ({"first_scale": 1.7}, {"shift": 0.05}, {"variance": variance[:, None] * 1.05}):
        assert (p * cost(x1[:, None], x2, **{"variance": variance[:, None], **change})).sum() > exact + 1e-4
    x = datasets.conditional_autoregressive(100_000, seed=4).x
    costs = cost(x[:, 0], x[:, 1], np.interp(x[:, 0], x1, variance))
    assert_mean(costs, np.array(exact), rounding=1e-5)
    assert not agree(costs, datasets.conditional_autoregressive(1).entropy)
    assert not agree(costs, exact + 0.05)
    assert 0.3 < exact - datasets.conditional_autoregressive(1).entropy < 0.4


def test_the_right_order_reaches_the_entropy():
    """The conditionals in the order (2, 1) are Gaussian, with a mean and a width that a net can give."""
    data = datasets.conditional_autoregressive(SIZE, seed=5)
    x1, x2 = data.x.T
    np.testing.assert_allclose(
        data.log_prob(data.x), stats.norm.logpdf(x2, 0, 2) + stats.norm.logpdf(x1, x2**2 / 4, 1), rtol=1e-12
    )
    np.testing.assert_allclose(data.entropy, stats.norm.entropy(0, 2) + stats.norm.entropy(0, 1), rtol=1e-12)


def test_densities_take_points_of_any_shape_and_width():
    data = datasets.rings(12)
    np.testing.assert_array_equal(data.log_prob(data.x.reshape(3, 4, 2)), data.log_prob(data.x).reshape(3, 4))
    assert data.log_prob(data.x[0]).shape == ()
    assert data.log_prob(np.zeros([0, 2])).shape == (0,)
    assert datasets.spirals(1).log_prob(np.zeros([0, 2])).shape == (0,)
    single = data.log_prob(tf.constant(data.x, tf.float32))
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, data.log_prob(data.x), atol=1e-4)
    many = datasets.spirals(5000)
    np.testing.assert_array_equal(many.log_prob(many.x)[-3:], many.log_prob(many.x[-904:])[-3:])


@pytest.mark.parametrize("name", NAMES)
def test_densities_are_numbers_far_away(name):
    """Log-densities fall as squares of distances, and nothing is NaN."""
    x = np.array([[1e3, -1e3], [1e8, 0.0], [0.0, 0.0], [-1e6, 1e6]])
    log_p = getattr(datasets, name)(1).log_prob(x)
    assert not np.isnan(log_p).any()
    assert (log_p[[0, 1, 3]] < -1e4).all()
    assert log_p[2] > -100


def test_a_set_is_printed_in_short_and_keeps_its_window():
    data = datasets.two_moons(7)
    assert repr(data) == "Plane(two_moons, x: float64 of shape [7, 2])"
    for name in NAMES:
        low, high = getattr(datasets, name)(1).window
        assert low.shape == high.shape == (2,)
        assert (low < high).all()
        assert getattr(datasets, name)(1).name == name


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_named(name):
    make = getattr(datasets, name)
    for wrong in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="num_examples: expected an integer of at least 1; got"):
            make(wrong)
    with pytest.raises(TypeError, match="seed: expected"):
        make(3, seed=0.5)
    data = make(3)
    for wrong in (np.zeros([4, 3]), np.zeros([2, 1]), 0.0):
        with pytest.raises(ValueError, match=re.escape("x: expected shape [..., 2]; got shape")):
            data.log_prob(wrong)
    with pytest.raises(ValueError, match="x: expected finite numbers; got 1 of 4 not finite, such as nan"):
        data.log_prob([[0.0, 1.0], [np.nan, 0.0]])
    with pytest.raises(TypeError, match="x: expected"):
        data.log_prob("points")
