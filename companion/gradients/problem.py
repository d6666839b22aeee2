"""What all estimators share: parameters checked, one row a sample, draws, f evaluated, the result checked."""

import tensorflow as tf

from companion import _validation, seeds
from companion.gradients.estimate import GradientEstimate
from companion.gradients.rows import copy_rows, find_pads
from companion.reparameterizations import draw

__all__ = ["Problem"]


class Problem:
    """E f(z) for z ~ make_distribution(**params), checked and ready to be differentiated sample by sample.

    Args:
        f: a function from z of shape [num_samples, *batch, *event] to a float tensor of shape
            [num_samples], or [num_samples, *batch] for a batch of separate problems.
        make_distribution: a callable from the parameters to a `tfd.Distribution`.
        params: a mapping of names to tensors, arrays, variables or numbers.
        num_samples: how many samples.
        seed: as for `companion.seeds.as_seed`.

    Attributes:
        distribution: make_distribution(**params), its parameters checked.
    """

    def __init__(self, f, make_distribution, params, num_samples, seed):
        self.f = _validation.function("f", f)
        self.make_distribution = _validation.function("make_distribution", make_distribution)
        self.params = _validation.float_tensors("params", params)
        self.num_samples = _validation.count("num_samples", num_samples)
        self.seed = seeds.as_seed(seed)
        self._pads = None  # found when rows are first asked for
        made = make_distribution(**self.params)
        self.distribution = _validation.distribution("make_distribution(**params)", made)
        if not isinstance(made.event_shape, tf.TensorShape):
            raise TypeError(_validation.message("make_distribution", "one tensor as event", type(made).__name__))

    @property
    def dtype(self):
        """The floating width of the parameters, of f and of the gradients."""
        return next(iter(self.params.values())).dtype

    def rows(self, num_rows=None):
        """Each parameter with a leading axis of one copy a sample, to be watched by a tape."""
        if self._pads is None:
            self._pads = find_pads(self.make_distribution, self.params, self.distribution)
        return copy_rows(self.params, self.num_samples if num_rows is None else num_rows, self._pads)

    def draw(self, rows, seed=None):
        """One sample a row, shape [num_samples, *batch, *event]; by the problem's seed or another."""
        return draw(self.make_distribution(**rows), self.seed if seed is None else seed)

    def evaluate(self, z):
        """f at any number of samples, checked: one float a sample, or one a sample and member of the batch."""
        values = self._tensor(self.f(z))
        if values.dtype != self.dtype:
            expected = f"values of dtype {self.dtype.name}, the width of the parameters"
            raise TypeError(_validation.message("f", expected, values.dtype.name))
        single = tf.TensorShape(z.shape[:1])
        batched = single.concatenate(self.distribution.batch_shape)
        if not any(values.shape.rank == s.rank and values.shape.is_compatible_with(s) for s in (single, batched)):
            expected = f"one value a sample, shape {list(single)}"
            if batched.rank != 1:
                expected += f" or, for a batch of problems, {batched}"
            got = f"shape {values.shape} from z of shape {z.shape}"
            raise ValueError(_validation.message("f", expected, got))
        if values.shape.rank > 1 and not values.shape.is_fully_defined():  # known only when the graph runs
            expected = _validation.message("f", "one value a sample and member of the batch", "another shape")
            tf.debugging.assert_equal(tf.shape(values)[1:], self.distribution.batch_shape_tensor(), expected)
        return _validation.finite("f(z)", values)

    @staticmethod
    def _tensor(values):
        try:
            return tf.convert_to_tensor(values)
        except (TypeError, ValueError) as error:
            raise TypeError(_validation.message("f", "a tensor of floats", _validation.describe(values))) from error

    @staticmethod
    def connected(gradients):
        """The gradients, none of which is None."""
        for name, gradient in gradients.items():
            if gradient is None:
                expected = "a path from the parameter through the distribution and f to the result"
                raise ValueError(_validation.message(f"params[{name!r}]", expected, _CUT))
        return gradients

    def estimate(self, values, gradients):
        """The result of an estimator: every parameter's gradient present, finite and of the right shape."""
        samples = {}
        for name, gradient in self.connected(gradients).items():
            shape = tf.concat([[self.num_samples], tf.shape(self.params[name])], axis=0)
            gradient = tf.reshape(gradient, shape)  # away with the padding of the rows
            gradient = tf.ensure_shape(gradient, [self.num_samples, *self.params[name].shape])
            samples[name] = _validation.finite(f"the gradient of params[{name!r}]", gradient)
        return GradientEstimate(tf.stop_gradient(values), samples)


_CUT = (
    "the gradient None: make_distribution does not use the parameter, or the path is cut on the way (a value "
    "taken out of TensorFlow with .numpy(), a Keras variable inside make_distribution, a stop_gradient, a "
    "rounding or comparison in f), or the noise itself depends on the parameter (the df of StudentT)"
)
