"""Bad and odd input of bijectors and flows: an error that says argument, expected and got, or the right numbers."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from flow_cases import BIJECTORS, MAKERS, trained
from modes import MODES
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import Flow
from companion import bijectors as cb
from companion import flows as cf

X = np.random.default_rng(0).standard_normal([20, 2]).astype(np.float32)
C = np.random.default_rng(1).standard_normal([20, 3]).astype(np.float32)
CASES = pytest.mark.parametrize("case", BIJECTORS, ids=lambda case: case.name)


def coupling(**options):
    return cb.AffineCoupling(**{"dim": 2, "hidden": [4], "seed": 0, **options})


@functools.cache
def flow(context_dim=None):
    made = trained(cf.coupling_flow(2, layers=2, hidden=[4], context_dim=context_dim, seed=0))
    made.compile("adam", jit_compile=False)
    return made


def refused(argument, expected="", got="", error=(TypeError, ValueError)):
    """A context in which an error with the three parts of a message has to come."""
    return pytest.raises(error, match=rf"^{argument}[\s\S]*: expected [\s\S]*{expected}[\s\S]*; got [\s\S]*{got}")


# Making bijectors

ARGUMENTS = {
    "planar-dim": (lambda: cb.Planar(0), "dim", "at least 1", "0"),
    "radial-dim": (lambda: cb.Radial(2.5), "dim", "integer", "2.5"),
    "radial-seed": (lambda: cb.Radial(2, seed=-1), "seed", "at least 0", "-1"),
    "planar-context": (lambda: cb.Planar(2, context_dim=0), "context_dim", "at least 1", "0"),
    "planar-dtype": (lambda: cb.Planar(2, dtype="float16"), "dtype", "float32", "float16"),
    "coupling-dim": (lambda: coupling(dim=1), "dim", "at least 2", "1"),
    "coupling-hidden": (lambda: coupling(hidden=5), "hidden", "widths", "5"),
    "coupling-width": (lambda: coupling(hidden=[4, 0]), r"hidden\[1\]", "at least 1", "0"),
    "coupling-reverse": (lambda: coupling(reverse=2), "reverse", "True", "2"),
    "coupling-net": (lambda: coupling(net="dense"), "net", "Keras", "'dense'"),
    "coupling-net-outputs": (lambda: coupling(net=keras.layers.Dense(3)), "net", r"\[batch, 2\]", r"\[batch, 3\]"),
    "coupling-net-inputs": (
        lambda: coupling(net=keras.Sequential([keras.Input([2]), keras.layers.Dense(2)])),
        "net",
        r"\[batch, 1\]",
        "",
    ),
    "spline-net": (lambda: cb.SplineCoupling(2, bins=4, net=keras.layers.Dense(2)), "net", r"\[batch, 11\]", "2"),
    "spline-bins": (lambda: cb.SplineCoupling(2, bins=1), "bins", "at least 2", "1"),
    "spline-many-bins": (lambda: cb.SplineCoupling(2, bins=500), "bins", "fewer than 500", "500"),
    "spline-bound": (lambda: cb.SplineCoupling(2, bound=0.0), "bound", "positive", "0.0"),
    "masked-transform": (lambda: cb.MaskedAutoregressive(2, transform="cubic"), "transform", "affine", "cubic"),
    "masked-order": (lambda: cb.MaskedAutoregressive(3, order=[0, 1, 1]), "order", "0 to 2", r"\[0, 1, 1\]"),
    "masked-order-word": (lambda: cb.MaskedAutoregressive(3, order="random"), "order", "left_to_right", "random"),
    "masked-order-short": (lambda: cb.InverseAutoregressive(3, order=[0, 1]), "order", "0 to 2", r"\[0, 1\]"),
    "masked-hidden": (lambda: cb.MaskedAutoregressive(2, hidden=keras.layers.Dense(2)), "hidden", "widths", "Dense"),
    "inverse-dim": (lambda: cb.InverseAutoregressive("2"), "dim", "integer", "'2'"),
    "actnorm-dim": (lambda: cb.ActNorm(0), "dim", "at least 1", "0"),
    "permutation-twice": (lambda: cb.Permutation([0, 0]), "permutation", "each once", r"\[0, 0\]"),
    "permutation-floats": (lambda: cb.Permutation([0.0, 1.0]), "permutation", "each once", ""),
    "permutation-empty": (lambda: cb.Permutation(np.zeros([0], int)), "permutation", "", ""),
    "permutation-matrix": (lambda: cb.Permutation([[0, 1]]), "permutation", "each once", r"\[\[0, 1\]\]"),
    "permutation-seed": (lambda: cb.Permutation.random(3, -1), "seed", "at least 0", "-1"),
}


@pytest.mark.parametrize(("make", "argument", "expected", "got"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_bad_arguments_of_bijectors_are_refused(make, argument, expected, got):
    with refused(argument, expected, got):
        make()


# Using them

METHODS = ("forward", "inverse", "forward_log_det_jacobian", "inverse_log_det_jacobian", "forward_and_log_det")


@CASES
def test_vectors_of_another_length_or_width_are_refused(case):
    bijector = case.bijector(3)
    for method in METHODS:
        for bad in (np.zeros([5, 4]), np.zeros([5, 1]), np.zeros([0])):
            with refused("[xy] of ", r"\[\.\.\., 3\]", "shape", ValueError):
                getattr(bijector, method)(bad)
    for method in ("forward_and_log_det", "inverse_and_log_det"):
        with refused("[xy] of ", "float64", "float32", TypeError):
            getattr(bijector, method)(np.zeros([5, 3], np.float32))


@CASES
def test_no_vectors_and_many_dimensions(case):
    """Shapes [0, 3], [3] and [2, 4, 3], in every order: each row is what it is alone."""
    bijector, x = case.bijector(3), case.points(3, shape=(2, 4))
    rows = np.array([[bijector.forward(v) for v in row] for row in x])
    for points, expected in ((x[0, 0], rows[0, 0]), (x, rows), (x[:, :0], rows[:, :0]), (x[0], rows[0])):
        y, log_det = bijector.forward_and_log_det(points)
        np.testing.assert_allclose(y, expected, rtol=1e-9)
        assert y.shape == points.shape
        assert log_det.shape == points.shape[:-1]
        back, _ = bijector.inverse_and_log_det(y)
        np.testing.assert_allclose(back, points, atol=1e-7)


@CASES
def test_contexts_of_bijectors_are_checked(case):
    x = case.points(2, shape=(5,))
    with refused("context of ", "nothing", "shape", ValueError):
        case.bijector(2).forward(x, context=np.zeros([5, 3]))
    if not case.conditional:
        return
    bijector, context = case.bijector(2, context_dim=3), np.random.default_rng(3).standard_normal([5, 3])
    with refused("context of ", "3", "nothing", ValueError):
        bijector.forward(x)
    for bad in (context[:, :2], context[:4], context[None]):
        with refused("context of ", "", "shape", ValueError):
            bijector.forward(x, context=bad)
    with refused("context of ", "finite", "nan", ValueError):
        bijector.forward(x, context=np.where(context > 0, np.nan, context))
    one = bijector.forward(x, context=context[0])
    np.testing.assert_allclose(one, bijector.forward(x, context=np.tile(context[:1], [5, 1])), rtol=1e-9)
    assert np.abs(one - bijector.forward(x, context=context)).max() > 1e-6


def test_actnorm_starts_from_good_data_alone():
    for bad in (np.full([4, 2], np.nan, np.float32), np.zeros([4, 3], np.float32)):
        norm = cb.ActNorm(2)
        with refused("y"):
            norm.initialize(bad)
        assert not norm.initialized


# Making flows

FLOWS = {
    "none": (lambda: Flow([]), "bijectors", "list", r"\[\]"),
    "one": (lambda: Flow(coupling()), "bijectors", "list", "AffineCoupling"),
    "layers": (lambda: Flow([keras.layers.Dense(2)]), r"bijectors\[0\]", "tfb.Bijector", "Dense"),
    "class": (lambda: Flow([coupling(), tfb.Exp]), r"bijectors\[1\]", "tfb.Bijector", "Exp"),
    "lengths": (lambda: Flow([coupling(), cb.ActNorm(3)]), r"bijectors\[0\]", r"\(3,\)", ""),
    "event_shape": (lambda: Flow([coupling()], event_shape=3), r"bijectors\[0\]", r"\(3,\)", ""),
    "no_event_shape": (lambda: Flow([tfb.Exp()]), "event_shape", "shape", "None"),
    "empty_event_shape": (lambda: Flow([tfb.Exp()], event_shape=[]), "event_shape", "at least one", r"\[\]"),
    "unknown_length": (lambda: Flow([tfb.Exp()], event_shape=[None]), r"event_shape\[0\]", "integer", "None"),
    "matrices": (
        lambda: Flow([tfb.FillTriangular()], event_shape=[2, 2]),
        r"bijectors\[0\]",
        "keeps the number",
        "FillTriangular",
    ),
    "scale_of_three": (lambda: Flow([tfb.Scale([1.0, 2.0, 3.0])], event_shape=2), r"bijectors\[0\]", "", "Scale"),
    "widths": (lambda: Flow([coupling(), cb.ActNorm(2, "float64")]), "dtype", "one width", "float32, float64"),
    "contexts": (
        lambda: Flow([coupling(context_dim=2), coupling(context_dim=3)]),
        "bijectors",
        "one context_dim",
        "2, 3",
    ),
    "hidden_context": (
        lambda: Flow([tfb.Blockwise([coupling(context_dim=2)], [2])]),
        r"bijectors\[0\]",
        "context",
        "Blockwise",
    ),
    "base": (lambda: Flow([coupling()], base="normal"), "base", "tfd.Distribution", "'normal'"),
    "base_of_scalars": (lambda: Flow([coupling()], base=tfd.Normal(0.0, 1.0)), "base", r"event shape \(2,\)", ""),
    "base_with_batch": (
        lambda: Flow([coupling()], base=tfd.MultivariateNormalDiag(np.zeros([4, 2], "f"))),
        "base",
        "no batch",
        r"\(4,\)",
    ),
    "base_of_float64": (
        lambda: Flow([coupling()], base=tfd.MultivariateNormalDiag(np.zeros(2))),
        "dtype",
        "",
        "float64",
    ),
    "base_invalid": (
        lambda: Flow([coupling()], base=tfd.Independent(tfd.Normal([0.0, 0.0], [1.0, -1.0]), 1)),
        "base",
        "valid parameters",
        "-1",
    ),
    "seed": (lambda: Flow([coupling()], seed=-1), "seed", "at least 0", "-1"),
    "maker-dim": (lambda: cf.coupling_flow(1), "dim", "at least 2", "1"),
    "maker-layers": (lambda: cf.planar_flow(2, layers=0), "layers", "at least 1", "0"),
    "maker-transform": (lambda: cf.coupling_flow(2, transform="cubic"), "transform", "spline", "cubic"),
    "maker-direction": (lambda: cf.autoregressive_flow(2, direction="up"), "direction", "sampling", "up"),
    "maker-order": (lambda: cf.autoregressive_flow(3, order=[0, 0, 1]), "order", "", r"\[0, 0, 1\]"),
    "maker-order-word": (lambda: cf.autoregressive_flow(3, order="up"), "order", "left_to_right", "up"),
}


@pytest.mark.parametrize(("make", "argument", "expected", "got"), FLOWS.values(), ids=FLOWS)
def test_bad_arguments_of_flows_are_refused(make, argument, expected, got):
    with refused(argument, expected, got):
        make()


# Points and contexts of flows

DOORS = {
    "log_prob": lambda f, x: f.log_prob(x),
    "inverse_and_log_det": lambda f, x: f.inverse_and_log_det(x),
    "forward_and_log_det": lambda f, x: f.forward_and_log_det(x),
    "intermediate": lambda f, x: f.intermediate(x),
    "fit": lambda f, x: f.fit(x, verbose=0),
    "evaluate": lambda f, x: f.evaluate(x, verbose=0),
    "predict": lambda f, x: f.predict(x, verbose=0),
    "train_on_batch": lambda f, x: f.train_on_batch(x),
    "test_on_batch": lambda f, x: f.test_on_batch(x),
    "validation_data": lambda f, x: f.fit(X, validation_data=x, verbose=0),
}
BAD = {
    "wide": np.zeros([20, 3], np.float32),
    "narrow": np.zeros([20, 1], np.float32),
    "number": 3.0,
    "nan": np.where(X > 1, np.nan, X),
    "infinite": np.where(X > 1, np.inf, X),
    "beyond_float32": np.array([[1e300, 0.0]]),
    "words": np.full([20, 2], "0"),
    "complex": X.astype(complex),
    "ragged": [[1.0, 0.0], [1.0]],
    "mapping": {"x": X},
}


@pytest.mark.parametrize("door", DOORS)
def test_bad_points_are_refused_at_every_door(door):
    """And what is refused trains nothing."""
    before = flow().get_weights()
    for bad in BAD.values():
        with refused("(x|eps|validation_data)"):
            DOORS[door](flow(), bad)
    assert all(map(np.array_equal, before, flow().get_weights()))


def test_nan_is_refused_inside_of_a_graph_too():
    with pytest.raises(tf.errors.InvalidArgumentError, match="x: expected finite numbers"):
        MODES["graph"](lambda: flow().log_prob(tf.constant(BAD["nan"])))


CONTEXTS = {
    "missing": None,
    "narrow": C[:, :2],
    "few": C[:4],
    "one_row": C[:1],
    "nan": np.where(C > 1, np.nan, C),
    "words": np.full([20, 3], "0"),
}


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
def test_bad_contexts_are_refused(context):
    for use in (flow(3).log_prob, flow(3).forward_and_log_det, flow(3).inverse_and_log_det, flow(3).intermediate):
        with refused("context"):
            use(X, context=context)


def test_contexts_for_flows_that_take_none_and_the_other_way_round():
    for use in (
        lambda: flow().log_prob(X, C),
        lambda: flow().sample(3, context=C),
        lambda: flow().distribution_given(C),
    ):
        with refused("context", "nothing", "", ValueError):
            use()
    with refused("context", "", "nothing", ValueError):
        flow(3).sample(3)
    with refused("distribution", "without context", "context_dim=3", ValueError):
        _ = flow(3).distribution


@pytest.mark.parametrize("n", [0, -1, 2.5, "3", None, True])
def test_bad_numbers_of_samples_are_refused(n):
    with refused("n", "integer of at least 1", "", ValueError):
        flow().sample(n)


# What has to work


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_any_number_of_points_in_any_order_of_calls(make):
    """None, one without a batch, one, several in two dimensions, and many: each point has the density it has alone."""
    model = trained(make(2, seed=0))
    whole = model.log_prob(X).numpy()
    for x, expected in (
        (X[0], whole[0]),
        (X[:0], whole[:0]),
        (X[:1], whole[:1]),
        (X.reshape(4, 5, 2), whole.reshape(4, 5)),
        (X.reshape(2, 2, 5, 2), whole.reshape(2, 2, 5)),
        (X, whole),
        (X.astype(float), whole),
        (X.tolist(), whole),
    ):
        found = model.log_prob(x)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            model.distribution.log_prob(np.asarray(x, np.float32)), expected, rtol=1e-4, atol=1e-5
        )
    assert model.sample(1).shape == [1, 2]
    assert model.sample_and_log_prob(3)[1].shape == [3]


def test_contexts_of_every_rank_in_any_order_of_calls():
    model = flow(3)
    for context in (C[0], C, C.reshape(4, 5, 3), C[0], C[:1]):
        batch = context.shape[:-1]
        z, log_q = model.sample_and_log_prob(6, seed=1, context=context)
        assert (z.shape, log_q.shape) == ([6, *batch, 2], [6, *batch])
        given = model.distribution_given(context)
        np.testing.assert_allclose(given.log_prob(z), log_q, rtol=1e-3, atol=1e-3)
        assert (given.batch_shape, given.event_shape) == (batch, [2])
        assert given.sample(4, seed=(1, 2)).shape == [4, *batch, 2]
    each = [model.log_prob(x, c) for x, c in zip(X, C, strict=True)]
    np.testing.assert_allclose(model.log_prob(X, C), each, rtol=1e-4, atol=1e-5)


def test_many_points_are_scored_in_chunks(monkeypatch):
    whole = flow().log_prob(X)
    monkeypatch.setattr("companion._training.chunks.MOST_NUMBERS", 30)
    np.testing.assert_allclose(flow().log_prob(X), whole, rtol=1e-5)


SEEDS = {"integer": 7, "large": 2**40 + 1, "pair": (1, 2), "tensor": tf.constant([1, 2]), "array": np.array([3, 4])}


@pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS)
def test_a_seed_gives_one_sample(seed):
    np.testing.assert_array_equal(flow().sample(5, seed=seed), flow().sample(5, seed=seed))
    assert np.abs(flow().sample(5, seed=seed) - flow().sample(5, seed=99)).max() > 1e-3


def test_generators_advance_and_none_is_fresh():
    generator, again = (keras.random.SeedGenerator(3) for _ in range(2))
    first, second = flow().sample(5, seed=generator), flow().sample(5, seed=generator)
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(first, flow().sample(5, seed=again))
    assert np.abs(flow().sample(5) - flow().sample(5)).max() > 1e-3
    for bad in ("seed", 1.5, [1, 2, 3], True):
        with refused("seed", "integer", "", TypeError):
            flow().sample(5, seed=bad)


@pytest.mark.parametrize("mode", ["graph", "xla"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_samples_and_densities_are_the_same_in_every_mode(make, mode):
    model = trained(make(2, seed=0))

    def both():
        return *model.sample_and_log_prob(4, seed=1), model.log_prob(X)

    for a, b in zip(MODES[mode](both), both(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "make", [MAKERS[name] for name in ("coupling", "masked-spline", "inverse", "planar", "radial")]
)
def test_gradients_are_those_of_finite_differences(make):
    """Of samples and of densities, in the points, the context and the variables, along one direction for all."""
    model = trained(make(2, seed=0, dtype="float64", context_dim=3))
    rng, x, c = np.random.default_rng(5), tf.constant(X[:4].astype(float)), tf.constant(C[:4].astype(float))
    variables = [v.value for v in model.trainable_variables]
    at = [x, c, *(tf.convert_to_tensor(v) for v in variables)]
    directions = [rng.standard_normal(v.shape) for v in at]

    def functions(x, c):
        scored = tf.reduce_sum(tf.sin(model.log_prob(x, c)))
        return scored + tf.reduce_sum(tf.sin(model.sample(3, seed=1, context=c)))

    def moved(step):
        for v, start, direction in zip(variables, at[2:], directions[2:], strict=True):
            v.assign(start + step * direction)
        return functions(x + step * directions[0], c + step * directions[1])

    with tf.GradientTape() as tape:
        tape.watch([x, c])
        y = functions(x, c)
    found = sum(np.sum(g * d) for g, d in zip(tape.gradient(y, [x, c, *variables]), directions, strict=True))
    h = 1e-6
    wanted = (moved(h) - moved(-h)) / (2 * h)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert abs(found) > 1e-3
