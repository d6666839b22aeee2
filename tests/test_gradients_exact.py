"""The referee: exact gradients against closed forms, for jumps, moving supports, tails and countable sets."""

import numpy as np
import pytest
import tensorflow as tf
from cases import PROBLEMS, in_width
from scipy import special, stats
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion.gradients import exact, score_function

EXACT = [name for name, p in PROBLEMS.items() if p.exact]


@pytest.mark.parametrize("name", EXACT)
def test_closed_forms(name):
    p = PROBLEMS[name]
    found = exact(p.f, p.make, in_width(p.params, tf.float64))
    for parameter, gradient in p.gradient.items():
        assert np.shape(found[parameter]) == np.shape(p.params[parameter])
        assert np.asarray(found[parameter]).dtype == np.float64
        # von Mises: its reference is a quadrature of SciPy; categorical: its logits are float32
        tolerance = 1e-7 if name in ("von_mises_cosine", "categorical", "categorical_batch") else 1e-9
        np.testing.assert_allclose(found[parameter], gradient, rtol=tolerance, atol=tolerance)


def step(z):
    return tf.cast(z > 0.3, z.dtype)


def identity(z):
    return z


# name: (f, distribution, parameters, exact gradient)
HARD = {
    "jump_of_uniform": (step, tfd.Uniform, {"low": 0.0, "high": 2.0}, {"low": 0.85 / 2, "high": 0.3 / 4}),
    "jump_of_gamma": (
        step,
        tfd.Gamma,
        {"concentration": 0.5, "rate": 2.0},
        {"rate": -np.sqrt(0.3 / (2.0 * np.pi)) * np.exp(-0.6)},
    ),
    "heavy_tail": (tf.abs, lambda scale: tfd.StudentT(3.0, 0.0, scale), {"scale": 1.7}, {"scale": 2 * 3**0.5 / np.pi}),
    "pareto_moving_end": (
        identity,
        tfd.Pareto,
        {"concentration": 3.0, "scale": 1.5},
        {"scale": 1.5, "concentration": -0.375},
    ),
    "singular_at_zero": (
        identity,
        tfd.Beta,
        {"concentration1": 0.5, "concentration0": 2.0},
        {"concentration1": 2.0 / 2.5**2, "concentration0": -0.5 / 2.5**2},
    ),
    "oscillation": (
        lambda z: tf.cos(20.0 * z),
        tfd.Normal,
        {"loc": 0.1, "scale": 0.2},
        {"loc": -20 * np.exp(-8) * np.sin(2.0), "scale": -80 * np.exp(-8) * np.cos(2.0)},
    ),
    "far_from_zero": (tf.square, tfd.Normal, {"loc": 1e4, "scale": 1e-2}, {"loc": 2e4}),
    "truncated_end": (
        identity,
        lambda high: tfd.TruncatedNormal(0.0, 1.0, -1.0, high),
        {"high": 1.0},
        {"high": 0.5 * np.exp(-0.5) / np.sqrt(2 * np.pi) / (special.ndtr(1) - 0.5)},
    ),
    "shifted_exponential": (
        identity,
        lambda shift: tfd.TransformedDistribution(tfd.Exponential(tf.ones_like(shift)), tfb.Shift(shift)),
        {"shift": 0.7},
        {"shift": 1.0},
    ),
    "binomial": (
        tf.square,
        lambda probs: tfd.Binomial(tf.constant(5.0, probs.dtype), probs=probs),
        {"probs": 0.3},
        {"probs": 17.0},
    ),
    "one_hot": (
        lambda k: tf.reduce_sum(k * tf.constant([1.0, 3.0, -2.0], k.dtype), axis=-1),
        lambda logits: tfd.OneHotCategorical(logits=logits, dtype=logits.dtype),
        {"logits": [0.0, 0.0, 0.0]},
        {"logits": (np.array([1.0, 3.0, -2.0]) - 2 / 3) / 3},
    ),
    "binomial_with_a_pole_beyond": (
        lambda z: 1.0 / (6.0 - z),
        lambda probs: tfd.Binomial(tf.constant(5.0, probs.dtype), probs=probs),
        {"probs": 0.3},
        {"probs": sum((k / 0.3 - (5 - k) / 0.7) * stats.binom.pmf(k, 5, 0.3) / (6 - k) for k in range(6))},
    ),
    "discrete_members_together": (
        lambda b: tf.reduce_sum(b, axis=-1) ** 2,
        lambda probs: tfd.Bernoulli(probs=probs, dtype=probs.dtype),
        {"probs": [0.3, 0.4]},
        {"probs": [1.8, 1.6]},
    ),
    "slow_sum": (
        lambda z: 1e-3 * 1.2**z,
        lambda probs: tfd.Geometric(probs=probs),
        {"probs": 0.2},
        {"probs": 1e-3 * (0.04 - 1.2 * 0.2) / 0.04**2},
    ),
    "many_poisson": (tf.square, tfd.Poisson, {"rate": 400.0}, {"rate": 801.0}),
}


def transformed(base, *bijectors):
    return tfd.TransformedDistribution(base, tfb.Chain(list(bijectors)))


def two_exponentials(theta):
    """A density that jumps at theta from 1/2 to 3/2, and whose support never moves."""
    left = transformed(tfd.Exponential(tf.ones_like(theta)), tfb.Shift(theta), tfb.Scale(-tf.ones_like(theta)))
    right = transformed(tfd.Exponential(3.0 * tf.ones_like(theta)), tfb.Shift(theta))
    return tfd.Mixture(
        tfd.Categorical(logits=tf.zeros(tf.concat([tf.shape(theta), [2]], 0), theta.dtype)), [left, right]
    )


def normals(theta):
    components = tfd.Normal(tf.stack([theta, -theta], axis=-1), tf.ones([], theta.dtype))
    return tfd.MixtureSameFamily(tfd.Categorical(logits=tf.zeros_like(components.loc)), components)


HARD |= {
    "gamma_at_one": (identity, lambda a: tfd.Gamma(a, tf.ones_like(a)), {"a": 1.0}, {"a": 1.0}),
    "beta_at_one": (tf.square, lambda b: tfd.Beta(2.0 * tf.ones_like(b), b), {"b": 1.0}, {"b": -7 / 24}),
    "weibull_at_one": (identity, lambda k: tfd.Weibull(k, tf.ones_like(k)), {"k": 1.0}, {"k": np.euler_gamma - 1}),
    "decreasing_map": (
        identity,
        lambda theta: transformed(
            tfd.Uniform(0.0 * theta, tf.ones_like(theta)), tfb.Shift(theta), tfb.Scale(-tf.ones_like(theta))
        ),
        {"theta": 2.0},
        {"theta": 1.0},
    ),
    "reciprocal": (
        lambda z: 1.0 / z,
        lambda b: transformed(tfd.Uniform(tf.ones_like(b), b), tfb.Reciprocal()),
        {"b": 2.0},
        {"b": 0.5},
    ),
    "decreasing_half_line": (
        identity,
        lambda theta: transformed(
            tfd.Exponential(tf.ones_like(theta)), tfb.Shift(theta), tfb.Scale(-tf.ones_like(theta))
        ),
        {"theta": 2.0},
        {"theta": 1.0},
    ),
    "scaled_half_line": (
        identity,
        lambda theta: transformed(tfd.LogNormal(0.0 * theta, tf.ones_like(theta)), tfb.Scale(theta)),
        {"theta": 2.0},
        {"theta": np.exp(0.5)},
    ),
    "ends_that_move_apart": (  # E z = 1 / (1 - c)
        identity,
        lambda c: tfd.GeneralizedPareto(0.0 * c, tf.ones_like(c), c),
        {"c": [-0.4, -0.3]},
        {"c": [1.4**-2, 1.3**-2]},
    ),
    "one_end_that_moves_and_none": (
        identity,
        lambda c: tfd.GeneralizedPareto(0.0 * c, tf.ones_like(c), c),
        {"c": [-0.4, 0.3]},
        {"c": [1.4**-2, 0.7**-2]},
    ),
    "f_that_is_infinite_outside": (
        lambda z: tf.exp(-z),
        lambda c: tfd.GeneralizedPareto(0.0 * c, tf.ones_like(c), c),
        {"c": [-0.4, 0.1]},
        {"c": [-0.13933359, -0.1186056]},
    ),
    "mixture": (tf.square, normals, {"theta": 2.0}, {"theta": 4.0}),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_cases(name):
    f, make, params, expected = HARD[name]
    found = exact(f, make, in_width(params, tf.float64))
    for parameter, gradient in expected.items():
        np.testing.assert_allclose(found[parameter], gradient, rtol=1e-7, atol=1e-8)


def test_without_the_boundary_terms_it_would_be_the_score_functions_mistake():
    """What the score function estimates for a moving support differs from the truth by exactly these terms."""
    params = in_width({"low": 0.0, "high": 2.0}, tf.float64)
    wrong = score_function(identity, tfd.Uniform, params, 100_000, seed=0).mean["high"]
    right = exact(identity, tfd.Uniform, params)["high"]
    boundary = 2.0 * 0.5 * 1.0  # f at the end, times the density, times the speed of the end
    assert abs(right - boundary - wrong) < 5e-3
    np.testing.assert_allclose(right, 0.5, rtol=1e-12)


def test_float32_problems_have_float64_answers():
    found = exact(tf.square, tfd.Normal, {"loc": np.float32(0.1), "scale": 2.0})
    assert found["loc"] == pytest.approx(2 * float(np.float32(0.1)), rel=1e-14)
    assert exact(tf.square, tfd.Normal, {"loc": 0.1, "scale": 2.0})["loc"] == pytest.approx(0.2, rel=1e-14)
    assert isinstance(found["loc"], np.float64)


@pytest.mark.parametrize(
    ("f", "make", "params", "error", "message"),
    [
        (
            lambda z: tf.reduce_sum(z, -1),
            tfd.Normal,
            {"loc": [0.0, 1.0], "scale": 1.0},
            TypeError,
            "2 numbers together",
        ),
        (
            lambda z: tf.reduce_sum(z, -1),
            tfd.MultivariateNormalDiag,
            {"loc": [0.0, 1.0], "scale_diag": [1.0, 1.0]},
            TypeError,
            "expected a distribution over single numbers",
        ),
        (tf.square, tfd.Beta, {"concentration1": 0.5, "concentration0": 0.5}, ValueError, "resolve up to the ends"),
        (identity, tfd.Cauchy, {"loc": 0.0, "scale": 1.0}, ValueError, "does not converge"),
        (
            identity,
            two_exponentials,
            {"theta": 2.0},
            ValueError,
            "jump inside its support, at a place that moves|converge",
        ),
        (
            identity,
            lambda probs: tfd.Bernoulli(probs=probs, dtype=probs.dtype),
            {"probs": 0.0},
            ValueError,
            r"the gradient of params\['probs'\]: expected finite numbers",
        ),
        (identity, tfd.Deterministic, {"loc": 0.0}, TypeError, "with a density.*got Deterministic"),
        (tf.square, tfd.Cauchy, {"loc": 0.0, "scale": 1.0}, ValueError, "f"),
        (lambda z: tf.exp(z), tfd.Exponential, {"rate": 0.5}, ValueError, ""),
        (lambda z: 2.0**z, lambda p: tfd.Geometric(probs=p), {"p": 0.3}, ValueError, "sum that converges|finite"),
        (
            lambda b: tf.reduce_sum(b, -1),
            lambda p: tfd.Independent(tfd.Bernoulli(probs=p, dtype=p.dtype), 1),
            {"p": np.full(30, 0.5)},
            TypeError,
            r"at most 1048576 combinations of values; got 2\^30",
        ),
        (
            lambda z: 1.0 / z,
            lambda a: tfd.Zipf(a, dtype=a.dtype),
            {"a": 3.0},
            TypeError,
            "can be enumerated .*got Zipf",
        ),
        (tf.square, lambda loc, unused: tfd.Normal(loc, 1.0), {"loc": 0.0, "unused": 1.0}, ValueError, "unused"),
        (tf.square, lambda loc, unused: tfd.Poisson(loc), {"loc": 1.0, "unused": 1.0}, ValueError, "unused"),
        (3, tfd.Normal, {"loc": 0.0, "scale": 1.0}, TypeError, "f: expected a callable"),
        (
            lambda z: tf.cast(z, tf.int32),
            tfd.Normal,
            {"loc": 0.0, "scale": 1.0},
            TypeError,
            "f: expected values of dtype",
        ),
        (tf.square, tfd.Normal, {"loc": 0.0, "scale": -1.0}, ValueError, "positive"),
        (tf.square, tfd.Normal, [0.0], TypeError, "params: expected a mapping"),
    ],
)
def test_what_can_not_be_had_is_an_error(f, make, params, error, message):
    with pytest.raises(error, match=message):
        exact(f, make, in_width(params, tf.float64) if isinstance(params, dict) else params)


def test_graphs_are_refused():
    with pytest.raises(RuntimeError, match=r"exact: expected eager execution"):
        tf.function(lambda: exact(tf.square, tfd.Normal, {"loc": 0.0, "scale": 1.0}))()
