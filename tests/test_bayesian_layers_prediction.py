"""What a Bayesian network predicts: draws of functions, their mean and uncertainty, and the density of targets."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from bayesian_cases import CASES, NUM_EXAMPLES
from calibration import assert_mean
from scipy import special, stats
from tensorflow_probability import distributions as tfd

from companion import bayesian_layers as bl

RNG = np.random.default_rng(0)
X = RNG.standard_normal([11, 4]).astype(np.float32)
NORMAL = bl.likelihoods.Normal(0.5)
DENSE = {name: case for name, case in CASES.items() if name.startswith("Dense")}


def refused(error, argument, expected, got=""):
    """A context in which an error with the three parts of a message has to come."""
    return pytest.raises(error, match=rf"{argument}[\s\S]*: expected [\s\S]*{expected}[\s\S]*; got [\s\S]*{got}")


def model_of(case, **options):
    return keras.Sequential([keras.Input(case.input_shape), case.layer(**options)])


def network(units=2, **compiled):
    """The three ways in which noise enters, one after the other."""
    first, second, third = (bl.DenseFlipout, bl.DenseLocalReparameterization, bl.DenseReparameterization)
    layers = [first(6, "tanh", seed=1, num_examples=9), second(5, "tanh", seed=2, num_examples=9), third(units, seed=3)]
    model = keras.Sequential([keras.Input([4]), *layers])
    if compiled:
        model.compile(**{"optimizer": "sgd", "jit_compile": False, **compiled})
    return model


# Draws are functions


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_draw_is_one_function(case):
    """The same input has the same output wherever it stands, in whatever batch; other draws are other functions."""
    model, x = model_of(case), case.inputs(7)
    twice = np.concatenate([x, x[::-1]])
    outputs = bl.predict(model, twice, num_samples=4, seed=1, likelihood=NORMAL, batch_size=5).outputs.numpy()
    assert outputs.shape == (4, 14, *case.output_shape)
    np.testing.assert_allclose(outputs[:, :7], outputs[:, :6:-1], rtol=1e-4, atol=1e-5)
    assert len(np.unique(np.round(outputs[:, 0].reshape(4, -1)[:, 0], 5))) == 4


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_draws_are_those_of_the_posterior(case):
    """Means and variances of outputs are those of a linear layer, to chance: 1e-4 false alarms for the nine."""
    model, x = model_of(case, posterior=bl.MeanFieldNormal(scale_initializer=0.3)), case.inputs(1)
    layer = model.layers[0]
    outputs = bl.predict(model, x, num_samples=1500, seed=2, likelihood=NORMAL).outputs.numpy()[:, 0].astype(float)
    ordinary = case.ordinary(**case.arguments)
    ordinary.build(x.shape)
    kernel, bias = (layer.posterior.mean()[part] for part in ("kernel", "bias"))
    ordinary.set_weights([kernel, bias])
    mean = ordinary(x).numpy()[0].astype(float)
    ordinary.set_weights([np.full(kernel.shape, 0.09), np.full(bias.shape, 0.09)])
    variance = ordinary(x**2).numpy()[0].astype(float)
    assert_mean(outputs, mean, shared_among=9, rounding=1e-5)
    assert_mean((outputs - mean) ** 2, variance, shared_among=9, rounding=1e-5)
    with pytest.raises(AssertionError):
        assert_mean((outputs - mean) ** 2, 1.5 * variance, shared_among=9, rounding=1e-5)


def test_positions_of_one_example_share_the_weights_in_a_draw():
    """Also with local reparameterization, whose calls draw them apart."""
    for name in ("Conv1DLocalReparameterization", "Conv2DFlipout", "Conv1DReparameterization"):
        model = model_of(CASES[name])
        constant = np.ones((2, *CASES[name].input_shape), np.float32)
        outputs = bl.predict(model, constant, num_samples=3, seed=1, likelihood=NORMAL).outputs.numpy()
        by_position = outputs.reshape(3, -1, outputs.shape[-1])
        np.testing.assert_allclose(by_position, np.broadcast_to(by_position[:, :1], by_position.shape), rtol=1e-4)


def test_batches_do_not_matter_and_seeds_do():
    model = network()
    base = bl.predict(model, X, 5, seed=1, likelihood=NORMAL).outputs
    for size in (1, 4, 11, 1000):
        found = bl.predict(model, X, 5, seed=1, likelihood=NORMAL, batch_size=size).outputs
        np.testing.assert_allclose(found, base, rtol=1e-5, atol=1e-6)
    for seed in (2, None, None):
        assert not np.allclose(bl.predict(model, X, 5, seed=seed, likelihood=NORMAL).outputs, base)


def test_prediction_changes_nothing():
    model = network(loss=bl.NegativeLogLikelihood(NORMAL))
    before = model.get_weights()
    bl.predict(model, X, 3, seed=0)
    assert all(map(np.array_equal, before, model.get_weights()))
    assert model.predict(X, verbose=0).shape == (11, 2)


def test_weights_that_were_learnt_are_seen():
    """The traced function is kept, the weights are not."""
    model = network()
    first = bl.predict(model, X, 3, seed=0, likelihood=NORMAL).outputs
    model.set_weights([w * (w.ndim > 0) * 2 for w in model.get_weights()])
    second = bl.predict(model, X, 3, seed=0, likelihood=NORMAL).outputs
    assert not np.allclose(first, second)


def test_layers_that_were_added_are_seen():
    model = keras.Sequential([keras.Input([4]), bl.DenseFlipout(2, seed=1)])
    assert bl.predict(model, X, 3, seed=0, likelihood=NORMAL).mean.shape == (11, 2)
    model.add(bl.DenseFlipout(3, seed=2))
    assert bl.predict(model, X, 3, seed=0, likelihood=NORMAL).mean.shape == (11, 3)
    model.pop()
    assert bl.predict(model, X, 3, seed=0, likelihood=NORMAL).mean.shape == (11, 2)
    model.add(keras.layers.ReLU())  # a layer without weights
    assert np.min(bl.predict(model, X, 3, seed=0, likelihood=NORMAL).outputs) >= 0.0


def test_a_model_that_is_done_with_leaves_memory():
    model = network()
    bl.predict(model, X, 2, seed=0, likelihood=NORMAL)
    reference = weakref.ref(model.layers[0])
    del model
    gc.collect()
    assert reference() is None


def test_neighbouring_layers_have_noise_of_their_own():
    """Two layers of one seed and one shape, in one draw."""
    x = keras.Input([4])
    layers = [bl.DenseReparameterization(3, seed=1, bias=None) for _ in range(2)]
    model = keras.Model(x, keras.ops.concatenate([layer(x) for layer in layers], axis=-1))
    layers[1].set_weights(layers[0].get_weights())
    outputs = bl.predict(model, X, 2, seed=0, likelihood=NORMAL).outputs.numpy()
    assert not np.allclose(outputs[..., :3], outputs[..., 3:])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = (DENSE[name].layer(units=3) for name in list(DENSE)[:2])

    def call(self, x, training=False):
        return self.last(self.first(x, training=training), training=training)


def several_inputs():
    a, b = keras.Input([4], name="a"), keras.Input([2], name="b")
    y = bl.DenseFlipout(3, seed=1)(keras.ops.concatenate([a, b], axis=-1))
    return keras.Model({"a": a, "b": b}, y)


def test_models_of_every_form():
    assert bl.predict(Subclassed(), X, 3, seed=0, likelihood=NORMAL).mean.shape == (11, 3)
    unbuilt = keras.Sequential([bl.DenseFlipout(2, seed=1)])
    assert bl.predict(unbuilt, X, 3, seed=0, likelihood=NORMAL).mean.shape == (11, 2)
    parts = {"a": X, "b": X[:, :2]}
    assert bl.predict(several_inputs(), parts, 3, seed=0, likelihood=NORMAL, batch_size=4).mean.shape == (11, 3)
    nested = keras.Sequential([keras.Input([4]), network(), keras.layers.Dropout(0.9)])
    found = bl.predict(nested, np.concatenate([X, X]), 3, seed=0, likelihood=NORMAL).outputs.numpy()
    np.testing.assert_allclose(found[:, :11], found[:, 11:], rtol=1e-4, atol=1e-6)  # no dropout either
    for x in (X.astype(float), tf.constant(X)):
        assert bl.predict(network(), x, 2, seed=0, likelihood=NORMAL).mean.shape == (11, 2)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_other_widths(policy):
    inputs = "float64" if policy == "float64" else "float32"
    model = keras.Sequential([keras.Input([4], dtype=inputs), bl.DenseFlipout(2, seed=1, dtype=policy)])
    prediction = bl.predict(model, X.astype(inputs), 5, seed=0, likelihood=NORMAL)
    assert prediction.mean.dtype in (tf.float32, tf.float64)
    assert np.isfinite(prediction.log_prob(np.zeros([11, 2]))).all()
    mean = model.layers[0].posterior.mean()
    np.testing.assert_allclose(prediction.mean, X @ mean["kernel"].numpy() + mean["bias"], atol=0.5)


def test_integers_go_where_the_model_takes_them():
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input([3], dtype="int32"), layers.Embedding(5, 4), layers.Flatten(), bl.DenseFlipout(2, seed=1)]
    )
    prediction = bl.predict(model, np.array([[0, 1, 2], [3, 4, 0]]), 3, seed=0, likelihood="categorical")
    np.testing.assert_allclose(np.sum(prediction.mean, axis=-1), 1.0, rtol=1e-5)


# fixed_draw


def test_a_fixed_draw_is_one_function_everywhere():
    model = network(loss=bl.NegativeLogLikelihood(NORMAL))
    y = np.zeros([11, 2], np.float32)
    model.predict(X, verbose=0), model.evaluate(X, y, verbose=0)  # traced outside
    with bl.fixed_draw(model, seed=4):
        wanted = model(X).numpy()
        np.testing.assert_allclose(model.predict(X, batch_size=3, verbose=0), wanted, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(model(X[::-1])[::-1], wanted, rtol=1e-4, atol=1e-6)
        loss = model.evaluate(X, y, batch_size=4, verbose=0)
        np.testing.assert_allclose(loss, -np.mean(np.sum(stats.norm(0.0, 0.5).logpdf(wanted), -1)), rtol=1e-4)
    with bl.fixed_draw(model, seed=4):
        np.testing.assert_allclose(model(X), wanted, rtol=1e-6)
    with bl.fixed_draw(model, seed=5):
        assert not np.allclose(model(X), wanted)
        np.testing.assert_allclose(model.predict(X, verbose=0), model(X), rtol=1e-4, atol=1e-6)
    assert not np.allclose(model.predict(X, verbose=0), model.predict(X, verbose=0))
    assert not np.allclose(model(X), model(X))


def test_fixed_draws_nest_and_end_with_errors():
    model = network()
    with bl.fixed_draw(model, seed=1):
        outer = model(X).numpy()
        with bl.fixed_draw(model, seed=2):
            assert not np.allclose(model(X), outer)
        np.testing.assert_array_equal(model(X), outer)
        with pytest.raises(KeyError), bl.fixed_draw(model, seed=3):
            raise KeyError
        np.testing.assert_array_equal(model(X), outer)
    assert not np.allclose(model(X), outer)


def test_no_training_inside():
    model = network(loss=bl.NegativeLogLikelihood(NORMAL))
    y = np.zeros([11, 2], np.float32)
    for layer in bl.layers_in(model):
        layer.num_examples = 9
    model.fit(X, y, verbose=0)  # so that the step is traced
    before = model.get_weights()
    with bl.fixed_draw(model, seed=1):
        for train in (lambda: model(X, training=True), lambda: model.fit(X, y, verbose=0)):
            with refused(ValueError, "training", "False inside fixed_draw", "True"):
                train()
    assert all(map(np.array_equal, before, model.get_weights()))


def test_a_loss_compiled_inside_a_fixed_draw_stays():
    model, y = network(loss="mse"), np.full([11, 2], 10.0, np.float32)
    model.evaluate(X, y, verbose=0)
    with bl.fixed_draw(model, seed=1):
        model.compile("sgd", "mae", jit_compile=False)
        model.evaluate(X, y, verbose=0)
    assert model.evaluate(X, y, verbose=0) > 5.0  # not the function of the old loss, whose metric is empty


def test_weights_and_masks_of_parts_of_an_example_are_refused():
    """The likelihood sums over positions, so one weight for each of them has nothing to weigh."""
    loss, y, outputs = bl.NegativeLogLikelihood(NORMAL), np.zeros([5, 3], np.float32), tf.ones([5, 3])
    assert float(loss(y, outputs, sample_weight=np.ones([5, 1]))) == pytest.approx(float(loss(y, outputs)))
    with refused(ValueError, "sample_weight", "one weight for each example", ""):
        loss(y, outputs, sample_weight=np.ones([5, 3]))
    tokens = keras.Input([3])
    x = keras.layers.Embedding(6, 2, mask_zero=True)(tokens)
    model = keras.Model(tokens, bl.DenseFlipout(1, num_examples=9)(x))
    model.compile("sgd", loss, jit_compile=False)
    with refused(ValueError, "mask", "one weight for each example", ""):
        model.evaluate(np.zeros([5, 3]), np.zeros([5, 3, 1]), verbose=0)


def test_classes_that_are_masked_out():
    """A logit of minus infinity is a class of probability zero, not NaN."""
    loss, logits = bl.NegativeLogLikelihood("categorical"), tf.Variable([[0.0, -np.inf, 1.0]])
    with tf.GradientTape() as tape:
        value = loss([0], logits)
    np.testing.assert_allclose(value, np.log1p(np.e), rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(value, logits), [[-np.e / (1 + np.e), 0.0, np.e / (1 + np.e)]], rtol=1e-5)


def test_targets_of_unknown_rank():
    data = tf.data.Dataset.from_tensor_slices((X, np.ones([11, 2], np.float32))).batch(4)
    unknown = data.map(lambda x, y: (x, tf.numpy_function(lambda a: a, [y], tf.float32)))
    model = network(loss=bl.NegativeLogLikelihood(NORMAL))
    values = []
    for batches in (data, unknown):
        for layer in bl.layers_in(model):
            layer.calls.assign(0)
        values.append(model.evaluate(batches, verbose=0))
    assert values[0] == values[1]


def test_training_after_a_fixed_draw_goes_on():
    """What was traced for training before is not disturbed."""
    models = [network(loss="mse") for _ in range(2)]
    for model in models:
        model.layers[-1].num_examples = 9
    models[1].set_weights(models[0].get_weights())
    y = np.zeros([11, 2], np.float32)
    for place, model in enumerate(models):
        model.fit(X, y, verbose=0, shuffle=False)
        if place:
            with bl.fixed_draw(model, seed=1):
                model.predict(X, verbose=0)
        model.fit(X, y, verbose=0, shuffle=False)
    assert all(map(np.array_equal, models[0].get_weights(), models[1].get_weights()))


# Numbers by hand


def softmax_entropies(logits):
    p = special.softmax(np.asarray(logits, float), axis=-1)
    mean = p.mean(axis=0)
    total = -np.sum(special.xlogy(mean, mean), -1)
    aleatoric = np.mean(-np.sum(special.xlogy(p, p), -1), axis=0)
    return mean, total, aleatoric


OUTPUTS = 2.0 * RNG.standard_normal([6, 5, 3]).astype(np.float32)
LABELS = np.array([0, 2, 1, 1, 0])


def test_categorical():
    prediction = bl.Prediction(OUTPUTS, "categorical")
    mean, total, aleatoric = softmax_entropies(OUTPUTS)
    np.testing.assert_allclose(prediction.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(prediction.samples, special.softmax(OUTPUTS, -1), rtol=1e-5)
    np.testing.assert_allclose(prediction.total, total, rtol=1e-5)
    np.testing.assert_allclose(prediction.aleatoric, aleatoric, rtol=1e-5)
    np.testing.assert_allclose(prediction.epistemic, total - aleatoric, rtol=1e-3, atol=1e-6)
    wanted = np.log(mean[np.arange(5), LABELS])
    for y in (LABELS, LABELS.astype(np.float32), LABELS[:, None], LABELS.tolist(), LABELS.astype(np.uint8)):
        np.testing.assert_allclose(prediction.log_prob(y), wanted, rtol=1e-5)


def test_bernoulli():
    prediction = bl.Prediction(OUTPUTS, "bernoulli")
    p = special.expit(OUTPUTS.astype(float))
    two = np.stack([np.zeros_like(OUTPUTS), OUTPUTS], axis=-1)
    mean, total, aleatoric = softmax_entropies(two)
    np.testing.assert_allclose(prediction.mean, p.mean(0), rtol=1e-5)
    np.testing.assert_allclose(prediction.mean, mean[..., 1], rtol=1e-5)
    np.testing.assert_allclose(prediction.total, total, rtol=1e-5)
    np.testing.assert_allclose(prediction.aleatoric, aleatoric, rtol=1e-5)
    y = (RNG.random([5, 3]) < 0.5).astype(int)
    wanted = special.logsumexp(np.sum(stats.bernoulli.logpmf(y, p), -1), axis=0) - np.log(6)
    for form in (y, y.astype(bool), y.astype(float)):
        np.testing.assert_allclose(prediction.log_prob(form), wanted, rtol=1e-5)


@pytest.mark.parametrize("event", [(), (1,), (3,), (2, 3)])
def test_normal(event):
    outputs = RNG.standard_normal([6, 5, *event]).astype(np.float32)
    y = RNG.standard_normal([5, *event])
    prediction = bl.Prediction(outputs, NORMAL)
    means = outputs.astype(float)
    np.testing.assert_allclose(prediction.mean, means.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prediction.epistemic, means.var(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(prediction.aleatoric, np.full([5, *event], 0.25), rtol=1e-6)
    np.testing.assert_allclose(prediction.total, means.var(0, ddof=1) + 0.25, rtol=1e-5)
    log_probs = stats.norm(means, 0.5).logpdf(y).reshape(6, 5, -1).sum(-1)
    wanted = special.logsumexp(log_probs, axis=0) - np.log(6)
    np.testing.assert_allclose(prediction.log_prob(y), wanted, rtol=1e-5, atol=1e-5)
    assert prediction.log_prob(y).shape == (5,)


def test_heteroscedastic_normal():
    outputs = RNG.standard_normal([6, 5, 4]).astype(np.float32)
    y = RNG.standard_normal([5, 2])
    likelihood = bl.likelihoods.HeteroscedasticNormal(min_scale=0.2)
    prediction = bl.Prediction(outputs, likelihood)
    means, scales = outputs[..., :2].astype(float), 0.2 + np.logaddexp(0.0, outputs[..., 2:].astype(float))
    np.testing.assert_allclose(prediction.mean, means.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prediction.samples, means, rtol=1e-6)
    np.testing.assert_allclose(prediction.aleatoric, (scales**2).mean(0), rtol=1e-5)
    np.testing.assert_allclose(prediction.epistemic, means.var(0, ddof=1), rtol=1e-5)
    wanted = special.logsumexp(stats.norm(means, scales).logpdf(y).sum(-1), axis=0) - np.log(6)
    np.testing.assert_allclose(prediction.log_prob(y), wanted, rtol=1e-5, atol=1e-5)


def test_uncertainty_at_the_ends():
    """Draws that agree leave no epistemic part, draws that contradict each other no aleatoric; nothing is NaN."""
    sure = np.broadcast_to(np.array([[1e4, -1e4]], np.float32), [8, 1, 2])
    torn = np.array([[[1e4, -1e4]], [[-1e4, 1e4]]], np.float32)
    for likelihood, outputs, index in (("categorical", sure, ...), ("bernoulli", sure, ...)):
        p = bl.Prediction(outputs, likelihood)
        np.testing.assert_allclose([p.total, p.aleatoric, p.epistemic], 0.0, atol=1e-6)
        assert np.isfinite(p.mean[index]).all()
    p = bl.Prediction(torn, "categorical")
    np.testing.assert_allclose([p.total, p.epistemic], np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(p.aleatoric, 0.0, atol=1e-6)
    np.testing.assert_allclose(p.log_prob([0]), np.log(0.5), rtol=1e-6)
    p = bl.Prediction(np.zeros([1, 4, 3], np.float32), "categorical")  # one draw is enough for entropies
    np.testing.assert_allclose(p.total, np.log(3.0), rtol=1e-6)
    np.testing.assert_allclose(p.epistemic, 0.0, atol=1e-6)
    far = bl.Prediction(np.full([3, 1, 1], 1e3, np.float32), bl.likelihoods.Normal(1e-3))
    assert np.isfinite(far.log_prob([[0.0]])).all()


def test_epistemic_is_never_negative():
    for scale in (1e-4, 1.0, 100.0):
        outputs = scale * RNG.standard_normal([50, 40, 4]).astype(np.float32)
        for likelihood in ("categorical", "bernoulli"):
            assert np.min(bl.Prediction(outputs, likelihood).epistemic) > -1e-5
    close = 3e4 + RNG.standard_normal([20, 9, 1]).astype(np.float32)  # the mean of squares would cancel
    found = bl.Prediction(close, NORMAL).epistemic
    np.testing.assert_allclose(found, close.astype(float).var(0, ddof=1), rtol=1e-3)


def test_the_law_of_total_variance_holds_for_a_linear_network():
    """Exact variances of a layer with no hidden one: x^2 scale^2 + scale_bias^2; false alarms 1e-4."""
    model = keras.Sequential([keras.Input([4]), bl.DenseFlipout(1, seed=1)])
    scale = {part: s.numpy().astype(float) for part, s in model.layers[0].posterior.stddev().items()}
    exact = (X.astype(float) ** 2) @ scale["kernel"] ** 2 + scale["bias"] ** 2
    found = [bl.predict(model, X, 20, seed=s, likelihood=NORMAL).epistemic.numpy() for s in range(60)]
    assert_mean(found, exact, rounding=1e-5)
    with pytest.raises(AssertionError):
        assert_mean(found, 1.5 * exact, rounding=1e-5)


# Losses


@pytest.mark.parametrize("likelihood", [NORMAL, bl.likelihoods.HeteroscedasticNormal()], ids=["normal", "own_scales"])
def test_the_loss_is_minus_the_log_probability(likelihood):
    outputs = RNG.standard_normal([7, 2]).astype(np.float32)
    y = RNG.standard_normal([7, likelihood.mean(tf.constant(outputs)).shape[-1]]).astype(np.float32)
    wanted = -np.mean(bl.Prediction(outputs[None], likelihood).log_prob(y))
    loss = bl.NegativeLogLikelihood(likelihood)
    np.testing.assert_allclose(loss(y, outputs), wanted, rtol=1e-5)
    w = RNG.random(7).astype(np.float32)
    weighted = -np.mean(w * bl.Prediction(outputs[None], likelihood).log_prob(y).numpy())
    np.testing.assert_allclose(loss(y, outputs, sample_weight=w), weighted, rtol=1e-5)
    if y.shape[-1] == 1:
        np.testing.assert_allclose(loss(y[:, 0], outputs), wanted, rtol=1e-5)
    in_graph = tf.function(lambda: loss(tf.constant(y), tf.constant(outputs)), jit_compile=True)
    np.testing.assert_allclose(in_graph(), wanted, rtol=1e-5)


def test_the_losses_of_classes_are_those_of_keras():
    outputs, y = OUTPUTS[0], LABELS
    ours, keras_own = bl.NegativeLogLikelihood("categorical"), keras.losses.SparseCategoricalCrossentropy(True)
    np.testing.assert_allclose(ours(y, outputs), keras_own(y, outputs), rtol=1e-5)
    yes = (outputs > 0).astype(np.float32)[:, :1]
    ours, keras_own = bl.NegativeLogLikelihood("bernoulli"), keras.losses.BinaryCrossentropy(True)
    np.testing.assert_allclose(ours(yes, outputs[:, 1:2]), keras_own(yes, outputs[:, 1:2]), rtol=1e-5)


def test_a_loss_for_every_position_is_summed_over_the_example():
    outputs = RNG.standard_normal([2, 3, 4]).astype(np.float32)
    y = RNG.integers(0, 4, [2, 3])
    log_p = special.log_softmax(outputs, -1)
    wanted = -np.mean([sum(log_p[i, t, y[i, t]] for t in range(3)) for i in range(2)])
    np.testing.assert_allclose(bl.NegativeLogLikelihood("categorical")(y, outputs), wanted, rtol=1e-5)


LOSSES = {
    "ours": (lambda: bl.NegativeLogLikelihood(NORMAL), bl.likelihoods.Normal),
    "sparse": (lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True), bl.likelihoods.Categorical),
    "binary": (lambda: keras.losses.BinaryCrossentropy(from_logits=True), bl.likelihoods.Bernoulli),
    "smoothed": (lambda: keras.losses.BinaryCrossentropy(True, label_smoothing=0.1), bl.likelihoods.Bernoulli),
    "one_hot": (lambda: keras.losses.CategoricalCrossentropy(from_logits=True), bl.likelihoods.Categorical),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_likelihood_is_that_of_the_compiled_loss(name):
    make, kind = LOSSES[name]
    prediction = bl.predict(network(loss=make()), X, 3, seed=0)
    assert type(prediction.likelihood) is kind
    given = bl.predict(network(loss=make()), X, 3, seed=0, likelihood="bernoulli")
    assert type(given.likelihood) is bl.likelihoods.Bernoulli


SILENT = {
    "none": lambda: network(),
    "mse": lambda: network(loss="mse"),
    "mse_object": lambda: network(loss=keras.losses.MeanSquaredError()),
    "mean_squared_error": lambda: network(loss="mean_squared_error"),
    "mse_function": lambda: network(loss=keras.losses.mean_squared_error),
    "probabilities": lambda: network(loss="sparse_categorical_crossentropy"),
    "probabilities_object": lambda: network(loss=keras.losses.BinaryCrossentropy()),
    "mae": lambda: network(loss="mae"),
    "own": lambda: network(loss=lambda y, outputs: tf.reduce_sum(outputs, axis=-1)),
}


@pytest.mark.parametrize("name", SILENT)
def test_losses_that_do_not_say_what_outputs_mean(name):
    expected = "the scale of the noise" if name.startswith("m") and name != "mae" else "what the outputs mean"
    with refused(ValueError, "^likelihood", expected, ""):
        bl.predict(SILENT[name](), X, 3, seed=0)


# Bad input

BAD_CALLS = {
    "no_bayesian_layers": (
        lambda: bl.predict(keras.Sequential([keras.Input([4]), keras.layers.Dense(1)]), X, likelihood=NORMAL),
        ValueError,
        "^model",
        "a model with Bayesian layers",
        "which has none",
    ),
    "no_model": (lambda: bl.predict(None, X), TypeError, "^model", "a Keras model or layer", "None"),
    "num_samples": (lambda: predicted(num_samples=0), ValueError, "^num_samples", "at least 1", "0"),
    "num_samples_float": (lambda: predicted(num_samples=2.5), ValueError, "^num_samples", "an integer", "2.5"),
    "num_samples_bool": (lambda: predicted(num_samples=True), ValueError, "^num_samples", "an integer", "True"),
    "batch_size": (lambda: predicted(batch_size=0), ValueError, "^batch_size", "at least 1", "0"),
    "batch_size_none": (lambda: predicted(batch_size=None), ValueError, "^batch_size", "an integer", "None"),
    "seed": (lambda: predicted(seed="x"), TypeError, "^seed", "an integer", "'x'"),
    "likelihood": (lambda: predicted(likelihood="normal"), ValueError, "^likelihood", "likelihoods.Normal", "'normal'"),
    "likelihood_class": (lambda: predicted(likelihood=bl.likelihoods.Normal), ValueError, "^likelihood", "", "Normal"),
    "likelihood_tfd": (lambda: predicted(likelihood=tfd.Normal(0.0, 1.0)), ValueError, "^likelihood", "", "Normal"),
    "empty": (lambda: predicted(x=X[:0]), ValueError, "^x", "", "0"),
    "none": (lambda: predicted(x=None), (TypeError, ValueError), "^x", "", "None"),
    "a_number": (lambda: predicted(x=3.0), (TypeError, ValueError), "^x", "", ""),
    "a_string": (lambda: predicted(x="x"), (TypeError, ValueError), "^x", "", ""),
    "a_dataset": (lambda: predicted(x=stream()), (TypeError, ValueError), "^x", "", ""),
    "rows": (lambda: predicted(x=X.tolist()), (TypeError, ValueError), "^x", "", ""),
    "ragged": (lambda: predicted(x=[[1.0, 2.0], [1.0]]), (TypeError, ValueError), "^x", "", ""),
    "wide": (lambda: predicted(x=X[:, :3]), ValueError, "", "", ""),
    "two_outputs": (lambda: predicted_by(lambda y: [y, 2.0 * y]), ValueError, "^model", "one output", ""),
    "dict_of_outputs": (lambda: predicted_by(lambda y: {"a": y}), ValueError, "^model", "one output", ""),
    "unequal": (
        lambda: bl.predict(several_inputs(), {"a": X, "b": X[:5, :2]}, likelihood=NORMAL),
        ValueError,
        "^x",
        "as many in every part",
        "5, 11",
    ),
    "fixed_draw": (lambda: bl.fixed_draw(None).__enter__(), TypeError, "^model", "a Keras model or layer", "None"),
}


def predicted_by(outputs):
    x = keras.Input([4])
    return bl.predict(keras.Model(x, outputs(bl.DenseFlipout(2, seed=1)(x))), X, 3, seed=0, likelihood=NORMAL)


def stream():
    return tf.data.Dataset.from_tensor_slices(X).batch(4)


def predicted(x=X, **how):
    return bl.predict(network(), x, **{"num_samples": 2, "seed": 0, "likelihood": NORMAL, **how})


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_calls_are_refused(name):
    use, *message = BAD_CALLS[name]
    if name == "wide":  # Keras says it
        with pytest.raises(message[0], match=r"expected (axis|shape)"):
            use()
    else:
        with refused(*message):
            use()


def test_models_without_bayesian_layers_have_no_fixed_draw():
    with refused(ValueError, "^model", "a model with Bayesian layers", ""), bl.fixed_draw(keras.Sequential([])):
        pass


BAD_OUTPUTS = {
    "one_axis": (np.zeros([3]), ValueError, r"\[num_samples, num_inputs, ...\]", r"\[3\]"),
    "integers": (np.zeros([3, 2, 2], int), TypeError, "float", "int64"),
    "nan": (np.full([3, 2, 2], np.nan), ValueError, "finite", "nan"),
    "strings": ("outputs", TypeError, "", ""),
    "none": (None, TypeError, "", ""),
}


@pytest.mark.parametrize("name", BAD_OUTPUTS)
def test_bad_outputs_are_refused(name):
    outputs, *message = BAD_OUTPUTS[name]
    with refused(message[0], "^outputs", *message[1:]):
        bl.Prediction(outputs, "categorical")


def test_outputs_that_do_not_fit_their_likelihood():
    with refused(ValueError, "outputs", "an even number", r"3\]"):
        tf.identity(bl.Prediction(OUTPUTS, bl.likelihoods.HeteroscedasticNormal()).mean)
    for part in ("epistemic", "aleatoric", "total"):
        with refused(ValueError, "outputs", "at least 2 draws", "1"):
            getattr(bl.Prediction(OUTPUTS[:1], NORMAL), part)


BAD_TARGETS = {
    "label_above": ("categorical", np.array([0, 1, 2, 3, 0]), "integer labels from 0 to 2", "3"),
    "label_below": ("categorical", np.array([0, 1, 2, -1, 0]), "integer labels from 0 to 2", "-1"),
    "label_between": ("categorical", np.array([0.0, 1.0, 0.5, 1.0, 0.0]), "integer labels from 0 to 2", "0.5"),
    "label_nan": ("categorical", np.array([0.0, 1.0, np.nan, 1.0, 0.0]), "integer labels from 0 to 2", "nan"),
    "one_hot": ("categorical", np.eye(3)[LABELS], "one integer label", r"\[5, 3\]"),
    "one_label": ("categorical", np.array([1]), "one integer label", r"\[1\]"),
    "a_label": ("categorical", np.array(1), "one integer label", r"\[\]"),
    "more_labels": ("categorical", np.zeros([6], int), "one integer label", r"\[6\]"),
    "number_above": ("bernoulli", np.full([5, 3], 1.5), r"in \[0, 1\]", ""),
    "number_below": ("bernoulli", np.full([5, 3], -1.0), r"in \[0, 1\]", ""),
    "bernoulli_nan": ("bernoulli", np.full([5, 3], np.nan), "", ""),
    "bernoulli_vector": ("bernoulli", np.zeros([5]), "one number for each", r"\[5\]"),
    "column": (NORMAL, np.zeros([5, 1]), "one number for each", r"\[5, 1\]"),
    "wide": (NORMAL, np.zeros([5, 2]), "one number for each", r"\[5, 2\]"),
    "vector": (NORMAL, np.zeros([3]), "one number for each", r"\[3\]"),
    "row": (NORMAL, np.zeros([1, 3]), "one number for each", r"\[1, 3\]"),
    "scalar": (NORMAL, np.zeros([]), "one number for each", r"\[\]"),
    "samples": (NORMAL, np.zeros([6, 5, 3]), "one number for each", r"\[6, 5, 3\]"),
}


@pytest.mark.parametrize("name", BAD_TARGETS)
def test_targets_that_do_not_fit_are_refused(name):
    """No shape is spread over another without being asked."""
    likelihood, y, expected, got = BAD_TARGETS[name]
    with refused(ValueError, "^y", expected, got):
        bl.Prediction(OUTPUTS, likelihood).log_prob(y)
    with refused(ValueError, "y", expected, got):
        bl.NegativeLogLikelihood(likelihood)(y, OUTPUTS[0])


def test_a_column_of_one_may_be_left_out():
    outputs = OUTPUTS[..., :1]
    for likelihood, y in ((NORMAL, np.arange(5.0)), ("bernoulli", LABELS % 2)):
        prediction = bl.Prediction(outputs, likelihood)
        np.testing.assert_array_equal(prediction.log_prob(y), prediction.log_prob(y[:, None]))
        flat = bl.Prediction(outputs[..., 0], likelihood)
        np.testing.assert_allclose(flat.log_prob(y[:, None]), prediction.log_prob(y), rtol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_fit_refuses_targets_of_another_shape_and_shows_bad_labels(jit):
    """XLA and graphs cannot raise for every value; then the loss is NaN, not that of another label."""
    loss = bl.NegativeLogLikelihood(NORMAL)
    for y in (np.zeros([11, 1]), np.zeros([11, 3]), np.zeros([11])):
        with refused(ValueError, "y", "one number for each", r"shape \["):
            network(loss=loss).evaluate(X, y, verbose=0)
    model = network(loss=bl.NegativeLogLikelihood("categorical"), jit_compile=jit)
    assert np.isfinite(model.evaluate(X, np.array([0, 1, 1] + [0] * 8), verbose=0))
    for label in (5, -1):
        assert np.isnan(model.evaluate(X, np.array([0, 1, label] + [0] * 8), verbose=0))


def test_likelihoods_of_bad_scale():
    for scale in (0.0, -1.0, float("nan"), float("inf"), "a", None, True, [1.0, 2.0]):
        with refused(ValueError, "^scale", "a positive number", ""):
            bl.likelihoods.Normal(scale)
    for likelihood in ("gaussian", None, 3, keras.losses.MeanSquaredError()):
        with refused(ValueError, "^likelihood", "", ""):
            bl.NegativeLogLikelihood(likelihood)


def test_layers_alone_can_be_asked():
    assert bl.layers_in(CASES["DenseFlipout"].layer())[0].num_examples == NUM_EXAMPLES
