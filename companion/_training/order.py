"""The order in which `fit` goes through an array of examples: one that can be repeated and resumed.

Keras takes it from TensorFlow's global seed, which a run that is restored half way has not kept.
"""

import keras
import numpy as np
import tensorflow as tf

from companion import _validation, seeds

__all__ = ["batch_size_of", "split", "with_repeatable_order"]


def with_repeatable_order(given, seed, steps_per_execution, places):
    """The arguments of `keras.Model.fit` with shuffled batches in the place of an array that is to be shuffled.

    Args:
        given: the arguments by name; x, if it is an array, is a NumPy array.
        seed: what the order depends on, besides the number of steps taken.
        steps_per_execution: how many steps Keras takes at a time. It would run over the end of an epoch in a dataset
            without end.
        places: whether the batches are to hold the examples' places in the array, and not the examples.

    Returns:
        The arguments; the array as a tensor if the batches hold places in it, else None; and how many batches come at
        a time.
    """
    if not isinstance(given["x"], np.ndarray):
        return (given if isinstance(given["x"], keras.utils.PyDataset) else {**given, "shuffle": False}), None, 1
    given = split(given)
    callbacks = given.get("callbacks")
    shuffle = given.get("shuffle", True)
    if not shuffle or shuffle == "batch" or isinstance(callbacks, keras.callbacks.CallbackList):
        return given, None, 1
    batch_size = batch_size_of(given)
    if isinstance(given.get("validation_data"), np.ndarray):
        given["validation_batch_size"] = given.get("validation_batch_size") or batch_size
    examples, start = tf.constant(given["x"]), _Start()
    num_batches = -(-len(examples) // batch_size)
    whole_passes = given.get("steps_per_epoch") is None
    in_blocks = places and whole_passes and len(examples) % batch_size == 0  # one block a call, none across passes
    at_a_time = steps_per_execution if in_blocks else 1
    endless = in_blocks or not whole_passes or num_batches % steps_per_execution == 0

    def seed_of_pass(number):
        return seeds.fold(seed, start.steps(int(number) * num_batches, endless))

    batches = _shuffled_places(len(examples), batch_size, at_a_time, endless, seed_of_pass)
    if not places:
        batches = batches.map(lambda rows: tf.gather(examples, rows))
    instead = {"x": _plain(batches), "batch_size": None, "shuffle": False}
    if endless:
        instead["steps_per_epoch"] = given.get("steps_per_epoch") or num_batches
    instead["callbacks"] = [_Watch(start), *tf.nest.flatten(callbacks or [])]
    return {**given, **instead}, examples if places else None, at_a_time


def batch_size_of(given):
    """How many examples a batch has; 32 where nothing is said, as in Keras."""
    return 32 if given.get("batch_size") is None else _validation.count("batch_size", given["batch_size"])


def split(given):
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


class _Start:
    """How many steps had been taken when the first epoch and the present one began: not zero in a run that goes on.

    It does not know the model, for TensorFlow keeps for ever what the function of a `tf.py_function` closes over.
    """

    def __init__(self):
        self._first, self._present = None, None

    def note(self, steps_taken):
        """An epoch begins."""
        self._present = steps_taken
        self._first = steps_taken if self._first is None else self._first

    def steps(self, after, endless):
        """How many steps come before a pass: one of many in a row, or that of the present epoch."""
        return self._first + after if endless else self._present


class _Watch(keras.callbacks.Callback):
    """Tells a `_Start` when an epoch begins."""

    def __init__(self, start):
        super().__init__()
        self._start = start

    def on_epoch_begin(self, epoch, logs=None):
        self._start.note(int(self.model.steps_taken.numpy()))


def _shuffled_places(num_examples, batch_size, at_a_time, endless, seed_of_pass):
    """Batches of the numbers 0 to num_examples - 1 as a `tf.data.Dataset`; each pass has an order of its own.

    Keras makes one iterator of a dataset without end; of another, one or two every epoch, which costs tens of
    milliseconds.

    Args:
        num_examples: how many.
        batch_size: of all batches but the last of a pass.
        at_a_time: how many batches of one size come stacked, fewer at the end of a pass; 1 for one batch, not stacked.
        endless: whether passes follow each other without end.
        seed_of_pass: a callable from the number of a pass to a seed, an int32 tensor of shape [2].
    """
    num_batches = -(-num_examples // batch_size)
    num_elements = -(-num_batches // at_a_time)

    def one_pass(number):
        seed = tf.ensure_shape(tf.py_function(seed_of_pass, [number], tf.int32), [2])
        order = tf.random.experimental.stateless_shuffle(tf.range(num_examples), seed)
        batches = tf.data.Dataset.range(num_batches).map(lambda i: order[i * batch_size : (i + 1) * batch_size])
        return batches.batch(at_a_time) if at_a_time > 1 else batches

    passes = tf.data.Dataset.range(tf.int64.max if endless else 1).flat_map(one_pass)
    return passes.apply(
        tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY if endless else num_elements)
    )


def _plain(dataset):
    """The dataset without the rewriting and tuning of TensorFlow, which take longer than they save here."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return dataset.prefetch(2).with_options(options)
