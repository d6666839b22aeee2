"""The closed forms against independent ones, as laws; each law is shown errors planted in the source.

Densities are SciPy's of the [data_dim, data_dim] covariance, posteriors come from conditioning the joint Gaussian of
z and x, and optima from searches: nothing here knows of M.
"""

import inspect
import re
import types
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from calibration import agree, assert_mean
from scipy import optimize, stats
from sklearn.decomposition import PCA

from companion import datasets, probabilistic_pca
from companion.probabilistic_pca import ProbabilisticPCA, eigenvalues, mean_log_likelihood

SIZES = [(5, 2), (3, 3), (2, 4), (30, 5), (1, 1)]  # data_dim, latent_dim
close = {"rtol": 1e-9, "atol": 1e-9}


@cache
def data(name):
    """Real data: correlated measurements, more of them, and pixels, some of which are always 0."""
    tables = {"diabetes": datasets.diabetes, "breast_cancer": datasets.breast_cancer}
    return tables[name]().x if name in tables else datasets.digits(binarize=None).x_test.reshape(297, 64).astype(float)


DATA = ["diabetes", "breast_cancer", "digits"]


def random_model(module, data_dim, latent_dim):
    rng = np.random.default_rng(data_dim * 100 + latent_dim)
    loadings, mean = rng.normal(size=[data_dim, latent_dim]), rng.normal(size=data_dim)
    return module.ProbabilisticPCA(loadings, mean, rng.uniform(0.3, 1.5))


def models_with_data(module):
    """Random loadings with random points, and maximum likelihood on real data, rotated so that no axis is special."""
    rng = np.random.default_rng(7)
    for size in SIZES:
        model = random_model(module, *size)
        yield model, model.mean + 2 * rng.normal(size=[4, size[0]])
    for name in DATA:
        best = ProbabilisticPCA.fit(data(name), 4)
        rotation = stats.ortho_group.rvs(4, random_state=rng)
        yield module.ProbabilisticPCA(best.loadings @ rotation, best.mean, best.noise_scale), data(name)[:5]


def covariance(model):
    return model.loadings @ model.loadings.T + model.noise_scale**2 * np.eye(model.data_dim)


def conditional(model, x):
    """Mean and covariance of z given x, from the joint covariance [[I, W'], [W, C]]."""
    gain = np.linalg.solve(covariance(model), model.loadings).T
    return (x - model.mean) @ gain.T, np.eye(model.latent_dim) - gain @ model.loadings


def scipy_log_marginal(model, x):
    return np.atleast_1d(stats.multivariate_normal.logpdf(x, model.mean, covariance(model)))


def divergence(loc, cov, target_loc, target_cov):
    """KL(N(loc, cov) || N(target_loc, target_cov)), as in a textbook."""
    distance = loc - target_loc
    quadratic = distance @ np.linalg.solve(target_cov, distance)
    log_ratio = np.linalg.slogdet(target_cov)[1] - np.linalg.slogdet(cov)[1]
    return (np.trace(np.linalg.solve(target_cov, cov)) + quadratic - len(loc) + log_ratio) / 2


def random_posteriors(model, n, rng):
    loc = rng.normal(size=[n, model.latent_dim])
    scale = rng.uniform(0.2, 2.0, size=[n, model.latent_dim])
    return loc, scale, np.tril(rng.normal(size=[n, model.latent_dim, model.latent_dim]), -1)


def density_law(module):
    for model, x in models_with_data(module):
        np.testing.assert_allclose(model.log_marginal(x), scipy_log_marginal(model, x), **close)


def posterior_law(module):
    for model, x in models_with_data(module):
        loc, cov = conditional(model, x)
        got = model.posterior(x)
        np.testing.assert_allclose(got.loc, loc, **close)
        np.testing.assert_allclose(got.covariance, cov, **close)
        weights, bias = model.encoder()
        np.testing.assert_allclose(x @ weights.T + bias, loc, **close)


def elbo_law(module):
    """The ELBO is log p(x) less the divergence from the exact posterior, for any q."""
    rng = np.random.default_rng(8)
    for model, x in models_with_data(module):
        target_loc, target_cov = conditional(model, x)
        log_p = scipy_log_marginal(model, x)
        loc, scale, below = random_posteriors(model, len(x), rng)
        tril = below + np.apply_along_axis(np.diag, 1, scale)

        def exact(covs, loc=loc, log_p=log_p, target_loc=target_loc, target_cov=target_cov):
            each = zip(loc, covs, target_loc, strict=True)
            return log_p - [divergence(m, cov, target, target_cov) for m, cov, target in each]

        diagonal = exact(np.apply_along_axis(np.diag, 1, scale**2))
        np.testing.assert_allclose(model.elbo(x, loc, scale), diagonal, **close)
        full = exact(tril @ tril.transpose(0, 2, 1))
        np.testing.assert_allclose(model.elbo_full_covariance(x, loc, tril), full, **close)
        shared = exact(np.broadcast_to(np.diag(scale[0] ** 2), tril.shape))
        np.testing.assert_allclose(model.elbo(x, loc, scale[0]), shared, **close)
        np.testing.assert_allclose(model.elbo_full_covariance(x, loc, np.diag(scale[0])), shared, **close)
        at_posterior = model.elbo_full_covariance(x, target_loc, np.linalg.cholesky(target_cov))
        np.testing.assert_allclose(at_posterior, log_p, **close)
        assert (np.maximum(diagonal, full) < log_p).all()


def diagonal_law(module):
    """The gap by determinants; the best diagonal leaves it, and there the ELBO falls in every direction."""
    rng = np.random.default_rng(9)
    for model, x in models_with_data(module):
        precision = model.loadings.T @ model.loadings / model.noise_scale**2 + np.eye(model.latent_dim)
        gap = (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2
        np.testing.assert_allclose(model.gap, gap, **close)
        best = model.best_diagonal_posterior(x)
        value = model.elbo(x, *best)
        np.testing.assert_allclose(scipy_log_marginal(model, x) - value, gap, **close)
        step = 1e-3
        for direction in rng.normal(size=[5, 2, model.latent_dim]):
            d_loc, d_log_scale = direction / np.linalg.norm(direction)
            ahead, behind = (
                model.elbo(x, best.loc + h * d_loc * best.scale, best.scale * np.exp(h * d_log_scale))
                for h in (step, -step)
            )
            assert (ahead < value).all()
            assert (behind < value).all()
            # slope below curvature times half a step: the top is within half a step
            assert (np.abs(ahead - behind) < step * (2 * value - ahead - behind)).all()


def fit_law(module):
    """Maximum likelihood is scikit-learn's up to its n - 1 for n, and no neighbour is more likely."""
    rng = np.random.default_rng(10)
    for name in DATA:
        x = data(name)
        n = len(x)
        for latent_dim in (1, 3, 7):
            best = module.ProbabilisticPCA.fit(x, latent_dim)
            reference = PCA(latent_dim, svd_solver="full").fit(x)
            loadings = reference.components_.T * np.sqrt(reference.explained_variance_ - reference.noise_variance_)
            theirs = module.ProbabilisticPCA(loadings, reference.mean_, np.sqrt(reference.noise_variance_))
            np.testing.assert_allclose(theirs.log_marginal(x).mean(), reference.score(x), **close)
            np.testing.assert_allclose(best.noise_scale**2, reference.noise_variance_ * (n - 1) / n, **close)
            np.testing.assert_allclose(covariance(best), reference.get_covariance() * (n - 1) / n, **close)
            likelihood = best.log_marginal(x).mean()
            assert likelihood > reference.score(x)
            closed_form = module.mean_log_likelihood(module.eigenvalues(x), latent_dim)
            np.testing.assert_allclose(closed_form, likelihood, **close)
            assert_no_neighbour_is_better(module, best, x, rng)


def fixed_noise_law(module):
    """With the noise given between two eigenvalues, the directions below collapse."""
    rng = np.random.default_rng(11)
    for name in DATA:
        x = data(name)
        variances = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
        np.testing.assert_allclose(module.eigenvalues(x), variances, rtol=1e-9, atol=1e-9 * variances[0])
        for active in (0, 2, 5):
            noise_scale = np.sqrt(variances[:2].sum() if active == 0 else variances[active - 1 : active + 1].mean())
            best = module.ProbabilisticPCA.fit(x, 5, noise_scale=noise_scale)
            assert best.noise_scale == noise_scale
            assert best.active_dimensions == active
            assert not best.loadings[:, active:].any()
            np.testing.assert_allclose((best.loadings**2).sum(axis=0)[:active], variances[:active] - noise_scale**2)
            np.testing.assert_allclose(best.posterior(x[:2]).covariance[active:, active:], np.eye(5 - active), **close)
            got = module.mean_log_likelihood(module.eigenvalues(x), 5, noise_scale)
            np.testing.assert_allclose(got, best.log_marginal(x).mean(), **close)
            assert_no_neighbour_is_better(module, best, x, rng, learn_noise=False)


def assert_no_neighbour_is_better(module, best, x, rng, learn_noise=True):
    """Small steps in all of W (so collapsed columns too), b and sigma lower the likelihood."""
    value = scipy_log_marginal(best, x).mean()
    unit = np.sqrt(np.trace(covariance(best)) / best.loadings.size)
    for _ in range(4):
        loadings = best.loadings + 0.02 * unit * rng.normal(size=best.loadings.shape)
        assert module.ProbabilisticPCA(loadings, best.mean, best.noise_scale).log_marginal(x).mean() < value
        mean = best.mean + 0.02 * unit * rng.normal(size=best.mean.shape)
        assert module.ProbabilisticPCA(best.loadings, mean, best.noise_scale).log_marginal(x).mean() < value
    for factor in (0.98, 1.02) if learn_noise else ():
        moved = module.ProbabilisticPCA(best.loadings, best.mean, factor * best.noise_scale)
        assert moved.log_marginal(x).mean() < value


def sample_law(module):
    """The mean and the covariance of draws, and that they are new ones."""
    model = random_model(module, 5, 2)
    x = model.sample(20_000, seed=3)
    assert_mean(x, model.mean, shared_among=2)
    distances = x - model.mean
    assert_mean(distances[:, :, None] * distances[:, None, :], covariance(model), shared_among=2)
    np.testing.assert_array_equal(x, model.sample(20_000, seed=3))
    assert not (x == model.sample(20_000, seed=4)).any()


def small_noise_law(module):
    """Where x is almost W z, with W of rank 1: the variances are |a|^2 |w|^2 + s^2 along w, and s^2 across."""
    w, across, a, s = np.array([0.6, 0.0, 0.8]), np.array([0.8, 0.0, -0.6]), np.array([1.0, 1.0]), 1e-7
    model = module.ProbabilisticPCA(np.outer(w, a), np.zeros(3), s)
    x = 0.3 * w + 1e-7 * across
    exact = -(3 * np.log(2 * np.pi) + np.log(2 + s**2) + 4 * np.log(s) + 0.3**2 / (2 + s**2) + 1) / 2
    np.testing.assert_allclose(model.log_marginal([x]), exact, rtol=1e-8)
    np.testing.assert_allclose(model.gap, np.log((1 + s**2) / s / np.sqrt(2 + s**2)), rtol=1e-8)
    np.testing.assert_allclose(model.posterior([x]).covariance, [[0.5, -0.5], [-0.5, 0.5]], rtol=1e-6)


LAWS = {
    law.__name__: law
    for law in (
        density_law,
        posterior_law,
        elbo_law,
        diagonal_law,
        fit_law,
        fixed_noise_law,
        sample_law,
        small_noise_law,
    )
}

# what stands in the source, what is planted, the law that must find it
PLANTED = {
    "density without its half": ("log_det + energy) / 2", "log_det + energy)", "density_law"),
    "density without the determinant of M": (" + _log_diagonal(self._root))", ")", "density_law"),
    "log det halved": ("log_det = 2.0 * (", "log_det = (", "density_law"),
    "noise in all dimensions": ("(self.data_dim - self.latent_dim) * np", "self.data_dim * np", "density_law"),
    "residuals over the variance": (
        "self.loadings.T) / self.noise_scale\n",
        "self.loadings.T) / self.noise_scale**2\n",
        "density_law",
    ),
    "energy without the prior": (" + (z**2).sum(axis=1)", "", "density_law"),
    "variance for noise_scale in M": (
        "vstack([self.loadings, self.noise_scale *",
        "vstack([self.loadings, self.noise_scale**2 *",
        "posterior_law",
    ),
    "covariance without the noise": ("factor = self.noise_scale * _inverse", "factor = _inverse", "posterior_law"),
    "covariance of M^-1 transposed": ("factor @ factor.T", "factor.T @ factor", "posterior_law"),
    "encoder that forgets the mean": ("-self._encoder @ self.mean", "0 * self._encoder @ self.mean", "posterior_law"),
    "elbo without the spread": ("self._energy(x, loc) + spread) / 2", "self._energy(x, loc)) / 2", "elbo_law"),
    "elbo without q's entropy": ("log_det - (constant", "-(constant", "elbo_law"),
    "elbo with twice q's entropy": ("log_det - (constant", "2 * log_det - (constant", "elbo_law"),
    "elbo without the -q": ("self.noise_scale)) - self.latent_dim", "self.noise_scale))", "elbo_law"),
    "elbo with the log of sigma once": ("2 * np.log(self.noise_scale)) -", "np.log(self.noise_scale)) -", "elbo_law"),
    "variance for scale": ("self.noise_scale * scale) ** 2", "self.noise_scale) ** 2 * scale", "elbo_law"),
    "scale_tril from the left": (
        "self.noise_scale @ scale_tril",
        "self.noise_scale @ np.swapaxes(scale_tril, -1, -2)",
        "elbo_law",
    ),
    "marginal variances for the best diagonal": (
        "self.noise_scale / self._column_lengths)",
        "np.sqrt(np.diag(self.posterior(x).covariance)))",
        "diagonal_law",
    ),
    "noise variance in the best diagonal": (
        "self.noise_scale / self._column_lengths)",
        "self.noise_scale**2 / self._column_lengths)",
        "diagonal_law",
    ),
    "gap without its half": ("(above**2).sum(axis=0)).sum() / 2", "(above**2).sum(axis=0)).sum()", "diagonal_law"),
    "gap of rows": (
        "np.triu(self._root, 1) / np.diag(self._root)",
        "np.triu(self._root, 1) / np.diag(self._root)[:, None]",
        "diagonal_law",
    ),
    "division by n - 1": ("/ np.sqrt(n), axes", "/ np.sqrt(n - 1), axes", "fit_law"),
    "noise is the smallest eigenvalue": ("np.linalg.norm(left) / np.sqrt(len(left))", "left[-1] + 1e-3", "fit_law"),
    "noise is the mean of deviations": ("np.linalg.norm(left) / np.sqrt(len(left))", "left.mean()", "fit_law"),
    "loadings of full length": (
        "above = np.maximum(kept - noise_scale, 0.0)",
        "above = kept**2 / (kept + noise_scale)",
        "fit_law",
    ),
    "data not centred": ("np.linalg.qr(x - x.mean(axis=0)", "np.linalg.qr(x", "fit_law"),
    "likelihood without the distances": (" + log_dets + distances) / 2", " + log_dets) / 2", "fit_law"),
    "no collapse": ("np.maximum(kept - noise_scale, 0.0)", "np.abs(kept - noise_scale)", "fixed_noise_law"),
    "likelihood that keeps the collapsed": (
        "np.sqrt(variances[:latent_dim]) > noise_scale",
        "variances[:latent_dim] > 0",
        "fixed_noise_law",
    ),
    "samples without noise": (" + self.noise_scale * eps", "", "sample_law"),
    "samples with the variance for noise_scale": ("self.noise_scale * eps", "self.noise_scale**2 * eps", "sample_law"),
    "samples without the mean": (" + self.mean + self", " + self", "sample_law"),
    "samples that forget the seed": ("self.data_dim], seed, ", "self.data_dim], 0, ", "sample_law"),
    "M by its square": (
        "return self._qr.R",
        "return np.linalg.cholesky(self.loadings.T @ self.loadings + self.noise_scale**2 * np.eye(self.latent_dim)).T",
        "small_noise_law",
    ),
}


@pytest.mark.parametrize("law", LAWS)
def test_law_holds(law):
    LAWS[law](probabilistic_pca)


@pytest.mark.parametrize("name", PLANTED)
def test_planted_error_is_found(name):
    there, instead, law = PLANTED[name]
    source = inspect.getsource(probabilistic_pca)
    assert source.count(there) == 1
    changed = types.ModuleType(probabilistic_pca.__name__)
    exec(compile(source.replace(there, instead), f"<{name}>", "exec"), vars(changed))
    with pytest.raises(AssertionError):
        LAWS[law](changed)


def test_elbo_is_the_mean_over_draws_of_z():
    """By its definition: E_q [log p(x, z) - log q(z)]."""
    model = random_model(probabilistic_pca, 5, 2)
    x, loc, scale = np.ones([1, 5]), np.array([[0.3, -0.2]]), np.array([0.7, 0.4])
    z = loc + scale * np.random.default_rng(12).normal(size=[20_000, 2])
    log_p = stats.norm.logpdf(x, z @ model.loadings.T + model.mean, model.noise_scale).sum(axis=1)
    samples = log_p + stats.norm.logpdf(z).sum(axis=1) - stats.norm.logpdf(z, loc, scale).sum(axis=1)
    assert_mean(samples, model.elbo(x, loc, scale)[0])
    for wrong in (scale**2, np.sqrt(scale)):
        assert not agree(samples, model.elbo(x, loc, wrong)[0], shared_among=1)


@pytest.mark.parametrize("size", SIZES[:3])
def test_no_diagonal_posterior_is_better_than_the_best(size):
    """A search from far away ends at the same one, and the same value."""
    model = random_model(probabilistic_pca, *size)
    x = model.sample(1, seed=5)

    def loss(theta):
        loc, log_scale = np.split(theta, 2)
        return -model.elbo(x, loc[None], np.exp(log_scale))[0]

    found = optimize.minimize(loss, np.full(2 * size[1], 0.8), method="BFGS", options={"gtol": 1e-7})
    best = model.best_diagonal_posterior(x)
    np.testing.assert_allclose(-found.fun, model.elbo(x, *best)[0], rtol=1e-9)
    np.testing.assert_allclose(found.x, [*best.loc[0], *np.log(best.scale)], atol=1e-4)


@pytest.mark.parametrize("noise_scale", [None, 0.5, 1.1])
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_no_model_is_more_likely_than_the_fit(latent_dim, noise_scale):
    """A search over W, b and the noise from a random start, on four of the diabetes measurements."""
    x = data("diabetes")[:, [2, 3, 4, 5]]

    def model_at(theta):
        scale = np.exp(theta[-1]) if noise_scale is None else noise_scale
        return ProbabilisticPCA(theta[: 4 * latent_dim].reshape(4, latent_dim), theta[-5:-1], scale)

    start = np.random.default_rng(13).normal(size=4 * latent_dim + 5)
    found = optimize.minimize(lambda theta: -scipy_log_marginal(model_at(theta), x).mean(), start, method="BFGS")
    best = ProbabilisticPCA.fit(x, latent_dim, noise_scale)
    np.testing.assert_allclose(-found.fun, best.log_marginal(x).mean(), rtol=1e-8)
    np.testing.assert_allclose(covariance(model_at(found.x)), covariance(best), atol=1e-3)


def test_gap_is_zero_iff_columns_are_orthogonal():
    for name in DATA:
        best = ProbabilisticPCA.fit(data(name), 3)
        assert 0 <= best.gap < 1e-12
        loc, scale = best.best_diagonal_posterior(data(name))
        np.testing.assert_allclose(best.elbo(data(name), loc, scale), best.log_marginal(data(name)), **close)
    for angle in (1e-3, 0.1, 1.0):  # the cosine is the smallest part of a gap that is seen
        model = ProbabilisticPCA([[1.0, np.sin(angle)], [0.0, np.cos(angle)]], [0.0, 0.0], 1.0)
        np.testing.assert_allclose(model.gap, -np.log1p(-(np.sin(angle) ** 2) / 4) / 2, rtol=1e-9)


def test_a_rotation_of_z_changes_the_posterior_and_the_gap_alone():
    x = data("diabetes")
    best = ProbabilisticPCA.fit(x, 3)
    rotation = stats.ortho_group.rvs(3, random_state=1)
    turned = ProbabilisticPCA(best.loadings @ rotation, best.mean, best.noise_scale)
    np.testing.assert_allclose(turned.log_marginal(x), best.log_marginal(x), **close)
    np.testing.assert_allclose(turned.posterior(x).loc, best.posterior(x).loc @ rotation, **close)
    assert turned.active_dimensions == best.active_dimensions == 3
    assert turned.gap > 0.01


def test_fit_is_repeatable_and_takes_few_examples():
    x = data("diabetes")
    again = ProbabilisticPCA.fit(x[::-1], 3)  # the order of examples does not matter
    best = ProbabilisticPCA.fit(x, 3)
    np.testing.assert_allclose(again.loadings, best.loadings, **close)
    assert (best.loadings[np.abs(best.loadings).argmax(axis=0), range(3)] > 0).all()
    assert (np.diff(np.linalg.norm(best.loadings, axis=0)) < 0).all()
    few = x[:3]  # 2 directions with variance, of 10
    np.testing.assert_allclose(eigenvalues(few), np.linalg.eigvalsh(np.cov(few.T, bias=True))[::-1], atol=1e-12)
    assert (eigenvalues(few)[2:] == 0).all()
    padded = ProbabilisticPCA.fit(few, 6, noise_scale=0.1)
    assert padded.loadings.shape == (10, 6)
    assert padded.active_dimensions == 2
    np.testing.assert_allclose(mean_log_likelihood(eigenvalues(few), 6, 0.1), padded.log_marginal(few).mean(), **close)
    assert ProbabilisticPCA.fit(few, 1).active_dimensions == 1


def test_inputs_are_taken_as_numbers_of_any_float_width_and_kept():
    loadings = np.ones([2, 1], np.float32)
    model = ProbabilisticPCA(tf.constant(loadings), [0, 0], tf.constant(2.0))
    assert model.loadings.dtype == model.log_marginal(np.ones([3, 2], np.float32)).dtype == np.float64
    assert type(model.noise_scale) is float
    own = np.ones([2, 1])
    model = ProbabilisticPCA(own, [0.0, 0.0], 2.0)
    own[0] = 7.0
    assert model.loadings[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        model.loadings[0] = 7.0
    with pytest.raises(AttributeError):
        model.noise_scale = 1.0
    model.encoder()[0][:] = 7.0
    np.testing.assert_allclose(model.encoder()[0], [[1 / 6, 1 / 6]])
    assert repr(model) == "ProbabilisticPCA(data_dim=2, latent_dim=1, noise_scale=2.0)"
    assert model.log_marginal(np.zeros([0, 2])).shape == (0,)


MODEL = ProbabilisticPCA([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 0.0], 1.0)
X, LOC, LINE = np.zeros([2, 3]), np.zeros([2, 2]), np.outer([1.0, 2.0, 3.0, 5.0], [1.0, 1.0])
BAD = {
    "loadings: expected shape [None, None] ([data_dim, latent_dim]); got shape [1]": lambda: ProbabilisticPCA(
        [1.0], [0.0], 1.0
    ),
    "loadings: expected at least one dimension of the data and of z; got shape [1, 0]": lambda: ProbabilisticPCA(
        [[]], [0.0], 1.0
    ),
    "loadings: expected finite numbers": lambda: ProbabilisticPCA([[np.nan]], [0.0], 1.0),
    "mean: expected shape [1] ([data_dim]); got shape [2]": lambda: ProbabilisticPCA([[1.0]], [0.0, 0.0], 1.0),
    "noise_scale: expected positive numbers; got 0.0": lambda: ProbabilisticPCA([[1.0]], [0.0], 0.0),
    "noise_scale: expected positive numbers; got -1.0": lambda: ProbabilisticPCA.fit(LINE, 1, noise_scale=-1.0),
    "noise_scale: expected shape [] (one number); got shape [1]": lambda: ProbabilisticPCA([[1.0]], [0.0], [1.0]),
    "noise_scale: expected more than the rounding of W z; got 1e-16": lambda: ProbabilisticPCA([[1.0]], [0.0], 1e-16),
    "x: expected shape [None, 3] ([num_examples, data_dim]); got shape [3]": lambda: MODEL.log_marginal(
        [1.0, 2.0, 3.0]
    ),
    "x: expected shape [None, 3] ([num_examples, data_dim]); got shape [2, 2]": lambda: MODEL.posterior(LOC),
    "x: expected finite numbers": lambda: MODEL.best_diagonal_posterior(X + np.inf),
    "log_marginal: expected values in the range of float64; got infinity": lambda: MODEL.log_marginal(X + 1e200),
    "elbo: expected values in the range of float64; got infinity": lambda: MODEL.elbo(X, LOC, [1e200, 1.0]),
    "loc: expected shape [2, 2] ([num_examples, latent_dim]); got shape [2]": lambda: MODEL.elbo(
        X, [0.0, 0.0], [1.0, 1.0]
    ),
    "loc: expected shape [2, 2] ([num_examples, latent_dim]); got shape [1, 2]": lambda: MODEL.elbo(
        X, LOC[:1], [1.0, 1.0]
    ),
    "scale: expected positive numbers; got 0.0": lambda: MODEL.elbo(X, LOC, [1.0, 0.0]),
    "scale: expected shape [2] or [2, 2]; got shape [1]": lambda: MODEL.elbo(X, LOC, [1.0]),
    "scale: expected shape [2] or [2, 2]; got shape []": lambda: MODEL.elbo(X, LOC, 1.0),
    "scale_tril: expected shape [2, 2] or [2, 2, 2]; got shape [2]": lambda: MODEL.elbo_full_covariance(
        X, LOC, [1.0, 1.0]
    ),
    "scale_tril: expected lower-triangular, with a positive diagonal": lambda: MODEL.elbo_full_covariance(
        X, LOC, np.ones([2, 2])
    ),
    "scale_tril: expected lower-triangular, with a positive diagonal; got others": lambda: MODEL.elbo_full_covariance(
        X, LOC, -np.eye(2)
    ),
    "n: expected an integer of at least 1; got 0 (int)": lambda: MODEL.sample(0),
    "x: expected at least two examples of at least one dimension; got shape [1, 3]": lambda: ProbabilisticPCA.fit(
        X[:1], 1
    ),
    "x: expected at least two examples of at least one dimension; got shape [2, 0]": lambda: eigenvalues(X[:, :0]),
    "x: expected variance outside of the first 1 principal axes, or a noise_scale; got none": lambda: (
        ProbabilisticPCA.fit(LINE, 1)
    ),
    "x: expected variance outside of the first 1 principal axes": lambda: ProbabilisticPCA.fit(LINE / 7 + 1e6, 1),
    "x: expected variance outside of the first 2 principal axes": lambda: ProbabilisticPCA.fit(np.ones([9, 3]) / 3, 2),
    "latent_dim: expected at most 1 for 2 dimensions; got 2": lambda: ProbabilisticPCA.fit(LINE, 2),
    "latent_dim: expected at most 2 for 2 dimensions; got 3": lambda: ProbabilisticPCA.fit(LINE, 3, noise_scale=1.0),
    "latent_dim: expected an integer of at least 1; got 0 (int)": lambda: ProbabilisticPCA.fit(LINE, 0),
    "latent_dim: expected an integer of at least 1; got 1.0 (float)": lambda: mean_log_likelihood([2.0, 1.0], 1.0),
    "eigenvalues: expected variance outside of the first 1 principal axes": lambda: mean_log_likelihood([2.0, 0.0], 1),
    "eigenvalues: expected numbers of at least 0, largest first; got [1. 2.]": lambda: mean_log_likelihood(
        [1.0, 2.0], 1
    ),
    "eigenvalues: expected numbers of at least 0, largest first; got [ 1. -2.]": lambda: mean_log_likelihood(
        [1.0, -2.0], 1
    ),
}


@pytest.mark.parametrize("expected", BAD)
def test_bad_arguments_are_named(expected):
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="^" + re.escape(expected)):
        BAD[expected]()


def test_what_is_not_made_of_floats_is_refused():
    with pytest.raises(TypeError, match="x: expected float32 or float64; got uint8 of shape"):
        MODEL.log_marginal(np.zeros([2, 3], np.uint8))
    with pytest.raises(TypeError, match="loadings: expected numbers"):
        ProbabilisticPCA([["a"]], [0.0], 1.0)
    with pytest.raises(TypeError, match="seed: expected"):
        MODEL.sample(1, seed="now")
    with pytest.raises(RuntimeError, match="x: expected eager execution"):
        tf.function(lambda: MODEL.log_marginal(X))()
