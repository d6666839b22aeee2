r"""Bayesian linear regression with known noise: the Bayesian network without a hidden layer, exact in every quantity.

Contract: y ~ N(X w, noise_scale^2 I), weights w ~ N(0, diag(prior_scale^2)), and the bias is the last weight. All is
float64, in closed form; logarithms of probabilities are in nats and over the whole data. Everything comes from one
triangle, a Cholesky factor of the posterior's precision by QR decomposition, which does not square what is small.

Why mean field is judged exactly: the posterior is N(m, L^-1) with L = X'X / noise_scale^2 + diag(1 / prior_scale^2),
so the ELBO of a Gaussian is log p(y) less a divergence between two Gaussians. Its maximum over independent weights has
the exact mean and the variances 1 / L_ii.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import linalg
from tensorflow_probability import distributions as tfd

from companion import _validation

__all__ = ["BayesianLinearRegression", "Predictive"]


class Predictive(NamedTuple):
    """What is predicted for targets at some inputs: normal distributions.

    Attributes:
        mean: shape [num_inputs].
        epistemic: the variance that comes from not knowing the weights, shape [num_inputs].
        aleatoric: the variance of the noise, shape [num_inputs].
    """

    mean: np.ndarray
    epistemic: np.ndarray
    aleatoric: np.ndarray

    @property
    def total(self):
        """The variance of a target: epistemic + aleatoric, shape [num_inputs]."""
        return self.epistemic + self.aleatoric


class BayesianLinearRegression:
    r"""The model :math:`y = X w + \sigma\varepsilon` with :math:`w_j \sim N(0, \tau_j^2)` and noise of known width.

    Args:
        x: inputs, shape [num_examples, num_features].
        y: targets, shape [num_examples].
        noise_scale: sigma, the known standard deviation of the noise.
        prior_scale: tau, the standard deviations of the weights before the data, one number or shape [num_weights],
            the bias last.
        bias: whether a column of ones is put behind x; its weight is the bias.

    Attributes:
        x: inputs with the column of ones, shape [num_examples, num_weights].
        y: targets, shape [num_examples].
        noise_scale: as given.
        prior_scale: shape [num_weights].
        num_examples: how many examples.
        num_weights: num_features, and one more for the bias.

    Raises:
        TypeError: if an argument is not made of floats, or bias is neither True nor False.
        ValueError: if a shape is wrong, a number is not finite, a scale is not positive, or the prior is so broad
            beside columns of x that depend on each other that float64 loses it.

    Reference:
        Bishop (2006), Pattern Recognition and Machine Learning, section 3.3. Chapter: Bayesian neural networks.

    Example:
        >>> model = BayesianLinearRegression([[0.0], [1.0], [2.0]], [0.1, 0.9, 2.3], noise_scale=0.5)
        >>> model
        BayesianLinearRegression(num_examples=3, num_weights=2, noise_scale=0.5)
        >>> model.posterior.mean().numpy().round(6), model.posterior.stddev().numpy().round(6)
        (array([0.989147, 0.102326]), array([0.317451, 0.403473]))
        >>> model.mean_field_posterior.stddev().numpy().round(6), round(model.gap, 6)
        (array([0.218218, 0.27735 ]), 0.37483)
    """

    def __init__(self, x, y, noise_scale, prior_scale=1.0, bias=True):
        self._bias = _checked_bias(bias)
        self.x = self._with_ones(_validation.array("x", x, [None, None], "[num_examples, num_features]"))
        self.num_examples, self.num_weights = self.x.shape
        if not self.x.size:
            got = f"shape {[self.num_examples, self.num_weights - bias]}"
            raise ValueError(_validation.message("x", "at least one example and one weight", got))
        self.y = _validation.array("y", y, [self.num_examples], "one target an example")
        self.noise_scale = float(_validation.positive_array("noise_scale", noise_scale, [], "one number"))
        self.prior_scale = self._prior_scale_of(prior_scale)
        self._check_triangle()

    def __repr__(self):
        sizes = f"num_examples={self.num_examples}, num_weights={self.num_weights}"
        return f"{type(self).__name__}({sizes}, noise_scale={self.noise_scale})"

    @property
    def prior(self):
        """p(w), a float64 `tfd.MultivariateNormalDiag`."""
        return tfd.MultivariateNormalDiag(np.zeros(self.num_weights), self.prior_scale)

    @property
    def precision(self):
        r"""The inverse of the posterior's covariance, shape [num_weights, num_weights].

        .. math::

            L = \frac{X^\top X}{\sigma^2} + \mathrm{diag}(\tau)^{-2}
        """
        return self._stack.T @ self._stack

    @property
    def posterior(self):
        r"""p(w | y), a float64 `tfd.MultivariateNormalTriL`: :math:`N(L^{-1} X^\top y / \sigma^2,\; L^{-1})`."""
        return tfd.MultivariateNormalTriL(self._loc, self._scale_tril)

    @property
    def mean_field_posterior(self):
        r"""The independent weights with the largest ELBO, a float64 `tfd.MultivariateNormalDiag`.

        The means are those of the posterior, the variances are :math:`1 / L_{ii}`: those of one weight given the
        others.
        """
        return tfd.MultivariateNormalDiag(self._loc, 1.0 / self._column_lengths)

    @property
    def log_evidence(self):
        r"""log p(y), the density of :math:`N(0,\; X\,\mathrm{diag}(\tau^2)\,X^\top + \sigma^2 I)`, in nats.

        .. math::

            -\tfrac12 \Bigl[n \log 2\pi\sigma^2 + \sum_j \log \tau_j^2 + \log |L|
            + \frac{\lVert y - X m \rVert^2}{\sigma^2} + \sum_j \frac{m_j^2}{\tau_j^2}\Bigr],
            \qquad m = L^{-1} X^\top y / \sigma^2
        """
        distances = (self._misfit(self._loc) ** 2).sum() + ((self._loc / self.prior_scale) ** 2).sum()
        log_dets = np.log(self.prior_scale).sum() - np.log(np.diag(self._scale_tril)).sum()
        return float(_validation.in_range("log_evidence", -self._log_normaliser - log_dets - distances / 2))

    @property
    def gap(self):
        r"""How far the ELBO of the best independent weights is below log p(y), in nats.

        .. math::

            \tfrac12 \Bigl[\sum_i \log L_{ii} - \log |L|\Bigr]

        Zero if and only if the columns of X are orthogonal.
        """
        above = np.triu(self._root, 1) / np.diag(self._root)
        return float(np.log1p((above**2).sum(axis=0)).sum() / 2)  # L_ii is the squared length of column i

    def expected_log_likelihood(self, loc, scale):
        r"""E log p(y | w) for independent weights w ~ N(loc, diag(scale^2)), in nats.

        .. math::

            -\tfrac12 \Bigl[n \log 2\pi\sigma^2
            + \frac{\lVert y - X \mu \rVert^2 + \sum_{ij} x_{ij}^2 s_j^2}{\sigma^2}\Bigr]

        Args:
            loc: means, shape [num_weights], the bias last.
            scale: standard deviations, positive, shape [num_weights].

        Returns:
            A number.

        Raises:
            TypeError: if an argument is not made of floats.
            ValueError: if a shape is wrong, a number is not finite, a scale is not positive, or the value is beyond
                the range of float64.

        Example:
            >>> model = BayesianLinearRegression([[2.0]], [3.0], noise_scale=1.0, bias=False)
            >>> round(model.expected_log_likelihood([1.0], [0.5]), 6)  # log N(3; 2, 1) - (2 * 0.5)^2 / 2
            -1.918939
        """
        loc, scale = self._mean_field(loc, scale)
        spread = ((self.x * (scale / self.noise_scale)) ** 2).sum()
        value = -self._log_normaliser - ((self._misfit(loc) ** 2).sum() + spread) / 2
        return float(_validation.in_range("expected_log_likelihood", value))

    def kl_divergence(self, loc, scale):
        r"""The divergence of independent weights w ~ N(loc, diag(scale^2)) from the prior, in nats.

        .. math::

            \sum_j \Bigl[\log\frac{\tau_j}{s_j} + \frac{s_j^2 + \mu_j^2}{2\tau_j^2} - \tfrac12\Bigr]

        Args:
            loc: as for `expected_log_likelihood`.
            scale: as for `expected_log_likelihood`.

        Returns:
            A number.

        Raises:
            TypeError: as for `expected_log_likelihood`.
            ValueError: as for `expected_log_likelihood`.

        Example:
            >>> model = BayesianLinearRegression([[2.0]], [3.0], noise_scale=1.0, bias=False)
            >>> model.kl_divergence([1.0], [1.0])
            0.5
        """
        loc, scale = self._mean_field(loc, scale)
        ratio, distance = scale / self.prior_scale, loc / self.prior_scale
        value = ((ratio**2 + distance**2 - 1.0) / 2 - np.log(ratio)).sum()
        return float(_validation.in_range("kl_divergence", value))

    def elbo(self, loc, scale):
        """The exact ELBO of independent weights: `expected_log_likelihood` less `kl_divergence`, over the whole data.

        Args:
            loc: as for `expected_log_likelihood`.
            scale: as for `expected_log_likelihood`.

        Returns:
            A number, in nats.

        Raises:
            TypeError: as for `expected_log_likelihood`.
            ValueError: as for `expected_log_likelihood`.

        Example:
            >>> model = BayesianLinearRegression([[0.0], [1.0], [2.0]], [0.1, 0.9, 2.3], noise_scale=0.5)
            >>> best = model.mean_field_posterior
            >>> model.log_evidence - model.elbo(best.mean(), best.stddev()) - model.gap < 1e-12
            True
        """
        return self.expected_log_likelihood(loc, scale) - self.kl_divergence(loc, scale)

    def loss(self, loc, scale):
        """-ELBO / num_examples: what training with the mean negative log-likelihood and KL / num_examples minimises.

        Args:
            loc: as for `expected_log_likelihood`.
            scale: as for `expected_log_likelihood`.

        Returns:
            A number, in nats an example.

        Raises:
            TypeError: as for `expected_log_likelihood`.
            ValueError: as for `expected_log_likelihood`.

        Example:
            >>> model = BayesianLinearRegression([[0.0], [1.0], [2.0]], [0.1, 0.9, 2.3], noise_scale=0.5)
            >>> round(model.loss([1.0, 0.0], [0.2, 0.3]), 6)
            1.405262
        """
        return -self.elbo(loc, scale) / self.num_examples

    def predict(self, x):
        r"""Targets at new inputs under the exact posterior: :math:`N(x \cdot m,\; x^\top L^{-1} x + \sigma^2)`.

        Args:
            x: shape [num_inputs, num_features].

        Returns:
            A `Predictive`.

        Raises:
            TypeError: if x is not made of floats.
            ValueError: if its shape is wrong or a number is not finite.

        Example:
            >>> model = BayesianLinearRegression([[0.0], [1.0], [2.0]], [0.1, 0.9, 2.3], noise_scale=0.5)
            >>> at = model.predict([[1.0], [9.0]])
            >>> at.mean.round(3), at.epistemic.round(3), at.aleatoric
            (array([1.091, 9.005]), array([0.078, 6.651]), array([0.25, 0.25]))
        """
        x = self._inputs(x)
        return self._predictive(x @ self._loc, ((x @ self._scale_tril) ** 2).sum(axis=1))

    def predict_mean_field(self, x, loc=None, scale=None):
        r"""Targets at new inputs under independent weights: :math:`N(x \cdot \mu,\; \sum_j x_j^2 s_j^2 + \sigma^2)`.

        Args:
            x: as for `predict`.
            loc: as for `expected_log_likelihood`, or None, with scale, for `mean_field_posterior`.
            scale: as for `expected_log_likelihood`, or None.

        Returns:
            A `Predictive`.

        Raises:
            TypeError: if an argument is not made of floats.
            ValueError: as for `predict` and `expected_log_likelihood`, or if one of loc and scale is None.

        Example:
            >>> model = BayesianLinearRegression([[0.0], [1.0], [2.0]], [0.1, 0.9, 2.3], noise_scale=0.5)
            >>> model.predict_mean_field([[1.0], [9.0]]).epistemic.round(3)
            array([0.125, 3.934])
        """
        x = self._inputs(x)
        if (loc is None) != (scale is None):
            got = "loc alone" if scale is None else "scale alone"
            raise ValueError(_validation.message("loc, scale", "both or none", got))
        best = self._loc, 1.0 / self._column_lengths
        loc, scale = best if loc is None else self._mean_field(loc, scale)
        return self._predictive(x @ loc, ((x * scale) ** 2).sum(axis=1))

    @property
    def marginal_ratio(self):
        r"""The variance of each weight in `mean_field_posterior` over that in `posterior`, shape [num_weights].

        .. math::

            \frac{1}{L_{ii}\,(L^{-1})_{ii}} = 1 - R_i^2 \le 1

        with :math:`R_i^2` the share of the weight's posterior variance that the other weights explain.

        Reference:
            Bishop (2006), Pattern Recognition and Machine Learning, section 10.1.2.
        """
        return (np.linalg.norm(self._scale_tril, axis=1) * self._column_lengths) ** -2.0

    def predictive_ratio(self, x):
        r"""The epistemic variance at inputs under `mean_field_posterior` over that under `posterior`.

        .. math::

            r(x) = \frac{x^\top \mathrm{diag}(L)^{-1} x}{x^\top L^{-1} x}

        Unlike the weights' own variances it may be on either side of 1; `predictive_ratio_range` is how far. On the
        examples it is too large on average: since :math:`L` times either covariance has the trace num_weights,

        .. math::

            \frac{1}{\sigma^2} \sum_i \bigl[x_i^\top \mathrm{diag}(L)^{-1} x_i - x_i^\top L^{-1} x_i\bigr]
            = \sum_j \frac{(L^{-1})_{jj} - 1 / L_{jj}}{\tau_j^2} \ge 0.

        Args:
            x: as for `predict`.

        Returns:
            An array of shape [num_inputs].

        Raises:
            TypeError: as for `predict`.
            ValueError: as for `predict`, or if a row of x is zero and there is no bias, so that nothing is uncertain.

        Example:
            >>> model = BayesianLinearRegression([[0.0], [1.0], [2.0]], [0.1, 0.9, 2.3], noise_scale=0.5)
            >>> model.predictive_ratio([[1.0], [9.0]]).round(3)
            array([1.607, 0.591])
        """
        exact = self.predict(x).epistemic
        if (exact == 0).any():
            raise ValueError(_validation.message("x", "rows that are not zero", f"row {np.argmin(exact)} of zeros"))
        return self.predict_mean_field(x).epistemic / exact

    @property
    def predictive_ratio_range(self):
        r"""The least and the largest `predictive_ratio` of any input, two numbers.

        They are the extreme eigenvalues of the precision scaled to a diagonal of ones,

        .. math::

            C = \mathrm{diag}(L)^{-1/2}\, L\, \mathrm{diag}(L)^{-1/2},
            \qquad r(x) = \frac{u^\top u}{u^\top C^{-1} u}, \quad u = \mathrm{diag}(L)^{-1/2} x.

        The eigenvalues have the mean 1, so the first number is below 1 and the second above it, but for a diagonal L.
        With a bias, whose input is always 1, either may be a limit that no input reaches.
        """
        values = np.linalg.svd(self._root / self._column_lengths, compute_uv=False) ** 2
        return float(values[-1]), float(values[0])

    def tempered(self, kl_weight):
        r"""The model whose posterior an objective with another weight of the KL finds.

        .. math::

            \max_q\; \mathbb{E}_q[\log p(y \mid w)] - \beta\,\mathrm{KL}(q \,\|\, p)
            \quad\text{at}\quad q(w) \propto p(y \mid w)^{1/\beta}\, p(w),

        and the likelihood to the power of 1 / beta is, up to a constant, that of the noise :math:`\sigma\sqrt\beta`.
        The same holds among independent weights. A KL that is not divided by num_examples beside a mean likelihood
        has the weight num_examples; one that is divided twice, 1 / num_examples.

        Args:
            kl_weight: beta, a positive number.

        Returns:
            A `BayesianLinearRegression` of the same data and prior, with noise_scale times the root of kl_weight.

        Raises:
            TypeError: if kl_weight is not a float.
            ValueError: if it is not one positive finite number.

        Reference:
            Wenzel et al. (2020), How good is the Bayes posterior in deep neural networks really?

        Example:
            >>> model = BayesianLinearRegression([[2.0]], [3.0], noise_scale=1.0, bias=False)
            >>> model.posterior.variance().numpy(), model.tempered(4.0).posterior.variance().numpy()
            (array([0.2]), array([0.5]))
        """
        kl_weight = float(_validation.positive_array("kl_weight", kl_weight, [], "one number"))
        x = self.x[:, :-1] if self._bias else self.x
        return BayesianLinearRegression(x, self.y, self.noise_scale * np.sqrt(kl_weight), self.prior_scale, self._bias)

    @cached_property
    def _stack(self):
        """S = [X / sigma; diag(1 / tau)], so that L = S'S, shape [num_examples + num_weights, num_weights]."""
        return np.vstack([self.x / self.noise_scale, np.diag(1.0 / self.prior_scale)])

    @cached_property
    def _root(self):
        """R, upper-triangular with a positive diagonal, and L = R'R."""
        return self._qr[1]

    @cached_property
    def _qr(self):
        q, r = np.linalg.qr(self._stack)
        signs = np.sign(np.diag(r))
        return q * signs, signs[:, None] * r

    @cached_property
    def _loc(self):
        """The posterior mean: the least squares solution of S w = [y / sigma; 0], twice refined."""
        q, r = self._qr
        loc = linalg.solve_triangular(r, q[: self.num_examples].T @ (self.y / self.noise_scale))
        targets = np.concatenate([self.y / self.noise_scale, np.zeros(self.num_weights)])
        for _ in range(2):  # what is left over is large where the noise is small beside it
            rest = self._stack.T @ (targets - self._stack @ loc)
            loc = loc + linalg.solve_triangular(r, linalg.solve_triangular(r, rest, trans=1))
        return loc

    @cached_property
    def _scale_tril(self):
        """The lower Cholesky factor of L^-1 = R^-1 R^-T, by the QR decomposition of R^-T."""
        inverse = linalg.solve_triangular(self._root, np.eye(self.num_weights))
        r = np.linalg.qr(inverse.T, mode="r")
        return (np.sign(np.diag(r))[:, None] * r).T

    @cached_property
    def _column_lengths(self):
        """The square roots of L's diagonal, shape [num_weights]."""
        return np.linalg.norm(self._stack, axis=0)

    @property
    def _log_normaliser(self):
        return self.num_examples * (np.log(2 * np.pi) / 2 + np.log(self.noise_scale))

    def _misfit(self, loc):
        return (self.y - self.x @ loc) / self.noise_scale

    def _predictive(self, mean, epistemic):
        aleatoric = np.full(len(mean), self.noise_scale**2)
        return Predictive(*(_validation.in_range("predict", values) for values in (mean, epistemic, aleatoric)))

    def _mean_field(self, loc, scale):
        """loc and scale as checked arrays."""
        meaning = "one entry a weight, the bias last"
        shape = [self.num_weights]
        loc = _validation.array("loc", loc, shape, meaning)
        return loc, _validation.positive_array("scale", scale, shape, meaning)

    def _inputs(self, x):
        """New inputs, with the column of ones."""
        num_features = self.num_weights - self._bias
        return self._with_ones(_validation.array("x", x, [None, num_features], "[num_inputs, num_features]"))

    def _with_ones(self, x):
        return np.column_stack([x, np.ones(len(x))]) if self._bias else x

    def _prior_scale_of(self, value):
        value = _validation.positive_array("prior_scale", value, None, "")
        if value.shape not in ((), (self.num_weights,)):
            expected = f"one number or shape [{self.num_weights}] (one a weight, the bias last)"
            raise ValueError(_validation.message("prior_scale", expected, f"shape {list(value.shape)}"))
        return np.broadcast_to(value, [self.num_weights]).copy()

    def _check_triangle(self):
        """Refuses numbers that float64 cannot hold or tell apart."""
        _validation.in_range("x / noise_scale and 1 / prior_scale", self._stack)
        lost = np.finfo(float).eps * max(self._stack.shape) * self._column_lengths
        if (np.diag(self._root) <= lost).any():
            expected = "a prior that is not lost beside columns of x that depend on each other"
            raise ValueError(_validation.message("prior_scale", expected, f"{self.prior_scale.max():g}"))


def _checked_bias(bias):
    if not isinstance(bias, bool):
        raise TypeError(_validation.message("bias", "True or False", _validation.describe(bias)))
    return bias
