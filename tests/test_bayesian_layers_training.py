"""Bayesian layers trained through Keras: the KL divergence is charged once a step, whatever the step looks like."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from bayesian_cases import CASES, NUM_EXAMPLES
from calibration import assert_mean
from scipy import special

from companion import bayesian_layers as bl

RNG = np.random.default_rng(0)
X = RNG.standard_normal([37, 4]).astype(np.float32)  # batches of 10 leave a rest of 7
Y = (X @ np.array([[1.0], [-2.0], [0.5], [0.0]]) + 0.3).astype(np.float32)
DENSE = {name: case for name, case in CASES.items() if name.startswith("Dense")}
RATE = 0.5


def nothing(y, outputs):
    """A likelihood that knows nothing: the loss is the KL divergence alone."""
    return tf.zeros(tf.shape(outputs)[0], outputs.dtype)


def negative_log_likelihood(y, outputs):
    """As a metric: not among the losses."""
    return -bl.likelihoods.Normal(0.5).log_prob(outputs, tf.cast(y, outputs.dtype))


def sequential(*layers, inputs=(4,), **compiled):
    return compile_(keras.Sequential([keras.Input(inputs), *layers]), **compiled)


def compile_(model, **compiled):
    """XLA takes seconds to compile, so it is on where it is the subject."""
    how = {"optimizer": keras.optimizers.SGD(RATE), "loss": nothing, "jit_compile": False}
    model.compile(**{**how, **compiled})
    return model


def of_case(case, compiled=None, **options):
    return sequential(case.layer(**options), inputs=case.input_shape, **(compiled or {}))


def fit(model, x=X, y=Y, **how):
    return model.fit(x, y, **{"batch_size": 10, "epochs": 2, "verbose": 0, "shuffle": False, **how}).history


def evaluate(model, x=X, y=Y, **how):
    return model.evaluate(x, y, **{"verbose": 0, "return_dict": True, **how})


def variables(layer):
    """loc and rho of kernel and bias, in float64."""
    named = {v.name: np.asarray(v, float) for v in layer.variables}
    return {name: (named[f"{name}_loc"], named[f"{name}_rho"]) for name in ("kernel", "bias")}


def analytic_kl(layer):
    """KL(q || N(0, 1)), by its formula, in float64."""
    total = 0.0
    for loc, rho in variables(layer).values():
        scale = np.logaddexp(0.0, rho)
        total += np.sum(0.5 * (scale**2 + loc**2 - 1.0) - np.log(scale))
    return total


def after_steps(before, num_steps, rate=RATE, num_examples=NUM_EXAMPLES):
    """loc and rho after steps of gradient descent on KL / num_examples, by its derivative, in float64."""
    for _ in range(num_steps):
        before = {name: descended(*pair, rate / num_examples) for name, pair in before.items()}
    return before


def descended(loc, rho, rate):
    scale = np.logaddexp(0.0, rho)
    return loc - rate * loc, rho - rate * (scale - 1.0 / scale) * special.expit(rho)


def assert_stepped(layer, before, num_steps=1, rtol=1e-5, **how):
    """To rounding; a KL divergence charged twice, or not divided, would be far off."""
    expected, doubled = (after_steps(before, n, **how) for n in (num_steps, 2 * num_steps))
    for name, pair in variables(layer).items():
        for found, wanted, twice, start in zip(pair, expected[name], doubled[name], before[name], strict=True):
            np.testing.assert_allclose(found, wanted, rtol=rtol, atol=1e-7)
            assert np.allclose(start, 0.0) or not np.allclose(found, twice, rtol=10 * rtol, atol=1e-7)


# What evaluate charges


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_evaluate_charges_the_analytic_kl_at_every_batch_size(case):
    model = of_case(case)
    x = case.inputs(37)
    exact = analytic_kl(model.layers[0]) / NUM_EXAMPLES
    assert exact > 0.1
    for size in (1, 10, 64):
        np.testing.assert_allclose(evaluate(model, x, Y, batch_size=size)["loss"], exact, rtol=1e-5)
    np.testing.assert_allclose(bl.kl_divergence(model), analytic_kl(model.layers[0]), rtol=1e-5)


@pytest.mark.parametrize("mode", ["graph", "eager", "xla", "steps_3"])
def test_every_mode_charges_it(mode):
    model = sequential(*(case.layer() for case in DENSE.values()), **MODES[mode])
    exact = sum(map(analytic_kl, model.layers)) / NUM_EXAMPLES
    for size in (5, 10):
        np.testing.assert_allclose(evaluate(model, X[:30], Y[:30], batch_size=size)["loss"], exact, rtol=1e-5)


def test_a_sampled_kl_is_right_on_average():
    """False alarms: 1e-4. With the same draw for the outputs and the divergence, `kl="sampled"` costs no noise more."""
    model = sequential(bl.DenseReparameterization(2, num_examples=NUM_EXAMPLES, kl="sampled", seed=1))
    charges = []
    for _ in range(600):
        model.reset_metrics()  # older versions of Keras do not
        charges.append(float(model.test_on_batch(X[:3], Y[:3])))
    exact = analytic_kl(model.layers[0]) / NUM_EXAMPLES
    assert_mean(charges, exact, rounding=1e-4)
    with pytest.raises(AssertionError):
        assert_mean(charges, 1.1 * exact, rounding=1e-4)
    assert len(set(charges)) > 500


def test_a_prior_without_a_closed_form_is_sampled():
    """Against the layer's own estimate from other draws, false alarms 1e-4."""
    prior = bl.scale_mixture()
    model = sequential(bl.DenseFlipout(2, prior=prior, num_examples=NUM_EXAMPLES, seed=1))
    layer = model.layers[0]
    assert layer.kl == "sampled"
    charges = np.array([model.test_on_batch(X[:3], Y[:3]) for _ in range(300)])
    w = layer.posterior.sample(300, seed=5)
    others = (layer.posterior.log_prob(w) - layer.prior.log_prob(w)).numpy() / NUM_EXAMPLES
    assert_mean(charges - others, 0.0)
    with pytest.raises(AssertionError):
        assert_mean(2.0 * charges - others, 0.0)


def test_loss_less_likelihood_is_the_kl_in_fit_validation_and_evaluate():
    """The metric sees the outputs of the same draw as the loss."""
    likelihood = bl.NegativeLogLikelihood(bl.likelihoods.Normal(0.5))
    metric = negative_log_likelihood
    model = sequential(*some_layers(), optimizer=keras.optimizers.SGD(0.0), loss=likelihood, metrics=[metric])
    exact = sum(map(analytic_kl, model.layers)) / NUM_EXAMPLES
    history = fit(model, validation_data=(X[:13], Y[:13]), validation_batch_size=4)
    found = [np.subtract(history[p + "loss"], history[p + metric.__name__]) for p in ("", "val_")]
    np.testing.assert_allclose(found, np.full([2, 2], exact), rtol=1e-3)
    values = evaluate(model, batch_size=10)
    np.testing.assert_allclose(values["loss"] - values[metric.__name__], exact, rtol=1e-3)
    for on_batch in (model.train_on_batch, model.test_on_batch):
        model.reset_metrics()
        values = on_batch(X[:7], Y[:7], return_dict=True)
        np.testing.assert_allclose(values["loss"] - values[metric.__name__], exact, rtol=1e-3)


def some_layers(**options):
    hidden, last = {"activation": "tanh", "seed": 1, **options}, {"seed": 2, **options}
    return (
        bl.DenseFlipout(5, num_examples=NUM_EXAMPLES, **hidden),
        bl.DenseLocalReparameterization(1, num_examples=NUM_EXAMPLES, **last),
    )


@pytest.mark.parametrize("weights", ["sample_weight", "class_weight"])
def test_weights_of_examples_leave_the_kl_alone(weights):
    """The likelihood is weighted, the KL divergence not; the outputs hardly vary at this scale."""
    sure = bl.MeanFieldNormal(scale_initializer=1e-6)
    model = sequential(*some_layers(posterior=sure), optimizer=keras.optimizers.SGD(0.0), loss="mse")
    labels = (Y > 0).astype(np.float32)
    w = np.where(labels[:, 0] > 0, 3.0, 0.5).astype(np.float32)
    how = {"sample_weight": w} if weights == "sample_weight" else {"class_weight": {0: 0.5, 1: 3.0}}
    squares = (model.predict(X, verbose=0) - labels)[:, 0] ** 2
    exact = sum(map(analytic_kl, model.layers)) / NUM_EXAMPLES
    history = fit(model, y=labels, batch_size=37, epochs=1, **how)
    np.testing.assert_allclose(history["loss"][0], np.mean(w * squares) + exact, rtol=1e-4)
    assert abs(np.mean((w - 1.0) * squares)) > 0.1


# What training charges


MODES = {
    "graph": {},
    "eager": {"run_eagerly": True},
    "xla": {"jit_compile": True},
    "steps_3": {"steps_per_execution": 3},
    "xla_steps_3": {"jit_compile": True, "steps_per_execution": 3},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_step_follows_the_gradient_of_the_kl_once(case):
    model = of_case(case)
    before = variables(model.layers[0])
    model.train_on_batch(case.inputs(8), Y[:8])
    assert_stepped(model.layers[0], before)


@pytest.mark.parametrize("mode", MODES)
def test_so_do_several_in_every_mode(mode):
    """Four steps, of which the last has seven examples."""
    model = of_case(CASES["DenseFlipout"], MODES[mode])
    before = variables(model.layers[0])
    fit(model, epochs=1)
    assert_stepped(model.layers[0], before, num_steps=4)


def shared_layer(layer):
    x = keras.Input([4])
    return keras.Model(x, layer(layer(x)) + layer(x))


def nested(layer):
    x = keras.Input([4])
    return keras.Model(x, keras.Sequential([keras.Sequential([layer]), keras.layers.ReLU()])(x))


def in_two_submodels(layer):
    x = keras.Input([4])
    first, second = keras.Sequential([keras.Input([4]), layer]), keras.Model(x, layer(x))
    return keras.Model(x, second(first(x)))


class Subclassed(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layers_of_mine = [layer]

    def call(self, x, training=False):
        for layer in self.layers_of_mine * 2:
            x = layer(x, training=training)
        return x


class WithoutTraining(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return self.layer(x)


class OwnStep(Subclassed):
    """Its step calls the layer by itself before the model."""

    def train_step(self, data):
        x, *_ = data
        self.layers_of_mine[0](x, training=True)
        with tf.GradientTape() as tape:
            self(x, training=True)
            loss = tf.add_n(self.losses)
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        return {"loss": loss}


def wrapped(layer):
    x = keras.Input([4])
    over_time = keras.layers.TimeDistributed(layer)(keras.layers.RepeatVector(3)(x))
    return keras.Model(x, keras.layers.Flatten()(over_time))


def two_outputs(layer):
    x = keras.Input([4])
    return keras.Model(x, [layer(x), layer(2.0 * x)])


ARCHITECTURES = {
    "shared": shared_layer,
    "nested": nested,
    "two_submodels": in_two_submodels,
    "subclassed": Subclassed,
    "without_training": WithoutTraining,
    "own_step": OwnStep,
    "time_distributed": wrapped,
    "two_outputs": two_outputs,
}


@pytest.mark.parametrize("eagerly", [False, True], ids=["graph", "eager"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_layer_is_charged_once_in_every_architecture(name, eagerly):
    layer = CASES["DenseLocalReparameterization"].layer(units=4)
    loss = [nothing, nothing] if name == "two_outputs" else nothing
    model = compile_(ARCHITECTURES[name](layer), run_eagerly=eagerly, loss=loss)
    y = [Y[:8], Y[:8]] if name == "two_outputs" else Y[:8]
    model(X[:8])
    assert bl.layers_in(model) == [layer]
    assert len(model.losses) == 1
    before, exact = variables(layer), analytic_kl(layer) / NUM_EXAMPLES
    np.testing.assert_allclose(evaluate(model, X[:8], y, batch_size=3)["loss"], exact, rtol=1e-5)
    np.testing.assert_allclose(bl.kl_divergence(model) / NUM_EXAMPLES, exact, rtol=1e-5)
    for _ in range(2):
        model.train_on_batch(X[:8], y)
    assert_stepped(layer, before, num_steps=2)


def test_a_layer_of_two_models_is_charged_in_both():
    """The second is trained after the first has left its losses behind."""
    layer = CASES["DenseFlipout"].layer()
    first, second = (sequential(layer) for _ in range(2))
    for num_steps, model in enumerate([first, second, first, second], 1):
        if num_steps == 1:
            before = variables(layer)
        model.train_on_batch(X[:8], Y[:8])
        assert_stepped(layer, before, num_steps)


def test_losses_do_not_pile_up():
    model = sequential(*some_layers())
    for _ in range(3):
        model(X, training=True)
        assert len(model.losses) == 2
    fit(model, epochs=1)
    model.predict(X, verbose=0)
    model(X)
    np.testing.assert_allclose(tf.add_n(model.losses), sum(map(analytic_kl, model.layers)) / NUM_EXAMPLES, rtol=1e-5)


@pytest.mark.parametrize("graph", [False, True])
def test_a_loop_of_ones_own_is_fit(graph):
    loss = bl.NegativeLogLikelihood(bl.likelihoods.Normal(0.5))
    fitted, looped = (sequential(*some_layers(), loss=loss, optimizer=keras.optimizers.SGD(0.01)) for _ in range(2))
    looped.set_weights(fitted.get_weights())
    fit(fitted, epochs=1)

    def step(x, y):
        with tf.GradientTape() as tape:
            total = loss(y, looped(x, training=True)) + tf.add_n(looped.losses)
        looped.optimizer.apply(tape.gradient(total, looped.trainable_weights), looped.trainable_weights)

    step = tf.function(step) if graph else step
    for start in range(0, 37, 10):
        step(tf.constant(X[start : start + 10]), tf.constant(Y[start : start + 10]))
    for found, wanted in zip(looped.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_accumulated_gradients_charge_the_mean():
    """Two steps of one update: by Keras the mean of the gradients."""
    optimizer = keras.optimizers.SGD(RATE, gradient_accumulation_steps=2)
    model = of_case(CASES["DenseFlipout"], {"optimizer": optimizer})
    before = variables(model.layers[0])
    for _ in range(2):
        model.train_on_batch(X[:8], Y[:8])
    assert_stepped(model.layers[0], before)


def test_activity_regularizers_come_on_top():
    """Of a layer that is called twice, each call is regularised, and the KL divergence charged once."""
    layer = CASES["DenseReparameterization"].layer(units=4, activity_regularizer="l2")
    model = shared_layer(layer)
    model(X)
    assert len(model.losses) == 1 + 3
    np.testing.assert_allclose(model.losses[0], analytic_kl(layer) / NUM_EXAMPLES, rtol=1e-5)


# Frozen layers


def test_a_frozen_layer_stays_as_it_is_and_draws_on():
    frozen = bl.DenseFlipout(5, "tanh", num_examples=NUM_EXAMPLES, seed=1, trainable=False)
    model = sequential(frozen, some_layers()[1], loss="mse", optimizer=keras.optimizers.SGD(0.01))
    other = model.layers[1].get_weights()
    before = [w for w in frozen.get_weights() if w.ndim]
    fit(model)
    assert all(map(np.array_equal, before, [w for w in frozen.get_weights() if w.ndim]))
    assert not all(map(np.array_equal, other, model.layers[1].get_weights()))
    assert len(model.trainable_weights) == 4
    assert (np.asarray(frozen(X)) != np.asarray(frozen(X))).any()
    model(X)
    np.testing.assert_allclose(tf.add_n(model.losses), bl.kl_divergence(model) / NUM_EXAMPLES, rtol=1e-6)


def test_a_thawed_layer_learns():
    layer = CASES["DenseFlipout"].layer()
    layer.trainable = False
    sequential(layer)
    layer.trainable = True
    model = sequential(layer)
    before = variables(layer)
    model.train_on_batch(X[:8], Y[:8])
    assert_stepped(layer, before)


# Every kind learns, in every mode, with the same noise


def learnable(case, **compiled):
    last = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    layer = case.layer(activation="tanh", posterior=seeded(1))
    model = keras.Sequential([keras.Input(case.input_shape), layer, keras.layers.Flatten(), last])
    loss = bl.NegativeLogLikelihood(bl.likelihoods.Normal(0.5))
    return compile_(model, **{"loss": loss, "optimizer": keras.optimizers.Adam(0.03), **compiled})


def seeded(seed):
    return bl.MeanFieldNormal(keras.initializers.GlorotUniform(seed=seed))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_kind_lowers_the_loss(case):
    x = case.inputs(NUM_EXAMPLES)
    y = x.reshape(NUM_EXAMPLES, -1)[:, :1]
    losses = fit(learnable(case), x, y, epochs=15)["loss"]
    assert losses[-1] < losses[0] - 0.5


@pytest.fixture(scope="module")
def eager_history():
    return fit(all_ways(**MODES["eager"]), X[:30], Y[:30])


def all_ways(**compiled):
    """The three ways in which noise enters, one after the other."""
    ways = [case.layer(seed=i, posterior=seeded(i)) for i, case in enumerate(DENSE.values())]
    loss = bl.NegativeLogLikelihood(bl.likelihoods.Normal(0.5))
    last = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    return sequential(*ways, last, loss=loss, optimizer=keras.optimizers.SGD(0.003), **compiled)


@pytest.mark.parametrize("mode", ["graph", "steps_3", "xla_steps_3"])
def test_one_history_in_every_mode(mode, eager_history):
    """The noise is that of the layers' seeds: eager, compiled and several steps at once agree."""
    history = fit(all_ways(**MODES[mode]), X[:30], Y[:30])
    np.testing.assert_allclose(history["loss"], eager_history["loss"], rtol=1e-4)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_output_in_every_mode(case):
    """For one seed and one place in the run."""
    layers = [case.layer(posterior=seeded(1)) for _ in range(3)]
    eager, graph, xla = (
        layers[0],
        tf.function(layers[1], autograph=False),
        tf.function(layers[2], autograph=False, jit_compile=True),
    )
    x = tf.constant(case.inputs())
    for layer in layers:
        layer.build(x.shape)
    for _ in range(2):
        wanted = eager(x)
        for compiled in (graph, xla):
            np.testing.assert_allclose(compiled(x), wanted, rtol=1e-4, atol=1e-5)


def test_calls_draw_anew_in_a_graph_too():
    layer = CASES["DenseFlipout"].layer()
    traced = tf.function(layer)
    outputs = [np.asarray(traced(X)) for _ in range(4)]
    assert len({o.tobytes() for o in outputs}) == 4
    model = sequential(CASES["DenseFlipout"].layer())
    predicted = [model.predict(np.repeat(X[:1], 6, axis=0), batch_size=2, verbose=0) for _ in range(2)]
    assert len(np.unique(np.concatenate(predicted)[:, 0])) == 12


# Seeds


def weights_of_a_run(seed, jit=False):
    keras.utils.set_random_seed(seed)
    model = sequential(*some_layers(seed=None), loss="mse", optimizer=keras.optimizers.Adam(0.01), jit_compile=jit)
    fit(model, shuffle=True)
    return model.get_weights(), model.layers[0].seed, model.layers[1].seed


def test_a_run_repeats_with_the_seed_of_keras():
    (first, *seeds), (again, *same), (other, *others) = map(weights_of_a_run, (5, 5, 6))
    assert all(map(np.array_equal, first, again))
    assert seeds == same
    assert not set(seeds) & set(others)
    assert seeds[0] != seeds[1]
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.ndim)


# Callbacks


class Kill(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 6:
            raise KeyboardInterrupt


def small(**compiled):
    return learnable(CASES["DenseFlipout"], **compiled)


def test_early_stopping_restores_the_best_weights():
    model = small(optimizer=keras.optimizers.SGD(3.0))  # diverges
    seen = {}

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen[epoch] = (logs["loss"], self.model.get_weights())

    stop = keras.callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True)
    stop_watching = Watch()
    model.fit(X, Y, epochs=8, batch_size=10, verbose=0, callbacks=[stop_watching, stop])
    _, best = seen[stop.best_epoch]
    assert all(map(np.array_equal, best, model.get_weights()))


def test_a_checkpoint_holds_the_best_model(tmp_path):
    model = small()
    path = tmp_path / "best.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(path, "val_loss", save_best_only=True)
    history = fit(model, validation_data=(X, Y), epochs=4, callbacks=[checkpoint])
    loaded = keras.models.load_model(path)
    assert loaded.layers[0].num_examples == NUM_EXAMPLES
    kl = float(bl.kl_divergence(loaded))
    assert np.isfinite(kl)
    assert checkpoint.best == min(history["val_loss"])
    if checkpoint.best == history["val_loss"][-1]:
        assert all(map(np.array_equal, loaded.get_weights(), model.get_weights()))


@pytest.mark.parametrize("compiled", [{}, {"steps_per_execution": 2}], ids=["1", "2"])
def test_a_run_that_was_killed_resumes_as_if_unbroken(compiled, tmp_path):
    """The noise goes on where it was, too."""
    backup = partial(keras.callbacks.BackupAndRestore, tmp_path)
    unbroken, killed, resumed = (small(**compiled) for _ in range(3))
    history = fit(unbroken, epochs=3)
    with pytest.raises(KeyboardInterrupt):
        fit(killed, epochs=3, callbacks=[backup(), Kill()])
    rest = fit(resumed, epochs=3, callbacks=[backup()])
    assert rest["loss"] == history["loss"][-len(rest["loss"]) :]
    assert 1 <= len(rest["loss"]) < 3
    assert all(map(np.array_equal, resumed.get_weights(), unbroken.get_weights()))
