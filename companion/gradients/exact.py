"""The exact gradient, where it can be had: quadrature in one dimension, enumeration of what is finite."""

import numpy as np
import tensorflow as tf

from companion import _validation, quadrature
from companion.gradients.enumeration import enumerate_gradient
from companion.gradients.problem import Problem
from companion.reparameterizations import is_discrete

__all__ = ["exact"]

_PILOT = 4096  # samples that show where the mass is
_FADED = -700.0  # the logarithm of a density that is 0 in float64
_MOST_DOUBLINGS = 200


def exact(f, make_distribution, params):
    r"""The gradient of E f(z), in float64, by quadrature in one dimension or by enumeration.

    .. math::

        \nabla_\theta \int_a^b f(z)\, q(z;\theta)\, dz
        = \int_a^b f(z)\, \nabla_\theta q(z;\theta)\, dz
        + f(b)\, q(b;\theta)\, \nabla_\theta b - f(a)\, q(a;\theta)\, \nabla_\theta a

    f is not differentiated, so this is right for f with kinks and jumps; the boundary terms make it right for a
    support [a, b] that moves with theta. An integral is accepted only if its error estimate is below 1e-9 of the
    integral of the absolute value (of f less its median, which changes nothing else); detail of f much narrower
    than the spread of z can go unseen. A density that is infinite at an upper end other than 0 is more than float64
    can resolve, and an error.

    Args:
        f: as for `companion.gradients.pathwise`, for any number of samples. It is called with float64
            samples (or integers, if the distribution is over integers) and returns floats.
        make_distribution: a callable, called with the parameters as float64 keywords, that returns a
            `tfd.Distribution`: continuous over single numbers, or discrete. For a batch, f must return one value
            a member; if it takes members together, the distribution must be finite, and every combination is visited.
            Poisson, Geometric and NegativeBinomial are summed until what is left does not count.
        params: a mapping of names to tensors, arrays, variables or numbers.

    Returns:
        A dict of float64 arrays of the parameters' shapes.

    Raises:
        TypeError: if an argument is of the wrong kind, or the distribution is neither one-dimensional nor
            enumerable.
        ValueError: as for `companion.gradients.pathwise`, or if an integral or a sum does not converge.
        RuntimeError: inside `tf.function`.

    Reference:
        Leibniz's rule; Piessens, de Doncker-Kapenga, Ueberhuber and Kahaner (1983) for the quadrature. Chapter: When
        the trick fails.

    Example:
        A step: pathwise can't see its gradient, phi(0) = 0.398942.

        >>> from tensorflow_probability import distributions as tfd
        >>> step = lambda z: tf.cast(z > 0, z.dtype)
        >>> exact(step, tfd.Normal, {"loc": 0.0, "scale": 1.0})["loc"].round(6)
        np.float64(0.398942)
    """
    if not tf.executing_eagerly():
        raise RuntimeError(_validation.message("exact", "eager execution", "a call inside tf.function"))
    params = {name: tf.cast(p, tf.float64) for name, p in _validation.float_tensors("params", params).items()}
    widened = _widened(_validation.function("f", f))
    problem = Problem(widened, make_distribution, params, num_samples=_PILOT, seed=0)
    gradient = enumerate_gradient(problem) if is_discrete(problem.distribution) else _integrate_gradient(problem)
    return {name: gradient[name].reshape(p.shape)[()] for name, p in params.items()}


def _widened(f):
    """f with float64 values: at integers it can't know which width is wanted."""

    def f_in_float64(z):
        values = tf.convert_to_tensor(f(z))
        return tf.cast(values, tf.float64) if values.dtype.is_floating else values

    return f_in_float64


def _integrate_gradient(problem):
    """The integral over the support and the boundary terms, for all members of the batch at once."""
    pilot = problem.draw(problem.rows())
    values = problem.evaluate(pilot)
    _require_one_dimension(problem.distribution, values)
    integral = _Integral(problem, pilot, values)
    interior, boundary = integral.interior(), integral.boundary()
    return {name: interior[name] + boundary[name] for name in problem.params}


def _require_one_dimension(distribution, values):
    together = distribution.event_shape
    if values.shape.rank == 1:
        together = distribution.batch_shape + together
    if together.num_elements() != 1 or distribution.event_shape.rank:
        expected = "a distribution over single numbers, and f with one value for each of them"
        got = f"f of {together.num_elements()} numbers together; take an estimator with many samples instead"
        raise TypeError(_validation.message("make_distribution", expected, got))


class _Integral:
    """Integrals over z = to_support(x), x real, so that the ends of a bounded support lie at infinity.

    Every member of the batch has its own panels of x; t counts them, and t in [j, j + 1] is the panel j of all
    members. The median of f is taken from f: it changes nothing about the gradient, and what is left has fewer
    digits to lose.
    """

    def __init__(self, problem, pilot, values):
        self.problem = problem
        self.to_support = problem.distribution.experimental_default_event_space_bijector()
        self.constant = np.median(values, axis=0)
        self.edges = self.find_edges(pilot)  # (panels + 1, *batch)

    def f(self, z):
        """f less its median, with the batch's axes even if f leaves the only member out: shape [n, *batch]."""
        return tf.reshape(self.problem.evaluate(z) - self.constant, z.shape)

    def interior(self):
        """The integral of f(z) times the derivative of the density at fixed z."""
        self.require_faded()
        panels = np.arange(len(self.edges), dtype=float)
        flat = np.atleast_1d(quadrature.integrate_panels(self.integrand, panels, argument="f"))
        shapes = {name: tuple(p.shape) for name, p in self.problem.params.items()}
        parts = np.split(flat, np.cumsum([np.prod(shape, dtype=int) for shape in shapes.values()])[:-1])
        return {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)}

    def boundary(self):
        """f times the density at the ends of the support, times how fast they move."""
        params = self.problem.params
        total = {name: np.zeros(p.shape) for name, p in params.items()}
        for sign in (-1.0, 1.0):
            with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
                tape.watch(params)
                to_support = self.problem.make_distribution(**params).experimental_default_event_space_bijector()
                end = to_support.forward(tf.fill(self.edges.shape[1:], tf.constant(sign * np.inf, tf.float64)))
            if not any(g is not None and np.any(g) for g in tape.gradient(end, params).values()):
                continue  # the end stays where it is
            inside = tf.constant(np.nextafter(end.numpy(), -sign * np.inf))[None]
            flow = sign * self.f(inside) * tf.exp(self.problem.distribution.log_prob(inside))
            _validation.finite("the density at the end of the support", flow)
            for name, g in tape.gradient(end, params, flow[0]).items():
                total[name] = total[name] + (0.0 if g is None else g.numpy())
        return total

    def integrand(self, t):
        """Places [n] -> f times the derivative of the density, for all entries of all parameters [n, entries]."""
        x, width = self.places(t)
        z, log_jacobian = self.support(x)
        rows = self.problem.rows(len(t))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(rows)
            log_prob = self.problem.make_distribution(**rows).log_prob(z)
        density = tf.exp(log_prob + log_jacobian) * width
        gradients = self.problem.connected(tape.gradient(log_prob, rows, density * self.f(z)))
        flat = tf.concat([tf.reshape(g, [len(t), -1]) for g in gradients.values()], axis=1).numpy()
        anywhere = (density.numpy() > 0).reshape(len(t), -1).any(axis=1, keepdims=True)
        return np.where(anywhere, flat, 0.0)  # where there is no density, the score may be infinite

    def places(self, t):
        """x and dx/dt at t: the panel's number and how far into it, each of shape [n, *batch]."""
        panel = np.minimum(np.floor(t).astype(int), len(self.edges) - 2)
        width = np.diff(self.edges, axis=0)[panel]
        into = (t - panel).reshape(-1, *[1] * (self.edges.ndim - 1))
        return tf.constant(self.edges[panel] + into * width), width

    def support(self, x):
        """z and log dz/dx at x, each of shape [n, *batch]."""
        log_jacobian = self.to_support.forward_log_det_jacobian(x, event_ndims=0)
        return self.to_support.forward(x), tf.broadcast_to(log_jacobian, x.shape)

    def find_edges(self, pilot):
        """Quantiles of a sample of x in the middle, then doubling steps until the density is 0."""
        x = self.to_support.inverse(pilot).numpy()
        middle = np.nanquantile(np.where(np.isfinite(x), x, np.nan), np.linspace(0.0, 1.0, 65), axis=0)
        step = (middle[-1] - middle[0]) / 16.0
        return np.concatenate([self.tail(middle[0], -step)[::-1], middle, self.tail(middle[-1], step)])

    def tail(self, end, step):
        """Edges beyond the sample, doubling away from it as far as z can be told from the end of its support.

        A member that needs fewer of them than others repeats its last.
        """
        growth = (2.0 ** np.arange(1, _MOST_DOUBLINGS) - 1.0).reshape(-1, *[1] * end.ndim)
        x = end + step * growth
        z, log_jacobian = self.support(tf.constant(x))
        log_density = (self.problem.distribution.log_prob(z) + log_jacobian).numpy()
        exact = np.logical_and.accumulate(log_density < np.inf)  # false for NaN, too
        before = np.concatenate([np.ones_like(exact[:1]), log_density[:-1] > _FADED])  # not faded one step earlier
        wanted = exact & np.logical_and.accumulate(before)
        last = np.where(wanted.any(axis=0), np.take_along_axis(x, wanted.sum(axis=0)[None] - 1, axis=0)[0], end)
        return np.where(wanted, x, last)[: max(1, wanted.sum(axis=0).max())]

    def require_faded(self):
        """At the last edges the integrand falls off faster than one over the distance."""
        panels = np.arange(len(self.edges) - 1, dtype=float)
        mass = np.abs(self.integrand(panels + 0.5)).sum(axis=0)
        ends = self.integrand(np.array([0.0, len(panels)]))  # per panel, and the last panels are the longest
        if not (np.abs(ends) <= quadrature.TOLERANCE * mass).all():
            expected = "a finite expectation, and a density that float64 can resolve up to the ends of its support"
            raise ValueError(_validation.message("f", expected, "an integral that does not converge"))
