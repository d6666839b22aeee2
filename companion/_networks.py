"""Dense networks made from widths, and the check of nets that come from outside.

Contract: dense layers with rectified linear units, the last of them linear. A seed, a sequence of integers, decides the
initial weights.
"""

import math
import re
from collections.abc import Sequence

import keras
import tensorflow as tf

from companion import _validation, seeds

__all__ = ["dense", "require_outputs", "shape_of_batch", "widest_output", "widths"]


def widths(argument, value):
    """A tuple of widths if `value` is a sequence of them, else None, for a Keras model or layer."""
    if isinstance(value, keras.layers.Layer):
        return None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_validation.count(f"{argument}[{i}]", width) for i, width in enumerate(value))
    raise TypeError(_validation.message(argument, "a Keras model or a list of widths", _validation.describe(value)))


def dense(sizes, dtype, seed, make=keras.layers.Dense, last_scale=None, num_inputs=None):
    """Dense layers, the last of them linear; each has a seed of its own.

    Args:
        sizes: the widths of the hidden layers and of the output.
        dtype: of the layers.
        seed: a sequence of non-negative integers.
        make: a callable like `keras.layers.Dense`.
        last_scale: the standard deviation of the last layer's initial weights times the root of its inputs; None
            for that of the others.
        num_inputs: if it is given, hidden biases start uniform on plus and minus one over the root of a layer's
            inputs, else at zero. From few inputs, zero biases would bend all units at one place.
    """
    inputs = [num_inputs, *sizes]

    def initializer(place):
        own = seeds.integer(*seed, place)
        if last_scale is None or place < len(sizes) - 1:
            return keras.initializers.GlorotUniform(seed=own)
        return keras.initializers.VarianceScaling(last_scale**2, seed=own)

    def bias_initializer(place):
        if num_inputs is None or place == len(sizes) - 1:
            return "zeros"
        most = inputs[place] ** -0.5
        return keras.initializers.RandomUniform(-most, most, seed=seeds.integer(*seed, place, 1))

    return [
        make(
            size,
            activation="relu" if place < len(sizes) - 1 else None,
            kernel_initializer=initializer(place),
            bias_initializer=bias_initializer(place),
            dtype=dtype,
        )
        for place, size in enumerate(sizes)
    ]


def require_outputs(argument, net, input_shape, output_shape, meaning):
    """Builds a net for inputs of a shape (without the batch), and refuses it if its outputs do not fit.

    Returns:
        The symbolic outputs.
    """
    for declared in getattr(net, "inputs", None) or []:
        if not tf.TensorShape(declared.shape[1:]).is_compatible_with(input_shape):
            expected, got = (f"a net that takes shape {shape_of_batch(s)}" for s in (input_shape, declared.shape[1:]))
            raise ValueError(_validation.message(argument, expected, got))
    try:
        outputs = net(keras.Input(input_shape, dtype=net.compute_dtype))
    except (TypeError, ValueError) as error:
        expected = f"a net that takes shape {shape_of_batch(input_shape)}"
        raise ValueError(_validation.message(argument, expected, _reason(error))) from error
    if not isinstance(outputs, keras.KerasTensor) or tuple(outputs.shape[1:]) != tuple(output_shape):
        got = (
            f"shape {shape_of_batch(outputs.shape[1:])}"
            if isinstance(outputs, keras.KerasTensor)
            else "several outputs"
        )
        expected = f"outputs of shape {shape_of_batch(output_shape)}, {meaning}"
        raise ValueError(_validation.message(argument, expected, got))
    return outputs


def widest_output(net):
    """The size of the largest output of a net's layers for one example, as far as Keras knows it; 0 if it does not."""
    if layers := getattr(net, "layers", None):
        return max(map(widest_output, layers))
    shape = getattr(getattr(net, "output", None), "shape", None)  # none if it was never called on a symbol
    return math.prod(shape[1:]) if shape and None not in shape[1:] else 0


def shape_of_batch(shape):
    """The shape of a batch of something, in words."""
    return f"[{', '.join(['batch', *map(str, shape)])}]"


def _reason(error):
    """The line of an error of Keras that says what is wrong, without its colours and its wrapping."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()
    return next((line.strip().rstrip(".") for line in lines if line and "Exception encountered" not in line), error)
