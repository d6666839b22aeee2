"""Plain TensorFlow by hand: an epoch is one graph with the fused Adam op, or one XLA program with an Adam it fuses."""

import time

import tensorflow as tf
import vae_problem as problem

_BETA_1, _BETA_2 = 0.9, 0.999


def _two_layers(x, weights):
    w, b, v, c = weights
    return tf.matmul(tf.nn.relu(tf.matmul(x, w) + b), v) + c


def _loss(weights, x, seed):
    loc, rho = tf.split(_two_layers(x, weights[:4]), 2, axis=1)
    scale = tf.nn.softplus(rho)
    z = loc + scale * tf.random.stateless_normal(loc.shape, seed)
    logits = _two_layers(z, weights[4:])
    reconstruction = tf.reduce_sum(x * logits - tf.nn.softplus(logits))
    kl = tf.reduce_sum(0.5 * (loc**2 + scale**2 - 1.0) - tf.math.log(scale))
    return (kl - reconstruction) / x.shape[0]


class Program:
    """A model that is trained anew after each `start`."""

    def __init__(self, data, jit_compile):
        self._data, self._x = data, tf.constant(data.x)
        self._weights, self._m, self._v = ([tf.Variable(part) for part in data.weights()] for _ in range(3))
        self._step_number = tf.Variable(0)
        self._adam = self._adam_by_hand if jit_compile else self._adam_op
        self._epoch = tf.function(self._one_epoch, jit_compile=jit_compile)

    def start(self):
        """Sets the initial weights."""
        for variable, value in zip(self._weights, self._data.weights(), strict=True):
            variable.assign(value)
        for variable in [*self._m, *self._v, self._step_number]:
            variable.assign(tf.zeros_like(variable))

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        seconds = []
        for _ in range(epochs):
            began = time.perf_counter()
            order = tf.random.shuffle(tf.range(len(self._x)))[: self._data.steps * self._data.batch]
            self._epoch(tf.reshape(order, [self._data.steps, self._data.batch])).numpy()
            seconds.append(time.perf_counter() - began)
        return seconds

    def weights(self):
        """The weights now."""
        return [variable.numpy() for variable in self._weights]

    def _one_epoch(self, order):
        for place in tf.range(self._data.steps):
            self._step_number.assign_add(1)
            x = tf.ensure_shape(tf.gather(self._x, order[place]), [self._data.batch, self._x.shape[1]])
            with tf.GradientTape() as tape:
                loss = _loss(self._weights, x, tf.stack([0, self._step_number]))
            self._adam(tape.gradient(loss, self._weights))
        return tf.identity(self._step_number)

    def _powers(self):
        t = tf.cast(self._step_number, tf.float32)
        return tf.pow(_BETA_1, t), tf.pow(_BETA_2, t)

    def _adam_op(self, gradients):
        power_1, power_2 = self._powers()
        for w, m, v, g in zip(self._weights, self._m, self._v, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=w.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=power_1,
                beta2_power=power_2,
                lr=problem.LEARNING_RATE,
                beta1=_BETA_1,
                beta2=_BETA_2,
                epsilon=problem.EPSILON,
                grad=g,
            )

    def _adam_by_hand(self, gradients):
        power_1, power_2 = self._powers()
        rate = problem.LEARNING_RATE * tf.sqrt(1.0 - power_2) / (1.0 - power_1)
        for w, m, v, g in zip(self._weights, self._m, self._v, gradients, strict=True):
            m.assign_add((1.0 - _BETA_1) * (g - m))
            v.assign_add((1.0 - _BETA_2) * (g**2 - v))
            w.assign_sub(rate * m / (tf.sqrt(v) + problem.EPSILON))


def programs(data):
    """Every way of running it, by name."""
    return {"TensorFlow by hand, graph": Program(data, False), "TensorFlow by hand, XLA": Program(data, True)}


def matmul(a, b):
    """A function that multiplies two arrays once."""
    a, b = tf.constant(a), tf.constant(b)
    return lambda: tf.matmul(a, b).numpy()
