"""A flow trained through Keras: what fit and evaluate report, data of every form, contexts, ActNorm's start, callbacks.

The logical devices have to be made before TensorFlow starts, so this file is also the program that trains on them.
"""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import two_devices
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import Flow
from companion import bijectors as cb
from companion import flows as cf

RNG = np.random.default_rng(0)
X = (RNG.standard_normal([53, 2]) @ [[1.0, 0.5], [0.0, 0.5]] + [1.0, -1.0]).astype(np.float32)
C = np.concatenate([X[:, :1] - 0.5, RNG.standard_normal([53, 2])], axis=1).astype(np.float32)  # batches of 10 leave 3
METRICS = ["loss", "nats_per_dimension"]


def flow(compiled=None, **options):
    """A small flow, compiled without XLA."""
    made = cf.coupling_flow(2, **{"layers": 2, "hidden": [4], "seed": 0, **options})
    made.compile(**{"optimizer": keras.optimizers.Adam(0.02), "jit_compile": False, **(compiled or {})})
    return made


def conditional(compiled=None, **options):
    return flow(compiled, context_dim=3, **options)


def fit(model, x=X, **how):
    return model.fit(x, **{"batch_size": 10, "epochs": 2, "verbose": 0, **how}).history


def evaluate(model, x=X, **how):
    return model.evaluate(x, verbose=0, return_dict=True, **how)


def same(weights, others):
    """Whether two lists of weights agree to the last bit."""
    return len(weights) == len(others) and all(map(np.array_equal, weights, others))


def still(steps_per_execution=1):
    """Nothing is learnt."""
    return {"optimizer": keras.optimizers.SGD(0.0), "steps_per_execution": steps_per_execution}


# What is reported


def test_evaluate_is_the_mean_of_log_q_at_every_batch_size():
    for model, context in ((flow(), None), (conditional(), C)):
        by_hand = -np.mean(model.log_prob(X, context).numpy(), dtype=float)
        for size in (1, 7, 64, None):
            reported = evaluate(model, context=context, batch_size=size)
            assert sorted(reported) == METRICS
            np.testing.assert_allclose([reported[m] for m in METRICS], [by_hand, by_hand / 2], rtol=1e-5)
        for listed in (model.evaluate(X, context=context, verbose=0), model.test_on_batch(X, context=context)):
            np.testing.assert_allclose(listed, [by_hand, by_hand / 2], rtol=1e-5)
        np.testing.assert_allclose(model.predict(X, context=context, verbose=0), model.log_prob(X, context), rtol=1e-4)


def test_the_loss_of_an_epoch_is_the_mean_over_its_examples():
    """Where nothing is learnt, whatever the rest of the last batch."""
    expected = evaluate(flow())
    for size, steps in ((10, 1), (10, 4), (53, 1)):
        found = fit(flow(still(steps)), batch_size=size)
        np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)


def test_the_first_step_is_plain_gradient_descent():
    """One batch of all: w - rate times the gradient of the mean of -log q by a tape of our own."""
    for model, context in ((flow(), None), (conditional(), C)):
        model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
        before = [v.numpy() for v in model.trainable_variables]
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model.log_prob(X, context))
        gradients = tape.gradient(loss, model.trainable_variables)
        fit(model, context=context, batch_size=53, epochs=1)
        for v, w, g in zip(model.trainable_variables, before, gradients, strict=True):
            np.testing.assert_allclose(v, w - 0.1 * g, rtol=1e-4, atol=1e-6)
            assert np.abs(g).max() > 0.0


# Every way to compile

MODES = {
    "eager": {"run_eagerly": True},
    "steps_5": {"steps_per_execution": 5},
    "xla": {"jit_compile": True},
    "xla_steps_3": {"jit_compile": True, "steps_per_execution": 3},
    "as_keras_chooses": {"jit_compile": "auto"},
}


@pytest.fixture(scope="module")
def plain_history():
    return fit(flow(actnorm=True), X[:50], validation_data=X)


@pytest.mark.parametrize("mode", MODES)
def test_one_loss_in_every_mode(mode, plain_history):
    history = fit(flow(MODES[mode], actnorm=True), X[:50], validation_data=X)
    assert history.keys() == plain_history.keys()
    for name, values in history.items():
        np.testing.assert_allclose(values, plain_history[name], rtol=1e-4)


MAKERS = {
    "masked": lambda **k: cf.autoregressive_flow(2, layers=2, hidden=[4], seed=0, **k),
    "inverse": lambda **k: cf.autoregressive_flow(2, layers=1, hidden=[4], direction="sampling", seed=0, **k),
    "spline": lambda **k: cf.coupling_flow(2, layers=2, hidden=[4], transform="spline", bins=4, seed=0, **k),
    "planar": lambda **k: cf.planar_flow(2, layers=2, seed=0, **k),
    "radial": lambda **k: cf.radial_flow(2, layers=2, seed=0, **k),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_maker_trains_and_xla_agrees(name):
    histories = []
    for jit_compile in (False, True):
        model = MAKERS[name]()
        model.compile(keras.optimizers.Adam(0.02), jit_compile=jit_compile)
        histories.append(fit(model, X[:50], epochs=4)["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-3)
    assert histories[0][-1] < histories[0][0] - 0.05


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "clipnorm": lambda: keras.optimizers.Adam(0.02, clipnorm=0.5),
    "averaged": lambda: keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.5),
    "accumulated": lambda: keras.optimizers.Adam(0.05, gradient_accumulation_steps=2),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.02)),
    "decayed": lambda: keras.optimizers.AdamW(0.02, weight_decay=0.01),
    "by_name": lambda: "rmsprop",
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name):
    losses = fit(flow({"optimizer": OPTIMIZERS[name]()}), epochs=4)["loss"]
    assert losses[-1] < losses[0] - 0.01


def test_accumulated_gradients_are_those_of_one_large_batch():
    once, twice = (flow({"optimizer": keras.optimizers.SGD(0.1, gradient_accumulation_steps=n)}) for n in (None, 2))
    fit(once, X[:50], batch_size=50, shuffle=False, epochs=1)
    fit(twice, X[:50], batch_size=25, shuffle=False, epochs=1)
    for a, b in zip(once.trainable_weights, twice.trainable_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_losses_and_metrics_are_refused():
    for options in ({"loss": "mse"}, {"metrics": ["mae"]}):
        with pytest.raises(ValueError, match=r"(loss|metrics): expected .*; got "):
            flow(options)


def test_frozen_layers_stay():
    model = flow()
    model.bijectors[0].layers[0].trainable = False
    model.compile("adam", jit_compile=False)
    before = [[w.numpy() for w in b.layers[0].weights] for b in model.bijectors]
    fit(model)
    after = [[w.numpy() for w in b.layers[0].weights] for b in model.bijectors]
    assert [same(a, b) for a, b in zip(before, after, strict=True)] == [True, False]


def test_regularizers_of_a_users_net_are_charged():
    def kernel(regularizer):
        start = keras.initializers.GlorotUniform(seed=3)
        net = keras.Sequential(
            [keras.Input([1]), keras.layers.Dense(2, kernel_initializer=start, kernel_regularizer=regularizer)]
        )
        model = Flow([cb.AffineCoupling(2, net=net)], seed=0)
        model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
        fit(model)
        return np.linalg.norm(net.get_weights()[0])

    assert kernel(keras.regularizers.L2(1.0)) < 0.8 * kernel(None)


# Data of every form


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return -(-len(self.arrays[0]) // 10)

    def __getitem__(self, i):
        batch = tuple(a[i * 10 : (i + 1) * 10] for a in self.arrays)
        return batch if len(batch) > 1 else batch[0]


def generator(*arrays):
    for start in range(0, len(arrays[0]), 10):
        batch = tuple(a[start : start + 10] for a in arrays)
        yield batch if len(batch) > 1 else batch[0]


def dataset(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(10)


STREAMS = {"dataset": dataset, "pydataset": Batches, "generator": generator}
FORMS = {**STREAMS, "list": lambda x: x.tolist(), "float64": lambda x: x.astype(float), "tensor": tf.constant}


@pytest.fixture(scope="module")
def trained_on_arrays():
    models = flow(actnorm=False), conditional()
    fit(models[0], shuffle=False, epochs=1)
    fit(models[1], context=C, shuffle=False, epochs=1)
    return models


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_the_data_does_not_matter(form, trained_on_arrays):
    model, expected = flow(), trained_on_arrays[0]
    fit(model, FORMS[form](X), shuffle=False, epochs=1, batch_size=None if form in STREAMS else 10)
    assert same(model.get_weights(), expected.get_weights())
    if form in STREAMS:
        assert evaluate(model, FORMS[form](X)) == pytest.approx(evaluate(expected), rel=1e-6)
        np.testing.assert_allclose(model.predict(FORMS[form](X), verbose=0), expected.log_prob(X), rtol=1e-5)


@pytest.mark.parametrize("form", ["dataset", "generator", "pair", "lists"])
def test_the_form_of_pairs_does_not_matter(form, trained_on_arrays):
    model, expected = conditional(), trained_on_arrays[1]
    if form in STREAMS:
        fit(model, STREAMS[form](X, C), shuffle=False, epochs=1, batch_size=None)
        assert evaluate(model, STREAMS[form](X, C)) == pytest.approx(evaluate(expected, context=C), rel=1e-6)
        np.testing.assert_allclose(model.predict(STREAMS[form](X, C), verbose=0), expected.log_prob(X, C), rtol=1e-5)
    elif form == "pair":
        fit(model, (X, C), shuffle=False, epochs=1)
        assert evaluate(model, (X, C)) == pytest.approx(evaluate(expected, context=C), rel=1e-6)
    else:
        fit(model, X.tolist(), context=C.tolist(), shuffle=False, epochs=1)
    assert same(model.get_weights(), expected.get_weights())


def test_a_pydataset_of_pairs_is_taken_or_refused(trained_on_arrays):
    model = conditional()
    try:
        fit(model, Batches(X, C), epochs=1, batch_size=None, shuffle=False)
    except TypeError as error:
        assert "x: expected an array, a tf.data.Dataset of pairs or a generator of pairs" in str(error)  # noqa: PT017
    else:
        assert same(model.get_weights(), trained_on_arrays[1].get_weights())


def test_steps_on_batches_of_a_conditional_flow():
    model, other = conditional(), conditional()
    found = model.train_on_batch(X, context=C)
    expected = fit(other, context=C, batch_size=53, epochs=1, shuffle=False)["loss"][0]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    for a, b in zip(model.trainable_weights, other.trainable_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.predict_on_batch(X, context=C), model.log_prob(X, C), rtol=1e-4)


@pytest.mark.parametrize("compiled", [{}, {"jit_compile": True, "steps_per_execution": 3}], ids=["graph", "xla_steps"])
def test_a_step_on_a_batch_between_fits_is_a_step(compiled):
    models = flow(compiled), flow()
    for one in models:
        fit(one, X[:30])
        one.train_on_batch(X[:7])
        fit(one, X[:30])
    for found, wanted in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


def test_the_context_matters():
    """C tells the first coordinate: with it the loss falls below that of the exact normal density without it."""
    with_context, without = (
        make({"optimizer": keras.optimizers.Adam(0.02)}, hidden=[16]) for make in (conditional, flow)
    )
    low = fit(with_context, context=C, epochs=40)["loss"][-1]
    high = fit(without, epochs=40)["loss"][-1]
    assert low < high - 0.5
    assert evaluate(with_context, context=C[::-1].copy())["loss"] > low + 0.5


def test_validation_data_of_every_form():
    plain = flow()
    expected = fit(plain, X[:40], epochs=1, validation_data=X[40:])
    assert {f"val_{name}" for name in METRICS} < expected.keys()
    np.testing.assert_allclose(expected["val_loss"][-1], evaluate(plain, X[40:])["loss"], rtol=1e-6)
    for data in [(X[40:],), dataset(X[40:]), Batches(X[40:])]:
        history = fit(flow(), X[:40], epochs=1, validation_data=data)
        np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-6)


def test_validation_data_of_a_conditional_flow():
    model = conditional()
    expected = fit(model, X[:40], context=C[:40], epochs=1, validation_data=(X[40:], C[40:]))
    np.testing.assert_allclose(expected["val_loss"][-1], evaluate(model, X[40:], context=C[40:])["loss"], rtol=1e-6)
    history = fit(
        conditional(), dataset(X[:40], C[:40]), batch_size=None, epochs=1, validation_data=dataset(X[40:], C[40:])
    )
    assert np.isfinite(history["val_loss"]).all()


@pytest.mark.parametrize("how", [{}, {"shuffle": False}], ids=["shuffled", "in_order"])
def test_validation_split_takes_the_last_examples_with_their_contexts(how):
    split, given = conditional(), conditional()
    history = fit(split, X[:50], context=C[:50], validation_split=0.2, **how)
    expected = fit(given, X[:40], context=C[:40], validation_data=(X[40:50], C[40:50]), **how)
    assert history == expected
    assert same(split.get_weights(), given.get_weights())


def test_endless_data_and_steps():
    model = flow()
    history = fit(model, dataset(X).repeat(), batch_size=None, steps_per_epoch=3, epochs=4)
    assert len(history["loss"]) == 4
    assert int(model.optimizer.iterations) == 12


# Contexts that do not fit

MISFITS = {
    "missing": ({}, r"context: expected .*53, 3.*; got nothing"),
    "too_few": ({"context": C[:5]}, r"context: expected .*53.*; got 5"),
    "too_wide": ({"context": np.zeros([53, 4], "f")}, r"context: expected .*3\]; got shape \[53, 4\]"),
    "one_vector": ({"context": C[:, 0]}, r"context: expected .*3\]; got shape \[53\]"),
    "nan": ({"context": np.where(C > 1, np.nan, C)}, r"context: expected finite numbers; got .* nan"),
    "words": ({"context": np.full([53, 3], "a")}, r"context: expected .*numbers; got "),
    "validation_alone": ({"context": C, "validation_data": X}, r"(validation_data|context): expected .*; got "),
    "validation_short": ({"context": C, "validation_data": (X, C[:3])}, r"context: expected .*53.*; got 3"),
}


@pytest.mark.parametrize(("how", "message"), MISFITS.values(), ids=MISFITS)
def test_contexts_that_do_not_fit_are_refused(how, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fit(conditional(), **how)


STREAM_MISFITS = {
    "no_pairs": lambda form: form(X),
    "wide_x": lambda form: form(np.zeros([53, 4], "f"), C),
    "wide_context": lambda form: form(X, np.zeros([53, 4], "f")),
    "nan_x": lambda form: form(np.where(X > 2, np.nan, X), C),
    "nan_context": lambda form: form(X, np.where(C > 1, np.nan, C)),
    "three": lambda form: form(X, C, C),
}


@pytest.mark.parametrize("form", [dataset, generator], ids=["dataset", "generator"])
@pytest.mark.parametrize("make", STREAM_MISFITS.values(), ids=STREAM_MISFITS)
def test_streams_that_do_not_fit_are_refused(make, form):
    with pytest.raises((TypeError, ValueError), match=r": expected [\s\S]*; got "):
        fit(conditional(), make(form), batch_size=None, epochs=1)


def test_a_context_for_a_flow_that_takes_none_is_refused():
    for use in (fit, evaluate):
        with pytest.raises(ValueError, match=r"context: expected nothing.*; got "):
            use(flow(), context=C)


def test_targets_and_weights_are_refused():
    for how in ({"y": X}, {"sample_weight": X[:, 0]}, {"class_weight": {0: 1.0}}):
        with pytest.raises(ValueError, match=r"(y|sample_weight|class_weight): expected nothing.*; got "):
            fit(flow(), **how)


# ActNorm's start


def norms(model):
    return [b for b in model.bijectors if isinstance(b, cb.ActNorm)]


def standardised(values):
    np.testing.assert_allclose(values.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(values.std(axis=0), 1.0, atol=1e-3)


STARTS = {"array": lambda x: x, "list": lambda x: x.tolist(), "dataset": lambda x: dataset(x).unbatch().batch(53)}


@pytest.mark.parametrize("start", STARTS)
def test_the_first_data_set_scale_and_shift(start):
    """Of every ActNorm, on the side of the noise; nothing else moves, and the density changes by the start alone."""
    model = flow(still(), layers=4, actnorm=True)
    fit(model, STARTS[start](40.0 * X + 7.0), batch_size=None, epochs=1)
    for values in norm_inputs(model, 40.0 * X + 7.0):
        standardised(values)
    assert all(b.initialized for b in norms(model))
    before = model.get_weights()[1:]
    fit(model, X)  # other data do not start it again
    assert same([w for w in before if w.ndim], [w for w in model.get_weights()[1:] if w.ndim])


def norm_inputs(model, x):
    """What each ActNorm makes of data, the last first."""
    found = []
    for b in reversed(model.bijectors):
        x = b.inverse(tf.cast(x, tf.float32))
        found += [np.asarray(x)] if isinstance(b, cb.ActNorm) else []
    return found


def test_a_conditional_actnorm_starts_from_pairs():
    for data in (X, dataset(X, C).unbatch().batch(53), iter([(X, C)])):
        model = conditional(still(), actnorm=True)
        fit(model, data, epochs=1, batch_size=None, **({"context": C} if data is X else {}))
        assert all(b.initialized for b in norms(model))
        np.testing.assert_allclose(norms(model)[-1].layers[0].shift, X.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_start_from_a_generator_loses_no_batch():
    model = flow(actnorm=True)
    fit(model, generator(X), batch_size=None, epochs=1)
    assert int(model.steps_taken) == 6
    other = flow(actnorm=True)
    fit(other, dataset(X), batch_size=None, epochs=1)
    assert same(model.get_weights(), other.get_weights())


def test_a_constant_coordinate_and_one_example_start_with_scale_one():
    for x in (np.stack([X[:, 0], np.full(53, 3.0)], axis=1), X[:1]):
        model = flow(actnorm=True)
        assert np.isfinite(fit(model, x)["loss"]).all()


@pytest.mark.parametrize("inside", [lambda b: tfb.Invert(b), lambda b: tfb.Chain([b])], ids=["invert", "chain"])
def test_an_actnorm_inside_of_tfps_is_started_or_refused(inside):
    norm = cb.ActNorm(2)
    try:
        model = Flow([inside(norm)])
    except (TypeError, ValueError) as error:
        assert ": expected" in str(error)  # noqa: PT017
        return
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    fit(model, 5.0 * X + 3.0)
    standardised(np.asarray(model.inverse_and_log_det(5.0 * X + 3.0)[0]))


LEARNERS = {
    "fit_to_density": lambda m: cf.fit_to_density(
        m, tfd.MultivariateNormalDiag([3.0, 3.0]).log_prob, 5, 8, optimizer=keras.optimizers.Adam(0.1), verbose=0
    ),
    "train_on_batch": lambda m: m.train_on_batch(X),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_what_was_learnt_is_not_thrown_away_by_a_later_start(name):
    model = flow(still(), actnorm=True)
    LEARNERS[name](model)
    before = [w.numpy() for w in model.trainable_weights]
    fit(model, 40.0 * X)
    assert same(before, [w.numpy() for w in model.trainable_weights])


# Callbacks


def test_callbacks_of_keras(tmp_path):
    model = flow(actnorm=True)
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_loss", save_best_only=True),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.02 / (epoch + 1)),
        keras.callbacks.TerminateOnNaN(),
    ]
    history = fit(model, validation_data=X, epochs=3, callbacks=callbacks)
    np.testing.assert_allclose(history["learning_rate"], [0.02, 0.01, 0.02 / 3], rtol=1e-6)
    best = evaluate(keras.models.load_model(tmp_path / "best.keras"))
    np.testing.assert_allclose(best["loss"], min(history["val_loss"]), rtol=1e-5)


def test_early_stopping_restores_the_best():
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=100.0, patience=1, restore_best_weights=True)
    model = flow()
    history = fit(model, validation_data=X, epochs=5, callbacks=[stop])
    assert len(history["loss"]) == 2
    np.testing.assert_allclose(evaluate(model)["loss"], history["val_loss"][0], rtol=1e-6)
    assert abs(history["val_loss"][0] - history["val_loss"][1]) > 1e-4


def test_a_run_that_blows_up_is_stopped():
    model = flow({"optimizer": keras.optimizers.SGD(1e30)})
    history = fit(model, epochs=5, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert len(history["loss"]) == 1
    assert not np.isfinite(history["loss"][0])


class Kill(keras.callbacks.Callback):
    """Ends a run in the middle of an epoch, as from the keyboard."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 13:
            raise KeyboardInterrupt


RESUMED = {
    "shuffled": (flow, {}),
    "in_order": (flow, {"shuffle": False}),
    "conditional": (conditional, {"context": C, "validation_split": 0.2}),
}


@pytest.mark.parametrize(("make", "how"), RESUMED.values(), ids=RESUMED)
def test_a_run_that_was_killed_resumes_as_if_unbroken(make, how, tmp_path):
    how = {"epochs": 4, **how}
    unbroken, killed, resumed = (make({"steps_per_execution": 1}, actnorm=True) for _ in range(3))
    history = fit(unbroken, **how)
    with pytest.raises(KeyboardInterrupt):
        fit(killed, callbacks=[keras.callbacks.BackupAndRestore(tmp_path), Kill()], **how)
    assert not same(killed.get_weights(), unbroken.get_weights())
    rest = fit(resumed, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)], **how)
    assert 1 <= len(rest["loss"]) < 4
    assert rest["loss"] == history["loss"][-len(rest["loss"]) :]
    assert same(resumed.get_weights(), unbroken.get_weights())


# Runs that repeat


def test_one_seed_one_run_whatever_the_global_seeds():
    runs = []
    for seed, global_seed in ((0, 1), (0, 2), (5, 1)):
        keras.utils.set_random_seed(global_seed)
        model = flow(seed=seed)
        fit(model, epochs=1)
        runs.append(model.get_weights())
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_without_a_seed_keras_decides():
    runs = []
    for global_seed in (1, 1, 2):
        keras.utils.set_random_seed(global_seed)
        model = Flow([cb.AffineCoupling(2, [4]), cb.MaskedAutoregressive(2, [4]), cb.Planar(2), cb.Radial(2)])
        model.compile("adam", jit_compile=False)
        fit(model, epochs=1)
        runs.append(model.get_weights())
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_two_fits_continue_each_other():
    once, twice = flow(), flow()
    history = fit(once, epochs=4)
    parts = [fit(twice, epochs=2) for _ in range(2)]
    assert same(once.get_weights(), twice.get_weights())
    assert history["loss"] == parts[0]["loss"] + parts[1]["loss"]


# Loops of one's own


@pytest.mark.parametrize("jit_compile", [None, False, True], ids=["eager", "graph", "xla"])
@pytest.mark.parametrize("make", [flow, conditional])
def test_a_loop_of_ones_own_does_what_fit_does(make, jit_compile):
    model, other = make(), make()
    context = None if model.context_dim is None else tf.constant(C)
    fit(other, context=context, batch_size=53, epochs=3, shuffle=False)
    x, optimizer = tf.constant(X), keras.optimizers.Adam(0.02)
    optimizer.build(model.trainable_variables)

    def step():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model.log_prob(x, context))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    if jit_compile is not None:
        step = tf.function(step, autograph=False, jit_compile=jit_compile)
    for _ in range(3):
        step()
    for a, b in zip(model.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


# A bijector in several places


def test_a_bijector_used_twice_is_one():
    """Its weights are listed once, and their gradient is the sum over both places."""
    one, two = cb.AffineCoupling(2, [4], seed=0), cb.AffineCoupling(2, [4], seed=0)
    shared = Flow([one, cb.Permutation.reverse(2), one], seed=0)
    apart = Flow([one, cb.Permutation.reverse(2), two], seed=0)
    assert len(shared.trainable_weights) == 4
    assert len(apart.trainable_weights) == 8
    gradients = []
    for model in (shared, apart):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model.log_prob(X))
        gradients.append(tape.gradient(loss, model.trainable_variables))
    for whole, a, b in zip(gradients[0], gradients[1][:4], gradients[1][4:], strict=True):
        np.testing.assert_allclose(whole, a + b, rtol=1e-4, atol=1e-6)


def test_one_bijector_in_two_flows_is_trained_by_both():
    inner = flow()
    outer = Flow([*inner.bijectors, tfb.Shift(tf.Variable([1.0, 1.0]))], seed=0)
    outer.compile("adam", jit_compile=False)
    before, density = [w.numpy() for w in inner.trainable_weights], inner.log_prob(X)
    fit(outer)
    assert not same(before, [w.numpy() for w in inner.trainable_weights])
    assert np.abs(inner.log_prob(X) - density).max() > 1e-3
    np.testing.assert_allclose(inner.log_prob(X), outer.log_prob(X + outer.bijectors[-1].shift), rtol=1e-4, atol=1e-5)
    fit(inner)


def test_a_flow_is_a_layer_of_another_model():
    """A functional model learns the layer before the flow through it."""
    inputs = keras.Input([2])
    inner = flow()
    model = keras.Model(inputs, inner(keras.layers.Dense(2, kernel_initializer="identity")(inputs)))
    assert len(model.trainable_weights) == 2 + len(inner.trainable_weights)
    np.testing.assert_allclose(model(X), inner.log_prob(X), rtol=1e-4, atol=1e-5)
    model.compile("adam", loss=lambda y, log_q: -log_q, jit_compile=False)
    losses = model.fit(X, np.zeros(53), epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


# Widths of numbers


def test_float64_throughout():
    model = flow(dtype="float64", actnorm=True)
    assert {w.dtype for w in model.trainable_weights} == {"float64"}
    fit(model, X.astype(float))
    np.testing.assert_allclose(
        evaluate(model, batch_size=7)["loss"], -np.mean(model.log_prob(X.astype(float))), rtol=1e-12
    )
    assert model.sample(3).dtype == tf.float64
    assert model.predict(X, verbose=0).dtype == np.float64


def test_keras_own_width_is_the_default():
    keras.config.set_floatx("float64")
    try:
        model = Flow([cb.AffineCoupling(2, [4]), cb.ActNorm(2), cb.Permutation.reverse(2)])
        model.compile("adam", jit_compile=False)
        fit(model)
    finally:
        keras.config.set_floatx("float32")
    assert model.sample(3).dtype == tf.float64


def test_mixed_policies_are_refused_and_a_global_one_changes_nothing():
    for policy in ("mixed_float16", "mixed_bfloat16", "float16"):
        with pytest.raises(TypeError, match=r"dtype: expected .*; got "):
            Flow([cb.AffineCoupling(2, [4])], dtype=policy)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = flow()
    finally:
        keras.config.set_dtype_policy("float32")
    expected = fit(flow())
    assert fit(model) == expected


# Two devices

DEVICE_RUNS = {  # a maker, options of fit and batch size: of 53 examples batches of 10 leave 3, of 4 leave 1
    "coupling": ("coupling", 10, False),
    "one_left": ("coupling", 4, False),
    "conditional": ("conditional", 10, True),
    "tfp": ("tfp", 10, False),
}


def made_for(kind):
    if kind == "tfp":
        made = Flow(
            [tfb.Scale(tf.Variable([2.0, 1.0])), tfb.Shift(tf.Variable([0.5, 0.0])), cb.AffineCoupling(2, [4], seed=0)],
            seed=0,
        )
        made.compile(keras.optimizers.Adam(0.02), jit_compile=False)
        return made
    return conditional(actnorm=True) if kind == "conditional" else flow(actnorm=True)


def trained_on(strategy, kind, size, with_context):
    given = {"context": C} if with_context else {}
    with strategy.scope():
        model = made_for(kind)
    history = model.fit(X, batch_size=size, epochs=2, verbose=0, **given).history
    evaluated = model.evaluate(X, batch_size=7, verbose=0, return_dict=True, **given)
    log_q = model.log_prob(X, given.get("context")).numpy().tolist()
    return {"history": history, "evaluated": evaluated, "log_q": log_q}


def main():
    strategies = two_devices.strategies()
    results = {}
    for name, run in DEVICE_RUNS.items():
        try:
            results[name] = [trained_on(strategy, *run) for strategy in strategies]
        except Exception as error:
            results[name] = f"{type(error).__name__}: {error}"
    print(json.dumps({"devices": strategies[1].num_replicas_in_sync, "results": results}))


@pytest.fixture(scope="module")
def report():
    return two_devices.report_of(__file__)


@pytest.mark.parametrize("run", DEVICE_RUNS)
def test_two_devices_give_the_numbers_of_one(run, report):
    assert report["devices"] == 2
    assert isinstance(report["results"][run], list), report["results"][run]
    one, two = report["results"][run]
    for name in METRICS:
        np.testing.assert_allclose(two["history"][name], one["history"][name], rtol=1e-4)
        np.testing.assert_allclose(two["evaluated"][name], one["evaluated"][name], rtol=1e-4)
    np.testing.assert_allclose(two["log_q"], one["log_q"], rtol=1e-3, atol=1e-3)
    assert len(set(one["history"]["loss"])) == 2


if __name__ == "__main__":
    main()
