r"""Bayesian logistic regression with a Gaussian mean-field posterior: a testing ground with an exact referee.

Contract: labels y in {0, 1} have probability sigmoid(x . w) for label 1, the weights w have the prior
N(0, prior_scale^2 I), and the last weight is the bias. The posterior is q(w) = N(loc, diag(scale^2)). What is
exact is in float64; `fit`, which any estimator of `companion.gradients` can drive, works in float32.

Why there is an exact answer: under q the logit x . w is N(x . loc, sum x^2 scale^2), so the ELBO needs no more
than one integral over one variable an example. It is concave in (loc, scale), so its optimum is the only one.
"""

import sys
from functools import cached_property, partial
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from scipy import optimize
from tensorflow_probability import distributions as tfd

from companion import _validation, gaussian, seeds
from companion.gradients import GradientEstimate

__all__ = ["BayesianLogisticRegression", "Optimum", "Trace", "fit"]

_GRADIENT_TOLERANCE = 1e-8
_EVALUATION_SAMPLES = 1000
_EXPLODED = 1000.0


class Optimum(NamedTuple):
    """The best mean-field posterior.

    Attributes:
        loc: its mean, shape [num_weights].
        scale: its standard deviation, shape [num_weights].
        elbo: the ELBO there, in nats.
        gradient_norm: the largest entry of the gradient there, with respect to loc and log scale.
    """

    loc: np.ndarray
    scale: np.ndarray
    elbo: float
    gradient_norm: float


class BayesianLogisticRegression:
    r"""Labels y ~ Bernoulli(sigmoid(x . w)), weights w ~ N(0, prior_scale^2 I).

    Args:
        x: inputs, shape [num_examples, num_features]; a column of ones is put behind them.
        y: labels 0 or 1, shape [num_examples].
        prior_scale: the standard deviation of every weight before the data, the bias included.

    Attributes:
        x: inputs with the column of ones, float64, shape [num_examples, num_weights].
        y: labels, float64, shape [num_examples].
        prior_scale: as given.
        num_weights: num_features + 1.
        num_examples: how many examples.

    Raises:
        TypeError: if an argument is not made of numbers.
        ValueError: if a number is not finite, a shape is wrong, or a label is neither 0 nor 1.

    Reference:
        Mohamed, Rosca, Figurnov and Mnih (2020), section 9. Chapter: Which estimator?

    Example:
        >>> model = BayesianLogisticRegression([[-1.0], [0.5], [2.0]], [0, 1, 1])
        >>> model.num_weights, round(model.optimum().elbo, 6)
        (2, -1.85603)
    """

    def __init__(self, x, y, prior_scale=1.0):
        self.x, self.y = _examples(x, y)
        scale = _validation.float_tensor("prior_scale", prior_scale, tf.float64)
        _validation.positive("prior_scale", _validation.same_shape("prior_scale", scale, [], "one number"))
        self.prior_scale = float(scale)
        self.num_examples, self.num_weights = self.x.shape
        self._towards = (2.0 * self.y - 1.0)[:, None] * self.x  # P(y | x, w) = sigmoid(towards . w)

    def log_likelihood(self, w, rows=None):
        r"""log p(y | x, w) of all examples, or an unbiased estimate of it from a minibatch.

        .. math::

            \frac{N}{B} \sum_{i \in \text{rows}} \log \mathrm{sigmoid}\bigl((2 y_i - 1)\, x_i \cdot w\bigr)

        Args:
            w: weights, float32 or float64, shape [num_samples, num_weights].
            rows: which examples, integers of shape [batch_size]; None for all of them.

        Returns:
            A tensor of shape [num_samples] and of the width of w.

        Raises:
            TypeError: if w is not of floats or rows not of integers.
            ValueError: if a shape is wrong, or, in eager mode, a row does not exist.

        Example:
            >>> model = BayesianLogisticRegression([[-1.0], [0.5], [2.0]], [0, 1, 1])
            >>> model.log_likelihood(tf.zeros([1, 2]), rows=[0, 2]).numpy()  # 3 log 2
            array([-2.0794415], dtype=float32)
        """
        w = _validation.float_tensor("w", w)
        _validation.same_shape("w", w, [None, self.num_weights], "[num_samples, num_weights]")
        towards = tf.constant(self._towards, w.dtype)
        if rows is not None:
            towards = tf.gather(towards, self._indices(rows))
        log_probs = tf.math.log_sigmoid(tf.matmul(w, towards, transpose_b=True))  # [num_samples, batch_size]
        return self.num_examples * tf.reduce_mean(log_probs, axis=1)

    def elbo(self, loc, scale):
        r"""The exact evidence lower bound, by quadrature over one variable an example.

        .. math::

            \sum_i \mathbb{E}_{t \sim N(x_i \cdot \mu,\; \sum_j x_{ij}^2 \sigma_j^2)}
            \bigl[\log p(y_i \mid t)\bigr] - \mathrm{KL}(q \,\|\, p)

        Args:
            loc: mean of q, shape [num_weights].
            scale: standard deviation of q, positive, shape [num_weights].

        Returns:
            A float64 scalar tensor, differentiable, with a relative error below 1e-12.

        Raises:
            TypeError: if an argument is not made of floats.
            ValueError: if a shape is wrong, a number is not finite, or a scale is not positive.

        Example:
            At loc 0, weights that are certain cost log 2 = 0.693 an example; doubt about them costs more.

            >>> model = BayesianLogisticRegression([[-1.0], [0.5], [2.0]], [0, 1, 1])
            >>> float(model.elbo([0.0, 0.0], [1.0, 1.0]).numpy().round(6))
            -2.874871
        """
        loc, scale = self._posterior(loc, scale)
        towards = tf.constant(self._towards)
        mean = tf.linalg.matvec(towards, loc)  # [num_examples]
        deviation = tf.sqrt(tf.linalg.matvec(towards**2, scale**2))
        return tf.reduce_sum(_expected_log_sigmoid(mean, deviation)) - self._kl_divergence(loc, scale)

    def sampled_elbo(self, loc, scale, num_samples=_EVALUATION_SAMPLES, seed=None):
        """An estimate of the ELBO on all examples: samples for the likelihood, the exact KL.

        Args:
            loc: mean of q, shape [num_weights].
            scale: standard deviation of q, positive, shape [num_weights].
            num_samples: how many samples of the weights, at least 2.
            seed: as for `companion.seeds.as_seed`.

        Returns:
            The estimate and its standard error, two numbers.

        Raises:
            TypeError: as for `elbo`.
            ValueError: as for `elbo`, or if num_samples is below 2.

        Example:
            >>> model = BayesianLogisticRegression([[-1.0], [0.5], [2.0]], [0, 1, 1])
            >>> estimate, standard_error = model.sampled_elbo([0.0, 0.0], [1.0, 1.0], seed=0)
            >>> abs(estimate - float(model.elbo([0.0, 0.0], [1.0, 1.0]))) < 4 * standard_error
            True
        """
        loc, scale = self._posterior(loc, scale)
        n = _validation.count("num_samples", num_samples, minimum=2)
        w = loc + scale * tf.math.ndtri(seeds.uniform([n, self.num_weights], seed, tf.float64))
        values = self.log_likelihood(w).numpy()
        return float(values.mean() - self._kl_divergence(loc, scale)), float(values.std(ddof=1) / np.sqrt(n))

    def accuracy(self, loc):
        """The share of examples on whose side of 1/2 the probability at the posterior's mean is.

        For a Gaussian q the predictive probability E sigmoid(x . w) is on the same side.

        Args:
            loc: mean of q, shape [num_weights].

        Returns:
            A number from 0 to 1.

        Raises:
            TypeError: if loc is not made of floats.
            ValueError: if its shape is wrong or a number is not finite.

        Example:
            >>> BayesianLogisticRegression([[-1.0], [0.5], [2.0]], [0, 1, 1]).accuracy([1.0, 0.0])
            1.0
        """
        loc, _ = self._posterior(loc, np.ones(self.num_weights))
        return float(np.mean((self.x @ loc.numpy() > 0) == (self.y == 1)))

    def optimum(self):
        """The mean-field posterior with the largest ELBO, found once and kept.

        Returns:
            An `Optimum`.

        Raises:
            RuntimeError: if an entry of the gradient of the ELBO with respect to loc and log scale is above 1e-8,
                as happens where columns of x differ by orders of magnitude: standardise them.

        Example:
            >>> best = BayesianLogisticRegression([[-1.0], [0.5], [2.0]], [0, 1, 1]).optimum()
            >>> best.loc.round(6), best.scale.round(6), best.gradient_norm < 1e-8
            (array([0.935945, 0.202267]), array([0.770812, 0.817932]), True)
        """
        return self._optimum

    @cached_property
    def _optimum(self):
        start = np.zeros(2 * self.num_weights)
        coarse = optimize.minimize(self._loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000})
        fine = optimize.root(lambda theta: self._loss(theta)[1], coarse.x)  # past the rounding of the loss
        loss, gradient = self._loss(fine.x)
        norm = float(np.abs(gradient).max())
        if not norm <= _GRADIENT_TOLERANCE:
            expected = f"a gradient below {_GRADIENT_TOLERANCE}, which columns of x on one scale make easier to reach"
            raise RuntimeError(_validation.message("optimum", expected, f"{norm:.1e}"))
        loc, log_scale = np.split(fine.x, 2)
        return Optimum(loc, np.exp(log_scale), -loss, norm)

    def _loss(self, theta):
        """-ELBO and its gradient, theta = [loc, log scale]."""
        loss, gradient = self._compiled_loss(tf.constant(theta, tf.float64))
        return float(loss), gradient.numpy()

    @cached_property
    def _compiled_loss(self):
        return _compiled(partial(_loss_and_gradient, self.elbo))

    def _kl_divergence(self, loc, scale):
        """KL(q || prior), a scalar of the width of loc."""
        prior_loc, prior_scale = tf.zeros([], loc.dtype), tf.constant(self.prior_scale, loc.dtype)
        return tf.reduce_sum(gaussian.kl_divergence(loc, scale, prior_loc, prior_scale))

    def _posterior(self, loc, scale):
        """loc and scale as checked float64 tensors of shape [num_weights]."""
        arguments = {"loc": loc, "scale": scale}
        tensors = [tf.cast(_validation.float_tensor(k, v, tf.float64), tf.float64) for k, v in arguments.items()]
        for name, tensor in zip(arguments, tensors, strict=True):
            _validation.same_shape(name, tensor, [self.num_weights], "one entry a weight, the bias last")
        return tensors[0], _validation.positive("scale", tensors[1])

    def _indices(self, rows):
        """rows as a vector of integers, each the index of an example."""
        rows = tf.convert_to_tensor(rows)
        if not rows.dtype.is_integer:
            raise TypeError(_validation.message("rows", "integers", _validation.describe(rows)))
        _validation.same_shape("rows", rows, [None], "[batch_size]")
        if rows.shape[0] == 0:
            raise ValueError(_validation.message("rows", "at least one row", "none"))
        if tf.executing_eagerly() and ((rows.numpy() < 0) | (rows.numpy() >= self.num_examples)).any():
            got = f"from {rows.numpy().min()} to {rows.numpy().max()}"
            raise ValueError(_validation.message("rows", f"indices from 0 to {self.num_examples - 1}", got))
        return rows


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
        Mohamed, Rosca, Figurnov and Mnih (2020), section 9. Chapter: Which estimator?

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
    ascend = _ascent(model, estimator, num_samples, batches, noise_seeds, rates)

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


def _ascent(model, estimator, num_samples, batches, noise_seeds, rates):
    """A compiled function from (t, stop, loc, log_scale) to (t, loc, log_scale, whether they are sound)."""
    limit = -_EXPLODED * model.elbo(np.zeros(model.num_weights), np.ones(model.num_weights))
    limit = tf.cast(limit, tf.float32)

    def sound(loc, log_scale):
        return model._kl_divergence(loc, tf.exp(log_scale)) <= limit  # false for NaN, too

    def step(t, loc, log_scale):
        params = {"loc": loc, "log_scale": log_scale}
        f = partial(model.log_likelihood, rows=batches[t])
        estimate = estimator(f, _mean_field, params, num_samples, noise_seeds[t])
        if not isinstance(estimate, GradientEstimate):
            raise TypeError(_validation.message("estimator", "one that returns a GradientEstimate", repr(estimate)))
        with tf.GradientTape() as tape:
            tape.watch(params)
            kl = model._kl_divergence(loc, tf.exp(log_scale))
        likelihood, kl = estimate.mean, tape.gradient(kl, params)
        return t + 1, *(p + rates[t] * (likelihood[name] - kl[name]) for name, p in params.items())

    return _compiled(partial(_ascend, step, sound))


def _ascend(step, sound, t, stop, loc, log_scale):
    """Steps from t to stop, or until the state is no longer sound; whether it is, comes last."""
    t, loc, log_scale = tf.while_loop(lambda t, *state: (t < stop) & sound(*state), step, (t, loc, log_scale))
    return t, loc, log_scale, sound(loc, log_scale)


def _loss_and_gradient(elbo, theta):
    with tf.GradientTape() as tape:
        tape.watch(theta)
        loc, log_scale = tf.split(theta, 2)
        loss = -elbo(loc, tf.exp(log_scale))
    return loss, tape.gradient(loss, theta)


def _compiled(function):
    """A `functools.partial` compiled by XLA.

    Not a closure: TensorFlow counts the tracings of a line of code, and would warn of the fifth model or run.
    """
    return tf.function(function, jit_compile=True, autograph=False)


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


def _examples(x, y):
    """x with a column of ones, and y, as checked float64 arrays."""
    x, y = (a if hasattr(a, "dtype") else np.asarray(a, dtype=float) for a in (x, y))
    x = _validation.same_shape("x", _validation.float_tensor("x", x), [None, None], "[num_examples, num_features]")
    x = x.numpy().astype(float)
    y = np.asarray(y)
    if y.shape != (len(x),) or not len(x):
        expected = f"one label an example, shape [{len(x)}], and at least one"
        raise ValueError(_validation.message("y", expected, f"shape {list(y.shape)}"))
    if not np.isin(y, (0, 1)).all():
        got = next(label for label in y if label not in (0, 1))
        raise ValueError(_validation.message("y", "labels 0 and 1", got))
    return np.column_stack([x, np.ones(len(x))]), y.astype(float)


def _panels(edges, order):
    """Nodes and weights of Gauss-Legendre quadrature on each interval between the edges."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    middle, half = (edges[1:] + edges[:-1])[:, None] / 2, np.diff(edges)[:, None] / 2
    return (middle + half * nodes).ravel(), (half * weights).ravel()


_HERMITE, _HERMITE_WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
_HERMITE_WEIGHTS = _HERMITE_WEIGHTS / _HERMITE_WEIGHTS.sum()
_EDGES = np.array([0.0, 4.0, 8.0, 16.0, 24.0, 32.0, 40.0])  # exp(-40) is nothing
_LOGITS, _LOGIT_WEIGHTS = _panels(np.concatenate([-_EDGES[:0:-1], _EDGES]), order=16)
_BENDS = _LOGIT_WEIGHTS * np.log1p(np.exp(-np.abs(_LOGITS)))


def _expected_log_sigmoid(loc, scale):
    """E log sigmoid(t), t ~ N(loc, scale^2), elementwise, for every scale.

    Up to scale 1 the integrand is smooth on the scale of the density, and Gauss-Hermite quadrature exact to
    rounding. Beyond, log sigmoid(t) = min(t, 0) - log(1 + exp(-|t|)) is taken apart: the first has a closed form,
    and the second is the same bend near 0 whatever the density, so it has fixed nodes in t.
    """
    narrow = tf.math.log_sigmoid(loc[:, None] + scale[:, None] * _HERMITE)  # [num_examples, num_nodes]
    narrow = tf.linalg.matvec(narrow, tf.constant(_HERMITE_WEIGHTS))
    ratio = loc / scale
    hinge = 0.5 * loc * tf.math.erfc(ratio / np.sqrt(2.0)) - scale * _density(ratio)  # E min(t, 0)
    density = _density((_LOGITS - loc[:, None]) / scale[:, None]) / scale[:, None]
    return tf.where(scale < 1.0, narrow, hinge - tf.linalg.matvec(density, tf.constant(_BENDS)))


def _density(eps):
    return tf.exp(-0.5 * eps**2) / np.sqrt(2.0 * np.pi)
