"""Finite differences: the estimator that asks nothing of f or q, and is biased."""

import numbers

import tensorflow as tf

from companion import _validation, seeds
from companion.gradients.problem import Problem

__all__ = ["finite_difference"]


def finite_difference(f, make_distribution, params, num_samples, seed=None, step=1e-2, common_random_numbers=True):
    r"""Estimates the gradient of E f(z) by central differences of f at samples, parameter by parameter.

    .. math::

        \partial_i\, \mathbb{E}_{q(z;\theta)}[f(z)]
        \approx \frac{1}{2h}\,\bigl(f(z_{\theta + h e_i}) - f(z_{\theta - h e_i})\bigr)

    Its mean is (F(theta + h) - F(theta - h)) / (2h), with F(theta) = E f(z): a bias of about h^2 / 6 times the third
    derivative of F. With common random numbers both sides are drawn by one seed: where z = g(eps, theta) is smooth,
    the variance stays bounded as h shrinks if f is Lipschitz, and grows like 1/h if f jumps; independent draws make
    it grow like 1/h^2, and put the noise of a whole batch of separate problems into every entry. In float32 a step
    below 1e-3 loses digits by cancellation.

    The price: 1 + 2 E evaluations of f a sample, for E entries of the parameters.

    Args:
        f: as for `companion.gradients.pathwise`; it is not differentiated.
        make_distribution: a callable, called with the parameters as keywords, that returns a `tfd.Distribution`.
        params: a mapping of names to tensors, arrays, variables or numbers, of one floating width and known
            shape.
        num_samples: how many samples, at least 1.
        seed: as for `companion.gradients.pathwise`.
        step: h, in the units of the parameters; theta + h and theta - h must be in the parameters' domain.
        common_random_numbers: whether both sides are drawn by the same seed.

    Returns:
        A `GradientEstimate`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as for `companion.gradients.pathwise`, or if the step is not positive or leaves the domain of a
            parameter.

    Reference:
        Glasserman (2003), section 7.1; L'Ecuyer (1991). Chapter: Which estimator?

    Example:
        The gradient of E z^2 under N(3, 2^2) is 2 * 3 with respect to loc.

        >>> from tensorflow_probability import distributions as tfd
        >>> params = {"loc": 3.0, "scale": 2.0}
        >>> estimate = finite_difference(lambda z: z**2, tfd.Normal, params, 10000, seed=0)
        >>> abs(float(estimate.mean["loc"]) - 6) < 4 * float(estimate.standard_error["loc"])
        True
    """
    if not isinstance(common_random_numbers, bool):
        got = _validation.describe(common_random_numbers)
        raise TypeError(_validation.message("common_random_numbers", "True or False", got))
    problem = Problem(f, make_distribution, params, num_samples, seed)
    h = _step(step, problem)
    sides = [problem.seed] * 2 if common_random_numbers else seeds.split(problem.seed, 2)
    rows = problem.rows()
    z = tf.stop_gradient(problem.draw(rows))
    values = problem.evaluate(z)
    _require_a_use(problem, rows, z)
    gradients = {name: _differences(problem, rows, name, h, sides) for name in rows}
    return problem.estimate(values, gradients)


def _differences(problem, rows, name, h, sides):
    """Each sample's difference quotient in every entry of one parameter: shape [num_samples, *param.shape]."""
    shape = problem.params[name].shape
    if not shape.is_fully_defined():
        raise ValueError(_validation.message(f"params[{name!r}]", "a known shape", f"shape {shape}"))
    front = [1] * (rows[name].shape.rank - shape.rank)

    def side(entry, seed):
        return problem.evaluate(problem.draw({**rows, name: entry}, seed))

    def quotient(direction):
        direction = tf.reshape(direction, [*front, *shape])
        above, below = rows[name] + h * direction, rows[name] - h * direction
        width = tf.reduce_sum((above - below)[0])  # what rounding has made of 2 h
        difference = side(above, sides[0]) - side(below, sides[1])
        return tf.reduce_sum(tf.reshape(difference, [problem.num_samples, -1]), axis=1) / width  # of all members

    n = shape.num_elements()
    if n == 1:
        return quotient(tf.ones([1], h.dtype))
    columns = tf.map_fn(quotient, tf.eye(n, dtype=h.dtype))  # (entries, num_samples)
    return tf.transpose(columns)


def _require_a_use(problem, rows, z):
    """A parameter that the distribution does not use is an error, as it is for the other estimators."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(rows)
        log_prob = problem.make_distribution(**rows).log_prob(z)
    problem.connected(tape.gradient(log_prob, rows))


def _step(step, problem):
    """h as a tensor, after a trial on both sides of every parameter."""
    if not isinstance(step, numbers.Real) or isinstance(step, bool) or not 0 < step < float("inf"):
        raise ValueError(_validation.message("step", "a positive number", _validation.describe(step)))
    step = float(step)
    for name, p in problem.params.items():
        _require_a_change(step, name, p)
        for sign in (1.0, -1.0):
            moved = {**problem.params, name: p + tf.cast(sign * step, p.dtype)}
            try:
                _validation.distribution("make_distribution", problem.make_distribution(**moved))
            except ValueError as error:
                expected = f"a step that keeps every parameter in its domain (params[{name!r}] {sign * step:+g})"
                raise ValueError(_validation.message("step", expected, str(error).rstrip("."))) from error
    return tf.constant(step, problem.dtype)


def _require_a_change(step, name, p):
    """Rounding does not swallow the step beside a large parameter."""
    swallowed = (p + tf.cast(step, p.dtype) == p) | (p - tf.cast(step, p.dtype) == p)
    expected = _validation.message("step", f"a step that changes params[{name!r}] in {p.dtype.name}", f"{step:g}")
    if not tf.executing_eagerly():
        tf.debugging.assert_equal(tf.reduce_any(swallowed), False, expected)
    elif tf.reduce_any(swallowed):
        raise ValueError(expected)
