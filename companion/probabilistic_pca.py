"""Probabilistic principal component analysis: the linear VAE, whose every quantity is exact.

Contract: all is float64 NumPy, in closed form, in nats. Integrals over z need the matrix M = W'W + s^2 I alone,
[latent_dim, latent_dim]; its Cholesky factor comes from a QR decomposition, which does not square what is small.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import linalg, special

from companion import _validation, seeds

__all__ = ["DiagonalPosterior", "Posterior", "ProbabilisticPCA", "eigenvalues", "mean_log_likelihood"]


class Posterior(NamedTuple):
    """The exact posterior of z, which has one covariance for all x.

    Attributes:
        loc: means, shape [num_examples, latent_dim].
        covariance: shape [latent_dim, latent_dim].
    """

    loc: np.ndarray
    covariance: np.ndarray


class DiagonalPosterior(NamedTuple):
    """A Gaussian q(z) with independent components, of one width for all x.

    Attributes:
        loc: means, shape [num_examples, latent_dim].
        scale: standard deviations, shape [latent_dim].
    """

    loc: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class ProbabilisticPCA:
    r"""The model :math:`x = W z + b + \sigma\varepsilon`, :math:`z \sim N(0, I)`, :math:`\varepsilon \sim N(0, I)`.

    Args:
        loadings: W, shape [data_dim, latent_dim].
        mean: b, shape [data_dim].
        noise_scale: sigma, the standard deviation of the noise.

    Attributes:
        loadings: as given, float64.
        mean: as given, float64.
        noise_scale: as given.

    Raises:
        TypeError: if an argument is not made of floats.
        ValueError: if a shape is wrong, a number is not finite, or noise_scale is not positive or so small beside
            the loadings that float64 loses it.

    Reference:
        Tipping and Bishop (1999), Probabilistic principal component analysis. Chapter: Variational autoencoders.

    Example:
        >>> model = ProbabilisticPCA([[1.0], [2.0]], mean=[0.0, 0.0], noise_scale=2.0)
        >>> model
        ProbabilisticPCA(data_dim=2, latent_dim=1, noise_scale=2.0)
        >>> model.log_marginal([[1.0, 1.0]]).round(6)  # N([1, 1]; 0, [[5, 2], [2, 8]])
        array([-3.754637])
    """

    loadings: np.ndarray
    mean: np.ndarray
    noise_scale: float

    def __post_init__(self):
        loadings = _validation.array("loadings", self.loadings, [None, None], "[data_dim, latent_dim]")
        if not loadings.size:
            expected = "at least one dimension of the data and of z"
            raise ValueError(_validation.message("loadings", expected, f"shape {list(loadings.shape)}"))
        mean = _validation.array("mean", self.mean, [len(loadings)], "[data_dim]")
        noise_scale = _validation.positive_array("noise_scale", self.noise_scale, [], "one number")
        if noise_scale <= np.finfo(float).eps * np.linalg.norm(loadings):
            raise ValueError(_validation.message("noise_scale", "more than the rounding of W z", float(noise_scale)))
        loadings.flags.writeable = mean.flags.writeable = False
        for name, value in {"loadings": loadings, "mean": mean, "noise_scale": float(noise_scale)}.items():
            object.__setattr__(self, name, value)

    def __repr__(self):
        dims = f"data_dim={self.data_dim}, latent_dim={self.latent_dim}"
        return f"{type(self).__name__}({dims}, noise_scale={self.noise_scale})"

    @classmethod
    def fit(cls, x, latent_dim, noise_scale=None):
        r"""The model with the largest likelihood.

        With l_1 >= l_2 >= ... the eigenvalues of the covariance of the data (divided by num_examples) and U the
        first latent_dim eigenvectors,

        .. math::

            W = U\,(L - \sigma^2 I)_+^{1/2}, \qquad
            \sigma^2 = \frac{1}{d - q} \sum_{i > q} l_i \ \text{ unless it is given.}

        Given, it makes every direction with l_i at most sigma^2 collapse: its column of W is zero. W R with any
        rotation R is as likely. Columns are ordered by length, and the largest entry of each is positive.

        Args:
            x: data, shape [num_examples, data_dim].
            latent_dim: how many dimensions z has: fewer than x, or, if noise_scale is given, as many at most.
            noise_scale: the noise's standard deviation if it is not to be learnt.

        Returns:
            A `ProbabilisticPCA`.

        Raises:
            TypeError: if x is not made of floats.
            ValueError: if there are fewer than two examples, latent_dim does not fit, noise_scale is not positive,
                or latent_dim directions hold all the variance, so that the likelihood has no maximum.

        Reference:
            Tipping and Bishop (1999), appendix A; for a fixed scale Lucas, Tucker, Grosse and Norouzi (2019), Don't
            blame the ELBO!

        Example:
            >>> x = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # eigenvalues 4.5 and 0.5
            >>> best = ProbabilisticPCA.fit(x, latent_dim=1)
            >>> best.loadings.round(6), round(best.noise_scale**2, 6)
            (array([[2.], [0.]]), 0.5)
            >>> ProbabilisticPCA.fit(x, latent_dim=1, noise_scale=3.0).active_dimensions
            0
        """
        x = _data(x)
        deviations, axes = _principal_axes(x)
        noise_scale = _noise_scale("x", deviations, latent_dim, noise_scale)
        kept, axes = deviations[:latent_dim], axes[:latent_dim]
        above = np.maximum(kept - noise_scale, 0.0)
        loadings = np.zeros([x.shape[1], latent_dim])  # fewer axes than latent_dim: columns of zeros
        loadings[:, : len(axes)] = (np.sqrt(above * (kept + noise_scale))[: len(axes), None] * axes).T
        return cls(loadings, x.mean(axis=0), noise_scale)

    @property
    def data_dim(self):
        """How many dimensions x has."""
        return self.loadings.shape[0]

    @property
    def latent_dim(self):
        """How many dimensions z has."""
        return self.loadings.shape[1]

    @property
    def active_dimensions(self):
        """How many directions of z reach x: the rank of W. The posterior of the others is the prior."""
        return int(np.linalg.matrix_rank(self.loadings))

    @property
    def gap(self):
        r"""How far the ELBO of the best diagonal posterior is below log p(x), in nats, whatever x.

        .. math::

            \tfrac12 \Bigl[\sum_i \log M_{ii} - \log |M|\Bigr], \qquad M = W^\top W + \sigma^2 I

        Zero if and only if the columns of W are orthogonal.
        """
        above = np.triu(self._root, 1) / np.diag(self._root)
        return float(np.log1p((above**2).sum(axis=0)).sum() / 2)  # M_ii is the squared length of column i

    def encoder(self):
        r"""The exact posterior mean as an affine map of x, :math:`A x + a`.

        .. math::

            A = M^{-1} W^\top, \qquad a = -A b

        Returns:
            A, shape [latent_dim, data_dim], and a, shape [latent_dim]. `[A.T, a]` are the weights of a
            `keras.layers.Dense`.

        Example:
            >>> A, a = ProbabilisticPCA([[1.0], [2.0]], mean=[0.0, 5.0], noise_scale=2.0).encoder()
            >>> A.round(6), a.round(6)
            (array([[0.111111, 0.222222]]), array([-1.111111]))
        """
        return self._encoder.copy(), -self._encoder @ self.mean

    def posterior(self, x):
        r"""The exact posterior :math:`p(z \mid x) = N(M^{-1} W^\top (x - b),\; \sigma^2 M^{-1})`.

        Args:
            x: shape [num_examples, data_dim].

        Returns:
            A `Posterior`.

        Raises:
            TypeError: if x is not made of floats.
            ValueError: if its shape is wrong or a number is not finite.

        Example:
            >>> ProbabilisticPCA([[1.0], [2.0]], mean=[0.0, 0.0], noise_scale=2.0).posterior([[1.0, 1.0]])
            Posterior(loc=array([[0.33333333]]), covariance=array([[0.44444444]]))
        """
        factor = self.noise_scale * _inverse(self._root)
        return Posterior(self._posterior_loc(self._examples(x)), factor @ factor.T)

    def best_diagonal_posterior(self, x):
        r"""The diagonal Gaussian with the largest ELBO: the exact mean, and variances :math:`\sigma^2 / M_{ii}`.

        Args:
            x: shape [num_examples, data_dim].

        Returns:
            A `DiagonalPosterior`.

        Raises:
            TypeError: as for `posterior`.
            ValueError: as for `posterior`.

        Example:
            >>> model = ProbabilisticPCA([[1.0, 1.0], [0.0, 1.0]], mean=[0.0, 0.0], noise_scale=1.0)
            >>> q = model.best_diagonal_posterior([[1.0, 1.0]])
            >>> q.scale.round(6)
            array([0.707107, 0.57735 ])
            >>> lost = model.log_marginal([[1.0, 1.0]]) - model.elbo([[1.0, 1.0]], *q)
            >>> lost.round(6), round(model.gap, 6)
            (array([0.091161]), 0.091161)
        """
        return DiagonalPosterior(self._posterior_loc(self._examples(x)), self.noise_scale / self._column_lengths)

    def log_marginal(self, x):
        r"""log p(x), in nats: the density of :math:`N(b,\; W W^\top + \sigma^2 I)`.

        .. math::

            -\tfrac12 \Bigl[d \log 2\pi + (d - q) \log \sigma^2 + \log |M|
            + \frac{\lVert x - b - W m \rVert^2}{\sigma^2} + \lVert m \rVert^2\Bigr],
            \qquad m = M^{-1} W^\top (x - b)

        Args:
            x: shape [num_examples, data_dim].

        Returns:
            An array of shape [num_examples].

        Raises:
            TypeError: as for `posterior`.
            ValueError: as for `posterior`, or if a value is beyond the range of float64.

        Example:
            >>> model = ProbabilisticPCA([[0.0]], mean=[1.0], noise_scale=1.0)
            >>> model.log_marginal([[1.0], [2.0]]).round(6)
            array([-0.918939, -1.418939])
        """
        x = self._examples(x)
        log_det = 2.0 * ((self.data_dim - self.latent_dim) * np.log(self.noise_scale) + _log_diagonal(self._root))
        energy = self._energy(x, self._posterior_loc(x))
        return _validation.in_range("log_marginal", -(self.data_dim * np.log(2 * np.pi) + log_det + energy) / 2)

    def elbo(self, x, loc, scale):
        r"""The exact ELBO of a diagonal Gaussian q(z), example by example.

        .. math::

            \mathbb{E}_{z \sim N(m,\; S)}\bigl[\log p(x \mid z)\bigr] - \mathrm{KL}\bigl(N(m, S) \,\|\, N(0, I)\bigr)
            = -\tfrac12 \Bigl[d \log 2\pi\sigma^2 + \frac{\lVert x - b - W m \rVert^2 + \mathrm{tr}(M S)}{\sigma^2}
            + \lVert m \rVert^2 - q - \log |S|\Bigr]

        Args:
            x: shape [num_examples, data_dim].
            loc: q's means m, shape [num_examples, latent_dim].
            scale: q's standard deviations, positive, shape [latent_dim] or [num_examples, latent_dim].

        Returns:
            An array of shape [num_examples].

        Raises:
            TypeError: if an argument is not made of floats.
            ValueError: if a shape is wrong, a number is not finite, a scale is not positive, or a value is beyond
                the range of float64.

        Reference:
            Lucas, Tucker, Grosse and Norouzi (2019), section 4.

        Example:
            The posterior of z is the prior where W is zero; then the ELBO of the prior is log p(x).

            >>> model = ProbabilisticPCA([[0.0]], mean=[1.0], noise_scale=1.0)
            >>> model.elbo([[1.0]], loc=[[0.0]], scale=[1.0]).round(6)
            array([-0.918939])
            >>> model.elbo([[1.0]], loc=[[0.0]], scale=[2.0]).round(6)
            array([-1.725791])
        """
        x = self._examples(x)
        scale = _one_or_each(_validation.positive_array, "scale", scale, [self.latent_dim], len(x))
        spread = ((self._column_lengths / self.noise_scale * scale) ** 2).sum(axis=-1)
        return self._elbo(x, loc, spread, np.log(scale).sum(axis=-1))

    def elbo_full_covariance(self, x, loc, scale_tril):
        r"""The exact ELBO of a Gaussian q(z) with any covariance, as for `elbo`.

        Args:
            x: shape [num_examples, data_dim].
            loc: q's means, shape [num_examples, latent_dim].
            scale_tril: Cholesky factors of q's covariance, shape [latent_dim, latent_dim] or
                [num_examples, latent_dim, latent_dim].

        Returns:
            An array of shape [num_examples].

        Raises:
            TypeError: as for `elbo`.
            ValueError: as for `elbo`, or if scale_tril is not lower-triangular with a positive diagonal.

        Example:
            >>> model = ProbabilisticPCA([[1.0, 1.0], [0.0, 1.0]], mean=[0.0, 0.0], noise_scale=1.0)
            >>> loc, covariance = model.posterior([[1.0, 1.0]])
            >>> model.elbo_full_covariance([[1.0, 1.0]], loc, np.linalg.cholesky(covariance)).round(6)
            array([-2.942596])
            >>> model.log_marginal([[1.0, 1.0]]).round(6)
            array([-2.942596])
        """
        x = self._examples(x)
        scale_tril = _one_or_each(_validation.array, "scale_tril", scale_tril, [self.latent_dim] * 2, len(x))
        diagonals = np.diagonal(scale_tril, axis1=-2, axis2=-1)
        if np.triu(scale_tril, 1).any() or (diagonals <= 0).any():
            raise ValueError(_validation.message("scale_tril", "lower-triangular, with a positive diagonal", "others"))
        spread = ((self._root / self.noise_scale @ scale_tril) ** 2).sum(axis=(-2, -1))
        return self._elbo(x, loc, spread, np.log(diagonals).sum(axis=-1))

    def sample(self, n, seed=None):
        """Draws of x.

        Args:
            n: how many.
            seed: as for `companion.seeds.as_seed`.

        Returns:
            An array of shape [n, data_dim].

        Raises:
            TypeError: if seed is no seed.
            ValueError: if n is not a positive integer.

        Example:
            >>> ProbabilisticPCA([[1.0], [2.0]], mean=[0.0, 0.0], noise_scale=2.0).sample(3, seed=0).shape
            (3, 2)
        """
        n = _validation.count("n", n)
        noise = special.ndtri(seeds.uniform([n, self.latent_dim + self.data_dim], seed, "float64").numpy())
        z, eps = np.split(noise, [self.latent_dim], axis=1)
        return z @ self.loadings.T + self.mean + self.noise_scale * eps

    @cached_property
    def _qr(self):
        """Q and R of [W; sigma I] = QR, so that M = R'R and M^-1 W' = R^-1 (the first rows of Q)'."""
        stack = np.vstack([self.loadings, self.noise_scale * np.eye(self.latent_dim)])
        return np.linalg.qr(stack)

    @property
    def _root(self):
        return self._qr.R

    @cached_property
    def _encoder(self):
        return linalg.solve_triangular(self._root, self._qr.Q[: self.data_dim].T)

    @cached_property
    def _column_lengths(self):
        """The square roots of M's diagonal, shape [latent_dim]."""
        return np.linalg.norm(self._root, axis=0)

    def _posterior_loc(self, x):
        return (x - self.mean) @ self._encoder.T

    def _energy(self, x, z):
        """-2 log p(x, z) without its constants, a sum of squares, shape [num_examples]."""
        residuals = (x - self.mean - z @ self.loadings.T) / self.noise_scale
        return (residuals**2).sum(axis=1) + (z**2).sum(axis=1)

    def _elbo(self, x, loc, spread, log_det):
        """The ELBO of N(loc, S), with spread = tr(M S) / sigma^2 and log_det = log|S| / 2."""
        loc = _validation.array("loc", loc, [len(x), self.latent_dim], "[num_examples, latent_dim]")
        constant = self.data_dim * (np.log(2 * np.pi) + 2 * np.log(self.noise_scale)) - self.latent_dim
        return _validation.in_range("elbo", log_det - (constant + self._energy(x, loc) + spread) / 2)

    def _examples(self, x):
        return _validation.array("x", x, [None, self.data_dim], "[num_examples, data_dim]")


def eigenvalues(x):
    """The eigenvalues of the covariance of data, divided by num_examples: the variance along each principal axis.

    Args:
        x: data, shape [num_examples, data_dim].

    Returns:
        An array of shape [data_dim], largest first; those within the rounding of x are 0.

    Raises:
        TypeError: if x is not made of floats.
        ValueError: if there are fewer than two examples, a shape is wrong or a number is not finite.

    Example:
        >>> eigenvalues([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).round(6)
        array([4.5, 0.5])
    """
    deviations, _ = _principal_axes(_data(x))
    return deviations**2


def mean_log_likelihood(eigenvalues, latent_dim, noise_scale=None):
    r"""The largest log p(x) a model can have, in nats, a mean over the data; it depends on their eigenvalues alone.

    With k <= latent_dim the number of kept eigenvalues above sigma^2,

    .. math::

        -\tfrac12 \Bigl[d \log 2\pi + \sum_{i \le k} (\log l_i + 1) + (d - k) \log \sigma^2
        + \frac{1}{\sigma^2} \sum_{i > k} l_i\Bigr]

    Args:
        eigenvalues: as from `eigenvalues`, shape [data_dim], largest first.
        latent_dim: as for `ProbabilisticPCA.fit`.
        noise_scale: as for `ProbabilisticPCA.fit`.

    Returns:
        A number.

    Raises:
        TypeError: if eigenvalues are not floats.
        ValueError: as for `ProbabilisticPCA.fit`, or if eigenvalues are negative or increase.

    Reference:
        Tipping and Bishop (1999), equation 9.

    Example:
        >>> round(mean_log_likelihood([4.5, 0.5], latent_dim=1), 6)
        -3.243342
        >>> x = [[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
        >>> round(ProbabilisticPCA.fit(x, latent_dim=1).log_marginal(x).mean(), 6)
        np.float64(-3.243342)
    """
    variances = _validation.array("eigenvalues", eigenvalues, [None], "[data_dim]")
    if not variances.size or variances[-1] < 0 or (np.diff(variances) > 0).any():
        raise ValueError(_validation.message("eigenvalues", "numbers of at least 0, largest first", f"{variances}"))
    noise_scale = _noise_scale("eigenvalues", np.sqrt(variances), latent_dim, noise_scale)
    kept = variances[: np.count_nonzero(np.sqrt(variances[:latent_dim]) > noise_scale)]
    rest = variances[len(kept) :]
    log_dets = np.log(kept).sum() + 2 * len(rest) * np.log(noise_scale)
    distances = len(kept) + ((np.sqrt(rest) / noise_scale) ** 2).sum()
    return float(-(len(variances) * np.log(2 * np.pi) + log_dets + distances) / 2)


def _principal_axes(x):
    """Standard deviations along the principal axes, largest first, [data_dim], and the axes, a row each.

    There are no more axes than examples.
    """
    n, data_dim = x.shape
    triangle = np.linalg.qr(x - x.mean(axis=0), mode="r")  # has the singular values and right vectors of the data
    _, values, axes = np.linalg.svd(triangle, full_matrices=False)
    values[values <= np.finfo(float).eps * max(n, data_dim) * np.linalg.norm(x)] = 0.0
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return np.pad(values, [0, data_dim - len(values)]) / np.sqrt(n), axes * np.sign(largest)[:, None]


def _noise_scale(argument, deviations, latent_dim, noise_scale):
    """The given or the most likely scale of the noise; checks that latent_dim fits."""
    latent_dim, data_dim = _validation.count("latent_dim", latent_dim), len(deviations)
    most = data_dim - (noise_scale is None)
    if latent_dim > most:
        raise ValueError(_validation.message("latent_dim", f"at most {most} for {data_dim} dimensions", latent_dim))
    if noise_scale is not None:
        return float(_validation.positive_array("noise_scale", noise_scale, [], "one number"))
    left = deviations[latent_dim:]
    if not left.any():
        expected = f"variance outside of the first {latent_dim} principal axes, or a noise_scale"
        raise ValueError(_validation.message(argument, expected, "none"))
    return float(np.linalg.norm(left) / np.sqrt(len(left)))


def _data(x):
    """x as a checked array of at least two examples."""
    x = _validation.array("x", x, [None, None], "[num_examples, data_dim]")
    if len(x) < 2 or not x.shape[1]:
        expected = "at least two examples of at least one dimension"
        raise ValueError(_validation.message("x", expected, f"shape {list(x.shape)}"))
    return x


def _one_or_each(check, argument, value, shape, num_examples):
    """A checked array of a shape, or of [num_examples, *shape]."""
    value = check(argument, value, None, "")
    if list(value.shape) not in (shape, [num_examples, *shape]):
        expected = f"shape {shape} or {[num_examples, *shape]}"
        raise ValueError(_validation.message(argument, expected, f"shape {list(value.shape)}"))
    return value


def _inverse(triangle):
    return linalg.solve_triangular(triangle, np.eye(len(triangle)))


def _log_diagonal(triangle):
    return np.log(np.abs(np.diag(triangle))).sum()
