"""Weak derivatives family by family, and how the measure-valued estimator puts coordinates together."""

import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_law, assert_mean
from cases import in_width
from scipy import stats
from tensorflow_probability import distributions as tfd

from companion.gradients import measure_valued, weak_derivatives
from companion.gradients.weak_derivatives import decompose
from companion.reparameterizations import draw

N = 20_000
BOTH = pytest.mark.parametrize("coupled", [True, False], ids=["coupled", "independent"])


def filled(value):
    return tf.fill([N], tf.constant(value, tf.float64))


# name: (distribution, [(constant, law of the positive side, law of the negative side)])
MU, S, RATE = 0.7, 1.3, 2.5
FAMILIES = {
    "normal": (
        lambda: tfd.Normal(filled(MU), filled(S)),
        [
            (
                1 / (S * np.sqrt(2 * np.pi)),
                lambda z: stats.rayleigh(MU, S).cdf(z),
                lambda z: stats.rayleigh(-MU, S).sf(-z),
            ),
            (
                1 / S,
                lambda z: 0.5 + 0.5 * np.sign(z - MU) * stats.maxwell(scale=S).cdf(np.abs(z - MU)),
                stats.norm(MU, S).cdf,
            ),
        ],
    ),
    "exponential": (
        lambda: tfd.Exponential(filled(RATE)),
        [(1 / RATE, stats.expon(scale=1 / RATE).cdf, stats.gamma(2, scale=1 / RATE).cdf)],
    ),
    "gamma": (
        lambda: tfd.Gamma(filled(1.7), filled(RATE)),
        [(1.7 / RATE, stats.gamma(1.7, scale=1 / RATE).cdf, stats.gamma(2.7, scale=1 / RATE).cdf)],
    ),
}


def decomposed(distribution, coupled):
    """A plain draw, and the weak derivatives beside it."""
    plain = draw(distribution, seed=4)
    return plain, decompose(distribution, plain, seed=5, coupled=coupled)


@BOTH
@pytest.mark.parametrize("name", FAMILIES)
def test_both_sides_have_their_law(name, coupled):
    make, expected = FAMILIES[name]
    plain, found = decomposed(make(), coupled)
    assert len(found) == len(expected)
    for derivative, (constant, positive, negative) in zip(found, expected, strict=True):
        np.testing.assert_allclose(derivative.constant, np.full(N, constant), rtol=1e-12)
        right, left = (plain if side is None else side for side in (derivative.positive, derivative.negative))
        assert_law(right, positive, shared_among=12)
        assert_law(left, negative, shared_among=12)
        with pytest.raises(AssertionError):
            assert_law(right, negative, shared_among=12)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_weak_derivative_is_the_derivative_of_the_density(name):
    """c (q+ - q-) integrated up to a point is the derivative of the distribution function there, by differences."""
    _, expected = FAMILIES[name]
    step, points = 1e-6, np.linspace(0.1, 3.0, 7)
    shifted = {
        "normal": [lambda t: stats.norm(MU + t, S).cdf(points), lambda t: stats.norm(MU, S + t).cdf(points)],
        "exponential": [lambda t: stats.expon(scale=1 / (RATE + t)).cdf(points)],
        "gamma": [lambda t: stats.gamma(1.7, scale=1 / (RATE + t)).cdf(points)],
    }[name]
    for (constant, positive, negative), cdf in zip(expected, shifted, strict=True):
        slope = (cdf(step) - cdf(-step)) / (2 * step)
        np.testing.assert_allclose(constant * (positive(points) - negative(points)), slope, atol=1e-8)


def test_the_couplings():
    plain, (loc, scale) = decomposed(tfd.Normal(filled(MU), filled(S)), coupled=True)
    np.testing.assert_allclose(loc.positive - MU, MU - loc.negative, rtol=1e-12)  # one Rayleigh step
    assert scale.negative is None
    ratio = (plain - MU) / (scale.positive - MU)
    assert_law(ratio, stats.uniform.cdf, shared_among=4)
    assert abs(np.corrcoef(ratio, scale.positive)[0, 1]) < 4.5 / np.sqrt(N)
    assert abs(np.corrcoef(ratio, np.abs(scale.positive - MU))[0, 1]) < 4.5 / np.sqrt(N)
    for d in (tfd.Exponential(filled(RATE)), tfd.Gamma(filled(1.7), filled(RATE))):
        plain, (wait,) = decomposed(d, coupled=True)
        assert wait.positive is None
        assert_law(wait.negative - plain, stats.expon(scale=1 / RATE).cdf, shared_among=4)
    plain, (more,) = decomposed(tfd.Poisson(filled(RATE)), coupled=True)
    np.testing.assert_array_equal(more.positive - plain, np.ones(N))


def test_without_coupling_the_sides_are_independent():
    for d in (tfd.Normal(filled(MU), filled(S)), tfd.Exponential(filled(RATE)), tfd.Poisson(filled(RATE))):
        plain, derivatives = decomposed(d, coupled=False)
        for derivative in derivatives:
            right, left = (plain if side is None else side for side in (derivative.positive, derivative.negative))
            assert abs(np.corrcoef(right, left)[0, 1]) < 4.5 / np.sqrt(N)
            assert abs(np.corrcoef(np.abs(right - MU), np.abs(left - MU))[0, 1]) < 4.5 / np.sqrt(N)


@BOTH
def test_a_class_is_compared_with_the_others(coupled):
    probs = np.array([0.5, 0.3, 0.2])
    logits = tf.tile(tf.math.log(tf.constant(probs))[None], [N, 1])
    _, derivatives = decomposed(tfd.Categorical(logits=logits), coupled)
    for k, derivative in enumerate(derivatives):
        np.testing.assert_array_equal(derivative.positive, np.full(N, k))
        np.testing.assert_allclose(derivative.constant, np.full(N, probs[k] * (1 - probs[k])), rtol=1e-12)
        others = np.where(np.arange(3) == k, 0.0, probs) / (1 - probs[k])
        assert_mean(np.eye(3)[derivative.negative.numpy()], others, shared_among=6)


@BOTH
def test_coupled_classes_share_their_gumbel_noise(coupled):
    """With one noise the winner beats every class, and its runner-up stands in where it is barred itself."""
    logits = tf.tile(tf.math.log(tf.constant([[0.1, 0.2, 0.3, 0.4]])), [1000, 1])
    _, derivatives = decomposed(tfd.Categorical(logits=logits), coupled)
    drawn = np.stack([derivative.negative for derivative in derivatives], axis=1)
    most = max(len(set(row)) for row in drawn)
    assert most == 2 if coupled else most > 2


def test_coordinates_move_one_at_a_time():
    """f = z0 z1 has the gradient (E z1, E z0) for loc: moving both at once would give another number."""
    params = in_width({"loc": [0.5, 2.0], "scale": [0.3, 0.4]}, tf.float64)
    estimate = measure_valued(lambda z: z[:, 0] * z[:, 1], tfd.Normal, params, 100_000, seed=1)
    assert_mean(estimate.samples["loc"].numpy(), [2.0, 0.5], shared_among=2)
    assert_mean(estimate.samples["scale"].numpy(), [0.0, 0.0], shared_among=2)


def test_turns_give_the_same_numbers(monkeypatch):
    """Coordinates that do not fit into one call of f are taken in turns."""
    params = in_width({"loc": np.arange(5.0), "scale": np.ones(5)}, tf.float64)

    def norm(z):
        return tf.sqrt(tf.reduce_sum(z**2, axis=-1))

    at_once = measure_valued(norm, tfd.Normal, params, 50, seed=1)
    module = __import__("sys").modules["companion.gradients.measure_valued"]
    monkeypatch.setattr(module, "_MOST_NUMBERS", 500)
    sizes = []

    def watched(z):
        sizes.append(z.shape[0])
        return norm(z)

    in_turns = measure_valued(watched, tfd.Normal, params, 50, seed=1)
    assert max(sizes) == 100
    for name in params:
        np.testing.assert_allclose(in_turns.samples[name], at_once.samples[name], rtol=1e-12)


def test_a_batch_of_vectors():
    """Members are separate, coordinates of an event are not."""
    params = in_width({"loc": [[0.5, 2.0], [1.0, -1.0]], "scale": [[0.3, 0.4], [0.2, 0.1]]}, tf.float64)

    def make(loc, scale):
        return tfd.Independent(tfd.Normal(loc, scale), 1)

    estimate = measure_valued(lambda z: z[..., 0] * z[..., 1], make, params, 50_000, seed=1)
    assert estimate.samples["loc"].shape == [50_000, 2, 2]
    assert_mean(estimate.samples["loc"].numpy(), [[2.0, 0.5], [-1.0, 1.0]])


@pytest.mark.parametrize(
    ("make", "params", "evaluations"),
    [
        (lambda loc: tfd.Normal(loc, 1.0), {"loc": 0.5}, 1 + 2),
        (lambda scale: tfd.Normal(1.0, scale), {"scale": 0.5}, 1 + 1),
        (tfd.Normal, {"loc": 0.5, "scale": 0.5}, 1 + 3),
        (lambda loc, scale: tfd.MultivariateNormalDiag(loc, scale), {"loc": [0.5] * 7, "scale": [0.5] * 7}, 1 + 3 * 7),
        (lambda scale: tfd.MultivariateNormalDiag([0.5] * 7, scale), {"scale": [0.5] * 7}, 1 + 7),
        (tfd.Exponential, {"rate": 0.5}, 1 + 1),
        (tfd.Poisson, {"rate": 0.5}, 1 + 1),
        (tfd.Uniform, {"low": 0.5, "high": 1.0}, 1 + 2),
        (lambda probs: tfd.Bernoulli(probs=probs, dtype=tf.float32), {"probs": 0.5}, 1 + 2),
    ],
)
@BOTH
def test_the_price(make, params, evaluations, coupled):
    """What is not reached, and what the plain draw serves, is not evaluated."""
    rows = 0

    def f(z):
        nonlocal rows
        rows += z.shape[0]
        return tf.reduce_sum(z**2, axis=-1) if z.shape.rank > 1 else z**2

    measure_valued(f, make, params, 100, seed=0, coupled=coupled)
    assert rows == 100 * evaluations


def test_families_without_a_weak_derivative_are_refused_with_the_ways_out():
    with pytest.raises(TypeError, match=r"weak derivative is known \(Normal.*got Laplace; pathwise, score_function"):
        measure_valued(tf.abs, tfd.Laplace, {"loc": 0.0, "scale": 1.0}, 10, seed=0)
    with pytest.raises(TypeError, match=r"parameters of Gamma with a known weak.*got its concentration; pathwise"):
        measure_valued(tf.abs, tfd.Gamma, {"concentration": 2.0, "rate": 1.0}, 10, seed=0)
    with pytest.raises(TypeError, match=r"coupled: expected True or False; got 1"):
        measure_valued(tf.abs, tfd.Normal, {"loc": 0.0, "scale": 1.0}, 10, seed=0, coupled=1)
    assert weak_derivatives.decomposable(tfd.Independent(tfd.Poisson([1.0, 2.0]), 1))


def test_joint_coordinates_of_unknown_number_are_refused():
    @tf.function(input_signature=[tf.TensorSpec([None])])
    def run(loc):
        params = {"loc": loc, "scale": tf.ones_like(loc)}
        return measure_valued(lambda z: tf.reduce_sum(z, -1), tfd.Normal, params, 4, 0)

    with pytest.raises(ValueError, match=r"params: expected coordinates whose number is known"):
        run(tf.zeros([3]))


def test_no_coordinates_no_gradient():
    params = {"loc": tf.zeros([0]), "scale": tf.zeros([0])}
    estimate = measure_valued(lambda z: tf.reduce_sum(z, -1), tfd.Normal, params, 4, 0)
    assert estimate.samples["loc"].shape == [4, 0]
