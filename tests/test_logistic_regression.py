"""The exact ELBO and its optimum against independent answers, and runs of `fit` against both."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_mean, quantile
from scipy import integrate, optimize, special, stats
from tensorflow_probability import distributions as tfd

from companion import datasets, gradients, seeds
from companion.gradients import GradientEstimate
from companion.logistic_regression import BayesianLogisticRegression, fit, model
from companion.logistic_regression.ascent import _batches

SCALES = [1e-6, 0.1, 0.5, 1 - 1e-9, 1.0, 1.5, 3.0, 10.0, 300.0, 1e5]
GRID = np.linspace(-12.0, 12.0, 121)


@pytest.fixture(scope="module")
def cancer():
    data = datasets.breast_cancer()
    return BayesianLogisticRegression(data.x, data.y)


@pytest.fixture(scope="module")
def line():
    """Few examples and two weights, so that the posterior can be had on a grid."""
    return BayesianLogisticRegression([[-1.0], [0.5], [2.0], [0.3]], [0, 1, 1, 0], prior_scale=1.5)


def bias_alone(labels):
    """A model without features: one weight, the logit itself."""
    return BayesianLogisticRegression(np.zeros([len(labels), 0]), labels)


def expected_log_sigmoid(m, s):
    """By the trapezoidal rule in eps, or, for wide densities, by adaptive quadrature in t."""
    if s < 5:
        eps = np.linspace(-9.0, 9.0, 4001)
        return integrate.trapezoid(special.log_expit(m + s * eps) * stats.norm.pdf(eps), eps)
    hinge = m * special.ndtr(-m / s) - s * stats.norm.pdf(m / s)
    ends = np.arange(-44.0, 45.0, 2.0)
    pieces = [
        integrate.quad(lambda t: bend(t) * stats.norm.pdf(t, m, s), *ab, epsabs=1e-17)[0] for ab in pairwise(ends)
    ]
    return hinge - sum(pieces)


def bend(t):
    """What log sigmoid has less than min(t, 0)."""
    return np.log1p(np.exp(-abs(t)))


@pytest.mark.parametrize("s", SCALES)
def test_elbo_is_exact_for_every_scale(s):
    for m in (-30.0, -2.0, 0.0, 0.7, 25.0):
        likelihood = expected_log_sigmoid(m, s) + expected_log_sigmoid(-m, s)  # labels 1 and 0
        kl = (s**2 + m**2 - 1) / 2 - np.log(s)
        got = float(bias_alone([1, 0]).elbo([m], [s]))
        np.testing.assert_allclose(got, likelihood - kl, rtol=2e-13)


@pytest.mark.parametrize("s", [1e-100, 1e-6])
def test_gradient_is_finite_where_q_is_a_point(s):
    """With labels 1 and 0 the likelihood's slope is then 1 - 2 sigmoid(m)."""
    m, scale = tf.constant([0.7], tf.float64), tf.constant([s], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([m, scale])
        elbo = bias_alone([1, 0]).elbo(m, scale)
    d_loc, d_scale = tape.gradient(elbo, [m, scale])
    np.testing.assert_allclose(d_loc, [1 - 2 * special.expit(0.7) - 0.7], rtol=1e-9)
    np.testing.assert_allclose(d_scale, [1 / s], rtol=1e-9)


def test_elbo_is_the_mean_of_log_likelihoods_less_the_kl(cancer):
    rng = np.random.default_rng(0)
    loc, scale = rng.normal(size=31), np.exp(rng.normal(-1.0, 0.5, size=31))
    w = loc + scale * rng.normal(size=[20_000, 31])
    exact = float(cancer.elbo(loc, scale))
    kl = tfd.kl_divergence(tfd.MultivariateNormalDiag(loc, scale), tfd.MultivariateNormalDiag(tf.zeros_like(loc)))
    samples = cancer.log_likelihood(tf.constant(w)).numpy() - float(kl)
    assert_mean(samples, exact)
    with pytest.raises(AssertionError):
        assert_mean(samples, float(cancer.elbo(loc, 1.05 * scale)))
    estimate, standard_error = cancer.sampled_elbo(loc, scale, num_samples=20_000, seed=1)
    assert abs(estimate - exact) < quantile(1) * standard_error
    assert standard_error == pytest.approx(samples.std() / np.sqrt(20_000), rel=0.05)
    assert abs(estimate - float(cancer.elbo(loc, 1.05 * scale))) > quantile(1) * standard_error


def test_log_likelihood_is_that_of_bernoulli_and_minibatches_are_unbiased(cancer):
    w = np.random.default_rng(1).normal(size=[3, 31])
    logits = w @ np.column_stack([datasets.breast_cancer().x, np.ones(569)]).T
    exact = np.where(cancer.y == 1, special.log_expit(logits), special.log_expit(-logits))  # [3, 569]
    np.testing.assert_allclose(cancer.log_likelihood(w), exact.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(cancer.log_likelihood(w, rows=[5, 7]), 569 / 2 * exact[:, [5, 7]].sum(axis=1))
    assert cancer.log_likelihood(w.astype(np.float32)).dtype == tf.float32
    single = [cancer.log_likelihood(w, rows=[i]).numpy() for i in range(569)]
    np.testing.assert_allclose(np.mean(single, axis=0), exact.sum(axis=1), rtol=1e-12)
    far = cancer.log_likelihood(1e6 * w)  # no overflow: a loss that is linear in the logit
    np.testing.assert_allclose(far, np.minimum((2 * cancer.y - 1) * 1e6 * logits, 0).sum(axis=1), rtol=1e-6)


def test_gradient_of_the_elbo_is_its_slope(cancer):
    rng = np.random.default_rng(2)
    for spread in (0.05, 1.0):  # logits narrower and wider than 1
        theta = tf.constant(np.concatenate([rng.normal(size=31), np.log(spread) + rng.normal(size=31) / 4]))
        direction = rng.normal(size=62)
        loss, gradient = cancer._loss(theta)
        h = 1e-5
        ahead, behind = (elbo_at(cancer, theta.numpy() + step * direction) for step in (h, -h))
        np.testing.assert_allclose(-gradient @ direction, (ahead - behind) / (2 * h), rtol=1e-6)
        np.testing.assert_allclose(-loss, elbo_at(cancer, theta.numpy()), rtol=1e-13)  # compiled or not


def elbo_at(model, theta):
    loc, log_scale = np.split(theta, 2)
    return float(model.elbo(loc, np.exp(log_scale)))


def test_no_perturbation_of_the_optimum_is_better(cancer):
    best = cancer.optimum()
    assert best.gradient_norm < 1e-8
    assert best is cancer.optimum()
    theta = np.concatenate([best.loc, np.log(best.scale)])
    assert elbo_at(cancer, theta) == pytest.approx(best.elbo, rel=1e-13)
    rng = np.random.default_rng(3)
    for size in (1e-3, 0.1, 1.0):
        for _ in range(5):
            moved = theta + size * rng.normal(size=62)
            assert elbo_at(cancer, moved) < best.elbo
            assert np.abs(cancer._loss(moved)[1]).max() > 1e-3  # the test of the gradient can fail
    assert cancer.accuracy(best.loc) == np.mean((cancer.x @ best.loc > 0) == cancer.y)


def test_an_optimum_that_is_not_reached_is_an_error(monkeypatch):
    monkeypatch.setattr(model, "_GRADIENT_TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="optimum: expected a gradient below"):
        bias_alone([0, 1, 1]).optimum()


def test_elbo_is_the_evidence_less_the_divergence_from_the_posterior(line):
    """All on a grid over the two weights: nothing here knows that logits are Gaussian."""
    loc, scale = np.array([0.4, -0.3]), np.array([0.7, 0.5])
    evidence, divergence = brute_force(line, loc, scale)
    np.testing.assert_allclose(float(line.elbo(loc, scale)), evidence - divergence, rtol=1e-9)
    wrong = BayesianLogisticRegression(line.x[:, :1], line.y, prior_scale=1.4)
    assert abs(float(wrong.elbo(loc, scale)) - (evidence - divergence)) > 1e-3


def test_optimum_is_the_closest_mean_field_posterior(line):
    """Found by a search without gradients on the grid's divergence."""
    found = optimize.minimize(
        lambda theta: brute_force(line, theta[:2], np.exp(theta[2:]))[1],
        np.zeros(4),
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-13, "maxiter": 2000},
    )
    best = line.optimum()
    np.testing.assert_allclose(best.loc, found.x[:2], atol=1e-5)
    np.testing.assert_allclose(best.scale, np.exp(found.x[2:]), rtol=1e-5)


def brute_force(model, loc, scale):
    """log p(y) and KL(q || posterior) of a model with two weights, by sums over a grid."""
    w = np.stack(np.meshgrid(GRID, GRID, indexing="ij"), axis=-1)
    logits = (2 * model.y - 1) * (w @ model.x.T)
    joint = special.log_expit(logits).sum(axis=-1) + stats.norm.logpdf(w, 0.0, model.prior_scale).sum(axis=-1)
    cell = (GRID[1] - GRID[0]) ** 2
    evidence = special.logsumexp(joint) + np.log(cell)
    log_q = stats.norm.logpdf(w, loc, scale).sum(axis=-1)
    return evidence, np.sum(np.exp(log_q) * (log_q - (joint - evidence))) * cell


def constant(f, make_distribution, params, num_samples, seed):
    """An "estimator" that says 2 for loc and -3 for log scale, whatever f."""
    samples = {"loc": 2.0 + 0.0 * params["loc"][None], "log_scale": -3.0 + 0.0 * params["log_scale"][None]}
    return GradientEstimate(f(params["loc"][None]), samples)


def at_the_mean(f, make_distribution, params, num_samples, seed):
    """An "estimator" that forgets the noise: the gradient of f at loc."""
    with tf.GradientTape() as tape:
        tape.watch(params["loc"])
        value = f(params["loc"][None])
    samples = {"loc": tape.gradient(value, params["loc"])[None], "log_scale": 0.0 * params["log_scale"][None]}
    return GradientEstimate(value, samples)


def test_steps_are_the_published_ones(line):
    """The step size, the KL and the bookkeeping, against the recursion written out for one weight."""
    trace = fit(line, constant, 1, num_steps=70, batch_size=2, learning_rate=0.05, record_every=30, seed=0)
    np.testing.assert_array_equal(trace.steps, [0, 30, 60, 70])
    loc, log_scale, expected = 0.0, 0.0, [(0.0, 1.0)]
    for t in range(70):
        rate = 0.05 * np.cos(np.pi * t / 140)
        d_kl = loc / 1.5**2, np.exp(2 * log_scale) / 1.5**2 - 1
        loc, log_scale = loc + rate * (2 - d_kl[0]), log_scale + rate * (-3 - d_kl[1])
        if t + 1 in (30, 60, 70):
            expected.append((loc, np.exp(log_scale)))
    expected = np.array(expected)[:, :, None] * np.ones(2)  # [record, loc or scale, weight]
    np.testing.assert_allclose(trace.loc, expected[:, 0], rtol=1e-5)
    np.testing.assert_allclose(trace.scale, expected[:, 1], rtol=1e-5)
    exact = [float(line.elbo(m, s)) for m, s in zip(trace.loc, trace.scale, strict=True)]
    np.testing.assert_allclose(trace.elbo, exact, rtol=1e-12)


@pytest.mark.parametrize("batch_size", [4, 1])
def test_batches_are_scaled_to_the_data(line, batch_size):
    trace = fit(line, at_the_mean, 1, num_steps=20, batch_size=batch_size, learning_rate=0.1, seed=3)
    batches = _batches(4, batch_size, 20, seeds.split(3, 3)[0]).numpy()
    w, towards = np.zeros(2), (2 * line.y - 1)[:, None] * line.x
    for t in range(20):
        rows = towards[batches[t]]
        slope = 4 / batch_size * special.expit(-rows @ w) @ rows
        w = w + 0.1 * np.cos(np.pi * t / 40) * (slope - w / 1.5**2)
    np.testing.assert_allclose(trace.loc[-1], w, rtol=1e-4)


def test_batches_are_shuffled_passes():
    batches = _batches(7, 3, 14, seeds.as_seed(0)).numpy()
    assert batches.shape == (14, 3)
    passes = batches.reshape(6, 7)
    np.testing.assert_array_equal(np.sort(passes, axis=1), np.tile(np.arange(7), (6, 1)))
    assert len(np.unique(passes, axis=0)) > 1
    np.testing.assert_array_equal(batches, _batches(7, 3, 14, seeds.as_seed(0)))
    assert (batches != _batches(7, 3, 14, seeds.as_seed(1)).numpy()).any()


def times(factor):
    """The pathwise estimator with a planted error: so many times too large."""

    def estimator(*arguments):
        estimate = gradients.pathwise(*arguments)
        return GradientEstimate(estimate.function_values, {k: factor * g for k, g in estimate.samples.items()})

    return estimator


def test_published_settings_reach_the_optimum(cancer):
    """To a hundredth of a nat, of 1159 at the start; a gradient a tenth too large does not pass."""
    best = cancer.optimum()
    right, wrong = (fit(cancer, times(factor), 50, seed=0) for factor in (1.0, 1.1))
    assert not right.diverged
    assert right.steps[-1] == 5000
    assert best.elbo - right.elbo[0] > 1000
    assert 0 < best.elbo - right.elbo[-1] < 0.01
    assert best.elbo - wrong.elbo[-1] > 0.02
    assert abs(right.sampled_elbo - right.elbo[-1]) < quantile(1) * right.standard_error


@pytest.mark.parametrize(
    "estimator",
    [
        gradients.pathwise,
        gradients.score_function,
        partial(gradients.score_function, baseline="leave_one_out"),
        partial(gradients.measure_valued, coupled=False),
    ],
    ids=["pathwise", "score_function", "leave_one_out", "measure_valued"],
)
def test_every_estimator_climbs_to_the_same_optimum(line, estimator):
    """The gap is of the order of the noise; leaving out the doubt about the weights leaves a larger one."""
    arguments = {"num_samples": 50, "num_steps": 400, "batch_size": 4, "learning_rate": 0.05, "record_every": 400}
    trace = fit(line, estimator, **arguments, seed=1)
    gap = line.optimum().elbo - trace.elbo
    assert gap[0] > 0.5
    assert 0 < gap[-1] < 0.02
    assert line.optimum().elbo - fit(line, at_the_mean, **arguments, seed=1).elbo[-1] > 0.05


def test_one_seed_one_trace(line):
    run = partial(fit, line, gradients.pathwise, 3, num_steps=20, batch_size=2, learning_rate=0.1, record_every=7)
    one, again, other = run(seed=5), run(seed=5), run(seed=6)
    for name in ("steps", "elbo", "loc", "scale", "sampled_elbo"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    assert (one.loc[1:] != other.loc[1:]).all()
    fresh, fresher = run(seed=None), run(seed=None)
    assert (fresh.loc[1:] != fresher.loc[1:]).all()


def test_a_run_that_explodes_says_so(cancer):
    trace = fit(cancer, gradients.score_function, 5, seed=0, num_steps=300)
    assert trace.diverged
    assert 0 < trace.diverged_at < 100
    assert trace.steps.tolist() == [0]
    same = fit(cancer, gradients.score_function, 5, seed=0, num_steps=300, record_every=1)
    assert same.diverged
    assert same.steps.tolist() == list(range(same.diverged_at))  # up to the last sound state
    for numbers in (*trace[:5], *same[:5]):
        assert np.isfinite(numbers).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e6])
@pytest.mark.parametrize("name", ["loc", "log_scale"])
def test_a_gradient_that_is_not_usable_ends_the_run(line, name, bad):
    def estimator(f, make_distribution, params, num_samples, seed):
        samples = {k: tf.where(params["loc"] > 0.5, bad if k == name else 0.0, 1.0)[None] for k in params}
        return GradientEstimate(f(params["loc"][None]), samples)

    trace = fit(line, estimator, 1, num_steps=50, batch_size=1, learning_rate=0.1, record_every=1)
    assert trace.diverged
    assert trace.loc.max() > 0.5  # the state from which the bad step was taken is kept
    assert trace.diverged_at == trace.steps[-1] + 1 < 50
    assert (trace.elbo > 1000 * trace.elbo[0]).all()  # false for NaN, too


def test_bad_models_are_refused():
    x, y = [[0.0], [1.0]], [0, 1]
    with pytest.raises(ValueError, match="x: expected finite numbers"):
        BayesianLogisticRegression([[np.nan], [1.0]], y)
    with pytest.raises(ValueError, match=r"x: expected shape \[None, None\] \(\[num_examples, num_features\]\)"):
        BayesianLogisticRegression([0.0, 1.0], y)
    with pytest.raises(ValueError, match=r"y: expected one label an example, shape \[2\].*got shape \[2, 1\]"):
        BayesianLogisticRegression(x, [[0], [1]])
    with pytest.raises(ValueError, match=r"y: expected labels 0 and 1; got -1"):
        BayesianLogisticRegression(x, [-1, 1])
    with pytest.raises(ValueError, match=r"y: expected labels 0 and 1; got nan"):
        BayesianLogisticRegression(x, [np.nan, 1])
    for scale in (0.0, -1.0):
        with pytest.raises(ValueError, match="prior_scale: expected positive"):
            BayesianLogisticRegression(x, y, prior_scale=scale)
    with pytest.raises(ValueError, match="prior_scale: expected shape"):
        BayesianLogisticRegression(x, y, prior_scale=[1.0, 2.0])


def test_bad_arguments_of_the_model_are_named(line):
    with pytest.raises(ValueError, match="w: expected shape"):
        line.log_likelihood(tf.zeros([2]))
    with pytest.raises(ValueError, match="w: expected shape"):
        line.log_likelihood(tf.zeros([5, 3]))
    with pytest.raises(TypeError, match="rows: expected integers"):
        line.log_likelihood(tf.zeros([5, 2]), rows=[0.0])
    for rows in ([4], [-1]):
        with pytest.raises(ValueError, match="rows: expected indices from 0 to 3"):
            line.log_likelihood(tf.zeros([5, 2]), rows=rows)
    with pytest.raises(ValueError, match="rows: expected at least one row"):
        line.log_likelihood(tf.zeros([5, 2]), rows=np.zeros([0], int))
    for call in (line.elbo, line.sampled_elbo):
        with pytest.raises(ValueError, match="scale: expected positive"):
            call([0.0, 0.0], [1.0, 0.0])
        with pytest.raises(ValueError, match="loc: expected finite"):
            call([0.0, np.inf], [1.0, 1.0])
        with pytest.raises(ValueError, match="scale: expected shape"):
            call([0.0, 0.0], 1.0)
    with pytest.raises(ValueError, match="num_samples: expected an integer of at least 2"):
        line.sampled_elbo([0.0, 0.0], [1.0, 1.0], num_samples=1)
    with pytest.raises(ValueError, match="loc: expected shape"):
        line.accuracy([0.0])


def test_bad_arguments_of_fit_are_named(line):
    good = {"model": line, "estimator": gradients.pathwise, "num_samples": 5, "num_steps": 5, "batch_size": 2}
    for name in ("num_samples", "num_steps", "batch_size", "record_every"):
        with pytest.raises(ValueError, match=f"{name}: expected an integer of at least 1"):
            fit(**good | {name: 0})
    with pytest.raises(ValueError, match="batch_size: expected at most 4"):
        fit(**good | {"batch_size": 5})
    with pytest.raises(ValueError, match="learning_rate: expected positive"):
        fit(**good | {"learning_rate": 0.0})
    with pytest.raises(TypeError, match="model: expected a BayesianLogisticRegression"):
        fit(**good | {"model": "line"})
    with pytest.raises(TypeError, match="estimator: expected a callable"):
        fit(**good | {"estimator": "pathwise"})
    with pytest.raises(TypeError, match="estimator: expected one that returns a GradientEstimate"):
        fit(**good | {"estimator": lambda f, make_distribution, params, num_samples, seed: params})
    with pytest.raises(TypeError, match="seed"):
        fit(**good | {"seed": 0.5})
