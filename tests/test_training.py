"""Models that are trained on examples alone, by the smallest of them: the mean of a normal distribution.

What a whole model adds is tested with the models: `test_vae_training`, `test_flows_training`.
"""

from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from companion import seeds
from companion._training import TrainedOnExamples, array_of_examples, in_chunks


class Terms(NamedTuple):
    loss: tf.Tensor
    noise: tf.Tensor

    def stacked(self):
        return tf.stack(self)


class Mean(TrainedOnExamples):
    """The loss of an example is half its squared distance from the mean; its noise is reported, and not used."""

    metric_names = ("loss", "noise")
    example_shape = (2,)

    def __init__(self):
        super().__init__(seed=3)
        self.mean = self.add_weight(shape=(2,), initializer="zeros", name="mean")
        self.built = True

    def build(self, input_shape):
        """Nothing."""

    def check_data(self, argument, x):
        return array_of_examples(argument, x, "float32", self.example_shape)

    def noise_for(self, first_row, num_examples, seed):
        return seeds.uniform_rows(first_row, [num_examples, 1], seed)[:, 0]

    def terms(self, x, eps, training=False):
        return Terms(0.5 * tf.reduce_sum((x - self.mean) ** 2, axis=1), eps)


@pytest.fixture
def examples():
    return np.random.default_rng(0).standard_normal((50, 2)).astype("float32")


def compiled(**options):
    model = Mean()
    model.compile(keras.optimizers.SGD(0.5), **options)
    return model


def test_a_step_is_that_of_the_mean_over_the_batch(examples):
    model = compiled()
    model.fit(examples, batch_size=50, epochs=1, verbose=0)
    np.testing.assert_allclose(model.mean.numpy(), 0.5 * examples.mean(0), rtol=1e-5)


def test_an_epoch_takes_every_example_once(examples):
    rate = 1e-4  # so small that the order does not count
    model = Mean()
    model.compile(keras.optimizers.SGD(rate))
    model.fit(examples, batch_size=10, epochs=1, verbose=0)
    np.testing.assert_allclose(model.mean.numpy(), rate * examples.sum(0) / 10, atol=2 * rate**2 * 25)


def test_the_last_batch_may_be_smaller(examples):
    model = compiled()
    model.fit(examples, batch_size=20, epochs=2, verbose=0)
    assert int(model.steps_taken.numpy()) == 6


@pytest.mark.parametrize("batch_size", [50, 20, 7])
def test_evaluation_is_one_number_at_every_batch_size(examples, batch_size):
    model = compiled()
    logs = model.evaluate(examples, batch_size=batch_size, return_dict=True, verbose=0)
    np.testing.assert_allclose(logs["loss"], 0.5 * (examples**2).sum(1).mean(), rtol=1e-5)
    noise = model.noise_for(0, 50, model.evaluation_seed)
    np.testing.assert_allclose(logs["noise"], np.mean(noise), rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"jit_compile": True}, {"jit_compile": True, "steps_per_execution": 5}])
def test_the_order_repeats_and_all_ways_to_run_agree(examples, options):
    runs = []
    for chosen in ({}, options):
        model = compiled(**chosen)
        model.fit(examples, batch_size=10, epochs=3, verbose=0)
        runs.append(model.mean.numpy())
    np.testing.assert_allclose(*runs, rtol=1e-5, atol=1e-7)


def test_the_seed_decides_the_order(examples):
    means = []
    for seed in (1, 2):
        model = compiled()
        model.seed = seed
        model.fit(examples, batch_size=10, epochs=1, verbose=0)
        means.append(model.mean.numpy())
    assert np.abs(means[0] - means[1]).max() > 1e-4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((5, 3)), r"x: expected at least one example, shape \[num_examples, 2\]; got shape \[5, 3\]"),
        (np.full((5, 2), np.nan), "x: expected finite numbers"),
        (np.zeros((0, 2)), "x: expected at least one example"),
        (None, "x: expected examples; got None"),
    ],
)
def test_bad_examples_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        compiled().fit(wrong, verbose=0)


def test_targets_and_losses_are_refused(examples):
    with pytest.raises(ValueError, match="y: expected nothing"):
        compiled().fit(examples, examples, verbose=0)
    with pytest.raises(ValueError, match="compile's loss: expected nothing"):
        Mean().compile("sgd", loss="mse")


def test_chunks_are_put_together_in_order(monkeypatch):
    monkeypatch.setattr("companion._training.chunks.MOST_NUMBERS", 6)
    seen = []

    def double(first_row, rows):
        seen.append(first_row)
        return 2 * rows

    x = tf.range(10)
    np.testing.assert_array_equal(in_chunks(double, x, numbers_a_row=2), 2 * np.arange(10))
    assert seen == [0, 3, 6, 9]
