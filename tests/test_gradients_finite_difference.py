"""Finite differences: their mean is the exact difference quotient, and their variance grows as theory says."""

from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_mean, assert_variance
from cases import DIFFERENCES, PROBLEMS, in_width
from tensorflow_probability import distributions as tfd

from companion import gaussian
from companion.gradients import finite_difference, pathwise

N, STEP = 100_000, 0.1
CASES = [(kind, name) for name, p in PROBLEMS.items() if p.expectation for kind in DIFFERENCES]
cases = pytest.mark.parametrize(("kind", "name"), CASES, ids=["-".join(pair) for pair in CASES])
sides = pytest.mark.parametrize("common", [True, False], ids=["common", "independent"])


def quotient(name, parameter):
    """(F(theta + h) - F(theta - h)) / (2h), exactly."""
    p = PROBLEMS[name]
    right, left = (p.expectation(**{**p.params, parameter: p.params[parameter] + s * STEP}) for s in (1, -1))
    return (right - left) / (2 * STEP)


@cases
def test_the_mean_is_the_difference_quotient(kind, name):
    p = PROBLEMS[name]
    estimate = DIFFERENCES[kind](p.f, p.make, in_width(p.params, tf.float64), N, seed=7)
    found = 0
    for parameter in p.params:
        samples = estimate.samples[parameter].numpy()
        assert_mean(samples, quotient(name, parameter), shared_among=2 * len(CASES))
        try:
            assert_mean(-samples, quotient(name, parameter), shared_among=2 * len(CASES))
        except AssertionError:
            found += 1
    assert found > 0


def test_the_bias_is_there_and_goes_with_the_square_of_the_step():
    """d/dmu E z^3 = 3 (mu^2 + sigma^2); the quotient adds h^2."""
    params = in_width({"loc": 0.5}, tf.float64)

    def make(loc):
        return tfd.Normal(loc, tf.constant(0.2, tf.float64))

    for step in (0.5, 0.25):
        estimate = finite_difference(lambda z: z**3, make, params, N, seed=1, step=step)
        samples = estimate.samples["loc"].numpy()
        assert_mean(samples, 3 * (0.25 + 0.04) + step**2)
        with pytest.raises(AssertionError):
            assert_mean(samples, 3 * (0.25 + 0.04))


@sides
@pytest.mark.parametrize("name", ["normal_square", "normal_cosine", "normal_step"])
def test_the_variance_is_the_exact_one(common, name):
    p = PROBLEMS[name]
    options = {"step": STEP, "common_random_numbers": common}
    estimate = finite_difference(p.f, p.make, in_width(p.params, tf.float64), N, seed=7, **options)
    for parameter, exact in gaussian.gradient_variance(
        p.f, **p.params, estimator="finite_difference", **options
    ).items():
        samples = estimate.samples[parameter].numpy()
        assert_variance(samples, exact, shared_among=12)
        with pytest.raises(AssertionError):
            assert_variance(1.2 * samples, exact, shared_among=12)


def test_each_sample_and_entry_has_its_own_quotient():
    """For a weighted sum of squares a central difference at common random numbers is the pathwise gradient."""
    params = in_width({"loc": [0.5, -1.0], "scale": 0.7}, tf.float64)

    def weighted(z):
        return tf.linalg.matvec(z**2, tf.constant([3.0, 5.0], tf.float64))

    estimate = finite_difference(weighted, tfd.Normal, params, 50, seed=2)
    path = pathwise(weighted, tfd.Normal, params, 50, seed=2)
    for name in params:
        np.testing.assert_allclose(estimate.samples[name], path.samples[name], rtol=1e-9, atol=1e-9)


def test_a_step_out_of_the_domain_is_refused():
    for step in (1.0, 1.5):
        with pytest.raises(ValueError, match=r"step: expected a step that keeps.*params\['scale'\] -1"):
            finite_difference(tf.abs, tfd.Normal, {"loc": 0.0, "scale": 1.0}, 10, seed=0, step=step)


@pytest.mark.parametrize("step", [0.0, -0.1, float("nan"), float("inf"), "0.1", True, None])
def test_steps_are_positive_numbers(step):
    with pytest.raises(ValueError, match="step: expected a positive number"):
        finite_difference(tf.abs, tfd.Normal, {"loc": 0.0, "scale": 1.0}, 10, seed=0, step=step)


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="common_random_numbers: expected True or False; got 'yes'"):
        finite_difference(tf.abs, tfd.Normal, {"loc": 0.0, "scale": 1.0}, 10, seed=0, common_random_numbers="yes")
    with pytest.raises(ValueError, match="num_samples: expected an integer of at least 1"):
        finite_difference(tf.abs, tfd.Normal, {"loc": 0.0, "scale": 1.0}, 0, seed=0)
    with pytest.raises(ValueError, match=r"f: expected one value a sample"):
        finite_difference(tf.reduce_sum, tfd.Normal, {"loc": 0.0, "scale": 1.0}, 10, seed=0)


def test_a_step_that_rounding_swallows_is_refused():
    for loc, step in ((np.float32(1e6), 1e-2), (np.float32(1.0), 1e-8), (np.float64(1.0), 1e-17)):
        with pytest.raises(ValueError, match=r"step: expected a step that changes params\['loc'\] in float"):
            finite_difference(tf.identity, lambda loc: tfd.Normal(loc, tf.ones_like(loc)), {"loc": loc}, 10, 0, step)


def test_the_step_is_the_one_that_rounding_made():
    """At 1e5 in float32 a step of 0.01 becomes 0.0078: the quotient is of that."""
    params = {"loc": np.float32(1e5)}
    estimate = finite_difference(tf.identity, lambda loc: tfd.Normal(loc, 1.0), params, 4000, 0)
    assert_mean(estimate.samples["loc"].numpy(), 1.0)


def test_members_that_stand_still_add_no_rounding():
    """In a batch of separate problems with a large constant in f, the others cancel exactly."""
    params = in_width({"loc": np.ones(50), "scale": np.ones(50)}, tf.float32)
    alone = in_width({"loc": 1.0, "scale": 1.0}, tf.float32)

    def lifted(z):
        return (z - 3.0) ** 2 + 1000.0

    spread = finite_difference(lifted, tfd.Normal, params, 4000, 0).variance["loc"].numpy()
    one = float(finite_difference(lifted, tfd.Normal, alone, 4000, 0).variance["loc"])
    assert np.abs(spread / one - 1).max() < 0.3


def test_a_parameter_that_is_not_used_is_an_error():
    with pytest.raises(ValueError, match=r"params\['unused'\]: expected a path"):
        finite_difference(tf.abs, lambda loc, unused: tfd.Normal(loc, 1.0), {"loc": 0.0, "unused": 1.0}, 10, 0)


def test_fractions_are_numbers():
    estimate = finite_difference(tf.abs, tfd.Normal, {"loc": 0.0, "scale": 1.0}, 10, 0, step=Fraction(1, 100))
    assert estimate.samples["loc"].shape == [10]
