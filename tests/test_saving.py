"""Distributions as JSON and back."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _saving
from companion.bayesian_layers import scale_mixture

DISTRIBUTIONS = {
    "numbers": lambda: tfd.Normal(0.5, 2.0),
    "scalars of NumPy": lambda: tfd.Normal(np.float32(0.5), np.float32(2.0)),
    "arrays": lambda: tfd.Laplace(np.array([0.1, 0.2]), np.array([1.0, 3.0])),
    "tensors": lambda: tfd.StudentT(tf.constant(4.0), tf.zeros([2, 3]), 1.0),
    "of a distribution": lambda: tfd.Independent(tfd.Normal(tf.zeros([2]), [1.0, 2.0]), 1),
    "repeated": lambda: tfd.Sample(tfd.Normal(0.0, 1.0), [3, 2]),
    "of two": scale_mixture,
    "of a list": lambda: tfd.Mixture(tfd.Categorical(probs=[0.5, 0.5]), [tfd.Normal(0.0, 1.0), tfd.Laplace(0.0, 1.0)]),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_round_trip_keeps_the_density(name):
    given = DISTRIBUTIONS[name]()
    read = _saving.from_config(json.loads(json.dumps(_saving.to_config("prior", given))))
    assert type(read) is type(given)
    assert read.dtype == given.dtype
    z = given.sample(5, seed=[1, 2])
    np.testing.assert_array_equal(read.log_prob(z), given.log_prob(z))


def test_layers_go_through_keras():
    read = _saving.from_config(_saving.to_config("prior", keras.layers.Dense(3, name="three")))
    assert (read.units, read.name) == (3, "three")


@pytest.mark.parametrize("value", [tfd.Normal, object(), {"a": 1}, lambda: None])
def test_other_things_are_refused(value):
    with pytest.raises(TypeError, match="prior: expected something made from numbers"):
        _saving.to_config("prior", value)
