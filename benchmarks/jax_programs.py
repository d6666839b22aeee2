"""The same in JAX: `jit(vmap(grad))` where there is something to differentiate, `vmap` over coordinates where not."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import problem


def program(estimator, n, dim):
    """A function from a seed to the gradients of n samples."""
    params = {"loc": jnp.full([dim], problem.LOC), "scale": jnp.full([dim], problem.SCALE)}
    name, _, option = estimator.partition(", ")
    run = jax.jit(partial(_BY_NAME[name], params, n, dim, option))
    return lambda seed: jax.block_until_ready(run(jax.random.key(int(seed[1]))))


def _squares(z):
    return jnp.sum((z - 1.0) ** 2, axis=-1)


def _pathwise(params, n, dim, option, key):
    def one(params, eps):
        return _squares(params["loc"] + params["scale"] * eps)

    return jax.vmap(jax.grad(one), in_axes=(None, 0))(params, jax.random.normal(key, [n, dim]))


def _score_function(params, n, dim, option, key):
    def log_prob(params, z):
        return jax.scipy.stats.norm.logpdf(z, params["loc"], params["scale"]).sum()

    z = params["loc"] + params["scale"] * jax.random.normal(key, [n, dim])
    values = _squares(z)
    scores = jax.vmap(jax.grad(log_prob), in_axes=(None, 0))(params, z)
    if option == "optimal":
        return {name: (values[:, None] - _other_half(values, s)) * s for name, s in scores.items()}
    b = (values.sum() - values) / (n - 1) if option == "leave one out" else 0.0
    return {name: (values - b)[:, None] * s for name, s in scores.items()}


def _other_half(values, score):
    half = len(values) // 2
    first, second = (
        (values[part, None] * score[part] ** 2).sum(0) / (score[part] ** 2).sum(0)
        for part in (slice(half), slice(half, None))
    )
    return jnp.where((jnp.arange(len(values)) < half)[:, None], second, first)


def _measure_valued(params, n, dim, option, key):
    loc, scale, coupled = params["loc"], params["scale"], option != "independent"
    keys = jax.random.split(key, 5)
    right, left, length = (jax.random.rayleigh(k, 1.0, shape=[n, dim]) for k in keys[:3])
    eps, other = (jax.random.normal(k, [n, dim]) for k in keys[3:])
    z = loc + scale * eps
    base = eps if coupled else other
    maxwell = jnp.sign(base) * jnp.sqrt(base**2 + length**2)

    def one_at_a_time(side):
        return jax.vmap(lambda mask: _squares(jnp.where(mask, side, z)), out_axes=1)(jnp.eye(dim, dtype=bool))

    above, below = loc + scale * right, loc - scale * (right if coupled else left)
    return {
        "loc": (one_at_a_time(above) - one_at_a_time(below)) / (scale * math.sqrt(2.0 * math.pi)),
        "scale": (one_at_a_time(loc + scale * maxwell) - _squares(z)[:, None]) / scale,
    }


def _finite_difference(params, n, dim, option, key):
    h = problem.STEP
    first, second = jax.random.split(key)
    eps = jax.random.normal(first, [n, dim])
    other = jax.random.normal(second, [n, dim]) if option == "independent" else eps

    def quotient(name, direction):
        above, below = ({**params, name: params[name] + sign * h * direction} for sign in (1, -1))
        right, left = above["loc"] + above["scale"] * eps, below["loc"] + below["scale"] * other
        return (_squares(right) - _squares(left)) / (2 * h)

    return {name: jax.vmap(partial(quotient, name), out_axes=1)(jnp.eye(dim)) for name in params}


_BY_NAME = {
    "pathwise": _pathwise,
    "score_function": _score_function,
    "measure_valued": _measure_valued,
    "finite_difference": _finite_difference,
}
