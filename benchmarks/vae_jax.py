"""JAX and optax: a compiled step with donated buffers, and a compiled epoch."""

import time
from functools import partial

import jax
import jax.numpy as jnp
import optax
import vae_problem as problem

_ADAM = optax.adam(problem.LEARNING_RATE, eps=problem.EPSILON)


def _two_layers(x, weights):
    w, b, v, c = weights
    return jax.nn.relu(x @ w + b) @ v + c


def _loss(weights, x, key):
    loc, rho = jnp.split(_two_layers(x, weights[:4]), 2, axis=1)
    scale = jax.nn.softplus(rho)
    z = loc + scale * jax.random.normal(key, loc.shape)
    logits = _two_layers(z, weights[4:])
    reconstruction = jnp.sum(x * logits - jax.nn.softplus(logits))
    kl = jnp.sum(0.5 * (loc**2 + scale**2 - 1.0) - jnp.log(scale))
    return (kl - reconstruction) / len(x)


def _step(state, x, key):
    weights, moments = state
    updates, moments = _ADAM.update(jax.grad(_loss)(weights, x, key), moments)
    return optax.apply_updates(weights, updates), moments


def _steps(batch, state, x, key):
    """An epoch whose steps are calls."""
    order, noise = _order_and_noise(key, len(x), batch)
    for rows, one in zip(order, noise, strict=True):
        state = _gathered_step(state, x, rows, one)
    return state


@partial(jax.jit, donate_argnums=0)
def _gathered_step(state, x, rows, key):
    return _step(state, x[rows], key)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _epoch(batch, state, x, key):
    """An epoch whose steps are turns of a loop."""
    return jax.lax.scan(
        lambda state, given: (_step(state, x[given[0]], given[1]), None), state, _order_and_noise(key, len(x), batch)
    )[0]


@partial(jax.jit, static_argnums=(1, 2))
def _order_and_noise(key, examples, batch):
    steps = examples // batch
    order_key, noise_key = jax.random.split(key)
    order = jax.random.permutation(order_key, examples)[: steps * batch].reshape(steps, batch)
    return order, jax.random.split(noise_key, steps)


class Program:
    """A model that is trained anew after each `start`."""

    def __init__(self, data, epoch):
        self._data, self._epoch = data, partial(epoch, data.batch)
        self._x = jnp.asarray(data.x)

    def start(self):
        """Sets the initial weights."""
        weights = [jnp.array(part) for part in self._data.weights()]
        self._state, self._key = (weights, _ADAM.init(weights)), jax.random.key(0)

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        seconds = []
        for _ in range(epochs):
            began = time.perf_counter()
            self._key, key = jax.random.split(self._key)
            self._state = jax.block_until_ready(self._epoch(self._state, self._x, key))
            seconds.append(time.perf_counter() - began)
        return seconds

    def weights(self):
        """The weights now."""
        return self._state[0]


def programs(data):
    """Every way of running it, by name."""
    return {"JAX, jit of a step": Program(data, _steps), "JAX, scan of an epoch": Program(data, _epoch)}


def matmul(a, b):
    """A function that multiplies two arrays once."""
    a, b = jnp.asarray(a), jnp.asarray(b)
    product = jax.jit(jnp.matmul)
    return lambda: product(a, b).block_until_ready()
