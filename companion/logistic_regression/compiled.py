"""Functions compiled by XLA, without a warning for the fifth of them."""

import tensorflow as tf

__all__ = ["compiled"]


def compiled(function):
    """A `functools.partial` compiled by XLA.

    Not a closure: TensorFlow counts the tracings of a line of code, and would warn of the fifth model or run.
    """
    return tf.function(function, jit_compile=True, autograph=False)
