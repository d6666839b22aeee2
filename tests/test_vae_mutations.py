"""Planted errors in the VAE's own source, those that public code has; each must fail a law.

The laws of the bound are closed forms of the linear VAE, with both forms of the KL term, and the weighted bound at the
exact posterior. The laws of training need no closed form: a step is a step by hand, several in one program are as many
alone, `evaluate` is one number at every batch size, every pass has an order of its own that goes through all examples.
"""

import importlib
import inspect
import linecache
import types

import keras
import linear_vae
import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_mean
from test_vae import pca_of

from companion import VAE, seeds

COPIES, FEW = 2000, 4

# name: (module, what stands there, what is planted)
PLANTED = {
    "doubled KL in the loss": ("vae.terms", "Terms(beta * divergence -", "Terms(2.0 * beta * divergence -"),
    "doubled KL in the metric": ("vae.terms", "reconstruction, divergence)", "reconstruction, 2.0 * divergence)"),
    "doubled sampled KL": ("vae.terms", "divergence = log_q - prior", "divergence = 2.0 * log_q - 2.0 * prior"),
    "KL with the wrong sign": ("vae.terms", "log_q - prior.log_prob(z)\n", "prior.log_prob(z) - log_q\n"),
    "prior forgotten in the weights": ("vae.terms", "log_likelihood(z) + prior.log_prob(z)", "log_likelihood(z)"),
    "mean over pixels": ("vae.likelihoods", "tf.reduce_sum(values, axis=range", "tf.reduce_mean(values, axis=range"),
    "squared error for the likelihood": ("vae.likelihoods", "-0.5 * tf.exp(-2.0 * log_scale) * _sum", "-0.5 * _sum"),
    "scale for variance": ("vae.likelihoods", "tf.exp(-2.0 * log_scale)", "tf.exp(-1.0 * log_scale)"),
    "constant dropped": ("vae.likelihoods", "** 2, x) - constant", "** 2, x)"),
    "log-variance as standard deviation": ("vae.posteriors", "tf.nn.softplus(rho)", "tf.exp(rho)"),
    "log-variance twice": ("vae.posteriors", "tf.nn.softplus(rho)", "tf.nn.softplus(rho) ** 2"),
    "halves exchanged": ("vae.posteriors", "loc, rho = tf.split", "rho, loc = tf.split"),
    "noise of a hundredth": ("vae.model", "tf.math.ndtri(u)", "0.01 * tf.math.ndtri(u)"),
    "mean for a sample": ("vae.model", "tf.math.ndtri(u)", "0.0 * tf.math.ndtri(u)"),
    "noise with a mean": ("vae.model", "tf.math.ndtri(u)", "0.1 + tf.math.ndtri(u)"),
    "noise shared by an example's samples": (
        "vae.model",
        "return tf.transpose(eps, [1, 0, 2])",
        "return tf.transpose(eps[:, :1] + 0 * eps, [1, 0, 2])",
    ),
}


def plant(error, monkeypatch):
    """Puts the functions and methods of the planted source in the place of those in use."""
    module, there, instead = error
    real = importlib.import_module(f"companion.{module}")
    source = inspect.getsource(real)
    assert there in source, f"the planted error has lost its place: {there}"
    source = source.replace('@keras.saving.register_keras_serializable(package="companion")\n', "")
    changed = types.ModuleType(real.__name__)
    source, name = source.replace(there, instead), f"<planted {there}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # where AutoGraph looks for it
    exec(compile(source, name, "exec"), changed.__dict__)
    for attribute, value in vars(changed).items():
        if inspect.isfunction(value) and value.__module__ == real.__name__:
            monkeypatch.setattr(real, attribute, value)
        elif inspect.isclass(value) and value.__module__ == real.__name__ and not issubclass(value, tuple):
            for method, function in vars(value).items():
                if inspect.isfunction(function) and "__class__" not in function.__code__.co_freevars:
                    monkeypatch.setattr(getattr(real, attribute), method, function)


def check_laws():
    x, pca = pca_of("wine")
    x = x[:FEW]
    copies = tf.constant(np.repeat(x, COPIES, axis=0))
    exact = pca.elbo(x, *pca.best_diagonal_posterior(x))
    for kl in ("analytic", "sampled"):
        model = linear_vae.from_pca(pca, kl=kl)
        terms = model.terms(copies, model.noise(0, len(copies), 2, model.evaluation_seed))
        for values in (-terms.loss, terms.elbo):
            assert_mean(values.numpy().reshape(FEW, COPIES).T, exact, shared_among=10)
    loose = linear_vae.from_pca(pca, objective="importance_weighted", num_samples=8)
    terms = loose.terms(copies, loose.noise(0, len(copies), 8, loose.evaluation_seed))
    lost = np.repeat(pca.log_marginal(x), COPIES) + terms.loss.numpy()
    assert lost.mean() < pca.gap / 2 - 4 * lost.std() / np.sqrt(len(lost))  # eight samples are worth more than one
    weighted = linear_vae.from_pca(pca, "full_covariance", objective="importance_weighted", num_samples=3)
    terms = weighted.terms(copies[:COPIES], weighted.noise(0, COPIES, 3, weighted.evaluation_seed))
    np.testing.assert_allclose(-terms.loss, pca.log_marginal(x)[0], atol=1e-9)


def test_the_source_as_it_stands_keeps_the_laws():
    check_laws()


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_error_is_found(name, monkeypatch):
    plant(PLANTED[name], monkeypatch)
    with pytest.raises(AssertionError):
        check_laws()


# Training

PLANTED_IN_TRAINING = {
    "sum over the batch for the mean": ("_training.model", "/ tf.cast(num_examples, terms.loss.dtype)", "+ 0.0"),
    "one noise for every step": (
        "_training.model",
        "seeds.fold(self.training_seed, tf.convert_to_tensor(step))",
        "self.seed",
    ),
    "steps that are not counted": ("_training.model", "steps_taken.assign_add(1)", "steps_taken.assign_add(0)"),
    "one noise for every batch of evaluate": ("_training.model", "tf.cast(self._averages.num_examples, tf.int32)", "0"),
    "regularizers forgotten": ("_training.model", "loss + self._penalties(loss.dtype)", "loss"),
    "batches that count alike": (
        "_training.averages",
        "tf.cast(num_examples, tf.float64)[None]",
        "tf.ones([1], tf.float64)",
    ),
    "one noise for all steps of a program": ("_training.compiled_steps", "first_step + i) for i", "first_step) for i"),
    "the first batch again and again": ("_training.compiled_steps", "examples, stack[i])", "examples, stack[0])"),
    "steps of filling taken": ("_training.compiled_steps", "lambda i: i < count", "lambda i: i < eps.shape[0]"),
    "one order for every pass": (
        "_training.order",
        "start.steps(int(number) * num_batches, endless)",
        "0 * int(number)",
    ),
    "no order": (
        "_training.order",
        "order = tf.random.experimental.stateless_shuffle",
        "order = (lambda places, seed: places)",
    ),
    "one order for ever": ("_training.order", "tf.py_function(seed_of_pass, [number], tf.int32), [2])", "[0, 1], [2])"),
    "last batch forgotten": ("_training.order", "-(-num_examples // batch_size)", "num_examples // batch_size"),
}
X = (np.random.default_rng(0).random([23, 6]) < 0.5).astype(np.float32)


class Seen(keras.callbacks.Callback):
    """The examples of every step, as the model's `learn` saw them."""

    def __init__(self, model):
        super().__init__()
        self.batches, learn = [], model.learn
        model.learn = lambda x, eps, n: (self.batches.append(x.numpy()), learn(x, eps, n))


def small(regularizer=None, **compiled):
    encoder = keras.Sequential(
        [
            keras.layers.Dense(
                4, kernel_regularizer=regularizer, kernel_initializer=keras.initializers.GlorotUniform(seed=1)
            )
        ]
    )
    model = VAE(encoder, [], 2, seed=0)
    model.compile(keras.optimizers.SGD(0.1), **{"jit_compile": False, **compiled})
    model.build((None, 6))
    return model


def step_by_hand(model, x, step):
    """The weights after one step of gradient descent on the mean loss and half the squared weights."""
    eps = model.noise(0, len(x), 1, seeds.fold(model.training_seed, step))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.terms(tf.constant(x), eps, training=True).loss)
        loss += 0.5 * tf.reduce_sum(tf.convert_to_tensor(model.encoder.layers[0].kernel) ** 2)
    slopes = tape.gradient(loss, model.trainable_weights)
    return [w.numpy() - 0.1 * g.numpy() for w, g in zip(model.trainable_weights, slopes, strict=True)]


def check_training_laws():
    model = small(keras.regularizers.L2(0.5))
    for step in range(2):
        wanted = step_by_hand(model, X, step)
        model.fit(X, batch_size=23, shuffle=False, verbose=0)
        for found, right in zip(model.trainable_weights, wanted, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-6)

    whole, *parts = (model.evaluate(X, batch_size=size, verbose=0) for size in (23, 10, 1))
    np.testing.assert_allclose(parts, [whole, whole], rtol=1e-5)

    model = small(run_eagerly=True)
    seen = Seen(model)
    model.fit(X, batch_size=10, epochs=2, verbose=0)
    passes = [np.concatenate(seen.batches[i : i + 3]) for i in (0, 3)]
    for one in passes:
        assert np.array_equal(np.sort(one @ 2 ** np.arange(6)), np.sort(X @ 2 ** np.arange(6)))
    assert not np.array_equal(*passes)
    assert not np.array_equal(passes[0], X)

    for examples, size in ((X[:20], 4), (X, 5)):  # blocks of three and of two steps; batches with a rest of three
        alone, together = small(), small(jit_compile=True, steps_per_execution=3)
        for one in (alone, together):
            one.fit(examples, batch_size=size, epochs=2, verbose=0)
        for a, b in zip(alone.trainable_weights, together.trainable_weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_training_as_it_stands_keeps_the_laws():
    check_training_laws()


@pytest.mark.parametrize("name", PLANTED_IN_TRAINING)
def test_every_error_planted_in_training_is_found(name, monkeypatch):
    plant(PLANTED_IN_TRAINING[name], monkeypatch)
    with pytest.raises((AssertionError, tf.errors.OutOfRangeError, UserWarning)):
        check_training_laws()
