"""Data on its way into a model: checked once, where it enters, whatever form it has.

Contract: `checked` returns data that give the same batches, and raise when they meet one that `check` refuses:
an array at once, a stream when the batch comes. The check is the model's `check_data`, which takes (argument, batch)
and returns the batch as a NumPy array of the right width, or raises.
"""

import re
import weakref

import keras
import numpy as np
import tensorflow as tf

from companion import _validation

__all__ = ["array_of_examples", "checked", "error_inside"]


def array_of_examples(argument, x, dtype, event_shape):
    """Finite numbers as an array of `dtype` and shape [num_examples, *event_shape] (any event if that is None)."""
    array = _validation.as_array(argument, x)
    if array.dtype.kind not in "fbiu":
        raise TypeError(_validation.message(argument, "an array of numbers", _validation.describe(x)))
    wanted = ["num_examples", *(event_shape or ["..."])]
    fits = array.ndim >= 2 if event_shape is None else array.shape[1:] == tuple(event_shape)
    if array.ndim < 2 or not fits or not array.size:
        expected = f"at least one example, shape [{', '.join(map(str, wanted))}]"
        raise ValueError(_validation.message(argument, expected, f"shape {list(array.shape)}"))
    array = array.astype(dtype, copy=False)
    if not np.isfinite(array).all():
        bad = array[~np.isfinite(array)]
        got = f"{bad.size} of {array.size} not finite, such as {bad[0]}"
        raise ValueError(_validation.message(argument, "finite numbers", got))
    return array


def checked(argument, data, model):
    """The data, checked by `model.check_data`; `model.build_for` is told the shape of an example."""
    if data is None:
        raise ValueError(_validation.message(argument, "examples", "None"))
    if isinstance(data, tf.data.Dataset):
        return _checked_dataset(argument, data, model)
    if isinstance(data, keras.utils.PyDataset):
        model.check_data(argument, _only_x(argument, data[0]))
        return _CheckedPyDataset(argument, data, model.check_data)
    if hasattr(data, "__next__"):
        return ((model.check_data(argument, _only_x(argument, batch)),) for batch in data)
    return model.check_data(argument, _only_x(argument, data) if isinstance(data, tuple) else data)


def error_inside(error):
    """The error of a check that was raised inside a stream, or None if TensorFlow's error is about something else."""
    found = re.search(r"(Value|Type)Error: (.*: expected .*; got .*\.)$", str(error), re.MULTILINE)
    return found and {"Value": ValueError, "Type": TypeError}[found[1]](found[2])


def _only_x(argument, batch):
    """x of a batch that is x or (x,) or (x, None)."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    if y is not None or sample_weight is not None:
        raise ValueError(_validation.message(argument, "examples alone", "targets or weights beside them"))
    return x


def _checked_dataset(argument, dataset, model):
    """The dataset; what can be known from its specification is checked at once, the numbers batch by batch."""
    spec = _only_x(argument, dataset.element_spec)
    if not isinstance(spec, tf.TensorSpec):
        raise ValueError(_validation.message(argument, "batches that are one tensor", type(spec).__name__))
    if dataset.cardinality() == 0:
        raise ValueError(_validation.message(argument, "at least one batch", "an empty dataset"))
    if model.example_shape is None:
        if spec.shape.rank is None or spec.shape.rank < 2 or not spec.shape[1:].is_fully_defined():
            expected = "batches of a known shape, [batch, *event], for a model that is not built"
            raise ValueError(_validation.message(argument, expected, f"shape {spec.shape}"))
        model.build_for(spec.shape[1:])
    shape = tf.TensorShape([None, *model.example_shape])
    if not spec.shape.is_compatible_with(shape):
        raise ValueError(_validation.message(argument, f"batches of shape {shape}", f"shape {spec.shape}"))

    check_data = weakref.WeakMethod(model.check_data)  # TensorFlow keeps the function of a `tf.numpy_function` for ever

    def check(x):
        return check_data()(argument, x)

    def on_batch(*batch):
        x = _only_x(argument, batch if len(batch) > 1 else batch[0])
        return tf.ensure_shape(tf.numpy_function(check, [x], model.variable_dtype, stateful=False), shape)

    return dataset.map(on_batch).prefetch(tf.data.AUTOTUNE)


class _CheckedPyDataset(keras.utils.PyDataset):
    def __init__(self, argument, data, check):
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self._argument, self._data, self._check = argument, data, check

    @property
    def num_batches(self):
        return self._data.num_batches

    def __getitem__(self, index):
        return (self._check(self._argument, _only_x(self._argument, self._data[index])),)

    def on_epoch_begin(self):
        self._data.on_epoch_begin()

    def on_epoch_end(self):
        self._data.on_epoch_end()
