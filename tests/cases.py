"""The registries: every family that `reparameterize` knows, and every problem whose gradient is known exactly.

A new family or a new problem costs one entry here, and meets every law.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import special, stats
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import gaussian, gradients


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
    """E f(z) with an exact gradient.

    The flags say which estimators are right for it (apply, and are unbiased), and whether `gradients.exact` has it.
    `expectation` is E f(z) as a function of the parameters, for what depends on a finite step.
    """

    f: object
    make: object
    params: dict
    gradient: dict
    pathwise: bool = True
    score_function: bool = True
    measure_valued: bool = False
    exact: bool = True
    expectation: object = None


class Estimator(NamedTuple):
    """An estimator with its options, and the flag of `Problem` that says where it is right."""

    run: object
    flag: str


ESTIMATORS = {
    "pathwise": Estimator(gradients.pathwise, "pathwise"),
    "score_function": Estimator(gradients.score_function, "score_function"),
    "leave_one_out": Estimator(partial(gradients.score_function, baseline="leave_one_out"), "score_function"),
    "optimal_baseline": Estimator(partial(gradients.score_function, baseline="optimal"), "score_function"),
    "baseline_of_params": Estimator(
        partial(gradients.score_function, baseline=lambda params: tf.reduce_sum(next(iter(params.values())))),
        "score_function",
    ),
    "measure_valued": Estimator(gradients.measure_valued, "measure_valued"),
    "measure_valued_independent": Estimator(partial(gradients.measure_valued, coupled=False), "measure_valued"),
}
DIFFERENCES = {
    "common": partial(gradients.finite_difference, step=0.1),
    "independent": partial(gradients.finite_difference, step=0.1, common_random_numbers=False),
}


def _mean_square(z):
    return z**2


def _step(z):
    return tf.cast(z > 0.0, z.dtype)


def _gaussian(f, loc, scale, **options):
    exact = gaussian.gradient(f, loc, scale)
    expectation = partial(gaussian.expectation, f)
    params = {"loc": loc, "scale": scale}
    return Problem(f, tfd.Normal, params, exact, measure_valued=True, expectation=expectation, **options)


def _softplus_normal(loc, rho):
    return tfd.Normal(loc, tf.math.softplus(rho))


def _vector_bump(loc, scale):
    """The gradient of E exp(-||z||^2): one factor exp(-loc^2 / d) / sqrt(d) a coordinate, d = 1 + 2 scale^2."""
    d = 1 + 2 * scale**2
    value = np.prod(np.exp(-(loc**2) / d) / np.sqrt(d))
    return {"loc": -2 * loc / d * value, "scale_diag": (4 * loc**2 / d**2 - 2 / d) * scale * value}


_MU, _S = 0.4, 0.9
_LOC, _DIAG = np.array([0.5, -0.3, 0.2]), np.array([0.8, 0.5, 0.4])
_TRIL = np.array([[1.0, 0.0], [0.7, 0.5]])
_LOGITS = np.array([0.1, -0.4, 0.8])
_PROBS = special.softmax(_LOGITS)
_REWARDS = np.array([1.0, 3.0, -2.0])
_FOUR_PROBS = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
_FOUR_REWARDS = np.array([1.0, 4.0, -2.0, 0.5])

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
        measure_valued=True,
    ),
    "normal_shared_scale": Problem(
        lambda z: tf.reduce_sum(z**2, axis=-1),
        tfd.Normal,
        {"loc": [0.5, -1.0, 2.0], "scale": 0.5},
        {"loc": [1.0, -2.0, 4.0], "scale": 3.0},
        measure_valued=True,
        exact=False,
    ),
    "normal_vector_bump": Problem(
        lambda z: tf.exp(-tf.reduce_sum(z**2, axis=-1)),
        tfd.MultivariateNormalDiag,
        {"loc": _LOC, "scale_diag": _DIAG},
        _vector_bump(_LOC, _DIAG),
        measure_valued=True,
        exact=False,
    ),
    "normal_softplus": Problem(
        _mean_square,
        _softplus_normal,
        {"loc": 0.5, "rho": 0.3},
        {"loc": 1.0, "rho": 2 * np.log1p(np.exp(0.3)) * special.expit(0.3)},
        measure_valued=True,
    ),
    "log_normal_mean": Problem(
        lambda z: z,
        tfd.LogNormal,
        {"loc": _MU, "scale": _S},
        {"loc": np.exp(_MU + _S**2 / 2), "scale": _S * np.exp(_MU + _S**2 / 2)},
    ),
    "exponential_square": Problem(
        _mean_square,
        tfd.Exponential,
        {"rate": 1.5},
        {"rate": -4 / 1.5**3},
        measure_valued=True,
        expectation=lambda rate: 2 / rate**2,
    ),
    "exponential_step": Problem(
        lambda z: tf.cast(z > 0.7, z.dtype),
        tfd.Exponential,
        {"rate": 1.5},
        {"rate": -0.7 * np.exp(-0.7 * 1.5)},
        pathwise=False,
        measure_valued=True,
        expectation=lambda rate: np.exp(-0.7 * rate),
    ),
    "uniform_mean": Problem(
        lambda z: z,
        tfd.Uniform,
        {"low": 0.0, "high": 2.0},
        {"low": 0.5, "high": 0.5},
        score_function=False,
        measure_valued=True,
        expectation=lambda low, high: (low + high) / 2,
    ),
    "uniform_square": Problem(
        _mean_square,
        tfd.Uniform,
        {"low": 0.5, "high": 2.0},
        {"low": (2.0 + 1.0) / 3, "high": (4.0 + 0.5) / 3},
        score_function=False,
        measure_valued=True,
    ),
    "multivariate_quadratic": Problem(
        lambda z: tf.reduce_sum(z**2, axis=-1),
        tfd.MultivariateNormalTriL,
        {"loc": [0.5, -1.0], "scale_tril": _TRIL},
        {"loc": [1.0, -2.0], "scale_tril": 2 * _TRIL},
        exact=False,
    ),
    "gamma_mean": Problem(
        lambda z: z,
        tfd.Gamma,
        {"concentration": 2.0, "rate": 1.5},
        {"concentration": 1 / 1.5, "rate": -2 / 1.5**2},
        expectation=lambda concentration, rate: concentration / rate,
    ),
    "gamma_rate": Problem(
        _mean_square,
        lambda rate: tfd.Gamma(tf.constant(2.5, rate.dtype), rate),
        {"rate": 1.5},
        {"rate": -2 * 2.5 * 3.5 / 1.5**3},
        measure_valued=True,
    ),
    "gamma_log_rate": Problem(
        _mean_square,
        lambda log_rate: tfd.Gamma(tf.constant(0.5, log_rate.dtype), log_rate=log_rate),
        {"log_rate": 0.2},
        {"log_rate": -2 * 0.5 * 1.5 * np.exp(-0.4)},
        measure_valued=True,
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
        measure_valued=True,
        expectation=lambda logits: special.expit(logits) * 0.55**2 + special.expit(-logits) * 0.45**2,
    ),
    "bernoulli_product": Problem(
        lambda b: tf.reduce_prod(1.0 + b, axis=-1),
        lambda probs: tfd.Independent(tfd.Bernoulli(probs=probs, dtype=probs.dtype), 1),
        {"probs": [0.2, 0.7, 0.5]},
        {"probs": [1.7 * 1.5, 1.2 * 1.5, 1.2 * 1.7]},
        pathwise=False,
        measure_valued=True,
    ),
    "poisson_square": Problem(
        _mean_square,
        tfd.Poisson,
        {"rate": 1.5},
        {"rate": 2 * 1.5 + 1},
        pathwise=False,
        measure_valued=True,
        expectation=lambda rate: rate + rate**2,
    ),
    "poisson_none": Problem(
        lambda z: tf.cast(z < 0.5, z.dtype),
        tfd.Poisson,
        {"rate": [0.5, 1.5]},
        {"rate": [-np.exp(-0.5), -np.exp(-1.5)]},
        pathwise=False,
        measure_valued=True,
    ),
    "geometric_mean": Problem(
        lambda z: z,
        lambda probs: tfd.Geometric(probs=probs),
        {"probs": 0.4},
        {"probs": -1 / 0.4**2},
        pathwise=False,
        expectation=lambda probs: 1 / probs - 1,
    ),
    "categorical": Problem(
        lambda k: tf.gather(tf.constant(_REWARDS, tf.float32), k),
        tfd.Categorical,
        {"logits": _LOGITS.astype(np.float32)},
        {"logits": _PROBS * (_REWARDS - _PROBS @ _REWARDS)},
        pathwise=False,
        measure_valued=True,
    ),
    "categorical_batch": Problem(
        lambda k: tf.gather(tf.constant(_FOUR_REWARDS, tf.float32), k),
        tfd.Categorical,
        {"logits": np.log(_FOUR_PROBS).astype(np.float32)},
        {"logits": _FOUR_PROBS * (_FOUR_REWARDS - (_FOUR_PROBS @ _FOUR_REWARDS)[:, None])},
        pathwise=False,
        measure_valued=True,
    ),
    "categorical_pair": Problem(
        lambda k: tf.cast(tf.reduce_max(k, axis=-1), tf.float32),
        lambda logits: tfd.Categorical(logits=logits),
        {"logits": np.zeros([2, 2], np.float32)},
        {"logits": [[-0.125, 0.125], [-0.125, 0.125]]},
        pathwise=False,
        measure_valued=True,
    ),
}

UNBIASED = [
    (estimator, name) for name, p in PROBLEMS.items() for estimator, e in ESTIMATORS.items() if getattr(p, e.flag)
]
PATHWISE = [name for name, p in PROBLEMS.items() if p.pathwise]
SCORE_FUNCTION = [name for name, p in PROBLEMS.items() if p.score_function]


def in_width(params, dtype):
    """Parameters as tensors of one floating width."""
    return {name: tf.constant(np.asarray(p), dtype) for name, p in params.items()}
