"""Variances of one sample: closed forms, independent integrals, simulated samples, and refusals."""

import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_mean, assert_variance
from scipy import integrate, stats

from companion import gaussian
from companion.gaussian import gradient_variance, integrands, variances

parameters = pytest.mark.parametrize(("m", "s"), [(0.0, 1.0), (1.5, 0.3), (-2.0, 2.5), (0.7, 1.3)])
close = {"rtol": 1e-8, "atol": 1e-10}
STEP = 0.05


def assert_variances(got, loc, scale):
    np.testing.assert_allclose([got["loc"], got["scale"]], [loc, scale], **close)


def step(z):
    return tf.cast(z > 0.0, tf.float64)


@parameters
@pytest.mark.parametrize("k", [-3.0, 0.0, 0.7])
def test_a_quadratic(m, s, k):
    d, h, n = m - k, STEP, 5
    exact = {
        ("pathwise",): (4 * s**2, 4 * d**2 + 8 * s**2),
        ("score_function",): (d**4 / s**2 + 14 * d**2 + 15 * s**2, 2 * d**4 / s**2 + 60 * d**2 + 74 * s**2),
        ("score_function", "optimal"): (8 * d**2 + 6 * s**2, 40 * d**2 + 24 * s**2),
        ("score_function", "leave_one_out"): (
            8 * d**2 + 10 * s**2 + (4 * d**2 + 2 * s**2) / (n - 1),
            40 * d**2 + 56 * s**2 + (8 * d**2 + 4 * s**2) / (n - 1),
        ),
        ("measure_valued",): (4 * d**2 * (4 / np.pi - 1), 4 * d**2 + 4 * s**2),
        ("measure_valued", False): ((4 * d**2 * (2 - np.pi / 2) + 4 * s**2) / np.pi, 16 * d**2 + 8 * s**2),
        ("finite_difference",): (4 * s**2, 4 * d**2 + 8 * s**2),
        ("finite_difference", False): (
            sum(4 * (d + x) ** 2 * s**2 + 2 * s**4 for x in (h, -h)) / (2 * h) ** 2,
            sum(4 * d**2 * (s + x) ** 2 + 2 * (s + x) ** 4 for x in (h, -h)) / (2 * h) ** 2,
        ),
    }
    for (estimator, *option), expected in exact.items():
        options = {}
        if option and estimator == "score_function":
            options = {"baseline": option[0]} | ({"num_samples": n} if option[0] == "leave_one_out" else {})
        elif option:
            options = {{"measure_valued": "coupled", "finite_difference": "common_random_numbers"}[estimator]: False}
        if estimator == "finite_difference":
            options["step"] = h
        assert_variances(gradient_variance(lambda z: (z - k) ** 2, m, s, estimator, **options), *expected)


@parameters
def test_a_number_as_baseline_is_taken_off_f(m, s):
    with_baseline = gradient_variance(tf.sin, m, s, "score_function", baseline=0.4)
    shifted = gradient_variance(lambda z: tf.sin(z) - 0.4, m, s, "score_function")
    assert_variances(with_baseline, shifted["loc"], shifted["scale"])


@parameters
@pytest.mark.parametrize("f", [tf.nn.relu, step, lambda z: tf.exp(-3.0 * z**2)])
def test_variance_is_a_parabola_in_the_baseline_and_optimal_is_its_vertex(m, s, f):
    """Three numbers give the parabola; nothing of the closed form for the best one is used."""
    b = np.array([-1.0, 0.5, 2.0])
    optimal = gradient_variance(f, m, s, "score_function", baseline="optimal")
    for name in ("loc", "scale"):
        variances = [gradient_variance(f, m, s, "score_function", baseline=x)[name] for x in b]
        a2, a1, a0 = np.polyfit(b, variances, 2)
        np.testing.assert_allclose(a2, {"loc": 1, "scale": 2}[name] / s**2, rtol=1e-7)
        np.testing.assert_allclose(optimal[name], a0 - a1**2 / (4 * a2), rtol=1e-6, atol=1e-8)


def test_leave_one_out_tends_to_the_mean_as_baseline():
    mean = gaussian.expectation(tf.exp, 0.2, 0.5)
    limit = gradient_variance(tf.exp, 0.2, 0.5, "score_function", baseline=float(mean))
    got = gradient_variance(tf.exp, 0.2, 0.5, "score_function", baseline="leave_one_out", num_samples=10**9)
    np.testing.assert_allclose([got["loc"], got["scale"]], [limit["loc"], limit["scale"]], rtol=1e-8)


@parameters
@pytest.mark.parametrize("k", [0.5, 1.0, 3.0])
def test_a_cosine_by_finite_differences(m, s, k):
    """cos(k (z + h)) - cos(k (z - h)) = -2 sin(k h) sin(k z), so its variance is that of sin(k z), rescaled."""
    e = np.exp(-((k * s) ** 2) / 2)
    variance = (1 - e**4 * np.cos(2 * k * m)) / 2 - (e * np.sin(k * m)) ** 2
    got = gradient_variance(lambda z: tf.cos(k * z), m, s, "finite_difference", step=STEP)
    np.testing.assert_allclose(got["loc"], (np.sin(k * STEP) / STEP) ** 2 * variance, **close)


NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)


@parameters
@pytest.mark.parametrize(("kind", "k"), [("cosine", 1.0), ("cosine", 3.0), ("bump", 0.5), ("bump", 3.0)])
def test_smooth_functions_by_brute_force(m, s, k, kind):
    """One-dimensional rules for W, two-dimensional ones for (M, U) and (M, N), with SciPy's densities."""
    f = {"cosine": lambda z: tf.cos(k * z), "bump": lambda z: tf.exp(-k * z**2)}[kind]

    def at(eps):
        return f(m + s * eps).numpy()

    x, wx = NODES, WEIGHTS
    w, rayleigh = 6 * (x + 1), 6 * wx * stats.rayleigh.pdf(6 * (x + 1))
    maxwell, u = 12 * x, (x + 1) / 2
    of_maxwell, of_u = 12 * wx * maxwell**2 * stats.norm.pdf(maxwell), wx / 2

    def variance(values, weights):
        return np.sum(weights * values**2) - np.sum(weights * values) ** 2

    coupled = variance(at(w) - at(-w), rayleigh) / (2 * np.pi * s**2)
    pairs = at(maxwell)[:, None] - at(maxwell[:, None] * u)
    coupled_scale = variance(pairs, of_maxwell[:, None] * of_u) / s**2
    assert_variances(gradient_variance(f, m, s, "measure_valued"), coupled, coupled_scale)
    apart = (variance(at(w), rayleigh) + variance(at(-w), rayleigh)) / (2 * np.pi * s**2)
    normal = 12 * wx * stats.norm.pdf(maxwell)
    apart_scale = (variance(at(maxwell), of_maxwell) + variance(at(maxwell), normal)) / s**2
    assert_variances(gradient_variance(f, m, s, "measure_valued", coupled=False), apart, apart_scale)


@parameters
def test_a_step(m, s):
    """1[z > 0] = 1[eps > t], t = -m / s. Coupled, f(M) and f(M U) differ where |M U| < |t| < |M| on the side of t."""
    t = -m / s
    phi, tail = stats.norm.pdf(t), stats.norm.sf(t)
    beyond = np.exp(-(t**2) / 2)  # P(W > |t|)
    once = beyond * (1 - beyond)
    g = abs(t) * phi
    above = tail + t * phi  # P(M > t)
    assert_variances(gradient_variance(step, m, s, "measure_valued"), once / (2 * np.pi * s**2), (g - g**2) / s**2)
    apart = (above * (1 - above) + tail * (1 - tail)) / s**2
    assert_variances(gradient_variance(step, m, s, "measure_valued", coupled=False), once / (2 * np.pi * s**2), apart)


@parameters
@pytest.mark.parametrize("h", [1e-1, 1e-2, 1e-4, 1e-6])
def test_finite_differences_of_a_step_live_on_a_narrow_strip(m, s, h):
    probability = stats.norm.cdf((h - abs(m)) / s) - stats.norm.cdf((-h - abs(m)) / s)
    exact = probability * (1 - probability) / (2 * h) ** 2
    got = gradient_variance(step, m, s, "finite_difference", step=h)["loc"]
    np.testing.assert_allclose(got, exact, rtol=1e-9 if h > 1e-3 else 1e-6)  # the exact answer cancels, too
    apart = sum(p * (1 - p) for p in stats.norm.cdf([(m + h) / s, (m - h) / s])) / (2 * h) ** 2
    got = gradient_variance(step, m, s, "finite_difference", step=h, common_random_numbers=False)["loc"]
    np.testing.assert_allclose(got, apart, rtol=1e-8)


@parameters
def test_relu_by_another_formula(m, s):
    """By parts, E[m f(m) F(m)] = E[(m^2 - 1) F(m)^2] / 2, and the antiderivative of a ReLU is known."""

    def moment(h):
        return integrate.quad(lambda x: h(x) * stats.norm.pdf(x), -12, 12, points=[-m / s, 0.0], epsabs=1e-12)[0]

    def f(x):
        return max(m + s * x, 0.0)

    def primitive(x):
        return (f(x) ** 2 - f(0.0) ** 2) / (2 * s)

    square = moment(lambda x: (x**2 + 1) * f(x) ** 2) - moment(lambda x: (x**2 - 1) * primitive(x) ** 2)
    exact = (square - (s * stats.norm.pdf(m / s)) ** 2) / s**2
    np.testing.assert_allclose(gradient_variance(tf.nn.relu, m, s, "measure_valued")["scale"], exact, **close)
    positive, phi = stats.norm.cdf(m / s), stats.norm.pdf(m / s)
    spread = positive - m / s * phi - phi**2  # E[1[z > 0] eps^2] - g^2
    assert_variances(gradient_variance(tf.nn.relu, m, s, "pathwise"), positive * (1 - positive), spread)


def test_a_line_is_exact_for_differences():
    """Its difference quotient is constant up to rounding, which must not be taken for detail."""
    for h in (1e-6, 1e-2, 0.3):
        got = gradient_variance(lambda z: 3 * z + 1, 1.7, 0.9, "finite_difference", step=h)
        np.testing.assert_allclose([got["loc"], got["scale"]], [0.0, 9.0], rtol=1e-7, atol=1e-15)
    got = gradient_variance(lambda z: 3 * z + 1, 1.7, 0.9, "measure_valued")
    assert_variances(got, 9 * (4 / np.pi - 1), 9.0)  # E[(3 M (1 - U))^2]


@pytest.mark.parametrize("estimator", variances._OPTIONS)
def test_a_constant_has_no_gradient(estimator):
    got = gradient_variance(lambda z: 0.0 * z + 0.3, 1.7, 0.9, estimator)
    if estimator == "score_function":
        assert_variances(got, 0.09 / 0.81, 2 * 0.09 / 0.81)
        got = gradient_variance(lambda z: 0.0 * z + 0.3, 1.7, 0.9, estimator, baseline="optimal")
    np.testing.assert_allclose([got["loc"], got["scale"]], 0.0, atol=1e-25)


def test_batches():
    loc, scale = np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[1.0, 2.0], [0.5, 3.0]])
    got = gradient_variance(tf.square, loc, scale, "score_function", baseline="optimal")
    np.testing.assert_allclose(got["loc"], 8 * loc**2 + 6 * scale**2)
    got = gradient_variance(tf.square, loc, 2.0, "measure_valued")
    np.testing.assert_allclose(got["scale"], 4 * loc**2 + 16)


FUNCTIONS = {
    "square": lambda z: (z - 1.0) ** 2,
    "cosine": lambda z: tf.cos(2.0 * z),
    "bump": lambda z: tf.exp(-(z**2)),
    "relu": tf.nn.relu,
    "step": step,
}
OPTIONS = [
    ("pathwise", {}),
    ("score_function", {}),
    ("score_function", {"baseline": 0.5}),
    ("score_function", {"baseline": "optimal"}),
    ("score_function", {"baseline": "leave_one_out", "num_samples": 3}),
    ("measure_valued", {}),
    ("measure_valued", {"coupled": False}),
    ("finite_difference", {"step": 0.2}),
    ("finite_difference", {"step": 0.2, "common_random_numbers": False}),
]
CASES = [
    (name, estimator, options)
    for name in FUNCTIONS
    for estimator, options in OPTIONS
    if not (name == "step" and estimator == "pathwise")
]
LOC, SCALE, NUM_SAMPLES = 0.3, 1.1, 400_000


def simulate(f, estimator, options):
    """Independent samples of an estimator, [NUM_SAMPLES, 2], drawn with NumPy as the definitions say."""
    rng = np.random.default_rng(7)

    def values(z):
        return f(tf.constant(z)).numpy()

    def at(eps):
        return values(LOC + SCALE * eps)

    eps = rng.standard_normal(NUM_SAMPLES)
    if estimator == "pathwise":
        z = tf.constant(LOC + SCALE * eps)
        with tf.GradientTape() as tape:
            tape.watch(z)
            y = f(z)
        slopes = tape.gradient(y, z).numpy()
        return np.stack([slopes, slopes * eps], axis=-1)
    if estimator == "score_function":
        score = np.stack([eps, eps**2 - 1], axis=-1) / SCALE
        y = at(eps)[:, None]
        baseline = options.get("baseline") or 0.0
        if baseline == "optimal":
            baseline = np.mean(y * score**2, axis=0) / np.mean(score**2, axis=0)
        elif baseline == "leave_one_out":
            others = rng.standard_normal((options["num_samples"] - 1, NUM_SAMPLES))
            baseline = at(others).mean(axis=0)[:, None]
        return (y - baseline) * score
    same = options.get("coupled", options.get("common_random_numbers", True))
    if estimator == "measure_valued":
        w = rng.rayleigh(size=NUM_SAMPLES)
        w_below = w if same else rng.rayleigh(size=NUM_SAMPLES)
        maxwell = np.sqrt(rng.chisquare(3, NUM_SAMPLES)) * rng.choice([-1, 1], NUM_SAMPLES)
        normal = maxwell * rng.uniform(size=NUM_SAMPLES) if same else eps
        loc = (at(w) - at(-w_below)) / (SCALE * np.sqrt(2 * np.pi))
        return np.stack([loc, (at(maxwell) - at(normal)) / SCALE], axis=-1)
    h = options["step"]
    other = eps if same else rng.standard_normal(NUM_SAMPLES)
    loc = (values(LOC + h + SCALE * eps) - values(LOC - h + SCALE * other)) / (2 * h)
    scale = (values(LOC + (SCALE + h) * eps) - values(LOC + (SCALE - h) * other)) / (2 * h)
    return np.stack([loc, scale], axis=-1)


@pytest.mark.parametrize(("name", "estimator", "options"), CASES)
def test_simulated_samples_have_the_variance(name, estimator, options):
    """All together reject a correct variance with probability 1e-4; 1.15 times each one must be rejected."""
    f = FUNCTIONS[name]
    samples = simulate(f, estimator, options)
    got = gradient_variance(f, LOC, SCALE, estimator, **options)
    exact = np.array([got["loc"], got["scale"]])
    assert_variance(samples, exact, shared_among=len(CASES))
    for planted in ([1.15, 1.0], [1.0, 1.15]):
        with pytest.raises(AssertionError):
            assert_variance(samples, exact * planted, shared_among=len(CASES))
    if estimator != "finite_difference":  # the samples are those of an estimator of the gradient
        mean = gaussian.gradient(f, LOC, SCALE)
        assert_mean(samples, [mean["loc"], mean["scale"]], shared_among=len(CASES))


@pytest.mark.parametrize("a", [0.25, 0.3])
@pytest.mark.parametrize(("estimator", "options"), OPTIONS)
def test_an_infinite_variance_is_an_error(a, estimator, options):
    with pytest.raises(ValueError, match="finite"):
        gradient_variance(lambda z: tf.exp(a * z**2), 0.0, 1.0, estimator, **options)


def test_options_of_other_estimators_are_refused():
    values = {
        "baseline": "optimal",
        "coupled": False,
        "num_samples": 3,
        "step": 0.5,
        "common_random_numbers": False,
    }
    for estimator, own in variances._OPTIONS.items():
        for option, value in values.items():
            if option not in own:
                with pytest.raises(ValueError, match=f"{option}: expected estimator=.*, to which it belongs; got"):
                    gradient_variance(tf.square, 0.0, 1.0, estimator, **{option: value})


def test_options_out_of_their_domain_are_named():
    for baseline in ("best", np.nan, True, np.ones(2)):
        with pytest.raises(ValueError, match="baseline: expected None, a finite number, 'optimal' or 'leave_one_out'"):
            gradient_variance(tf.square, 0.0, 1.0, "score_function", baseline=baseline)
    for num_samples in (None, 1, 2.0):
        with pytest.raises(ValueError, match=r"num_samples .*: expected an integer of at least 2"):
            gradient_variance(tf.sin, 0.0, 1.0, "score_function", baseline="leave_one_out", num_samples=num_samples)
    with pytest.raises(ValueError, match="num_samples: expected baseline='leave_one_out'"):
        gradient_variance(tf.square, 0.0, 1.0, "score_function", num_samples=3)
    for step in (0.0, -0.1, 0.5, 2.0):
        with pytest.raises(ValueError, match=r"step: expected a number above 0 and below the scale, 0\.5"):
            gradient_variance(tf.square, 0.0, [1.0, 0.5], "finite_difference", step=step)
    for step in (np.inf, "h", None):
        with pytest.raises(TypeError, match="step: expected a finite number"):
            gradient_variance(tf.square, 0.0, 1.0, "finite_difference", step=step)
    with pytest.raises(TypeError, match="coupled: expected True or False; got 1"):
        gradient_variance(tf.square, 0.0, 1.0, "measure_valued", coupled=1)
    with pytest.raises(TypeError, match="common_random_numbers: expected True or False"):
        gradient_variance(tf.square, 0.0, 1.0, "finite_difference", common_random_numbers=None)


def test_every_estimator_has_its_integrals():
    assert sorted(variances._OPTIONS) == integrands.__all__
