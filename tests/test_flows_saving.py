"""What is saved comes back: every bijector, every maker, nets and bases of the user, TFP's parts, half a training."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from flow_cases import BIJECTORS, MAKERS, trained
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import Flow
from companion import bijectors as cb
from companion import flows as cf

RNG = np.random.default_rng(0)
X = (RNG.standard_normal([23, 2]) * [1.0, 3.0] + [2.0, 0.0]).astype(np.float32)
C = RNG.standard_normal([23, 3]).astype(np.float32)


def coupling(seed=0, **options):
    return cb.AffineCoupling(2, [4], seed=seed, **options)


def variable(*values, **how):
    return tf.Variable(values, **how)


def saved(flow, folder):
    flow.save(folder / "flow.keras")
    return keras.models.load_model(folder / "flow.keras")


def assert_same(arrays, others):
    """To the last bit."""
    assert len(arrays) == len(others)
    for a, b in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
        assert np.asarray(a).dtype == np.asarray(b).dtype


def outputs(flow):
    """Densities and samples; the traces are made in the same order for every flow."""
    context = None if flow.context_dim is None else C[:, : flow.context_dim]
    x = np.resize(X, [23, *flow.event_shape]).astype(flow.variable_dtype)
    z, log_q = flow.sample_and_log_prob(4, seed=1, context=context)
    return [flow.log_prob(x, context), *flow.inverse_and_log_det(x, context), z, log_q]


def assert_same_flow(flow, other):
    assert type(other) is type(flow)
    assert_same(flow.get_weights(), other.get_weights())
    assert_same(outputs(flow), outputs(other))
    for name in ("name", "seed", "event_shape", "context_dim", "cost", "dtype_policy"):
        assert getattr(other, name) == getattr(flow, name)
    assert [w.name for w in other.trainable_weights] == [w.name for w in flow.trainable_weights]
    assert [w.trainable for w in other.weights] == [w.trainable for w in flow.weights]
    assert json.dumps(other.get_config()) == json.dumps(flow.get_config())  # a file has lists where Keras has tuples


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", BIJECTORS, ids=lambda case: case.name)
def test_every_bijector_comes_back(case, dtype, tmp_path):
    flow = Flow([case.bijector(3, dtype=dtype)], seed=5)
    assert_same_flow(flow, saved(flow, tmp_path))
    if case.conditional:
        flow = Flow([case.bijector(2, dtype=dtype, context_dim=3)])
        assert_same_flow(flow, saved(flow, tmp_path))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_maker_comes_back(make, tmp_path):
    flow = trained(make(3, seed=2))
    assert_same_flow(flow, saved(flow, tmp_path))


@keras.saving.register_keras_serializable(package="tests")
class Gated(keras.layers.Layer):
    """A layer of a user's own."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.values, self.gates = (keras.layers.Dense(units, activation=a) for a in (None, "sigmoid"))

    def build(self, shape):
        self.values.build(shape)
        self.gates.build(shape)

    def call(self, x):
        return self.values(x) * self.gates(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def functional(inputs, outputs, dtype=None):
    x = keras.Input([inputs], dtype=dtype)
    hidden = keras.layers.Dense(5, "tanh", dtype=dtype)(x)
    both = keras.layers.Concatenate(dtype=dtype)([hidden, x])
    return keras.Model(x, keras.layers.Dense(outputs, dtype=dtype)(both))


def normalized():
    layers = keras.layers
    return keras.Sequential([keras.Input([1]), layers.Dense(5), layers.BatchNormalization(), layers.Dense(2)])


def shared_net():
    net = functional(1, 2)
    return [coupling(net=net), coupling(reverse=True, net=net)]


def shared_bijector():
    one = coupling()
    return [one, cb.Permutation.reverse(2), one]


def shared_variable():
    v = variable(1.0, 2.0)
    return [tfb.Scale(v), tfb.Shift(v)]


def shared_part():
    one = coupling()
    return [one, cb.Permutation.reverse(2), tfb.Invert(tfb.Chain([tfb.Shift([1.0, 2.0]), one]))]


LISTS = {
    "functional": lambda: [coupling(net=functional(1, 2)), cb.SplineCoupling(2, bins=4, net=functional(1, 11))],
    "functional_float64": lambda: [
        cb.AffineCoupling(2, net=functional(1, 2, "float64"), dtype="float64"),
        tfb.Shift(tf.constant([1.0, 2.0], tf.float64)),
    ],
    "sequential": lambda: [coupling(net=keras.Sequential([keras.layers.Dense(5, "relu"), keras.layers.Dense(2)]))],
    "own_layer": lambda: [coupling(net=Gated(2))],
    "batch_normalization": lambda: [coupling(net=normalized())],
    "shared_bijector": shared_bijector,
    "shared_part": shared_part,
    "constants": lambda: [
        tfb.Scale([2.0, 3.0]),
        tfb.Shift(np.float32([1.0, 0.0])),
        tfb.Softplus(),
        tfb.Permute([1, 0]),
    ],
    "variables": lambda: [tfb.Scale(variable(2.0, 3.0)), coupling(), tfb.Shift(variable(1.0, 0.0))],
    "fixed_variable": lambda: [tfb.Scale(variable(2.0, 3.0, trainable=False)), tfb.Shift(variable(1.0, 0.0))],
    "matrix": lambda: [tfb.ScaleMatvecTriL(tf.Variable([[1.0, 0.0], [0.5, 2.0]]))],
    "transformed": lambda: [tfb.Scale(tfp.util.TransformedVariable([1.0, 2.0], tfb.Softplus())), coupling()],
    "transformed_by_a_chain": lambda: [
        tfb.Scale(tfp.util.TransformedVariable([1.0, 2.0], tfb.Chain([tfb.Shift(0.1), tfb.Exp()])))
    ],
    "chain": lambda: [tfb.Chain([coupling(), tfb.Scale(variable(2.0, 3.0)), coupling(1)])],
    "inverted": lambda: [tfb.Invert(cb.MaskedAutoregressive(2, [4], seed=0)), tfb.Invert(tfb.Invert(coupling(2)))],
    "blocks": lambda: [tfb.Blockwise([tfb.Scale(variable(2.0)), tfb.Shift([1.0])], [1, 1]), coupling()],
    "sinh_arcsinh": lambda: [tfb.SinhArcsinh(tf.Variable([0.1, -0.1]), [1.0, 2.0]), coupling()],
    "spline_of_tfp": lambda: [
        tfb.RationalQuadraticSpline(
            bin_widths=tf.fill([2, 4], 2.0), bin_heights=tf.fill([2, 4], 2.0), knot_slopes=tf.Variable(tf.ones([2, 3]))
        )
    ],
    "softplus_scale": lambda: [tfb.Scale(variable(2.0, 3.0)), tfb.Softplus(hinge_softness=2.0)],
}


@pytest.mark.parametrize("make", LISTS.values(), ids=LISTS)
def test_every_list_comes_back(make, tmp_path):
    flow = trained(Flow(make(), event_shape=2, seed=1), spread=0.05)
    if any(bijector.name == "softplus" for bijector in flow.bijectors):  # its data are positive
        return assert_same(flow.sample(4, seed=1), saved(flow, tmp_path).sample(4, seed=1))
    assert_same_flow(flow, saved(flow, tmp_path))


@pytest.mark.parametrize("make", [shared_bijector, shared_part])
def test_what_was_shared_is_shared_still(make, tmp_path):
    """A step of training does to the loaded one what it does to the first."""
    flow = Flow(make(), event_shape=2, seed=1)
    loaded = saved(flow, tmp_path)
    for one in (flow, loaded):
        one.compile(keras.optimizers.SGD(0.1), jit_compile=False)
        one.fit(X, verbose=0)
    assert len(loaded.trainable_weights) == len(flow.trainable_weights)
    assert_same_flow(flow, loaded)


@pytest.mark.parametrize("make", [shared_net, shared_variable])
def test_what_two_bijectors_share_is_trained_and_cannot_be_saved(make, tmp_path):
    flow = Flow(make(), event_shape=2, seed=1)
    flow.compile("adam", jit_compile=False)
    flow.fit(X, verbose=0)
    with pytest.raises(TypeError, match=r"bijectors: expected no net or variable that two bijectors share.*; got "):
        flow.save(tmp_path / "flow.keras")


BASES = {
    "constants": lambda: tfd.MultivariateNormalTriL([1.0, 0.0], [[1.0, 0.0], [0.5, 2.0]]),
    "variables": lambda: tfd.MultivariateNormalDiag(variable(1.0, 0.0), variable(1.0, 2.0)),
    "student": lambda: tfd.Independent(tfd.StudentT(variable(3.0, 4.0), 0.0, 1.0), 1),
    "mixture": lambda: tfd.MixtureSameFamily(
        tfd.Categorical(logits=variable(0.0, 1.0)), tfd.MultivariateNormalDiag(tf.Variable([[0.0, 1.0], [1.0, 0.0]]))
    ),
    "sample": lambda: tfd.Sample(tfd.Laplace(0.0, tf.Variable(1.0)), 2),
    "transformed": lambda: tfd.TransformedDistribution(
        tfd.MultivariateNormalDiag([0.0, 0.0]), tfb.Chain([tfb.Shift(variable(1.0, 1.0)), coupling(3)])
    ),
}


@pytest.mark.parametrize("make", BASES.values(), ids=BASES)
def test_every_base_comes_back(make, tmp_path):
    flow = trained(Flow([coupling()], base=make(), seed=1), spread=0.05)
    loaded = saved(flow, tmp_path)
    assert_same(flow.get_weights(), loaded.get_weights())
    assert_same([flow.log_prob(X)], [loaded.log_prob(X)])
    assert_same([flow.distribution.sample(3, seed=(1, 2))], [loaded.distribution.sample(3, seed=(1, 2))])
    assert len(loaded.trainable_weights) == len(flow.trainable_weights)


def test_events_that_are_no_vectors_come_back(tmp_path):
    shift = tf.Variable(RNG.standard_normal([4, 4]).astype(np.float32))
    flow = Flow([tfb.Scale(tf.Variable(np.full([4, 4], 2.0, np.float32))), tfb.Shift(shift)], event_shape=[4, 4])
    assert_same_flow(flow, saved(flow, tmp_path))


# Training that goes on

CONTINUED = {
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "averaged": lambda: keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.8),
    "accumulated": lambda: keras.optimizers.Adam(0.02, gradient_accumulation_steps=2),
    "scheduled": lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.02, 5, 0.5)),
}


@pytest.mark.parametrize("optimizer", CONTINUED)
def test_training_continues_where_it_was_saved(optimizer, tmp_path):
    flow = cf.coupling_flow(2, layers=2, hidden=[4], actnorm=True, seed=0)
    flow.compile(CONTINUED[optimizer](), jit_compile=False)
    flow.fit(X, batch_size=10, epochs=2, verbose=0)
    loaded = saved(flow, tmp_path)
    assert int(loaded.steps_taken) == 6
    assert_same([v.numpy() for v in flow.optimizer.variables], [v.numpy() for v in loaded.optimizer.variables])
    assert loaded.evaluate(X, verbose=0) == flow.evaluate(X, verbose=0)
    before = flow.get_weights()
    histories = [f.fit(X, batch_size=10, epochs=2, verbose=0).history for f in (flow, loaded)]
    assert histories[0] == histories[1]
    assert_same(flow.get_weights(), loaded.get_weights())
    assert any((a != b).any() for a, b in zip(before, flow.get_weights(), strict=True))


def test_tfps_variables_continue_too(tmp_path):
    flow = Flow([coupling(3), *LISTS["variables"]()], seed=0)
    flow.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    flow.fit(X, batch_size=10, epochs=2, verbose=0)
    loaded = saved(flow, tmp_path)
    histories = [f.fit(X, batch_size=10, epochs=2, verbose=0).history for f in (flow, loaded)]
    assert histories[0] == histories[1]
    assert_same_flow(flow, loaded)


def test_a_conditional_flow_continues_too(tmp_path):
    flow = cf.coupling_flow(2, layers=2, hidden=[4], context_dim=3, seed=0)
    flow.compile("adam", jit_compile=False)
    flow.fit(X, context=C, batch_size=10, verbose=0)
    loaded = saved(flow, tmp_path)
    for f in (flow, loaded):
        f.fit(X, context=C, batch_size=10, verbose=0)
    assert_same_flow(flow, loaded)


def test_actnorm_starts_once(tmp_path):
    """The flag is saved: data of another scale do not start a loaded flow again."""
    flow = Flow([coupling(), cb.ActNorm(2)], seed=0)
    flow.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    flow.fit(X, verbose=0)
    shift = flow.bijectors[1].layers[0].shift.numpy()
    np.testing.assert_allclose(shift, X.mean(axis=0), rtol=1e-5)
    loaded = saved(flow, tmp_path)
    assert loaded.bijectors[1].initialized
    loaded.fit(5.0 * X + 1.0, verbose=0)
    np.testing.assert_array_equal(loaded.bijectors[1].layers[0].shift, shift)
    fresh = Flow.from_config(flow.get_config())
    assert not fresh.bijectors[1].initialized
    flow.save_weights(tmp_path / "flow.weights.h5")
    fresh.load_weights(tmp_path / "flow.weights.h5")
    fresh.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    fresh.fit(5.0 * X + 1.0, verbose=0)
    assert_same([flow.log_prob(X)], [fresh.log_prob(X)])


# Other ways


def test_weights_alone(tmp_path):
    for kind in ("coupling-actnorm", "masked", "planar"):
        flow, other = trained(MAKERS[kind](2, seed=1)), MAKERS[kind](2, seed=2)
        flow.save_weights(tmp_path / "flow.weights.h5")
        assert np.abs(flow.log_prob(X) - other.log_prob(X)).max() > 1e-3
        other.load_weights(tmp_path / "flow.weights.h5")
        assert_same([flow.log_prob(X), flow.sample(3, seed=0)], [other.log_prob(X), other.sample(3, seed=0)])


def test_weights_of_tfps_variables_alone(tmp_path):
    flow, other = (Flow(LISTS["variables"](), seed=0) for _ in range(2))
    trained(flow).save_weights(tmp_path / "flow.weights.h5")
    other.load_weights(tmp_path / "flow.weights.h5")
    assert_same([flow.log_prob(X), flow.distribution.log_prob(X)], [other.log_prob(X), other.distribution.log_prob(X)])


def test_weights_of_another_architecture_are_refused(tmp_path):
    cf.coupling_flow(2, layers=2, hidden=[4]).save_weights(tmp_path / "flow.weights.h5")
    with pytest.raises(ValueError, match="could not be loaded"):
        cf.coupling_flow(2, layers=2, hidden=[5]).load_weights(tmp_path / "flow.weights.h5")


@pytest.mark.parametrize("name", ["functional", "shared_bijector", "variables", "chain"])
def test_a_clone_has_weights_of_its_own(name):
    """And so have copies; a clone starts anew, a copy and a pickle are as the flow is."""
    flow = trained(Flow(LISTS[name](), event_shape=2, seed=1), spread=0.05)
    clone, deep, pickled = keras.models.clone_model(flow), copy.deepcopy(flow), pickle.loads(pickle.dumps(flow))
    before = outputs(flow)
    for other in (deep, pickled):
        assert_same(outputs(other), before)
    assert clone.get_config() == flow.get_config()
    assert [w.shape for w in clone.weights] == [w.shape for w in flow.weights]
    for other in (clone, deep, pickled):
        trained(other, seed=9)
    assert_same(outputs(flow), before)


def test_a_configuration_makes_the_untrained_flow():
    for make in MAKERS.values():
        flow = make(3, seed=2)
        remade = Flow.from_config(flow.get_config())
        assert_same_flow(flow, remade)  # the seeds decide the weights


@pytest.mark.parametrize("context_dim", [None, 3])
def test_a_fitted_flow_is_exported(context_dim, tmp_path):
    flow = cf.coupling_flow(2, layers=2, hidden=[4], context_dim=context_dim, seed=0)
    flow.compile("adam", jit_compile=False)
    rows = X if context_dim is None else np.concatenate([X, C], axis=1)
    context = None if context_dim is None else C
    flow.fit(X, context=context, verbose=0)
    flow.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.serve(rows), flow.log_prob(X, context), rtol=1e-5)


def test_a_flow_inside_of_a_saved_model(tmp_path):
    """A functional model with a flow as its last layer."""
    x = keras.Input([2])
    flow = trained(cf.coupling_flow(2, layers=2, hidden=[4], seed=0))
    model = keras.Model(x, flow(keras.layers.Dense(2)(x)))
    loaded = saved(model, tmp_path)
    assert_same([model(X)], [loaded(X)])
    assert_same([flow.log_prob(X)], [loaded.layers[-1].log_prob(X)])


class Own(tfb.Shift):
    """A bijector that TFP does not have."""


class Bare(cb.Bijector):
    """One of ours without a configuration."""

    def __init__(self):
        super().__init__(2, [], {})

    def _forward_pass(self, x, context):
        return 2.0 * x, tf.zeros_like(x[..., 0]) + 2.0 * np.log(2.0)

    def _inverse_pass(self, y, context):
        return 0.5 * y, tf.zeros_like(y[..., 0]) - 2.0 * np.log(2.0)


UNSAVABLE = {
    "own_class": (lambda: Own([1.0, 2.0]), TypeError, r"bijectors: expected .*to save .*; got .*Own"),
    "closure": (
        lambda: tfb.Inline(
            lambda x: 2.0 * x,
            lambda y: 0.5 * y,
            forward_log_det_jacobian_fn=lambda x: tf.fill(tf.shape(x)[:-1], 2.0 * float(np.log(2.0))),
            forward_min_event_ndims=1,
        ),
        TypeError,
        r"bijectors: expected .*to save .*; got .*",
    ),
    "bare": (Bare, NotImplementedError, "Bare does not say how it is made anew"),
}


@pytest.mark.parametrize(("make", "error", "message"), UNSAVABLE.values(), ids=UNSAVABLE)
def test_what_cannot_be_saved_says_so(make, error, message, tmp_path):
    flow = Flow([make(), coupling()], event_shape=2)
    assert np.isfinite(flow.log_prob(X)).all()  # it can be used
    with pytest.raises(error, match=message):
        flow.save(tmp_path / "flow.keras")
