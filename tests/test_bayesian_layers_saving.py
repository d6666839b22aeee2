"""What is saved comes back: every Bayesian layer, its priors and its start, the place in its noise, the optimizer."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from bayesian_cases import CASES, NUM_EXAMPLES
from tensorflow_probability import distributions as tfd

from companion import bayesian_layers as bl
from companion import vae

X = np.random.default_rng(0).standard_normal([23, 4]).astype(np.float32)
Y = (X[:, :1] - 2.0 * X[:, 1:2]).astype(np.float32)


def model_of(case, **options):
    return keras.Sequential([keras.Input(case.input_shape), case.layer(**options)])


def moved(model):
    """The model with weights that no seed gives, and some noise behind it."""
    rng = np.random.default_rng(3)
    for w in model.trainable_weights:
        w.assign_add(0.1 * rng.random(w.shape))
    for layer in bl.layers_in(model):
        layer.calls.assign(17)
    return model


def saved(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def assert_same(arrays, others):
    """To the last bit."""
    assert len(arrays) == len(others)
    for a, b in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
        assert np.asarray(a).dtype == np.asarray(b).dtype


def assert_same_layers(model, other, x):
    """Configurations, weights, divergences, densities, and the noise of the next two calls."""
    for layer, again in zip(bl.layers_in(model), bl.layers_in(other), strict=True):
        assert type(again) is type(layer)
        assert again.get_config() == layer.get_config()
        assert again.kl == layer.kl
        assert again.dtype_policy == layer.dtype_policy
        assert [w.name for w in again.trainable_weights] == [w.name for w in layer.trainable_weights]
        assert_same(layer.get_weights(), again.get_weights())
        assert_same([layer.kl_divergence(seed=1)], [again.kl_divergence(seed=1)])
        w = layer.posterior.sample(seed=2)
        densities = [[q.log_prob(w) for q in (one.posterior, one.prior)] for one in (layer, again)]
        assert_same(*densities)
    outputs = [model(x), model(x)]
    assert not np.array_equal(*map(np.asarray, outputs))
    assert_same(outputs, [other(x), other(x)])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_layer_comes_back(case, tmp_path):
    model = moved(model_of(case, activation="relu"))
    loaded = saved(model, tmp_path)
    assert int(loaded.layers[0].calls) == 17
    assert_same_layers(model, loaded, case.inputs())
    assert loaded.layers[0].num_examples == NUM_EXAMPLES
    assert (loaded(case.inputs()) >= 0.0).numpy().all()


def kernel_shape():
    return CASES["DenseFlipout"].kernel_shape()


def numbers(*shape):
    return np.random.default_rng(1).random(shape).astype(np.float32)


OPTIONS = {
    "normal": lambda: {"prior": tfd.Normal(0.0, 0.3)},
    "normal_elsewhere": lambda: {"prior": tfd.Normal(1.0, 2.0), "bias_prior": tfd.Normal(-1.0, 0.2)},
    "laplace": lambda: {"prior": tfd.Laplace(0.0, 0.4)},
    "scale_mixture": lambda: {"prior": bl.scale_mixture(0.25, (1.5, 0.02))},
    "student": lambda: {"prior": tfd.StudentT(3.0, 0.0, 1.0)},
    "array": lambda: {"prior": tfd.Normal(numbers(*kernel_shape()), 0.5), "bias_prior": tfd.Normal(numbers(3), 1.0)},
    "array_of_laplace": lambda: {"prior": tfd.Laplace(0.0, 0.1 + numbers(*kernel_shape())), "bias": "deterministic"},
    "one_event": lambda: {"prior": tfd.Independent(tfd.Normal(numbers(*kernel_shape()), 1.0), 2), "bias": None},
    "prior_of_the_bias": lambda: {"bias_prior": bl.scale_mixture()},
    "sampled": lambda: {"kl": "sampled"},
    "closed_form": lambda: {"kl": "closed_form"},
    "deterministic_bias": lambda: {"bias": "deterministic"},
    "no_bias": lambda: {"bias": None},
    "scale": lambda: {"posterior": bl.MeanFieldNormal(scale_initializer=0.02)},
    "gain": lambda: {"posterior": bl.MeanFieldNormal(scale_initializer=bl.FanInConstant(0.4))},
    "random_scales": lambda: {
        "posterior": bl.MeanFieldNormal("he_normal", keras.initializers.RandomUniform(0.01, 0.1, seed=4))
    },
    "seeded": lambda: {"posterior": bl.MeanFieldNormal(keras.initializers.Orthogonal(gain=0.5, seed=4))},
    "no_seed": lambda: {"seed": None},
    "large_seed": lambda: {"seed": 2**40 + 5},
    "no_number": lambda: {"num_examples": None},
    "activation": lambda: {"activation": keras.activations.softplus},
    "frozen": lambda: {"trainable": False},
    "named": lambda: {"name": "hidden", "activity_regularizer": keras.regularizers.L2(0.1)},
    "float64": lambda: {"dtype": "float64"},
    "float64_mixture": lambda: {"dtype": "float64", "prior": bl.scale_mixture(dtype="float64")},
    "mixed": lambda: {"dtype": "mixed_bfloat16", "prior": tfd.Laplace(0.0, 1.0)},
}


@pytest.mark.parametrize("make", OPTIONS.values(), ids=OPTIONS)
def test_every_option_comes_back(make, tmp_path):
    model = moved(model_of(CASES["DenseFlipout"], **make()))
    loaded = saved(model, tmp_path)
    assert_same_layers(model, loaded, X)
    assert loaded.layers[0].trainable == model.layers[0].trainable
    assert loaded.layers[0].name == model.layers[0].name


@pytest.mark.parametrize("name", OPTIONS)
def test_a_configuration_makes_the_same_kind_of_layer(name):
    layer = CASES["DenseFlipout"].layer(**OPTIONS[name]())
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    for one in (layer, again):
        one.build((None, 4))
    w = layer.posterior.sample(seed=2)
    assert_same([layer.prior.log_prob(w)], [again.prior.log_prob(w)])
    if name != "random_scales":
        for part, scale in layer.posterior.stddev().items():
            np.testing.assert_allclose(again.posterior.stddev()[part], scale, rtol=1e-6)


INITIALIZERS = ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_normal", "orthogonal", "zeros"]


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initializer_is_saved(name):
    start = bl.MeanFieldNormal(name, 0.03)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(start))
    assert again.get_config() == start.get_config()
    assert type(again.loc_initializer) is type(start.loc_initializer) is type(keras.initializers.get(name))


# Whole models


def network():
    """Functional, with a shared layer and a model inside."""
    x = keras.Input([4])
    shared = bl.DenseFlipout(4, "tanh", num_examples=NUM_EXAMPLES, seed=1)
    inner = keras.Sequential([keras.Input([4]), bl.DenseReparameterization(3, num_examples=NUM_EXAMPLES, seed=2)])
    last = bl.DenseLocalReparameterization(
        1, num_examples=NUM_EXAMPLES, seed=3, prior=bl.scale_mixture(), bias="deterministic"
    )
    return keras.Model(x, last(inner(shared(shared(x)))))


def compiled(model=None, **how):
    model = model or network()
    loss = bl.NegativeLogLikelihood(bl.likelihoods.Normal(0.3))
    model.compile(**{"optimizer": keras.optimizers.Adam(0.02), "loss": loss, "jit_compile": False, **how})
    return model


def fit(model, **how):
    return model.fit(X, Y, **{"batch_size": 10, "epochs": 2, "verbose": 0, **how}).history


@pytest.fixture(scope="module")
def trained():
    model = compiled()
    fit(model, shuffle=False)
    return model


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_continues_where_it_was_saved(optimizer, tmp_path):
    optimizer = {"adam": keras.optimizers.Adam(0.02), "sgd": keras.optimizers.SGD(0.01, momentum=0.9)}[optimizer]
    model = compiled(optimizer=optimizer)
    fit(model, shuffle=False)
    loaded = saved(model, tmp_path)
    assert int(loaded.optimizer.iterations) == 6
    assert_same([v.numpy() for v in model.optimizer.variables], [v.numpy() for v in loaded.optimizer.variables])
    assert isinstance(loaded.loss, bl.NegativeLogLikelihood)
    before = model.get_weights()
    histories = [fit(m, shuffle=False, validation_data=(X, Y)) for m in (model, loaded)]
    assert histories[0] == histories[1]
    assert_same(model.get_weights(), loaded.get_weights())
    assert sum(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)) == len(before)
    losses = [m.evaluate(X, Y, verbose=0) for m in (model, loaded)]
    assert losses[0] == losses[1]
    assert_same([model.predict(X, verbose=0)], [loaded.predict(X, verbose=0)])


def test_predictions_of_a_loaded_model_are_the_same(trained, tmp_path):
    loaded = saved(trained, tmp_path)
    one, other = (bl.predict(m, X, num_samples=7, seed=5) for m in (trained, loaded))
    assert_same([one.outputs, one.log_prob(Y)], [other.outputs, other.log_prob(Y)])
    assert one.likelihood.get_config() == other.likelihood.get_config() == {"scale": 0.3}


LIKELIHOODS = {
    "normal": bl.likelihoods.Normal(0.3),
    "heteroscedastic": bl.likelihoods.HeteroscedasticNormal(),
    "categorical": bl.likelihoods.Categorical(),
    "bernoulli": bl.likelihoods.Bernoulli(),
}


def test_variables_have_paths_of_their_own():
    paths = [variable.path for variable in network().variables]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_width_of_a_loss_comes_back(dtype):
    loss = bl.NegativeLogLikelihood("categorical", dtype=dtype)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.dtype == loss.dtype == dtype


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_losses_come_back(likelihood, tmp_path):
    model = keras.Sequential([keras.Input([4]), bl.DenseFlipout(2, num_examples=NUM_EXAMPLES, seed=1)])
    compiled(model, loss=bl.NegativeLogLikelihood(likelihood, name="nll"))
    loaded = saved(model, tmp_path)
    assert type(loaded.loss.likelihood) is type(likelihood)
    assert loaded.loss.get_config() == model.loss.get_config()
    y = np.zeros({"categorical": [3], "heteroscedastic": [3, 1]}.get(likelihood_name(likelihood), [3, 2]), np.float32)
    assert model.test_on_batch(X[:3], y) == loaded.test_on_batch(X[:3], y)


def test_likelihoods_of_the_vae_are_others():
    """The two modules have a class of one name; each comes back as itself, whichever was imported last."""
    for one in (vae.Bernoulli(), bl.likelihoods.Bernoulli()):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(one))
        assert type(again) is type(one)


def likelihood_name(likelihood):
    return next(name for name, value in LIKELIHOODS.items() if value is likelihood)


@pytest.mark.parametrize("kind", ["h5", "sharded"])
def test_weights_alone(kind, trained, tmp_path):
    other = network()
    if kind == "h5":
        path = tmp_path / "model.weights.h5"
        trained.save_weights(path)
    else:
        path = tmp_path / "model.weights.json"
        trained.save_weights(path, max_shard_size=0.01)
    other.load_weights(path)
    assert_same(trained.get_weights(), other.get_weights())
    assert_same([trained(X)], [other(X)])


def test_weights_of_another_layer_are_refused(tmp_path):
    model_of(CASES["DenseFlipout"]).save_weights(tmp_path / "model.weights.h5")
    for other in (
        model_of(CASES["DenseFlipout"], units=2),
        keras.Sequential([keras.Input([4]), keras.layers.Dense(3)]),
    ):
        with pytest.raises(ValueError, match=r"could not be loaded|expected"):
            other.load_weights(tmp_path / "model.weights.h5")


def test_a_clone_is_a_new_model_of_the_same_kind(trained):
    clone = keras.models.clone_model(trained)
    assert [layer.get_config() for layer in bl.layers_in(clone)] == [
        layer.get_config() for layer in bl.layers_in(trained)
    ]
    assert not set(map(id, bl.layers_in(clone))) & set(map(id, bl.layers_in(trained)))
    assert [int(layer.calls) for layer in bl.layers_in(clone)] == [0] * 3
    clone.set_weights(trained.get_weights())
    assert_same([trained(X)], [clone(X)])
    np.testing.assert_allclose(bl.kl_divergence(clone, seed=1), bl.kl_divergence(trained, seed=1), rtol=1e-6)


def test_json_holds_the_architecture(trained):
    again = keras.models.model_from_json(trained.to_json())
    again.set_weights(trained.get_weights())
    assert_same_layers(trained, again, X)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_copies(copied):
    model = compiled()
    fit(model, epochs=1, shuffle=False)
    other = copied(model)
    assert_same_layers(model, other, X)
    assert fit(model, shuffle=False) == fit(other, shuffle=False)


def test_an_exported_model_draws_on(trained, tmp_path):
    trained.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    served = [np.asarray(exported.serve(X)) for _ in range(3)]
    assert served[0].shape == (23, 1)
    assert not np.array_equal(served[0], served[1])
    assert not np.array_equal(served[1], served[2])
    prediction = bl.predict(trained, X, num_samples=200, seed=0)
    deviations = (served - prediction.mean.numpy()) / np.sqrt(prediction.epistemic.numpy())
    assert np.abs(deviations).mean() < 2.0


def test_a_frozen_draw_is_not_saved(trained, tmp_path):
    """What `fixed_draw` does ends with it, and does not get into a file."""
    with bl.fixed_draw(trained, seed=1):
        loaded = saved(trained, tmp_path)
        assert not np.array_equal(loaded(X), loaded(X))


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = bl.DenseFlipout(units, "tanh", num_examples=NUM_EXAMPLES, seed=1, name="first")
        self.last = bl.DenseLocalReparameterization(1, num_examples=NUM_EXAMPLES, seed=2, name="last")

    def call(self, x, training=False):
        return self.last(self.first(x, training=training), training=training)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_a_subclassed_model_comes_back(tmp_path):
    model = compiled(Subclassed(5))
    fit(model, shuffle=False)
    loaded = saved(model, tmp_path)
    assert_same_layers(model, loaded, X)
    assert fit(model, shuffle=False) == fit(loaded, shuffle=False)


def test_a_model_made_bayesian_comes_back(tmp_path):
    layers = keras.layers
    ordinary = keras.Sequential(
        [keras.Input([8, 2]), layers.Conv1D(3, 2, activation="relu"), layers.Flatten(), layers.Dense(1)]
    )
    model = moved(bl.to_bayesian(ordinary, NUM_EXAMPLES, prior=tfd.Laplace(0.0, 1.0), seed=1))
    assert_same_layers(model, saved(model, tmp_path), np.ones([3, 8, 2], np.float32))


# What cannot be saved


class Shifted(tfd.Normal):
    """A distribution that TFP does not have."""


def test_a_prior_that_cannot_be_saved_says_so(tmp_path):
    model = model_of(CASES["DenseFlipout"], prior=Shifted(0.0, 1.0))
    assert np.isfinite(model(X)).all()  # it can be used
    expected = r"prior: expected something made from numbers.*; got .*Shifted"
    with pytest.raises(TypeError, match=expected):
        model.save(tmp_path / "model.keras")
