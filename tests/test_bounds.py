"""The bounds: their values and every choice of gradient against exact answers, and what they refuse."""

import itertools
from functools import partial

import gaussian_latents as model
import numpy as np
import pytest
import tensorflow as tf
from calibration import agree, assert_mean
from modes import MODES
from tensorflow_probability import distributions as tfd

from companion import bounds
from companion.bounds.elbo import GRADIENTS as ELBO_GRADIENTS
from companion.bounds.importance_weighted import GRADIENTS as IW_GRADIENTS

MEMBERS = 40_000
CASES = [("elbo", k, g) for k in (1, 3) for g in ELBO_GRADIENTS]
CASES += [("importance_weighted", k, g) for k in (1, 2) for g in IW_GRADIENTS]
UNBIASED = [c for c in CASES if c != ("importance_weighted", 2, "sticking_the_landing")]


def estimates(kind, num_samples, gradient, point=model.POINT, members=MEMBERS, seed=1):
    bound = getattr(bounds, kind)
    params = model.members(point, members)
    return model.differentiate(lambda joint, q: bound(joint, q, num_samples, seed, gradient), params)


def exact(kind, num_samples, point=model.POINT):
    return model.exact_bound(num_samples if kind == "importance_weighted" else 1, point)


# Exact answers


def test_the_quadrature_has_converged_and_knows_the_evidence():
    for k in (1, 2):
        fine, coarse = model.exact_bound(k, model.POINT), model.exact_bound(k, model.POINT, nodes=50)
        np.testing.assert_allclose([fine[0], *fine[1].values()], [coarse[0], *coarse[1].values()], atol=1e-8)
        assert model.exact_bound(k, model.EXACT_POSTERIOR)[0] == pytest.approx(model.LOG_EVIDENCE, abs=1e-12)


def test_the_elbo_is_the_closed_form():
    loc, scale, m = model.POINT.values()
    fit = -0.5 * np.log(2 * np.pi) - 0.5 * ((model.X - loc) ** 2 + scale**2)
    divergence = 0.5 * (scale**2 + (loc - m) ** 2 - 1) - np.log(scale)
    assert model.exact_bound(1, model.POINT)[0] == pytest.approx(fit - divergence, abs=1e-10)


@pytest.mark.parametrize(("kind", "num_samples", "gradient"), CASES)
def test_values_are_unbiased(kind, num_samples, gradient):
    value, _ = estimates(kind, num_samples, gradient)
    assert_mean(value, exact(kind, num_samples)[0], shared_among=len(CASES))


@pytest.mark.parametrize(("kind", "num_samples", "gradient"), UNBIASED)
def test_gradients_are_unbiased(kind, num_samples, gradient):
    _, gradients = estimates(kind, num_samples, gradient)
    for name, wanted in exact(kind, num_samples)[1].items():
        assert_mean(gradients[name], wanted, shared_among=3 * len(UNBIASED))


@pytest.mark.verifies("prop-sticking-the-landing")
def test_sticking_the_landing_is_biased_for_more_than_one_sample():
    _, gradients = estimates("importance_weighted", 2, "sticking_the_landing")
    wanted = exact("importance_weighted", 2)[1]
    assert not agree(gradients["loc"], wanted["loc"])
    assert not agree(gradients["scale"], wanted["scale"])
    assert_mean(gradients["m"], wanted["m"], shared_among=10)  # the model's gradient is untouched


@pytest.mark.parametrize(("kind", "num_samples", "gradient"), CASES)
def test_at_the_exact_posterior_every_sample_gives_the_evidence(kind, num_samples, gradient):
    value, gradients = estimates(kind, num_samples, gradient, model.EXACT_POSTERIOR, members=200)
    np.testing.assert_allclose(value, model.LOG_EVIDENCE, atol=1e-12)
    quiet = gradient in ("sticking_the_landing", "doubly_reparameterized")
    for name in ("loc", "scale"):
        if quiet:
            np.testing.assert_allclose(gradients[name], 0.0, atol=1e-12)
        else:
            assert gradients[name].std() > 0.1


def test_the_bound_grows_with_the_number_of_samples_and_stays_below_the_evidence():
    means, errors = [], []
    for num_samples in (1, 2, 4, 16):
        value, _ = estimates("importance_weighted", num_samples, "pathwise", seed=num_samples)
        means.append(value.mean())
        errors.append(value.std() / np.sqrt(len(value)))
    for (low, a), (high, b) in itertools.pairwise(zip(means, errors, strict=True)):
        assert high - low > 4 * np.hypot(a, b)  # here the growth itself can be seen
    assert all(mean < model.LOG_EVIDENCE + 4 * error for mean, error in zip(means, errors, strict=True))
    many, _ = estimates("importance_weighted", 1000, "pathwise", members=1000)
    assert_mean(many, model.LOG_EVIDENCE - 0.5 * relative_variance_of_weights() / 1000, rounding=1e-5)


def relative_variance_of_weights():
    """Var(w) / E(w)^2 under q: log p less half of it / K is L_K, up to 1 / K^2 (Domke and Sheldon, 2018)."""
    eps, mass = np.polynomial.hermite_e.hermegauss(80)
    loc, scale, m = model.POINT.values()
    z = loc + scale * eps
    log_joint = -np.log(2 * np.pi) - 0.5 * (z - m) ** 2 - 0.5 * (model.X - z) ** 2
    w = np.exp(log_joint + 0.5 * np.log(2 * np.pi) + np.log(scale) + 0.5 * eps**2 - model.LOG_EVIDENCE)
    mass = mass / mass.sum()
    return mass @ w**2 - (mass @ w) ** 2


# A discrete posterior, by enumeration


def bernoulli_joint(z):
    return tf.where(z > 0.5, tf.constant(-0.7, z.dtype), tf.constant(-2.1, z.dtype))


def enumerated(kind, num_samples, logits):
    """The exact bound and its gradient: all outcomes of all samples."""
    logits = tf.constant(logits, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        q = tfd.Bernoulli(logits=logits, dtype=tf.float64)
        total = tf.zeros([], tf.float64)
        for outcome in itertools.product([0.0, 1.0], repeat=num_samples):
            z = tf.constant(outcome, tf.float64)
            log_weights = bernoulli_joint(z) - q.log_prob(z)
            bound = tf.reduce_mean(log_weights)
            if kind == "importance_weighted":
                bound = tf.reduce_logsumexp(log_weights) - np.log(num_samples)
            total += tf.exp(tf.reduce_sum(q.log_prob(z))) * bound
    return float(total), float(tape.gradient(total, logits))


@pytest.mark.parametrize("num_samples", [1, 3])
@pytest.mark.parametrize("kind", ["elbo", "importance_weighted"])
def test_the_score_function_serves_a_discrete_posterior(kind, num_samples):
    logits = tf.fill([MEMBERS], tf.constant(0.4, tf.float64))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        posterior = tfd.Bernoulli(logits=logits, dtype=tf.float64)
        value = getattr(bounds, kind)(bernoulli_joint, posterior, num_samples, 3, "score_function")
    wanted, slope = enumerated(kind, num_samples, 0.4)
    assert_mean(value.numpy(), wanted, shared_among=8)
    assert_mean(tape.gradient(value, logits).numpy(), slope, shared_among=8)


# Shapes, seeds and modes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "num_samples", "gradient"), CASES)
def test_one_seed_gives_one_answer_in_every_mode(kind, num_samples, gradient, mode):
    params = model.members(model.POINT, 5)

    def run():
        bound = getattr(bounds, kind)
        with tf.GradientTape() as tape:
            tape.watch(params)
            joint, posterior = model.log_joint_of(params["m"]), tfd.Normal(params["loc"], params["scale"])
            value = bound(joint, posterior, num_samples, 7, gradient)
        return value, tape.gradient(value, params)

    value, gradients = MODES[mode](run)
    first, slopes = run()
    np.testing.assert_allclose(value, first, rtol=1e-12)
    for name in gradients:
        np.testing.assert_allclose(gradients[name], slopes[name], rtol=1e-9, atol=1e-12)
    plain = getattr(bounds, kind)(
        model.log_joint_of(params["m"]), tfd.Normal(params["loc"], params["scale"]), num_samples, 7
    )
    np.testing.assert_allclose(value, plain, rtol=1e-12)  # the gradient's name does not move the value


@pytest.mark.parametrize(
    ("kind", "gradient"), [("elbo", g) for g in ELBO_GRADIENTS] + [("importance_weighted", g) for g in IW_GRADIENTS]
)
def test_vectors_and_batches(kind, gradient):
    """Events of several dimensions, batches of any rank."""
    loc = tf.Variable(np.random.default_rng(0).normal(size=[3, 2, 4]))
    prior = tfd.MultivariateNormalDiag(tf.zeros([4], tf.float64), tf.ones([4], tf.float64))

    def run():
        return getattr(bounds, kind)(prior.log_prob, tfd.MultivariateNormalDiag(loc, tf.ones_like(loc)), 5, 1, gradient)

    with tf.GradientTape() as tape:
        value = run()
    assert value.shape == [3, 2]
    assert tape.gradient(value, loc).shape == loc.shape
    np.testing.assert_array_equal(value, run())


def test_a_gradient_through_both_nets_is_the_whole_one():
    """What log_joint uses and what the posterior is made from may share a variable; pathwise differentiates both."""
    shared = tf.fill([MEMBERS], tf.constant(0.3, tf.float64))
    with tf.GradientTape() as tape:
        tape.watch(shared)
        value = bounds.elbo(model.log_joint_of(shared), tfd.Normal(shared, tf.ones_like(shared)), 1, 2)
    _, slopes = model.exact_bound(1, {"loc": 0.3, "scale": 1.0, "m": 0.3})
    assert_mean(tape.gradient(value, shared).numpy(), slopes["loc"] + slopes["m"])


def test_zero_weights_are_welcome_if_not_all():
    """A log_joint that is -inf outside its support."""

    def inside(z, edge=0.0):
        return tf.where(z > edge, -z, -np.inf)

    value = bounds.importance_weighted(inside, tfd.Normal(0.0, 1.0), 50, 1)
    assert np.isfinite(value)
    with pytest.raises(ValueError, match=r"the sum of the weights .*: expected finite numbers; got"):
        bounds.importance_weighted(partial(inside, edge=100.0), tfd.Normal(0.0, 1.0), 5, 1)
    with pytest.raises(ValueError, match=r"log_joint\(z\) - log q\(z\): expected finite numbers; got"):
        bounds.elbo(inside, tfd.Normal(0.0, 1.0), 50, 1)


# What is refused

NORMAL = tfd.Normal([0.0, 1.0], 1.0)


@pytest.mark.parametrize("kind", ["elbo", "importance_weighted"])
@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"log_joint": 3.0}, TypeError, "log_joint: expected a callable; got"),
        ({"log_joint": lambda z: None}, TypeError, "log_joint: expected a tensor of floats; got None"),
        ({"log_joint": lambda z: tf.cast(z, tf.float64)}, TypeError, "log_joint: expected values of dtype float32"),
        ({"log_joint": lambda z: z[0]}, ValueError, r"log_joint: expected one value a sample .*\(4, 2\); got shape"),
        (
            {"log_joint": lambda z: tf.reduce_sum(z)},
            ValueError,
            r"log_joint: expected one value a sample .*got shape \(\)",
        ),
        ({"log_joint": lambda z: z * np.nan}, ValueError, "expected finite numbers; got"),
        ({"log_joint": lambda z: z + np.inf}, ValueError, "expected finite numbers; got"),
        ({"posterior": 3.0}, TypeError, "posterior: expected a tfd.Distribution; got 3.0"),
        ({"posterior": tfd.Normal(0.0, -1.0)}, ValueError, "posterior: expected valid parameters of Normal"),
        (
            {"posterior": tfd.Poisson(3.0)},
            TypeError,
            r'posterior: expected a reparameterizable .*Poisson, which is discrete; .*"score_function"',
        ),
        ({"num_samples": 0}, ValueError, "num_samples: expected an integer of at least 1; got 0"),
        ({"num_samples": 2.5}, ValueError, "num_samples: expected an integer"),
        ({"gradient": "reinforce"}, ValueError, "gradient: expected one of pathwise, .*; got 'reinforce'"),
        ({"gradient": None}, ValueError, "gradient: expected one of pathwise, .*; got None"),
        ({"seed": "one"}, TypeError, "seed: expected an integer"),
    ],
)
def test_bad_arguments_are_named(kind, changed, error, message):
    good = {"log_joint": lambda z: -(z**2), "posterior": NORMAL, "num_samples": 4, "seed": 0}
    with pytest.raises(error, match=message):
        getattr(bounds, kind)(**{**good, **changed})


def test_the_elbo_has_no_doubly_reparameterized_gradient():
    with pytest.raises(ValueError, match="gradient: expected one of pathwise, sticking_the_landing, score_function"):
        bounds.elbo(lambda z: -(z**2), NORMAL, 4, 0, "doubly_reparameterized")
