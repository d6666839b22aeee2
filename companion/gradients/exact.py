"""The exact gradient, where it can be had: quadrature in one dimension, enumeration of what is finite."""

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import _validation, quadrature
from companion.gradients.enumeration import enumerate_gradient
from companion.gradients.log_density import differentiable_log_prob
from companion.gradients.problem import Problem
from companion.reparameterizations import is_discrete

__all__ = ["exact"]

_PILOT = 4096  # samples that show where the mass is
_FADED = -700.0  # the logarithm of a density that is 0 in float64
_MOST_DOUBLINGS = 200
_SOUND = 1e-6  # how far the integrals of q and of its derivative may be from 1 and 0


def exact(f, make_distribution, params):
    r"""The gradient of E f(z), in float64, by quadrature in one dimension or by enumeration.

    .. math::

        \nabla_\theta \int_a^b f(z)\, q(z;\theta)\, dz
        = \int_a^b f(z)\, \nabla_\theta q(z;\theta)\, dz
        + f(b)\, q(b;\theta)\, \nabla_\theta b - f(a)\, q(a;\theta)\, \nabla_\theta a

    f is not differentiated, so this is right for f with kinks and jumps; the boundary terms make it right for a
    support [a, b] that moves with theta. An integral is accepted only if its error estimate is below 1e-9 of the
    integral of the absolute value (of f less its median, which changes nothing else), and if the same quadrature
    finds that q integrates to 1 and its derivative, with the boundary terms, to 0: a density that jumps inside its
    support at a place that moves, or whose log_prob has a wrong derivative, is an error. Detail of f much narrower
    than the spread of z can go unseen. A density that is infinite at an end other than 0 is more than float64 can
    resolve, and an error, too.

    Args:
        f: as for `companion.gradients.pathwise`, for any number of samples. It is called with float64
            samples (or integers, if the distribution is over integers) and returns floats.
        make_distribution: a callable, called with the parameters as float64 keywords, that returns a
            `tfd.Distribution`: continuous over single numbers, or discrete. For a batch, f must return one value
            a member; if it takes members together, the distribution must be finite, and every combination is visited.
            Poisson, Geometric and NegativeBinomial are summed until their probabilities add up to 1 and the sum
            stands still; what f does on events of probability below 1e-12 goes unseen.
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
    _validation.eager("exact")
    tensors = _validation.float_tensors("params", params, tf.float64)
    params = {name: tf.cast(p, tf.float64) for name, p in tensors.items()}
    widened = _widened(_validation.function("f", f))
    problem = Problem(widened, make_distribution, params, num_samples=_PILOT, seed=0)
    gradient = enumerate_gradient(problem) if is_discrete(problem.distribution) else _integrate_gradient(problem)
    return {name: np.reshape(gradient[name], p.shape)[()] for name, p in params.items()}


def _widened(f):
    """f with float64 values: at integers it can't know which width is wanted."""

    def f_in_float64(z):
        values = f(z)
        return tf.cast(values, tf.float64) if tf.is_tensor(values) and values.dtype.is_floating else values

    return f_in_float64


def _integrate_gradient(problem):
    """The integral over the support and the boundary terms, for all members of the batch at once."""
    pilot = problem.draw(problem.rows())
    values = problem.evaluate(pilot)
    _require_one_dimension(problem.distribution, values)
    return _Integral(problem, pilot, values).gradient()


def _require_one_dimension(distribution, values):
    expected = "a distribution over single numbers with a density, and f with one value for each of them"
    together = distribution.event_shape
    if values.shape.rank == 1:
        together = distribution.batch_shape + together
    if isinstance(distribution, tfd.Deterministic):
        raise TypeError(_validation.message("make_distribution", expected, "Deterministic"))
    if together.num_elements() != 1 or distribution.event_shape.rank:
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
        self.sizes = [p.shape.num_elements() for p in problem.params.values()]
        self.batch = tuple(pilot.shape[1:])
        self.to_support = _to_support(problem.distribution)
        self.typical = pilot[0]
        self.ends = self.ends_of(self.to_support)
        self.constant = np.median(values, axis=0)
        self.edges = self.find_edges(pilot)  # (panels + 1, *batch)
        self.mass = self.require_faded()

    def f(self, z):
        """f less its median, with the batch's axes even if f leaves the only member out: shape [n, *batch]."""
        return tf.reshape(self.problem.evaluate(z) - self.constant, z.shape)

    def gradient(self):
        """A dict of arrays of the parameters' shapes."""
        found = quadrature.integrate_panels(self.integrand, np.arange(len(self.edges), dtype=float), argument="f")
        interior, of_one, probability, _ = self.split(found)
        at_ends, of_one_at_ends = self.boundary()
        self.require_sound(probability, of_one + of_one_at_ends)
        _validation.finite("the gradient", tf.constant(interior + at_ends))
        entries = np.split(interior + at_ends, np.cumsum(self.sizes)[:-1])
        return dict(zip(self.problem.params, entries, strict=True))

    def integrand(self, t):
        """Places [n] -> f dq, dq, q and f q, for all entries of all parameters and all members: [n, columns]."""
        x, width = self.places(t)
        z, log_jacobian = self.support(x)
        alive = tf.exp(self.problem.distribution.log_prob(z) + log_jacobian) * width > 0
        alive &= (z > self.ends[0]) & (z < self.ends[1])  # and not rounded onto the end of the support
        z = tf.where(alive, z, self.typical)  # elsewhere f and the score may be infinite
        rows = self.problem.rows(len(t))
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(rows)
            log_prob = differentiable_log_prob(self.problem.make_distribution(**rows), z)
        density = tf.where(alive, tf.exp(log_prob + log_jacobian) * width, 0.0)
        value = self.f(z)
        columns = [self.flat(tape.gradient(log_prob, rows, weight)) for weight in (density * value, density)]
        columns += [tf.reshape(column, [len(t), -1]) for column in (density, density * value)]
        return tf.concat(columns, axis=1).numpy()

    def flat(self, gradients):
        """Gradients of rows as one array [n, entries]."""
        columns = self.problem.connected(gradients).values()
        return tf.concat([tf.reshape(g, [g.shape[0], -1]) for g in columns], axis=1)

    def split(self, columns):
        """The parts of an array [..., columns] of the integrand: f dq, dq, q, f q."""
        entries, members = sum(self.sizes), int(np.prod(self.batch, dtype=int))
        return np.split(columns, np.cumsum([entries, entries, members]), axis=-1)

    def boundary(self):
        """f, and 1, times the density at the ends of the support, times how fast they move: two arrays [entries]."""
        params = self.problem.params
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(params)
            to_support = _to_support(self.problem.make_distribution(**params))
            low, high = self.ends_of(to_support)
        total = np.zeros([2, sum(self.sizes)])
        for sign, end, other in ((-1.0, low, high), (1.0, high, low)):
            there = np.isfinite(end.numpy())
            speeds = tape.gradient(end, params, tf.constant(there, tf.float64))
            if not any(g is not None and np.any(np.nan_to_num(g.numpy())) for g in speeds.values()):
                continue  # the end stays where it is, or is infinitely far
            z = tf.constant(np.nextafter(np.where(there, end, self.typical), np.where(there, other, np.inf)))[None]
            flow = np.where(there, sign * np.exp(self.problem.distribution.log_prob(z)[0]), 0.0)
            for row, weight in enumerate((flow * self.f(z)[0].numpy(), flow)):
                total[row] += self.at_once(tape.gradient(end, params, tf.constant(weight)))
        return total

    def ends_of(self, to_support):
        """The lowest and the highest number of the support of each member."""
        images = [to_support.forward(tf.fill(self.batch, tf.constant(x, tf.float64))) for x in (-np.inf, np.inf)]
        return tf.minimum(*images), tf.maximum(*images)

    def at_once(self, gradients):
        """Gradients of the parameters as one array [entries], 0 where there is none."""
        return np.concatenate(
            [np.zeros(n) if g is None else np.ravel(g) for n, g in zip(self.sizes, gradients.values(), strict=True)]
        )

    def places(self, t):
        """x and dx/dt at t: the panel's number and how far into it, each of shape [n, *batch]."""
        panel = np.minimum(np.floor(t).astype(int), len(self.edges) - 2)
        width = np.diff(self.edges, axis=0)[panel]
        into = (t - panel).reshape(-1, *[1] * len(self.batch))
        return tf.constant(self.edges[panel] + into * width), width

    def support(self, x):
        """z and log |dz/dx| at x, each of shape [n, *batch]."""
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
        """At the last edges everything falls off faster than one over the distance; returns the masses, roughly."""
        panels = np.arange(len(self.edges) - 1, dtype=float)
        mass = np.abs(self.integrand(panels + 0.5)).sum(axis=0)
        ends = self.integrand(np.array([0.0, len(panels)]))  # per panel, and the last panels are the longest
        if not (np.abs(ends) <= quadrature.TOLERANCE * mass).all():
            expected = "a finite expectation, and a density that float64 can resolve up to the ends of its support"
            raise ValueError(_validation.message("f", expected, "an integral that does not converge"))
        return mass

    def require_sound(self, probability, of_one):
        """The density integrates to 1 at every parameter: its integral is 1, and that of its derivative 0."""
        far = np.abs(of_one) > _SOUND * self.split(self.mass)[1]
        if far.any() or (np.abs(probability - 1.0) > _SOUND).any():
            expected = "a density that integrates to 1, with a derivative that integrates to 0 with its boundary terms"
            worst = probability[np.argmax(np.abs(probability - 1.0))], of_one[np.argmax(np.abs(of_one))]
            got = f"{worst[0]:.6g} and {worst[1]:.3g}"
            reason = "does the density jump inside its support, at a place that moves, or is log_prob wrong?"
            raise ValueError(_validation.message("make_distribution", expected, f"{got} ({reason})"))


def _to_support(distribution):
    """A map from all numbers onto the support."""
    found = distribution.experimental_default_event_space_bijector()
    return tfb.Identity() if found is None else found  # a mixture has none; the integral of its density tells
