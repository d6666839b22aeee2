"""`companion.bayesian_layers` through `compile("adam", loss)` and `fit`.

As it stands, that is with arrays and nothing else, and with what makes Keras faster.
"""

import time

import bnn_problem
import keras
import numpy as np
import tensorflow as tf

from companion import bayesian_layers as bl

_LAYERS = {
    "reparameterization": (bl.Conv2DReparameterization, bl.DenseReparameterization),
    "flipout": (bl.Conv2DFlipout, bl.DenseFlipout),
    "local reparameterization": (bl.Conv2DLocalReparameterization, bl.DenseLocalReparameterization),
}


class Program:
    """A model that is trained anew after each `start`."""

    def __init__(self, data, method, *, dataset=False, **compile_options):
        self._data, self._given = data, _dataset(data) if dataset else _arrays(data)
        self._model = _network(data, *_LAYERS[method])
        self._model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), **compile_options)
        self._model.optimizer.build(self._model.trainable_variables)
        self._optimizer_at_start = [variable.numpy() for variable in self._model.optimizer.variables]

    def start(self):
        """Sets the initial posterior."""
        for place, (variable, value) in enumerate(zip(self._variables(), self._data.posterior(), strict=True)):
            variable.assign(np.log(np.expm1(value)) if place % 2 else value)
        for variable, value in zip(self._model.optimizer.variables, self._optimizer_at_start, strict=True):
            variable.assign(value)

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        clock = _Clock()
        self._model.fit(**self._given, epochs=epochs, verbose=0, callbacks=[clock])
        return clock.seconds

    def posterior(self):
        """The posterior now."""
        values = [variable.numpy() for variable in self._variables()]
        return [np.logaddexp(value, 0.0) if place % 2 else value for place, value in enumerate(values)]

    def kl(self):
        """The library's KL divergence now."""
        return float(bl.kl_divergence(self._model))

    def _variables(self):
        return self._model.trainable_variables


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
    settings = {
        "as it stands": {},
        "an epoch a call": {"steps_per_execution": data.steps},
        "XLA": {"jit_compile": True},
        "dataset": {"dataset": True},
        "dataset, an epoch a call": {"dataset": True, "steps_per_execution": data.steps},
        "dataset, an epoch a call, XLA": {"dataset": True, "steps_per_execution": data.steps, "jit_compile": True},
    }
    return {
        f"{method}: companion, {name}": Program(data, method, **options)
        for method in bnn_problem.METHODS
        for name, options in settings.items()
    }


def _arrays(data):
    return {"x": data.x, "y": data.y, "batch_size": data.batch}


def _dataset(data):
    """Endless, so that Keras need not make its iterator anew for every epoch."""
    examples = tf.data.Dataset.from_tensor_slices((data.x, data.y)).shuffle(len(data.x)).batch(data.batch)
    return {"x": examples.repeat(), "steps_per_epoch": data.steps}


def _network(data, convolution, dense):
    last, n = data.layers[-1], len(data.x)
    layers = [
        convolution(layer.units, layer.kernel[:2], layer.stride, activation="relu", num_examples=n)
        for layer in data.convolutions
    ]
    layers += [keras.layers.Flatten()] if layers else []
    for layer in data.dense:
        layers.append(dense(layer.units, activation=None if layer is last else "relu", num_examples=n))
    return keras.Sequential([keras.Input(data.x.shape[1:]), *layers])
