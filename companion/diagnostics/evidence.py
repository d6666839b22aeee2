"""What an audit looks at: samples, f at them, and both gradients of every sample, none of them refused."""

from functools import cached_property, partial

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import seeds
from companion.diagnostics.neighbours import neighbours, step_of
from companion.gradients.log_density import differentiable_log_prob
from companion.gradients.problem import Problem
from companion.reparameterizations import find, is_discrete

__all__ = ["Evidence"]

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

    def f_anywhere(self, z):
        """f at places that no sample need reach, as an array; it may be infinite or NaN there."""
        return np.asarray(self.problem.f(z))

    def explained_by_slope(self, left, right):
        """How much of a difference of f between neighbouring places the derivative of f accounts for, generously."""
        total = 0.0
        for z in (left, right):
            with tf.GradientTape() as tape:
                tape.watch(z)
                values = tf.convert_to_tensor(self.problem.f(z))
            slope = tape.gradient(values, z)
            if slope is not None:
                parts = np.abs(slope.numpy() * (right - left).numpy())
                total = total + parts.sum(axis=tuple(range(values.shape.rank, parts.ndim)))
        return 2.0 * np.nan_to_num(total)

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
    def _neighbours(self):
        return {}

    def neighbours(self, name):
        """The valid laws on both sides of a parameter, so near that samples move by a tenth of their spread at most."""
        if name not in self._neighbours:
            self._neighbours[name] = list(neighbours(self.problem, name, self._fraction(name)))
        return self._neighbours[name]

    def _fraction(self, name):
        """By how much the steps have to be shorter, so that no sample goes where no sample is."""
        if self.discrete or not self.reparameterized:
            return 1.0
        spread = np.std(self.z.numpy(), axis=0)
        for fraction in 0.25 ** np.arange(12):
            moved = [_draw_rows(self.problem, d).numpy() for d in neighbours(self.problem, name, fraction)]
            if all((np.median(np.abs(z - self.z), axis=0) <= 0.1 * spread).all() for z in moved):
                break
        return fraction

    @cached_property
    def _moved(self):
        return {}

    def moved_samples(self, name):
        """Samples of the laws on both sides of a parameter, by one seed: a pair of [num_samples, *batch, *event].

        Where one side is outside the domain, its place is taken by the samples themselves.
        """
        if name not in self._moved:
            sides = [_draw_rows(self.problem, d) for d in self.neighbours(name)]
            self._moved[name] = [*sides, self.z, self.z][:2]
        return self._moved[name]

    def moved_difference(self, name):
        """f on one side of a parameter less f on the other, at common random numbers: shape [num_samples]."""
        first, second = (self.f_anywhere(z).astype(float) for z in self.moved_samples(name))
        difference = (first - second).reshape(self.num_samples, -1).sum(axis=1)
        return np.where(np.isfinite(difference), difference, 0.0)

    def slope_by_difference(self, name):
        """The derivative along the parameter's steps: by differences of each sample, and by pathwise gradients.

        Returns:
            Two arrays [num_samples], the differences by two steps and without their error of second order, and a
            bound on what is left of it; None if one side is outside the domain.
        """
        problem, fraction = self.problem, self._fraction(name)
        if len(self.neighbours(name)) < 2:
            return None
        steps = step_of(problem.params[name]).numpy() * fraction
        quotients = []
        for shrink in (1.0, 0.5):
            sides = [_draw_rows(problem, d) for d in neighbours(problem, name, shrink * fraction, once=True)]
            if len(sides) < 2:
                return None
            values = [self.f_anywhere(z).astype(float).reshape(self.num_samples, -1).sum(axis=1) for z in sides]
            quotients.append((values[0] - values[1]) / (2.0 * shrink))
        by_difference = (4.0 * quotients[1] - quotients[0]) / 3.0
        along = (self.pathwise(name) * steps).reshape(self.num_samples, -1).sum(axis=1)
        return by_difference, along, abs(np.mean(by_difference - quotients[1]))

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
        near = list(neighbours(problem, name))
        return not near or any(
            not np.array_equal(moved.log_prob(z).numpy(), before, equal_nan=True)
            or not np.array_equal(_draw(moved, problem.seed).numpy(), z.numpy())
            for moved in near
        )


def _draw(distribution, seed):
    return distribution.sample(_FEW, seed=seed)


def _draw_rows(problem, distribution):
    """As many samples as the problem has, each by the map of its family if it has one."""
    reparameterization = find(distribution)
    sampler = distribution if reparameterization is None else reparameterization
    return sampler.sample(problem.num_samples, seed=problem.seed)
