"""The model, its exact ELBO and its exact optimum."""

from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import optimize

from companion import _validation, gaussian, seeds
from companion.logistic_regression.compiled import compiled
from companion.logistic_regression.expected_log_sigmoid import expected_log_sigmoid

__all__ = ["BayesianLogisticRegression", "Optimum"]

_GRADIENT_TOLERANCE = 1e-8
_EVALUATION_SAMPLES = 1000


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
        Mohamed, Rosca, Figurnov and Mnih (2020), the case study. Chapter: Which estimator?

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
        return tf.reduce_sum(expected_log_sigmoid(mean, deviation)) - self._kl_divergence(loc, scale)

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
        return compiled(partial(_loss_and_gradient, self.elbo))

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


def _loss_and_gradient(elbo, theta):
    with tf.GradientTape() as tape:
        tape.watch(theta)
        loc, log_scale = tf.split(theta, 2)
        loss = -elbo(loc, tf.exp(log_scale))
    return loss, tape.gradient(loss, theta)


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
