"""`tfp.layers` on tf_keras, which is Keras 2: through `fit`, in an environment and a process of its own.

Its default is a bias that is not random; here it is.
"""

import time

import numpy as np
import tensorflow_probability as tfp
import tf_keras

_LAYERS = {
    "reparameterization": (tfp.layers.Convolution2DReparameterization, tfp.layers.DenseReparameterization),
    "flipout": (tfp.layers.Convolution2DFlipout, tfp.layers.DenseFlipout),
    "local reparameterization": (None, tfp.layers.DenseLocalReparameterization),
}
_SMALLEST = np.finfo(np.float32).eps  # the library adds it to softplus


class Program:
    """A model that is trained anew after each `start`."""

    def __init__(self, data, method, **compile_options):
        self._data = data
        self._model = _network(data, *_LAYERS[method])
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._model.compile("adam", loss, **compile_options)
        self._model.optimizer.build(self._model.trainable_variables)
        self._optimizer_at_start = [variable.numpy() for variable in self._model.optimizer.variables]

    def start(self):
        """Sets the initial posterior."""
        for place, (variable, value) in enumerate(self._pairs(self._data.posterior())):
            variable.assign(np.log(np.expm1(value - _SMALLEST)) if place % 2 else value)
        for variable, value in zip(self._model.optimizer.variables, self._optimizer_at_start, strict=True):
            variable.assign(value)

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        clock = _Clock()
        x, y, batch = self._data.x, self._data.y, self._data.batch
        self._model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0, callbacks=[clock])
        return clock.seconds

    def posterior(self):
        """The posterior now."""
        values = [variable.numpy() for variable in self._model.trainable_variables]
        return [np.logaddexp(value, 0.0) + _SMALLEST if place % 2 else value for place, value in enumerate(values)]

    def kl(self):
        """The library's KL divergence now: what it adds to the losses, times the number of examples."""
        self._model(self._data.x[:1])
        return float(sum(self._model.losses)) * len(self._data.x)

    def _pairs(self, values):
        return zip(self._model.trainable_variables, values, strict=True)


class _Clock(tf_keras.callbacks.Callback):
    """The seconds of each epoch, from the call of `fit` or the end of the epoch before."""

    def __init__(self):
        super().__init__()
        self.seconds, self._began = [], time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        self.seconds.append(now - self._began)
        self._began = now


def programs(data):
    """Every way of running it, by name; it has no convolution with local reparameterization."""
    settings = {
        "as it stands": {},
        "XLA": {"jit_compile": True},
        "XLA, an epoch a call": {"jit_compile": True, "steps_per_execution": data.steps},
    }
    return {
        f"{method}: tfp.layers, {name}": Program(data, method, **options)
        for method, (convolution, _) in _LAYERS.items()
        if convolution or not data.convolutions
        for name, options in settings.items()
    }


def _network(data, convolution, dense):
    def divergence(q, prior, _):
        return tfp.distributions.kl_divergence(q, prior) / len(data.x)

    options = {
        "kernel_divergence_fn": divergence,
        "bias_divergence_fn": divergence,
        "bias_posterior_fn": tfp.layers.default_mean_field_normal_fn(),
        "bias_prior_fn": tfp.layers.default_multivariate_normal_fn,
    }
    last = data.layers[-1]
    layers = [
        convolution(layer.units, layer.kernel[:2], layer.stride, activation="relu", **options)
        for layer in data.convolutions
    ]
    layers += [tf_keras.layers.Flatten()] if layers else []
    for layer in data.dense:
        layers.append(dense(layer.units, activation=None if layer is last else "relu", **options))
    model = tf_keras.Sequential([*layers])
    model.build((None, *data.x.shape[1:]))
    return model
