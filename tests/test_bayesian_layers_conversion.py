"""`to_bayesian`: distributions for an ordinary model's weights; with zero variance it is the same function."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from bayesian_cases import CASES, METHODS, NUM_EXAMPLES
from tensorflow_probability import distributions as tfd

from companion import bayesian_layers as bl

layers = keras.layers
SURE = bl.MeanFieldNormal(scale_initializer=1e-8)
RNG = np.random.default_rng(0)


def dense():
    return keras.Sequential([keras.Input([4]), layers.Dense(6, "relu"), layers.Dropout(0.5), layers.Dense(2)])


def convolutional():
    return keras.Sequential(
        [
            keras.Input([9, 8, 2]),
            layers.Rescaling(0.5),
            layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same", activation="tanh"),
            layers.MaxPooling2D(2),
            layers.Conv2D(3, 2, dilation_rate=(1, 2), use_bias=False),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )


def sequence():
    x = keras.Input([None, 3])
    y = layers.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="elu")(x)
    y = layers.Conv1D(4, 2, strides=2)(y)
    return keras.Model(x, layers.GlobalMaxPooling1D()(y))


def functional():
    """Two inputs, a residual, a shared layer, two outputs."""
    a, b = keras.Input([4], name="a"), keras.Input([4], name="b")
    shared = layers.Dense(4, "gelu")
    y = layers.Add()([shared(a), shared(b), a])
    return keras.Model([a, b], [layers.Dense(1)(y), layers.Dense(2, use_bias=False)(layers.Concatenate()([y, b]))])


def nested():
    x = keras.Input([4])
    inner = keras.Sequential([keras.Input([4]), layers.Dense(5, "relu"), layers.Dense(4)])
    return keras.Model(x, layers.Dense(1)(inner(x) + keras.ops.tanh(x)))


def on_sequences():
    """A dense layer whose positions share the weights."""
    return keras.Sequential([keras.Input([5, 3]), layers.Dense(4, "silu"), layers.Flatten(), layers.Dense(1)])


def called():
    """Sequential, built by a call."""
    model = keras.Sequential([layers.Dense(3, "relu"), layers.Dense(1)])
    model(np.ones([2, 4], np.float32))
    return model


MODELS = {
    "dense": (dense, [(4,)], 2),
    "convolutional": (convolutional, [(9, 8, 2)], 3),
    "sequence": (sequence, [(11, 3)], 2),
    "functional": (functional, [(4,), (4,)], 3),
    "nested": (nested, [(4,)], 3),
    "on_sequences": (on_sequences, [(5, 3)], 2),
    "called": (called, [(4,)], 2),
}


def moved(model):
    """Biases that are not zero."""
    model.set_weights([w + 0.1 * RNG.standard_normal(w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


def inputs_of(shapes):
    x = [RNG.standard_normal((5, *shape)).astype(np.float32) for shape in shapes]
    return x if len(x) > 1 else x[0]


def outputs(model, x):
    found = model(x)
    return [np.asarray(y) for y in (found if isinstance(found, list) else [found])]


@pytest.mark.parametrize("bias", ["bayesian", "deterministic"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_with_zero_variance_it_is_the_original(name, method, bias):
    make, shapes, number = MODELS[name]
    ordinary = moved(make())
    kept = ordinary.get_weights()
    bayesian = bl.to_bayesian(ordinary, NUM_EXAMPLES, method, posterior=SURE, bias=bias)
    found = bl.layers_in(bayesian)
    assert len(found) == number
    assert all(type(layer).__name__.endswith(METHODS[method]) for layer in found)
    assert {layer.num_examples for layer in found} == {NUM_EXAMPLES}
    x = inputs_of(shapes)
    for y, wanted in zip(outputs(bayesian, x), outputs(ordinary, x), strict=True):
        np.testing.assert_allclose(y, wanted, atol=1e-4)
    assert all(map(np.array_equal, kept, ordinary.get_weights()))
    assert not set(map(id, bayesian.variables)) & set(map(id, ordinary.variables))
    wide = bl.to_bayesian(ordinary, NUM_EXAMPLES, method, bias=bias, seed=1)
    assert not np.allclose(outputs(wide, x)[0], outputs(ordinary, x)[0], atol=1e-3)  # the comparison would see it


@pytest.mark.parametrize("name", MODELS)
def test_what_is_the_same_and_what_is_not(name):
    make, _, _ = MODELS[name]
    ordinary = make()
    bayesian = bl.to_bayesian(ordinary, NUM_EXAMPLES)
    assert type(bayesian) is type(ordinary)
    names = [[x.name for x in m.layers if not isinstance(x, layers.InputLayer)] for m in (bayesian, ordinary)]
    assert names[0] == names[1]
    assert bayesian.output_shape == ordinary.output_shape
    assert bayesian.input_shape == ordinary.input_shape
    assert not bayesian.compiled


def test_configurations_are_taken_over():
    ordinary = convolutional()
    first, second, last = bl.layers_in(bl.to_bayesian(ordinary, NUM_EXAMPLES))
    assert (first.kernel_size, first.strides, first.padding, first.filters) == ((3, 2), (2, 1), "same", 4)
    assert (second.dilation_rate, second.bias) == ((1, 2), None)
    assert (last.units, last.activation) == (3, keras.activations.softmax)
    frozen = dense()
    frozen.layers[0].trainable = False
    first, last = bl.layers_in(bl.to_bayesian(frozen, NUM_EXAMPLES))
    assert (first.trainable, last.trainable) == (False, True)


def test_priors_scales_and_seeds():
    start = bl.MeanFieldNormal(scale_initializer=0.03)
    ordinary = dense()
    prior = tfd.Laplace(0.0, 0.3)
    one, same, other = (bl.to_bayesian(ordinary, 7, prior=prior, posterior=start, seed=seed) for seed in (1, 1, 2))
    for layer, old in zip(bl.layers_in(one), [ordinary.layers[0], ordinary.layers[2]], strict=True):
        np.testing.assert_allclose(layer.posterior.stddev()["kernel"], np.full(old.kernel.shape, 0.03), rtol=1e-5)
        np.testing.assert_array_equal(layer.posterior.mean()["kernel"], old.kernel)
        np.testing.assert_array_equal(layer.posterior.mean()["bias"], old.bias)
        w = layer.posterior.sample(seed=0)
        wanted = sum(np.sum(prior.log_prob(part)) for part in w.values())
        np.testing.assert_allclose(layer.prior.log_prob(w), wanted, rtol=1e-5)
    assert len({layer.seed for layer in bl.layers_in(one)}) == 2
    x = inputs_of([(4,)])
    np.testing.assert_array_equal(one(x), same(x))
    assert not np.array_equal(one(x), other(x))
    with bl.fixed_draw(one, 3), bl.fixed_draw(same, 3):
        np.testing.assert_array_equal(one(x), same(x))


@pytest.mark.parametrize("method", METHODS)
def test_what_was_learnt_stays_and_more_is_learnt(method):
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(1).standard_normal([60, 4]).astype(np.float32)
    y = x[:, :2] * 2.0 + 1.0
    ordinary = keras.Sequential([keras.Input([4]), layers.Dense(2)])
    ordinary.set_weights([1.7 * np.eye(4, 2), 0.7 * np.ones(2)])  # near, and something is left to learn
    bayesian = bl.to_bayesian(ordinary, 60, method, seed=1)
    loss = bl.NegativeLogLikelihood(bl.likelihoods.Normal(0.5))
    bayesian.compile(keras.optimizers.Adam(0.02), loss, jit_compile=False)
    start = bayesian.evaluate(x, y, verbose=0)
    end = bayesian.fit(x, y, epochs=15, batch_size=20, verbose=0).history["loss"][-1]
    assert end < start
    np.testing.assert_allclose(bl.predict(bayesian, x, 50, seed=0).mean, y, atol=0.5)


def test_what_layers_make_of_their_weights_is_made_anew():
    """An adapted normalization divides by what it has seen; a lookup keeps its vocabulary."""
    normalization = layers.Normalization()
    normalization.adapt(5.0 + 10.0 * np.random.default_rng(0).standard_normal([50, 4]))
    ordinary = keras.Sequential([keras.Input([4]), normalization, layers.Dense(2)])
    x = inputs_of([(4,)])
    np.testing.assert_allclose(bl.to_bayesian(ordinary, 7, posterior=SURE)(x), ordinary(x), atol=1e-5)
    lookup = layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    words = keras.Sequential([keras.Input([1], dtype="string"), lookup, layers.Rescaling(1.0), layers.Dense(2)])
    x = tf.constant([["b"], ["a"], ["c"]])
    np.testing.assert_allclose(bl.to_bayesian(words, 7, posterior=SURE)(x), words(x), atol=1e-5)


def test_mixed_policies_are_kept():
    ordinary = keras.Sequential([keras.Input([4]), layers.Dense(3, dtype="mixed_bfloat16"), layers.Dense(1)])
    first, last = bl.layers_in(bl.to_bayesian(ordinary, NUM_EXAMPLES))
    assert (first.compute_dtype, last.compute_dtype) == ("bfloat16", "float32")


def test_weights_that_lora_moved_are_taken_as_they_are():
    ordinary = keras.Sequential([keras.Input([4]), layers.Dense(3)])
    ordinary.layers[0].enable_lora(1)
    moved(ordinary)
    x = inputs_of([(4,)])
    np.testing.assert_allclose(bl.to_bayesian(ordinary, 7, posterior=SURE)(x), ordinary(x), atol=1e-5)


# Other layers


def with_batch_normalization():
    model = keras.Sequential(
        [keras.Input([4]), layers.Dense(5, use_bias=False), layers.BatchNormalization(), layers.ReLU(), layers.Dense(1)]
    )
    return moved(model)


def test_layers_with_other_weights_are_refused_or_kept():
    ordinary = with_batch_normalization()
    with refused(ValueError, "model", 'others="keep"', "BatchNormalization"):
        bl.to_bayesian(ordinary, NUM_EXAMPLES)
    bayesian = bl.to_bayesian(ordinary, NUM_EXAMPLES, posterior=SURE, others="keep")
    assert len(bl.layers_in(bayesian)) == 2
    kept = bayesian.layers[1]
    assert isinstance(kept, layers.BatchNormalization)
    assert all(map(np.array_equal, kept.get_weights(), ordinary.layers[1].get_weights()))
    x = inputs_of([(4,)])
    np.testing.assert_allclose(bayesian(x), ordinary(x), atol=1e-4)
    bayesian.compile("sgd", "mse", jit_compile=False)
    bayesian.fit(x, x[:, :1], verbose=0)
    assert not np.array_equal(kept.get_weights()[2], ordinary.layers[1].get_weights()[2])


def before_dense(shape, layer, dtype="float32"):
    return lambda: keras.Sequential([keras.Input(shape, dtype=dtype), layer(), layers.Flatten(), layers.Dense(1)])


KEPT = {
    "embedding": before_dense([3], lambda: layers.Embedding(7, 4), "int32"),
    "lstm": before_dense([3, 2], lambda: layers.LSTM(4)),
    "normalization": before_dense([3, 2], layers.LayerNormalization),
    "depthwise": before_dense([6, 6, 2], lambda: layers.DepthwiseConv2D(2)),
    "transpose": before_dense([3, 3, 2], lambda: layers.Conv2DTranspose(2, 2)),
    "einsum": before_dense([3, 2], lambda: layers.EinsumDense("abc,cd->abd", (3, 4))),
    "wrapped": before_dense([3, 2], lambda: layers.TimeDistributed(layers.Dense(4))),
    "bayesian": before_dense([4], lambda: CASES["DenseFlipout"].layer()),
}


@pytest.mark.parametrize("name", KEPT)
def test_other_kinds_are_refused_or_kept(name):
    ordinary = KEPT[name]()
    with refused(ValueError, "model", 'others="keep"', ordinary.layers[0].name):
        bl.to_bayesian(ordinary, NUM_EXAMPLES)
    kept = bl.to_bayesian(ordinary, NUM_EXAMPLES, posterior=SURE, others="keep")
    x = np.ones((2, *ordinary.input_shape[1:]), ordinary.inputs[0].dtype)
    if name != "bayesian":
        np.testing.assert_allclose(kept(x), ordinary(x), atol=1e-4)
    assert all(map(np.array_equal, kept.layers[0].get_weights(), ordinary.layers[0].get_weights()))


# Bad input


def refused(error, argument, expected, got=""):
    """A context in which an error with the three parts of a message has to come."""
    return pytest.raises(error, match=rf"{argument}[\s\S]*: expected [\s\S]*{expected}[\s\S]*; got [\s\S]*{got}")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = layers.Dense(1)

    def call(self, x):
        return self.layer(x)


def built(model):
    model(np.ones([2, 4], np.float32))
    return model


def refusing(option, value, got):
    """A layer with an option that no Bayesian layer has."""

    def make():
        return keras.Sequential([keras.Input([4]), layers.Dense(2, **{option: value})])

    return make, ValueError, option, "None", got


KIND = "a functional or sequential Keras model"
BAD_MODELS = {
    "subclassed": (lambda: built(Subclassed()), TypeError, "^model", KIND, "Subclassed"),
    "layer": (lambda: layers.Dense(1), TypeError, "^model", KIND, "Dense"),
    "none": (lambda: None, TypeError, "^model", KIND, "None"),
    "list": (lambda: [layers.Dense(1)], TypeError, "^model", KIND, "list"),
    "not_built": (lambda: keras.Sequential([layers.Dense(1)]), ValueError, "^model", "built", "inputs"),
    "kernel_regularizer": refusing("kernel_regularizer", "l2", "L2"),
    "bias_regularizer": refusing("bias_regularizer", "l1", "L1"),
    "activity_regularizer": refusing("activity_regularizer", "l2", "L2"),
    "kernel_constraint": refusing("kernel_constraint", "non_neg", "NonNeg"),
    "bias_constraint": refusing("bias_constraint", "non_neg", "NonNeg"),
    "groups": (
        lambda: keras.Sequential([keras.Input([6, 4]), layers.Conv1D(4, 2, groups=2)]),
        ValueError,
        "groups",
        "1 in the layer",
        "2",
    ),
    "channels_first": (
        lambda: keras.Sequential([keras.Input([2, 6, 6]), layers.Conv2D(4, 2, data_format="channels_first")]),
        ValueError,
        "data_format",
        "channels_last",
        "channels_first",
    ),
    "subclass_inside": (
        lambda: keras.Sequential([keras.Input([4]), Subclassed()]),
        ValueError,
        "model",
        'others="keep"',
        "Subclassed",
    ),
    "nothing_to_convert": (
        lambda: keras.Sequential([keras.Input([4]), layers.ReLU()]),
        ValueError,
        "model",
        "Dense, Conv1D",
        "",
    ),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_models_that_cannot_be_converted_are_refused(name):
    make, *message = BAD_MODELS[name]
    with refused(*message):
        bl.to_bayesian(make(), NUM_EXAMPLES)


BAD_ARGUMENTS = {
    "num_examples_0": ({"num_examples": 0}, ValueError, "num_examples", "an integer of at least 1", "0"),
    "num_examples_float": ({"num_examples": 10.0}, ValueError, "num_examples", "an integer of at least 1", "10.0"),
    "num_examples_none": ({"num_examples": None}, ValueError, "num_examples", "an integer of at least 1", "None"),
    "method": ({"method": "dropout"}, ValueError, "method", "one of reparameterization, local", "'dropout'"),
    "bias": ({"bias": "none"}, ValueError, "bias", "one of bayesian, deterministic", "'none'"),
    "bias_none": ({"bias": None}, ValueError, "bias", "one of bayesian, deterministic", "None"),
    "others": ({"others": "drop"}, ValueError, "others", "one of refuse, keep", "'drop'"),
    "others_bool": ({"others": True}, ValueError, "others", "one of refuse, keep", "True"),
    "prior": ({"prior": "normal"}, TypeError, "prior", "a tfd.Distribution", "'normal'"),
    "prior_shape": ({"prior": tfd.Normal(np.zeros([4, 6], np.float32), 1.0)}, ValueError, "prior", "", r"\[4, 6\]"),
    "posterior": ({"posterior": 0.1}, TypeError, "posterior", "a MeanFieldNormal or None", "0.1"),
    "seed": ({"seed": -1}, ValueError, "seed", "an integer of at least 0", "-1"),
    "seed_string": ({"seed": "1"}, ValueError, "seed", "an integer of at least 0", "'1'"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments_are_refused(name):
    options, *message = BAD_ARGUMENTS[name]
    with refused(*message):
        bl.to_bayesian(dense(), **{"num_examples": NUM_EXAMPLES, **options})
