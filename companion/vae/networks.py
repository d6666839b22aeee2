"""Encoders and decoders made from widths.

Contract: dense layers with rectified linear units between a flat input and a linear output. A seed, a sequence of
integers, decides the initial weights.
"""

import math
import re
from collections.abc import Sequence

import keras

from companion import _validation, seeds

__all__ = ["decoder", "encoder", "require_outputs", "widest_output", "widths"]


def widths(argument, value):
    """A tuple of widths if `value` is a sequence of them, else None, for a Keras model or layer."""
    if isinstance(value, keras.layers.Layer):
        return None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_validation.count(f"{argument}[{i}]", width) for i, width in enumerate(value))
    raise TypeError(_validation.message(argument, "a Keras model or a list of widths", _validation.describe(value)))


def encoder(hidden, num_outputs, dtype, seed):
    """A net from examples of any shape to vectors of `num_outputs` numbers."""
    dense = _dense([*hidden, num_outputs], dtype, seed)
    return keras.Sequential([keras.layers.Flatten(dtype=dtype), *dense], name="encoder")


def decoder(hidden, event_shape, dtype, seed):
    """A net from latent vectors to outputs of `event_shape`."""
    size = 1
    for length in event_shape:
        size *= length
    dense = _dense([*hidden, size], dtype, seed)
    return keras.Sequential([*dense, keras.layers.Reshape(event_shape, dtype=dtype)], name="decoder")


def require_outputs(argument, net, input_shape, output_shape, meaning):
    """Builds a net for inputs of a shape (without the batch), and refuses it if its outputs do not fit."""
    try:
        outputs = net(keras.Input(input_shape, dtype=net.compute_dtype))
    except (TypeError, ValueError) as error:
        expected = f"a net that takes shape {_batch_of(input_shape)}"
        raise ValueError(_validation.message(argument, expected, _reason(error))) from error
    if not isinstance(outputs, keras.KerasTensor) or tuple(outputs.shape[1:]) != tuple(output_shape):
        got = f"shape {_batch_of(outputs.shape[1:])}" if isinstance(outputs, keras.KerasTensor) else "several outputs"
        expected = f"outputs of shape {_batch_of(output_shape)}, {meaning}"
        raise ValueError(_validation.message(argument, expected, got))


def _reason(error):
    """The line of an error of Keras that says what is wrong, without its colours and its wrapping."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()
    return next((line.strip().rstrip(".") for line in lines if line and "Exception encountered" not in line), error)


def widest_output(net):
    """The size of the largest output of a net's layers for one example, as far as Keras knows it; 0 if it does not."""
    if layers := getattr(net, "layers", None):
        return max(map(widest_output, layers))
    shape = getattr(getattr(net, "output", None), "shape", None)  # none if it was never called on a symbol
    return math.prod(shape[1:]) if shape and None not in shape[1:] else 0


def _batch_of(shape):
    return f"[{', '.join(['batch', *map(str, shape)])}]"


def _dense(sizes, dtype, seed):
    """Dense layers, the last of them linear; each has a seed of its own."""
    return [
        keras.layers.Dense(
            size,
            activation="relu" if place < len(sizes) - 1 else None,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seeds.integer(*seed, place)),
            dtype=dtype,
        )
        for place, size in enumerate(sizes)
    ]
