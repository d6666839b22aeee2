"""The standard noises p(eps): TFP distributions whose samples are the same in every mode of execution.

Contract: each has a `batch_shape` and a dtype and nothing to learn (StudentT has its degrees of freedom,
which are given). Each draws by its quantile function at the uniform noise of `companion.seeds`, so one seed
gives the same eps eagerly, in a graph and under XLA, which TFP's own samplers do not.
"""

import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import seeds

__all__ = [
    "standard_cauchy",
    "standard_gumbel",
    "standard_half_normal",
    "standard_laplace",
    "standard_logistic",
    "standard_normal",
    "standard_student_t",
    "standard_uniform",
]


class _Standard:
    """Draws by `_from_uniform` where TFP would call its own sampler."""

    def _call_sample_n(self, sample_shape, seed, **kwargs):
        front = tf.reshape(tf.cast(sample_shape, tf.int32), [-1])
        shape = tf.concat([front, self.batch_shape_tensor()], axis=0)
        static = tf.get_static_value(shape)
        return self._from_seed(shape if static is None else static.tolist(), seed)

    def _from_seed(self, shape, seed):
        return self._from_uniform(seeds.uniform(shape, seed, self.dtype))


class _Normal(_Standard, tfd.Normal):
    def _from_uniform(self, u):
        return tf.math.ndtri(u)


class _Laplace(_Standard, tfd.Laplace):
    def _from_uniform(self, u):
        return tf.where(u < 0.5, tf.math.log(2.0 * u), -tf.math.log(2.0 * (1.0 - u)))


class _Logistic(_Standard, tfd.Logistic):
    def _from_uniform(self, u):
        return tf.math.log(u) - tf.math.log1p(-u)


class _Gumbel(_Standard, tfd.Gumbel):
    def _from_uniform(self, u):
        return -tf.math.log(-tf.math.log(u))


class _Cauchy(_Standard, tfd.Cauchy):
    def _from_uniform(self, u):
        return tf.math.tan(math.pi * (u - 0.5))


class _HalfNormal(_Standard, tfd.HalfNormal):
    def _from_uniform(self, u):
        return -tf.math.ndtri(0.5 * (1.0 - u))  # Phi^{-1}((1 + u) / 2), exact near 0


class _Uniform(_Standard, tfd.Uniform):
    def _from_uniform(self, u):
        return u


class _StudentT(_Standard, tfd.StudentT):
    def _from_seed(self, shape, seed):
        radius_seed, angle_seed = seeds.split(seed, 2)
        u = seeds.uniform(shape, radius_seed, self.dtype)
        v = seeds.uniform(shape, angle_seed, self.dtype)
        radius = tf.sqrt(self.df * tf.math.expm1(-2.0 / self.df * tf.math.log(u)))
        return radius * tf.cos(2.0 * math.pi * v)


def standard_normal(shape=(), dtype=tf.float32):
    """N(0, 1) of batch shape `shape`: eps = Phi^{-1}(u)."""
    return _Normal(loc=tf.zeros(shape, dtype), scale=tf.ones([], dtype), name="StandardNormal")


def standard_laplace(shape=(), dtype=tf.float32):
    """Laplace(0, 1) of batch shape `shape`: eps = log(2u) below the median, -log(2(1 - u)) above."""
    return _Laplace(loc=tf.zeros(shape, dtype), scale=tf.ones([], dtype), name="StandardLaplace")


def standard_logistic(shape=(), dtype=tf.float32):
    """Logistic(0, 1) of batch shape `shape`: eps = log u - log(1 - u)."""
    return _Logistic(loc=tf.zeros(shape, dtype), scale=tf.ones([], dtype), name="StandardLogistic")


def standard_gumbel(shape=(), dtype=tf.float32):
    """Gumbel(0, 1) of batch shape `shape`: eps = -log(-log u)."""
    return _Gumbel(loc=tf.zeros(shape, dtype), scale=tf.ones([], dtype), name="StandardGumbel")


def standard_cauchy(shape=(), dtype=tf.float32):
    """Cauchy(0, 1) of batch shape `shape`: eps = tan(pi (u - 1/2))."""
    return _Cauchy(loc=tf.zeros(shape, dtype), scale=tf.ones([], dtype), name="StandardCauchy")


def standard_half_normal(shape=(), dtype=tf.float32):
    """The law of |N(0, 1)|, of batch shape `shape`: eps = Phi^{-1}((1 + u) / 2)."""
    return _HalfNormal(scale=tf.ones(shape, dtype), name="StandardHalfNormal")


def standard_uniform(shape=(), dtype=tf.float32):
    """U(0, 1) of batch shape `shape`."""
    return _Uniform(low=tf.zeros(shape, dtype), high=tf.ones([], dtype), name="StandardUniform")


def standard_student_t(df, shape=(), dtype=tf.float32):
    """Student's t at loc 0 and scale 1, degrees of freedom given, of batch shape `shape`.

    By the polar method of Bailey (1994): eps = sqrt(df (u^{-2/df} - 1)) cos(2 pi v), u and v uniform.
    """
    df = tf.broadcast_to(tf.stop_gradient(tf.convert_to_tensor(df, dtype)), shape)
    return _StudentT(df=df, loc=tf.zeros([], dtype), scale=tf.ones([], dtype), name="StandardStudentT")
