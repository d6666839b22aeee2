"""The labelled statements of the chapter "When the trick fails".

Almost all targets are exact, by quadrature or a closed form. The Monte Carlo tests use fixed seeds and tolerances at
which a right result fails with probability 1e-6 a test (at most 1e-4 for this file). Each test is also given something
wrong that it must reject: a theorem without its condition, a term that is dropped, another constant.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, stats
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import diagnostics, gaussian, gradients

QUANTILE = stats.norm.isf(1e-6 / 2)
LEVELS = (np.arange(400_000) + 0.5) / 400_000  # midpoints: a mean over them is an integral over (0, 1)


def f64(x):
    return tf.constant(x, tf.float64)


def quad(h, a, b, points=None):
    return integrate.quad(h, a, b, points=points, limit=400, epsabs=1e-12, epsrel=1e-12)[0]


def z_score(samples, expected):
    samples = np.asarray(samples)
    return (samples.mean() - expected) / (samples.std(ddof=1) / np.sqrt(len(samples)))


# -- the derivative under the integral ----------------------------------------------------------------------------


def root_of_distance(theta):
    """A, D of h = sqrt|theta - u|, u uniform: slopes without any bound near theta, but integrable."""
    value = quad(lambda u: np.sqrt(abs(theta - u)), 0, 1, points=[theta])
    # with w = sqrt|theta - u|, du = 2 w dw, on both sides of theta
    slope = quad(lambda w: 0.5 / w * 2 * w, 0, np.sqrt(theta)) - quad(lambda w: 0.5 / w * 2 * w, 0, np.sqrt(1 - theta))
    return value, slope


def laplace_square(theta):
    """A, D of h = z^2 q(z; theta) with the Laplace density: a kink in q that moves, no jump."""

    def integral(h):
        return quad(h, theta - 45, theta) + quad(h, theta, theta + 45)

    value = integral(lambda z: z**2 * stats.laplace.pdf(z, theta))
    return value, integral(lambda z: z**2 * stats.laplace.pdf(z, theta) * np.sign(z - theta))


def undominated(theta):
    """A, D of theta^3 exp(u (1 - theta^2)): D = 1 but at 0, where it is 0."""
    return theta, quad(lambda v: (3 - 2 * v) * np.exp(-v), 0, 60) if theta else 0.0


def jumping(theta):
    """Condition 2 fails: h = 1[theta + eps > 0]."""
    return stats.norm.cdf(theta), 0.0


@pytest.mark.verifies("thm-interchange-integrated")
@pytest.mark.parametrize(
    ("problem", "a", "b", "holds"),
    [
        (root_of_distance, 0.2, 0.9, True),
        (laplace_square, -0.5, 1.5, True),
        (undominated, -0.4, 0.7, True),
        (jumping, -0.4, 0.7, False),
    ],
)
def test_an_increment_is_the_integral_of_the_expected_slopes(problem, a, b, holds):
    nodes, weights = np.polynomial.legendre.leggauss(9)
    theta = a + (b - a) * (nodes + 1) / 2
    increment = problem(b)[0] - problem(a)[0]
    integral = (b - a) / 2 * sum(w * problem(t)[1] for t, w in zip(theta, weights, strict=True))
    assert (abs(increment - integral) < 1e-5) == holds


@pytest.mark.verifies("thm-interchange-integrated")
def test_the_derivative_is_the_expected_slope_where_that_is_continuous():
    h = 1e-4
    for problem, theta in ((root_of_distance, 0.3), (laplace_square, 0.4), (undominated, 0.2)):
        derivative = (problem(theta + h)[0] - problem(theta - h)[0]) / (2 * h)
        assert derivative == pytest.approx(problem(theta)[1], abs=1e-4)
    assert undominated(0.0)[1] == 0.0  # D is not continuous there,
    assert (undominated(h)[0] - undominated(-h)[0]) / (2 * h) == 1.0  # and is not the derivative


@pytest.mark.verifies("thm-interchange-integrated")
def test_a_root_has_slopes_without_a_bound_and_a_right_pathwise_mean():
    """f = sqrt|z|, z ~ U(-theta, 1 - theta): sqrt(theta) - sqrt(1 - theta)."""
    value, slope = root_of_distance(0.3)
    assert value == pytest.approx((0.3**1.5 + 0.7**1.5) * 2 / 3)
    assert slope == pytest.approx(np.sqrt(0.3) - np.sqrt(0.7), abs=1e-5)


def large_part(h, theta, t, threshold):
    """E[Q; Q > threshold] of the quotients, over normal noise by quantiles."""
    eps = stats.norm.ppf(LEVELS)
    quotients = (h(eps, theta + t) - h(eps, theta)) / t
    return np.mean(np.where(quotients > threshold, quotients, 0.0)), quotients.mean()


@pytest.mark.verifies("thm-interchange-sharp")
def test_quotients_of_monotone_paths_are_uniformly_integrable_exactly_where_nothing_is_lost():
    def relu(eps, theta):
        return np.maximum(theta + eps, 0.0)

    def step(eps, theta):
        return 1.0 * (theta + eps > 0)

    for t in (1e-1, 1e-2, 1e-3):
        assert large_part(relu, 0.3, t, threshold=5.0)[0] == 0.0
        lost, whole = large_part(step, 0.3, t, threshold=5.0)
        assert lost == pytest.approx(whole)
        assert whole == pytest.approx(stats.norm.pdf(0.3), abs=0.02)
    slope_of_relu = np.mean(0.3 + stats.norm.ppf(LEVELS) > 0)
    assert slope_of_relu == pytest.approx(stats.norm.cdf(0.3), abs=1e-5)  # equality
    assert stats.norm.pdf(0.3) > 0.0  # the step: E[slope] = 0, strictly less


@pytest.mark.verifies("thm-interchange-sharp")
def test_monotone_paths_never_give_too_much():
    """A mixture of a slope and a jump: the pathwise mean is below the truth by the boundary term, never above."""
    for weight in (0.0, 0.4, 1.0):

        def f(z, weight=weight):
            return tf.nn.softplus(z) + weight * 0.5 * (1.0 + tf.sign(z - 1.0))

        inside = gaussian.expectation(tf.sigmoid, 0.5, 1.0)
        truth = gaussian.gradient(f, 0.5, 1.0)["loc"]
        assert truth - inside == pytest.approx(weight * stats.norm.pdf(0.5), abs=1e-8)


# -- boundary terms -----------------------------------------------------------------------------------------------

JUMPS = {-0.5: 2.0, 0.4: -1.0, 1.3: 0.7}


def with_jumps(z):
    steps = [jump * tf.where(z > c, f64(1.0), f64(0.0)) for c, jump in JUMPS.items()]
    return tf.sin(z) + tf.add_n(steps)


@pytest.mark.verifies("thm-boundary-terms")
@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize(("loc", "scale"), [(0.2, 0.8), (-1.0, 1.5)])
def test_path_plus_boundary_terms_is_the_gradient(loc, scale, dropped):
    exact = gaussian.gradient(with_jumps, loc, scale)
    speeds = {"loc": lambda z: 1.0 + 0.0 * z, "scale": lambda z: (z - loc) / scale}
    for name, speed in speeds.items():
        path = gaussian.expectation(lambda z, speed=speed: tf.cos(z) * speed(z), loc, scale)
        kept = {c: jump for c, jump in JUMPS.items() if not (dropped and c == 0.4)}
        boundary = sum(jump * stats.norm.pdf(c, loc, scale) * speed(c) for c, jump in kept.items())
        assert (abs(path + boundary - exact[name]) < 1e-8) == (not dropped)


@pytest.mark.verifies("thm-boundary-terms")
def test_speed_of_an_exponential_law():
    """v = -z / rate: the boundary term is f's jump times q(c) v(c)."""
    rate, c = 1.3, 0.8

    def f(z):
        return z + tf.where(z > c, f64(3.0), f64(0.0))

    exact = gradients.exact(f, tfd.Exponential, {"rate": np.float64(rate)})["rate"]
    path = -1.0 / rate**2
    boundary = 3.0 * rate * np.exp(-rate * c) * (-c / rate)
    assert exact == pytest.approx(path + boundary, abs=1e-8)
    assert exact != pytest.approx(path - boundary, abs=1e-3)


@pytest.mark.verifies("thm-boundary-terms")
def test_a_boundary_that_moves_counts_with_its_relative_speed():
    """Pr[z > c(mu)] with c = 0.5 mu^2: density times (1 - c')."""
    mu, h = 0.6, 1e-5

    def probability(m):
        return stats.norm.sf(0.5 * m**2, m, 1.0)

    derivative = (probability(mu + h) - probability(mu - h)) / (2 * h)
    density = stats.norm.pdf(0.5 * mu**2, mu, 1.0)
    assert derivative == pytest.approx(density * (1 - mu), abs=1e-8)
    assert derivative != pytest.approx(density, abs=1e-2)


@pytest.mark.verifies("thm-boundary-terms")
@pytest.mark.parametrize("radius", [0.7, 2.0])
def test_flux_through_a_circle_and_through_a_line(radius):
    scale, h = 1.2, 1e-5

    def inside(s):
        return 1.0 - np.exp(-(radius**2) / (2 * s**2))

    flux = -1.0 * np.exp(-(radius**2) / (2 * scale**2)) / (2 * np.pi * scale**2) * radius / scale * 2 * np.pi * radius
    assert (inside(scale + h) - inside(scale - h)) / (2 * h) == pytest.approx(flux, abs=1e-8)
    # the half-plane z1 + z2 > radius, z = (m, 0) + eps: v.n = 1 / sqrt 2
    m = 0.3
    line = stats.norm.pdf((radius - m) / np.sqrt(2)) / np.sqrt(2)
    half_plane = [stats.norm.sf((radius - x) / np.sqrt(2)) for x in (m + h, m - h)]
    assert (half_plane[0] - half_plane[1]) / (2 * h) == pytest.approx(line, abs=1e-8)


def cantor_points(bits=16):
    points = np.full(1, 0.5 * 3.0**-bits)
    for k in range(1, bits + 1):
        points = np.concatenate([points, points + 2.0 * 3.0**-k])
    return points


def cantor(z, digits=36):
    x = np.clip(z, 0.0, 1.0)
    value, going, weight = np.zeros_like(x), np.ones_like(x), 1.0
    for _ in range(digits):
        digit = np.minimum(np.floor(3.0 * x), 2.0)
        weight /= 2.0
        value += going * weight * np.minimum(digit, 1.0)
        going *= digit != 1.0
        x = 3.0 * x - digit
    return value + going * weight * x, going * weight * 3.0**digits


@pytest.mark.verifies("thm-boundary-terms")
def test_the_singular_part_of_the_cantor_function():
    loc, scale = 0.3, 0.4
    points = cantor_points()
    density = stats.norm.pdf(points, loc, scale)
    z = np.linspace(loc - 9 * scale, loc + 9 * scale, 3**13 + 1)
    value, slope = cantor(z)
    score = (z - loc) / scale**2
    truth = np.trapezoid(value * score * stats.norm.pdf(z, loc, scale), z)
    assert truth == pytest.approx(density.mean(), abs=1e-5)
    assert np.mean(slope * ((z > 0) & (z < 1)) != 0) < 1e-4  # of all points; the grid holds a few of the set
    assert truth > 0.6  # the path says 0
    assert truth != pytest.approx(1.01 * density.mean(), abs=1e-5)


# -- supports -----------------------------------------------------------------------------------------------------


@pytest.mark.verifies("thm-moving-support")
@pytest.mark.parametrize("theta", [0.7, 1.6])
def test_score_plus_moving_ends_is_the_derivative(theta):
    """q proportional to exp(-theta z) on (theta / 4, 1 + theta^2), f = cos with a jump inside."""

    def ends(t):
        return t / 4, 1 + t**2

    def mass(t):
        a, b = ends(t)
        return (np.exp(-t * a) - np.exp(-t * b)) / t

    def f(z):
        return np.cos(z) + 2.0 * (z > 0.9)

    def expectation(t, h):
        return quad(lambda z: h(z) * np.exp(-t * z) / mass(t), *ends(t), points=[0.9])

    step = 1e-5
    derivative = (expectation(theta + step, f) - expectation(theta - step, f)) / (2 * step)
    change = (np.log(mass(theta + step)) - np.log(mass(theta - step))) / (2 * step)
    a, b = ends(theta)
    at_a, at_b = (np.exp(-theta * end) / mass(theta) for end in (a, b))
    boundary = f(b) * at_b * 2 * theta - f(a) * at_a / 4
    score = expectation(theta, lambda z: f(z) * (-z - change))
    assert derivative == pytest.approx(score + boundary, abs=1e-7)
    assert derivative != pytest.approx(score, abs=1e-2)
    mean_score = expectation(theta, lambda z: -z - change)
    assert mean_score == pytest.approx(at_a / 4 - at_b * 2 * theta, abs=1e-7)


@pytest.mark.verifies("thm-moving-support")
def test_uniform_law_score_function_is_off_by_the_boundary_term():
    def make(theta):
        return tfd.Uniform(tf.zeros_like(theta), theta)

    params = {"theta": f64(2.0)}
    exact = gradients.exact(tf.square, make, params)["theta"]
    assert exact == pytest.approx(2 * 2.0 / 3)
    score = gradients.score_function(tf.square, make, params, 20_000, seed=1).samples["theta"]
    assert abs(z_score(score + 2.0**2 / 2.0, exact)) < QUANTILE
    assert abs(z_score(score, exact)) > QUANTILE
    moved = gradients.score_function(tf.square, make, params, 20_000, seed=1, baseline=1.0).samples["theta"]
    assert np.allclose(moved - score, 1.0 / 2.0)  # each unit of baseline: 1 / theta


@pytest.mark.verifies("thm-moving-support")
def test_a_jump_of_the_density_inside_a_support_that_never_moves():
    """Rates 1 to the left of theta and 3 to its right, weight 1/2 each; f = z + cos z."""

    def q(z, theta):
        return 0.5 * np.exp(z - theta) if z < theta else 1.5 * np.exp(-3 * (z - theta))

    def f(z):
        return z + np.cos(z)

    def integral(theta, h):
        return quad(h, theta - 45, theta) + quad(h, theta, theta + 15)

    def expectation(theta):
        return integral(theta, lambda z: f(z) * q(z, theta))

    theta, step = 2.0, 1e-5
    derivative = (expectation(theta + step) - expectation(theta - step)) / (2 * step)
    score = integral(theta, lambda z: f(z) * (-1.0 if z < theta else 3.0) * q(z, theta))
    assert derivative == pytest.approx(score + f(theta) * (0.5 - 1.5), abs=1e-7)
    assert derivative != pytest.approx(score, abs=0.5)
    assert derivative != pytest.approx(score + f(theta) * (1.5 - 0.5), abs=0.5)


@pytest.mark.verifies("thm-moving-support")
@pytest.mark.parametrize(("vanishes", "unbiased"), [(True, True), (False, False)])
def test_an_end_that_moves_does_no_harm_where_the_density_vanishes(vanishes, unbiased):
    """Triangles on (0, b), f = z^2: falling to the end b, 2 (b - z) / b^2, or rising to it, 2 z / b^2."""
    b = 2.0
    if vanishes:
        derivative = 2 * b / 6  # of b^2 / 6

        def score_times_q(z):
            return 2 / b**2 - 4 * (b - z) / b**3

        second = [quad(lambda z: (z**2 * score_times_q(z)) ** 2 * b**2 / (2 * (b - z)), 0, b - d) for d in (1e-4, 1e-8)]
        assert second[1] > 1.5 * second[0]  # the variance of the score function is infinite: a logarithm
    else:
        derivative = 2 * b / 2  # of b^2 / 2

        def score_times_q(z):
            return -4 * z / b**3

    score = quad(lambda z: z**2 * score_times_q(z), 0, b)
    assert (score == pytest.approx(derivative, abs=1e-9)) == unbiased


@pytest.mark.verifies("thm-moving-support")
def test_a_formula_without_an_end_hides_a_support_that_moves():
    """z = start + Exp(1), f = z^2: truth 4 at 1, the score function 5."""

    def make(start):
        return tfd.TransformedDistribution(tfd.Exponential(tf.ones_like(start)), tfb.Shift(start))

    at_one = {"start": f64(1.0)}
    assert make(f64(1.0)).log_prob(f64(0.0)).numpy() == pytest.approx(1.0)  # not -inf
    assert gradients.exact(tf.square, make, at_one)["start"] == pytest.approx(4.0, abs=1e-8)
    score = gradients.score_function(tf.square, make, at_one, 20_000, seed=3).samples["start"]
    assert abs(z_score(score, 5.0)) < QUANTILE
    assert abs(z_score(score, 4.0)) > QUANTILE


@pytest.mark.verifies("prop-absolute-continuity")
@pytest.mark.parametrize("theta", [0.8, 2.0])
def test_ratios_lose_mass_from_the_right_and_the_limit_from_the_left(theta):
    f = np.cos

    def mean(t):
        return np.sin(theta + t) / (theta + t)  # A(theta + t)

    def of_ratio(t):
        return quad(lambda z: f(z) / theta * theta / (theta + t), 0, min(theta, theta + t))

    derivative = np.cos(theta) / theta - np.sin(theta) / theta**2
    for t in (1e-2, 1e-3):
        lost = quad(f, theta, theta + t) / (theta + t)
        assert of_ratio(t) == pytest.approx(mean(t) - lost, abs=1e-12)
        assert of_ratio(-t) == pytest.approx(mean(-t), abs=1e-12)
    t = 1e-6
    assert (of_ratio(t) - mean(0.0)) / t == pytest.approx(derivative - f(theta) / theta, abs=1e-5)
    assert (of_ratio(-t) - mean(0.0)) / -t == pytest.approx(derivative, abs=1e-5)
    inside = quad(lambda z: -f(z) / theta / theta, 0, theta)  # the limit of (R - 1) f / t, at every z
    assert inside == pytest.approx(derivative - f(theta) / theta, abs=1e-12)
    assert inside != pytest.approx(derivative, abs=1e-2)


# -- the gallery --------------------------------------------------------------------------------------------------


@pytest.mark.verifies("prop-smoothed-step")
@pytest.mark.parametrize("distance", [0.5, -1.4])
def test_bias_and_second_moment_of_a_smoothed_step(distance):
    """q at c, c - mu = distance, for a normal density."""
    q, curvature = stats.norm.pdf(distance), stats.norm.pdf(distance) * (distance**2 - 1)

    def moments(t):
        slope = stats.logistic.pdf
        mean = quad(lambda x: slope(x) * stats.norm.pdf(distance + t * x), -60, 60, points=[0])
        square = quad(lambda x: slope(x) ** 2 * stats.norm.pdf(distance + t * x), -60, 60, points=[0]) / t
        return mean, square

    for order, name in ((4, "mean"), (1, "square")):
        errors = []
        for t in (0.1, 0.05):
            mean, square = moments(t)
            expected = q + np.pi**2 / 6 * curvature * t**2 if name == "mean" else q / (6 * t)
            errors.append(abs((mean if name == "mean" else square) - expected))
        assert errors[0] / errors[1] == pytest.approx(2.0**order, rel=0.15)
    mean, square = moments(0.05)
    assert mean != pytest.approx(q + np.pi**2 / 3 * curvature * 0.05**2, abs=1e-4)
    assert square != pytest.approx(q / (4 * 0.05), rel=0.05)


@pytest.mark.verifies("prop-smoothed-step")
def test_best_temperature_falls_like_the_fifth_root():
    temperatures = np.geomspace(1e-3, 1, 4001)
    best = []
    for n in (1e4, 1e9):
        squared_error = np.pi**4 / 36 * 0.26**2 * temperatures**4 + 0.35 / (6 * n * temperatures)
        best.append((temperatures[squared_error.argmin()], np.sqrt(squared_error.min())))
    assert best[0][0] / best[1][0] == pytest.approx((1e5) ** 0.2, rel=0.01)
    assert best[0][1] / best[1][1] == pytest.approx((1e5) ** 0.4, rel=0.01)


@pytest.mark.verifies("prop-cantor-approximants")
@pytest.mark.parametrize("n", [2, 5, 8])
def test_slopes_of_the_approximants(n):
    z = (np.arange(3**12) + 0.5) / 3**12
    _, slope = cantor(z, n)
    assert np.mean(slope > 0) == pytest.approx((2 / 3) ** n)
    assert set(np.unique(slope.round(9))) == {0.0, round(1.5**n, 9)}
    loc, h = 0.2, 1e-4
    density = [stats.norm.pdf(z, m, 0.5) for m in (loc, loc + h, loc - h)]

    def expectation(m):  # C_n is 1 to the right of 1
        return np.mean(cantor(z, n)[0] * density[m]) + stats.norm.sf(1.0, loc + (0, h, -h)[m], 0.5)

    derivative = (expectation(1) - expectation(2)) / (2 * h)
    mean, square = np.mean(slope * density[0]), np.mean(slope**2 * density[0])
    assert mean == pytest.approx(derivative, abs=1e-4)
    assert square == pytest.approx(1.5**n * mean)
    assert np.mean((slope > 0) * density[0]) <= density[0].max() * (2 / 3) ** n
    assert mean != pytest.approx(1.02 * derivative, abs=1e-4)


@pytest.mark.verifies("prop-undominated-sample")
@pytest.mark.parametrize(("theta", "reach"), [(0.1, 11.5), (0.5, 8.0), (-0.9, 3.0)])
def test_what_a_truncated_sample_sees(theta, reach):
    seen = quad(lambda u: (3 * theta**2 - 2 * u * theta**4) * np.exp(-u * theta**2), 0, reach)
    v = reach * theta**2
    assert seen == pytest.approx(1 - (1 - 2 * v) * np.exp(-v), abs=1e-10)
    assert seen != pytest.approx(1 - (1 - v) * np.exp(-v), abs=1e-3)
    absolute = quad(lambda v: abs(3 - 2 * v) * np.exp(-v), 0, 60, points=[1.5])
    same = quad(
        lambda u: abs(3 * theta**2 - 2 * u * theta**4) * np.exp(-u * theta**2), 0, 60 / theta**2, [1.5 / theta**2]
    )
    assert same == pytest.approx(absolute, abs=1e-9)  # condition 3: one number for all theta


@pytest.mark.verifies("prop-undominated-sample")
def test_the_mean_over_a_sample_is_near_what_it_can_see():
    u = -np.log(np.random.default_rng(2).uniform(size=(200, 10_000)))
    theta = 0.05
    slopes = (3 * theta**2 - 2 * u * theta**4) * np.exp(u * (1 - theta**2))
    v = np.log(10_000) * theta**2
    seen = 1 - (1 - 2 * v) * np.exp(-v)
    assert seen == pytest.approx(3 * v, rel=0.05)
    assert np.median(slopes.mean(axis=1)) == pytest.approx(seen, rel=0.25)
    assert (slopes.mean(axis=1) < 0.5).mean() > 0.95  # of 1


def second_moment_settles(a, variance, mu=0.3):
    """Whether the integral of (z exp(a z^2))^2 q^2 / r converges, r a normal law of this variance around 0."""

    def log_integrand(z):
        log_q = stats.norm.logpdf(z, mu, 1.0)
        return 2 * np.log(np.abs(z)) + 2 * a * z**2 + 2 * log_q - stats.norm.logpdf(z, 0.0, np.sqrt(variance))

    far = np.array([200.0, 400.0, 800.0])
    return bool(np.all(np.diff(log_integrand(far)) < 0) and log_integrand(800.0) < -50)


@pytest.mark.verifies("prop-infinite-variance-square")
@pytest.mark.parametrize("a", [0.1, 0.2, 0.3, 0.45])
def test_variance_is_finite_below_a_quarter_and_weights_repair_it(a):
    def f(z):
        return tf.exp(a * z**2)

    mu, d = 0.3, 1 - 2 * a
    assert gaussian.expectation(f, mu, 1.0) == pytest.approx(np.exp(a * mu**2 / d) / np.sqrt(d), rel=1e-8)
    exact = gaussian.gradient(f, mu, 1.0)
    for name, factor in {"loc": lambda z: 1.0, "scale": lambda z: z - mu}.items():
        mean = gaussian.expectation(lambda z, factor=factor: 2 * a * z * tf.exp(a * z**2) * factor(z), mu, 1.0)
        assert mean == pytest.approx(exact[name], rel=1e-7)  # unbiased, on both sides of 1/4
    for estimator in ("pathwise", "score_function"):
        if a < 0.25:
            assert np.isfinite(gaussian.gradient_variance(f, mu, 1.0, estimator)["loc"])
        else:
            with pytest.raises(ValueError, match="converge"):
                gaussian.gradient_variance(f, mu, 1.0, estimator)
    threshold = 1 / (2 * d)
    assert second_moment_settles(a, 1.05 * threshold)
    assert not second_moment_settles(a, 0.95 * threshold)


@pytest.mark.verifies("prop-relaxation-bias")
@pytest.mark.parametrize("t", [0.0, 0.3, 0.45, 0.8])
def test_relaxed_bernoulli_gradient_is_two_thirds_of_the_true_one(t):
    def f(b):
        return (b - t) ** 2

    logit = {"logits": np.float64(0.0)}
    true = gradients.exact(f, lambda logits: tfd.Bernoulli(logits=logits, dtype=tf.float64), logit)["logits"]
    assert true == pytest.approx((1 - 2 * t) / 4)
    relaxed = gradients.exact(f, lambda logits: tfd.RelaxedBernoulli(f64(1.0), logits=logits), logit)["logits"]
    assert relaxed == pytest.approx((1 - 2 * t) / 6, abs=1e-8)
    path = quad(lambda x: 2 * (x - t) * x * (1 - x), 0, 1)
    assert path == pytest.approx(relaxed, abs=1e-8)
    assert path != pytest.approx(true, abs=1e-3)


# -- the software -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("concentration", "expected"), [(1.0, np.euler_gamma), (1.0 + 1e-9, 0.0)])
def test_tfp_loses_a_term_of_the_score_at_concentration_one(concentration, expected):
    """The mean of the score over quantiles of Exp(1): Euler's constant at exactly 1, 0 beside it."""
    z = tf.constant(-np.log(LEVELS))
    a = f64(concentration)
    with tf.GradientTape() as tape:
        tape.watch(a)
        mean_log_prob = tf.reduce_mean(tfd.Gamma(a, f64(1.0)).log_prob(z))
    assert tape.gradient(mean_log_prob, a).numpy() == pytest.approx(expected, abs=1e-4)


def test_a_branch_not_taken_spoils_the_slope_and_a_safe_argument_saves_it():
    def rooted(z):
        return tf.where(z > 0, z * tf.sqrt(z), tf.zeros_like(z))

    def safely_rooted(z):
        return rooted(tf.where(z > 0, z, tf.ones_like(z))) * tf.cast(z > 0, z.dtype)

    points = tf.constant([-1.0, 4.0], tf.float64)
    for f, at_minus_one in ((rooted, np.nan), (safely_rooted, 0.0)):
        with tf.GradientTape() as tape:
            tape.watch(points)
            values = f(points)
        assert np.array_equal(values, [0.0, 8.0])
        assert np.array_equal(tape.gradient(values, points), [at_minus_one, 3.0], equal_nan=True)


def test_the_chapter_explains_every_word_of_the_audit():
    chapter = (Path(__file__).parents[1] / "book" / "chapters" / "validity.md").read_text(encoding="utf-8")
    table = chapter.split("| word | what the audit has seen |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(
        re.findall(r"^ *- ``(\w+)``", diagnostics.audit.__doc__, re.MULTILINE)
    )
