"""Fitting a flow to a density that is known up to a constant."""

import sys
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from companion import _validation, seeds
from companion.bounds import samples
from companion.flows.model import Flow
from companion.flows.pace import ENOUGH_FOR_XLA

__all__ = ["GRADIENTS", "FreeEnergy", "FreeEnergyHistory", "fit_to_density", "free_energy"]

GRADIENTS = ("pathwise", "sticking_the_landing")
_STEPS_A_CALL = 50
_LEAST_WEIGHT = 0.01  # of the target where annealing begins


class FreeEnergyHistory(NamedTuple):
    """What happened in a fit.

    Attributes:
        free_energy: an array of shape [steps]: the estimate of each step, in nats, from its own samples.
    """

    free_energy: np.ndarray


class FreeEnergy(NamedTuple):
    """An estimate and its standard error, in nats."""

    value: float
    standard_error: float


def fit_to_density(
    flow,
    target_log_prob,
    steps,
    num_samples,
    gradient="pathwise",
    optimizer="adam",
    annealing_steps=0,
    jit_compile="auto",
    verbose="auto",
):
    r"""Variational inference: moves the flow towards a density p = exp(target_log_prob) / Z, by samples of the flow.

    .. math::

        F = \mathbb{E}_{q(z)}[\log q(z) - \log \tilde p(z)] = \mathrm{KL}(q \,\|\, p) - \log Z \ge -\log Z

    F is differentiated through z = g(eps): this is the direction that needs the reparameterization trick. Neither Z nor
    samples of p are needed, but the KL divergence is that of q from p, which leaves out modes rather than bridge them.
    The noise of a step depends on the flow's seed and on how many steps it has taken.

    Args:
        flow: a `companion.Flow` without context.
        target_log_prob: a callable from z, shape [num_samples, *event_shape], to log p-tilde(z), shape [num_samples].
            Where it is minus infinity there is no gradient: a window needs walls.
        steps: how many steps of the optimizer.
        num_samples: how many samples of z a step.
        gradient: "pathwise" differentiates all of log q(g(eps)); "sticking_the_landing" leaves out the score of q at
            fixed z, whose mean is zero: where q = p its variance is zero. It scores its own samples, so it takes the
            inverse too: see `Flow.cost`.
        optimizer: a Keras optimizer or its name.
        annealing_steps: over how many steps the weight of target_log_prob rises from 0.01 to 1. The free energy that
            is returned always has weight 1.
        jit_compile: whether the steps are compiled by XLA, which takes some seconds once and then makes the steps of a
            small flow up to ten times as fast. "auto" does so for 2000 steps or more.
        verbose: 1 for a progress bar, 0 for none, "auto" for one on a terminal.

    Returns:
        A `FreeEnergyHistory`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if an argument is out of its domain, target_log_prob returns a wrong shape or has no gradient, or
            the free energy becomes infinite or NaN; the flow is then as it was at most 50 steps before.

    Reference:
        Rezende and Mohamed (2015); Roeder, Wu and Duvenaud (2017) for sticking the landing. Chapter: Normalizing flows.

    Example:
        >>> from tensorflow_probability import distributions as tfd
        >>> from companion.flows import planar_flow
        >>> target = tfd.MultivariateNormalDiag([1.0, 0.0])
        >>> flow = planar_flow(2, layers=2, seed=0)
        >>> history = fit_to_density(flow, target.log_prob, steps=20, num_samples=32)
        >>> history.free_energy.shape
        (20,)
    """
    flow = _checked_flow(flow)
    _validation.function("target_log_prob", target_log_prob)
    steps, num_samples = _validation.count("steps", steps), _validation.count("num_samples", num_samples)
    _validation.one_of("gradient", gradient, GRADIENTS)
    annealing_steps = _validation.count("annealing_steps", annealing_steps, minimum=0)
    optimizer = keras.optimizers.get(optimizer)
    optimizer.build(flow.trainable_variables)
    if not flow.trainable_variables:
        raise ValueError(_validation.message("flow", "one with trainable variables", "none"))

    def learn(first, count):
        def one(i, energies):
            seed = seeds.fold(seeds.fold(flow.seed, 3), tf.convert_to_tensor(flow.steps_taken))
            weight = _weight(first + i, annealing_steps, flow.variable_dtype)
            energies = energies.write(i, _step(flow, target_log_prob, num_samples, seed, gradient, optimizer, weight))
            flow.steps_taken.assign_add(1)
            return i + 1, energies

        energies = tf.TensorArray(flow.variable_dtype, size=_STEPS_A_CALL, element_shape=[])
        _, energies = tf.while_loop(lambda i, _: i < count, one, (tf.constant(0), energies), parallel_iterations=1)
        return energies.stack()

    program = _program(learn, jit_compile, steps)
    bar = keras.utils.Progbar(steps, verbose=_verbose(verbose), stateful_metrics=["free_energy"])
    found = []
    for first in range(0, steps, _STEPS_A_CALL):
        count = min(_STEPS_A_CALL, steps - first)
        before = [(variable, variable.numpy()) for variable in (*flow.variables, *optimizer.variables)]
        energies = program(tf.constant(first), tf.constant(count)).numpy()[:count]
        if not np.isfinite(energies).all():
            for variable, value in before:
                variable.assign(value)
            place = first + int(np.argmax(~np.isfinite(energies)))
            got = f"{energies[place - first]} in step {place}"
            raise ValueError(_validation.message("the free energy", "finite numbers", got))
        found.append(energies)
        bar.update(first + count, [("free_energy", energies.mean())])
    return FreeEnergyHistory(np.concatenate(found))


def free_energy(flow, target_log_prob, num_samples, seed=None):
    """F = E[log q(z) - target_log_prob(z)] under the flow, by samples.

    Args:
        flow: a `companion.Flow` without context.
        target_log_prob: a callable from z, shape [num_samples, *event_shape], to [num_samples].
        num_samples: how many samples, at least 2.
        seed: as for `companion.seeds.as_seed`.

    Returns:
        A `FreeEnergy`: the mean and its standard error, in nats.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if an argument is out of its domain, target_log_prob returns a wrong shape, or a number is not
            finite.

    Example:
        The free energy of a density under itself is -log Z without an error; here Z = 5.

        >>> from tensorflow_probability import bijectors as tfb
        >>> flow = Flow([tfb.Scale(2.0)], event_shape=1)
        >>> target = flow.distribution
        >>> estimate = free_energy(flow, lambda z: target.log_prob(z) + tf.math.log(5.0), 100, seed=0)
        >>> round(estimate.value, 3), estimate.standard_error < 1e-6
        (-1.609, True)
    """
    flow = _checked_flow(flow)
    _validation.function("target_log_prob", target_log_prob)
    z, log_q = flow.sample_and_log_prob(_validation.count("num_samples", num_samples, minimum=2), seed)
    values = log_q - samples.evaluate(target_log_prob, z, log_q, "target_log_prob")
    values = _validation.finite("log q(z) - target_log_prob(z)", values).numpy().astype(float)
    return FreeEnergy(float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5))


def _step(flow, target_log_prob, num_samples, seed, gradient, optimizer, weight):
    """One step of the optimizer; the free energy before it."""
    variables = flow.trainable_variables
    with tf.GradientTape() as tape:
        log_q, log_p = log_densities(flow, target_log_prob, num_samples, seed, gradient)
        loss = tf.add_n([tf.reduce_mean(log_q - weight * log_p), *flow.losses])  # those are of the nets' regularizers
    optimizer.apply(tape.gradient(loss, variables), variables)
    return tf.reduce_mean(log_q - log_p)


def log_densities(flow, target_log_prob, num_samples, seed, gradient):
    """log q and log p-tilde at samples of the flow, shape [num_samples] each; differentiated, the chosen estimator."""
    z, log_q = flow.sample_and_log_prob(num_samples, seed)
    if gradient == "sticking_the_landing":
        z, log_q = samples.log_density(flow.distribution, z, gradient)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(z)
        log_p = samples.evaluate(target_log_prob, z, log_q, "target_log_prob")
    if tape.gradient(log_p, z) is None:
        expected = "a function of z that TensorFlow can differentiate (no NumPy, no tf.stop_gradient)"
        raise ValueError(_validation.message("target_log_prob", expected, "values without a gradient"))
    return log_q, log_p


def _program(learn, jit_compile, steps):
    """The function as a program; where the choice is ours, without XLA if that does not know what the target does."""
    if jit_compile != "auto":
        if not isinstance(jit_compile, bool):
            raise TypeError(
                _validation.message("jit_compile", '"auto", True or False', _validation.describe(jit_compile))
            )
        return tf.function(learn, autograph=False, jit_compile=jit_compile)
    plain = tf.function(learn, autograph=False)
    if steps < ENOUGH_FOR_XLA:
        return plain
    chosen = [tf.function(learn, autograph=False, jit_compile=True)]

    def run(first, count):
        try:
            return chosen[0](first, count)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):  # before anything has run
            if chosen[0] is plain:
                raise
            chosen[0] = plain
            return plain(first, count)

    return run


def _weight(step, annealing_steps, dtype):
    if not annealing_steps:
        return tf.ones([], dtype)
    return tf.minimum(1.0, _LEAST_WEIGHT + (1.0 - _LEAST_WEIGHT) * tf.cast(step, dtype) / annealing_steps)


def _checked_flow(flow):
    if not isinstance(flow, Flow):
        raise TypeError(_validation.message("flow", "a companion.Flow", _validation.describe(flow)))
    if flow.context_dim is not None:
        raise ValueError(_validation.message("flow", "one without context", f"context_dim={flow.context_dim}"))
    return flow


def _verbose(verbose):
    if verbose == "auto":
        return int(sys.stdout.isatty())
    if not isinstance(verbose, (bool, int)):
        raise TypeError(_validation.message("verbose", '0, 1 or "auto"', _validation.describe(verbose)))
    return int(bool(verbose))
