"""The VAE's bound is the bound: closed forms of the linear VAE, by-hand sums of the others, planted errors."""

import keras
import linear_vae
import numpy as np
import pytest
import tensorflow as tf
from calibration import agree, assert_mean
from sklearn import datasets as sklearn_datasets
from tensorflow_probability import distributions as tfd

import companion
from companion import VAE, bounds, datasets
from companion.bounds.importance_weighted import at_samples
from companion.probabilistic_pca import ProbabilisticPCA

DATA = {
    "diabetes": datasets.diabetes().x,
    "wine": (lambda x: (x - x.mean(axis=0)) / x.std(axis=0))(sklearn_datasets.load_wine().data),
}
COPIES, FEW = 10_000, 4


def pca_of(name):
    """Data, and their model turned so that its columns are not orthogonal: a gap that is not zero."""
    x = DATA[name]
    best = ProbabilisticPCA.fit(x, 3)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=[3, 3]))[0]
    return x, ProbabilisticPCA(best.loadings @ turn, best.mean, best.noise_scale)


# The linear VAE, exactly


@pytest.mark.parametrize("name", DATA)
def test_the_posterior_is_the_closed_form(name):
    x, pca = pca_of(name)
    q = linear_vae.from_pca(pca).posterior(x)
    loc, scale = pca.best_diagonal_posterior(x)
    np.testing.assert_allclose(q.mean(), loc, atol=1e-10)
    np.testing.assert_allclose(q.stddev(), np.broadcast_to(scale, loc.shape), atol=1e-10)
    full = linear_vae.from_pca(pca, "full_covariance").posterior(x)
    np.testing.assert_allclose(full.mean(), loc, atol=1e-10)
    np.testing.assert_allclose(full.covariance()[0], pca.posterior(x).covariance, atol=1e-10)


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
@pytest.mark.parametrize("name", DATA)
def test_the_elbo_is_the_closed_form(name, kl):
    x, pca = pca_of(name)
    model = linear_vae.from_pca(pca, kl=kl)
    exact = pca.elbo(x[:FEW], *pca.best_diagonal_posterior(x[:FEW]))
    np.testing.assert_allclose(linear_vae.exact_elbo(model, tf.constant(x[:FEW])), exact, atol=1e-9)
    estimates = model.elbo(np.repeat(x[:FEW], COPIES, axis=0), num_samples=2, seed=3).numpy()
    assert_mean(estimates.reshape(FEW, COPIES).T, exact, shared_among=4)
    assert pca.gap > 0.01
    assert not agree(estimates.reshape(FEW, COPIES).T, exact + pca.gap)  # the gap could be seen


@pytest.mark.parametrize("name", DATA)
def test_at_the_exact_posterior_every_bound_is_the_evidence(name):
    x, pca = pca_of(name)
    evidence = pca.log_marginal(x)
    for options in ({"kl": "sampled"}, {"objective": "importance_weighted", "num_samples": 3}):
        model = linear_vae.from_pca(pca, "full_covariance", **options)
        np.testing.assert_allclose(model.elbo(x, seed=1), evidence, atol=1e-9)
        np.testing.assert_allclose(model.log_marginal(x, num_samples=2, seed=1), evidence, atol=1e-9)


@pytest.mark.parametrize("name", DATA)
def test_log_marginal_approaches_the_evidence_from_below(name):
    x, pca = pca_of(name)
    model, evidence = linear_vae.from_pca(pca), pca.log_marginal(x)
    gaps = [evidence - model.log_marginal(x, k, seed=k).numpy() for k in (1, 10, 1000)]
    means, errors = np.mean(gaps, axis=1), np.std(gaps, axis=1) / np.sqrt(len(x))
    assert means[0] == pytest.approx(pca.gap, abs=4 * errors[0])  # one sample: the ELBO
    assert means[0] > means[1] > means[2] - 4 * errors[2]
    assert means[2] > -4 * errors[2]
    assert means[2] < 0.01


@pytest.mark.parametrize(
    ("gradient", "kl"),
    [
        ("pathwise", "analytic"),
        ("pathwise", "sampled"),
        ("sticking_the_landing", None),
        ("score_function", "analytic"),
        ("score_function", "sampled"),
    ],
)
def test_gradients_are_those_of_the_closed_form(gradient, kl):
    """Every weight of both nets and of the likelihood, away from the optimum."""
    x = DATA["wine"][:5, :4]
    model = linear_vae.untrained(4, 2, gradient=gradient, kl=kl)
    model.build((None, 4))
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(linear_vae.exact_elbo(model, tf.constant(x)))
    exact = tape.gradient(loss, model.trainable_weights)

    @tf.function
    def one(seed):
        with tf.GradientTape() as tape:
            terms = model.terms(tf.constant(x), model.noise(0, len(x), 1, tf.stack([seed, seed])))
            loss = tf.reduce_mean(terms.loss)
        return tape.gradient(loss, model.trainable_weights)

    samples = zip(*[one(tf.constant(seed)) for seed in range(1500)], strict=True)
    assert len(exact) == 5
    for found, wanted in zip(samples, exact, strict=True):
        assert_mean(np.stack(found), wanted.numpy(), shared_among=25)


@pytest.mark.verifies("thm-linear-vae-optimum")
@pytest.mark.parametrize(("name", "latent_dim"), [("diabetes", 2), ("wine", 3)])
def test_training_reaches_the_optimum_of_probabilistic_pca(name, latent_dim):
    """Within 0.01 nats an example, from plain `fit`."""
    x = DATA[name]
    model = linear_vae.untrained(x.shape[1], latent_dim, num_samples=8)
    rate = keras.optimizers.schedules.CosineDecay(0.03, 600)
    model.compile(keras.optimizers.Adam(rate), steps_per_execution=100)
    model.fit(tf.data.Dataset.from_tensors(x).repeat(600), epochs=1, verbose=0)
    best = ProbabilisticPCA.fit(x, latent_dim)
    reached = float(tf.reduce_mean(linear_vae.exact_elbo(model, tf.constant(x))))
    optimum = best.log_marginal(x).mean()
    assert optimum - 0.01 < reached < optimum
    assert float(model.likelihood.scale) == pytest.approx(best.noise_scale, rel=0.01)
    turned = model.decoder.kernel.numpy().T
    np.testing.assert_allclose(turned @ turned.T, best.loadings @ best.loadings.T, atol=0.05)


# Any VAE, by hand


def latents(q, eps):
    return q.mean() + q.stddev() * eps


def by_hand(model, x, z):
    """log p(x | z), log p(z) and log q(z | x) from TFP's densities, each [num_samples, batch]."""
    q = model.posterior(x)
    prior = tfd.MultivariateNormalDiag(tf.zeros([model.latent_dim], z.dtype), tf.ones([model.latent_dim], z.dtype))
    return model.decode(z).log_prob(tf.cast(x, z.dtype)), prior.log_prob(z), q.log_prob(z)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("gradient", bounds.importance_weighted.__globals__["GRADIENTS"])
def test_the_weighted_objective_is_the_bound_of_its_samples(likelihood, gradient):
    x = binary(6)
    model = VAE(
        [7],
        [5],
        2,
        likelihood,
        objective="importance_weighted",
        gradient=gradient,
        num_samples=4,
        seed=0,
        dtype="float64",
    )
    seed = model.evaluation_seed
    q = model.posterior(x)
    with tf.GradientTape() as tape:
        terms = model.terms(tf.constant(x), model.noise(0, 6, 4, seed))
    slopes = tape.gradient(terms.loss, model.trainable_weights)
    with tf.GradientTape() as tape:
        q = model.posterior(x)
        z = latents(q, model.noise(0, 6, 4, seed))
        fit, prior, log_q = by_hand(model, x, z)
        wanted, _ = at_samples(lambda z: sum(by_hand(model, x, z)[:2]), q, z, gradient)
        loss = -wanted
    np.testing.assert_allclose(-terms.loss, wanted, atol=1e-10)
    np.testing.assert_allclose(terms.elbo, tf.reduce_mean(fit + prior - log_q, axis=0), atol=1e-10)
    np.testing.assert_allclose(terms.reconstruction, tf.reduce_mean(fit, axis=0), atol=1e-10)
    for found, hand in zip(slopes, tape.gradient(loss, model.trainable_weights), strict=True):
        np.testing.assert_allclose(found, hand, atol=1e-9)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_elbo_is_the_sum_over_pixels_in_nats(likelihood):
    x = binary(6)
    model = VAE([7], [5], 2, likelihood, num_samples=3, seed=0, dtype="float64")
    z = latents(model.posterior(x), model.noise(0, 6, 3, model.evaluation_seed))
    fit, _, _ = by_hand(model, x, z)
    q = model.posterior(x)
    divergence = tf.reduce_sum(companion.gaussian.kl_divergence(q.mean(), q.stddev(), 0.0, 1.0), axis=1)
    wanted = tf.reduce_mean(fit, axis=0) - divergence
    np.testing.assert_allclose(model.elbo(x, seed=model.evaluation_seed), wanted, atol=1e-10)


def test_the_bernoulli_density_is_tfps_for_binary_data_and_its_expectation_for_grey():
    logits = tf.constant(np.linspace(-30, 30, 12).reshape(2, 6))
    for x in (np.zeros([2, 6]), np.ones([2, 6])):
        wanted = tf.reduce_sum(tfd.Bernoulli(logits=logits).log_prob(x), axis=1)
        np.testing.assert_allclose(companion.vae.Bernoulli().log_prob(logits, x), wanted, rtol=1e-12)
    grey = np.random.default_rng(0).random([2, 6])
    mixed = tf.reduce_sum(grey * tf.math.log_sigmoid(logits) + (1 - grey) * tf.math.log_sigmoid(-logits), axis=1)
    np.testing.assert_allclose(companion.vae.Bernoulli().log_prob(logits, grey), mixed, rtol=1e-12)


def test_beta_weighs_the_divergence_in_the_loss_alone():
    x = tf.constant(binary(6))
    one, four = (VAE([7], [5], 2, beta=beta, seed=0, dtype="float64") for beta in (1.0, 4.0))
    for model in (one, four):
        model.build((None, 8))
    a, b = (model.terms(x, one.noise(0, 6, 1, one.evaluation_seed)) for model in (one, four))
    np.testing.assert_allclose(b.loss - a.loss, 3.0 * a.kl, atol=1e-10)
    np.testing.assert_array_equal(a.elbo, b.elbo)


def test_other_priors_have_their_own_divergence():
    """A mixture has no closed form, so it is sampled; a shifted normal has one."""
    x = binary(400)
    parts = tfd.MultivariateNormalDiag(tf.constant([[2.0, 0.0], [-2.0, 0.0]]), tf.ones([2, 2]))
    mixture = tfd.MixtureSameFamily(tfd.Categorical(probs=[0.5, 0.5]), parts)
    shifted = tfd.Independent(tfd.Normal([1.0, 0.0], 2.0), 1)
    model = VAE([7], [5], 2, prior=shifted, seed=0)
    assert model.kl == "analytic"
    sampled = VAE([7], [5], 2, prior=shifted, kl="sampled", seed=0)
    exact = model.posterior(x).kl_divergence(shifted).numpy().mean()
    assert float(model.terms(x, model.noise(0, 400, 1, model.evaluation_seed)).kl.numpy().mean()) == pytest.approx(
        exact, rel=1e-5
    )
    sampled.build((None, 8))
    assert_mean(
        sampled.terms(x, model.noise(0, 400, 50, model.evaluation_seed)).kl.numpy()
        - model.posterior(x).kl_divergence(shifted),
        0.0,
    )
    assert VAE([7], [5], 2, prior=mixture, seed=0).kl == "sampled"


def test_samples_and_reconstructions_have_the_models_law():
    x = binary(50)
    model = VAE([7], [5], 2, seed=0)
    model.build((None, 8))
    draws = model.sample(4000, seed=1).numpy()
    assert set(np.unique(draws)) == {0.0, 1.0}
    z = tf.constant(np.random.default_rng(2).normal(size=[100_000, 2]), tf.float32)
    probabilities = model.decode(z).mean().numpy().mean(axis=0)
    assert_mean(draws, probabilities, rounding=1e-3)
    image = model.reconstruct(x, seed=3)
    np.testing.assert_array_equal(image, model.reconstruct(x, seed=3))
    assert np.abs(image - model.reconstruct(x, seed=4)).max() > 0
    centre = model.decode(model.posterior(x).mean()).mean()
    np.testing.assert_allclose(model(tf.constant(x, tf.float32)), centre, rtol=1e-5)
    assert model.decode(tf.zeros([3, 2, 2])).batch_shape == [3, 2]


def test_a_convolutional_pair_fits_its_images():
    encoder = keras.Sequential([keras.layers.Conv2D(4, 3, 2, "same"), keras.layers.Flatten(), keras.layers.Dense(4)])
    decoder = keras.Sequential(
        [keras.layers.Dense(64), keras.layers.Reshape([4, 4, 4]), keras.layers.Conv2DTranspose(1, 3, 2, "same")]
    )
    x = datasets.digits().x_train[:20]
    model = VAE(encoder, decoder, 2, seed=0)
    assert model.elbo(x, seed=0).shape == [20]
    assert model.sample(3, seed=0).shape == [3, 8, 8, 1]


def binary(n):
    return (np.random.default_rng(5).random([n, 8]) < 0.4).astype("float64")
