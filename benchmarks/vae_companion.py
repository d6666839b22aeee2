"""`companion.VAE` through `compile("adam")` and `fit`, as it stands and with Keras' two settings for speed."""

import time

import keras
import tensorflow as tf

from companion.vae import VAE


class Program:
    """A model that is trained anew after each `start`."""

    def __init__(self, data, **compile_options):
        self._data = data
        self._model = VAE([data.hidden], [data.hidden], latent_dim=data.latent, seed=0)
        self._model.build((None, data.x.shape[1]))
        self._model.compile("adam", **compile_options)
        self._model.optimizer.build(self._model.trainable_variables)
        self._optimizer_at_start = [variable.numpy() for variable in self._model.optimizer.variables]

    def start(self):
        """Sets the initial weights."""
        weights = self._data.weights()
        self._model.encoder.set_weights(weights[:4])
        self._model.decoder.set_weights(weights[4:])
        for variable, value in zip(self._model.optimizer.variables, self._optimizer_at_start, strict=True):
            variable.assign(value)

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        clock = _Clock()
        self._model.fit(self._data.x, batch_size=self._data.batch, epochs=epochs, verbose=0, callbacks=[clock])
        return clock.seconds

    def weights(self):
        """The weights now."""
        return [*self._model.encoder.get_weights(), *self._model.decoder.get_weights()]


class _Clock(keras.callbacks.Callback):
    """The seconds of each epoch, from the call of `fit` or the end of the epoch before."""

    def __init__(self):
        super().__init__()
        self.seconds, self._began = [], time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        self.seconds.append(now - self._began)
        self._began = now


def programs(data):
    """Every way of running it, by name."""
    table = {"companion, as it stands": Program(data)}
    for jit_compile in (False, True):
        for steps in sorted({1, min(10, data.steps), min(100, data.steps)}):
            table[f"companion, {'XLA' if jit_compile else 'no XLA'}, {steps} a call"] = Program(
                data, jit_compile=jit_compile, steps_per_execution=steps
            )
    return table


def matmul(a, b):
    """A function that multiplies two arrays once."""
    a, b = tf.constant(a), tf.constant(b)
    return lambda: tf.matmul(a, b).numpy()
