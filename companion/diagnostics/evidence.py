"""What an audit looks at: samples, f at them, and both gradients of every sample, none of them refused."""

from functools import cached_property, partial

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation, seeds
from companion.gradients.log_density import differentiable_log_prob
from companion.gradients.problem import Problem
from companion.reparameterizations import find, is_discrete

__all__ = ["Evidence"]

_MOVE = 0.05  # how far a parameter is moved, as a fraction of its size or of 1
_FEW = 2048  # samples for looking at supports and at what f does with z


class Evidence:
    """Lazily computed facts about E f(z), each of them computed once.

    Args:
        f, make_distribution, params, num_samples, seed: as for the estimators.

    Attributes:
        problem: the checked `Problem`, without the parameters that change nothing.
        ignored: the names of the parameters that change nothing about the distribution.
    """

    def __init__(self, f, make_distribution, params, num_samples, seed):
        whole = Problem(f, make_distribution, params, num_samples, seed)
        self.num_samples = num_samples
        self.distribution = whole.distribution
        self.ignored = tuple(name for name in whole.params if not self._matters(whole, name))
        used = {name: p for name, p in whole.params.items() if name not in self.ignored}
        fixed = {name: whole.params[name] for name in self.ignored}
        self.problem = Problem(f, partial(make_distribution, **fixed), used, num_samples, whole.seed) if used else None

    @property
    def discrete(self):
        """Whether z jumps from value to value."""
        return is_discrete(self.distribution)

    @property
    def reparameterized(self):
        """Whether z moves with the parameters."""
        return self.distribution.reparameterization_type == tfd.FULLY_REPARAMETERIZED

    @cached_property
    def _traced(self):
        """Samples, values and gradients; the density is differentiated at the samples of the path."""
        problem = self.problem
        rows = problem.rows()
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(rows)
            z = problem.draw(rows)
            fixed = tf.stop_gradient(z)
            if fixed.dtype.is_floating:
                tape.watch(fixed)
            values = problem.evaluate(z)
            at_fixed = problem.evaluate(fixed)
            log_prob = differentiable_log_prob(problem.make_distribution(**rows), fixed)
            if values.shape.rank == 1:
                log_prob = tf.reduce_sum(log_prob, axis=list(range(1, log_prob.shape.rank)))
        return {
            "z": fixed,
            "values": values,
            "log_prob": log_prob,
            "through_f": tape.gradient(at_fixed, fixed) if fixed.dtype.is_floating else None,
            "pathwise": tape.gradient(values, rows) if self.reparameterized else dict.fromkeys(rows),
            "score": tape.gradient(log_prob, rows, tf.stop_gradient(values)),
        }

    @property
    def z(self):
        """The samples, shape [num_samples, *batch, *event]."""
        return self._traced["z"]

    @property
    def values(self):
        """f at the samples, as an array."""
        return self._traced["values"].numpy()

    @property
    def log_prob(self):
        """The log-density at the samples, as an array."""
        return self._traced["log_prob"].numpy()

    @property
    def f_has_slope(self):
        """Whether TensorFlow finds a way back from f to z."""
        return self._traced["through_f"] is not None

    def pathwise(self, name):
        """Each sample's pathwise gradient as an array [num_samples, *param.shape]; None if there is no path."""
        return self._rows_as_array("pathwise", name)

    def score(self, name):
        """Each sample's score-function gradient (without a baseline), likewise."""
        return self._rows_as_array("score", name)

    def _rows_as_array(self, kind, name):
        g = self._traced[kind][name]
        if g is None:
            return None
        return np.asarray(tf.convert_to_tensor(g), float).reshape(self.num_samples, *self.problem.params[name].shape)

    @cached_property
    def _moved(self):
        return {}

    def moved_samples(self, name):
        """Samples of the laws on both sides of a parameter, by one seed: a pair of [num_samples, *batch, *event].

        Where one side is outside the domain, its place is taken by the samples themselves.
        """
        if name not in self._moved:
            sides = [_draw_rows(self.problem, d) for d in neighbours(self.problem, name)]
            self._moved[name] = [*sides, self.z, self.z][:2]
        return self._moved[name]

    def moved_difference(self, name):
        """f on one side of a parameter less f on the other, at common random numbers: shape [num_samples]."""
        first, second = (self.problem.evaluate(z).numpy() for z in self.moved_samples(name))
        return (first - second).reshape(self.num_samples, -1).sum(axis=1)

    @cached_property
    def other_values(self):
        """f at as many other samples."""
        other = self.problem.draw(self.problem.rows(), seeds.split(self.problem.seed, 2)[1])
        return self.problem.evaluate(other).numpy()

    @cached_property
    def f_is_deterministic(self):
        """Whether f gives the same values at the same samples again."""
        return np.array_equal(self.problem.evaluate(self.z).numpy(), self.values)

    @staticmethod
    def _matters(problem, name):
        """Whether moving a parameter changes the density at fixed samples, or the samples themselves."""
        z = _draw(problem.distribution, problem.seed)
        before = problem.distribution.log_prob(z).numpy()
        for moved in neighbours(problem, name):
            if not np.array_equal(moved.log_prob(z).numpy(), before, equal_nan=True):
                return True
            if not np.array_equal(_draw(moved, problem.seed).numpy(), z.numpy()):
                return True
        return False


def neighbours(problem, name):
    """The valid distributions next to this one, with one parameter moved to either side.

    Its entries move by unequal steps of at most 0.05 max(1, size), for some laws do not change if all entries
    move alike (logits). A step that leaves the domain is made shorter.

    Yields:
        Distributions, two at most.
    """
    p = problem.params[name]
    steps = tf.reshape(tf.linspace(tf.ones([], p.dtype), 0.5, max(1, p.shape.num_elements())), p.shape)
    for sign in (1.0, -1.0):
        for fraction in (1.0, 0.1, 0.01):
            moved = p + sign * fraction * _MOVE * steps * tf.maximum(tf.abs(p), 1.0)
            try:
                made = problem.make_distribution(**{**problem.params, name: moved})
                yield _validation.distribution("make_distribution", made)
                break
            except ValueError:
                continue


def ends(distribution):
    """The lowest and the highest possible number, each of the shape of the batch; None for a law of vectors."""
    to_support = distribution.experimental_default_event_space_bijector()
    if distribution.event_shape.rank or to_support is None:
        return None
    infinity = tf.constant(np.inf, distribution.dtype)
    one, other = to_support.forward(-infinity), to_support.forward(infinity)
    return tf.minimum(one, other), tf.maximum(one, other)


def _draw(distribution, seed):
    return distribution.sample(_FEW, seed=seed)


def _draw_rows(problem, distribution):
    """As many samples as the problem has, each by the map of its family if it has one."""
    reparameterization = find(distribution)
    sampler = distribution if reparameterization is None else reparameterization
    return sampler.sample(problem.num_samples, seed=problem.seed)
