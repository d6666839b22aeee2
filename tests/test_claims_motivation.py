"""The labelled statements of the chapter "Motivation".

Exact targets wherever there is one. Monte Carlo tests use fixed seeds and the tolerances of `calibration`, shared among
the comparisons of this file, so that right statements fail with probability 1e-4 at most. Each has a planted error.
"""

import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_mean, assert_variance
from scipy import integrate, optimize, special, stats
from tensorflow_probability import distributions as tfd

from companion import gaussian, gradients, seeds
from companion.reparameterizations import standard_normal

PRICE, COST, STOCK = 2.5, 1.0, 100.0
MU, SIGMA = np.log(60.0), 0.8
COMPARISONS = 40  # statistical comparisons in this file
HERMITE = special.roots_hermitenorm(40)


def profit(z):
    return PRICE * tf.minimum(tf.exp(z), STOCK) - COST * STOCK


def sold_out(z):
    return tf.cast(z > np.log(STOCK), tf.float64)


def normals(*shape, seed):
    return standard_normal(dtype=tf.float64).sample(shape, seed=seeds.as_seed(seed))


def variance(f, mu, sigma=SIGMA):
    return gaussian.expectation(lambda z: f(z) ** 2, mu, sigma) - gaussian.expectation(f, mu, sigma) ** 2


def quotients(f, eps, other, h):
    return ((f(MU + h + SIGMA * other) - f(MU + SIGMA * eps)) / h).numpy()


def assert_rejected(check, *args):
    with pytest.raises(AssertionError):
        check(*args, shared_among=COMPARISONS)


# -- the newsvendor -----------------------------------------------------------------------------------------------


def closed_form(mu, sigma, stock):
    """Sales and their derivatives, as the chapter states them."""
    alpha = (np.log(stock) - mu) / sigma
    below = np.exp(mu + sigma**2 / 2) * stats.norm.cdf(alpha - sigma)
    return below + stock * stats.norm.sf(alpha), below, sigma * below - stock * stats.norm.pdf(alpha)


@pytest.mark.verifies("prop-newsvendor-profit")
@pytest.mark.parametrize(
    ("mu", "sigma", "stock"), [(MU, 0.8, 100.0), (4.7, 0.4, 100.0), (-1.0, 1.5, 0.2), (2.0, 0.1, 50)]
)
def test_sales_of_the_newsvendor_agree_with_quadrature(mu, sigma, stock):
    def sales(z):
        return tf.minimum(tf.exp(z), stock)

    value, d_mu, d_sigma = closed_form(mu, sigma, stock)
    exact = gaussian.gradient(sales, mu, sigma)
    scale = abs(value)
    assert value == pytest.approx(gaussian.expectation(sales, mu, sigma), abs=1e-7 * scale)
    assert d_mu == pytest.approx(exact["loc"], abs=1e-6 * scale)
    assert d_sigma == pytest.approx(exact["scale"], abs=1e-6 * scale)
    forgotten = d_sigma + stock * stats.norm.pdf((np.log(stock) - mu) / sigma)  # without the boundary term
    if forgotten != d_sigma and (np.log(stock) - mu) / sigma < 8:
        assert forgotten != pytest.approx(exact["scale"], abs=1e-6 * scale)


def minus_objective(mu, sigma):
    value = PRICE * closed_form(mu, sigma, STOCK)[0] - COST * STOCK
    return 60 * (mu - MU) ** 2 + 20 * np.log(sigma / SIGMA) ** 2 - value


def test_optimum_of_the_newsvendor_needs_a_parameter_without_bounds():
    """What the chapter says about log sigma: right with it, lost without it; the hill has one top."""
    found = optimize.minimize(lambda p: minus_objective(p[0], np.exp(p[1])), [MU, np.log(SIGMA)])
    assert found.x[0] == pytest.approx(4.7188, abs=1e-3)
    assert np.exp(found.x[1]) == pytest.approx(0.4099, abs=1e-3)
    mu, sigma = np.meshgrid(np.linspace(2, 7, 251), np.geomspace(0.05, 3, 201))
    height = -minus_objective(mu, sigma)
    inner = height[1:-1, 1:-1]
    neighbours = [height[1 + i : 200 + i, 1 + j : 250 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    assert np.sum(np.all([inner > n for n in neighbours], axis=0)) == 1
    assert inner.max() == pytest.approx(-found.fun, abs=0.05)

    def with_slopes(p):
        _, d_mu, d_sigma = closed_form(*p, STOCK)
        slopes = [PRICE * d_mu - 120 * (p[0] - MU), PRICE * d_sigma - 40 * np.log(p[1] / SIGMA) / p[1]]
        return minus_objective(*p), -np.array(slopes)

    with np.errstate(all="ignore"):
        lost = optimize.minimize(with_slopes, [MU, SIGMA], jac=True, options={"gtol": 1e-9})
    assert lost.x[1] < 0


# -- detached samples ---------------------------------------------------------------------------------------------


@pytest.mark.verifies("claim-detached-sample")
@pytest.mark.parametrize("f", [profit, sold_out, tf.sin])
def test_detached_samples_leave_the_gradient_of_the_cost_alone(f):
    found = []
    for cut in (lambda z: z.numpy(), tf.stop_gradient, tf.identity):
        mu = tf.Variable(4.4, dtype=tf.float64)
        with tf.GradientTape() as tape:
            z = cut(mu + SIGMA * normals(1000, seed=1))
            objective = tf.reduce_mean(f(z)) - 60.0 * (mu - MU) ** 2
        found.append(float(tape.gradient(objective, mu)))
    assert found[:2] == pytest.approx([-120.0 * (4.4 - MU)] * 2, rel=1e-12)
    if f is not sold_out:  # a connected sample has more to say, unless f is flat
        assert abs(found[2] - found[0]) > 1e-3


def test_discrete_samples_have_no_gradient():
    mu = tf.Variable(4.0, dtype=tf.float64)
    with tf.GradientTape() as tape:
        y = tf.reduce_mean(tfd.Poisson(tf.exp(mu)).sample(100, seed=[0, 1]))
    assert tape.gradient(y, mu) is None


# -- finite differences -------------------------------------------------------------------------------------------


@pytest.mark.verifies("prop-independent-differences")
@pytest.mark.parametrize("h", [0.5, 0.05, 0.005])
def test_mean_and_variance_of_independent_differences(h):
    samples = quotients(profit, normals(50_000, seed=2), normals(50_000, seed=3), h)
    mean = (gaussian.expectation(profit, MU + h, SIGMA) - gaussian.expectation(profit, MU, SIGMA)) / h
    exact = (variance(profit, MU + h) + variance(profit, MU)) / h**2
    assert_mean(samples, mean, shared_among=COMPARISONS)
    assert_variance(samples, exact, shared_among=COMPARISONS)
    assert_rejected(assert_variance, samples, exact * h)  # 1/h for 1/h^2
    assert_rejected(assert_variance, samples, variance(profit, MU) / h**2)  # one of the two variances


@pytest.mark.verifies("prop-independent-differences")
def test_bias_is_half_the_curvature_times_the_step():
    slope = {x: gaussian.gradient(profit, MU + x, SIGMA)["loc"] for x in (-1e-3, 0.0, 1e-3)}
    curvature = (slope[1e-3] - slope[-1e-3]) / 2e-3
    for h in (1e-2, -1e-2):
        mean = (gaussian.expectation(profit, MU + h, SIGMA) - gaussian.expectation(profit, MU, SIGMA)) / h
        assert (mean - slope[0.0]) / h == pytest.approx(curvature / 2, rel=0.05)
        assert (mean - slope[0.0]) / h != pytest.approx(curvature, rel=0.05)


@pytest.mark.verifies("prop-independent-differences")
@pytest.mark.parametrize(("v", "curvature", "n"), [(5800.0, -11.6, 1000), (1400.0, -159.0, 100), (1.0, 0.1, 7)])
def test_best_step_is_the_minimum_of_the_error(v, curvature, n):
    def error(log_h):
        h = np.exp(log_h)
        return h**2 * curvature**2 / 4 + 2 * v / (n * h**2)

    found = optimize.minimize_scalar(error, bounds=(-12, 12), method="bounded", options={"xatol": 1e-10})
    assert np.exp(found.x) == pytest.approx((8 * v / (n * curvature**2)) ** 0.25, rel=1e-5)
    assert np.sqrt(found.fun) == pytest.approx((2 * v * curvature**2 / n) ** 0.25, rel=1e-9)
    assert (2 * v * curvature**2 / (16 * n)) ** 0.25 == pytest.approx(np.sqrt(found.fun) / 2)  # sixteen times


@pytest.mark.verifies("thm-common-random-numbers")
@pytest.mark.parametrize("name", ["loc", "scale"])
def test_common_differences_converge_in_mean_square_to_the_path(name):
    """By the midpoint rule over the noise, for the newsvendor: distance, mean, variance and its bound."""
    exact = gaussian.gradient(profit, MU, SIGMA)[name]
    target = gaussian.gradient_variance(profit, MU, SIGMA, "pathwise")[name]
    eps = stats.norm.ppf((np.arange(1_000_000) + 0.5) / 1_000_000)

    def value(h):
        return profit(MU + h + SIGMA * eps if name == "loc" else MU + (SIGMA + h) * eps).numpy()

    z = MU + SIGMA * eps
    slope = np.where(z < np.log(STOCK), PRICE * np.exp(z), 0.0) * (1.0 if name == "loc" else eps)
    assert slope.mean() == pytest.approx(exact, rel=1e-3)
    distances = []
    for h in (0.1, 0.01, 0.001, -0.001):
        quotient = (value(h) - value(0.0)) / h
        distances.append(np.mean((quotient - slope) ** 2))
        assert np.all(np.abs(quotient) <= PRICE * STOCK * (1.0 if name == "loc" else np.abs(eps)) + 1e-8)
        assert quotient.var() <= (PRICE * STOCK) ** 2  # E M^2, for both parameters
    assert quotient.mean() == pytest.approx(exact, rel=2e-3)
    assert quotient.var() == pytest.approx(target, rel=5e-3)
    assert quotient.var() != pytest.approx(target + exact**2, rel=5e-3)  # the second moment is another number
    assert distances[0] > 5 * distances[1] > 25 * distances[2] > 0


@pytest.mark.verifies("thm-common-random-numbers")
@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_measured_common_differences_have_the_limiting_moments(shift):
    eps = normals(50_000, seed=4)
    samples = quotients(profit, eps, eps, 1e-6)
    mean = gaussian.gradient(profit, MU, SIGMA)["loc"] * (1 + shift)
    spread = gaussian.gradient_variance(profit, MU, SIGMA, "pathwise")["loc"] * (1 + shift)
    if shift:
        assert_rejected(assert_mean, samples, mean)
        assert_rejected(assert_variance, samples, spread)
    else:
        assert_mean(samples, mean, shared_among=COMPARISONS)
        assert_variance(samples, spread, shared_among=COMPARISONS)


@pytest.mark.verifies("thm-common-random-numbers")
def test_without_the_bound_the_limit_and_the_mean_part():
    """A jump meets condition 1 and not condition 2: every path has slope zero, the mean has not."""
    eps = normals(1000, seed=5)
    assert not np.any(quotients(sold_out, eps, eps, 1e-9))
    assert gaussian.gradient(sold_out, MU, SIGMA)["loc"] > 0.4


@pytest.mark.verifies("prop-common-noise-jump")
@pytest.mark.parametrize("h", [0.3, 0.03])
def test_common_differences_at_a_jump(h):
    t = np.log(STOCK)
    chance = stats.norm.cdf((t - MU) / SIGMA) - stats.norm.cdf((t - MU - h) / SIGMA)
    eps = normals(100_000, seed=6)
    samples = quotients(sold_out, eps, eps, h)
    assert np.unique(samples) == pytest.approx([0.0, 1 / h])
    assert_mean(samples, chance / h, shared_among=COMPARISONS)
    assert_variance(samples, chance * (1 - chance) / h**2, shared_among=COMPARISONS)
    assert_rejected(assert_variance, samples, chance * (1 - chance) / h)


@pytest.mark.verifies("prop-common-noise-jump")
def test_variance_at_a_jump_grows_like_one_over_h():
    t = np.log(STOCK)
    limit = stats.norm.pdf((t - MU) / SIGMA) / SIGMA
    assert gaussian.gradient(sold_out, MU, SIGMA)["loc"] == pytest.approx(limit, rel=1e-7)
    for h in (1e-4, 1e-6):
        chance = stats.norm.cdf((t - MU) / SIGMA) - stats.norm.cdf((t - MU - h) / SIGMA)
        assert chance * (1 - chance) / h**2 == pytest.approx(limit / h, rel=2 * h * limit + 1e-8)


# -- the score function -------------------------------------------------------------------------------------------


def score(name, z):
    return (z - MU) / SIGMA**2 if name == "loc" else (z - MU) ** 2 / SIGMA**3 - 1 / SIGMA


DISCONTINUOUS = [sold_out, lambda z: tf.cast(tf.floor(z), tf.float64), profit]


@pytest.mark.verifies("thm-score-function-gradient")
@pytest.mark.parametrize("f", DISCONTINUOUS, ids=["jump", "floor", "kink"])
def test_score_function_is_the_derivative_of_the_integral(f):
    """The left side by differences of E f itself, the right one by quadrature of f times the score."""
    h = 1e-4
    for name, (a, b) in {"loc": (h, 0.0), "scale": (0.0, h)}.items():
        ends = [gaussian.expectation(f, MU + x * a, SIGMA + x * b) for x in (1, -1)]
        right = gaussian.expectation(lambda z, name=name: f(z) * score(name, z), MU, SIGMA)
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(right, rel=1e-4, abs=1e-4)


@pytest.mark.verifies("thm-score-function-gradient")
@pytest.mark.parametrize("f", DISCONTINUOUS, ids=["jump", "floor", "kink"])
def test_estimator_with_the_score_is_unbiased(f):
    params = {"loc": tf.constant(MU), "scale": tf.constant(SIGMA, tf.float64)}
    estimate = gradients.score_function(f, tfd.Normal, params, 100_000, seed=7)
    for name, exact in gaussian.gradient(f, MU, SIGMA).items():
        samples = estimate.samples[name].numpy()
        assert_mean(samples, exact, shared_among=COMPARISONS)
        assert_rejected(assert_mean, samples + 0.1 * samples.std(), exact)


@pytest.mark.verifies("thm-score-function-gradient")
def test_sums_stand_for_integrals():
    rate, counts = 3.7, np.arange(200)
    weight = stats.poisson.pmf(counts, rate)
    f = np.minimum(counts, 4.0)
    ends = [f @ stats.poisson.pmf(counts, rate + x) for x in (1e-5, -1e-5)]
    assert f @ (weight * (counts / rate - 1)) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


@pytest.mark.verifies("thm-score-function-gradient")
def test_support_that_moves_breaks_it():
    """U(0, theta), f(z) = z: the score gives -1/2, the truth is +1/2."""
    theta = 1.7
    right = integrate.quad(lambda z: z * (-1 / theta) / theta, 0, theta)[0]
    assert right == pytest.approx(-0.5)
    ends = [integrate.quad(lambda z, t=t: z / t, 0, t)[0] for t in (theta + 1e-5, theta - 1e-5)]
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(0.5)


@pytest.mark.verifies("cor-score-mean-zero")
@pytest.mark.parametrize("b", [0.0, -30.0, 55.0, 1000.0])
def test_constant_baseline_changes_no_mean(b):
    truth = gaussian.gradient(profit, MU, SIGMA)
    found = gaussian.gradient(lambda z: profit(z) - b, MU, SIGMA)
    one = gaussian.gradient(tf.ones_like, MU, SIGMA)
    for name in ("loc", "scale"):
        assert one[name] == pytest.approx(0.0, abs=1e-9)
        assert found[name] == pytest.approx(truth[name], abs=1e-5)
    dependent = gaussian.gradient(lambda z: profit(z) - z, MU, SIGMA)  # a "baseline" that knows the sample
    assert dependent["loc"] != pytest.approx(truth["loc"], abs=1e-2)


def score_moments(name):
    """E s^2 and E f s^2 for the profit, by quadrature."""
    square = gaussian.expectation(lambda z: score(name, z) ** 2, MU, SIGMA)
    return square, gaussian.expectation(lambda z: profit(z) * score(name, z) ** 2, MU, SIGMA)


@pytest.mark.verifies("prop-optimal-baseline")
@pytest.mark.parametrize("name", ["loc", "scale"])
def test_variance_is_a_parabola_about_the_optimal_baseline(name):
    def spread(b):
        return gaussian.gradient_variance(lambda z: profit(z) - b, MU, SIGMA, "score_function")[name]

    square, weighted = score_moments(name)
    best = weighted / square
    assert best < gaussian.expectation(profit, MU, SIGMA)
    for b in (-100.0, 0.0, best + 1.0, 200.0):
        assert spread(b) == pytest.approx(spread(best) + (b - best) ** 2 * square, rel=1e-7)
        assert spread(b) > spread(best)
    mean = gaussian.expectation(profit, MU, SIGMA)  # the planted error: E f as the best constant
    assert spread(0.0) != pytest.approx(spread(mean) + mean**2 * square, rel=1e-3)


@pytest.mark.verifies("prop-same-sample-baseline")
@pytest.mark.parametrize("n", [2, 5])
def test_baseline_from_the_same_samples_shrinks_the_gradient(n):
    eps = normals(100_000, n, seed=8)
    values, score = profit(MU + SIGMA * eps).numpy(), eps.numpy() / SIGMA
    mean, exact = values.mean(axis=1, keepdims=True), gaussian.gradient(profit, MU, SIGMA)["loc"]
    same = np.mean((values - mean) * score, axis=1)
    others = np.mean((values - (n * mean - values) / (n - 1)) * score, axis=1)
    assert_mean(same, (1 - 1 / n) * exact, shared_among=COMPARISONS)
    assert_mean(others, exact, shared_among=COMPARISONS)
    assert_rejected(assert_mean, same, exact)
    assert_rejected(assert_mean, others, (1 - 1 / n) * exact)


def dimension_formula(sigma, dim):
    return {"score": dim**2 / (2 * sigma**2) + 2 * dim + 8, "baseline": 2 * dim + 8, "path": 1.0}


@pytest.mark.verifies("prop-score-variance-dimension")
@pytest.mark.parametrize(("sigma", "dim"), [(0.7, 1), (0.7, 6), (2.0, 30)])
def test_general_formula_gives_the_example(sigma, dim):
    """Moments by Gauss-Hermite quadrature, exact for these polynomials; the sum over the others is Gaussian."""
    eps, weight = HERMITE[0], HERMITE[1] / HERMITE[1].sum()
    score, u = (eps**2 - 1) / sigma, 0.5 + sigma * eps
    m, v, square = 0.5, sigma**2, weight @ score**2

    def var(x):
        return weight @ x**2 - (weight @ x) ** 2

    general = var(u * score) + 2 * (dim - 1) * m * (weight @ (u * score**2))
    general += ((dim - 1) * v + (dim - 1) ** 2 * m**2) * square
    exact = dimension_formula(sigma, dim)
    assert general == pytest.approx(exact["score"])
    assert var((u - m) * score) + (dim - 1) * v * square == pytest.approx(exact["baseline"])
    rest = (dim - 1) * m + np.sqrt((dim - 1) * v) * eps  # and directly: f = u + rest, rest independent
    direct = np.outer(weight, weight)
    sample = (u[:, None] + rest[None, :]) * score[:, None]
    assert np.sum(direct * sample**2) - np.sum(direct * sample) ** 2 == pytest.approx(exact["score"])


@pytest.mark.verifies("prop-score-variance-dimension")
def test_measured_variances_in_ten_dimensions():
    sigma, dim = 0.7, 10

    def make(scale):
        scale = tf.concat(
            [scale[..., None], sigma * tf.ones(tf.concat([tf.shape(scale), [dim - 1]], 0), scale.dtype)], -1
        )
        return tfd.MultivariateNormalDiag(0.5 * tf.ones_like(scale), scale)

    def total(z):
        return tf.reduce_sum(z, axis=-1)

    args = (total, make, {"scale": tf.constant(sigma, tf.float64)}, 100_000)
    measured = {
        "score": gradients.score_function(*args, seed=9),
        "baseline": gradients.score_function(*args, seed=9, baseline=dim / 2),
        "path": gradients.pathwise(*args, seed=9),
    }
    exact = dimension_formula(sigma, dim)
    for name, estimate in measured.items():
        samples = estimate.samples["scale"].numpy()
        assert_mean(samples, 0.0, shared_among=COMPARISONS)
        assert_variance(samples, exact[name], shared_among=COMPARISONS)
    assert_rejected(assert_variance, measured["score"].samples["scale"].numpy(), exact["baseline"])
    assert_rejected(assert_variance, measured["path"].samples["scale"].numpy(), 1.1)


# -- common mistakes ----------------------------------------------------------------------------------------------


def test_surrogate_without_stop_gradient_has_the_mean_that_the_chapter_states():
    eps = normals(100_000, seed=10)
    mu = tf.fill([100_000], tf.constant(MU))
    with tf.GradientTape() as tape:
        tape.watch(mu)
        z = mu + SIGMA * eps
        surrogate = profit(z) * tfd.Normal(mu, tf.constant(SIGMA, tf.float64)).log_prob(z)
    samples = tape.gradient(surrogate, mu).numpy()
    normal = stats.norm(MU, SIGMA)

    def slope(z):
        return tf.where(z < np.log(STOCK), PRICE * tf.exp(z), 0.0)

    exact = gaussian.expectation(lambda z: slope(z) * normal.logpdf(z.numpy()), MU, SIGMA)
    assert_mean(samples, exact, shared_among=COMPARISONS)
    assert_rejected(assert_mean, samples, gaussian.gradient(profit, MU, SIGMA)["loc"])
