"""A VAE trained through Keras: what fit and evaluate report, data of every form, callbacks, and runs that repeat."""

import csv
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import VAE, datasets, seeds
from companion.vae import BetaSchedule, Gaussian

METRICS = ["elbo", "kl", "loss", "reconstruction"]
PROTOTYPES = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
FLIPS = np.random.default_rng(0).random([53, 6]) < 0.1
X = (PROTOTYPES[np.arange(53) % 2] ^ FLIPS).astype(np.float32)  # six pixels; batches of 10 leave a rest of 3


def vae(compiled=None, **options):
    """A small model, compiled: XLA takes seconds to compile, so it is on where it is the subject."""
    model = VAE(**{"encoder": [8], "decoder": [8], "latent_dim": 2, "seed": 0, **options})
    model.compile(**{"optimizer": keras.optimizers.Adam(0.02), "jit_compile": False, **(compiled or {})})
    return model


def evaluate(model, x=X, **how):
    return model.evaluate(x, verbose=0, return_dict=True, **how)


def fit(model, x=X, **how):
    return model.fit(x, **{"batch_size": 10, "epochs": 2, "verbose": 0, **how}).history


def fitted_weights(model, x=X, **how):
    fit(model, x, **how)
    return model.get_weights()


def same(weights, others):
    """Whether two lists of weights agree to the last bit."""
    return len(weights) == len(others) and all(map(np.array_equal, weights, others))


# What is reported

BOUNDS = {
    "analytic": {},
    "sampled": {"kl": "sampled", "num_samples": 3},
    "gaussian": {"likelihood": "gaussian", "beta": 4.0},
    "importance_weighted": {"objective": "importance_weighted", "num_samples": 4},
}


@pytest.mark.parametrize("options", BOUNDS.values(), ids=BOUNDS)
def test_evaluate_is_the_mean_of_the_bound_at_every_batch_size(options):
    model = vae(**options)
    by_hand = np.mean(model.elbo(X, seed=model.evaluation_seed).numpy(), dtype=float)
    reported = [evaluate(model, batch_size=size) for size in (1, 7, 64, None)]
    assert all(sorted(r) == METRICS for r in reported)
    for r in reported:
        np.testing.assert_allclose(r["elbo"], by_hand, rtol=1e-6)
        np.testing.assert_allclose([r[m] for m in METRICS], [reported[0][m] for m in METRICS], rtol=1e-6)
        np.testing.assert_allclose(r["elbo"], r["reconstruction"] - r["kl"], rtol=1e-6)
    other_noise = np.mean(model.elbo(X, seed=seeds.fold(model.evaluation_seed, 1)).numpy(), dtype=float)
    assert abs(other_noise - by_hand) > 1e-4 * abs(by_hand)  # the comparison would see another noise


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
def test_the_loss_is_minus_the_elbo_for_beta_one_only(kl):
    model = vae(kl=kl)
    for beta in (0.0, 0.25, 1.0, 4.0):
        model.beta.assign(beta)
        r = evaluate(model)
        np.testing.assert_allclose(r["loss"], beta * r["kl"] - r["reconstruction"], rtol=1e-6)
        assert np.isclose(r["loss"], -r["elbo"], rtol=1e-6) == (beta == 1.0)


def test_the_loss_of_the_weighted_bound_is_at_most_minus_the_elbo():
    """By Jensen's inequality for each set of samples; and equal for one sample."""
    many, one = ({"objective": "importance_weighted", "num_samples": k} for k in (8, 1))
    r = evaluate(vae(**many))
    assert r["loss"] < -r["elbo"] - 1e-3
    r = evaluate(vae(**one))
    np.testing.assert_allclose(r["loss"], -r["elbo"], rtol=1e-6)


def test_the_loss_comes_first_in_a_list():
    model = vae()
    by_name = evaluate(model)
    for listed in (model.evaluate(X, verbose=0), model.test_on_batch(X)):
        np.testing.assert_allclose(listed[0], by_name["loss"], rtol=1e-6)
        np.testing.assert_allclose(sorted(listed), sorted(by_name.values()), rtol=1e-6)


@pytest.mark.parametrize("compiled", [{}, {"jit_compile": True, "steps_per_execution": 3}])
def test_a_step_on_a_batch_between_fits_is_a_step(compiled):
    """The step's noise is that of the place in the run, and the batch is the one that was given."""
    model, other = vae(compiled), vae({})
    for one in (model, other):
        fit(one, X[:30])
        one.train_on_batch(X[:7])
        fit(one, X[:30])
    for found, wanted in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_progress_bar_shows_the_metrics(capsys):
    model = vae()
    model.fit(X, verbose=1)
    model.evaluate(X, verbose=2)
    shown = capsys.readouterr().out
    for name in METRICS:
        assert shown.count(f"{name}: ") >= 2


# Every combination trains, in every mode

GRADIENTS = ("pathwise", "sticking_the_landing", "doubly_reparameterized", "score_function")
ALLOWED = [
    *(("elbo", gradient, kl) for gradient in ("pathwise", "score_function") for kl in ("analytic", "sampled")),
    ("elbo", "sticking_the_landing", "sampled"),
    *(("importance_weighted", gradient, "sampled") for gradient in GRADIENTS),
]


@pytest.mark.parametrize(("objective", "gradient", "kl"), ALLOWED)
def test_every_combination_lowers_the_loss(objective, gradient, kl):
    model = vae(objective=objective, gradient=gradient, kl=kl, num_samples=5)
    losses = fit(model, epochs=12)["loss"]
    assert losses[-1] < losses[0] - 0.25


def test_other_combinations_are_refused():
    for objective, gradient, kl in itertools.product(
        ["elbo", "importance_weighted"], GRADIENTS, ["analytic", "sampled"]
    ):
        if (objective, gradient, kl) not in ALLOWED:
            with pytest.raises(ValueError, match=r"(kl|gradient .*): expected .*; got "):
                vae(objective=objective, gradient=gradient, kl=kl)


MODES = {
    "eager": {"run_eagerly": True},
    "graph": {},
    "steps_5": {"steps_per_execution": 5},
    "xla": {"jit_compile": True},
    "xla_steps_3": {"jit_compile": True, "steps_per_execution": 3},
    "xla_steps_5": {"jit_compile": True, "steps_per_execution": 5},
    "as_keras_chooses": {"jit_compile": "auto"},
}


@pytest.fixture(scope="module")
def eager_history():
    return fit(vae(MODES["eager"]), X[:50], validation_data=X)


@pytest.mark.parametrize("mode", MODES)
def test_one_loss_in_every_mode(mode, eager_history):
    history = fit(vae(MODES[mode]), X[:50], validation_data=X)
    assert history.keys() == eager_history.keys()
    for name, values in history.items():
        np.testing.assert_allclose(values, eager_history[name], rtol=1e-5)


def test_an_uneven_last_batch_counts_by_its_examples():
    """Where nothing is learnt, all batches see one model; the closed-form KL has no noise."""
    kls = [
        fit(vae(still(steps), encoder=frozen_start(6, 4)), batch_size=size)["kl"] for size, steps in ((10, 4), (53, 1))
    ]
    np.testing.assert_allclose(*kls, rtol=1e-6)


def still(steps_per_execution=1):
    """Nothing is learnt."""
    return {"optimizer": keras.optimizers.SGD(0.0), "steps_per_execution": steps_per_execution}


def frozen_start(inputs, outputs):
    return keras.Sequential(
        [
            keras.Input([inputs]),
            keras.layers.Dense(outputs, kernel_initializer=keras.initializers.GlorotUniform(seed=5)),
        ]
    )


# Data of every form


class Batches(keras.utils.PyDataset):
    def __init__(self, x, size=10):
        super().__init__()
        self.x, self.size = x, size

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, i):
        return self.x[i * self.size : (i + 1) * self.size]


def generator(x, size=10):
    for start in range(0, len(x), size):
        yield x[start : start + size]


FORMS = {
    "dataset": lambda x: tf.data.Dataset.from_tensor_slices(x).batch(10),
    "dataset_of_tuples": lambda x: tf.data.Dataset.from_tensor_slices((x,)).batch(10),
    "pydataset": Batches,
    "generator": generator,
    "booleans": lambda x: x.astype(bool),
}


STREAMS = ("dataset", "dataset_of_tuples", "pydataset", "generator")


@pytest.fixture(scope="module")
def trained_on_an_array():
    model = vae()
    fit(model, shuffle=False, epochs=1)
    return model.get_weights(), evaluate(model), model.predict(X, verbose=0)


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_the_data_does_not_matter(form, trained_on_an_array):
    model, (weights, metrics, predictions) = vae(), trained_on_an_array
    fit(model, FORMS[form](X), shuffle=False, epochs=1, batch_size=None if form in STREAMS else 10)
    assert same(model.get_weights(), weights)
    if form in STREAMS:
        assert evaluate(model, FORMS[form](X)) == pytest.approx(metrics, rel=1e-6)
        np.testing.assert_allclose(model.predict(FORMS[form](X), verbose=0), predictions, rtol=1e-6)


def test_validation_data_of_every_form():
    plain = vae()
    expected = fit(plain, X[:40], epochs=1, validation_data=X[40:])
    assert {f"val_{name}" for name in METRICS} < expected.keys()
    at_the_end = evaluate(plain, X[40:])
    for name in METRICS:
        np.testing.assert_allclose(expected[f"val_{name}"][-1], at_the_end[name], rtol=1e-6)
    for data in [(X[40:],), FORMS["dataset"](X[40:]), Batches(X[40:])]:
        history = fit(vae(), X[:40], epochs=1, validation_data=data)
        for name, values in expected.items():
            np.testing.assert_allclose(history[name], values, rtol=1e-6)


@pytest.mark.parametrize("how", [{}, {"shuffle": False}], ids=["shuffled", "in_order"])
def test_validation_split_takes_the_last_examples(how):
    split, given = vae(), vae()
    history = fit(split, X[:50], validation_split=0.2, **how)
    assert history == fit(given, X[:40], validation_data=X[40:50], **how)
    assert same(split.get_weights(), given.get_weights())


def test_endless_data_and_steps():
    model = vae()
    history = fit(model, FORMS["dataset"](X).repeat(), batch_size=None, steps_per_epoch=3, epochs=4)
    assert len(history["loss"]) == 4
    assert int(model.optimizer.iterations) == 12


def test_binarized_anew_every_epoch():
    intensities = np.full([40, 6], 0.5, np.float32)
    how = {"batch_size": None, "epochs": 3, "shuffle": False}
    runs = [fit(vae(still()), datasets.dynamically_binarized(intensities, 10, seed=1), **how) for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(set(runs[0]["reconstruction"])) == 3


# Callbacks


class Record(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.betas, self.begun = [], 0

    def on_train_begin(self, logs=None):
        self.begun += 1

    def on_epoch_end(self, epoch, logs=None):
        self.betas.append(float(self.model.beta))


def test_callbacks_of_keras(tmp_path):
    model = vae()
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_elbo", mode="max", save_best_only=True),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.02 / (epoch + 1)),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TerminateOnNaN(),
    ]
    history = fit(model, validation_data=X, epochs=3, callbacks=callbacks)
    np.testing.assert_allclose(history["learning_rate"], [0.02, 0.01, 0.02 / 3], rtol=1e-6)
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose([float(row["val_elbo"]) for row in rows], history["val_elbo"])
    best = evaluate(keras.models.load_model(tmp_path / "best.keras"))
    np.testing.assert_allclose(best["elbo"], max(history["val_elbo"]), rtol=1e-6)


def test_early_stopping_watches_the_elbo():
    """A gain of less than 100 nats counts for nothing, so that the second epoch is the last, and the first the best."""
    stop = keras.callbacks.EarlyStopping("val_elbo", mode="max", min_delta=100.0, patience=1, restore_best_weights=True)
    model = vae()
    history = fit(model, validation_data=X, epochs=5, callbacks=stop)
    assert len(history["loss"]) == 2
    np.testing.assert_allclose(evaluate(model)["elbo"], history["val_elbo"][0], rtol=1e-6)


def test_a_run_that_blows_up_is_stopped():
    history = fit(
        vae({"optimizer": keras.optimizers.SGD(1e30)}), epochs=5, callbacks=[keras.callbacks.TerminateOnNaN()]
    )
    assert len(history["loss"]) == 1
    assert not np.isfinite(history["loss"][0])


def test_the_warm_up_reaches_the_compiled_step():
    """The loss of each epoch is that of its beta: the step is traced once, and sees the variable."""
    record = Record()
    model = vae({"steps_per_execution": 2})
    history = fit(model, epochs=4, callbacks=[BetaSchedule(num_epochs=2, start=0.2), record])
    np.testing.assert_allclose(record.betas, [0.2, 0.6, 1.0, 1.0], rtol=1e-6)
    kl, reconstruction = np.array(history["kl"]), np.array(history["reconstruction"])
    np.testing.assert_allclose(history["loss"], record.betas * kl - reconstruction, rtol=1e-5)
    assert (np.abs(history["loss"] - (kl - reconstruction)) > 1e-3).tolist() == [True, True, False, False]


# Widths of numbers


@pytest.fixture(scope="module")
def in_float32():
    model = vae()
    model.build((None, 6))
    return model.get_weights(), evaluate(model)["loss"], fit(model, epochs=4)["loss"]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_near_float32(policy, in_float32):
    """A net of 8 bits (bfloat16) has outputs with relative errors of some 2^-8; so has the loss, before training."""
    weights, loss, losses = in_float32
    model = vae(dtype=policy)
    model.build((None, 6))
    model.set_weights(weights)
    got = evaluate(model)["loss"]
    np.testing.assert_allclose(got, loss, rtol=2.0**-8)
    assert got != loss  # 16 bits were in use
    assert model.elbo(X, seed=0).dtype == tf.float32
    assert model.predict(X, verbose=0).dtype == np.float32
    np.testing.assert_allclose(fit(model, epochs=4)["loss"], losses, rtol=0.02)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_bound_is_summed_in_float32(policy):
    """With all weights zero the reconstruction is -D log 2, exactly; 16 bits hold no more than three digits of it."""
    model = vae(dtype=policy)
    model.build((None, 1001))
    model.set_weights([np.zeros_like(w) if w.ndim else w for w in model.get_weights()])
    exact = -1001 * np.log(2.0)
    np.testing.assert_allclose(evaluate(model, np.ones([5, 1001]))["reconstruction"], exact, rtol=1e-6)
    assert abs(float(tf.cast(tf.cast(exact, policy.removeprefix("mixed_")), tf.float64)) - exact) > 1e-5 * abs(exact)


def test_float64_throughout():
    single, double = vae(), vae(dtype="float64")
    double.build((None, 6))
    single.build((None, 6))
    double.set_weights(single.get_weights())
    assert {w.dtype.name for w in double.get_weights()} == {"float64", "int32"}  # the number of steps
    assert all(w.dtype == "float64" for w in double.trainable_weights)
    by_hand = double.elbo(X, seed=double.evaluation_seed)
    assert by_hand.dtype == tf.float64
    np.testing.assert_allclose(evaluate(double, batch_size=7)["elbo"], np.mean(by_hand), rtol=1e-12)
    assert double.predict(X, verbose=0).dtype == np.float64
    np.testing.assert_allclose(double.posterior(X).mean(), single.posterior(X).mean(), rtol=1e-4, atol=1e-6)
    fit(double)


# Runs that repeat, continue and resume


def test_one_seed_one_run_whatever_the_global_seeds():
    runs = []
    for seed, global_seed in ((0, 1), (0, 2), (5, 1)):
        keras.utils.set_random_seed(global_seed)
        runs.append(fitted_weights(vae(seed=seed), epochs=1))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_epochs_of_some_steps_repeat_too():
    runs = []
    for global_seed in (1, 2):
        keras.utils.set_random_seed(global_seed)
        runs.append(fitted_weights(vae(), epochs=3, steps_per_epoch=4))
    assert same(*runs)


def test_the_seed_decides_noise_and_order_apart_from_the_initial_weights():
    initial = vae(seed=0)
    initial.build((None, 6))
    losses = []
    for seed, how in ((0, {"shuffle": False}), (1, {"shuffle": False}), (1, {})):
        model = vae(still(), seed=seed)
        model.build((None, 6))
        model.set_weights(initial.get_weights())
        losses.append(fit(model, epochs=1, **how)["loss"][0])
    assert len(set(losses)) == 3


def test_without_a_seed_keras_decides():
    runs = []
    for global_seed in (1, 1, 2):
        keras.utils.set_random_seed(global_seed)
        model = vae(seed=None)
        runs.append([*model.reconstruct(X, seed=0).numpy(), model.evaluation_seed.numpy()])
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_two_fits_continue_each_other():
    once, twice = vae(), vae()
    history = fit(once, epochs=4)
    parts = [fit(twice, epochs=2) for _ in range(2)]
    assert same(once.get_weights(), twice.get_weights())
    assert history["loss"] == parts[0]["loss"] + parts[1]["loss"]


def test_the_order_differs_from_epoch_to_epoch():
    """Without noise and learning, what an epoch's first batch is made of shows in its metrics."""
    for how, expected in (({}, 4), ({"shuffle": False}, 1)):
        first = FirstBatch()
        fit(vae(still()), epochs=4, callbacks=[first], **how)
        assert len(set(first.kl)) == expected


class FirstBatch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.kl = []

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.kl.append(round(logs["kl"], 6))


def test_an_epoch_sees_every_example_once():
    """The Gaussian reconstruction at weights zero tells the sum of squares of what was seen, whatever the order."""
    model = vae(still(), likelihood=Gaussian(1.0, trainable=False))
    model.build((None, 1))
    model.set_weights([np.zeros_like(w) if w.ndim else w for w in model.get_weights()])
    x = 2.0 ** np.arange(12, dtype=np.float32)[:, None] ** 0.5
    history = fit(model, x, batch_size=5)
    expected = -0.5 * np.mean(x**2) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(history["reconstruction"], expected, rtol=1e-5)


class Kill(keras.callbacks.Callback):
    """Ends a run in the middle of an epoch, as from the keyboard."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            raise KeyboardInterrupt


RESUMED = {
    "shuffled": {},
    "in_order": {"shuffle": False},
    "split": {"validation_split": 0.2},
}


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_that_was_killed_resumes_as_if_unbroken(case, tmp_path):
    how = {"epochs": 4, **RESUMED[case]}
    unbroken, killed, resumed = vae(), vae(), vae()
    history = fit(unbroken, **how)
    backup = [keras.callbacks.BackupAndRestore(tmp_path)]
    with pytest.raises(KeyboardInterrupt):
        fit(killed, callbacks=[*backup, Kill(13)], **how)
    assert not same(killed.get_weights(), unbroken.get_weights())
    rest = fit(resumed, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)], **how)
    assert 1 <= len(rest["loss"]) < 4
    assert rest["loss"] == history["loss"][-len(rest["loss"]) :]
    assert same(resumed.get_weights(), unbroken.get_weights())


# Nets that behave differently in training


def encoder_with_dropout_and_batch_normalization():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input([6]),
            layers.Dense(16, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed=1)),
            layers.BatchNormalization(momentum=0.5),
            layers.Dropout(0.5, seed=2),
            layers.Dense(4, kernel_initializer=keras.initializers.GlorotUniform(seed=3)),
        ]
    )


def test_dropout_and_batch_normalization_are_on_in_fit_alone():
    model = vae(still(), encoder=encoder_with_dropout_and_batch_normalization())
    model.build((None, 6))
    state = model.get_weights()
    a, b = (evaluate(model, batch_size=size) for size in (7, 53))
    assert a == pytest.approx(b, rel=1e-6)
    for use in (model.posterior, model.elbo, model.reconstruct, model.log_marginal, model):
        use(X)
    model.predict(X, verbose=0)
    assert same(model.get_weights(), state)
    kl = fit(model, epochs=3, batch_size=53, shuffle=False)["kl"]
    assert len(set(kl)) == 3  # dropout's noise: nothing was learnt, and the closed-form KL has none of its own
    assert not same(model.get_weights(), state)  # the moving averages


# What nets and optimizers bring along


def kernel_after(compiled, regularizer):
    encoder = keras.Sequential([keras.layers.Dense(4, kernel_regularizer=regularizer, kernel_initializer=GLOROT)])
    model = VAE(encoder, [4], 2, seed=0)
    model.compile(**{"optimizer": keras.optimizers.SGD(0.01), "jit_compile": False, **compiled})
    fit(model)
    return model.encoder.get_weights()[0]


GLOROT = keras.initializers.GlorotUniform(seed=3)


@pytest.mark.parametrize("mode", ["eager", "steps_5", "xla_steps_5"])
def test_regularizers_are_charged(mode):
    free, held = (kernel_after(MODES[mode], r) for r in (None, keras.regularizers.L2(2.0)))
    assert np.linalg.norm(held) < 0.8 * np.linalg.norm(free)
    np.testing.assert_allclose(held, kernel_after({"run_eagerly": True}, keras.regularizers.L2(2.0)), rtol=1e-4)


@pytest.mark.parametrize("mode", ["steps_5", "xla_steps_5"])
def test_accumulated_batches_have_noise_of_their_own(mode):
    """Four batches of one accumulated update are as good as one of four times the size only if their noise differs."""
    accumulate = keras.optimizers.SGD(0.05, gradient_accumulation_steps=4)
    losses = [
        fit(vae({**MODES[m], "optimizer": accumulate.from_config(accumulate.get_config())}))["loss"]
        for m in ("eager", mode)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    model = vae({"optimizer": accumulate})
    steps = [model.training_noise(0, 3, step) for step in range(5)]
    seen = []
    model.learn = lambda x, eps, n, learn=model.learn: (seen.append(eps), learn(x, eps, n))
    model.run_eagerly = True
    fit(model, X[:50], epochs=1)
    assert len(seen) == 5
    for found, table in zip(seen, steps, strict=True):
        np.testing.assert_allclose(found[:, :3], table, rtol=1e-6)


def test_a_callback_may_take_a_step_of_its_own():
    class Step(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert np.isfinite(self.model.train_on_batch(X[:7])).all()

    for compiled in ({}, {"jit_compile": True, "steps_per_execution": 3}):
        model = vae(compiled)
        fit(model, X[:30], callbacks=[Step()])
        assert int(model.steps_taken) == 8


def test_neighbouring_seeds_have_nothing_in_common():
    kernels = []
    for seed in (0, 1, 2):
        model = VAE([8], [8], 8, seed=seed)
        model.build((None, 8))
        kernels += [w.ravel()[:64] for net in (model.encoder, model.decoder) for w in net.get_weights()[::2]]
    correlations = np.corrcoef(kernels) - np.eye(len(kernels))
    assert np.abs(correlations).max() < 0.55  # 66 pairs of 64 numbers: 4.4 standard errors


def test_data_are_differentiable():
    x = tf.constant(X[:5])
    model = vae()
    with tf.GradientTape() as tape:
        tape.watch(x)
        bound = model.elbo(x, seed=1)
    found = tape.gradient(bound, x)
    wanted = tf.function(lambda a: tf.gradients(model.elbo(a, seed=1), a)[0])(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_log_marginal_is_the_same_in_chunks(monkeypatch):
    model = vae()
    whole = model.log_marginal(X[:9], num_samples=50, seed=2)
    monkeypatch.setattr("companion.vae.model.MOST_NUMBERS", 60)
    monkeypatch.setattr("companion._training.chunks.MOST_NUMBERS", 60)
    np.testing.assert_allclose(model.log_marginal(X[:9], num_samples=50, seed=2), whole, rtol=1e-5)


def test_a_warm_up_needs_a_loss_with_beta():
    model = vae(objective="importance_weighted", num_samples=2)
    with pytest.raises(
        ValueError, match=r"BetaSchedule: expected a VAE with objective=.elbo.; got 'importance_weighted'"
    ):
        fit(model, callbacks=[BetaSchedule(2)])


def test_variables_in_a_prior_are_refused():
    prior = tfd.Independent(tfd.Normal(tf.Variable([3.0, 3.0]), 1.0), 1)
    with pytest.raises(
        ValueError, match=r"prior: expected a distribution of constants; .*Independent with tf.Variables"
    ):
        VAE([4], [4], 2, prior=prior)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_samples_are_the_same_in_every_mode(likelihood):
    model = vae(likelihood=likelihood)
    model.build((None, X.shape[1]))
    eager = model.sample(5, seed=1)
    for jit_compile in (False, True):
        compiled = tf.function(lambda: model.sample(5, seed=1), jit_compile=jit_compile)()
        np.testing.assert_allclose(eager, compiled, rtol=1e-5, atol=1e-6)
