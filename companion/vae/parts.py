"""A part of a model by its name, or itself."""

import keras

from companion import _validation

__all__ = ["find"]


def find(argument, part, named, method, dtype):
    """The part.

    Args:
        argument: its name in an error.
        part: one of the names, or a Keras layer with the method.
        named: a mapping of names to classes.
        method: what a layer must have to be such a part.
        dtype: of a part that is made here.
    """
    if isinstance(part, keras.layers.Layer) and callable(getattr(part, method, None)):
        return part
    if not isinstance(part, str) or part not in named:
        names = ", ".join(f'"{name}"' for name in named)
        expected = f"one of {names}, or an object of companion.vae that takes its place"
        raise ValueError(_validation.message(argument, expected, _validation.describe(part)))
    return named[part](dtype=dtype)
