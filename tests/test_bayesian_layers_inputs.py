"""Inputs of every width and shape, and bad ones: an error that says the argument, what was expected and what came."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from bayesian_cases import CASES, NUM_EXAMPLES
from scipy import special
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import bayesian_layers as bl

RNG = np.random.default_rng(0)
X = RNG.standard_normal([8, 4]).astype(np.float32)
Y = X[:, :1]
DENSE = {name: case for name, case in CASES.items() if name.startswith("Dense")}
CONV = {name: case for name, case in CASES.items() if name.startswith("Conv")}
RATE = 0.5


def refused(error, argument, expected, got=""):
    """A context in which an error with the three parts of a message has to come; Keras may write around it."""
    return pytest.raises(error, match=rf"{argument}[\s\S]*: expected [\s\S]*{expected}[\s\S]*; got [\s\S]*{got}")


def nothing(y, outputs):
    """A likelihood that knows nothing: the loss is the KL divergence alone."""
    return tf.zeros(tf.shape(outputs)[0], outputs.dtype)


def compile_(model, **compiled):
    model.compile(**{"optimizer": keras.optimizers.SGD(RATE), "loss": nothing, "jit_compile": False, **compiled})
    return model


def of_case(case, **options):
    return compile_(keras.Sequential([keras.Input(case.input_shape), case.layer(**options)]))


def evaluate(model, x, y=None):
    return model.evaluate(x, y, verbose=0)


def seeded(seed):
    return bl.MeanFieldNormal(keras.initializers.GlorotUniform(seed=seed))


def scaled_kl(layer):
    """KL(q || N(0, 1)) / num_examples, from the layer's own distributions in float64."""
    total = 0.0
    for name, q in layer.posterior.model.items():
        loc, scale = (np.asarray(p, float) for p in (q.mean(), q.stddev()))
        assert name in ("kernel", "bias")
        total += np.sum(0.5 * (scale**2 + loc**2 - 1.0) - np.log(scale))
    return total / NUM_EXAMPLES


# Arguments

N = tfd.Normal
NUMBER = "an integer of at least 1"
BAD_ARGUMENTS = {
    "num_examples_0": ({"num_examples": 0}, ValueError, "num_examples", NUMBER, "0"),
    "num_examples_negative": ({"num_examples": -5}, ValueError, "num_examples", NUMBER, "-5"),
    "num_examples_float": ({"num_examples": 100.0}, ValueError, "num_examples", NUMBER, "100.0"),
    "num_examples_bool": ({"num_examples": True}, ValueError, "num_examples", NUMBER, "True"),
    "num_examples_string": ({"num_examples": "100"}, ValueError, "num_examples", NUMBER, "'100'"),
    "num_examples_nan": ({"num_examples": float("nan")}, ValueError, "num_examples", NUMBER, "nan"),
    "num_examples_list": ({"num_examples": [100]}, ValueError, "num_examples", NUMBER, "100"),
    "kl": ({"kl": "exact"}, ValueError, "kl", "one of closed_form, sampled", "'exact'"),
    "kl_bool": ({"kl": True}, ValueError, "kl", "one of closed_form, sampled", "True"),
    "kl_unknown": ({"kl": "closed_form", "prior": bl.scale_mixture()}, ValueError, "kl", '"sampled" or None', "closed"),
    "bias": ({"bias": True}, ValueError, "bias", "one of bayesian, deterministic", "True"),
    "bias_false": ({"bias": False}, ValueError, "bias", "one of bayesian, deterministic", "False"),
    "use_bias": ({"use_bias": False}, (TypeError, ValueError), "use_bias", None, None),
    "activation": ({"activation": "rellu"}, ValueError, "activation", "a Keras activation", "'rellu'"),
    "seed": ({"seed": -1}, ValueError, "seed", "an integer of at least 0", "-1"),
    "seed_float": ({"seed": 1.0}, ValueError, "seed", "an integer of at least 0", "1.0"),
    "posterior": ({"posterior": "normal"}, TypeError, "posterior", "a MeanFieldNormal or None", "'normal'"),
    "posterior_tfd": ({"posterior": N(0.0, 1.0)}, TypeError, "posterior", "a MeanFieldNormal or None", "Normal"),
    "kernel_initializer": ({"kernel_initializer": "zeros"}, (TypeError, ValueError), "kernel_initializer", None, None),
    "kernel_regularizer": ({"kernel_regularizer": "l2"}, (TypeError, ValueError), "kernel_regularizer", None, None),
    "prior_string": ({"prior": "normal"}, TypeError, "prior", "a tfd.Distribution", "'normal'"),
    "prior_number": ({"prior": 1.0}, TypeError, "prior", "a tfd.Distribution", "1.0"),
    "prior_class": ({"prior": tfd.Normal}, TypeError, "prior", "a tfd.Distribution", "Normal"),
    "bias_prior": ({"bias_prior": "normal"}, TypeError, "bias_prior", "a tfd.Distribution", "'normal'"),
    "prior_negative": ({"prior": N(0.0, -1.0)}, ValueError, "prior", "valid parameters of Normal", "-1"),
    "prior_width": ({"prior": N(np.float64(0), np.float64(1))}, ValueError, "prior", "float32", "float64"),
    "prior_width_of_the_layer": ({"prior": N(0.0, 1.0), "dtype": "float64"}, ValueError, "prior", "float64", "float32"),
    "prior_variable": ({"prior": N(tf.Variable(0.0), 1.0)}, ValueError, "prior", "of constants", "Variable"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments_are_refused_when_the_layer_is_made(name):
    options, error, argument, expected, got = BAD_ARGUMENTS[name]
    for case in (CASES["DenseFlipout"], CASES["Conv2DLocalReparameterization"]):
        if expected is None:  # Keras refuses it
            with pytest.raises(error, match=argument):
                case.layer(**options)
        else:
            with refused(error, f"^{argument}", expected, got):
                case.layer(**options)


BAD_SIZES = {
    "units_0": ("DenseFlipout", {"units": 0}, "units", NUMBER, "0"),
    "units_float": ("DenseFlipout", {"units": 3.0}, "units", NUMBER, "3.0"),
    "units_none": ("DenseFlipout", {"units": None}, "units", NUMBER, "None"),
    "filters": ("Conv1DFlipout", {"filters": -1}, "filters", NUMBER, "-1"),
    "kernel_size": ("Conv1DFlipout", {"kernel_size": 0}, "kernel_size", NUMBER, "0"),
    "kernel_size_float": ("Conv2DFlipout", {"kernel_size": 2.0}, "kernel_size", "integer", "2.0"),
    "kernel_size_string": ("Conv2DFlipout", {"kernel_size": "3"}, "kernel_size", "integer", "3"),
    "kernel_size_none": ("Conv2DFlipout", {"kernel_size": None}, "kernel_size", "integer", "None"),
    "too_many": ("Conv2DFlipout", {"kernel_size": (2, 2, 2)}, "kernel_size", "an integer or 2 of them", "2, 2, 2"),
    "too_few": ("Conv2DFlipout", {"kernel_size": (2,)}, "kernel_size", "an integer or 2 of them", "2"),
    "strides": ("Conv1DFlipout", {"strides": 0}, "strides", NUMBER, "0"),
    "dilation": ("Conv2DFlipout", {"dilation_rate": (1, 0)}, "dilation_rate", NUMBER, "0"),
    "both": ("Conv1DFlipout", {"strides": 2, "dilation_rate": 2}, "strides", "1 along all axes", "2"),
    "padding": ("Conv1DFlipout", {"padding": "full"}, "padding", "one of valid, same, causal", "'full'"),
    "padding_2d": ("Conv2DFlipout", {"padding": "causal"}, "padding", "one of valid, same", "'causal'"),
    "padding_none": ("Conv2DFlipout", {"padding": None}, "padding", "one of valid, same", "None"),
}


@pytest.mark.parametrize("name", BAD_SIZES)
def test_bad_sizes_are_refused(name):
    kind, options, argument, expected, got = BAD_SIZES[name]
    with refused((TypeError, ValueError), f"^{argument}", expected, got):
        CASES[kind].layer(**options)


PART_OF_THE_LINE = {
    "gamma": lambda: tfd.Gamma(2.0, 1.0),
    "gamma_1": lambda: tfd.Gamma(1.0, 1.0),  # its log_prob(-1) is a number unless TFP is asked to check
    "exponential": lambda: tfd.Exponential(1.0),
    "half_normal": lambda: tfd.HalfNormal(1.0),
    "log_normal": lambda: tfd.LogNormal(0.0, 1.0),
    "beta": lambda: tfd.Beta(1.0, 1.0),
    "uniform": lambda: tfd.Uniform(-1.0, 1.0),
    "wide_uniform": lambda: tfd.Uniform(-5.0, 5.0),
    "truncated": lambda: tfd.TruncatedNormal(0.0, 1.0, -2.0, 2.0),
    "circle": lambda: tfd.VonMises(0.0, 1.0),
    "point": lambda: tfd.Deterministic(0.0),
    "no_width": lambda: tfd.Normal(0.0, np.inf),
    "nan": lambda: tfd.Normal(np.nan, 1.0),
    "half_of_an_array": lambda: tfd.HalfNormal(np.ones([4, 3], np.float32)),
    "mixture_with_a_half": lambda: tfd.MixtureSameFamily(tfd.Categorical([0.0, 0.0]), tfd.Gamma([1.0, 1.0], 1.0)),
    "bernoulli": lambda: tfd.Bernoulli(0.5),
    "poisson": lambda: tfd.Poisson(1.0),
    "categorical": lambda: tfd.Categorical([0.0, 0.0]),
}


@pytest.mark.parametrize("name", PART_OF_THE_LINE)
def test_priors_that_exclude_weights_are_refused(name):
    for argument in ("prior", "bias_prior"):
        if argument == "prior" or name != "half_of_an_array":
            with refused(ValueError, f"^{argument}", "", ""):
                CASES["DenseFlipout"].layer(**{argument: PART_OF_THE_LINE[name]()})


ALL_OF_THE_LINE = {
    "student": lambda: tfd.StudentT(3.0, 0.0, 1.0),
    "cauchy": lambda: tfd.Cauchy(0.0, 1.0),
    "logistic": lambda: tfd.Logistic(0.0, 1.0),
    "gumbel": lambda: tfd.Gumbel(0.0, 1.0),
    "mixture": lambda: tfd.Mixture(tfd.Categorical([0.0, 0.0]), [N(0.0, 1.0), tfd.Laplace(0.0, 0.1)]),
    "narrow": lambda: N(0.0, 1e-3),
    "narrow_mixture": lambda: bl.scale_mixture(0.5, (1.0, 1e-3)),
    "shifted": lambda: tfd.TransformedDistribution(N(0.0, 1.0), tfb.Shift(1.0)),
    "sampled": lambda: tfd.Sample(N(0.0, 1.0), [4, 3]),
}


@pytest.mark.parametrize("name", ALL_OF_THE_LINE)
def test_other_priors_are_welcome(name):
    layer = CASES["DenseFlipout"].layer(prior=ALL_OF_THE_LINE[name](), bias="deterministic")
    layer(X)
    estimate, charged = layer.kl_divergence(seed=0, num_samples=200), layer.losses[0]
    assert np.isfinite([estimate, charged]).all()
    if layer.kl == "sampled":
        w = layer.posterior.sample(4000, seed=1)
        ratios = layer.posterior.log_prob(w) - layer.prior.log_prob(w)
        error = np.std(ratios) * np.sqrt(1 / 200 + 1 / 4000)
        assert abs(float(estimate) - np.mean(ratios)) < 4.5 * error


UNLIKE_SHAPES = {
    "wider": ({"prior": N(tf.zeros([4, 2]), 1.0)}, "prior", r"\[4, 3\]", r"\[4, 2\]"),
    "one_row": ({"prior": N(tf.zeros([1, 3]), 1.0)}, "prior", r"\[4, 3\]", r"\[1, 3\]"),
    "a_vector": ({"prior": N(tf.zeros([3]), 1.0)}, "prior", r"\[4, 3\]", r"\[3\]"),
    "one": ({"prior": N(tf.zeros([1]), 1.0)}, "prior", r"\[4, 3\]", r"\[1\]"),
    "event": ({"prior": tfd.MultivariateNormalDiag(tf.zeros(4))}, "prior", r"\[4, 3\]", r"\[4\]"),
    "matrix": ({"prior": tfd.WishartTriL(3.0, tf.eye(2))}, "prior", "", ""),
    "joint": ({"prior": tfd.JointDistributionSequential([N(0.0, 1.0)])}, "prior", "", ""),
    "not_for_the_bias": ({"prior": N(tf.zeros([4, 3]), 1.0)}, "bias_prior", r"\[3\]", r"\[4, 3\]"),
    "bias": ({"bias_prior": N(tf.zeros([2]), 1.0)}, "bias_prior", r"\[3\]", r"\[2\]"),
}


@pytest.mark.parametrize("name", UNLIKE_SHAPES)
def test_priors_and_posteriors_of_unlike_shapes_are_refused(name):
    options, argument, expected, got = UNLIKE_SHAPES[name]
    with refused((TypeError, ValueError), argument, expected, got):
        CASES["DenseFlipout"].layer(**options)(X)


POSITIVE = "a positive number"
BAD_STARTS = {
    "loc": ({"loc_initializer": "glorot"}, "loc_initializer", "a Keras initializer", "'glorot'"),
    "loc_number": ({"loc_initializer": 0.5}, "loc_initializer", "a Keras initializer", "0.5"),
    "scale": ({"scale_initializer": "tiny"}, "scale_initializer", "a Keras initializer", "'tiny'"),
    "scale_0": ({"scale_initializer": 0.0}, "scale_initializer", POSITIVE, "0.0"),
    "scale_negative": ({"scale_initializer": -0.1}, "scale_initializer", POSITIVE, "-0.1"),
    "scale_nan": ({"scale_initializer": float("nan")}, "scale_initializer", POSITIVE, "nan"),
    "scale_infinite": ({"scale_initializer": float("inf")}, "scale_initializer", POSITIVE, "inf"),
    "scale_bool": ({"scale_initializer": True}, "scale_initializer", POSITIVE, "True"),
}


@pytest.mark.parametrize("name", BAD_STARTS)
def test_bad_starts_are_refused(name):
    options, *message = BAD_STARTS[name]
    with refused((TypeError, ValueError), *message):
        bl.MeanFieldNormal(**options)


@pytest.mark.parametrize("initializer", ["zeros", keras.initializers.Constant(-1.0), "glorot_uniform"])
def test_scales_that_are_not_positive_are_refused_when_they_are_known(initializer):
    with refused(ValueError, "scale_initializer", "positive", ""):
        CASES["DenseFlipout"].layer(posterior=bl.MeanFieldNormal(scale_initializer=initializer))(X)


@pytest.mark.parametrize("gain", [0.0, -1.0, "a", float("nan"), None, True])
def test_bad_gains(gain):
    with refused(ValueError, "^gain", POSITIVE, ""):
        bl.FanInConstant(gain)


@pytest.mark.parametrize(
    "name", ["glorot_uniform", "he_normal", "orthogonal", "zeros", keras.initializers.Constant(2.0)]
)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_starts_are_as_asked(case, name):
    layer = case.layer(posterior=bl.MeanFieldNormal(name, 0.03))
    layer.build((None, *case.input_shape))
    q = layer.posterior
    for part, scale in q.stddev().items():
        np.testing.assert_allclose(scale, np.full(scale.shape, 0.03), rtol=1e-5)
        assert part == "kernel" or not np.any(q.mean()["bias"])
    assert tuple(q.event_shape["kernel"]) == case.kernel_shape()
    default = case.layer()
    default.build((None, *case.input_shape))
    fan_in = np.prod(case.kernel_shape()[:-1])
    for part, size in (("kernel", fan_in), ("bias", 1)):
        scale = default.posterior.stddev()[part]
        np.testing.assert_allclose(scale, np.full(scale.shape, 0.1 / size**0.5), rtol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.5, "a", float("nan"), None])
def test_bad_mixture_weights(weight):
    with refused(ValueError, "^weight", r"in \(0, 1\)", ""):
        bl.scale_mixture(weight)


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, 0.5, 0.1), 1.0, (1.0, float("nan"))])
def test_bad_mixture_scales(scales):
    with refused(ValueError, "^scales", "", ""):
        bl.scale_mixture(0.5, scales)


# Training without num_examples


def without(**compiled):
    return compile_(keras.Sequential([keras.Input([4]), bl.DenseFlipout(1, seed=0)]), loss="mse", **compiled)


class WithoutTraining(keras.Model):
    """Keras does not say in its call that it trains."""

    def __init__(self):
        super().__init__()
        self.layer = bl.DenseFlipout(1, seed=0)

    def call(self, x):
        return self.layer(x)


TRAINING = {
    "fit": lambda: without().fit(X, Y, verbose=0),
    "eager": lambda: without(run_eagerly=True).fit(X, Y, verbose=0),
    "train_on_batch": lambda: without().train_on_batch(X, Y),
    "call": lambda: without()(X, training=True),
    "subclassed": lambda: compile_(WithoutTraining(), loss="mse").fit(X, Y, verbose=0),
    "loop": lambda: loop(without(), training=True),
    "loop_that_does_not_say": lambda: loop(without()),
}


def loop(model, **how):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(X, **how) - Y) ** 2)
    return tape.gradient(loss, model.trainable_weights)


@pytest.mark.parametrize("way", TRAINING)
def test_training_needs_the_number_of_examples(way):
    with refused(ValueError, "num_examples", r"DenseFlipout\(..., num_examples=", "None"):
        TRAINING[way]()


def test_inference_needs_none():
    model = without()
    assert np.isfinite(model.predict(X, verbose=0)).all()
    assert np.isfinite(evaluate(model, X, Y))
    assert np.isfinite(model(X)).all()
    assert model.losses == []
    assert float(bl.kl_divergence(model)) > 0.0
    with tf.GradientTape(watch_accessed_variables=False) as tape:  # a derivative in the inputs is inference, too
        x = tf.constant(X)
        tape.watch(x)
        y = model(x)
    assert np.isfinite(tape.gradient(y, x)).all()


# Inputs


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_integers_are_refused(case, dtype):
    x = np.abs(case.inputs()).astype(dtype)
    layer = case.layer()
    for call in (layer, tf.function(layer)):
        with refused(TypeError, "inputs", "floating-point numbers", dtype):
            call(tf.constant(x))
    with refused(TypeError, "inputs", "floating-point numbers", dtype):
        case.layer()(keras.Input(case.input_shape, dtype=dtype))
    built = case.layer()
    built(case.inputs())
    with refused(TypeError, "inputs", "floating-point numbers", dtype):
        built(x)


class JustTheLayer(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = CASES["DenseFlipout"].layer()

    def call(self, x, training=False):
        return self.layer(x, training=training)


@pytest.mark.parametrize("stream", [False, True])
def test_integers_are_refused_in_fit(stream):
    x = np.ones([8, 4], np.int32)
    data = (tf.data.Dataset.from_tensor_slices((x, Y)).batch(4),) if stream else (x, Y)
    with refused(TypeError, "inputs", "floating-point numbers", "int32"):
        compile_(JustTheLayer()).fit(*data, verbose=0)


def test_a_model_with_a_float_input_converts_integers_as_keras_does():
    """`keras.Input` is of floats: the layer sees the same numbers."""
    model, x = of_case(CASES["DenseFlipout"]), np.arange(32).reshape(8, 4)
    with bl.fixed_draw(model, seed=0):
        np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x.astype(np.float32), verbose=0))


@pytest.mark.parametrize("bad", [np.full([3, 4], "a"), np.ones([3, 4], complex)], ids=["strings", "complex"])
def test_other_inputs_are_refused(bad):
    with refused(TypeError, "inputs", "floating-point numbers", ""):
        CASES["DenseFlipout"].layer()(bad)


WRONG_RANKS = {"Dense": [(4,)], "Conv1D": [(5,), (5, 2), (5, 2, 2, 2)], "Conv2D": [(5, 2, 2), (5, 2)]}


@pytest.mark.parametrize("name", CASES)
def test_inputs_of_the_wrong_rank_are_refused(name):
    linear = name.split("D")[0] + "D" if name.startswith("Conv") else "Dense"
    for shape in WRONG_RANKS[linear]:
        with refused(ValueError, "inputs", r"shape \[batch, ", r"shape \["):
            CASES[name].layer()(np.ones(shape, np.float32))
    unknown = (None,) * len(CASES[name].input_shape)
    with refused(ValueError, "inputs", "known number", "None"):
        CASES[name].layer()(keras.Input(unknown))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_inputs_of_another_width_are_refused_once_it_is_built(case):
    layer = case.layer()
    layer(case.inputs())
    for x in (case.inputs()[..., :1], case.inputs()[..., 0]):
        with pytest.raises(ValueError, match=r"incompatible with the layer: expected"):
            layer(x)


@pytest.mark.parametrize("name", CONV)
def test_a_kernel_longer_than_the_input_is_refused(name):
    with refused(ValueError, "inputs", "at least 9 positions", r"shape \["):
        CASES[name].layer(kernel_size=9)(CASES[name].inputs())


def test_nothing_of_a_layer_that_is_not_built():
    layer = CASES["DenseFlipout"].layer()
    for ask in (lambda: layer.posterior, lambda: layer.prior, layer.kl_divergence):
        with refused(ValueError, "the layer", "a call or build", "not built"):
            ask()
    unbuilt = keras.Sequential([CASES["DenseFlipout"].layer()])
    with refused(ValueError, "the layer", "a call or build", "not built"):
        bl.kl_divergence(unbuilt)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_not_hidden(bad):
    """As in Keras, layers do not look for it; but it must not become a number."""
    x = X.copy()
    x[3, 1] = bad
    for case in DENSE.values():
        y = np.asarray(case.layer()(x))
        assert not np.isfinite(y[3]).any()
        assert np.isfinite(y[[0, 1, 2, 4, 5, 6, 7]]).all()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_zeros_have_finite_gradients(case):
    """The root of a variance of zero has no derivative."""
    layer = case.layer(bias=None)
    x = np.zeros([3, *case.input_shape], np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2) + tf.reduce_sum(layer(x))
    for gradient in tape.gradient(loss, layer.trainable_variables):
        assert np.isfinite(gradient).all()
    assert not np.asarray(layer(x)).any() or "Local" in type(layer).__name__
    assert np.abs(layer(x)).max() < 1e-15


def test_models_that_are_none():
    for bad in (None, "model", keras.layers.Dense, [CASES["DenseFlipout"].layer()]):
        with refused(TypeError, "model", "a Keras model or layer", ""):
            bl.layers_in(bad)
        with refused(TypeError, "model", "a Keras model or layer", ""):
            bl.kl_divergence(bad)
    ordinary = keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
    assert bl.layers_in(ordinary) == []
    with refused(ValueError, "model", "a model with Bayesian layers", "which has none"):
        bl.kl_divergence(ordinary)


@pytest.mark.parametrize("num_samples", [0, -1, 2.5, True, None])
def test_numbers_of_samples(num_samples):
    layer = CASES["DenseFlipout"].layer()
    layer(X)
    with refused(ValueError, "num_samples", NUMBER, ""):
        layer.kl_divergence(num_samples=num_samples)


# Widths of numbers


POLICIES = ("mixed_float16", "mixed_bfloat16", "float64")
WIDTHS = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16", "float64": "float64"}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_other_widths(case, policy):
    """The loss is the KL divergence in the width of the variables, and one step follows its gradient."""
    inputs = "float64" if policy == "float64" else "float32"
    layer = case.layer(dtype=policy)
    model = compile_(keras.Sequential([keras.Input(case.input_shape, dtype=inputs), layer]))
    x = case.inputs(8, dtype=inputs)
    assert keras.backend.standardize_dtype(model(x).dtype) == WIDTHS[policy]
    assert {v.dtype for v in layer.trainable_variables} == {inputs}
    exact = scaled_kl(layer)
    np.testing.assert_allclose(evaluate(model, x, Y), exact, rtol=1e-5)
    rho = layer.trainable_variables[1].numpy().astype(float)
    scale = np.logaddexp(0.0, rho)
    model.train_on_batch(x, Y)
    expected = rho - RATE / NUM_EXAMPLES * (scale - 1.0 / scale) * special.expit(rho)
    np.testing.assert_allclose(layer.trainable_variables[1], expected, rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_mixed_widths_compute_what_float32_does(case, policy):
    layer, plain = (case.layer(posterior=seeded(1), **dtype) for dtype in ({"dtype": policy}, {}))
    x = case.inputs(8)
    found, wanted = np.asarray(tf.cast(layer(x), tf.float32)), np.asarray(plain(x))
    precision = {"mixed_float16": 2.0**-11, "mixed_bfloat16": 2.0**-8}[policy]
    np.testing.assert_allclose(found, wanted, atol=20 * precision * np.abs(wanted).max())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_the_policy_of_keras_is_followed(policy):
    before, width = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx("float64" if policy == "float64" else width)
    try:
        layers = [
            bl.DenseFlipout(8, "tanh", num_examples=8, seed=1),
            bl.DenseLocalReparameterization(1, num_examples=8),
        ]
        model = keras.Sequential([keras.Input([4]), *layers])
        loss = bl.NegativeLogLikelihood(bl.likelihoods.Normal(0.5))
        model.compile(keras.optimizers.Adam(0.1), loss, jit_compile=False)
        losses = model.fit(X, Y, epochs=20, verbose=0).history["loss"]
        mean = bl.predict(model, X, num_samples=10, seed=0).mean
    finally:
        keras.config.set_dtype_policy(before)
        keras.config.set_floatx(width)
    assert model.layers[0].compute_dtype == WIDTHS[policy]
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.5
    assert np.isfinite(mean).all()


# Shapes that are not known, and none


def test_lengths_that_vary():
    layers = [bl.Conv1DFlipout(3, 2, seed=1), bl.Conv1DLocalReparameterization(2, 3, padding="causal", seed=2)]
    layers += [bl.Conv1DReparameterization(2, 2, padding="same", strides=2, seed=3)]
    for layer in layers:
        layer.num_examples = NUM_EXAMPLES
    model = compile_(keras.Sequential([keras.Input([None, 2]), *layers, keras.layers.GlobalAveragePooling1D()]))
    assert model.output_shape == (None, 2)
    assert model.layers[0].output.shape == (None, None, 3)
    for length in (4, 9):
        x = RNG.standard_normal([6, length, 2]).astype(np.float32)
        assert model.predict(x, verbose=0).shape == (6, 2)
        model.train_on_batch(x, Y[:6])
        np.testing.assert_allclose(evaluate(model, x, Y[:6]), bl.kl_divergence(model) / NUM_EXAMPLES, rtol=1e-5)


@pytest.mark.parametrize("case", DENSE.values(), ids=DENSE)
def test_a_dataset_that_does_not_tell_its_batch(case):
    x = case.inputs(8)
    y = np.zeros([8, 1], np.float32)
    signature = (tf.TensorSpec((None, *case.input_shape)), tf.TensorSpec((None, 1)))
    data = tf.data.Dataset.from_generator(lambda: iter([(x[:5], y[:5]), (x[5:], y[5:])]), output_signature=signature)
    model = of_case(case)
    np.testing.assert_allclose(evaluate(model, data), scaled_kl(model.layers[0]), rtol=1e-5)
    assert model.predict(data, verbose=0).shape == (8, *case.output_shape)


@pytest.mark.parametrize("case", DENSE.values(), ids=DENSE)
def test_an_empty_batch_gives_an_empty_output(case):
    layer = case.layer()
    x = case.inputs(2)[:0]
    for call in (layer, tf.function(layer)):
        assert tuple(call(tf.constant(x)).shape) == (0, *case.output_shape)
    np.testing.assert_allclose(layer.kl_divergence() / NUM_EXAMPLES, scaled_kl(layer), rtol=1e-5)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_shapes_are_told_before_a_call(case):
    layer = case.layer()
    assert layer.compute_output_shape((None, *case.input_shape)) == (None, *case.output_shape)
    symbolic = case.layer()(keras.Input(case.input_shape))
    assert symbolic.shape == (None, *case.output_shape)
    assert case.kernel_shape() == tuple(case.layer().kernel_shape((None, *case.input_shape)))


def test_masks_go_through_a_dense_layer():
    x = np.array([[1, 2, 0], [3, 0, 0]])
    sure = bl.MeanFieldNormal(scale_initializer=1e-6)
    layers = keras.layers
    hidden = bl.DenseFlipout(4, posterior=sure, seed=1)
    model = keras.Sequential([keras.Input([3]), layers.Embedding(5, 4, mask_zero=True), hidden, layers.LSTM(2)])
    longer = np.concatenate([x, np.zeros([2, 0], int)], axis=1)
    short = keras.Sequential([keras.Input([1]), *model.layers])
    np.testing.assert_allclose(model.predict(longer, verbose=0)[1], short.predict(x[1:, :1], verbose=0)[0], atol=1e-4)


@pytest.mark.parametrize("name", ["Conv1DFlipout", "Conv1DLocalReparameterization", "Conv1DReparameterization"])
def test_masks_end_at_a_convolution_as_in_keras(name):
    """The outputs have other positions than the mask."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input([5]),
            layers.Embedding(6, 2, mask_zero=True),
            CASES[name].layer(),
            layers.GlobalAveragePooling1D(),
        ]
    )
    assert model.predict(np.array([[1, 2, 3, 0, 0]]), verbose=0).shape == (1, 3)


@pytest.mark.parametrize("bias", [None, "deterministic"])
def test_a_prior_for_no_random_bias_is_refused(bias):
    with pytest.raises(ValueError, match="bias_prior: expected None"):
        bl.DenseFlipout(1, bias=bias, bias_prior=bl.scale_mixture())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_variables_of_half_width_are_refused(dtype):
    with pytest.raises(ValueError, match=f"dtype: expected float32, float64, or a mixed policy.*; got {dtype}"):
        bl.DenseFlipout(1, dtype=dtype)


def test_a_dense_layer_takes_sequences_after_vectors():
    layer = bl.DenseFlipout(3, num_examples=9)
    assert layer(np.ones([2, 4], np.float32)).shape == (2, 3)
    assert layer(np.ones([2, 5, 4], np.float32)).shape == (2, 5, 3)
