"""TensorFlow Probability's own bijectors, with nets of Keras 3, in a loop over a `tf.data.Dataset`."""

import time

import flows_problem as problem
import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfb, tfd = tfp.bijectors, tfp.distributions

_LEAST = 1e-3  # of a bin's width and height, and of a slope


class Program:
    """A flow that is trained anew after each `start`."""

    def __init__(self, data, jit_compile):
        self._nets = [_net(data, place) for place in range(data.layers)]
        self._flow = _flow(data, self._nets)
        self._variables = [variable for net in self._nets for variable in net.trainable_variables]
        self._adam = keras.optimizers.Adam(problem.LEARNING_RATE, epsilon=problem.EPSILON)
        self._adam.build(self._variables)
        self._at_start = [variable.numpy() for variable in [*self._variables, *self._adam.variables]]
        examples = tf.data.Dataset.from_tensor_slices(data.x).shuffle(len(data.x))
        self._x, self._judged = examples.batch(problem.BATCH, drop_remainder=True), tf.constant(data.judged)
        self._step, self._log_prob, self._draw = (
            tf.function(function, jit_compile=jit_compile)
            for function in (self._one_step, self._flow.log_prob, self._flow.sample)
        )

    def start(self):
        """Sets the initial weights."""
        for variable, value in zip([*self._variables, *self._adam.variables], self._at_start, strict=True):
            variable.assign(value)

    def parameters(self):
        """How many numbers are trained."""
        return sum(np.prod(variable.shape) for variable in self._variables)

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        seconds = []
        for _ in range(epochs):
            began = time.perf_counter()
            for x in self._x:
                loss = self._step(x)
            loss.numpy()
            seconds.append(time.perf_counter() - began)
        return seconds

    def log_prob(self, points):
        """Log-densities at points, an array."""
        return self._log_prob(tf.constant(points)).numpy()

    def score(self, number):
        """The seconds of calls that score so many points."""
        return problem.seconds(lambda: self._log_prob(self._judged[:number]).numpy())

    def sample(self, number):
        """The seconds of calls that draw so many samples."""
        return problem.seconds(lambda: self._draw(number).numpy())

    def _one_step(self, x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(self._flow.log_prob(x))
        self._adam.apply_gradients(zip(tape.gradient(loss, self._variables), self._variables, strict=True))
        return loss


class _Masked(keras.layers.Layer):
    """A dense layer whose kernel is multiplied by a mask."""

    def __init__(self, mask, activation=None, initializer="zeros"):
        super().__init__()
        self._initializer = initializer
        self._mask, self._activation = mask.astype("float32"), keras.activations.get(activation)

    def build(self, shape):
        self._kernel = self.add_weight(shape=self._mask.shape, initializer=self._initializer)
        self._bias = self.add_weight(shape=self._mask.shape[1:], initializer="zeros")

    def call(self, x):
        return self._activation(keras.ops.matmul(x, self._kernel * self._mask) + self._bias)


def programs(data):
    """Every way of running it, by name."""
    return {"TFP, tf.function": Program(data, False), "TFP, tf.function with XLA": Program(data, True)}


def _flow(data, nets):
    """The flow; `Chain` lists the bijectors from data to noise."""
    bijectors = []
    for place, net in enumerate(nets):
        if data.kind == "autoregressive":
            bijectors += [tfb.MaskedAutoregressiveFlow(_pairs(net, data.dim)), tfb.Permute(range(data.dim)[::-1])]
        else:
            seen, _ = data.halves[place]
            seen = seen if place % 2 == 0 else -seen  # negative for the last ones
            if data.kind == "spline":
                bijectors.append(tfb.RealNVP(seen, bijector_fn=_spline(net)))
            else:
                bijectors.append(tfb.RealNVP(seen, shift_and_log_scale_fn=_halves(net)))
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(data.dim)), tfb.Chain(bijectors))


def _net(data, place):
    """The net of a layer."""
    width, (seen, moved) = problem.HIDDEN, data.halves[place]
    if data.kind != "autoregressive":
        layers = [keras.layers.Dense(width, "relu") for _ in range(2)]
        last = keras.layers.Dense(moved * data.outputs, kernel_initializer="zeros")  # others overflow in 64 dimensions
        return keras.Sequential([keras.Input([seen]), *layers, last])
    order = np.arange(data.dim)
    hidden, last = np.arange(width) % (data.dim - 1), np.repeat(order, data.outputs)
    masks = [order[:, None] <= hidden, hidden[:, None] <= hidden, hidden[:, None] < last]
    layers = [_Masked(mask, "relu", "glorot_uniform") for mask in masks[:2]]
    return keras.Sequential([keras.Input([data.dim]), *layers, _Masked(masks[2])])


def _pairs(net, dim):
    return lambda x: tf.reshape(net(x), [-1, dim, 2])


def _halves(net):
    return lambda x, _: tf.split(net(x), 2, axis=-1)


def _spline(net):
    def spline(x, moved):
        bins, bound = problem.BINS, problem.BOUND
        widths, heights, slopes = tf.split(tf.reshape(net(x), [-1, moved, 3 * bins - 1]), [bins, bins, bins - 1], -1)
        widths, heights = (_LEAST + (2.0 * bound - bins * _LEAST) * tf.nn.softmax(u) for u in (widths, heights))
        slopes = _LEAST + tf.nn.softplus(slopes)
        return tfb.RationalQuadraticSpline(widths, heights, slopes, range_min=-bound)

    return spline
