"""A latent-variable model whose bounds are known exactly: z ~ N(m, 1), x | z ~ N(z, 1), q = N(loc, scale^2).

`exact_bound` integrates the importance-weighted bound with K = 1 or 2 over the noise by Gauss-Hermite quadrature, in
float64, and differentiates the integral. `test_bounds` shows that it has converged.
"""

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

X = 1.3
POINT = {"loc": 0.2, "scale": 0.9, "m": -0.4}
EXACT_POSTERIOR = {"loc": (X + POINT["m"]) / 2, "scale": np.sqrt(0.5), "m": POINT["m"]}
LOG_EVIDENCE = -0.5 * np.log(4 * np.pi) - (X - POINT["m"]) ** 2 / 4


def log_joint_of(m):
    """log p(x, z) as a function of z."""
    one = tf.ones([], m.dtype)
    return lambda z: tfd.Normal(m, one).log_prob(z) + tfd.Normal(z, one).log_prob(tf.constant(X, m.dtype))


def members(point, count, dtype=tf.float64):
    """The same problem, so many times: parameters of shape [count]."""
    return {name: tf.fill([count], tf.constant(value, dtype)) for name, value in point.items()}


def differentiate(bound, params):
    """Values and gradients of `bound(log_joint, posterior)` at parameters of shape [*batch]: each member's own."""
    with tf.GradientTape() as tape:
        tape.watch(params)
        value = bound(log_joint_of(params["m"]), tfd.Normal(params["loc"], params["scale"]))
    return value.numpy(), {name: g.numpy() for name, g in tape.gradient(value, params).items()}


def exact_bound(num_samples, point, nodes=80):
    """L_K and its gradient."""
    eps, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights = weights / weights.sum()
    grid = np.stack(np.meshgrid(*[eps] * num_samples, indexing="ij")).reshape(num_samples, -1)
    mass = np.prod(np.stack(np.meshgrid(*[weights] * num_samples, indexing="ij")).reshape(num_samples, -1), axis=0)
    params = {name: tf.constant(value, tf.float64) for name, value in point.items()}
    with tf.GradientTape() as tape:
        tape.watch(params)
        z = params["loc"] + params["scale"] * tf.constant(grid)
        q = tfd.Normal(params["loc"], params["scale"])
        log_weights = log_joint_of(params["m"])(z) - q.log_prob(z)
        bound = tf.reduce_sum(mass * (tf.reduce_logsumexp(log_weights, axis=0) - np.log(num_samples)))
    return float(bound), {name: float(g) for name, g in tape.gradient(bound, params).items()}
