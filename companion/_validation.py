"""The checks that every module shares, and the only wording of errors.

Contract: every message says which argument, what was expected, and what came. A check raises in eager
mode, where values are known; in a graph it becomes an assertion that runs with the graph. XLA drops
assertions, so a function compiled with ``jit_compile=True`` checks shapes and types only.
"""

import inspect
import numbers
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

FLOATS = (tf.float32, tf.float64)


def message(argument, expected, got):
    """One wording for all errors."""
    return f"{argument}: expected {expected}; got {got}."


def describe(x):
    """A short description of any object for the "got" of a message."""
    if tf.is_tensor(x) or isinstance(x, np.ndarray):
        kind = tf.as_dtype(x.dtype).name
        if x.shape.rank == 0 if tf.is_tensor(x) else x.ndim == 0:
            value = tf.get_static_value(x) if tf.is_tensor(x) else x
            return f"{value} ({kind})" if value is not None else f"a {kind} scalar"
        return f"{kind} of shape {list(x.shape)}"
    return f"{x!r} ({type(x).__name__})"


def count(argument, value, minimum=1):
    """Returns `value` as an int of at least `minimum`."""
    integral = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    if not integral or value < minimum:
        raise ValueError(message(argument, f"an integer of at least {minimum}", describe(value)))
    return int(value)


def positive_number(argument, value):
    """Returns `value` as a Python float above zero."""
    number = isinstance(value, (numbers.Real, np.ndarray)) and not isinstance(value, (bool, np.bool_))
    if not number or np.ndim(value) or not 0.0 < value < float("inf"):
        raise ValueError(message(argument, "a positive number", describe(value)))
    return float(value)


def eager(argument):
    """Refuses to go on inside a graph."""
    if not tf.executing_eagerly():
        raise RuntimeError(message(argument, "eager execution", "a call inside tf.function"))


def function(argument, value):
    """Returns `value` if it can be called."""
    if not callable(value):
        raise TypeError(message(argument, "a callable", describe(value)))
    return value


def one_of(argument, value, allowed):
    """Returns `value` if it is one of some strings."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(message(argument, f"one of {', '.join(allowed)}", describe(value)))
    return value


def true_or_false(argument, value):
    """Returns `value` if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(message(argument, "True or False", describe(value)))
    return bool(value)


def finite(argument, x):
    """Returns the tensor `x` if all its entries are finite numbers."""
    if not tf.executing_eagerly():
        return tf.debugging.assert_all_finite(x, message(argument, "finite numbers", "NaN or infinity"))
    bad = ~np.isfinite(x.numpy())
    if bad.any():
        example = x.numpy()[bad].flat[0]
        raise ValueError(
            message(argument, "finite numbers", f"{bad.sum()} of {bad.size} not finite, such as {example}")
        )
    return x


def as_array(argument, x):
    """Returns what NumPy makes of `x`."""
    try:
        return np.asarray(x)
    except (TypeError, ValueError) as error:
        raise TypeError(message(argument, "an array of numbers", describe(x))) from error


def positive(argument, x):
    """Returns the tensor `x` if all its entries are above zero."""
    if not tf.executing_eagerly():
        with tf.control_dependencies(
            [tf.debugging.assert_positive(x, message(argument, "positive numbers", "others"))]
        ):
            return tf.identity(x)
    if (x.numpy() <= 0).any():
        raise ValueError(message(argument, "positive numbers", f"{x.numpy().min()}"))
    return x


def between(argument, x, low, high):
    """Returns the array or tensor `x` if all its entries lie in [low, high]."""
    expected = f"numbers in [{low:g}, {high:g}]"
    if tf.is_tensor(x) and not tf.executing_eagerly():
        inside = tf.reduce_all((x >= low) & (x <= high))
        with tf.control_dependencies([tf.debugging.Assert(inside, [message(argument, expected, "others")])]):
            return tf.identity(x)
    least, most = np.min(x), np.max(x)
    if not low <= least <= most <= high:
        raise ValueError(message(argument, expected, f"values from {least:g} to {most:g}"))
    return x


def float_tensor(argument, value, dtype=None):
    """Returns `value` as a finite float32 or float64 tensor.

    Tensors, arrays, `tf.Variable`s and Keras variables keep their width; Python numbers and lists of them
    take `dtype` (float32 if None).
    """
    value = getattr(value, "value", value) if _is_keras_variable(value) else value
    try:
        if hasattr(value, "dtype"):
            tensor = tf.convert_to_tensor(value)
        else:
            tensor = tf.convert_to_tensor(value, dtype=dtype or tf.float32)
    except (TypeError, ValueError) as error:
        raise TypeError(message(argument, "numbers", describe(value))) from error
    if tensor.dtype not in FLOATS:
        raise TypeError(message(argument, "float32 or float64", describe(tensor)))
    return finite(argument, tensor)


def float_tensors(argument, values, dtype=None):
    """Returns a non-empty mapping of names to numbers as a dict of float tensors of one width.

    Python numbers take the width of the others; if there is none, `dtype` (float32 if None).
    """
    if not isinstance(values, Mapping) or not values:
        raise TypeError(message(argument, "a mapping of parameter names to tensors", describe(values)))
    if wrong := [name for name in values if not isinstance(name, str)]:
        raise TypeError(message(argument, "names that are strings", describe(wrong[0])))
    widths = {tf.as_dtype(v.dtype) for v in values.values() if hasattr(v, "dtype")}
    dtype = widths.pop() if len(widths) == 1 else dtype
    tensors = {name: float_tensor(f"{argument}[{name!r}]", v, dtype) for name, v in values.items()}
    if len({t.dtype for t in tensors.values()}) > 1:
        got = ", ".join(f"{name} {t.dtype.name}" for name, t in tensors.items())
        raise TypeError(message(argument, "one floating width for all parameters", got))
    return tensors


def array(argument, value, shape, meaning):
    """Returns numbers of a shape as a finite float64 array of its own; `shape` and `meaning` as for `same_shape`."""
    eager(argument)
    return same_shape(argument, float_tensor(argument, value, "float64"), shape, meaning).numpy().astype(float)


def positive_array(argument, value, shape, meaning):
    """As `array`, for numbers above zero."""
    return positive(argument, tf.constant(array(argument, value, shape, meaning))).numpy()


def in_range(argument, values):
    """Returns what was computed if float64 held it."""
    if not np.isfinite(values).all():
        raise ValueError(message(argument, "values in the range of float64", "infinity"))
    return values


def same_shape(argument, x, shape, meaning):
    """Returns the tensor `x` if its static shape is `shape` wherever both are known."""
    if not x.shape.is_compatible_with(shape):
        raise ValueError(message(argument, f"shape {list(shape)} ({meaning})", f"shape {list(x.shape)}"))
    return x


def distribution(argument, value):
    """Returns a distribution whose parameters satisfy its family's constraints.

    TFP checks parameters only when asked (`validate_args=True`); by default a negative scale gives numbers.
    This rebuilds the distribution, and those inside it, with the checks on, and keeps the original.
    """
    if not isinstance(value, tfd.Distribution):
        raise TypeError(message(argument, "a tfd.Distribution", describe(value)))
    for part in parts(value):
        if "validate_args" not in inspect.signature(type(part)).parameters:
            continue  # a subclass with a constructor of its own: its parts are checked
        try:
            part.copy(validate_args=True)
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            reason = str(getattr(error, "message", error)).strip().splitlines()[0].rstrip(". ")
            numbers = {k: _brief(v) for k, v in part.parameters.items() if _is_numeric(v)}
            got = ", ".join(f"{k}={v}" for k, v in numbers.items())
            expected = f"valid parameters of {type(part).__name__} ({reason})"
            raise ValueError(message(argument, expected, got)) from error
    return value


def parts(value):
    """The distribution and every distribution it is made of."""
    yield value
    for inner in [getattr(value, "distribution", None), *tf.nest.flatten(list(value.parameters.values()))]:
        if isinstance(inner, tfd.Distribution):
            yield from parts(inner)


def _is_keras_variable(value):
    return type(value).__module__.startswith("keras") and hasattr(value, "value")


def _is_numeric(value):
    if isinstance(value, bool):
        return False
    if isinstance(value, (list, tuple)):
        return len(value) > 0 and all(_is_numeric(entry) for entry in value)
    return isinstance(value, (int, float, np.ndarray, tf.Variable)) or tf.is_tensor(value)


def _brief(value):
    static = tf.get_static_value(value) if tf.is_tensor(value) else value
    return np.array2string(np.asarray(static), threshold=6, precision=4) if static is not None else "?"
