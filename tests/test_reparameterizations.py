"""Laws of z = g(eps, theta), over the registry of families."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_law, assert_mean
from cases import DISCRETE, FAMILIES, IMPLICIT, MULTIVARIATE, in_width
from hypothesis import given, settings
from hypothesis import strategies as st
from modes import MODES
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

import companion
from companion import reparameterizations
from companion.reparameterizations import noise

WIDTHS = (tf.float32, tf.float64)
N = 20_000

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
widths = pytest.mark.parametrize("dtype", WIDTHS, ids=lambda d: d.name)


def build(family, dtype=tf.float64, **changed):
    """The distribution of a family, in one floating width, with some parameters multiplied."""
    params = in_width({**family.params, **family.fixed}, dtype)
    return family.make(**{name: p * changed.get(name, 1.0) for name, p in params.items()})


@widths
@families
def test_g_of_eps_has_the_distribution(family, dtype):
    d = build(family, dtype)
    z = companion.reparameterize(d).sample(N, seed=3)
    assert z.dtype == dtype
    exact = build(family, tf.float64)
    assert_law(z, lambda x: exact.cdf(tf.constant(x, tf.float64)), shared_among=len(WIDTHS) * len(FAMILIES))


@families
def test_the_goodness_of_fit_has_power(family):
    """A parameter that is off by a tenth is found: the law above is not vacuous."""
    name = list(family.params)[-1]
    z = companion.reparameterize(build(family, **{name: 1.1})).sample(N, seed=3)
    with pytest.raises(AssertionError):
        assert_law(z, build(family).cdf, shared_among=len(WIDTHS) * len(FAMILIES))


@families
def test_the_path_has_the_implicit_slope(family):
    """In one dimension every increasing g has the slope dz/dtheta = -(dF/dtheta) / p at the same z."""
    params = in_width(family.params, tf.float64)
    fixed = in_width(family.fixed, tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(params)
        d = family.make(**params, **fixed)
        z = companion.reparameterize(d).sample(seed=5)
        log_f = d.cdf(tf.stop_gradient(z))
    for name in params:
        implicit = -tape.gradient(log_f, params[name]) / d.prob(z)
        np.testing.assert_allclose(tape.gradient(z, params[name]), implicit, rtol=1e-6, atol=1e-9)


@families
def test_the_noise_is_free_of_the_parameters(family):
    """Other parameters, same eps; and no gradient flows from the noise to a parameter."""
    first, second = (
        companion.reparameterize(build(family, **dict.fromkeys(family.params, k))).noise for k in (1.0, 1.05)
    )
    np.testing.assert_array_equal(first.sample(5, seed=1), second.sample(5, seed=1))
    params = in_width({**family.params, **family.fixed}, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(params)
        eps = companion.reparameterize(family.make(**params)).noise.sample(3, seed=1)
    assert all(g is None for g in tape.gradient(eps, params).values())


@widths
@families
def test_one_seed_gives_one_sample_in_every_mode(family, dtype):
    d = build(family, dtype)
    draws = {
        name: mode(lambda: companion.reparameterize(d).sample(1000, seed=11)).numpy() for name, mode in MODES.items()
    }
    tolerance = 3e-5 if dtype == tf.float32 else 1e-12
    for z in draws.values():  # quantile functions amplify rounding in the far tails, hence relative and absolute
        np.testing.assert_allclose(z, draws["eager"], rtol=tolerance, atol=tolerance)


@families
def test_batches_of_parameters(family):
    params = in_width({**family.params, **family.fixed}, tf.float32)
    d = family.make(**{name: p * tf.ones([2, 3]) for name, p in params.items()})
    z = companion.reparameterize(d).sample(4, seed=0)
    assert z.shape == [4, 2, 3]
    assert len(np.unique(z)) == z.shape.num_elements(), "members of a batch share noise"


@pytest.mark.parametrize("name", MULTIVARIATE)
def test_multivariate_normals(name):
    """The mean and every entry of the second-moment matrix, and each direction's law."""
    d = MULTIVARIATE[name]()
    r = companion.reparameterize(d)
    z = r.sample(N, seed=2)
    size = d.event_shape[0]
    scale = (r.transform(tf.eye(size)) - r.transform(tf.zeros([1, size]))).numpy()  # rows: columns of L
    loc = r.transform(tf.zeros([1, size])).numpy()[0]
    assert_mean(z, loc, shared_among=2 * len(MULTIVARIATE))
    centred = z.numpy() - loc
    covariance = scale.T @ scale
    assert_mean(centred[:, :, None] * centred[:, None, :], covariance, shared_among=2 * len(MULTIVARIATE))
    np.testing.assert_allclose(
        tf.reduce_mean(d.log_prob(z)), tf.reduce_mean(_normal_log_prob(z, loc, covariance)), 1e-4
    )
    with pytest.raises(AssertionError):
        assert_mean(centred[:, :, None] * centred[:, None, :], 1.1 * covariance, shared_among=2 * len(MULTIVARIATE))


def _normal_log_prob(z, loc, covariance):
    return tfd.MultivariateNormalTriL(loc, np.linalg.cholesky(covariance).astype(np.float32)).log_prob(z)


def test_relaxed_one_hot_is_the_concrete_distribution():
    """The arg max is k with probability softmax(logits)[k] at every temperature; the sample is on the simplex."""
    logits = np.array([0.1, -0.4, 0.8], np.float32)
    r = companion.reparameterize(tfd.RelaxedOneHotCategorical(temperature=0.7, logits=logits))
    z = r.sample(N, seed=4).numpy()
    np.testing.assert_allclose(z.sum(axis=-1), 1.0, rtol=1e-5)
    one_hot = np.eye(3)[z.argmax(axis=-1)]
    assert_mean(one_hot, np.exp(logits) / np.exp(logits).sum())


def test_student_t_has_degrees_of_freedom_of_a_batch():
    r = companion.reparameterize(tfd.StudentT(df=[2.0, 30.0], loc=0.0, scale=1.0))
    z = r.sample(N, seed=8).numpy()
    for column, df in enumerate((2.0, 30.0)):
        exact = tfd.StudentT(tf.constant(df, tf.float64), tf.constant(0.0, tf.float64), 1.0)
        assert_law(z[:, column], lambda x, exact=exact: exact.cdf(tf.constant(x, tf.float64)), shared_among=2)


def test_independent_and_broadcast_compositions_keep_noise_apart():
    r = companion.reparameterize(tfd.Independent(tfd.Gumbel([1.0, 2.0], 1.0), 1))
    assert r.noise.event_shape == [2]
    shifted = tfd.TransformedDistribution(tfd.Normal(0.0, 1.0), tfb.Shift([0.0, 0.0, 0.0]))
    z = companion.reparameterize(shifted).sample(seed=0).numpy()
    assert len(np.unique(z)) == 3


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_families_are_refused_with_what_to_use(name):
    with pytest.raises(TypeError, match=r"discrete.*score_function"):
        companion.reparameterize(DISCRETE[name]())


@pytest.mark.parametrize("name", IMPLICIT)
def test_implicit_families_are_refused_with_the_reason(name):
    with pytest.raises(TypeError, match=r"no closed form.*implicit.*gradients\.pathwise"):
        companion.reparameterize(IMPLICIT[name]())


def test_a_composition_of_a_refused_base_is_refused():
    with pytest.raises(TypeError, match="no map is registered"):
        companion.reparameterize(tfd.TransformedDistribution(tfd.Gamma(2.0, 1.0), tfb.Exp()))


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match=r"distribution: expected a tfd\.Distribution; got 3"):
        companion.reparameterize(3)
    with pytest.raises(ValueError, match=r"Normal.*scale.*positive.*scale=-1"):
        companion.reparameterize(tfd.Normal(0.0, -1.0))
    with pytest.raises(ValueError, match=r"Normal.*positive"):
        companion.reparameterize(tfd.LogNormal(0.0, -1.0))
    r = companion.reparameterize(tfd.Normal([0.0, 1.0], 1.0))
    with pytest.raises(ValueError, match=r"eps: expected last dimensions \[2\]; got shape \[5, 3\]"):
        r.transform(tf.zeros([5, 3]))
    with pytest.raises(ValueError, match=r"eps: expected last dimensions \[2\]; got shape \[\]"):
        r.transform(0.5)
    with pytest.raises(TypeError, match="eps: expected float32; got float64"):
        r.transform(np.zeros([5, 2]))
    with pytest.raises(ValueError, match="eps: expected finite numbers"):
        r.transform([0.0, np.nan])
    with pytest.raises(TypeError, match="families: expected subclasses"):
        reparameterizations.register(tfd.Normal(0.0, 1.0))


def test_users_can_register_a_family_and_a_subclass_inherits():
    class Rayleigh(tfd.Weibull):
        def __init__(self, sigma):
            super().__init__(concentration=2.0, scale=2.0**0.5 * sigma)

    inherited = companion.reparameterize(Rayleigh(1.5))
    assert inherited.formula.startswith("z = scale * (-log(1 - eps))")

    @reparameterizations.register(Rayleigh)
    def _(d):
        eps = noise.standard_uniform(d.batch_shape, d.dtype)
        return companion.Reparameterization(d, eps, lambda e: d.scale * tf.sqrt(-tf.math.log1p(-e)), "z = mine")

    assert companion.reparameterize(Rayleigh(1.5)).formula == "z = mine"
    np.testing.assert_allclose(companion.reparameterize(Rayleigh(1.5)).transform(0.3), inherited.transform(0.3), 1e-6)


def test_unknown_batch_shapes_in_a_graph():
    @tf.function(input_signature=[tf.TensorSpec([None, 2]), tf.TensorSpec([None, 2])])
    def draw(loc, scale):
        return companion.reparameterize(tfd.MultivariateNormalDiag(loc, scale)).sample(seed=1)

    z = draw(tf.zeros([3, 2]), tf.ones([3, 2]))
    np.testing.assert_allclose(z, companion.reparameterize(tfd.Normal(tf.zeros([3, 2]), 1.0)).sample(seed=1), rtol=1e-6)


STANDARD = [f for name, f in inspect.getmembers(noise, inspect.isfunction) if name in noise.__all__]


@given(
    make=st.sampled_from([f for f in STANDARD if f is not noise.standard_student_t]),
    shape=st.lists(st.integers(0, 3), max_size=3),
    front=st.lists(st.integers(0, 3), max_size=2),
    dtype=st.sampled_from(WIDTHS),
)
@settings(max_examples=40, deadline=None)
def test_noise_has_the_shape_and_width_asked_for(make, shape, front, dtype):
    eps = make(shape, dtype).sample(front, seed=0)
    assert eps.shape == front + shape
    assert eps.dtype == dtype
    assert np.isfinite(eps).all()
