"""Long computations, chunk by chunk, with a progress bar."""

import sys

import keras
import tensorflow as tf

__all__ = ["MOST_NUMBERS", "in_chunks"]

MOST_NUMBERS = 2**22  # of one tensor, 16 MB in float32


def in_chunks(function, x, numbers_a_row):
    """function(first_row, rows) of successive rows of x, put together; at once inside a graph.

    A bar shows the progress on a terminal, if there are many chunks.
    """
    rows = max(1, MOST_NUMBERS // numbers_a_row)
    if not tf.executing_eagerly() or len(x) <= rows:
        return function(0, x)
    starts = range(0, len(x), rows)
    bar = keras.utils.Progbar(len(starts), verbose=int(sys.stdout.isatty() and len(starts) > 4))
    chunks = []
    for start in starts:
        chunks.append(function(start, x[start : start + rows]))
        bar.add(1)
    return tf.concat(chunks, axis=0)
