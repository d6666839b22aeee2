"""The order in which `fit` goes through an array of examples: one that can be repeated and resumed.

Keras takes it from TensorFlow's global seed, which a run that is restored half way has not kept.
"""

import itertools

import keras
import numpy as np
import tensorflow as tf

from companion import _validation, seeds

__all__ = ["repeatable"]


def repeatable(given, seed):
    """The arguments of `keras.Model.fit` with shuffled batches in the place of an array that is to be shuffled.

    Args:
        given: the arguments by name; x, if it is an array, is a NumPy array.
        seed: what the order depends on, besides the number of steps taken.
    """
    if not isinstance(given["x"], np.ndarray):
        return given if isinstance(given["x"], keras.utils.PyDataset) else {**given, "shuffle": False}
    given = _split(given)
    callbacks = given.get("callbacks")
    if given.get("shuffle", True) is not True or isinstance(callbacks, keras.callbacks.CallbackList):
        return given
    batch_size = given.get("batch_size") or 32
    if isinstance(given.get("validation_data"), np.ndarray):
        given.setdefault("validation_batch_size", batch_size)
    order = _Order(seed)
    if given.get("steps_per_epoch") is None:
        batches = _shuffled(given["x"], batch_size, lambda: order.seed)
    else:  # an epoch is no pass through the data: passes are counted
        passes = itertools.count()
        batches = _shuffled(given["x"], batch_size, lambda: seeds.fold(order.first_seed, next(passes))).repeat()
    callbacks = [order, *tf.nest.flatten(callbacks or [])]
    return {**given, "x": batches, "batch_size": None, "shuffle": False, "callbacks": callbacks}


def _split(given):
    """The last examples of x as validation data, if `validation_split` asks for it, as in Keras."""
    share, x = given.get("validation_split", 0.0), given["x"]
    number = isinstance(share, (int, float)) and not isinstance(share, bool)
    if not number or not 0.0 <= share < 1.0:
        raise ValueError(_validation.message("validation_split", "a share in [0, 1)", _validation.describe(share)))
    given = {name: value for name, value in given.items() if name != "validation_split"}
    if not share or given.get("validation_data") is not None:
        return given
    start = int(len(x) * (1.0 - share))
    if not 0 < start < len(x):
        expected = f"a share that leaves examples on both sides of {len(x)}"
        raise ValueError(_validation.message("validation_split", expected, share))
    return {**given, "x": x[:start], "validation_data": x[start:]}


class _Order(keras.callbacks.Callback):
    """The seed of each epoch's order, made from the number of steps taken before it."""

    def __init__(self, seed):
        super().__init__()
        self._seed_of_run, self.seed, self.first_seed = seed, None, None

    def on_epoch_begin(self, epoch, logs=None):
        self.seed = seeds.fold(self._seed_of_run, self.model.optimizer.iterations.numpy())
        self.first_seed = self.seed if self.first_seed is None else self.first_seed


def _shuffled(array, batch_size, next_seed):
    """Batches of an array as a `tf.data.Dataset`, in a new order each time that it is gone through.

    Args:
        array: shape [num_examples, *event].
        batch_size: of all batches but the last.
        next_seed: a callable without arguments that is asked for a seed, an int32 tensor of shape [2], each time.
    """
    examples = tf.constant(array)
    batch_size = _validation.count("batch_size", batch_size)
    num_batches = -(-len(array) // batch_size)

    def one_pass(_):
        seed = tf.ensure_shape(tf.py_function(next_seed, [], tf.int32), [2])
        order = tf.random.experimental.stateless_shuffle(tf.range(len(array)), seed)
        places = tf.data.Dataset.range(num_batches)
        return places.map(lambda i: tf.gather(examples, order[i * batch_size : (i + 1) * batch_size]))

    dataset = tf.data.Dataset.from_tensors(0).flat_map(one_pass)
    return dataset.apply(tf.data.experimental.assert_cardinality(num_batches)).prefetch(tf.data.AUTOTUNE)
