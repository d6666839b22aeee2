"""Stochastic gradient ascent on the ELBO, with any estimator, and the trace that it leaves."""

import sys
from functools import lru_cache, partial
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation, seeds
from companion.gradients import GradientEstimate
from companion.logistic_regression.compiled import compiled
from companion.logistic_regression.model import BayesianLogisticRegression

__all__ = ["Trace", "fit"]

_EXPLODED = 1000.0


class Trace(NamedTuple):
    """How a run went, at the start and after every `record_every` steps.

    Attributes:
        steps: how many steps were taken before each record, shape [num_records].
        elbo: the exact ELBO at each record, shape [num_records].
        loc: mean of q at each record, shape [num_records, num_weights].
        scale: standard deviation of q at each record, shape [num_records, num_weights].
        sampled_elbo: an estimate of the last ELBO with 1000 samples of the weights, as the paper reports it.
        standard_error: that of `sampled_elbo`.
        diverged_at: the number of steps after which the state had exploded, or None. Records end before it.
    """

    steps: np.ndarray
    elbo: np.ndarray
    loc: np.ndarray
    scale: np.ndarray
    sampled_elbo: float
    standard_error: float
    diverged_at: int | None

    @property
    def diverged(self):
        """Whether the run was ended because its state had exploded."""
        return self.diverged_at is not None


def fit(
    model,
    estimator,
    num_samples,
    num_steps=5000,
    batch_size=32,
    learning_rate=1e-3,
    seed=None,
    record_every=100,
):
    r"""Stochastic gradient ascent on the ELBO, with any estimator of the gradient of E log p(y | w).

    .. math::

        \theta_{t+1} = \theta_t + \eta \cos\Bigl(\frac{\pi t}{2T}\Bigr)
        \Bigl(\widehat{\nabla}_\theta \mathbb{E}_{q(w;\theta)}\Bigl[\frac{N}{B} \sum_{i \in \text{batch}}
        \log p(y_i \mid w)\Bigr] - \nabla_\theta \mathrm{KL}(q \,\|\, p)\Bigr), \qquad \theta = (\mu, \log\sigma)

    The steps are taken in loc and in log scale, from loc = 0 and log scale = 0, on the ELBO of the whole data set
    in nats (a sum over the examples, no mean). Batches go through the data in a new random order each pass; one may
    hold the end of one pass and the beginning of the next. The defaults are the published settings, with which 50 or
    5 samples were used. The learning rate falls to 0 along a quarter of a cosine (not half of one, as
    `keras.optimizers.schedules.CosineDecay` does).

    A run explodes when the state is no longer finite, or KL(q || prior) exceeds 1000 times the loss at the start:
    the ELBO, which is at most -KL, is then 1000 times as bad as before the first step. It ends there, and the trace
    says so.

    Args:
        model: a `BayesianLogisticRegression`.
        estimator: called as `estimator(f, make_distribution, params, num_samples, seed)`, returns a
            `companion.gradients.GradientEstimate`. It is compiled by XLA. Choose its options with
            `functools.partial`.
        num_samples: how many samples of the weights a step.
        num_steps: T, how many steps.
        batch_size: B, how many examples a step, at most their number.
        learning_rate: eta, the first step size.
        seed: as for `companion.seeds.as_seed`; the same seed gives the same batches to every estimator.
        record_every: how many steps from one record to the next; the last step is always recorded.

    Returns:
        A `Trace`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a number is out of its domain.

    Reference:
        Mohamed, Rosca, Figurnov and Mnih (2020), the case study. Chapter: Which estimator?

    Example:
        >>> from companion.gradients import pathwise
        >>> model = BayesianLogisticRegression([[-1.0], [0.5], [2.0]], [0, 1, 1])
        >>> trace = fit(model, pathwise, 50, num_steps=200, batch_size=2, learning_rate=0.1, seed=0)
        >>> trace.steps, trace.diverged, model.optimum().elbo - trace.elbo[-1] < 0.05
        (array([  0, 100, 200]), False, np.True_)
    """
    if not isinstance(model, BayesianLogisticRegression):
        expected = "a BayesianLogisticRegression"
        raise TypeError(_validation.message("model", expected, _validation.describe(model)))
    _validation.function("estimator", estimator)
    counts = {"num_samples": num_samples, "num_steps": num_steps, "record_every": record_every}
    num_samples, num_steps, record_every = (_validation.count(name, value) for name, value in counts.items())
    rates = _quarter_cosine(learning_rate, num_steps)
    order_seed, noise_seed, evaluation_seed = seeds.split(seed, 3)
    batches = _batches(model.num_examples, batch_size, num_steps, order_seed)
    noise_seeds = tf.random.experimental.stateless_split(noise_seed, num_steps)
    ascend = partial(_ascent(model, estimator, num_samples), (batches, noise_seeds, rates))

    t, loc, log_scale = 0, tf.zeros([model.num_weights]), tf.zeros([model.num_weights])
    records = [_record(model, t, loc, log_scale)]
    bar = keras.utils.Progbar(num_steps, stateful_metrics=["elbo"], verbose=int(sys.stdout.isatty()))
    sound = True
    while t < num_steps and sound:
        stop = min(t + record_every, num_steps)
        t, loc, log_scale, sound = ascend(tf.constant(t), tf.constant(stop), loc, log_scale)
        t = int(t)
        if sound:
            records.append(_record(model, t, loc, log_scale))
            bar.update(t, [("elbo", records[-1][1])])
    steps, elbos, locs, scales = (np.array(column) for column in zip(*records, strict=True))
    sampled = model.sampled_elbo(locs[-1], scales[-1], seed=evaluation_seed)
    return Trace(steps, elbos, locs, scales, *sampled, None if sound else t)


@lru_cache(maxsize=16)
def _ascent(model, estimator, num_samples):
    """A compiled function from (plan, t, stop, loc, log_scale) to (t, loc, log_scale, whether they are sound).

    The plan holds the batches, seeds and rates of all steps. Runs that differ in these alone share one compilation.
    """
    limit = -_EXPLODED * model.elbo(np.zeros(model.num_weights), np.ones(model.num_weights))
    limit = tf.cast(limit, tf.float32)

    def sound(loc, log_scale):
        return model._kl_divergence(loc, tf.exp(log_scale)) <= limit  # false for NaN, too

    def step(plan, t, loc, log_scale):
        batch, seed, rate = (of_step[t] for of_step in plan)
        params = {"loc": loc, "log_scale": log_scale}
        f = partial(model.log_likelihood, rows=batch)
        estimate = estimator(f, _mean_field, params, num_samples, seed)
        if not isinstance(estimate, GradientEstimate):
            raise TypeError(_validation.message("estimator", "one that returns a GradientEstimate", repr(estimate)))
        with tf.GradientTape() as tape:
            tape.watch(params)
            kl = model._kl_divergence(loc, tf.exp(log_scale))
        likelihood, kl = estimate.mean, tape.gradient(kl, params)
        return t + 1, *(p + rate * (likelihood[name] - kl[name]) for name, p in params.items())

    return compiled(partial(_ascend, step, sound))


def _ascend(step, sound, plan, t, stop, loc, log_scale):
    """Steps from t to stop, or until the state is no longer sound; whether it is, comes last."""
    ahead = partial(step, plan)
    t, loc, log_scale = tf.while_loop(lambda t, *state: (t < stop) & sound(*state), ahead, (t, loc, log_scale))
    return t, loc, log_scale, sound(loc, log_scale)


def _mean_field(loc, log_scale):
    return tfd.Independent(tfd.Normal(loc, tf.exp(log_scale)), reinterpreted_batch_ndims=1)


def _record(model, t, loc, log_scale):
    """Steps, exact ELBO, loc and scale, in float64."""
    loc, log_scale = (a.numpy().astype(float) for a in (loc, log_scale))
    loss, _ = model._loss(np.concatenate([loc, log_scale]))
    return t, -loss, loc, np.exp(log_scale)


def _quarter_cosine(learning_rate, num_steps):
    """The step sizes, shape [num_steps]."""
    rate = _validation.float_tensor("learning_rate", learning_rate)
    rate = _validation.positive("learning_rate", _validation.same_shape("learning_rate", rate, [], "one number"))
    return float(rate) * tf.constant(np.cos(0.5 * np.pi * np.arange(num_steps) / num_steps), tf.float32)


def _batches(num_examples, batch_size, num_steps, seed):
    """Rows of successive shuffled passes through the data, shape [num_steps, batch_size]."""
    batch_size = _validation.count("batch_size", batch_size)
    if batch_size > num_examples:
        raise ValueError(_validation.message("batch_size", f"at most {num_examples}, the examples", batch_size))
    num_passes = -(-num_steps * batch_size // num_examples)
    passes = tf.argsort(seeds.uniform([num_passes, num_examples], seed), stable=True)
    return tf.reshape(tf.reshape(passes, [-1])[: num_steps * batch_size], [num_steps, batch_size])
