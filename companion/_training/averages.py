"""The running averages that a VAE reports."""

import keras
import tensorflow as tf

__all__ = ["Averages"]


class Averages(keras.metrics.Metric):
    """Means over the examples seen since the last reset, of several numbers at once, by name.

    One update of one variable takes the place of one metric a number. A batch counts by its number of examples, so that
    the average is the same at every batch size.

    Args:
        names: the names of the numbers.
    """

    def __init__(self, names, name="averages"):
        super().__init__(name=name, dtype="float64")
        self.names = tuple(names)
        self.sums = self.add_variable(
            [len(self.names) + 1], "zeros", dtype="float64", name="sums"
        )  # the last is the number of examples

    @property
    def num_examples(self):
        """How many examples have been counted."""
        return tf.convert_to_tensor(self.sums)[-1]

    def update_state(self, sums, num_examples):
        """Adds the sums over some examples, shape [num_names], and their number."""
        row = tf.concat([tf.cast(sums, tf.float64), tf.cast(num_examples, tf.float64)[None]], axis=0)
        self.sums.assign(tf.convert_to_tensor(self.sums) + row)

    def result(self):
        """The averages by name."""
        sums = tf.convert_to_tensor(self.sums)
        averages = tf.math.divide_no_nan(sums[:-1], sums[-1])
        return dict(zip(self.names, tf.unstack(averages), strict=True))
