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

    It is unbiased if c, q+ and q- form a weak derivative of q for f. The laws here do for all bounded continuous f,
    and for every f whose expectation \|f\| under q is finite for all parameters near these; only for Uniform f must
    be continuous at the end that moves. f is not differentiated and may have jumps, and z may be discrete. The draws
    of the two sides can share their noise (`coupled`), which leaves the mean as it is. It lowers the variance where
    f takes like values at both sides, as for Normal's loc where f is nearly symmetric about loc, and raises it where
    not: there a monotone f is better served by independent sides.

    Known are Normal (loc, scale), Uniform (low, high), Exponential (rate), Gamma (rate only), Poisson (rate), Bernoulli
    (probs, logits), Categorical (probs, logits), and vectors of them through `tfd.Independent` or
    `tfd.MultivariateNormalDiag`. What the parameters were computed from is reached by the chain rule.

    The price: one evaluation of f a sample, and for each coordinate of z that f takes together with others and each
    parameter of the family two more, or one where q+ or q- is q itself and the plain draw serves: 3 for the two of
    Normal, 2 for Uniform's, 1 for the rates, 2 for Bernoulli, 2 for each class of Categorical. A coordinate moves
    alone, the others keep a draw of q in common.

    Args:
        f: as for `companion.gradients.pathwise`, but called with another number of samples; it is not
            differentiated.
        make_distribution: a callable, called with the parameters as keywords, that returns a
            `tfd.Distribution` of a known family.
        params: a mapping of names to tensors, arrays, variables or numbers, of one floating width.
        num_samples: how many samples, at least 1.
        seed: as for `companion.gradients.pathwise`.
        coupled: whether the two sides share their noise. For Normal, loc steps by the same Rayleigh number to both
            sides, and scale compares the plain draw with a double-sided Maxwell one of which it is a uniform
            multiple; for Exponential and Gamma the negative side waits once more; for Poisson it has one event less.

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
    z = tf.stop_gradient(problem.draw(rows, plain_seed))
    values = problem.evaluate(z)
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(rows)
        numbers = over_numbers(make_distribution(**rows))  # of batch shape [num_samples, *batch, *event]
        derivatives = decompose(numbers, z, pair_seed, coupled)
        unknown = without_weak_derivative(numbers)
    _refuse_unknown(tape, unknown, rows, problem.distribution)
    reached = [d for d in derivatives if _reaches(tape, d.parameter, rows)]
    if not reached:
        return problem.estimate(values, dict.fromkeys(rows))
    weights = [
        d.constant * (_moved(problem, z, values, d.positive) - _moved(problem, z, values, d.negative)) for d in reached
    ]
    parameters = [d.parameter for d in reached]
    return problem.estimate(values, tape.gradient(parameters, rows, [tf.stop_gradient(w) for w in weights]))


def _moved(problem, z, values, side):
    """f with one coordinate from a side and the others plain, shape [num_samples, *batch, *event].

    Members of a batch of separate problems move together, coordinates that f takes together one at a time. Where the
    side is plain, too, f has been paid for.
    """
    num_samples, separate = z.shape[0], values.shape.rank - 1
    together = z.shape[1 + separate :]
    if side is None:
        ones = tf.ones(together.rank, tf.int32)
        return tf.reshape(values, tf.concat([tf.shape(values), ones], axis=0)) + tf.zeros(tf.shape(z), values.dtype)
    side = tf.stop_gradient(tf.cast(side, z.dtype))
    if not together.is_fully_defined():
        expected = "coordinates whose number is known when the graph is traced, if f takes them together"
        raise ValueError(_validation.message("params", expected, f"samples of shape {z.shape}"))
    if together.num_elements() == 0:
        return tf.zeros_like(z, values.dtype)
    if together.num_elements() == 1:
        return tf.reshape(problem.evaluate(tf.ensure_shape(side, z.shape)), tf.shape(z))
    masks = _one_at_a_time(together, separate)  # (coordinates, 1, *ones, *together)
    size = max(1, _MOST_NUMBERS // (z.shape.num_elements() or 1))
    found = []
    for start in range(0, together.num_elements(), size):
        some = masks[start : start + size]
        rows = some.shape[0] * num_samples
        flat = tf.reshape(tf.where(some, side, z), tf.concat([[rows], tf.shape(z)[1:]], axis=0))
        moved = problem.evaluate(tf.ensure_shape(flat, [rows, *z.shape[1:]]))
        shape = tf.concat([[some.shape[0], num_samples], tf.shape(values)[1:]], axis=0)
        found.append(tf.reshape(moved, shape))  # (coordinates, num_samples, *batch of separate problems)
    by_coordinate = tf.concat(found, axis=0)
    coordinates_last = tf.transpose(by_coordinate, [*range(1, by_coordinate.shape.rank), 0])
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
