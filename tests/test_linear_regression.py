"""The exact answers against independent ones, as laws; each law is shown errors planted in the source.

Densities are SciPy's of the [num_examples, num_examples] covariance, posteriors come from conditioning the joint
Gaussian of w and y, moments from a grid, and optima from searches: nothing here knows of the precision's triangle.
"""

import inspect
import re
import types
from fractions import Fraction
from functools import cache
from operator import mul

import numpy as np
import pytest
import tensorflow as tf
from calibration import agree, assert_mean
from scipy import optimize, stats
from tensorflow_probability import distributions as tfd

from companion import datasets, linear_regression
from companion.linear_regression import BayesianLinearRegression

close = {"rtol": 1e-8, "atol": 1e-9}


@cache
def table(name):
    """Real data with correlated columns: x and y."""
    if name == "diabetes":
        data = datasets.diabetes()
        return data.x, data.y
    data = datasets.breast_cancer()
    return data.x[:100, :8], data.x[:100, 12]


def models(module):
    """Random ones of many shapes, with fewer examples than weights too, and real data; with a bias and without."""
    for seed, (n, d) in enumerate([(6, 3), (2, 4), (40, 1), (1, 1), (9, 9)]):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=[n, d]) + 0.7, rng.normal(size=n)
        for bias in (True, False):
            yield module.BayesianLinearRegression(x, y, rng.uniform(0.3, 2.0), rng.uniform(0.2, 3.0, d + bias), bias)
    for name in ("diabetes", "breast_cancer"):
        yield module.BayesianLinearRegression(*table(name), noise_scale=0.7, prior_scale=1.5)


def evidence_covariance(model):
    return (model.x * model.prior_scale**2) @ model.x.T + model.noise_scale**2 * np.eye(model.num_examples)


def conditional(model):
    """Mean and covariance of w given y, from the joint covariance of both."""
    cross = model.prior_scale[:, None] ** 2 * model.x.T
    gain = np.linalg.solve(evidence_covariance(model), cross.T).T
    return gain @ model.y, np.diag(model.prior_scale**2) - gain @ cross.T


def divergence(loc, cov, target_loc, target_cov):
    """KL(N(loc, cov) || N(target_loc, target_cov)), as in a textbook."""
    distance = loc - target_loc
    quadratic = distance @ np.linalg.solve(target_cov, distance)
    log_ratio = np.linalg.slogdet(target_cov)[1] - np.linalg.slogdet(cov)[1]
    return (np.trace(np.linalg.solve(target_cov, cov)) + quadratic - len(loc) + log_ratio) / 2


def random_mean_field(model, rng):
    return rng.normal(size=model.num_weights), rng.uniform(0.05, 1.5, size=model.num_weights)


def new_inputs(model, rng, n=20):
    """Inputs as `predict` takes them, and with the column of ones."""
    bias = bool((model.x[:, -1] == 1).all())
    x = 3 * rng.normal(size=[n, model.num_weights - bias])
    return x, np.column_stack([x, np.ones(n)]) if bias else x


def posterior_law(module):
    for model in models(module):
        loc, cov = conditional(model)
        np.testing.assert_allclose(model.posterior.mean(), loc, **close)
        np.testing.assert_allclose(model.posterior.covariance(), cov, **close)
        np.testing.assert_allclose(model.precision @ cov, np.eye(model.num_weights), rtol=0, atol=1e-8)
        assert model.posterior.dtype == tf.float64
        np.testing.assert_array_equal(model.prior.stddev(), model.prior_scale)
        np.testing.assert_array_equal(model.prior.mean(), 0 * loc)


def evidence_law(module):
    for model in models(module):
        exact = stats.multivariate_normal.logpdf(model.y, np.zeros(model.num_examples), evidence_covariance(model))
        np.testing.assert_allclose(model.log_evidence, exact, **close)


def elbo_law(module):
    """The ELBO is the evidence less the divergence from the posterior; the KL is TFP's, the loss an example's."""
    rng = np.random.default_rng(8)
    for model in models(module):
        evidence = stats.multivariate_normal.logpdf(model.y, np.zeros(model.num_examples), evidence_covariance(model))
        for loc, scale in (random_mean_field(model, rng) for _ in range(3)):
            exact = evidence - divergence(loc, np.diag(scale**2), *conditional(model))
            np.testing.assert_allclose(model.elbo(loc, scale), exact, **close)
            kl = tfd.kl_divergence(tfd.MultivariateNormalDiag(loc, scale), model.prior)
            np.testing.assert_allclose(model.kl_divergence(loc, scale), kl, **close)
            np.testing.assert_allclose(model.expected_log_likelihood(loc, scale), exact + kl, **close)
            np.testing.assert_allclose(model.loss(loc, scale), -exact / len(model.y), **close)


def mean_field_law(module):
    """The gap by determinants; the best mean field leaves it, and there the ELBO falls in every direction."""
    rng = np.random.default_rng(9)
    for model in models(module):
        _, cov = conditional(model)
        precision = np.linalg.inv(cov)
        gap = (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2
        np.testing.assert_allclose(model.gap, gap, **close)
        best = model.mean_field_posterior
        loc, scale = best.mean().numpy(), best.stddev().numpy()
        assert best.dtype == tf.float64
        value = model.elbo(loc, scale)
        np.testing.assert_allclose(model.log_evidence - value, gap, **close)
        step = 1e-3
        for direction in rng.normal(size=[5, 2, model.num_weights]):
            d_loc, d_log_scale = direction / np.linalg.norm(direction)
            ahead, behind = (
                model.elbo(loc + h * d_loc * scale, scale * np.exp(h * d_log_scale)) for h in (step, -step)
            )
            assert max(ahead, behind) < value
            # slope below curvature times half a step: the top is within half a step
            assert abs(ahead - behind) < step * (2 * value - ahead - behind)
        np.testing.assert_allclose(model.marginal_ratio, scale**2 / np.diag(cov), **close)
        assert (model.marginal_ratio <= 1 + 1e-12).all()


def predictive_law(module):
    rng = np.random.default_rng(10)
    for model in models(module):
        loc, cov = conditional(model)
        x, rows = new_inputs(model, rng)
        exact = model.predict(x)
        np.testing.assert_allclose(exact.mean, rows @ loc, **close)
        np.testing.assert_allclose(exact.epistemic, np.einsum("ni,ij,nj->n", rows, cov, rows), **close)
        np.testing.assert_array_equal(exact.aleatoric, np.full(20, model.noise_scale**2))
        np.testing.assert_array_equal(exact.total, exact.epistemic + exact.aleatoric)
        m, s = random_mean_field(model, rng)
        given = model.predict_mean_field(x, m, s)
        np.testing.assert_allclose(given.mean, rows @ m, **close)
        np.testing.assert_allclose(given.epistemic, np.einsum("ni,ij,nj->n", rows, np.diag(s**2), rows), **close)
        np.testing.assert_array_equal(given.aleatoric, exact.aleatoric)
        best = model.predict_mean_field(x)
        variances = 1 / np.diag(np.linalg.inv(cov))
        np.testing.assert_allclose(best.mean, exact.mean, **close)
        np.testing.assert_allclose(best.epistemic, rows**2 @ variances, **close)
        np.testing.assert_allclose(model.predictive_ratio(x), best.epistemic / exact.epistemic, **close)


def ratio_range_law(module):
    """No input leaves the range; the ends are reached along the extreme directions of a generalised eigenproblem."""
    rng = np.random.default_rng(11)
    for model in models(module):
        least, most = model.predictive_ratio_range
        x, _ = new_inputs(model, rng, 200)
        ratio = model.predictive_ratio(x)
        assert (ratio >= least * (1 - 1e-9)).all()
        assert (ratio <= most * (1 + 1e-9)).all()
        _, cov = conditional(model)
        diagonal = np.diag(1 / np.diag(np.linalg.inv(cov)))
        values, directions = np.linalg.eig(np.linalg.solve(cov, diagonal))
        np.testing.assert_allclose([least, most], [values.real.min(), values.real.max()], **close)
        top = directions[:, values.real.argmax()].real
        np.testing.assert_allclose((top @ diagonal @ top) / (top @ cov @ top), most, **close)
        assert least <= 1 + 1e-12
        assert most >= 1 - 1e-12


def tempered_law(module):
    """By the definition: q is proportional to likelihood^(1 / beta) times prior, so its precision adds up."""
    for model in models(module):
        for beta in (0.1, 7.0):
            tempered = model.tempered(beta)
            precision = model.x.T @ model.x / model.noise_scale**2 / beta + np.diag(model.prior_scale**-2.0)
            np.testing.assert_allclose(tempered.precision, precision, **close)
            loc = np.linalg.solve(precision, model.x.T @ model.y / model.noise_scale**2 / beta)
            np.testing.assert_allclose(tempered.posterior.mean(), loc, **close)
            best = tempered.mean_field_posterior
            loc, scale = best.mean().numpy(), best.stddev().numpy()

            def objective(loc, scale, model=model, beta=beta):
                return model.expected_log_likelihood(loc, scale) - beta * model.kl_divergence(loc, scale)

            step = 1e-3 * scale
            for moved in (1 + 1e-3, 1 - 1e-3):
                assert objective(loc, scale * moved) < objective(loc, scale)
            assert max(objective(loc + step, scale), objective(loc - step, scale)) < objective(loc, scale)
            x, _ = new_inputs(model, np.random.default_rng(0), 2)
            assert tempered.predict(x).mean.shape == (2,)


def hard_numbers_law(module):
    """Almost no noise and columns that are almost one, against rational numbers: squares would lose it all."""
    x, y, s = [[1.0, 1.0 + 1e-6], [1.0, 1.0 - 1e-6], [0.5, 0.5]], [2.0, 2.0, 1.0], 1e-5
    model = module.BayesianLinearRegression(x, y, s, 1.0, bias=False)
    columns = [[Fraction(value) / Fraction(s) for value in column] for column in (*zip(*x, strict=True), y)]

    def dot(i, j):
        return sum(map(mul, columns[i], columns[j]))

    a, b, c = dot(0, 0) + 1, dot(1, 1) + 1, dot(0, 1)  # the precision [[a, c], [c, b]]
    det = a * b - c**2
    loc = [(b * dot(0, 2) - c * dot(1, 2)) / det, (a * dot(1, 2) - c * dot(0, 2)) / det]
    np.testing.assert_allclose(model.posterior.mean(), np.array(loc, float), rtol=1e-7)
    np.testing.assert_allclose(model.posterior.stddev() ** 2, np.array([b / det, a / det], float), rtol=1e-7)
    np.testing.assert_allclose(model.marginal_ratio, float(det / (a * b)), rtol=1e-7)
    np.testing.assert_allclose(model.gap, np.log(float(a * b / det)) / 2, rtol=1e-7)
    np.testing.assert_allclose(model.predict([[1.0, -1.0]]).epistemic, float((a + b + 2 * c) / det), rtol=1e-7)


LAWS = {
    law.__name__: law
    for law in (
        posterior_law,
        evidence_law,
        elbo_law,
        mean_field_law,
        predictive_law,
        ratio_range_law,
        tempered_law,
        hard_numbers_law,
    )
}


@pytest.mark.parametrize("law", LAWS)
def test_law_holds(law):
    LAWS[law](linear_regression)


# what stands in the source, what is planted, the law that must find it
PLANTED = {
    "noise not squared": (
        "np.vstack([self.x / self.noise_scale,",
        "np.vstack([self.x / self.noise_scale**0.5,",
        "posterior_law",
    ),
    "prior variance for its scale": (
        "np.diag(1.0 / self.prior_scale)])",
        "np.diag(1.0 / self.prior_scale**2)])",
        "posterior_law",
    ),
    "targets not over the noise": ("[self.y / self.noise_scale, np", "[self.y, np", "posterior_law"),
    "factor from the wrong side": ("np.linalg.qr(inverse.T", "np.linalg.qr(inverse", "posterior_law"),
    "precision as the covariance": (
        "return self._stack.T @ self._stack",
        "return linalg.inv(self._stack.T @ self._stack)",
        "posterior_law",
    ),
    "prior of scale one": (
        "tfd.MultivariateNormalDiag(np.zeros(self.num_weights), self.prior_scale)",
        "tfd.MultivariateNormalDiag(np.zeros(self.num_weights))",
        "posterior_law",
    ),
    "evidence without the prior's volume": ("np.log(self.prior_scale).sum() - np", "-np", "evidence_law"),
    "evidence without the posterior's volume": (" - np.log(np.diag(self._scale_tril)).sum()", "", "evidence_law"),
    "evidence without the weights' distance": (
        " + ((self._loc / self.prior_scale) ** 2).sum()\n",
        "\n",
        "evidence_law",
    ),
    "evidence without the half": ("log_dets - distances / 2", "log_dets - distances", "evidence_law"),
    "constant of one example": ("return self.num_examples * (np.log", "return (np.log", "evidence_law"),
    "noise in the constant twice": (
        "/ 2 + np.log(self.noise_scale))",
        "/ 2 + 2 * np.log(self.noise_scale))",
        "evidence_law",
    ),
    "spread forgotten": (".sum() + spread) / 2", ".sum()) / 2", "elbo_law"),
    "scale not squared in the spread": (
        "((self.x * (scale / self.noise_scale)) ** 2)",
        "(self.x**2 * scale / self.noise_scale**2)",
        "elbo_law",
    ),
    "KL without its half": ("distance**2 - 1.0) / 2 -", "distance**2 - 1.0) -", "elbo_law"),
    "KL the other way": (
        "ratio, distance = scale / self.prior_scale,",
        "ratio, distance = self.prior_scale / scale,",
        "elbo_law",
    ),
    "KL added": ("(loc, scale) - self.kl_divergence", "(loc, scale) + self.kl_divergence", "elbo_law"),
    "KL doubled": ("(loc, scale) - self.kl_divergence", "(loc, scale) - 2 * self.kl_divergence", "elbo_law"),
    "loss of the sum": ("-self.elbo(loc, scale) / self.num_examples", "-self.elbo(loc, scale)", "elbo_law"),
    "loss over the weights": (
        "-self.elbo(loc, scale) / self.num_examples",
        "-self.elbo(loc, scale) / self.num_weights",
        "elbo_law",
    ),
    "marginal variances for mean field": (
        "tfd.MultivariateNormalDiag(self._loc, 1.0 / self._column_lengths)",
        "tfd.MultivariateNormalDiag(self._loc, np.linalg.norm(self._scale_tril, axis=1))",
        "mean_field_law",
    ),
    "variances for scales": (
        "tfd.MultivariateNormalDiag(self._loc, 1.0 / self._column_lengths)",
        "tfd.MultivariateNormalDiag(self._loc, self._column_lengths**-2.0)",
        "mean_field_law",
    ),
    "gap without its half": ("(above**2).sum(axis=0)).sum() / 2", "(above**2).sum(axis=0)).sum()", "mean_field_law"),
    "gap of rows": (
        "np.triu(self._root, 1) / np.diag(self._root)",
        "np.triu(self._root, 1) / np.diag(self._root)[:, None]",
        "mean_field_law",
    ),
    "ratio of scales": ("* self._column_lengths) ** -2.0", "* self._column_lengths) ** -1.0", "mean_field_law"),
    "ratio of columns": (
        "norm(self._scale_tril, axis=1) * self",
        "norm(self._scale_tril, axis=0) * self",
        "mean_field_law",
    ),
    "predictions by the factor's rows": (
        "(x @ self._scale_tril) ** 2",
        "(x @ self._scale_tril.T) ** 2",
        "predictive_law",
    ),
    "standard deviation for the noise": (
        "np.full(len(mean), self.noise_scale**2)",
        "np.full(len(mean), self.noise_scale)",
        "predictive_law",
    ),
    "total without the noise": ("return self.epistemic + self.aleatoric", "return self.epistemic", "predictive_law"),
    "mean field not squared": ("((x * scale) ** 2).sum(axis=1)", "(x**2 * scale).sum(axis=1)", "predictive_law"),
    "mean field as if it were one noise": (
        "((x * scale) ** 2).sum(axis=1)",
        "(x * scale).sum(axis=1) ** 2",
        "predictive_law",
    ),
    "ratio the other way": (
        "self.predict_mean_field(x).epistemic / exact",
        "exact / self.predict_mean_field(x).epistemic",
        "predictive_law",
    ),
    "range of lengths": ("compute_uv=False) ** 2", "compute_uv=False)", "ratio_range_law"),
    "range without the diagonal": (
        "np.linalg.svd(self._root / self._column_lengths,",
        "np.linalg.svd(self._root,",
        "ratio_range_law",
    ),
    "tempered by the weight itself": (
        "self.noise_scale * np.sqrt(kl_weight)",
        "self.noise_scale * kl_weight",
        "tempered_law",
    ),
    "tempered the other way": (
        "self.noise_scale * np.sqrt(kl_weight)",
        "self.noise_scale / np.sqrt(kl_weight)",
        "tempered_law",
    ),
    "tempered prior": (
        "np.sqrt(kl_weight), self.prior_scale,",
        "np.sqrt(kl_weight), self.prior_scale * np.sqrt(kl_weight),",
        "tempered_law",
    ),
    "triangle by squares": (
        "q, r = np.linalg.qr(self._stack)",
        "r = np.linalg.cholesky(self.precision).T; q = linalg.solve_triangular(r.T, self._stack.T, lower=True).T",
        "hard_numbers_law",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_error_is_found(name):
    there, instead, law = PLANTED[name]
    source = inspect.getsource(linear_regression)
    assert source.count(there) == 1
    changed = types.ModuleType(linear_regression.__name__)
    exec(compile(source.replace(there, instead), f"<{name}>", "exec"), vars(changed))
    with pytest.raises(AssertionError):
        LAWS[law](changed)


LINE = BayesianLinearRegression([[-1.0], [0.5], [2.0], [0.3]], [0.2, 0.9, 2.5, -0.4], 0.6, [1.5, 0.8])


@cache
def grid():
    """Weights of `LINE` on a fine grid, and log p(y, w) there by SciPy's density of one number."""
    axis = np.linspace(-4.0, 4.0, 161)
    w = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    x, y = np.array([[-1.0, 1.0], [0.5, 1.0], [2.0, 1.0], [0.3, 1.0]]), np.array([0.2, 0.9, 2.5, -0.4])
    log_likelihood = stats.norm.logpdf(y, w @ x.T, 0.6).sum(axis=-1)
    return w, log_likelihood + stats.norm.logpdf(w, 0.0, [1.5, 0.8]).sum(axis=-1), (axis[1] - axis[0]) ** 2


def test_all_is_what_sums_over_a_grid_say():
    """Two weights: evidence, posterior moments, prediction and ELBO by their definitions as integrals."""
    w, log_joint, cell = grid()
    p = np.exp(log_joint) * cell
    np.testing.assert_allclose(LINE.log_evidence, np.log(p.sum()), rtol=1e-9)
    p /= p.sum()
    mean = np.einsum("ab,abi->i", p, w)
    np.testing.assert_allclose(LINE.posterior.mean(), mean, rtol=1e-9)
    cov = np.einsum("ab,abi,abj->ij", p, w - mean, w - mean)
    np.testing.assert_allclose(LINE.posterior.covariance(), cov, rtol=1e-9)
    output = w @ [3.0, 1.0]
    exact = LINE.predict([[3.0]])
    centre = (p * output).sum()
    np.testing.assert_allclose(
        [exact.mean[0], exact.epistemic[0]], [centre, (p * (output - centre) ** 2).sum()], rtol=1e-9
    )
    loc, scale = np.array([0.4, -0.3]), np.array([0.5, 0.4])
    log_q = stats.norm.logpdf(w, loc, scale).sum(axis=-1)
    np.testing.assert_allclose(LINE.elbo(loc, scale), (np.exp(log_q) * (log_joint - log_q)).sum() * cell, rtol=1e-9)


def test_mean_field_posterior_is_the_closest_of_all():
    """A search without gradients on the grid's divergence from the posterior, from far away."""
    w, log_joint, cell = grid()

    def loss(theta):
        log_q = stats.norm.logpdf(w, theta[:2], np.exp(theta[2:])).sum(axis=-1)
        return (np.exp(log_q) * (log_q - log_joint)).sum() * cell

    options = {"xatol": 1e-7, "fatol": 1e-13, "maxiter": 2000}
    found = optimize.minimize(loss, [0.0, 0.0, -1.0, -1.0], method="Nelder-Mead", options=options)
    best = LINE.mean_field_posterior
    np.testing.assert_allclose(best.mean(), found.x[:2], atol=1e-5)
    np.testing.assert_allclose(best.stddev(), np.exp(found.x[2:]), rtol=1e-5)
    np.testing.assert_allclose(LINE.log_evidence + found.fun, LINE.gap, rtol=1e-6)


def test_expected_log_likelihood_is_the_mean_over_draws():
    """By its definition, on real data; the variance in the place of the scale is found."""
    model = BayesianLinearRegression(*table("diabetes"), noise_scale=0.7)
    rng = np.random.default_rng(12)
    loc, scale = rng.normal(size=11) / 5, rng.uniform(0.02, 0.2, size=11)
    x = np.column_stack([table("diabetes")[0], np.ones(442)])
    w = loc + scale * rng.normal(size=[10_000, 11])
    samples = stats.norm.logpdf(table("diabetes")[1], w @ x.T, 0.7).sum(axis=1)
    assert_mean(samples, np.array(model.expected_log_likelihood(loc, scale)))
    for wrong in (scale**2, 1.02 * scale):
        assert not agree(samples, model.expected_log_likelihood(loc, wrong), shared_among=1)


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer"])
def test_mean_field_understates_weights_and_overstates_functions_on_the_examples(name):
    """Every weight's variance is too small; the examples' epistemic variance is too large on average, as much as that.

    Both by the trace identity of `predictive_ratio`, and with the two sides computed apart.
    """
    x, y = table(name)
    model = BayesianLinearRegression(x, y, 0.7, 1.5)
    assert (model.marginal_ratio[:-1] < 1).all()  # standardised columns are orthogonal to that of the bias
    assert model.marginal_ratio.min() < 0.2
    exact, best = model.predict(x).epistemic, model.predict_mean_field(x).epistemic
    excess = (best - exact).sum() / 0.7**2
    lack = (model.posterior.variance() - model.mean_field_posterior.variance()).numpy().sum() / 1.5**2
    np.testing.assert_allclose(excess, lack, rtol=1e-8)
    assert excess > 0
    # and far from them, along a direction in which the examples do not lie, it is too small by far
    direction = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][-1]
    assert model.predictive_ratio([100 * direction]) < 0.2
    assert model.predictive_ratio_range[0] < 0.2 < 1 < model.predictive_ratio_range[1]


def test_orthogonal_columns_leave_nothing_to_understate():
    x = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    model = BayesianLinearRegression(x, [1.0, 2.0, 0.5, 0.0], 0.5, [1.0, 2.0, 3.0])
    assert 0 <= model.gap < 1e-14
    np.testing.assert_allclose(model.marginal_ratio, np.ones(3), rtol=1e-12)
    np.testing.assert_allclose(model.predictive_ratio_range, np.ones(2), rtol=1e-12)
    np.testing.assert_allclose(model.posterior.covariance(), np.diag(model.mean_field_posterior.variance()), atol=1e-14)


def test_a_kl_that_is_not_divided_or_twice_is_a_tempered_posterior():
    """Beside a mean likelihood of n examples the KL then weighs n, or 1 / n.

    The columns of the diabetes data are orthogonal to that of the bias, whose precision is n / (noise^2 weight) + 1.
    """
    x, y = table("diabetes")
    model = BayesianLinearRegression(x, y, 0.7)
    stddev = {}
    for beta in (1 / 442, 1.0, 442.0):
        tempered = model.tempered(beta)
        stddev[beta] = tempered.posterior.stddev().numpy()
        exact = (442 / 0.7**2 / beta + 1) ** -0.5
        np.testing.assert_allclose([stddev[beta][-1], tempered.mean_field_posterior.stddev()[-1]], exact, rtol=1e-9)
    assert (stddev[1 / 442] < stddev[1.0]).all()
    assert (stddev[1.0] < stddev[442.0]).all()
    assert (stddev[442.0] < 1.0).all()  # the prior's
    assert model.tempered(1.0).log_evidence == model.log_evidence


def test_inputs_are_taken_as_numbers_of_any_float_width_and_kept():
    x, y = np.ones([3, 2], np.float32), tf.constant([1.0, 2.0, 3.0])
    model = BayesianLinearRegression(x, y, tf.constant(0.5), np.float32(2.0))
    assert model.x.dtype == model.y.dtype == model.prior_scale.dtype == np.float64
    assert all(
        type(value) is float
        for value in (model.noise_scale, model.log_evidence, model.gap, model.elbo([0] * 3, [1] * 3))
    )
    x[0] = 7.0
    assert model.x[0, 0] == 1.0
    np.testing.assert_array_equal(model.prior_scale, [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(model.x[:, 2], 1.0)
    assert BayesianLinearRegression(x, y, 0.5, bias=False).num_weights == 2
    assert BayesianLinearRegression(np.zeros([3, 0]), y, 0.5).num_weights == 1  # the bias alone: a mean
    assert model.predict(np.zeros([0, 2])).mean.shape == (0,)


X, Y = [[1.0], [2.0]], [0.0, 1.0]
BAD = {
    "x: expected shape [None, None] ([num_examples, num_features]); got shape [2]": lambda: BayesianLinearRegression(
        Y, Y, 1.0
    ),
    "x: expected at least one example and one weight; got shape [0, 1]": lambda: BayesianLinearRegression(
        np.zeros([0, 1]), [], 1.0
    ),
    "x: expected at least one example and one weight; got shape [2, 0]": lambda: BayesianLinearRegression(
        np.zeros([2, 0]), Y, 1.0, bias=False
    ),
    "x: expected finite numbers": lambda: BayesianLinearRegression([[np.nan], [1.0]], Y, 1.0),
    "y: expected shape [2] (one target an example); got shape [2, 1]": lambda: BayesianLinearRegression(X, X, 1.0),
    "y: expected finite numbers": lambda: BayesianLinearRegression(X, [np.inf, 0.0], 1.0),
    "noise_scale: expected positive numbers; got 0.0": lambda: BayesianLinearRegression(X, Y, 0.0),
    "noise_scale: expected shape [] (one number); got shape [2]": lambda: BayesianLinearRegression(X, Y, [1.0, 1.0]),
    "prior_scale: expected positive numbers; got -1.0": lambda: BayesianLinearRegression(X, Y, 1.0, -1.0),
    "prior_scale: expected one number or shape [2] (one a weight, the bias last); got shape [3]": (
        lambda: BayesianLinearRegression(X, Y, 1.0, [1.0, 1.0, 1.0])
    ),
    "prior_scale: expected one number or shape [2] (one a weight, the bias last); got shape [1]": (
        lambda: BayesianLinearRegression(X, Y, 1.0, [1.0])
    ),
    "prior_scale: expected a prior that is not lost beside columns of x that depend on each other; got 1e+09": (
        lambda: BayesianLinearRegression([[1.0], [1.0]], Y, 1e-9, 1e9)
    ),
    "x / noise_scale and 1 / prior_scale: expected values in the range of float64; got infinity": (
        lambda: BayesianLinearRegression([[1e200], [1.0]], Y, 1e-200)
    ),
    "log_evidence: expected values in the range of float64; got infinity": (
        lambda: BayesianLinearRegression(X, [1e200, 0.0], 1.0).log_evidence
    ),
    "loc: expected shape [2] (one entry a weight, the bias last); got shape [1]": lambda: LINE.elbo([0.0], [1.0, 1.0]),
    "loc: expected shape [2] (one entry a weight, the bias last); got shape [1, 2]": lambda: LINE.loss(
        [[0.0, 0.0]], [1.0, 1.0]
    ),
    "scale: expected shape [2] (one entry a weight, the bias last); got shape []": lambda: LINE.kl_divergence(
        [0.0, 0.0], 1.0
    ),
    "scale: expected positive numbers; got 0.0": lambda: LINE.elbo([0.0, 0.0], [1.0, 0.0]),
    "expected_log_likelihood: expected values in the range of float64": lambda: LINE.elbo([0.0, 0.0], [1e200, 1.0]),
    "kl_divergence: expected values in the range of float64": lambda: LINE.kl_divergence([1e200, 0.0], [1.0, 1.0]),
    "x: expected shape [None, 1] ([num_inputs, num_features]); got shape [1, 2]": lambda: LINE.predict([[1.0, 1.0]]),
    "x: expected rows that are not zero; got row 1 of zeros": lambda: BayesianLinearRegression(
        X, Y, 1.0, bias=False
    ).predictive_ratio([[1.0], [0.0]]),
    "predict: expected values in the range of float64": lambda: LINE.predict([[1e200]]),
    "loc, scale: expected both or none; got loc alone": lambda: LINE.predict_mean_field(X, loc=[0.0, 0.0]),
    "loc, scale: expected both or none; got scale alone": lambda: LINE.predict_mean_field(X, scale=[1.0, 1.0]),
    "kl_weight: expected positive numbers; got 0.0": lambda: LINE.tempered(0.0),
}
BAD_TYPES = {
    "x: expected float32 or float64; got int64": lambda: BayesianLinearRegression(np.array([[1], [2]]), Y, 1.0),
    "y: expected numbers": lambda: BayesianLinearRegression(X, ["a", "b"], 1.0),
    "bias: expected True or False; got 1 (int)": lambda: BayesianLinearRegression(X, Y, 1.0, bias=1),
}


@pytest.mark.parametrize("expected", [*BAD, *BAD_TYPES])
def test_bad_input_is_named(expected):
    error, call = (ValueError, BAD[expected]) if expected in BAD else (TypeError, BAD_TYPES[expected])
    with pytest.raises(error, match=re.escape(expected)):
        call()
