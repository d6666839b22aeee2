"""Exact answers against closed forms, and refusals where there is no answer."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tensorflow_probability import distributions as tfd

from companion import gaussian

PARAMETERS = [(0.0, 1.0), (1.5, 0.3), (-2.0, 2.5)]
parameters = pytest.mark.parametrize(("m", "s"), PARAMETERS)
close = {"rtol": 1e-8, "atol": 1e-10}


def quadratic(k):
    return lambda z: (z - k) ** 2


def step(z):
    return tf.cast(z > 0.0, tf.float64)


@parameters
def test_polynomials_are_integrated_exactly(m, s):
    moments = [stats.norm.moment(k, loc=m, scale=s) for k in range(1, 9)]
    got = [gaussian.expectation(lambda z, k=k: z**k, m, s) for k in range(1, 9)]
    np.testing.assert_allclose(got, moments, rtol=1e-10, atol=1e-10)


@parameters
def test_kinks_and_jumps(m, s):
    phi, big_phi = stats.norm.pdf(m / s), stats.norm.cdf(m / s)
    np.testing.assert_allclose(gaussian.expectation(step, m, s), big_phi, **close)
    np.testing.assert_allclose(gaussian.expectation(tf.nn.relu, m, s), m * big_phi + s * phi, **close)
    jump = gaussian.gradient(step, m, s)
    np.testing.assert_allclose([jump["loc"], jump["scale"]], [phi / s, -m * phi / s**2], **close)
    kink = gaussian.gradient(tf.nn.relu, m, s)
    np.testing.assert_allclose([kink["loc"], kink["scale"]], [big_phi, phi], **close)


@pytest.mark.parametrize("t", [1e-5, -1e-6, 0.12499, 1.2501])
def test_jumps_close_to_the_edge_of_a_panel(t):
    got = gaussian.expectation(lambda z: tf.cast(z > t, tf.float64), 0.0, 1.0)
    np.testing.assert_allclose(got, stats.norm.sf(t), rtol=2e-9)


def test_a_narrow_bump_between_the_nodes_is_not_missed():
    width = 1e-3
    got = gaussian.expectation(lambda z: tf.exp(-0.5 * ((z - 0.345) / width) ** 2), 0.0, 1.0)
    v = 1 + width**2
    np.testing.assert_allclose(got, width / np.sqrt(v) * np.exp(-0.5 * 0.345**2 / v), rtol=1e-6)


def test_a_narrow_spike_that_carries_nearly_all_the_mass():
    """The first look underestimates the mass by far; the answer must not be refused for that."""
    width = 5e-3
    got = gaussian.expectation(lambda z: tf.cast(tf.abs(z - 0.345) < width, tf.float64) / width, 0.0, 1.0)
    exact = (stats.norm.cdf(0.345 + width) - stats.norm.cdf(0.345 - width)) / width
    np.testing.assert_allclose(got, exact, rtol=1e-8)


def test_high_frequencies():
    np.testing.assert_allclose(
        gaussian.expectation(lambda z: tf.cos(30.0 * z), 0.2, 0.05), np.exp(-0.5 * 1.5**2) * np.cos(6.0), rtol=1e-9
    )
    np.testing.assert_allclose(gaussian.expectation(lambda z: tf.cos(40.0 * z), 0.2, 1.0), 0.0, atol=1e-9)


@parameters
@pytest.mark.parametrize("k", [-3.0, 0.0, 0.7])
def test_variances_of_a_quadratic(m, s, k):
    d = m - k
    exact = {
        "pathwise": {"loc": 4 * s**2, "scale": 4 * d**2 + 8 * s**2},
        "score_function": {
            "loc": d**4 / s**2 + 14 * d**2 + 15 * s**2,
            "scale": 2 * d**4 / s**2 + 60 * d**2 + 74 * s**2,
        },
    }
    for estimator, variances in exact.items():
        got = gaussian.gradient_variance(quadratic(k), m, s, estimator)
        for name, variance in variances.items():
            np.testing.assert_allclose(got[name], variance, **close)
    mean = gaussian.gradient(quadratic(k), m, s)
    np.testing.assert_allclose([mean["loc"], mean["scale"]], [2 * d, 2 * s], **close)


@parameters
def test_an_optimal_baseline_lowers_the_variance_of_a_quadratic(m, s):
    """A baseline is a constant taken off f: the variance with the best one, d^2 + 3 s^2 for loc."""
    best = gaussian.gradient_variance(lambda z: z**2 - (m**2 + 3 * s**2), m, s, "score_function")
    np.testing.assert_allclose(best["loc"], 8 * m**2 + 6 * s**2, **close)
    best = gaussian.gradient_variance(lambda z: z**2 - (m**2 + 5 * s**2), m, s, "score_function")
    np.testing.assert_allclose(best["scale"], 40 * m**2 + 24 * s**2, **close)


@parameters
@pytest.mark.parametrize("k", [0.5, 1.0, 3.0])
def test_gradients_and_variances_of_a_cosine(m, s, k):
    a, c = 2 * k * s, np.cos(2 * k * m)
    e = np.exp(-(a**2) / 2)
    g = {
        "loc": -k * np.exp(-(k**2) * s**2 / 2) * np.sin(k * m),
        "scale": -(k**2) * s * np.exp(-(k**2) * s**2 / 2) * np.cos(k * m),
    }
    exact = {
        "pathwise": {"loc": k**2 * (1 - e * c) / 2, "scale": k**2 * (1 - (1 - a**2) * e * c) / 2},
        "score_function": {
            "loc": (1 + (1 - a**2) * e * c) / (2 * s**2),
            "scale": (2 + (a**4 - 4 * a**2 + 2) * e * c) / (2 * s**2),
        },
    }

    def f(z):
        return tf.cos(k * z)

    got = gaussian.gradient(f, m, s)
    for name in g:
        np.testing.assert_allclose(got[name], g[name], **close)
        for estimator, second_moment in exact.items():
            variance = gaussian.gradient_variance(f, m, s, estimator)[name]
            np.testing.assert_allclose(variance, second_moment[name] - g[name] ** 2, **close)


@parameters
@pytest.mark.parametrize("k", [0.1, 1.0, 10.0])
def test_gradients_and_variances_of_a_bump(m, s, k):
    def parts(c):
        big_d = 1 + 2 * c * s**2
        return big_d**-0.5 * np.exp(-c * m**2 / big_d), m / big_d, s**2 / big_d

    z_k, m_k, _ = parts(k)
    z_2k, m_2k, v_2k = parts(2 * k)
    g = z_k * (m_k - m) / s**2
    exact = {
        "pathwise": 4 * k**2 * z_2k * (m_2k**2 + v_2k) - g**2,
        "score_function": z_2k * (v_2k + (m_2k - m) ** 2) / s**4 - g**2,
    }

    def f(z):
        return tf.exp(-k * z**2)

    np.testing.assert_allclose(gaussian.gradient(f, m, s)["loc"], g, **close)
    for estimator, variance in exact.items():
        np.testing.assert_allclose(gaussian.gradient_variance(f, m, s, estimator)["loc"], variance, **close)


def test_the_gradient_is_the_slope_of_the_expectation():
    h = 1e-5
    for f in (tf.nn.relu, tf.sin, lambda z: tf.exp(0.3 * z)):
        got = gaussian.gradient(f, 0.4, 1.3)
        slope_loc = (gaussian.expectation(f, 0.4 + h, 1.3) - gaussian.expectation(f, 0.4 - h, 1.3)) / (2 * h)
        slope_scale = (gaussian.expectation(f, 0.4, 1.3 + h) - gaussian.expectation(f, 0.4, 1.3 - h)) / (2 * h)
        np.testing.assert_allclose([got["loc"], got["scale"]], [slope_loc, slope_scale], rtol=1e-4, atol=1e-5)


def test_batches():
    loc, scale = np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[1.0, 2.0], [0.5, 3.0]])
    np.testing.assert_allclose(gaussian.expectation(tf.square, loc, scale), loc**2 + scale**2)
    np.testing.assert_allclose(gaussian.gradient(tf.square, loc, scale)["scale"], 2 * scale)
    np.testing.assert_allclose(
        gaussian.gradient_variance(tf.square, loc, 2.0, "pathwise")["loc"], np.full((2, 2), 16.0)
    )
    assert gaussian.expectation(tf.square, 0, 1).shape == ()


@pytest.mark.parametrize("a", [0.25, 0.3, 0.49])
def test_an_infinite_variance_is_an_error(a):
    """E exp(a z^2) is finite for a < 1/2, the variance of its pathwise gradient only for a < 1/4."""

    def f(z):
        return tf.exp(a * z**2)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if a < 0.4:
            np.testing.assert_allclose(gaussian.expectation(f, 0.0, 1.0), (1 - 2 * a) ** -0.5, rtol=1e-9)
        with pytest.raises(ValueError, match="finite"):
            gaussian.gradient_variance(f, 0.0, 1.0, "pathwise")


@pytest.mark.parametrize("a", [0.5, 0.6, 2.0])
def test_an_infinite_expectation_is_an_error(a):
    with pytest.raises(ValueError, match="finite"):
        gaussian.expectation(lambda z: tf.exp(a * z**2), 0.0, 1.0)


def test_bad_arguments_are_named():
    for call in (gaussian.expectation, gaussian.gradient):
        with pytest.raises(ValueError, match="scale: expected positive numbers; got -1"):
            call(tf.square, 0.0, -1.0)
        with pytest.raises(ValueError, match="scale: expected positive"):
            call(tf.square, 0.0, 0.0)
        with pytest.raises(ValueError, match="loc: expected finite"):
            call(tf.square, np.nan, 1.0)
        with pytest.raises(ValueError, match=r"scale: expected the shape of loc, \[2\]; got \[3\]"):
            call(tf.square, [0.0, 1.0], [1.0, 1.0, 1.0])
        with pytest.raises(TypeError, match="f: expected a callable"):
            call(3.0, 0.0, 1.0)
        with pytest.raises(ValueError, match="f: expected one value a point"):
            call(lambda z: tf.reduce_sum(z), 0.0, 1.0)
        with pytest.raises(ValueError, match=r"f\(z\): expected finite numbers"):
            call(tf.math.log, 0.0, 1.0)
        with pytest.raises(RuntimeError, match="eager"):
            tf.function(lambda call=call: call(tf.square, 0.0, 1.0))()
    expected = "'pathwise', 'score_function', 'measure_valued' or 'finite_difference'"
    with pytest.raises(ValueError, match=f"estimator: expected {expected}; got 'reinforce'"):
        gaussian.gradient_variance(tf.square, 0.0, 1.0, "reinforce")
    with pytest.raises(ValueError, match="f: expected a function that TensorFlow can differentiate"):
        gaussian.gradient_variance(step, 0.0, 1.0, "pathwise")


@given(
    m=st.floats(-3, 3),
    s=st.floats(0.05, 5),
    m0=st.floats(-3, 3),
    s0=st.floats(0.05, 5),
    width=st.sampled_from([tf.float32, tf.float64]),
)
@settings(max_examples=50, deadline=None)
def test_kl_divergence_is_tfps(m, s, m0, s0, width):
    m, s, m0, s0 = (tf.constant(x, width) for x in (m, s, m0, s0))
    exact = tfd.kl_divergence(tfd.Normal(m, s), tfd.Normal(m0, s0))
    got = gaussian.kl_divergence(m, s, m0, s0)
    assert got.dtype == width
    np.testing.assert_allclose(got, exact, rtol=1e-4 if width == tf.float32 else 1e-10, atol=1e-5)


def test_kl_divergence_is_its_definition_and_differentiable():
    q, p = (0.3, 0.8), (-0.5, 1.7)

    def log_ratio(z):
        return stats.norm.logpdf(z, *q) - stats.norm.logpdf(z, *p)

    np.testing.assert_allclose(gaussian.kl_divergence(*q, *p), gaussian.expectation(log_ratio, *q), rtol=1e-5)
    loc, scale = tf.constant([0.3, 0.0]), tf.constant([0.8, 1.0])
    with tf.GradientTape() as tape:
        tape.watch([loc, scale])
        kl = gaussian.kl_divergence(loc, scale, 0.0, 1.0)
    d_loc, d_scale = tape.gradient(kl, [loc, scale])
    np.testing.assert_allclose(d_loc, loc)
    np.testing.assert_allclose(d_scale, scale - 1 / scale, rtol=1e-6)
    assert float(kl[1]) == 0.0


def test_kl_divergence_refuses_bad_arguments():
    with pytest.raises(ValueError, match="prior_scale: expected positive"):
        gaussian.kl_divergence(0.0, 1.0, 0.0, -1.0)
    with pytest.raises(ValueError, match=r"prior_loc: expected shape \[2\].*got shape \[3\]"):
        gaussian.kl_divergence([0.0, 1.0], [1.0, 1.0], [0.0, 0.0, 0.0], 1.0)
    with pytest.raises(ValueError, match=r"scale.*finite"):
        gaussian.kl_divergence(0.0, np.inf, 0.0, 1.0)
    assert tf.function(gaussian.kl_divergence, jit_compile=True)(1.0, 1.0, 0.0, 1.0) == 0.5
