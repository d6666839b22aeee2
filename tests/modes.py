"""The three modes of execution, as functions that run a function in one of them."""

import tensorflow as tf


def eager(function):
    """Runs as it stands."""
    return function()


def graph(function):
    """Runs inside `tf.function`."""
    return tf.function(function, autograph=False)()


def xla(function):
    """Runs compiled by XLA."""
    return tf.function(function, autograph=False, jit_compile=True)()


MODES = {"eager": eager, "graph": graph, "xla": xla}
