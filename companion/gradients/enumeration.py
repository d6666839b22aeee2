"""The exact gradient of an expectation over a countable set, by summing over it."""

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation

__all__ = ["enumerate_gradient"]

_MOST = 2**20  # combinations that are visited
_LEFT_OVER = 1e-12  # of the sum, for sets without an end


def enumerate_gradient(problem):
    """The gradient of E f(z), summed over all values of z.

    Args:
        problem: a `companion.gradients.problem.Problem` in float64 with a discrete distribution.

    Returns:
        A dict of float64 arrays of the parameters' shapes.

    Raises:
        TypeError: if the values can't be listed, or are too many.
        ValueError: if a sum without an end does not settle.
    """
    numbers = _over_numbers(problem.distribution)
    apart = _takes_members_apart(problem)
    atoms = _atoms(numbers)
    if atoms is not None:
        return _sum(problem, _combinations(problem, numbers, atoms, apart))[0]
    return _endless(problem, numbers, apart)


def _over_numbers(distribution):
    """The distribution of one of the independent parts of an event."""
    return _over_numbers(distribution.distribution) if isinstance(distribution, tfd.Independent) else distribution


def _takes_members_apart(problem):
    """Whether f gives one value a member of the batch, seen on a few samples."""
    z = problem.draw(problem.rows(2))
    return problem.evaluate(z).shape.rank > 1


def _atoms(numbers):
    """The values of one part, shape [num_atoms, *event]; None if they have no end."""
    if isinstance(numbers, tfd.Bernoulli):
        return tf.range(2)
    if isinstance(numbers, tfd.Categorical):
        return tf.range(numbers.logits_parameter().shape[-1])
    if isinstance(numbers, tfd.OneHotCategorical):
        return tf.eye(numbers.event_shape[0])
    if isinstance(numbers, tfd.FiniteDiscrete):
        return tf.convert_to_tensor(numbers.outcomes)
    if isinstance(numbers, tfd.Binomial):
        counts = np.unique(numbers.total_count)
        if len(counts) == 1:
            return tf.range(int(counts[0]) + 1)
    if isinstance(numbers, (tfd.Poisson, tfd.Geometric, tfd.NegativeBinomial)):
        return None
    expected = "a distribution that can be enumerated (Bernoulli, Categorical, OneHotCategorical, FiniteDiscrete, "
    expected += "Binomial of one total_count, Poisson, Geometric, NegativeBinomial, or independent ones of these)"
    raise TypeError(_validation.message("make_distribution", expected, type(numbers).__name__))


def _combinations(problem, numbers, atoms, apart):
    """All values of z, shape [num_combinations, *batch, *event]; members that f takes apart move together."""
    distribution = problem.distribution
    parts = numbers.batch_shape  # (*batch, *axes that tfd.Independent made part of the event)
    together = parts[distribution.batch_shape.rank :] if apart else parts
    count, num_atoms = together.num_elements(), atoms.shape[0]
    if num_atoms**count > _MOST:
        expected = f"at most {_MOST} combinations of values"
        raise TypeError(_validation.message("make_distribution", expected, f"{num_atoms}^{count}"))
    atoms = tf.cast(atoms, distribution.dtype)
    grid = np.indices([num_atoms] * count).reshape(count, -1).T.reshape(-1, *together)  # (combinations, *together)
    z = tf.gather(atoms, grid)
    ones = [1] * (parts.rank - together.rank)
    z = tf.reshape(z, [grid.shape[0], *ones, *together, *numbers.event_shape])
    return tf.broadcast_to(z, [grid.shape[0], *parts, *numbers.event_shape])


def _sum(problem, z):
    """The gradient of the sum over z of f(z) q(z), and the smallest sum of q over the members."""
    values = problem.evaluate(z)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(problem.params)
        log_prob = problem.make_distribution(**problem.params).log_prob(z)  # (combinations, *batch)
        if values.shape.rank == 1:
            log_prob = tf.reduce_sum(log_prob, axis=list(range(1, log_prob.shape.rank)))
        prob = tf.exp(log_prob)
    gradients = tape.gradient(prob, problem.params, values)
    for name, g in problem.connected(gradients).items():
        _validation.finite(f"the gradient of params[{name!r}]", g)
    return {name: g.numpy() for name, g in gradients.items()}, tf.reduce_sum(prob, axis=0).numpy().min()


def _endless(problem, numbers, apart):
    """Sums over 0, 1, 2, ... of twice as many values each time, until the sum stands still and has all the mass."""
    before = None
    num_atoms = 64
    while num_atoms <= _MOST:
        z = _combinations(problem, numbers, tf.range(num_atoms), apart)
        found, mass = _sum(problem, z)
        if (
            before is not None
            and mass > 1.0 - _LEFT_OVER
            and all(np.allclose(found[name], before[name], rtol=_LEFT_OVER, atol=0.0) for name in found)
        ):
            return found
        before, num_atoms = found, 2 * num_atoms
    raise ValueError(_validation.message("f", "a sum that converges", f"one that moves after {num_atoms // 2} terms"))
