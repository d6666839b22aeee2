"""One wording of errors: argument, expected, got."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import _validation


def test_message():
    assert _validation.message("n", "one", "two") == "n: expected one; got two."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (tf.constant(2.5), "2.5 (float32)"),
        (np.zeros([2, 3]), "float64 of shape [2, 3]"),
        ("a", "'a' (str)"),
        (None, "None (NoneType)"),
    ],
)
def test_describe(value, text):
    assert _validation.describe(value) == text


def test_float_tensor_takes_what_users_have():
    for value in (1.5, [1.0, 2.0], np.float32(1), tf.constant(1.0), tf.Variable(1.0), keras.Variable(1.0)):
        assert _validation.float_tensor("x", value).dtype == tf.float32
    assert _validation.float_tensor("x", np.zeros(2)).dtype == tf.float64
    assert _validation.float_tensor("x", 3, tf.float64).dtype == tf.float64


def test_python_numbers_take_the_width_of_the_others():
    tensors = _validation.float_tensors("params", {"a": np.zeros(2), "b": 1.0})
    assert {t.dtype for t in tensors.values()} == {tf.float64}


def test_keras_variables_stay_differentiable():
    variable = keras.Variable(2.0)
    with tf.GradientTape() as tape:
        y = _validation.float_tensor("x", variable) ** 2
    assert float(tape.gradient(y, variable.value)) == 4.0


def test_positive():
    with pytest.raises(ValueError, match=r"s: expected positive numbers; got -2\.0"):
        _validation.positive("s", tf.constant([1.0, -2.0]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="s: expected positive"):
        tf.function(lambda x: _validation.positive("s", x))(tf.constant(-1.0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: tfd.Normal(0.0, -1.0),
        lambda: tfd.LogNormal(0.0, -1.0),
        lambda: tfd.Independent(tfd.Normal([0.0, 0.0], [1.0, -1.0]), 1),
        lambda: tfd.Gamma(-1.0, 1.0),
        lambda: tfd.Uniform(1.0, 0.0),
        lambda: tfd.TransformedDistribution(tfd.Exponential(-1.0), tfb.Exp()),
    ],
)
def test_a_distribution_outside_its_domain_is_refused_however_deep(make):
    with pytest.raises(ValueError, match=r"d: expected valid parameters of \w+ \(.+\); got"):
        _validation.distribution("d", make())


def test_valid_distributions_are_returned_as_they_are():
    d = tfd.Normal(0.0, 1.0)
    assert _validation.distribution("d", d) is d


def test_eager_execution_can_be_asked_for():
    _validation.eager("here")
    with pytest.raises(RuntimeError, match=r"here: expected eager execution; got a call inside tf\.function"):
        tf.function(lambda: _validation.eager("here"))()
