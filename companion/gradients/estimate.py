"""`GradientEstimate`: what every estimator returns."""

from typing import NamedTuple

import tensorflow as tf

from companion import _validation

__all__ = ["GradientEstimate"]


class GradientEstimate(NamedTuple):
    """An estimate of E f(z) and of its gradient, with one entry a sample.

    It is a named tuple of tensors, so it can be returned from a `tf.function`. The statistics are mappings
    with the names of the parameters as keys.

    Attributes:
        function_values: f at each sample, shape [num_samples] or [num_samples, *batch].
        samples: the gradient of each sample alone, each of shape [num_samples, *param.shape].

    Example:
        >>> estimate = GradientEstimate(tf.constant([1.0, 3.0]), {"loc": tf.constant([2.0, 4.0])})
        >>> float(estimate.value), float(estimate.mean["loc"]), float(estimate.standard_error["loc"])
        (2.0, 3.0, 1.0)
    """

    function_values: tf.Tensor
    samples: dict

    @property
    def num_samples(self):
        """How many samples the estimate was made from."""
        return self.function_values.shape[0]

    @property
    def value(self):
        """The estimate of E f(z): the mean of f over the samples."""
        return tf.reduce_mean(self.function_values, axis=0)

    @property
    def mean(self):
        """The estimate of the gradient: the mean over the samples, of the shape of each parameter."""
        return {name: tf.reduce_mean(g, axis=0) for name, g in self.samples.items()}

    @property
    def variance(self):
        """The variance of one sample's gradient, estimated with the divisor num_samples - 1."""
        n = _validation.count("num_samples (for a variance)", self.num_samples, minimum=2)
        return {name: tf.math.reduce_variance(g, axis=0) * (n / (n - 1)) for name, g in self.samples.items()}

    @property
    def standard_error(self):
        """The standard deviation of `mean`: sqrt(variance / num_samples)."""
        return {name: tf.sqrt(v / self.num_samples) for name, v in self.variance.items()}

    @property
    def snr(self):
        """The signal-to-noise ratio of one sample, |mean| / sqrt(variance); 0 where both are 0.

        That of the mean of num_samples samples is sqrt(num_samples) times as large.
        """
        mean = self.mean
        return {
            name: tf.where(mean[name] == 0, tf.zeros_like(v), tf.abs(mean[name]) / tf.sqrt(v))
            for name, v in self.variance.items()
        }

    def __repr__(self):
        names = ", ".join(f"{name}: {list(g.shape)}" for name, g in self.samples.items())
        return f"GradientEstimate(num_samples={self.num_samples}, samples={{{names}}})"
