"""Bad input, through every door: an error that says the argument, what was expected and what came; never NaN."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import VAE
from companion.vae import BetaSchedule, Gaussian

X = (np.random.default_rng(0).random([20, 6]) < 0.4).astype(np.float32)


def vae(built=True, **options):
    model = VAE(**{"encoder": [4], "decoder": [4], "latent_dim": 2, "seed": 0, **options})
    model.compile("adam", run_eagerly=True)
    if built:
        model.build((None, 6))
    return model


def refused(error, argument, expected, got):
    """A context in which an error with the three parts of a message has to come."""
    return pytest.raises(error, match=rf"^{argument}.*: expected [\s\S]*{expected}[\s\S]*; got [\s\S]*{got}")


# Data: doors times badness


class Batches(keras.utils.PyDataset):
    def __init__(self, x, targets=False):
        super().__init__()
        self.x, self.targets = x, targets

    def __len__(self):
        return 3

    def __getitem__(self, i):
        x = self.x[8 * i : 8 * (i + 1)]
        return (x, x) if self.targets else x


def dataset(x):
    return tf.data.Dataset.from_tensor_slices(x).batch(8)


def generator(x):
    yield from (x[:8], x[8:16], x[16:])


def untold(x):
    """A dataset that does not tell its shape."""
    return tf.data.Dataset.from_generator(lambda: generator(x), output_signature=tf.TensorSpec(None, x.dtype))


ARRAYS = {
    "fit": lambda model, x: model.fit(x, verbose=0),
    "evaluate": lambda model, x: model.evaluate(x, verbose=0),
    "predict": lambda model, x: model.predict(x, verbose=0),
    "validation_data": lambda model, x: model.fit(X, validation_data=x, verbose=0),
    "elbo": lambda model, x: model.elbo(x, seed=0),
    "log_marginal": lambda model, x: model.log_marginal(x, 3, seed=0),
    "posterior": lambda model, x: model.posterior(x),
    "reconstruct": lambda model, x: model.reconstruct(x, seed=0),
}
STREAMS = {
    f"{name}-{form.__name__}": (ARRAYS[name], form)
    for name in ("fit", "evaluate", "predict", "validation_data")
    for form in (dataset, Batches, generator)
}
STREAMS["fit-untold"] = (ARRAYS["fit"], untold)


def changed(value):
    x = X.copy()
    x[13, 2] = value
    return x


OUTSIDE, FINITE, SHAPE = (
    r"(numbers in \[0, 1\]|between 0 and 1)",
    "finite numbers",
    r"(\[num_examples, 6\]|\(None, 6\))",
)
NUMBERS = "an array of numbers"
BAD = {
    "above": (changed(1.5), ValueError, OUTSIDE, "1.5"),
    "below": (changed(-0.25), ValueError, OUTSIDE, "-0.25"),
    "nan": (changed(np.nan), ValueError, FINITE, "nan"),
    "infinite": (changed(np.inf), ValueError, FINITE, "inf"),
    "uint8": ((255 * X).astype(np.uint8), ValueError, OUTSIDE, "255"),
    "wide": (np.zeros([20, 7], np.float32), ValueError, SHAPE, "7"),
    "one_column": (np.zeros([20, 1], np.float32), ValueError, SHAPE, "1"),
    "another_axis": (np.zeros([20, 6, 1], np.float32), ValueError, SHAPE, "6, 1"),
    "one_axis": (np.zeros([20], np.float32), ValueError, SHAPE, "shape"),
    "strings": (np.full([20, 6], "0"), TypeError, NUMBERS, "shape"),
    "complex": (X.astype(complex), TypeError, NUMBERS, "complex"),
}
NO_ARRAYS = {
    "empty": (X[:0], ValueError, "at least one example", r"\[0, 6\]"),
    "none_inside": (np.full([20, 6], None), TypeError, NUMBERS, ""),
    "ragged": ([[1.0, 0.0], [1.0]], TypeError, NUMBERS, r"\[\[1.0, 0.0\], \[1.0\]\]"),
    "a_number": (3.0, ValueError, "at least one example", r"shape \[\]"),
    "a_string": ("hello", TypeError, NUMBERS, "'hello'"),
    "a_mapping": ({"x": X}, TypeError, NUMBERS, "dict"),
}


@pytest.fixture(scope="module")
def shared():
    """One built model for all refusals."""
    return vae()


def argument_of(door):
    return "validation_data" if door.startswith("validation") else "x"


@pytest.mark.parametrize("door", ARRAYS)
def test_bad_arrays_are_refused_at_every_door(door, shared):
    """None counts as no validation data; and what is refused trains nothing."""
    weights = shared.get_weights()
    for bad, error, expected, got in [*BAD.values(), *NO_ARRAYS.values()]:
        with refused(error, argument_of(door), expected, got):
            ARRAYS[door](shared, bad)
    if door != "validation_data":
        with refused((TypeError, ValueError), "x", "", "None"):
            ARRAYS[door](shared, None)
    assert all(map(np.array_equal, weights, shared.get_weights()))


@pytest.mark.parametrize("door", STREAMS)
def test_bad_streams_are_refused_at_every_door(door):
    run, form = STREAMS[door]
    model = vae()
    for bad, error, expected, got in BAD.values():
        if form is untold and bad.dtype.kind in "U":
            continue
        if form is not generator or error is ValueError:
            with refused(error, argument_of(door), expected, got):
                run(model, form(bad))


@pytest.mark.parametrize("door", ["fit", "evaluate", "predict", "elbo", "posterior"])
def test_bad_arrays_are_refused_by_a_model_that_is_not_built(door):
    model = vae(built=False)
    for name in ("above", "nan", "one_axis", "strings", "complex", *NO_ARRAYS):
        bad, error, expected, got = {**BAD, **NO_ARRAYS}[name]
        with refused(error, "x", "" if expected == SHAPE else expected, got):
            ARRAYS[door](model, bad)


def test_good_data_of_other_widths_pass_at_every_door():
    for x in (X.astype(float), X.astype(bool), X.astype(int), X.tolist(), tf.constant(X)):
        model = vae()
        np.testing.assert_allclose(model.elbo(x, seed=0), vae().elbo(X, seed=0), rtol=1e-6)
        assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()


def test_all_finite_numbers_are_welcome_to_a_gaussian():
    model = vae(likelihood="gaussian")
    for x in (changed(1.5), changed(-3.0)):
        assert np.isfinite(model.elbo(x, seed=0)).all()
        assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()
    with refused(ValueError, "x", FINITE, "nan"):
        model.fit(changed(np.nan), verbose=0)


def test_empty_datasets():
    for door in ("fit", "evaluate", "predict", "validation_data"):
        with refused(ValueError, argument_of(door), "", ""):
            ARRAYS[door](vae(), dataset(X[:0]))


def test_datasets_of_mappings_and_of_unknown_shape():
    for door in ("fit", "evaluate", "predict"):
        with refused((TypeError, ValueError), "x", "", ""):
            ARRAYS[door](vae(), dataset({"x": X}))
        with refused((TypeError, ValueError), "x", "shape", "unknown"):
            ARRAYS[door](vae(built=False), untold(X))
    assert np.isfinite(vae().fit(untold(X), verbose=0).history["loss"]).all()


# Targets and weights


@pytest.mark.parametrize("door", ["fit", "evaluate"])
def test_targets_and_weights_are_refused(door):
    run = functools.partial(getattr(vae(), door), verbose=0)
    with refused(ValueError, "y", f"nothing: {door} takes examples alone", r"float32 of shape \[20, 6\]"):
        run(X, X)
    with refused(ValueError, "sample_weight", "nothing", r"float64 of shape \[20\]"):
        run(X, sample_weight=np.ones(20))
    for data in (
        (X, X),
        (X, None, np.ones(20)),
        dataset((X, X)),
        Batches(X, targets=True),
        ((x, x) for x in generator(X)),
    ):
        with refused(ValueError, "x", "examples alone", "targets or weights"):
            run(data)


def test_class_weights_and_targets_in_validation_data_are_refused():
    with refused(ValueError, "class_weight", "nothing", "{0: 2.0}"):
        vae().fit(X, class_weight={0: 2.0})
    for data in ((X, X), dataset((X, X)), Batches(X, targets=True)):
        with refused(ValueError, "validation_data", "examples alone", "targets"):
            vae().fit(X, validation_data=data, verbose=0)


def test_a_place_for_targets_that_holds_none_is_no_target():
    model = vae()
    model.fit((X, None), validation_data=(X, None), verbose=0)


@pytest.mark.parametrize("split", [-0.1, 1.0, 1.5, 0.99, "half", True])
def test_a_validation_split_that_leaves_nothing_is_refused(split):
    with refused(ValueError, "validation_split", "", str(split)):
        vae().fit(X, validation_split=split, verbose=0)


def test_batches_are_checked_too():
    model = vae()
    for name in ("above", "nan", "wide", "another_axis"):
        bad, error, expected, got = BAD[name]
        for door in (model.train_on_batch, model.test_on_batch, model.predict_on_batch):
            with refused(error, "x", expected, got):
                door(bad)
        with pytest.raises(error, match=rf"x.*: expected .*{expected}"):  # Keras writes around it
            model(bad)


def test_a_graph_refuses_bad_numbers_and_shapes():
    elbo = tf.function(functools.partial(vae().elbo, seed=0))
    np.testing.assert_allclose(elbo(X), vae().elbo(X, seed=0), rtol=1e-6)
    for name in ("above", "nan"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"x.*: expected "):
            elbo(BAD[name][0])
    with pytest.raises(ValueError, match=r"x: expected shape \[None, 6\]"):
        elbo(BAD["wide"][0])


# The model's own arguments

dense = functools.partial(keras.layers.Dense, name="net")


def net(inputs, *layers):
    return keras.Sequential([keras.Input(inputs), *layers])


def two_outputs():
    x = keras.Input([6])
    return keras.Model(x, [keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)])


BAD_NETS = {
    "too_few_numbers": (
        {"encoder": net([6], dense(2))},
        r"encoder",
        r"\[batch, 4\], numbers for the posterior",
        r"\[batch, 2\]",
    ),
    "for_the_other_posterior": (
        {"encoder": net([6], dense(4)), "posterior_family": "full_covariance"},
        "encoder",
        r"\[batch, 5\]",
        r"\[batch, 4\]",
    ),
    "two_outputs": ({"encoder": two_outputs()}, "encoder", r"\[batch, 4\]", "several outputs"),
    "other_examples": ({"encoder": net([7], dense(4))}, "encoder", r"a net that takes shape \[batch, 6\]", "shape"),
    "no_flat_output": (
        {"encoder": net([6], keras.layers.Reshape([6, 1]), dense(4))},
        "encoder",
        r"\[batch, 4\]",
        "6, 4",
    ),
    "one_pixel": (
        {"decoder": net([2], dense(1))},
        "decoder",
        r"\[batch, 6\], the shape of an example",
        r"\[batch, 1\]",
    ),
    "another_shape": (
        {"decoder": net([2], dense(6), keras.layers.Reshape([6, 1]))},
        "decoder",
        r"\[batch, 6\]",
        r"\[batch, 6, 1\]",
    ),
    "other_latents": ({"decoder": net([3], dense(6))}, "decoder", r"a net that takes shape \[batch, 2\]", "shape"),
}


@pytest.mark.parametrize("case", BAD_NETS)
def test_nets_that_do_not_fit_are_refused_at_every_door(case):
    options, *message = BAD_NETS[case]
    for door in ("fit", "elbo", "predict"):
        with refused(ValueError, *message):
            ARRAYS[door](vae(built=False, **options), X)
    with refused(ValueError, *message):
        vae(**options)


N = tfd.Normal
BAD_ARGUMENTS = {
    "objective": ({"objective": "iwae"}, ValueError, "objective", "one of elbo, importance_weighted", "'iwae'"),
    "gradient": ({"gradient": "reparam"}, ValueError, "gradient", "pathwise", "'reparam'"),
    "doubly": (
        {"gradient": "doubly_reparameterized"},
        ValueError,
        r'gradient \(objective="elbo"\)',
        "pathwise",
        "doubly",
    ),
    "kl": ({"kl": "exact"}, ValueError, "kl", "one of analytic, sampled", "'exact'"),
    "kl_stl": (
        {"kl": "analytic", "gradient": "sticking_the_landing"},
        ValueError,
        "kl",
        '"sampled"',
        "sticking_the_landing",
    ),
    "kl_iw": (
        {"kl": "analytic", "objective": "importance_weighted"},
        ValueError,
        "kl",
        '"sampled"',
        "importance_weighted",
    ),
    "kl_unknown": (
        {
            "kl": "analytic",
            "prior": tfd.MixtureSameFamily(tfd.Categorical([0.0, 0.0]), tfd.MultivariateNormalDiag(tf.zeros([2, 2]))),
        },
        ValueError,
        "kl",
        "a closed form",
        "DiagonalNormal",
    ),
    "beta": ({"beta": -1.0}, ValueError, "beta", "zero or more", "-1.0"),
    "beta_nan": ({"beta": float("nan")}, ValueError, "beta", "zero or more", "nan"),
    "beta_string": ({"beta": "1"}, ValueError, "beta", "a number", "'1'"),
    "beta_iw": ({"beta": 0.5, "objective": "importance_weighted"}, ValueError, "beta", "1 for the importance", "0.5"),
    "likelihood": ({"likelihood": "poisson"}, ValueError, "likelihood", '"bernoulli", "gaussian"', "'poisson'"),
    "posterior": (
        {"posterior_family": "flow"},
        ValueError,
        "posterior_family",
        '"diagonal", "full_covariance"',
        "'flow'",
    ),
    "latent_dim": ({"latent_dim": 0}, ValueError, "latent_dim", "at least 1", "0"),
    "latent_dim_float": ({"latent_dim": 2.0}, ValueError, "latent_dim", "an integer", "2.0"),
    "num_samples": ({"num_samples": 0}, ValueError, "num_samples", "at least 1", "0"),
    "seed": ({"seed": -1}, ValueError, "seed", "at least 0", "-1"),
    "widths": ({"encoder": [8, 0]}, ValueError, r"encoder\[1\]", "at least 1", "0"),
    "width": ({"decoder": 8}, TypeError, "decoder", "a Keras model or a list of widths", "8"),
    "prior": ({"prior": "normal"}, TypeError, "prior", r"a Keras layer whose distribution\(\)", "'normal'"),
    "prior_event": (
        {"prior": N(0.0, 1.0)},
        ValueError,
        "prior",
        r"event shape \[2\] and no batch",
        r"event shape \(\)",
    ),
    "prior_batch": ({"prior": N([0.0, 0.0], 1.0)}, ValueError, "prior", r"event shape \[2\]", r"batch shape \(2,\)"),
    "prior_size": ({"prior": tfd.Independent(N(tf.zeros(3), 1.0), 1)}, ValueError, "prior", r"\[2\]", r"\(3,\)"),
    "prior_width": (
        {"prior": tfd.Independent(N(tf.zeros(2, tf.float64), tf.ones([], tf.float64)), 1)},
        ValueError,
        "prior",
        "float32",
        "float64",
    ),
    "prior_scale": (
        {"prior": tfd.Independent(N([0.0, 0.0], [1.0, -1.0]), 1)},
        ValueError,
        "prior",
        "valid",
        "scale=.*-1",
    ),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments_are_refused_when_the_model_is_made(case):
    options, *message = BAD_ARGUMENTS[case]
    with refused(*message):
        vae(built=False, **options)


def test_bad_parts():
    for scale in (0.0, -1.0):
        with refused(ValueError, "scale", "positive", str(scale)):
            Gaussian(scale)
    with refused(ValueError, "num_epochs", "at least 1", "0"):
        BetaSchedule(0)
    with refused(ValueError, "start", "zero or more", "-0.5"):
        BetaSchedule(3, start=-0.5)
    with refused(ValueError, "end", "zero or more", "inf"):
        BetaSchedule(3, end=float("inf"))


def test_compile_takes_no_loss_and_no_metrics():
    for name in ("loss", "metrics", "weighted_metrics"):
        with refused(ValueError, f"compile's {name}", "nothing", "mse"):
            vae().compile("adam", **{name: "mse"})


# The other methods


@pytest.mark.parametrize("z", [np.zeros([3, 3]), np.zeros([2, 1]), 0.0, np.zeros([4])])
def test_latents_of_another_shape_are_refused(z):
    with refused(ValueError, "z", r"latents, shape \[..., 2\]", "shape"):
        vae().decode(np.asarray(z, np.float32))


def test_latents_that_are_no_finite_numbers_are_refused():
    with refused(ValueError, "z", "finite", "nan"):
        vae().decode([[0.0, np.nan]])
    with refused(TypeError, "z", "numbers", "'a', 'b'"):
        vae().decode([["a", "b"]])


def test_a_model_that_is_not_built_cannot_decode():
    for use in (lambda model: model.decode([[0.0, 0.0]]), lambda model: model.sample(2, seed=0)):
        with refused(ValueError, "the model", "knows the shape of its data", "not built"):
            use(vae(built=False))


def test_shapes_that_cannot_be_built_for():
    for shape in ((None,), (None, None), (None, 3, None)):
        with refused(ValueError, "input_shape", "all lengths of the event known", "None"):
            vae(built=False).build(shape)


@pytest.mark.parametrize("n", [0, -1, 2.5, "three", True])
def test_numbers_of_samples(n):
    model = vae()
    for argument, use in (("n", model.sample), ("num_samples", lambda n: model.elbo(X, n))):
        with refused(ValueError, argument, "an integer of at least 1", ""):
            use(n)
    with refused(ValueError, "num_samples", "an integer of at least 1", ""):
        model.log_marginal(X, n)


def test_seeds_that_are_none():
    model = vae()
    for use in (model.sample, model.elbo, model.log_marginal, model.reconstruct):
        with refused(TypeError, "seed", "an integer", "'x'"):
            use(3 if use == model.sample else X, seed="x")


def test_a_model_that_is_not_compiled_says_so():
    model = VAE([4], [4], 2, seed=0)
    for door in ("fit", "evaluate"):
        with pytest.raises(ValueError, match=r"You must call `compile\(\)`"):
            ARRAYS[door](model, X)
