"""The registries: every family that `reparameterize` knows, and every problem whose gradient is known exactly.

A new family or a new problem costs one entry here, and meets every law.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import special, stats
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import gaussian


@dataclass(frozen=True)
class Family:
    """A scalar family with some parameters; `fixed` are those that are given, not learnt."""

    make: object
    params: dict
    fixed: dict = field(default_factory=dict)


FAMILIES = {
    "normal": Family(tfd.Normal, {"loc": 1.0, "scale": 2.0}),
    "laplace": Family(tfd.Laplace, {"loc": -1.0, "scale": 0.5}),
    "logistic": Family(tfd.Logistic, {"loc": 0.5, "scale": 3.0}),
    "gumbel": Family(tfd.Gumbel, {"loc": 0.5, "scale": 2.0}),
    "cauchy": Family(tfd.Cauchy, {"loc": -2.0, "scale": 0.7}),
    "uniform": Family(tfd.Uniform, {"low": -1.0, "high": 2.5}),
    "half_normal": Family(tfd.HalfNormal, {"scale": 1.7}),
    "student_t": Family(tfd.StudentT, {"loc": 1.0, "scale": 2.0}, {"df": 3.5}),
    "exponential": Family(tfd.Exponential, {"rate": 2.5}),
    "weibull": Family(tfd.Weibull, {"concentration": 1.5, "scale": 2.0}),
    "pareto": Family(tfd.Pareto, {"concentration": 3.0, "scale": 1.5}),
    "kumaraswamy": Family(tfd.Kumaraswamy, {"concentration1": 2.0, "concentration0": 3.0}),
    "truncated_normal": Family(tfd.TruncatedNormal, {"loc": 0.3, "scale": 0.6}, {"low": -1.0, "high": 2.0}),
    "log_normal": Family(tfd.LogNormal, {"loc": 0.2, "scale": 0.6}),
    "logit_normal": Family(tfd.LogitNormal, {"loc": 0.2, "scale": 0.6}),
    "log_logistic": Family(tfd.LogLogistic, {"loc": 0.2, "scale": 0.4}),
    "relaxed_bernoulli": Family(tfd.RelaxedBernoulli, {"logits": 2.5}, {"temperature": 0.8}),
    "shifted_by_bijector": Family(
        lambda loc, shift: tfd.TransformedDistribution(tfd.Normal(loc, 1.5), tfb.Shift(shift)),
        {"loc": 0.3, "shift": 2.0},
    ),
}

MULTIVARIATE = {
    "diagonal": lambda: tfd.MultivariateNormalDiag([1.0, -2.0, 0.0], [0.5, 2.0, 1.0]),
    "lower_triangular": lambda: tfd.MultivariateNormalTriL(
        [1.0, -2.0, 0.0], [[1.0, 0.0, 0.0], [0.7, 0.5, 0.0], [-0.3, 0.2, 2.0]]
    ),
    "lower_triangular_without_loc": lambda: tfd.MultivariateNormalTriL(scale_tril=[[1.0, 0.0], [0.7, 0.5]]),
    "through_a_bijector": lambda: tfd.TransformedDistribution(
        tfd.MultivariateNormalDiag([0.0, 0.0], [1.0, 1.0]), tfb.ScaleMatvecTriL([[2.0, 0.0], [1.0, 0.5]])
    ),
}

DISCRETE = {
    "bernoulli": lambda: tfd.Bernoulli(probs=0.3),
    "bernoulli_float": lambda: tfd.Bernoulli(probs=0.3, dtype=tf.float32),
    "categorical": lambda: tfd.Categorical(logits=[0.0, 1.0]),
    "one_hot": lambda: tfd.OneHotCategorical(logits=[0.0, 1.0]),
    "poisson": lambda: tfd.Poisson(3.0),
    "geometric": lambda: tfd.Geometric(probs=0.3),
    "independent_bernoulli": lambda: tfd.Independent(tfd.Bernoulli(probs=[0.3, 0.4]), 1),
}

IMPLICIT = {
    "gamma": lambda: tfd.Gamma(2.0, 1.0),
    "beta": lambda: tfd.Beta(2.0, 3.0),
    "dirichlet": lambda: tfd.Dirichlet([1.0, 2.0]),
    "von_mises": lambda: tfd.VonMises(0.5, 2.0),
}


class Problem(NamedTuple):
    """E f(z) with an exact gradient; `pathwise` and `score_function` say which estimator is unbiased for it."""

    f: object
    make: object
    params: dict
    gradient: dict
    pathwise: bool = True
    score_function: bool = True


def _mean_square(z):
    return z**2


def _step(z):
    return tf.cast(z > 0.0, z.dtype)


def _gaussian(f, loc, scale, **options):
    return Problem(f, tfd.Normal, {"loc": loc, "scale": scale}, gaussian.gradient(f, loc, scale), **options)


def _softplus_normal(loc, rho):
    return tfd.Normal(loc, tf.math.softplus(rho))


_MU, _S = 0.4, 0.9
_TRIL = np.array([[1.0, 0.0], [0.7, 0.5]])
_LOGITS = np.array([0.1, -0.4, 0.8])
_PROBS = special.softmax(_LOGITS)
_REWARDS = np.array([1.0, 3.0, -2.0])

PROBLEMS = {
    "normal_square": _gaussian(lambda z: (z - 1.0) ** 2, 0.3, 1.4),
    "normal_cosine": _gaussian(lambda z: tf.cos(2.0 * z), 0.3, 0.8),
    "normal_bump": _gaussian(lambda z: tf.exp(-(z**2)), 0.5, 1.2),
    "normal_relu": _gaussian(tf.nn.relu, 0.2, 1.1),
    "normal_step": _gaussian(_step, 0.2, 1.1, pathwise=False),
    "normal_batch": Problem(
        _mean_square,
        tfd.Normal,
        {"loc": [0.5, -1.0, 2.0], "scale": [1.0, 0.5, 2.0]},
        {"loc": [1.0, -2.0, 4.0], "scale": [2.0, 1.0, 4.0]},
    ),
    "normal_shared_scale": Problem(
        lambda z: tf.reduce_sum(z**2, axis=-1),
        tfd.Normal,
        {"loc": [0.5, -1.0, 2.0], "scale": 0.5},
        {"loc": [1.0, -2.0, 4.0], "scale": 3.0},
    ),
    "normal_softplus": Problem(
        _mean_square,
        _softplus_normal,
        {"loc": 0.5, "rho": 0.3},
        {"loc": 1.0, "rho": 2 * np.log1p(np.exp(0.3)) * special.expit(0.3)},
    ),
    "log_normal_mean": Problem(
        lambda z: z,
        tfd.LogNormal,
        {"loc": _MU, "scale": _S},
        {"loc": np.exp(_MU + _S**2 / 2), "scale": _S * np.exp(_MU + _S**2 / 2)},
    ),
    "exponential_square": Problem(_mean_square, tfd.Exponential, {"rate": 1.5}, {"rate": -4 / 1.5**3}),
    "uniform_mean": Problem(
        lambda z: z, tfd.Uniform, {"low": 0.0, "high": 2.0}, {"low": 0.5, "high": 0.5}, score_function=False
    ),
    "multivariate_quadratic": Problem(
        lambda z: tf.reduce_sum(z**2, axis=-1),
        tfd.MultivariateNormalTriL,
        {"loc": [0.5, -1.0], "scale_tril": _TRIL},
        {"loc": [1.0, -2.0], "scale_tril": 2 * _TRIL},
    ),
    "gamma_mean": Problem(
        lambda z: z, tfd.Gamma, {"concentration": 2.0, "rate": 1.5}, {"concentration": 1 / 1.5, "rate": -2 / 1.5**2}
    ),
    "beta_mean": Problem(
        lambda z: z,
        tfd.Beta,
        {"concentration1": 2.0, "concentration0": 3.0},
        {"concentration1": 3 / 25, "concentration0": -2 / 25},
    ),
    "von_mises_cosine": Problem(
        tf.cos,
        tfd.VonMises,
        {"loc": 0.5, "concentration": 2.0},
        {
            "loc": -np.sin(0.5) * special.ive(1, 2.0) / special.ive(0, 2.0),
            "concentration": np.cos(0.5) * stats.vonmises(2.0).expect(lambda x: np.cos(x) ** 2)
            - np.cos(0.5) * (special.ive(1, 2.0) / special.ive(0, 2.0)) ** 2,
        },
    ),
    "bernoulli": Problem(
        lambda b: (b - 0.45) ** 2,
        lambda logits: tfd.Bernoulli(logits=logits, dtype=logits.dtype),
        {"logits": 0.3},
        {"logits": special.expit(0.3) * special.expit(-0.3) * (0.55**2 - 0.45**2)},
        pathwise=False,
    ),
    "poisson_square": Problem(_mean_square, tfd.Poisson, {"rate": 1.5}, {"rate": 2 * 1.5 + 1}, pathwise=False),
    "categorical": Problem(
        lambda k: tf.gather(tf.constant(_REWARDS, tf.float32), k),
        tfd.Categorical,
        {"logits": _LOGITS.astype(np.float32)},
        {"logits": _PROBS * (_REWARDS - _PROBS @ _REWARDS)},
        pathwise=False,
    ),
}

PATHWISE = [name for name, p in PROBLEMS.items() if p.pathwise]
SCORE_FUNCTION = [name for name, p in PROBLEMS.items() if p.score_function]


def in_width(params, dtype):
    """Parameters as tensors of one floating width."""
    return {name: tf.constant(np.asarray(p), dtype) for name, p in params.items()}
