"""The pathwise estimator: the reparameterization trick."""

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation
from companion.gradients.applicable import applicable
from companion.gradients.problem import Problem
from companion.reparameterizations import is_discrete

__all__ = ["pathwise"]


def pathwise(f, make_distribution, params, num_samples, seed=None):
    r"""Estimates the gradient of E f(z) by differentiating f along the path z = g(eps, theta).

    .. math::

        \nabla_\theta \mathbb{E}_{q(z;\theta)}[f(z)]
        = \mathbb{E}_{p(\epsilon)}\bigl[\nabla_\theta f(g(\epsilon, \theta))\bigr]

    It is unbiased if, for almost every eps, theta -> f(g(eps, theta)) is absolutely continuous near theta
    with an integrable local bound on its derivative. A kink in f is fine; a jump is not, and gives a
    wrong number without an error. Families without an explicit g (Gamma, Beta, Dirichlet, VonMises)
    use TFP's implicit gradients (Figurnov et al., 2018).

    Args:
        f: a function from z of shape [num_samples, *batch, *event] to [num_samples], or to
            [num_samples, *batch] for a batch of separate problems. It treats every sample alone.
        make_distribution: a callable, called with the parameters as keywords, that returns a
            `tfd.Distribution`; a class such as `tfd.Normal` will do. Leading axes of the parameters must
            become batch axes of the distribution.
        params: a mapping of names to tensors, arrays, variables or numbers, of one floating width.
        num_samples: how many samples, at least 1.
        seed: an integer, an integer tensor of shape [2], a `keras.random.SeedGenerator` or None. The same
            seed gives the same samples eagerly, in a graph and under XLA if g is explicit. The samplers of
            TFP, which serve the other families, keep that promise in each mode alone.

    Returns:
        A `GradientEstimate`.

    Raises:
        TypeError: if an argument is of the wrong kind, or the distribution can't be reparameterized.
        ValueError: if a value is out of its domain, f returns the wrong shape, a parameter does not reach
            the result, or a number comes out that is not finite.

    Reference:
        Kingma and Welling (2014), Rezende, Mohamed and Wierstra (2014); conditions in Glasserman (2003),
        chapter 7. Chapter: The trick.

    Example:
        The gradient of E (z - 1)^2 under N(3, 2^2) is 2 (3 - 1) = 4 with respect to loc.

        >>> estimate = pathwise(lambda z: (z - 1) ** 2, tfd.Normal, {"loc": 3.0, "scale": 2.0}, 10000, seed=0)
        >>> abs(float(estimate.mean["loc"]) - 4) < 4 * float(estimate.standard_error["loc"])
        True
    """
    problem = Problem(f, make_distribution, params, num_samples, seed)
    _require_a_path(problem.distribution)
    rows = problem.rows()
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(rows)
        values = problem.evaluate(problem.draw(rows))
    return problem.estimate(values, tape.gradient(values, rows))


def _require_a_path(distribution):
    if distribution.reparameterization_type != tfd.FULLY_REPARAMETERIZED:
        kind = "which is discrete" if is_discrete(distribution) else "which TFP can't reparameterize"
        expected = "a reparameterizable distribution (its sample a differentiable function of its parameters)"
        got = f"{type(distribution).__name__}, {kind}; {', '.join(applicable(distribution))} apply"
        raise TypeError(_validation.message("make_distribution", expected, got))
