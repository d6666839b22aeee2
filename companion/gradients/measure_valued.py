"""The measure-valued estimator (weak derivatives)."""

import tensorflow as tf

from companion import _validation, seeds
from companion.gradients.applicable import applicable
from companion.gradients.problem import Problem
from companion.gradients.weak_derivatives import decomposable, decompose, over_numbers, without_weak_derivative

__all__ = ["measure_valued"]

_MOST_NUMBERS = 2**23  # in one call of f; beyond, coordinates are taken in turns


def measure_valued(f, make_distribution, params, num_samples, seed=None, coupled=True):
    r"""Estimates the gradient of E f(z) by the difference of f at samples of two other laws.

    .. math::

        \partial_\theta\, q(z;\theta) = c\,(q^+(z;\theta) - q^-(z;\theta))
        \quad\Longrightarrow\quad
        \partial_\theta\, \mathbb{E}_{q}[f(z)] = c\,\bigl(\mathbb{E}_{q^+}[f(z)] - \mathbb{E}_{q^-}[f(z)]\bigr)

    It is unbiased if c, q+ and q- form a weak derivative of q for f: for all bounded continuous f, and for
    every f here whose expectations under q+ and q- are finite, except that for Uniform f must be continuous at the
    end that moves. f is not differentiated and may have jumps, and z may be discrete. The draws of the two
    sides can share their noise (`coupled`), which leaves the mean as it is. It lowers the variance where f takes like
    values at both sides, as for Normal's loc where f is nearly symmetric about loc, and raises it where not: there a
    monotone f is better served by independent sides.

    Known are Normal (loc, scale), Uniform (low, high), Exponential (rate), Gamma (rate only), Poisson (rate), Bernoulli
    (probs, logits), Categorical (probs, logits), and vectors of them through `tfd.Independent` or
    `tfd.MultivariateNormalDiag`. What the parameters were computed from is reached by the chain rule.

    The price: 1 + 2 D P evaluations of f a sample, for P parameters of the family and D coordinates that f takes
    together; each coordinate moves alone, the others keep a draw of q in common.

    Args:
        f: as for `companion.gradients.pathwise`, but called with another number of samples; it is not
            differentiated.
        make_distribution: a callable, called with the parameters as keywords, that returns a
            `tfd.Distribution` of a known family.
        params: a mapping of names to tensors, arrays, variables or numbers, of one floating width.
        num_samples: how many samples, at least 1.
        seed: as for `companion.gradients.pathwise`.
        coupled: whether the two sides share their noise. For Normal, loc steps by the same Rayleigh number to both
            sides, and scale compares a double-sided Maxwell draw with a uniform multiple of itself; for
            Exponential and Gamma the negative side waits once more; for Poisson it has one event less.

    Returns:
        A `GradientEstimate`.

    Raises:
        TypeError: if an argument is of the wrong kind, or no weak derivative is known for the distribution or for a
            parameter that `params` reaches.
        ValueError: as for `companion.gradients.pathwise`.

    Reference:
        Pflug (1989); Heidergott and Vazquez-Abad (2000); Mohamed, Rosca, Figurnov and Mnih (2020), section 6.
        Chapter: Which estimator?

    Example:
        The gradient of P(z > 0) under N(0, 1) is phi(0) = 0.399 with respect to loc, although f is a step.

        >>> from tensorflow_probability import distributions as tfd
        >>> step = lambda z: tf.cast(z > 0, z.dtype)
        >>> estimate = measure_valued(step, tfd.Normal, {"loc": 0.0, "scale": 1.0}, 1000, seed=0)
        >>> round(float(estimate.mean["loc"]), 3), round(float(estimate.variance["loc"]), 6)
        (0.399, 0.0)
    """
    if not isinstance(coupled, bool):
        raise TypeError(_validation.message("coupled", "True or False", _validation.describe(coupled)))
    problem = Problem(f, make_distribution, params, num_samples, seed)
    _require_weak_derivatives(problem.distribution)
    plain_seed, pair_seed = seeds.split(problem.seed, 2)
    rows = problem.rows()
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(rows)
        distribution = make_distribution(**rows)
        numbers = over_numbers(distribution)  # of batch shape [num_samples, *batch, *event]
        derivatives = decompose(numbers, pair_seed, coupled)
        unknown = without_weak_derivative(numbers)
    _refuse_unknown(tape, unknown, rows, problem.distribution)
    z = tf.stop_gradient(problem.draw(rows, plain_seed))
    values = problem.evaluate(z)
    reached = [d for d in derivatives if _reaches(tape, d.parameter, rows)]
    weights = [d.constant * _differences(problem, z, values, d.positive, d.negative) for d in reached]
    if not reached:
        return problem.estimate(values, dict.fromkeys(rows))
    parameters = [d.parameter for d in reached]
    return problem.estimate(values, tape.gradient(parameters, rows, [tf.stop_gradient(w) for w in weights]))


def _differences(problem, z, values, positive, negative):
    """f with one coordinate from q+ less f with it from q-, shape [num_samples, *batch, *event].

    Members of a batch of separate problems move together, coordinates that f takes together one at a time.
    """
    positive, negative = (tf.stop_gradient(tf.cast(side, z.dtype)) for side in (positive, negative))
    num_samples, separate = z.shape[0], values.shape.rank - 1
    together = z.shape[1 + separate :]
    if not together.is_fully_defined():
        expected = "coordinates whose number is known when the graph is traced, if f takes them together"
        raise ValueError(_validation.message("params", expected, f"samples of shape {z.shape}"))
    if together.num_elements() == 1:
        both = problem.evaluate(tf.concat([positive, negative], axis=0))
        return tf.reshape(both[:num_samples] - both[num_samples:], tf.shape(z))
    masks = _one_at_a_time(together, separate)  # (coordinates, 1, *ones, *together)
    size = max(1, _MOST_NUMBERS // (2 * (z.shape.num_elements() or 1)))
    changes = []
    for start in range(0, together.num_elements(), size):
        some = masks[start : start + size]
        moved = tf.stack([tf.where(some, side[None], z[None]) for side in (positive, negative)])
        flat = tf.reshape(moved, tf.concat([[2 * some.shape[0] * num_samples], tf.shape(z)[1:]], axis=0))
        flat = tf.ensure_shape(flat, [2 * some.shape[0] * num_samples, *z.shape[1:]])
        found = problem.evaluate(flat)
        found = tf.reshape(found, tf.concat([[2, some.shape[0], num_samples], tf.shape(values)[1:]], axis=0))
        changes.append(found[0] - found[1])  # (coordinates, num_samples, *batch of separate problems)
    change = tf.concat(changes, axis=0)
    coordinates_last = tf.transpose(change, [*range(1, change.shape.rank), 0])
    return tf.reshape(coordinates_last, tf.shape(z))


def _one_at_a_time(together, separate):
    """Masks that each choose one coordinate: shape [coordinates, 1, *(1 for each separate axis), *together]."""
    n = together.num_elements()
    return tf.reshape(tf.eye(n, dtype=tf.int32) > 0, [n, 1, *[1] * separate, *together])


def _reaches(tape, parameter, rows):
    return any(g is not None for g in tape.gradient(parameter, rows).values())


def _require_weak_derivatives(distribution):
    if not decomposable(distribution):
        name = type(over_numbers(distribution)).__name__
        raise TypeError(_validation.message("make_distribution", _KNOWN, f"{name}; {_others(distribution)} apply"))


def _refuse_unknown(tape, unknown, rows, distribution):
    for name, parameter in unknown.items():
        if _reaches(tape, parameter, rows):
            got = f"its {name}; {_others(distribution)} apply"
            expected = f"parameters of {type(over_numbers(distribution)).__name__} with a known weak derivative"
            raise TypeError(_validation.message("params", expected, got))


def _others(distribution):
    return ", ".join(name for name in applicable(distribution) if name != "measure_valued")


_KNOWN = (
    "a family whose weak derivative is known (Normal, Uniform, Exponential, Gamma, Poisson, Bernoulli, Categorical, "
    "or independent ones of these)"
)
