"""The labelled statements of the chapter "The trick".

Exact targets wherever there is one. Monte Carlo tests use fixed seeds; their tolerances are quantiles at which a right
result fails with probability 1e-6 a test (at most 1e-4 for this file). Each is also given something wrong that it
must reject: a biased twin, another law, or the variance of another map.
"""

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, special, stats
from tensorflow_probability import distributions as tfd

from companion import gaussian, gradients, reparameterize, seeds
from companion.reparameterizations import Reparameterization, register, standard_normal, standard_uniform

FALSE_ALARM = 1e-6
QUANTILE = stats.norm.isf(FALSE_ALARM / 2)  # 4.9 standard errors
NUM_SAMPLES = 20_000


def f64(x):
    return tf.constant(x, tf.float64)


def z_score(samples, expected):
    samples = np.asarray(samples)
    return (samples.mean() - expected) / (samples.std(ddof=1) / np.sqrt(len(samples)))


def normals(*shape, seed):
    return standard_normal(dtype=tf.float64).sample(shape, seed=seeds.as_seed(seed))


def allowed_distance(n, alpha=FALSE_ALARM):
    return np.sqrt(np.log(2 / alpha) / (2 * n))


# -- the trick itself ---------------------------------------------------------------------------------------------


@pytest.mark.verifies("def-reparameterization")
@pytest.mark.parametrize(
    "make", [lambda t: tfd.Normal(0.0, t), tfd.Exponential, lambda t: tfd.Kumaraswamy(t, 2.0)], ids=["N", "Exp", "Kum"]
)
def test_one_noise_serves_every_parameter_and_gives_each_law(make):
    first, second = reparameterize(make(0.7)), reparameterize(make(1.9))
    assert type(first.noise) is type(second.noise)
    eps = first.noise.sample(NUM_SAMPLES, seed=seeds.as_seed(1))
    assert np.array_equal(eps, second.noise.sample(NUM_SAMPLES, seed=seeds.as_seed(1)))
    distances = [
        stats.kstest(r.transform(eps).numpy(), lambda t, d=d: make(d).cdf(np.float32(t)).numpy()).statistic
        for r, d in [(first, 0.7), (second, 1.9), (second, 0.7)]
    ]
    assert max(distances[:2]) < allowed_distance(NUM_SAMPLES) < distances[2]


@pytest.mark.verifies("thm-expectation-under-noise")
@pytest.mark.parametrize("f", [np.cos, np.abs, lambda z: 1.0 * (z > 0.3), lambda z: 1.0 * np.floor(2 * z)])
def test_expectation_is_the_same_over_z_and_over_noise(f):
    rate = 1.3
    over_z = integrate.quad(lambda z: f(z) * rate * np.exp(-rate * z), 0, 40, limit=400, points=np.arange(1, 80) / 2)
    u = (np.arange(400_000) + 0.5) / 400_000
    g = reparameterize(tfd.Exponential(f64(rate))).transform(f64(u)).numpy()
    assert f(g).mean() == pytest.approx(over_z[0], abs=2e-5)
    assert f(1.05 * g).mean() != pytest.approx(over_z[0], abs=2e-5)  # a map that is 5 % off


@pytest.mark.verifies("thm-expectation-under-noise")
def test_both_sides_are_infinite_together():
    pareto = tfd.Pareto(concentration=f64(0.9), scale=f64(1.0))
    means = [
        reparameterize(pareto).transform(f64((np.arange(n) + 0.5) / n)).numpy().mean() for n in (10**3, 10**5, 10**7)
    ]
    assert means[0] < 0.75 * means[1] < 0.75**2 * means[2]


# -- the gradient inside ------------------------------------------------------------------------------------------


@pytest.mark.verifies("thm-gradient-inside-expectation")
@pytest.mark.parametrize(
    "f",
    [tf.abs, tf.nn.relu, lambda z: tf.nn.relu(z) ** 2, lambda z: tf.exp(0.2 * z**2), tf.sin],
    ids=["abs", "relu", "squared relu", "exp square", "sin"],
)
def test_mean_of_the_gradient_is_the_gradient_of_the_mean(f):
    """Both sides by quadrature: the left one without differentiating f."""
    loc, scale = 0.4, 0.8
    exact = gaussian.gradient(f, loc, scale)

    def slope(z):
        z = tf.convert_to_tensor(z)
        with tf.GradientTape() as tape:
            tape.watch(z)
            y = f(z)
        return tape.gradient(y, z)

    inside = {
        "loc": gaussian.expectation(slope, loc, scale),
        "scale": gaussian.expectation(lambda z: slope(z) * (z - loc) / scale, loc, scale),
    }
    for name, expected in exact.items():
        assert inside[name] == pytest.approx(expected, rel=1e-7, abs=1e-9)


@pytest.mark.verifies("thm-gradient-inside-expectation")
def test_condition_c_is_needed_at_the_point():
    """|theta eps|: Lipschitz with the integrable constant |eps|, and yet E|theta eps| has no derivative at 0."""
    for theta in (1e-3, -1e-3):
        mean = gaussian.expectation(lambda eps, theta=theta: tf.abs(theta * eps), 0.0, 1.0)
        assert mean / theta == pytest.approx(np.sign(theta) * np.sqrt(2 / np.pi))
    theta = f64(0.0)
    with tf.GradientTape() as tape:
        tape.watch(theta)
        mean = tf.reduce_mean(tf.abs(theta * normals(100, seed=2)))
    assert float(tape.gradient(mean, theta)) == 0.0  # automatic differentiation reports a number


@pytest.mark.verifies("thm-gradient-inside-expectation")
@pytest.mark.parametrize(("a", "b"), [(0.3, 0.5), (-1.0, 0.2)])
def test_one_partial_derivative_needs_the_conditions_along_its_own_axis_only(a, b):
    """h = sin(a + eps) 1[b + eps > 0] is smooth along a and jumps along b: one of the two partials is right."""
    eps = f64(special.ndtri((np.arange(400_000) + 0.5) / 400_000))
    theta = [f64(a), f64(b)]
    with tf.GradientTape() as tape:
        tape.watch(theta)
        mean = tf.reduce_mean(tf.sin(theta[0] + eps) * 0.5 * (1.0 + tf.sign(theta[1] + eps)))
    inside = [float(x) for x in tape.gradient(mean, theta)]

    def expectation(a, b):
        return integrate.quad(lambda e: np.sin(a + e) * stats.norm.pdf(e), -b, 12, epsabs=1e-12)[0]

    h = 1e-4
    along_a = (expectation(a + h, b) - expectation(a - h, b)) / (2 * h)
    along_b = (expectation(a, b + h) - expectation(a, b - h)) / (2 * h)
    assert inside[0] == pytest.approx(along_a, abs=1e-5)
    assert inside[1] == 0.0
    assert along_b == pytest.approx(np.sin(a - b) * stats.norm.pdf(b), abs=1e-6)
    assert abs(along_b) > 0.05


@pytest.mark.verifies("thm-gradient-inside-expectation")
@pytest.mark.parametrize("bias", [0.0, 0.05])
def test_estimator_is_unbiased_and_a_biased_twin_is_caught(bias):
    params = {"loc": f64(0.5), "scale": f64(1.0)}
    estimate = gradients.pathwise(tf.abs, tfd.Normal, params, 200_000, seed=3)
    exact = gaussian.gradient(tf.abs, 0.5, 1.0)
    scores = [z_score((1 + bias) * estimate.samples[name], exact[name]) for name in exact]
    assert (max(np.abs(scores)) < QUANTILE) == (bias == 0.0)


@pytest.mark.verifies("cor-lipschitz-integrands")
@pytest.mark.parametrize(("f", "constant"), [(tf.abs, 1.0), (lambda z: tf.sin(3 * z), 3.0), (tf.nn.softplus, 1.0)])
def test_lipschitz_integrands_have_bounded_second_moments(f, constant):
    for loc, scale in [(0.3, 0.5), (-1.0, 2.0)]:
        exact = gaussian.gradient(f, loc, scale)
        variance = gaussian.gradient_variance(f, loc, scale, "pathwise")
        for name in exact:
            assert variance[name] + exact[name] ** 2 <= constant**2 + 1e-9
    params = {"loc": f64(0.3), "scale": f64(0.5)}
    estimate = gradients.pathwise(f, tfd.Normal, params, NUM_SAMPLES, seed=4)
    exact = gaussian.gradient(f, 0.3, 0.5)
    assert max(abs(z_score(estimate.samples[n], exact[n])) for n in exact) < QUANTILE
    assert abs(z_score(estimate.samples["scale"] + 0.15, exact["scale"])) > QUANTILE


@pytest.mark.verifies("cor-lipschitz-integrands")
def test_lipschitz_integrands_need_a_density():
    """z = theta, without noise: E|z| = |theta| has no derivative at 0. With any noise that has a density it has one."""
    theta = f64(0.0)
    with tf.GradientTape() as tape:
        tape.watch(theta)
        value = tf.abs(theta)
    assert float(tape.gradient(value, theta)) == 0.0  # a number, where there is no derivative
    quotients = [float((tf.abs(f64(h)) - value) / h) for h in (1e-3, -1e-3)]
    assert quotients == pytest.approx([1.0, -1.0])
    h, scale = 1e-5, 0.01
    above, below = (gaussian.expectation(tf.abs, t, scale) for t in (h, -h))
    assert (above - below) / (2 * h) == pytest.approx(0.0, abs=1e-6)
    at_zero = gaussian.expectation(tf.abs, 0.0, scale)
    assert (above - at_zero) / h == pytest.approx(h * stats.norm.pdf(0) / scale, rel=1e-3)  # it has a second one too


@pytest.mark.verifies("thm-step-has-no-path")
@pytest.mark.parametrize(("loc", "scale"), [(0.5, 1.0), (-1.0, 2.0)])
def test_step_has_slope_zero_and_a_gradient(loc, scale):
    def step(z):
        return 0.5 * (1.0 + tf.sign(z))

    density = stats.norm.pdf(loc / scale)
    exact = gaussian.gradient(step, loc, scale)
    assert exact["loc"] == pytest.approx(density / scale, rel=1e-7)
    assert exact["scale"] == pytest.approx(-loc / scale**2 * density, rel=1e-7)
    params = {"loc": f64(loc), "scale": f64(scale)}
    estimate = gradients.pathwise(step, tfd.Normal, params, 1000, seed=5)
    assert not any(np.any(samples) for samples in estimate.samples.values())


@pytest.mark.verifies("thm-step-has-no-path")
def test_step_by_comparison_is_refused():
    params = {"loc": f64(0.5), "scale": f64(1.0)}
    with pytest.raises(ValueError, match="None"):
        gradients.pathwise(lambda z: tf.cast(z > 0, z.dtype), tfd.Normal, params, 10, seed=0)


@pytest.mark.verifies("thm-smooth-without-bound")
@pytest.mark.parametrize("theta", [-0.8, -0.1, 0.05, 0.5, 1.0])
def test_smooth_path_has_the_right_mean_slope_off_zero(theta):
    def integral(h):
        return integrate.quad(h, 0, 60 / theta**2, limit=500)[0]

    assert integral(lambda u: theta**3 * np.exp(-u * theta**2)) == pytest.approx(theta, rel=1e-6)
    slope = integral(lambda u: (3 * theta**2 - 2 * u * theta**4) * np.exp(-u * theta**2))
    assert slope == pytest.approx(1.0, rel=1e-6)


@pytest.mark.verifies("thm-smooth-without-bound")
def test_smooth_path_has_slope_zero_at_zero_and_no_bound():
    theta, u = f64(0.0), f64([0.1, 1.0, 7.0])
    with tf.GradientTape() as tape:
        tape.watch(theta)
        h = theta**3 * tf.exp(u * (1.0 - theta**2))
    assert not np.any(tape.gradient(h, theta))
    u = np.linspace(10.0, 50.0, 5)
    theta = u**-0.5  # as near to 0 as you like
    slope = (3 * theta**2 - 2 * u * theta**4) * np.exp(u * (1 - theta**2))
    assert slope * np.exp(-u) == pytest.approx(np.exp(-1.0) / u)  # the integrand of E M decays like 1/u only


# -- families -----------------------------------------------------------------------------------------------------


@pytest.mark.verifies("thm-goodness-of-fit")
def test_goodness_of_fit_has_its_rate_and_its_power():
    """The rate at alpha = 0.05, by simulation; the power at a distance of twice the critical one."""
    n, alpha, num_sets = 500, 0.05, 2000
    critical = allowed_distance(n, alpha)
    u = np.sort(np.random.default_rng(6).random((num_sets, n)), axis=1)

    def rejections(level):  # sup |G_n - F|, with F at the sorted samples
        grid = np.arange(1, n + 1) / n
        distance = np.maximum(grid - level, level - grid + 1 / n).max(axis=1)
        return np.sum(distance > critical)

    assert rejections(u) <= stats.binom.isf(FALSE_ALARM, num_sets, alpha)
    # z = u^(1/a) has G(t) = t^a; the first a on the grid at a distance sup |t - t^a| >= 2c from the uniform law is 1.4
    t = np.linspace(0, 1, 1001)
    exponent = next(a for a in np.linspace(1, 3, 201) if np.max(np.abs(t - t**a)) >= 2 * critical)
    accepted = num_sets - rejections(u ** (1 / exponent))
    assert accepted <= stats.binom.isf(FALSE_ALARM, num_sets, alpha)


@pytest.mark.verifies("thm-no-path-for-discrete")
def test_discrete_families_are_refused():
    for d in (tfd.Bernoulli(probs=0.3), tfd.Poisson(2.0), tfd.Categorical(probs=[0.5, 0.5])):
        with pytest.raises(TypeError, match="discrete"):
            reparameterize(d)


def steps_of_paths(quantile, num_steps, u):
    """The changes of z = quantile(u, theta) from one theta to the next on [0, 1], shape [num_steps, len(u)]."""
    return np.diff(quantile(u, np.linspace(0.0, 1.0, num_steps + 1)[:, None]), axis=0)


@pytest.mark.verifies("thm-no-path-for-discrete")
def test_discrete_paths_jump_on_every_grid_and_continuous_ones_do_not():
    """P(z = 1) = theta changes from 0 to 1, so no path is continuous: each has one jump, at theta = u."""
    u = np.random.default_rng(7).random(1000)
    largest = {"bernoulli": [], "exponential": []}
    for num_steps in (500, 2000):
        steps = steps_of_paths(lambda u, theta: 1.0 * (u < theta), num_steps, u)
        assert np.array_equal(np.count_nonzero(steps, axis=0), np.ones(1000))
        after = (np.argmax(steps, axis=0) + 1) / num_steps  # the first theta of the grid behind the jump
        assert ((after - 1 / num_steps <= u) & (u < after)).all()
        largest["bernoulli"].append(steps.max())
        largest["exponential"].append(steps_of_paths(lambda u, mean: -mean * np.log1p(-u), num_steps, u).max())
    assert largest["bernoulli"] == [1.0, 1.0]
    assert largest["exponential"][1] == pytest.approx(largest["exponential"][0] / 4)


@pytest.mark.verifies("thm-path-derivative-in-one-dimension")
@pytest.mark.parametrize(
    ("make", "theta"),
    [
        (lambda t: tfd.Normal(f64(0.3), t), 1.4),
        (lambda t: tfd.Exponential(t), 0.6),
        (lambda t: tfd.Weibull(t, f64(2.0)), 1.5),
        (lambda t: tfd.Kumaraswamy(t, f64(3.0)), 2.0),
        (lambda t: tfd.Gumbel(t, f64(2.0)), 0.5),
        (lambda t: tfd.Uniform(f64(0.0), t), 2.0),  # the support moves
        (lambda t: tfd.LogNormal(f64(0.0), t), 0.7),
    ],
    ids=["Normal", "Exponential", "Weibull", "Kumaraswamy", "Gumbel", "Uniform", "LogNormal"],
)
def test_monotone_maps_follow_the_implicit_derivative(make, theta):
    copies = tf.fill([50], f64(theta))
    eps = reparameterize(make(f64(theta))).noise.sample(50, seed=seeds.as_seed(8))
    with tf.GradientTape() as tape:
        tape.watch(copies)
        z = reparameterize(make(copies)).transform(eps)
    slope = tape.gradient(z, copies).numpy()
    with tf.GradientTape() as tape:
        tape.watch(copies)
        level = make(copies).cdf(tf.stop_gradient(z))
    expected = -tape.gradient(level, copies) / make(f64(theta)).prob(z)
    np.testing.assert_allclose(slope, expected, rtol=1e-7, atol=1e-12)


@pytest.mark.verifies("thm-path-derivative-in-one-dimension")
def test_increasing_and_decreasing_maps_agree_as_functions_of_z():
    rate, u = f64(0.7), f64(np.linspace(0.01, 0.99, 99))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(rate)
        maps = -tf.math.log1p(-u) / rate, -tf.math.log(u) / rate
    up, down = (z.numpy() for z in maps)
    slope_up, slope_down = (tape.jacobian(z, rate).numpy() for z in maps)
    assert (np.diff(up) > 0).all()
    assert (np.diff(down) < 0).all()
    np.testing.assert_allclose(down[::-1], up, rtol=1e-12)
    np.testing.assert_allclose(slope_down[::-1], slope_up, rtol=1e-12)
    implicit = -up * np.exp(-0.7 * up) / (0.7 * np.exp(-0.7 * up))  # -F_rate / q, F = 1 - exp(-rate z)
    np.testing.assert_allclose(slope_up, implicit, rtol=1e-12)
    assert not np.allclose(slope_down, slope_up)  # at one u, that is at two samples


@pytest.mark.verifies("thm-path-derivative-in-one-dimension")
@pytest.mark.parametrize("concentration", [0.3, 2.5, 40.0])
def test_tfp_gamma_follows_the_implicit_derivative(concentration):
    copies = tf.fill([20], f64(concentration))
    with tf.GradientTape() as tape:
        tape.watch(copies)
        z = tfd.Gamma(copies, f64(1.0)).sample(seed=[0, 9])
    slope, z, h = tape.gradient(z, copies).numpy(), z.numpy(), 1e-5 * concentration
    change = (special.gammainc(concentration + h, z) - special.gammainc(concentration - h, z)) / (2 * h)
    expected = -change / stats.gamma(concentration).pdf(z)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-9)
    assert not np.allclose(1.01 * slope, expected, rtol=1e-4)


def test_registered_triangular_map_is_the_inverse_distribution_function():
    """The map that the chapter registers, without registering it for other tests."""
    low, high, peak = (f64(x) for x in (0.0, 2.0, 0.5))
    e = standard_uniform(dtype=tf.float64).sample(100, seed=seeds.as_seed(10))
    left = low + tf.sqrt(e * (high - low) * (peak - low))
    right = high - tf.sqrt((1.0 - e) * (high - low) * (high - peak))
    z = tf.where(e < (peak - low) / (high - low), left, right)
    np.testing.assert_allclose(tfd.Triangular(low, high, peak).cdf(z), e, rtol=1e-10)


# -- two maps for one law -----------------------------------------------------------------------------------------


def cholesky_root(rho):
    return np.array([[1.0, 0.0], [rho, np.sqrt(1 - rho**2)]])


def symmetric_root(rho):
    a, b = (0.5 * (np.sqrt(1 + rho) + sign * np.sqrt(1 - rho)) for sign in (1, -1))
    return np.array([[a, b], [b, a]])


ROOTS = {"cholesky": cholesky_root, "symmetric": symmetric_root}


def hermite_grid(order=8):
    """Nodes [order^2, 2] and weights for the integral under N(0, I): exact for degree 2 order - 1."""
    x, w = special.roots_hermitenorm(order)
    w = w / w.sum()
    return np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2), np.outer(w, w).ravel()


def slope_of_root(root, rho, h=1e-6):
    return (root(rho + h) - root(rho - h)) / (2 * h)


@pytest.mark.verifies("thm-two-square-roots")
@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.5, 0.9])
def test_means_and_variances_of_the_two_roots(rho):
    """Gauss-Hermite quadrature in two dimensions is exact for these polynomials."""
    eps, weights = hermite_grid()
    ratio = rho**2 / (1 - rho**2)
    expected = {
        ("product", "cholesky"): (1.0, 2.0 + ratio),
        ("product", "symmetric"): (1.0, 1.0),
        ("square", "cholesky"): (0.0, 0.0),
        ("square", "symmetric"): (0.0, 1.0 / (1 - rho**2)),
    }
    for (f, name), (mean, variance) in expected.items():
        root = ROOTS[name]
        np.testing.assert_allclose(root(rho) @ root(rho).T, [[1, rho], [rho, 1]], atol=1e-12)
        z, dz = eps @ root(rho).T, eps @ slope_of_root(root, rho).T
        slope = z[:, 0] * dz[:, 1] + z[:, 1] * dz[:, 0] if f == "product" else 2 * z[:, 0] * dz[:, 0]
        assert weights @ slope == pytest.approx(mean, abs=1e-7)
        assert weights @ slope**2 - (weights @ slope) ** 2 == pytest.approx(variance, rel=1e-6, abs=1e-7)


@pytest.mark.verifies("thm-two-square-roots")
def test_pathwise_of_the_package_uses_the_map_that_is_registered():
    class SymmetricRootNormal(tfd.MultivariateNormalTriL):
        pass

    @register(SymmetricRootNormal)
    def _(d):
        rho = d.covariance()[..., :1, 1]
        plus, minus = tf.sqrt(1.0 + rho), tf.sqrt(1.0 - rho)
        eps = tfd.Independent(standard_normal([*d.batch_shape, 2], d.dtype), reinterpreted_batch_ndims=1)
        return Reparameterization(
            d, eps, lambda e: 0.5 * ((plus + minus) * e + (plus - minus) * e[..., ::-1]), "z = Sigma^(1/2) eps"
        )

    def correlated(family):
        def make(rho):
            rows = [[tf.ones_like(rho), tf.zeros_like(rho)], [rho, tf.sqrt(1.0 - rho**2)]]
            return family(scale_tril=tf.stack([tf.stack(row, -1) for row in rows], -2))

        return make

    variances, by_cholesky, by_symmetric_root = {}, 2 + 0.81 / 0.19, 1.0
    for family, variance, other in (
        (tfd.MultivariateNormalTriL, by_cholesky, by_symmetric_root),
        (SymmetricRootNormal, by_symmetric_root, by_cholesky),
    ):
        estimate = gradients.pathwise(
            lambda z: z[..., 0] * z[..., 1], correlated(family), {"rho": f64(0.9)}, NUM_SAMPLES, seed=11
        )
        assert abs(z_score(estimate.samples["rho"], 1.0)) < QUANTILE
        squares = (estimate.samples["rho"] - 1.0) ** 2
        assert abs(z_score(squares, variance)) < QUANTILE
        assert abs(z_score(1.2 * estimate.samples["rho"], 1.0)) > QUANTILE
        assert abs(z_score(squares, other)) > QUANTILE
        variances[family] = float(estimate.variance["rho"])
    assert variances[tfd.MultivariateNormalTriL] > 4 * variances[SymmetricRootNormal]


@pytest.mark.verifies("thm-two-maps-differ-by-a-swirl")
@pytest.mark.parametrize("rho", [-0.7, 0.2, 0.9])
def test_difference_of_two_roots_runs_along_the_ellipses_and_moves_no_mass(rho):
    velocity = {name: slope_of_root(root, rho) @ np.linalg.inv(root(rho)) for name, root in ROOTS.items()}
    difference = velocity["cholesky"] - velocity["symmetric"]
    covariance = np.array([[1.0, rho], [rho, 1.0]])
    swirl = np.linalg.solve(covariance, difference)
    np.testing.assert_allclose(swirl, -swirl.T, atol=1e-7)
    assert np.abs(difference).max() > 0.1

    eps, weights = hermite_grid(100)  # E grad phi . w = 0 for a smooth phi; not so for a w that is no swirl
    z = eps @ cholesky_root(rho).T
    away = z - np.array([1.0, 0.5])
    gradient = -2 * away * np.exp(-np.sum(away**2, axis=-1, keepdims=True))  # of phi = exp(-|z - (1, 0.5)|^2)
    assert weights @ np.sum(gradient * (z @ difference.T), -1) == pytest.approx(0.0, abs=1e-6)
    assert abs(weights @ np.sum(gradient * (z @ np.array([[0.0, 1.0], [1.0, 0.0]])), -1)) > 1e-2


@pytest.mark.verifies("thm-two-maps-differ-by-a-swirl")
@pytest.mark.parametrize("scale", [0.7, 1.3])
def test_a_map_that_is_not_linear_differs_by_a_swirl_too(scale):
    """z = s R eps, R a rotation by 0.2 s |eps|^2, has the law of s eps: quadrature with each map's own samples."""

    def turned(eps, s, turn):
        angle = turn * s * np.sum(eps**2, axis=-1, keepdims=True)
        return s * (np.cos(angle) * eps + np.sin(angle) * np.stack([-eps[:, 1], eps[:, 0]], -1))

    eps, weights = hermite_grid(100)
    h, side_by_turn, velocities = 1e-5, {}, {}
    for turn in (0.0, 0.2):
        z = turned(eps, scale, turn)
        velocity = (turned(eps, scale + h, turn) - turned(eps, scale - h, turn)) / (2 * h)
        away = z - np.array([1.0, 0.5])
        gradient = -2 * away * np.exp(-np.sum(away**2, axis=-1, keepdims=True))
        side_by_turn[turn] = weights @ np.sum(gradient * velocity, -1)  # E grad phi(z) . v(z)
        velocities[turn] = velocity - z / scale
    assert side_by_turn[0.2] == pytest.approx(side_by_turn[0.0], abs=1e-6)
    assert abs(side_by_turn[0.0]) > 0.05
    assert weights @ np.sum(velocities[0.2] ** 2, -1) > 0.5  # the velocities differ, and the means above do not
    radial = np.sum(velocities[0.2] * turned(eps, scale, 0.2), -1)
    np.testing.assert_allclose(weights * radial, 0.0, atol=1e-8)  # along the circles of equal density


def turned_gradients(k, loc, scale, centre, eps):
    """Per-sample gradients of (z - centre)^2 for z = loc + scale (e1 cos(k scale) + e2 sin(k scale))."""
    scales = tf.fill([len(eps)], f64(scale))
    with tf.GradientTape() as tape:
        tape.watch(scales)
        z = loc + scales * (eps[:, 0] * tf.cos(k * scales) + eps[:, 1] * tf.sin(k * scales))
        y = (z - centre) ** 2
    return tape.gradient(y, scales).numpy(), z.numpy()


@pytest.mark.verifies("thm-monotone-path-least-variance")
@pytest.mark.parametrize(("k", "loc", "scale"), [(0.0, 1.0, 1.0), (3.0, 1.0, 1.0), (-2.0, 0.4, 1.7)])
def test_turned_noise_adds_exactly_the_conditional_variance(k, loc, scale):
    """By exact quadrature: Var = 4 d^2 + 8 s^2 + 4 k^2 s^2 (d^2 + s^2), and the mean stays 2 s."""
    eps, weights = hermite_grid(20)
    slope, _ = turned_gradients(k, loc, scale, 0.0, eps)
    variance = 4 * loc**2 + 8 * scale**2 + 4 * k**2 * scale**2 * (loc**2 + scale**2)
    assert weights @ slope == pytest.approx(2 * scale)
    assert weights @ slope**2 - (weights @ slope) ** 2 == pytest.approx(variance)


@pytest.mark.verifies("thm-monotone-path-least-variance")
def test_mean_velocity_of_a_map_that_is_not_monotone_is_the_implicit_one():
    """Regress dz/dscale on functions of z: what is left after (z - loc) / scale has mean zero against each."""
    eps = normals(100_000, 2, seed=12)
    scales = tf.fill([100_000], f64(1.3))
    with tf.GradientTape() as tape:
        tape.watch(scales)
        z = 0.5 + scales * (eps[:, 0] * tf.cos(2.0 * scales) + eps[:, 1] * tf.sin(2.0 * scales))
    slope, z = tape.gradient(z, scales).numpy(), z.numpy()
    rest = slope - (z - 0.5) / 1.3
    for test in (np.ones_like(z), z, np.cos(z), z > 1):
        assert abs(z_score(rest * test, 0.0)) < QUANTILE
    assert abs(z_score((slope - z / 1.3) * np.ones_like(z), 0.0)) > QUANTILE  # the velocity about another centre
    assert rest.var() > 1.0


@pytest.mark.verifies("thm-monotone-path-least-variance")
@pytest.mark.parametrize("theta_0", [0.25, 3.6])
def test_lipschitz_paths_on_neighbourhoods_of_their_own_are_not_enough(theta_0):
    """g = frac(eps + theta), eps ~ U(0, 1): U(0, 1) for every theta, so v = 0, and yet the slope is 1."""
    n = 10_000
    eps = (np.arange(n) + 0.5) / n

    def g(theta):
        return (eps + theta) - np.floor(eps + theta)

    for theta in (theta_0, theta_0 + 0.123):
        assert stats.kstest(g(theta), "uniform").statistic <= 1.01 / n  # so E g = 1/2 whatever theta is
    copies = tf.fill([n], f64(theta_0))
    with tf.GradientTape() as tape:
        tape.watch(copies)
        z = eps + copies - tf.floor(eps + copies)
    assert np.all(tape.gradient(z, copies).numpy() == 1.0)

    own = np.minimum(g(theta_0), 1.0 - g(theta_0))  # how far each path is from its next jump
    assert own.min() > 0  # each is Lipschitz with constant 1 on its own neighbourhood
    for delta in (0.1, 0.01, 0.001):  # but on one for all, paths jump with probability 2 delta
        assert np.mean(own < delta) == pytest.approx(2 * delta, abs=2 / n)
    for h in (1e-2, 1e-3, 1e-4):  # and the difference quotient over a jump has no bound
        left = theta_0 - 0.1 + h * np.arange(round(0.2 / h))[:, None]
        few = eps[:: n // 20]
        steps = np.diff(np.vstack([(few + left), few + left[-1] + h]) % 1.0, axis=0)
        quotients = np.abs(steps / h).max(axis=0)
        jumps = np.minimum((few + theta_0) % 1.0, -(few + theta_0) % 1.0) < 0.1
        assert jumps.sum() == 4
        np.testing.assert_allclose(quotients, np.where(jumps, 1 / h - 1, 1.0), rtol=1e-6)


@pytest.mark.verifies("thm-unbiasedness-test")
@pytest.mark.parametrize("r", [0.0, 1.0, -2.5])
def test_rate_and_power_of_the_unbiasedness_test(r):
    """The frequency of rejection over 2000 data sets of skewed samples is that of the formula, at this bias only."""
    n, num_sets, alpha = 2000, 2000, 0.05
    critical = stats.norm.isf(alpha / 2)
    x = np.random.default_rng(13).standard_normal((num_sets, n)) ** 2  # mean 1, variance 2
    score = (x.mean(axis=1) + r * np.sqrt(2 / n) - 1.0) / (x.std(axis=1, ddof=1) / np.sqrt(n))
    rejected = np.mean(np.abs(score) > critical)
    power, other = (stats.norm.cdf(b - critical) + stats.norm.cdf(-b - critical) for b in (abs(r), abs(r) + 1))
    tolerance = QUANTILE * np.sqrt(power * (1 - power) / num_sets) + 2 / np.sqrt(n) * stats.norm.pdf(1.0)
    assert rejected == pytest.approx(power, abs=tolerance)
    assert rejected != pytest.approx(other, abs=tolerance)


@pytest.mark.verifies("thm-unbiasedness-test")
def test_three_percent_are_caught_with_many_samples_and_not_with_few():
    params = {"loc": f64(0.5), "scale": f64(1.0)}
    samples = gradients.pathwise(tf.abs, tfd.Normal, params, 200_000, seed=14).samples["scale"].numpy()
    exact = gaussian.gradient(tf.abs, 0.5, 1.0)["scale"]
    assert abs(z_score(samples, exact)) < QUANTILE
    assert abs(z_score(1.03 * samples, exact)) > QUANTILE
    few = [z_score(1.03 * group, exact) for group in samples.reshape(200, 1000)]
    assert np.mean(np.abs(few) > stats.norm.isf(0.0005)) < 0.1  # the power is 0.009


def test_rejection_makes_the_noise_depend_on_the_parameter():
    """The first of the common mistakes: its value is right, its gradient is not."""
    mu = f64(0.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(mu)
        z = mu + normals(NUM_SAMPLES, seed=15)
        kept = tf.reduce_mean(z[z > 0])
        by_map = reparameterize(tfd.TruncatedNormal(mu, f64(1.0), f64(0.0), f64(50.0))).sample(NUM_SAMPLES, seed=15)
        mapped = tf.reduce_mean(by_map)
    ratio = stats.norm.pdf(0) / stats.norm.cdf(0)
    assert float(tape.gradient(kept, mu)) == pytest.approx(1.0)
    assert float(tape.gradient(mapped, mu)) == pytest.approx(1 - ratio**2, abs=0.02)
    assert float(kept) == pytest.approx(ratio, abs=0.03)
