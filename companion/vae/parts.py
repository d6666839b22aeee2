"""Long computations, part by part, with a progress bar."""

import sys

import keras
import tensorflow as tf

__all__ = ["in_parts"]

_MOST_NUMBERS = 2**22  # of one tensor, 16 MB in float32


def in_parts(function, x, numbers_a_row):
    """function(first_row, rows) of successive rows of x, put together; at once inside a graph.

    A bar shows the progress on a terminal, if there are many parts.
    """
    rows = max(1, _MOST_NUMBERS // numbers_a_row)
    if not tf.executing_eagerly() or len(x) <= rows:
        return function(0, x)
    starts = range(0, len(x), rows)
    bar = keras.utils.Progbar(len(starts), verbose=int(sys.stdout.isatty() and len(starts) > 4))
    parts = []
    for start in starts:
        parts.append(function(start, x[start : start + rows]))
        bar.add(1)
    return tf.concat(parts, axis=0)
