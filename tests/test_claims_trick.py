"""The labelled statements of the chapter "The trick".

Exact targets wherever there is one. Monte Carlo tests use fixed seeds; their tolerances are quantiles at which a right
result fails with probability 1e-6 a test (at most 1e-4 for this file), and each has a biased twin that must fail.
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
    # z = u^(1/a) has G(t) = t^a; a = 2.1 is at distance sup |t - t^a| > 2c from the uniform law
    t = np.linspace(0, 1, 1001)
    power = next(a for a in np.linspace(1, 3, 201) if np.max(np.abs(t - t**a)) >= 2 * critical)
    accepted = num_sets - rejections(u ** (1 / power))
    assert accepted <= stats.binom.isf(FALSE_ALARM, num_sets, alpha)


@pytest.mark.verifies("thm-no-path-for-discrete")
def test_discrete_families_are_refused_and_their_samples_jump():
    for d in (tfd.Bernoulli(probs=0.3), tfd.Poisson(2.0), tfd.Categorical(probs=[0.5, 0.5])):
        with pytest.raises(TypeError, match="discrete"):
            reparameterize(d)
    u, theta = np.random.default_rng(7).random(1000), np.linspace(0.1, 0.9, 2001)
    z = (u < theta[:, None]).astype(float)  # the inverse distribution function of a Bernoulli law
    moved = np.abs(np.diff(z, axis=0))
    assert set(np.unique(moved)) == {0.0, 1.0}  # each step of a path is none or a whole one
    assert z[-1].mean() - z[0].mean() == pytest.approx(moved.sum() / 1000)  # the jumps carry all the change


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
    slopes = []
    for noise in (u, 1.0 - u[::-1]):
        with tf.GradientTape() as tape:
            tape.watch(rate)
            z = -tf.math.log1p(-noise) / rate if not slopes else -tf.math.log(1.0 - noise) / rate
        slopes.append((z.numpy(), tape.jacobian(z, rate).numpy()))
    with tf.GradientTape() as tape:
        tape.watch(rate)
        decreasing = -tf.math.log(u) / rate
    slope = tape.jacobian(decreasing, rate).numpy()
    np.testing.assert_allclose(decreasing[::-1], slopes[0][0], rtol=1e-12)
    np.testing.assert_allclose(slope[::-1], slopes[0][1], rtol=1e-12)


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

    variances = {}
    for family, variance in ((tfd.MultivariateNormalTriL, 2 + 0.81 / 0.19), (SymmetricRootNormal, 1.0)):
        estimate = gradients.pathwise(
            lambda z: z[..., 0] * z[..., 1], correlated(family), {"rho": f64(0.9)}, NUM_SAMPLES, seed=11
        )
        assert abs(z_score(estimate.samples["rho"], 1.0)) < QUANTILE
        squares = (estimate.samples["rho"] - 1.0) ** 2
        assert abs(z_score(squares, variance)) < QUANTILE
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


@pytest.mark.verifies("thm-unbiasedness-test")
@pytest.mark.parametrize("r", [0.0, 1.0, -2.5])
def test_rate_and_power_of_the_unbiasedness_test(r):
    """The frequency of rejection over 4000 data sets of skewed samples, against the formula."""
    n, num_sets, alpha = 2000, 2000, 0.05
    critical = stats.norm.isf(alpha / 2)
    x = np.random.default_rng(13).standard_normal((num_sets, n)) ** 2  # mean 1, variance 2
    score = (x.mean(axis=1) + r * np.sqrt(2 / n) - 1.0) / (x.std(axis=1, ddof=1) / np.sqrt(n))
    rejected = np.mean(np.abs(score) > critical)
    power = stats.norm.cdf(r - critical) + stats.norm.cdf(-r - critical)
    tolerance = QUANTILE * np.sqrt(power * (1 - power) / num_sets) + 2 / np.sqrt(n) * stats.norm.pdf(1.0)
    assert rejected == pytest.approx(power, abs=tolerance)


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
