"""JAX and optax by hand: a compiled step with donated buffers, and a compiled epoch."""

import time

import bnn_problem as problem
import jax
import jax.numpy as jnp
import optax

_ADAM = optax.adam(problem.LEARNING_RATE, eps=problem.EPSILON)


def _linear(x, kernel, stride):
    if stride is None:
        return x.reshape(len(x), -1) @ kernel
    return jax.lax.conv_general_dilated(x, kernel, [stride] * 2, "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _reparameterization(x, kernel, bias, stride, key):
    keys = jax.random.split(key)
    w, b = (loc + scale * jax.random.normal(k, loc.shape) for k, (loc, scale) in zip(keys, (kernel, bias), strict=True))
    return _linear(x, w, stride) + b


def _flipout(x, kernel, bias, stride, key):
    keys = jax.random.split(key, 4)
    if stride is None:
        x = x.reshape(len(x), -1)
    positions = [1] * (x.ndim - 2)
    signs_in, signs_out = (
        jax.random.rademacher(k, [len(x), *positions, n], jnp.float32)
        for k, n in zip(keys, (x.shape[-1], len(bias[0])), strict=False)
    )
    w, b = (scale * jax.random.normal(k, scale.shape) for k, (_, scale) in zip(keys[2:], (kernel, bias), strict=True))
    noise = (_linear(x * signs_in, w, stride) + b) * signs_out
    return _linear(x, kernel[0], stride) + bias[0] + noise


def _local_reparameterization(x, kernel, bias, stride, key):
    variance = _linear(x**2, kernel[1] ** 2, stride) + bias[1] ** 2
    return _linear(x, kernel[0], stride) + bias[0] + jnp.sqrt(variance) * jax.random.normal(key, variance.shape)


_NOISY = dict(zip(problem.METHODS, (_reparameterization, _flipout, _local_reparameterization), strict=True))


class Program:
    """A model that is trained anew after each `start`."""

    def __init__(self, data, method, whole_epoch):
        self._data, self._noisy, self._strides = data, _NOISY[method], [layer.stride for layer in data.layers]
        self._x, self._y = jnp.asarray(data.x), jnp.asarray(data.y)
        self._step = jax.jit(self._one_step, donate_argnums=0)
        self._epoch = jax.jit(self._scan, donate_argnums=0) if whole_epoch else self._steps
        self._order = jax.jit(self._order_and_noise)

    def start(self):
        """Sets the initial posterior."""
        values = [jnp.array(value) for value in self._data.posterior()]
        values[1::2] = [jnp.log(jnp.expm1(scale)) for scale in values[1::2]]
        self._state, self._key = (values, _ADAM.init(values)), jax.random.key(0)

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        seconds = []
        for _ in range(epochs):
            began = time.perf_counter()
            self._key, key = jax.random.split(self._key)
            self._state = jax.block_until_ready(self._epoch(self._state, self._x, self._y, key))
            seconds.append(time.perf_counter() - began)
        return seconds

    def posterior(self):
        """The posterior now."""
        return _scaled(self._state[0])

    def kl(self):
        """The KL divergence now."""
        return float(_kl(_scaled(self._state[0])))

    def _loss(self, values, x, y, key):
        posterior, number = _scaled(values), len(self._strides)
        for place, (stride, k) in enumerate(zip(self._strides, jax.random.split(key, number), strict=True)):
            kernel, bias = posterior[4 * place : 4 * place + 2], posterior[4 * place + 2 : 4 * place + 4]
            x = self._noisy(x, kernel, bias, stride, k)
            x = jax.nn.relu(x) if place + 1 < number else x
        losses = optax.softmax_cross_entropy_with_integer_labels(x, y)
        return losses.mean() + _kl(posterior) / len(self._data.x)

    def _one_step(self, state, x, y, rows, key):
        values, moments = state
        updates, moments = _ADAM.update(jax.grad(self._loss)(values, x[rows], y[rows], key), moments)
        return optax.apply_updates(values, updates), moments

    def _steps(self, state, x, y, key):
        """An epoch whose steps are calls."""
        order, rest, noise = self._order(key)
        for rows, k in zip([*order, rest], noise, strict=False):
            if len(rows):
                state = self._step(state, x, y, rows, k)
        return state

    def _scan(self, state, x, y, key):
        """An epoch whose steps are turns of a loop."""
        order, rest, noise = self._order_and_noise(key)
        full = len(order)
        state, _ = jax.lax.scan(lambda s, given: (self._one_step(s, x, y, *given), None), state, (order, noise[:full]))
        return self._one_step(state, x, y, rest, noise[full]) if len(rest) else state

    def _order_and_noise(self, key):
        """The rows of the full batches, those that are left, and a key for each step."""
        examples, batch = len(self._data.x), self._data.batch
        order_key, noise_key = jax.random.split(key)
        order, full = jax.random.permutation(order_key, examples), examples // batch
        rows, rest = order[: full * batch].reshape(full, batch), order[full * batch :]
        return rows, rest, jax.random.split(noise_key, self._data.steps)


def programs(data):
    """Every way of running it, by name."""
    return {
        f"{method}: JAX by hand, {'scan of an epoch' if whole else 'jit of a step'}": Program(data, method, whole)
        for method in problem.METHODS
        for whole in (False, True)
    }


def _scaled(values):
    return [jax.nn.softplus(value) if place % 2 else value for place, value in enumerate(values)]


def _kl(posterior):
    return sum(
        jnp.sum(0.5 * (loc**2 + scale**2 - 1.0) - jnp.log(scale))
        for loc, scale in zip(posterior[::2], posterior[1::2], strict=True)
    )
