"""Pixels that are 0 or 1: data for a Bernoulli likelihood, whose bound means nothing at intensities in between."""

import tensorflow as tf

from companion import _validation, seeds

__all__ = ["bernoulli", "dynamically_binarized"]


def dynamically_binarized(intensities, batch_size, seed=0, shuffle=True):
    """Batches whose pixels are 1 with the probability of their intensity, drawn and shuffled anew at every epoch.

    Each iteration over the dataset is an epoch. Two datasets of one seed give the same epochs, the first equal to
    the first and the second to the second; global seeds have no part in it. A new dataset begins with its first epoch,
    in a run that is resumed too. The last batch may be a smaller one.

    Args:
        intensities: float32 or float64 in [0, 1], shape [num_examples, ...].
        batch_size: how many examples a batch has.
        seed: as for `companion.seeds.as_seed`.
        shuffle: whether every epoch has its own order, or all have that of `intensities`.

    Returns:
        A `tf.data.Dataset` of known length with float32 batches of shape [batch_size, ...]. Say `shuffle=False` to
        `keras.Model.fit` too: the order of a dataset is its own business, and Keras warns if asked to shuffle it.

    Raises:
        RuntimeError: if called inside a `tf.function`.
        TypeError: if intensities are not floats, or seed is no seed.
        ValueError: if intensities are outside of [0, 1], empty, or batch_size is not a positive integer.

    Reference:
        Salakhutdinov and Murray (2008) draw the pixels of MNIST by chance; Burda, Grosse and Salakhutdinov (2016) anew
        at every epoch, against overfitting.

    Example:
        >>> batches = dynamically_binarized([[0.5, 0.0], [0.5, 1.0], [0.5, 0.5]], batch_size=2)
        >>> len(batches), [batch.shape.as_list() for batch in batches]
        (2, [[2, 2], [1, 2]])
    """
    _validation.eager("dynamically_binarized")
    intensities = tf.cast(_intensities(intensities), tf.float32)
    num_examples, batch_size = intensities.shape[0], _validation.count("batch_size", batch_size)
    key = seeds.as_seed(seed)
    epochs_begun = tf.Variable(0, trainable=False)

    def epoch(one):
        """The order of the examples, and a seed for each: a batch takes that of its first."""
        order_key, noise_key = seeds.split(tf.random.fold_in(key, epochs_begun.assign_add(one)), 2)
        order = tf.range(num_examples)
        if shuffle:
            order = tf.argsort(seeds.uniform([num_examples], order_key, tf.float64))
        return order, tf.random.stateless_uniform([num_examples, 2], noise_key, None, None, tf.int32)

    def draw(rows, keys):
        return bernoulli(tf.gather(intensities, rows), keys[0])

    # not flat_map: a dataset inside a dataset is set up anew at every epoch, at twice the cost
    batches = tf.data.Dataset.from_tensors(1).map(epoch).unbatch().batch(batch_size)
    return batches.map(draw, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def bernoulli(probs, seed):
    """Zeros and ones, float32, of the shape of probs."""
    return tf.cast(seeds.uniform(tf.shape(probs), seed) < probs, tf.float32)


def _intensities(value):
    """A checked tensor of intensities."""
    x = _validation.float_tensor("intensities", value)
    if not x.shape.rank or not x.shape.num_elements():
        expected = "at least one example, shape [num_examples, ...]"
        raise ValueError(_validation.message("intensities", expected, f"shape {list(x.shape)}"))
    least, most = (float(bound(x)) for bound in (tf.reduce_min, tf.reduce_max))
    if least < 0 or most > 1:
        raise ValueError(_validation.message("intensities", "numbers in [0, 1]", f"from {least} to {most}"))
    return x
