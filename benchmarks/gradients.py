"""Gradients of single samples: how many a second, beside plain TensorFlow and JAX, in one run.

Run it with `make bench`, which makes its environment. Each figure is the median over repeated calls after a
warm-up, with compilation timed apart; every program computes the same thing, the gradient of each of n samples of
f(z) = sum (z - 1)^2 for z ~ N(loc, scale^2), d independent coordinates. The means of all programs are compared
with the exact gradient.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import gradients

LOC, SCALE = 3.0, 2.0


def squares(z):
    """f, for z of shape [num_samples, dim]."""
    return tf.reduce_sum((z - 1.0) ** 2, axis=-1)


def normal(loc, scale):
    """A vector of independent normals."""
    return tfd.Independent(tfd.Normal(loc, scale), 1)


def companion_program(estimator, n, dim, **options):
    """An estimator of the package inside `tf.function`, or as it stands."""
    params = {"loc": tf.fill([dim], LOC), "scale": tf.fill([dim], SCALE)}

    def run(seed):
        return estimator(squares, normal, params, n, seed).samples

    return tf.function(run, autograph=False, **options) if options else run


def tensorflow_loop(n, dim):
    """What one writes first: a loop over samples with a tape for each, compiled as a graph."""
    loc, scale = tf.fill([dim], LOC), tf.fill([dim], SCALE)

    @tf.function(autograph=False)
    def run(seed):
        def one(eps):
            with tf.GradientTape() as tape:
                tape.watch([loc, scale])
                value = tf.reduce_sum((loc + scale * eps - 1.0) ** 2)
            return tuple(tape.gradient(value, [loc, scale]))

        eps = tf.random.stateless_normal([n, dim], seed)
        g_loc, g_scale = tf.map_fn(one, eps, fn_output_signature=(tf.float32, tf.float32))
        return {"loc": g_loc, "scale": g_scale}

    return run


def tensorflow_by_hand(n, dim, score, **options):
    """What an expert writes for this one problem: broadcast copies of the parameters, nothing checked."""
    loc, scale = tf.fill([dim], LOC), tf.fill([dim], SCALE)

    @tf.function(autograph=False, **options)
    def run(seed):
        rows = [tf.broadcast_to(p, [n, dim]) for p in (loc, scale)]
        eps = tf.random.stateless_normal([n, dim], seed)
        with tf.GradientTape() as tape:
            tape.watch(rows)
            z = rows[0] + rows[1] * eps
            if score:
                z = tf.stop_gradient(z)
                log_prob = tf.reduce_sum(tfd.Normal(*rows).log_prob(z), axis=-1)
                value = squares(z) * log_prob
            else:
                value = squares(z)
        return dict(zip(("loc", "scale"), tape.gradient(value, rows), strict=True))

    return run


def jax_program(n, dim, score):
    """`jit(vmap(grad))` over keys."""
    params = {"loc": jnp.full([dim], LOC), "scale": jnp.full([dim], SCALE)}

    def one(params, eps):
        z = params["loc"] + params["scale"] * eps
        if not score:
            return jnp.sum((z - 1.0) ** 2)
        z = jax.lax.stop_gradient(z)
        log_prob = jax.scipy.stats.norm.logpdf(z, params["loc"], params["scale"]).sum()
        return jax.lax.stop_gradient(jnp.sum((z - 1.0) ** 2)) * log_prob

    @jax.jit
    def run(key):
        eps = jax.random.normal(key, [n, dim])
        return jax.vmap(jax.grad(one), in_axes=(None, 0))(params, eps)

    return lambda seed: jax.block_until_ready(run(jax.random.key(int(seed[1]))))


def programs(n, dim):
    """Every program of one size, by name."""
    table = {}
    for score, estimator in ((False, gradients.pathwise), (True, gradients.score_function)):
        name = estimator.__name__
        table[f"companion {name}, eager"] = companion_program(estimator, n, dim)
        table[f"companion {name}, tf.function"] = companion_program(estimator, n, dim, jit_compile=False)
        table[f"companion {name}, XLA"] = companion_program(estimator, n, dim, jit_compile=True)
        table[f"TensorFlow by hand, {name}, tf.function"] = tensorflow_by_hand(n, dim, score)
        table[f"TensorFlow by hand, {name}, XLA"] = tensorflow_by_hand(n, dim, score, jit_compile=True)
        table[f"JAX jit(vmap(grad)), {name}"] = jax_program(n, dim, score)
    table["TensorFlow loop over samples, pathwise"] = tensorflow_loop(n, dim)
    return table


def check(name, samples):
    """The mean is the exact gradient, 2 (loc - 1) and 2 scale, to six standard errors."""
    for parameter, exact in (("loc", 2.0 * (LOC - 1.0)), ("scale", 2.0 * SCALE)):
        g = np.asarray(samples[parameter], dtype=np.float64)
        tolerance = 6.0 * g.std(axis=0, ddof=1) / np.sqrt(len(g))
        if (np.abs(g.mean(axis=0) - exact) > tolerance).any():
            raise SystemExit(f"{name}: the gradient of {parameter} is wrong: {g.mean(axis=0)} instead of {exact}")


def measure(program, seconds):
    """The first call's time and the median of the next ones'."""
    start = time.perf_counter()
    program(tf.constant([0, 1]))
    first = time.perf_counter() - start
    times = []
    while len(times) < 5 or (sum(times) < seconds and len(times) < 500):
        seed = tf.constant([0, len(times) + 2])
        start = time.perf_counter()
        result = program(seed)
        _ = np.asarray(result["loc"])[0]
        times.append(time.perf_counter() - start)
    return first, statistics.median(times)


def main():
    """Prints one table for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each program is measured")
    seconds = parser.parse_args().seconds
    print(f"TensorFlow {tf.__version__}, JAX {jax.__version__}, {os.cpu_count()} cores\n")
    for n, dim in ((1_000, 1), (100_000, 1), (10_000, 100)):
        print(f"{n} samples of {dim} coordinate{'s' if dim > 1 else ''}")
        print(f"{'program':48} {'first call':>11} {'median':>11} {'samples/s':>14}")
        for name, program in programs(n, dim).items():
            first, median = measure(program, seconds)
            check(name, program(tf.constant([0, 0])))
            print(f"{name:48} {first:9.3f} s {1e3 * median:8.3f} ms {n / median:14,.0f}", flush=True)
        print()


if __name__ == "__main__":
    main()
