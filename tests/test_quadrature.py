"""Adaptive integrals against closed forms, and refusals where there is no answer.

The tolerances here are those that the functions promise: a multiple of the integral of the absolute value.
"""

import numpy as np
import pytest
from scipy import special

from companion import quadrature
from companion.quadrature import integrate_normal, integrate_panels, integrate_triangle, normal_density

EDGES = np.array([-1.0, -0.4, 0.5, 0.6, 2.0])
KINK = 1 / 3  # not a fraction of two: no bisection ends on it

# Integrand, integral from -1 to 2, integral of the absolute value.
INTEGRANDS = {
    "polynomial": (lambda x: x**7, (2**8 - 1) / 8, (2**8 + 1) / 8),
    "kink": (lambda x: np.abs(x - KINK), ((1 + KINK) ** 2 + (2 - KINK) ** 2) / 2, 2.3),
    "jump": (lambda x: (x > KINK).astype(float), 2 - KINK, 1.7),
    "two_jumps": (lambda x: np.floor(3 * x), 3.0, 6.0),
    "narrow": (lambda x: (np.abs(x - KINK) < 0.05) / 0.1, 1.0, 1.0),
    "oscillation": (lambda x: np.cos(100 * x), (np.sin(200) + np.sin(100)) / 100, 1.9),
    "even": (lambda x: np.exp(-(x**2) / 2), np.sqrt(np.pi / 2) * (special.erf(2**0.5) + special.erf(0.5**0.5)), 2.0),
    "root": (lambda x: np.sqrt(np.abs(x)), 2 / 3 * (1 + 2**1.5), 2.5),
    "cancelling": (lambda x: np.sin(np.pi * (x + 1) / 1.5), 0.0, 1.9),
    "large": (lambda x: 1e200 * np.abs(x), 2.5e200, 2.5e200),
    "small": (lambda x: 1e-200 * np.abs(x), 2.5e-200, 2.5e-200),
    "zero": (np.zeros_like, 0.0, 0.0),
}


def within(got, exact, mass, tolerance=1e-9):
    return abs(got - exact) <= tolerance * mass


@pytest.mark.parametrize("name", INTEGRANDS)
def test_integrals_have_the_promised_accuracy(name):
    h, exact, mass = INTEGRANDS[name]
    got = integrate_panels(h, EDGES)
    assert np.shape(got) == ()
    assert within(got, exact, mass)
    assert mass == 0.0 or not within(got + 3e-9 * mass, exact, mass)


def test_many_integrands_at_once_each_with_its_own_mass():
    """Beside an integrand of 1e200, one of 1e-200 is still found to nine digits."""
    integrands, exact, mass = zip(*INTEGRANDS.values(), strict=True)
    got = integrate_panels(lambda x: np.stack([h(x) for h in integrands], axis=-1), EDGES)
    assert got.shape == (len(integrands),)
    for name, *numbers in zip(INTEGRANDS, got, exact, mass, strict=True):
        assert within(*numbers), name


def test_what_one_integrand_shows_all_see():
    """A spike that is far too narrow is found if another integrand has a jump there."""
    width = 1e-6

    def spike(x):
        return (np.abs(x - KINK) < width) / (2 * width)

    def jump(x):
        return (x > KINK).astype(float)

    assert integrate_panels(spike, EDGES) == 0.0  # the limit that the module states
    got = integrate_panels(lambda x: np.stack([spike(x), jump(x)], axis=-1), EDGES)
    np.testing.assert_allclose(got, [1.0, 2 - KINK], rtol=1e-8)


def test_a_looser_tolerance_costs_less():
    def points(tolerance):
        seen = []
        integrate_panels(lambda x: (seen.append(x.size), np.abs(x - KINK))[1], EDGES, tolerance)
        return sum(seen)

    assert points(1e-3) < points(1e-6) < points(1e-12)


def test_one_column_is_not_a_number():
    assert integrate_panels(lambda x: x[:, None], [0.0, 1.0]).shape == (1,)


@pytest.mark.parametrize("h", [lambda x: 1 / np.abs(x - KINK), lambda x: x**-2])
def test_a_divergent_integral_is_an_error(h):
    with pytest.raises(ValueError, match=r"h: expected (an integral to within|a finite integral)"):
        integrate_panels(h, EDGES)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", [-1.0, KINK])
def test_values_that_are_not_finite_are_an_error(bad, where):
    """Everywhere beyond a point, and in one of two integrands only."""
    with pytest.raises(ValueError, match="h: expected a finite integral"):
        integrate_panels(lambda x: np.where(x > where, bad, 1.0), EDGES)
    with pytest.raises(ValueError, match="profit: expected a finite integral"):
        integrate_panels(lambda x: np.stack([x, np.where(x > where, bad, 1.0)], -1), EDGES, argument="profit")


def test_nan_that_only_refinement_meets_is_an_error():
    with pytest.raises(ValueError, match="h: expected a finite integral"):
        integrate_panels(lambda x: np.where(np.abs(x - KINK) < 1e-4, np.nan, (x > KINK).astype(float)), EDGES)


def test_bad_arguments_are_named():
    for edges in ([0.0], [0.0, 0.0], [1.0, 0.0], [0.0, np.inf], [[0.0, 1.0]], 1.0):
        with pytest.raises(ValueError, match="edges: expected at least two finite numbers that increase"):
            integrate_panels(np.sin, edges)
    for tolerance in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="tolerance: expected a positive number"):
            integrate_panels(np.sin, [0.0, 1.0], tolerance)
    with pytest.raises(TypeError, match="h: expected a callable"):
        integrate_panels(1.0, [0.0, 1.0])
    for h in (np.sum, lambda x: x[:-1], lambda x: x[:, None, None]):
        with pytest.raises(ValueError, match=r"h: expected values of shape \[\d+\] or \[\d+, k\]; got shape"):
            integrate_panels(h, [0.0, 1.0])


def step_at(t):
    return lambda x: (x > t).astype(float)


def kink_at(t):
    return lambda x: np.maximum(x - t, 0.0)


# Anywhere in a panel, and very near to its ends, where rules without end points see nothing.
PLACES = np.concatenate([np.linspace(0.0005, 0.9995, 500), 10.0 ** -np.arange(3, 12), 1 - 10.0 ** -np.arange(3, 12)])


@pytest.mark.parametrize(("make", "power"), [(step_at, 1), (kink_at, 2)])
def test_the_error_estimate_bounds_the_error_of_one_jump_or_kink(make, power):
    finest, worst = quadrature._rule(32), 0.0
    for t in PLACES:
        rules = [quadrature._rule(n) for n in (8, 16, 32)]
        by_rule = [rule.weights @ make(t)(rule.nodes) for rule in rules]
        error = abs(finest.weights @ make(t)(finest.nodes) - (1 - t) ** power / power)
        worst = max(worst, error / np.ptp(by_rule))
    assert 0.5 < worst < 0.9


@pytest.mark.parametrize(("make", "power"), [(step_at, 1), (kink_at, 2)])
def test_no_place_for_a_jump_or_kink_is_overlooked(make, power):
    for t in PLACES:
        exact = (2 - t) ** power / power
        assert within(integrate_panels(make(t), [-1.0, 0.0, 1.0, 2.0]), exact, exact), t


class TestNormal:
    def test_moments(self):
        got = integrate_normal(lambda eps: eps[:, None] ** np.arange(11))
        np.testing.assert_allclose(got, [1, 0, 1, 0, 3, 0, 15, 0, 105, 0, 945], rtol=1e-13, atol=1e-13)

    @pytest.mark.parametrize("t", [0.0, 1e-5, 0.1249999, -0.7, 3.0])
    def test_jumps(self, t):
        assert within(integrate_normal(step_at(t)), special.ndtr(-t), special.ndtr(-t))

    def test_an_infinite_expectation_is_an_error(self):
        """At 0.49 it is 7.07, but what lies beyond the last edge is not small: refused, not wrong."""
        np.testing.assert_allclose(integrate_normal(lambda eps: np.exp(0.48 * eps**2)), 0.04**-0.5, rtol=1e-9)
        with pytest.raises(ValueError, match="f: expected a finite expectation; got an integral that does not"):
            integrate_normal(lambda eps: np.exp(0.49 * eps**2), "f")
        for a in (0.5, 0.51):
            with pytest.raises(ValueError, match="f: expected a finite"):
                integrate_normal(lambda eps, a=a: np.exp(a * eps**2), "f")
            with pytest.raises(ValueError, match="h: expected a finite"):
                integrate_normal(lambda eps, a=a: np.stack([eps, np.exp(a * eps**2)], axis=-1))

    def test_rounding_needs_a_floor(self):
        def noise(eps):
            return np.cos(eps) ** 2 + np.sin(eps) ** 2 - 1.0

        with pytest.raises(ValueError, match="expected an integral to within"):
            integrate_normal(noise)
        assert abs(integrate_normal(noise, floor=1e-5)) < 1e-14

    def test_the_density(self):
        assert normal_density(np.zeros((2, 3))).shape == (2, 3)
        np.testing.assert_allclose(normal_density(1.5), np.exp(-1.125) / np.sqrt(2 * np.pi))


class TestTriangle:
    edges = np.linspace(0.0, 2.0, 4)

    # g, h, and the integral of g(x) h(y) over 0 < y < x < 2.
    @pytest.mark.parametrize(
        ("g", "h", "exact"),
        [
            (np.cos, np.sin, np.sin(2) - 1 - np.sin(4) / 4),
            (lambda x: np.cos(40 * x), np.ones_like, np.sin(80) / 20 + (np.cos(80) - 1) / 1600),
            (step_at(KINK), step_at(KINK), (2 - KINK) ** 2 / 2),
            (step_at(0.2), step_at(KINK), (2 - KINK) ** 2 / 2),
            (step_at(1.7), step_at(KINK), ((2 - KINK) ** 2 - (1.7 - KINK) ** 2) / 2),
            (kink_at(KINK), step_at(KINK), (2 - KINK) ** 3 / 3),
            (lambda x: step_at(KINK)(-x + 2 * KINK), np.ones_like, KINK**2 / 2),
            (lambda x: 1e100 * x, lambda y: 1e-200 * y**2, 1e-100 * 2**5 / 15),
            (np.zeros_like, np.ones_like, 0.0),
        ],
    )
    def test_closed_forms(self, g, h, exact):
        got = integrate_triangle(lambda x: np.stack([g(x), h(x)], axis=-1), self.edges)
        mass = abs(exact) or 1.0
        assert within(got, exact, mass)
        assert exact == 0.0 or not within(got * (1 + 3e-9), exact, mass)

    def test_no_place_for_a_jump_is_overlooked(self):
        for t in PLACES[::5]:
            got = integrate_triangle(lambda x, t=t: np.stack([step_at(t)(x)] * 2, axis=-1), [0.0, 1.0, 2.0])
            assert within(got, (2 - t) ** 2 / 2, (2 - t) ** 2 / 2), t

    def test_both_triangles_make_the_square(self):
        def g(x):
            return np.exp(x) * step_at(0.9)(x)

        halves = [
            integrate_triangle(lambda x, order=order: np.stack([g(x), np.cos(x)][::order], axis=-1), self.edges)
            for order in (1, -1)
        ]
        square = (np.exp(2) - np.exp(0.9)) * np.sin(2)
        np.testing.assert_allclose(sum(halves), square, rtol=1e-8)

    def test_refusals(self):
        for bad in (lambda x: 1 / np.abs(x - KINK), lambda x: np.where(x > KINK, np.nan, 1.0)):
            for columns in (1, -1):
                with pytest.raises(ValueError, match=r"f: expected (a finite integral|an integral to within)"):
                    integrate_triangle(
                        lambda x, bad=bad, columns=columns: np.stack([bad(x), x][::columns], axis=-1),
                        self.edges,
                        argument="f",
                    )
        for pair in (np.sin, lambda x: np.stack([x, x, x], axis=-1)):
            with pytest.raises(ValueError, match=r"pair: expected values of shape \[n, 2\]; got"):
                integrate_triangle(pair, self.edges)
        with pytest.raises(TypeError, match="pair: expected a callable"):
            integrate_triangle(None, self.edges)
