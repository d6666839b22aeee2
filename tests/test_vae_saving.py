"""What is saved comes back: the outputs, the optimizer's state, and every part that a VAE can be made of."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import VAE
from companion.vae import Bernoulli, Gaussian

X = (np.random.default_rng(0).random([23, 4, 4, 1]) < 0.4).astype(np.float32)


@keras.saving.register_keras_serializable(package="tests")
class LearntMixture(keras.layers.Layer):
    """A mixture of three normals whose centres are learnt."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.centres = self.add_weight(
            shape=(3, 2), initializer=keras.initializers.RandomNormal(seed=1), name="centres"
        )

    def distribution(self):
        centres = tf.convert_to_tensor(self.centres)
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=tf.zeros(3)), tfd.MultivariateNormalDiag(centres, tf.ones([3, 2]))
        )


def convolutional():
    layers = keras.layers
    encoder = keras.Sequential(
        [keras.Input([4, 4, 1]), layers.Conv2D(3, 3, activation="relu"), layers.Flatten(), layers.Dense(4)]
    )
    decoder = keras.Sequential(
        [keras.Input([2]), layers.Dense(12, "relu"), layers.Reshape([2, 2, 3]), layers.Conv2DTranspose(1, 2, 2)]
    )
    return {"encoder": encoder, "decoder": decoder}


def functional():
    layers = keras.layers
    x, z = keras.Input([4, 4, 1]), keras.Input([2])
    flat = layers.Flatten()(x)
    outputs = layers.Concatenate()([layers.Dense(2)(flat), layers.Dense(2, "tanh")(flat)])
    pixels = layers.Reshape([4, 4, 1])(layers.Add()([layers.Dense(16)(z), layers.Dense(16, "sigmoid")(z)]))
    return {"encoder": keras.Model(x, outputs), "decoder": keras.Model(z, pixels)}


MIXTURE = {
    "mixture_distribution": tfd.Categorical(logits=[0.0, 1.0]),
    "components_distribution": tfd.MultivariateNormalDiag([[0.0, 1.0], [1.0, 0.0]], [[1.0, 2.0], [1.0, 1.0]]),
}
PARTS = {
    "widths": dict,
    "seed_of_keras": lambda: {"seed": None},
    "functional": functional,
    "convolutional": convolutional,
    "gaussian": lambda: {"likelihood": "gaussian"},
    "gaussian_of_fixed_scale": lambda: {"likelihood": Gaussian(0.3, trainable=False)},
    "bernoulli_object": lambda: {"likelihood": Bernoulli()},
    "full_covariance": lambda: {"posterior_family": "full_covariance"},
    "prior_normal": lambda: {"prior": tfd.Independent(tfd.Normal([0.0, 1.0], [1.0, 2.0]), 1)},
    "prior_mixture": lambda: {"prior": tfd.MixtureSameFamily(**MIXTURE)},
    "prior_learnt": lambda: {"prior": LearntMixture()},
    "weighted": lambda: {"objective": "importance_weighted", "gradient": "doubly_reparameterized", "num_samples": 3},
    "sampled": lambda: {"kl": "sampled", "beta": 0.5, "name": "sampled"},
    "float64": lambda: {"dtype": "float64"},
    "mixed": lambda: {"dtype": "mixed_bfloat16"},
}


def vae(**options):
    return VAE(**{"encoder": [8], "decoder": [8], "latent_dim": 2, "seed": 0, **options})


def compiled(**options):
    model = vae(**options)
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    return model


def outputs(model):
    """Bounds, latents and pixels, with the noise of the model's own seed."""
    bounds = model.elbo(X, seed=model.evaluation_seed), model.log_marginal(X, 5, seed=1)
    return [np.asarray(a) for a in (*bounds, model.posterior(X).mean(), model.reconstruct(X, seed=2), model(X))]


def assert_same(arrays, others):
    """To the last bit."""
    assert len(arrays) == len(others)
    for a, b in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def moved(model):
    """The model with weights that no seed gives."""
    model.build((None, *X.shape[1:]))
    rng = np.random.default_rng(3)
    for w in model.trainable_weights:
        w.assign_add(0.1 * rng.random(w.shape))
    return model


@pytest.mark.parametrize("make", PARTS.values(), ids=PARTS)
def test_a_saved_model_comes_back_whole(make, tmp_path):
    model = moved(vae(**make()))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is VAE
    assert_same(model.get_weights(), loaded.get_weights())
    assert_same(outputs(model), outputs(loaded))
    for name in ("name", "seed", "latent_dim", "num_samples", "objective", "gradient", "kl", "event_shape"):
        assert getattr(loaded, name) == getattr(model, name)
    assert float(loaded.beta) == float(model.beta)
    assert [w.name for w in loaded.trainable_weights] == [w.name for w in model.trainable_weights]
    assert loaded.dtype_policy == model.dtype_policy


@pytest.mark.parametrize("make", PARTS.values(), ids=PARTS)
def test_a_configuration_makes_the_untrained_model(make):
    model = vae(**make())
    remade = VAE.from_config(model.get_config())
    assert remade.get_config() == model.get_config()
    remade.build((None, *X.shape[1:]))
    model.build((None, *X.shape[1:]))
    assert [w.shape for w in remade.get_weights()] == [w.shape for w in model.get_weights()]
    if model._widths["encoder"] is not None:
        assert_same(remade.get_weights(), model.get_weights())  # the seed decides them


CONTINUED = ("widths", "prior_learnt")


@pytest.mark.parametrize("name", CONTINUED)
def test_training_continues_where_it_was_saved(name, tmp_path):
    model = compiled(**PARTS[name]())
    model.fit(X, batch_size=10, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 6
    assert_same([v.numpy() for v in model.optimizer.variables], [v.numpy() for v in loaded.optimizer.variables])
    assert loaded.evaluate(X, verbose=0, return_dict=True) == model.evaluate(X, verbose=0, return_dict=True)
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    before = model.get_weights()
    histories = [m.fit(X, batch_size=10, epochs=2, verbose=0).history for m in (model, loaded)]
    assert histories[0] == histories[1]
    assert_same(model.get_weights(), loaded.get_weights())
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


def test_a_fixed_scale_stays_fixed_and_a_learnt_one_does_not(tmp_path):
    for trainable in (False, True):
        model = compiled(likelihood=Gaussian(0.5, trainable=trainable))
        model.fit(X, verbose=0)
        model.save(tmp_path / "model.keras")
        scale, again = (float(m.likelihood.scale) for m in (model, keras.models.load_model(tmp_path / "model.keras")))
        assert again == scale
        assert (scale == 0.5) != trainable


def test_weights_alone(tmp_path):
    model, other = moved(vae()), vae(seed=5)
    model.save_weights(tmp_path / "model.weights.h5")
    other.build((None, *X.shape[1:]))
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(model.get_weights(), other.get_weights())
    np.testing.assert_array_equal(model.elbo(X, seed=1), other.elbo(X, seed=1))


def test_weights_of_another_architecture_are_refused(tmp_path):
    moved(vae()).save_weights(tmp_path / "model.weights.h5")
    other = vae(encoder=[9])
    other.build((None, *X.shape[1:]))
    with pytest.raises(ValueError, match="could not be loaded"):
        other.load_weights(tmp_path / "model.weights.h5")


def test_a_changed_beta_is_saved(tmp_path):
    model = moved(vae())
    model.beta.assign(0.25)
    model.save(tmp_path / "model.keras")
    assert float(keras.models.load_model(tmp_path / "model.keras").beta) == 0.25


def test_a_clone_is_a_new_model_of_the_same_kind():
    model = moved(vae())
    clone = keras.models.clone_model(model)
    clone.build((None, *X.shape[1:]))
    fresh = vae()
    fresh.build((None, *X.shape[1:]))
    assert clone.get_config() == model.get_config()
    assert_same(clone.get_weights(), fresh.get_weights())


def test_a_fitted_model_is_exported(tmp_path):
    model = compiled()
    model.fit(X, verbose=0)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.serve(X), model.predict(X, verbose=0), rtol=1e-6)


UNSAVABLE = {
    "own_class": (lambda: Shifted([0.0, 0.0]), "Shifted"),
    "function": (
        lambda: tfd.TransformedDistribution(
            tfd.MultivariateNormalDiag([0.0, 0.0]),
            tfb.Inline(
                forward_fn=lambda x: x + 1.0,
                inverse_fn=lambda y: y - 1.0,
                inverse_log_det_jacobian_fn=lambda y: tf.constant(0.0),
                forward_min_event_ndims=0,
            ),
        ),
        "function",
    ),
}


class Shifted(tfd.MultivariateNormalDiag):
    """A distribution that TFP does not have."""


@pytest.mark.parametrize("case", UNSAVABLE)
def test_a_prior_that_cannot_be_saved_says_so(case, tmp_path):
    make, named = UNSAVABLE[case]
    model = vae(prior=make())
    assert np.isfinite(model.elbo(X, seed=0)).all()  # it can be used
    expected = rf"prior: expected something made from numbers.*; got .*{named}"
    with pytest.raises(TypeError, match=expected):
        model.save(tmp_path / "model.keras")
