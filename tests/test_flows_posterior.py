"""A flow as the posterior of a VAE: its density, its gradients, training, saving, every mode, two devices.

The logical devices have to be made before TensorFlow starts, so this file is also the program that trains on them.
"""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import two_devices
from calibration import agree
from flow_cases import trained
from modes import MODES

from companion import VAE, reparameterize
from companion.flows import FlowPosterior

X = (np.random.default_rng(0).random([23, 6]) < 0.4).astype(np.float32)
TRANSFORMS = ("inverse_autoregressive", "planar", "coupling")
TRANSFORM = pytest.mark.parametrize("transform", TRANSFORMS)


def vae(transform="inverse_autoregressive", compiled=None, dtype=None, **options):
    """A small model, compiled without XLA."""
    own = {"layers": 2, "hidden": [4], "context_dim": 3, "seed": 0, "dtype": dtype}
    family = FlowPosterior(transform, **own)
    model = VAE(
        **{
            "encoder": [8],
            "decoder": [8],
            "latent_dim": 2,
            "seed": 0,
            "dtype": dtype,
            **options,
            "posterior_family": family,
        }
    )
    model.compile(**{"optimizer": keras.optimizers.Adam(0.02), "jit_compile": False, **(compiled or {})})
    return model


def moved(model):
    model.build((None, 6))
    return trained(model)


def fit(model, **how):
    return model.fit(X, **{"batch_size": 10, "epochs": 2, "verbose": 0, **how}).history


def saved(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


# The density


@TRANSFORM
def test_log_q_of_its_own_samples_agrees_with_the_inverse(transform):
    """From the pass that makes a sample, and from points that no memory knows."""
    q = moved(vae(transform, dtype="float64")).posterior(X)
    z, log_q = q.experimental_sample_and_log_prob(5, seed=(1, 2))
    np.testing.assert_allclose(log_q, q.log_prob(z.numpy().copy()), atol=1e-7)
    assert (z.shape, q.batch_shape, q.event_shape) == ([5, 23, 2], [23], [2])
    assert np.abs(q.log_prob(z.numpy() + 0.1) - log_q).max() > 1e-3


@TRANSFORM
def test_q_is_a_density_of_each_example(transform):
    """It integrates to 1 on a grid, and a sample of one example is scored by another one's density differently."""
    q = moved(vae(transform, dtype="float64")).posterior(X[:2])
    side, step = np.linspace(-15, 15, 301, retstep=True)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 1, 2)
    mass = np.exp(q.log_prob(np.repeat(grid, 2, axis=1))).sum(axis=0) * step**2
    np.testing.assert_allclose(mass, 1.0, rtol=1e-2)
    z = q.sample(4, seed=(1, 2)).numpy()
    assert np.abs(q.log_prob(z) - q.log_prob(z[:, ::-1])).min() > 1e-6


@TRANSFORM
def test_the_moments_of_the_noise_come_back(transform):
    """eps = (g^-1(z) - mu) / sigma is standard normal: reparameterize and TFP agree on the noise of a sample."""
    q = moved(vae(transform)).posterior(X[:3])
    trick = reparameterize(q)
    eps = np.random.default_rng(1).standard_normal([4, 3, 2]).astype(np.float32)
    z = trick.g(tf.constant(eps))
    base = q.distribution.distribution
    back = (q.bijector.inverse(z.numpy().copy()) - base.loc) / base.scale
    np.testing.assert_allclose(back, eps, atol=1e-3)


@TRANSFORM
def test_every_weight_of_the_maps_is_reached(transform):
    model = moved(vae(transform))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.elbo(X, seed=1))
    names = [w.path for w in model.trainable_weights]
    for name, g in zip(names, tape.gradient(loss, model.trainable_weights), strict=True):
        assert g is not None, name
        assert np.abs(g).max() > 0.0, name
    assert len(model.posterior_family.trainable_weights) >= 4


def test_the_gradient_in_z_of_log_q_is_that_of_finite_differences():
    for transform in TRANSFORMS:
        q = moved(vae(transform, dtype="float64")).posterior(X[:3])
        z = tf.constant(np.random.default_rng(2).standard_normal([3, 2]))
        with tf.GradientTape() as tape:
            tape.watch(z)
            log_q = q.log_prob(z)
        found = tape.gradient(log_q, z)
        for i in range(2):
            h = 1e-5 * np.eye(2)[i]
            wanted = (q.log_prob(z + h) - q.log_prob(z - h)) / 2e-5
            np.testing.assert_allclose(found[:, i], wanted, rtol=1e-4, atol=1e-6)


# Bounds


@TRANSFORM
def test_log_marginal_is_above_the_bound_and_the_same_for_one_sample(transform):
    model = moved(vae(transform))
    one = model.log_marginal(X, 1, seed=3)
    many = np.mean(model.log_marginal(X, 2000, seed=3))
    elbo = np.mean(model.elbo(X, num_samples=2000, seed=3))
    assert many > elbo
    assert one.shape == [23]


def test_log_marginal_is_that_of_the_quadrature():
    """log p(x) does not depend on q: importance sampling agrees with a grid, and a grid of half the mass does not."""
    model = moved(vae("inverse_autoregressive", dtype="float64"))
    side, step = np.linspace(-8, 8, 161, retstep=True)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    logits = model.decoder(grid).numpy()
    log_p_z = -0.5 * (grid**2).sum(axis=1) - np.log(2 * np.pi)
    x = X[:4].astype(float)
    log_joint = (x[:, None] * logits - np.logaddexp(0, logits)).sum(axis=-1) + log_p_z
    exact = np.log(np.exp(log_joint).sum(axis=1) * step**2)
    log_weights = model.log_marginal(np.repeat(x, 1000, axis=0), 1, seed=1)  # each row has noise of its own
    ratios = np.exp(np.reshape(log_weights, [4, 1000]).T - exact)  # mean 1
    assert agree(ratios, np.ones(4))
    assert not agree(2.0 * ratios, np.ones(4))


WEIGHTED = [
    ("inverse_autoregressive", "doubly_reparameterized"),
    ("planar", "doubly_reparameterized"),
    ("planar", "sticking_the_landing"),
    ("coupling", "pathwise"),
    ("coupling", "score_function"),
]


@pytest.mark.parametrize(("transform", "gradient"), WEIGHTED)
def test_the_weighted_bound_trains_by_every_gradient(transform, gradient):
    model = vae(transform, objective="importance_weighted", gradient=gradient, num_samples=3)
    losses = fit(model, epochs=4)["loss"]
    assert losses[-1] < losses[0] - 0.02
    assert np.isfinite(losses).all()


def gradient_samples(gradient, transform, n):
    model = moved(vae(transform, gradient=gradient))
    weights = model.posterior_family.trainable_weights

    @tf.function(autograph=False)
    def one(seed):
        eps = model.noise(0, 3, 1, seed)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model.terms(tf.constant(X[:3]), eps).loss)
        return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(loss, weights)], axis=0)

    return np.array([one(tf.constant([s, 7])) for s in range(n)])


@TRANSFORM
def test_sticking_the_landing_has_the_mean_of_the_whole_gradient(transform):
    """The same noise for both, so that their difference has mean 0: 1e-4 false alarms over at most 100 numbers.

    Power: the difference is not 0, and 5 percent of the gradient is seen in it.
    """
    whole, without = (gradient_samples(g, transform, 400) for g in ("pathwise", "sticking_the_landing"))
    assert whole.shape[1] <= 100
    difference = without - whole
    assert np.abs(difference).max() > 1e-3
    assert agree(difference, np.zeros(whole.shape[1]))
    assert not agree(difference + 0.05 * np.abs(whole).max(), np.zeros(whole.shape[1]))


def test_the_closed_form_of_the_divergence_is_refused():
    with pytest.raises(ValueError, match=r'kl: expected "sampled".*; got FlowPosterior'):
        vae(kl="analytic")
    assert vae().kl == "sampled"


# Training, in every mode

GRADIENT = "sticking_the_landing"


@TRANSFORM
def test_training_lowers_the_loss_and_repeats(transform):
    whole, again, without = (fit(vae(transform, gradient=g), epochs=5)["loss"] for g in (*["pathwise"] * 2, GRADIENT))
    assert whole == again
    assert without[0] < whole[0] + 0.1
    assert max(whole[-1], without[-1]) < whole[0] - 0.1


MODES_OF_TRAINING = {
    "eager": ("planar", {"run_eagerly": True}),
    "steps_2": ("coupling", {"steps_per_execution": 2}),
    "xla_steps_2": ("inverse_autoregressive", {"jit_compile": True, "steps_per_execution": 2}),
    "xla": ("planar", {"jit_compile": True}),
}


@pytest.mark.parametrize(("transform", "compiled"), MODES_OF_TRAINING.values(), ids=MODES_OF_TRAINING)
def test_one_loss_in_every_mode(transform, compiled):
    expected = fit(vae(transform), epochs=1)
    for name, values in fit(vae(transform, compiled), epochs=1).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4)


@pytest.mark.parametrize("mode", ["graph", "xla"])
@TRANSFORM
def test_bounds_are_the_same_in_every_mode(transform, mode):
    model = moved(vae(transform))
    x = tf.constant(X)

    def everything():
        return model.elbo(x, num_samples=2, seed=1), model.posterior(x).log_prob(x[:, :2] - 0.3)

    for a, b in zip(MODES[mode](everything), everything(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_float64_throughout():
    model = moved(vae(dtype="float64"))
    assert model.elbo(X, seed=1).dtype == tf.float64
    assert {w.dtype for w in model.trainable_weights} == {"float64"}
    fit(model)


def test_one_latent_dimension():
    for transform in ("inverse_autoregressive", "planar"):
        assert np.isfinite(fit(vae(transform, latent_dim=1))["loss"]).all()
    with pytest.raises(ValueError, match="dim: expected an integer of at least 2; got 1"):
        vae("coupling", latent_dim=1)


# Saving


@TRANSFORM
def test_a_saved_model_comes_back_whole(transform, tmp_path):
    model = moved(vae(transform))
    loaded = saved(model, tmp_path)
    assert loaded.posterior_family.get_config() == model.posterior_family.get_config()
    for use in (
        lambda m: m.elbo(X, seed=1),
        lambda m: m.log_marginal(X, 3, seed=1),
        lambda m: m.posterior(X).sample(2, seed=(1, 2)),
        lambda m: m.posterior(X).log_prob(np.zeros([23, 2], np.float32)),
        lambda m: m.reconstruct(X, seed=2),
    ):
        np.testing.assert_array_equal(use(loaded), use(model))


@TRANSFORM
def test_training_continues_where_it_was_saved(transform, tmp_path):
    model = vae(transform)
    fit(model)
    loaded = saved(model, tmp_path)
    assert fit(model) == fit(loaded)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_alone_and_a_clone(tmp_path):
    model, other = moved(vae()), vae()
    model.save_weights(tmp_path / "model.weights.h5")
    other.build((None, 6))
    assert np.abs(model.elbo(X, seed=1) - other.elbo(X, seed=1)).max() > 1e-3
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(model.elbo(X, seed=1), other.elbo(X, seed=1))
    clone = keras.models.clone_model(model)
    clone.build((None, 6))
    assert [w.shape for w in clone.get_weights()] == [w.shape for w in model.get_weights()]
    assert clone.posterior_family is not model.posterior_family


def test_the_seed_decides_the_initial_weights():
    def weights(seed):
        family = FlowPosterior(layers=2, hidden=[4], seed=seed)
        family.num_outputs(2)
        return family.get_weights()

    assert all(map(np.array_equal, weights(3), weights(3)))
    assert not all(map(np.array_equal, weights(3), weights(4)))
    for again in (5, 5):
        keras.utils.set_random_seed(again)
    keras.utils.set_random_seed(5)
    first = FlowPosterior().seed
    keras.utils.set_random_seed(5)
    assert FlowPosterior().seed == first


# Bad input

BAD = {
    "transform": ({"transform": "spiral"}, r"transform: expected one of .*; got 'spiral'"),
    "layers": ({"layers": 0}, r"layers: expected an integer of at least 1; got 0"),
    "a_width": ({"hidden": [4, 0]}, r"hidden\[1\]: expected an integer of at least 1; got 0"),
    "no_widths": ({"hidden": 5}, r"hidden: expected .*; got 5"),
    "word": ({"hidden": "ab"}, r"hidden.*: expected .*; got 'a"),
    "context": ({"context_dim": 0}, r"context_dim: expected an integer of at least 1; got 0"),
    "seed": ({"seed": -1}, r"seed: expected an integer of at least 0; got -1"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        FlowPosterior(**options)


def test_one_family_serves_one_number_of_latent_dimensions():
    family = FlowPosterior(layers=1, hidden=[4])
    VAE([4], [4], 2, posterior_family=family)
    with pytest.raises(ValueError, match="latent_dim: expected 2, as before; got 3"):
        VAE([4], [4], 3, posterior_family=family)


# Two devices

RUNS = {"inverse_autoregressive": {}, "planar": {"objective": "importance_weighted", "num_samples": 2}}


def trained_on(strategy, transform):
    with strategy.scope():
        model = vae(transform, **RUNS[transform])
    history = model.fit(X, batch_size=8, epochs=2, verbose=0).history
    return {"history": history, "evaluated": model.evaluate(X, batch_size=5, verbose=0, return_dict=True)}


def main():
    strategies = two_devices.strategies()
    print(json.dumps({run: [trained_on(strategy, run) for strategy in strategies] for run in RUNS}))


@pytest.fixture(scope="module")
def report():
    return two_devices.report_of(__file__)


@pytest.mark.parametrize("transform", RUNS)
def test_two_devices_give_the_numbers_of_one(transform, report):
    one, two = report[transform]
    for name, values in one["history"].items():
        np.testing.assert_allclose(two["history"][name], values, rtol=1e-4)
    for name, value in one["evaluated"].items():
        np.testing.assert_allclose(two["evaluated"][name], value, rtol=1e-4)
    assert len(set(one["history"]["loss"])) == 2


if __name__ == "__main__":
    main()
