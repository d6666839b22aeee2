"""Encoders and decoders made from widths: dense nets between a flat input and a linear output."""

import keras

from companion import _networks

__all__ = ["decoder", "encoder"]


def encoder(hidden, num_outputs, dtype, seed):
    """A net from examples of any shape to vectors of `num_outputs` numbers."""
    dense = _networks.dense([*hidden, num_outputs], dtype, seed)
    return keras.Sequential([keras.layers.Flatten(dtype=dtype), *dense], name="encoder")


def decoder(hidden, event_shape, dtype, seed):
    """A net from latent vectors to outputs of `event_shape`."""
    size = 1
    for length in event_shape:
        size *= length
    dense = _networks.dense([*hidden, size], dtype, seed)
    return keras.Sequential([*dense, keras.layers.Reshape(event_shape, dtype=dtype)], name="decoder")
