"""An example and its context as one vector, so that a conditional flow trains on arrays and streams as any other."""

import itertools
import math

import keras
import numpy as np
import tensorflow as tf

from companion import _validation
from companion._training import array_of_examples

__all__ = ["pack", "peek", "unpack"]


def pack(argument, x, context, flow):
    """Data for `fit`: x as it is, or each example with its context behind it.

    Args:
        argument: the name of x in an error.
        x: an array, a dataset, a `PyDataset` or a generator.
        context: an array for an array x, else None, for a stream is one of pairs.
        flow: a `Flow`.
    """
    if flow.context_dim is None:
        x = _validation.as_array(argument, x) if isinstance(x, list) else x
        if context is not None:
            expected = "nothing, for no bijector takes a context"
            raise ValueError(_validation.message("context", expected, _validation.describe(context)))
        return x
    if isinstance(x, (tuple, list)) and len(x) == 2 and context is None:
        x, context = x
    if isinstance(x, tf.data.Dataset):
        if not isinstance(x.element_spec, tuple) or len(x.element_spec) != 2:
            raise ValueError(_validation.message(argument, "a dataset of pairs (x, context)", f"{x.element_spec}"))
        for name, spec, shape in zip(
            (argument, "context"), x.element_spec, (flow.event_shape, (flow.context_dim,)), strict=True
        ):
            if not spec.shape.is_compatible_with([None, *shape]):
                expected = f"batches of shape {tf.TensorShape([None, *shape])}"
                raise ValueError(_validation.message(name, expected, f"shape {spec.shape}"))
        return x.map(lambda x, context: _joined(x, context, flow))
    if hasattr(x, "__next__"):
        return (_rows(argument, *_pair(argument, batch), flow) for batch in x)
    if isinstance(x, keras.utils.PyDataset):
        expected = "an array, a tf.data.Dataset of pairs or a generator of pairs, for a conditional flow"
        raise TypeError(_validation.message(argument, expected, type(x).__name__))
    return _rows(argument, x, context, flow)


def unpack(rows, event_shape, context_dim):
    """Examples, shape [batch, *event_shape], and contexts, shape [batch, context_dim] or None."""
    if context_dim is None:
        return rows, None
    size = math.prod(event_shape)
    if isinstance(rows, np.ndarray):
        return rows[:, :size].reshape([-1, *event_shape]), rows[:, size:]
    x, context = tf.split(rows, [size, context_dim], axis=-1)
    return tf.reshape(x, [-1, *event_shape]), context


def peek(argument, data, flow):
    """The data, as they were, and some of the examples that come first, as an array."""
    if data is None:
        raise ValueError(_validation.message(argument, "examples", "None"))
    if isinstance(data, tf.data.Dataset):
        first = next(iter(data.take(1)), None)
        if first is None:
            raise ValueError(_validation.message(argument, "at least one batch", "an empty dataset"))
    elif isinstance(data, keras.utils.PyDataset):
        first = data[0]
    elif hasattr(data, "__next__"):
        first = next(data)
        data = itertools.chain([first], data)
    else:
        first = data
    return data, flow.check_data(argument, keras.utils.unpack_x_y_sample_weight(first)[0])


def _rows(argument, x, context, flow):
    x = array_of_examples(argument, x, flow.variable_dtype, flow.event_shape)
    if context is None:
        raise ValueError(_validation.message("context", f"shape [{len(x)}, {flow.context_dim}]", "nothing"))
    context = array_of_examples("context", context, flow.variable_dtype, (flow.context_dim,))
    if len(context) != len(x):
        raise ValueError(_validation.message("context", f"one for each of the {len(x)} examples", f"{len(context)}"))
    return np.concatenate([x.reshape([len(x), -1]), context], axis=1)


def _joined(x, context, flow):
    size = math.prod(flow.event_shape)
    return tf.concat([tf.cast(v, flow.variable_dtype) for v in (tf.reshape(x, [-1, size]), context)], axis=1)


def _pair(argument, batch):
    if not isinstance(batch, tuple) or len(batch) != 2:
        raise ValueError(_validation.message(argument, "pairs (x, context)", _validation.describe(batch)))
    return batch
