"""Flows among TFP's parts: its bijectors in a flow, ours in its own, its variables, its optimizers, its functions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from calibration import assert_law
from flow_cases import BIJECTORS, trained
from modes import MODES
from scipy import stats
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import Flow
from companion import bijectors as cb
from companion.flows.composition import parts_of

X = np.random.default_rng(0).standard_normal([7, 2]).astype(np.float32)
CASES = pytest.mark.parametrize("case", BIJECTORS, ids=lambda case: case.name)


def variable(*values):
    return tf.Variable(values)


def coupling(seed=0, **options):
    return cb.AffineCoupling(2, [4], seed=seed, **options)


FLOWS = {
    "ours": lambda: Flow([coupling(), coupling(1, reverse=True)]),
    "tfp": lambda: Flow([tfb.Scale(variable(1.0, 2.0)), tfb.Shift(variable(0.5, 0.0))], event_shape=2),
    "matrix": lambda: Flow([tfb.ScaleMatvecTriL(tf.Variable([[1.0, 0.0], [0.5, 2.0]]))], event_shape=2),
    "both": lambda: Flow([coupling(), tfb.Shift(variable(1.0, 2.0)), tfb.Permute([1, 0]), coupling(1)]),
    "chain_of_ours": lambda: Flow([tfb.Chain([coupling(), tfb.Scale(variable(1.0, 2.0)), coupling(1)])]),
    "chain_in_invert": lambda: Flow([tfb.Invert(tfb.Chain([tfb.Shift(variable(1.0, 2.0)), coupling()]))]),
    "inverted": lambda: Flow([tfb.Invert(cb.MaskedAutoregressive(2, [4], seed=0))]),
    "base": lambda: Flow([coupling()], base=tfd.MultivariateNormalDiag(variable(0.0, 1.0), variable(1.0, 0.5))),
    "transformed": lambda: Flow(
        [tfb.Scale(tfp.util.TransformedVariable([1.0, 2.0], tfb.Softplus())), coupling()], event_shape=2
    ),
}
USES = {
    "log_prob": lambda flow, x: flow.log_prob(x),
    "distribution": lambda flow, x: flow.distribution.log_prob(x),
    "inverse": lambda flow, x: tf.concat([flow.inverse_and_log_det(x)[0], flow.inverse_and_log_det(x)[1][:, None]], 1),
    "forward": lambda flow, x: tf.concat([flow.forward_and_log_det(x)[0], flow.forward_and_log_det(x)[1][:, None]], 1),
    "intermediate": lambda flow, x: tf.stack(flow.intermediate(x)[1:]),
    "sample": lambda flow, x: flow.sample(5, seed=1) + tf.reduce_sum(0.0 * x),
    "distribution_sample": lambda flow, x: flow.distribution.sample(5, seed=(1, 2)) + tf.reduce_sum(0.0 * x),
}
FLOW = pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS)
REMEMBERING = ("tfp", "chain_of_ours", "inverted", "transformed")  # TFP's memory is in all of these
REMEMBERED = pytest.mark.parametrize("make", [FLOWS[name] for name in REMEMBERING], ids=REMEMBERING)


def twin(flow):
    """Another flow with the same weights, which has not been used."""
    other = Flow.from_config(flow.get_config())
    other.set_weights(flow.get_weights())
    return other


def close(a, b, **how):
    np.testing.assert_allclose(a, b, **{"rtol": 1e-5, "atol": 1e-5, **how})


# Densities


def test_an_affine_flow_is_the_normal_distribution_it_makes():
    factor = np.array([[1.0, 0.0], [0.5, 2.0]], np.float32)
    flow = Flow([tfb.ScaleMatvecTriL(factor), tfb.Shift([1.0, -1.0])], event_shape=2)
    exact = stats.multivariate_normal([1.0, -1.0], factor @ factor.T)
    close(flow.log_prob(X), exact.logpdf(X))
    z, log_q = flow.sample_and_log_prob(5, seed=0)
    close(log_q, exact.logpdf(z))
    assert np.abs(flow.log_prob(-X) - exact.logpdf(X)).max() > 0.1  # the comparison can fail


@pytest.mark.parametrize("scale", [2.0, [2.0, 2.0], tf.constant([2.0])], ids=["number", "vector", "one"])
def test_a_scale_for_all_coordinates_counts_for_each(scale):
    flow = Flow([tfb.Scale(scale)], event_shape=2)
    close(flow.log_prob(X), stats.norm(0, 2).logpdf(X).sum(axis=1))


@FLOW
def test_a_flow_is_tfps_transformed_distribution_of_a_chain(make):
    flow = trained(make())
    base = flow.base or tfd.MultivariateNormalDiag([0.0, 0.0])
    plain = tfd.TransformedDistribution(base, tfb.Chain(list(reversed(flow.bijectors))))
    close(flow.log_prob(X), plain.log_prob(X))
    close(flow.distribution.log_prob(X), plain.log_prob(X))
    z, log_q = flow.sample_and_log_prob(6, seed=3)
    close(log_q, plain.log_prob(z), atol=1e-4)
    z, log_q = flow.distribution.experimental_sample_and_log_prob(6, seed=(0, 3))
    close(log_q, plain.log_prob(z), atol=1e-4)


@CASES
def test_ours_go_where_tfps_go(case):
    """In a chain, inverted, in a mixture and block by block, each beside what it has to be."""
    bijector, x = case.bijector(2), case.points(2)
    scale = tfb.Scale(tf.constant(2.0, tf.float64))
    y, log_det = bijector.forward_and_log_det(x)
    close(tfb.Chain([scale, bijector]).forward(x), 2.0 * y, rtol=1e-12)
    chain = tfb.Chain([scale, bijector])
    close(chain.forward_log_det_jacobian(x, 1), log_det + 2.0 * np.log(2.0), rtol=1e-10)
    close(tfb.Invert(bijector).forward(y), x, atol=1e-8)
    close(tfb.Invert(bijector).forward_log_det_jacobian(y, 1), -log_det, atol=1e-8)
    blocks = tfb.Blockwise([bijector, tfb.Scale(tf.constant(3.0, tf.float64))], [2, 1])
    close(blocks.forward(np.concatenate([x, x[:, :1]], axis=1)), np.concatenate([y, 3.0 * x[:, :1]], axis=1))
    normal = tfd.MultivariateNormalDiag(np.zeros(2), np.ones(2))
    moved = tfd.TransformedDistribution(normal, bijector)
    own = normal.log_prob(x) - log_det
    close(moved.log_prob(y), own, atol=1e-8)
    mixture = tfd.Mixture(tfd.Categorical(probs=np.array([0.3, 0.7])), [moved, normal])
    close(mixture.log_prob(y), np.logaddexp(np.log(0.3) + own, np.log(0.7) + normal.log_prob(y)), atol=1e-8)
    assert mixture.sample(3, seed=(1, 2)).shape == [3, 2]


def test_a_flow_in_a_joint_distribution():
    flow = trained(FLOWS["ours"]())

    def noisy(z):
        return tfd.Independent(tfd.Normal(z, 1.0), 1)

    named = tfd.JointDistributionNamed({"z": flow.distribution, "y": noisy})
    sequential = tfd.JointDistributionSequential([flow.distribution, noisy])
    z = X[::-1].copy()
    exact = flow.log_prob(z) + stats.norm(z, 1.0).logpdf(X).sum(axis=1)
    close(named.log_prob(z=z, y=X), exact)
    close(sequential.log_prob([z, X]), exact)
    assert named.sample(4, seed=(1, 2))["y"].shape == [4, 2]


def test_monte_carlo_of_tfp_takes_a_flow():
    """TFP's own variational loss of a flow at its own density is 0, whatever the samples."""
    flow = trained(FLOWS["ours"]())
    loss = tfp.vi.monte_carlo_variational_loss(flow.distribution.log_prob, flow.distribution, 16, seed=(1, 2))
    close(loss, 0.0, atol=1e-4)
    other = tfd.MultivariateNormalDiag([3.0, 3.0])
    assert tfp.vi.monte_carlo_variational_loss(other.log_prob, flow.distribution, 16, seed=(1, 2)) > 1.0


def test_samples_have_the_law_of_the_flow():
    """Two coordinates against their distribution functions: false alarms at 1e-4 over the seed, shared among both."""
    base = tfd.Independent(tfd.Uniform([0.0, 0.0], [1.0, 1.0]), 1)
    flow = Flow([tfb.NormalCDF(), tfb.Invert(tfb.NormalCDF()), tfb.Scale([2.0, 0.5])], event_shape=2)
    bounded = Flow([tfb.Scale([2.0, 0.5]), tfb.Shift([1.0, 0.0])], base=base)
    for i, scale in enumerate((2.0, 0.5)):
        assert_law(flow.sample(4000, seed=1)[:, i], stats.norm(0, scale).cdf, shared_among=4)
        law = stats.uniform(1.0 - i, scale).cdf
        assert_law(bounded.sample(4000, seed=1)[:, i], law, shared_among=4)
        with pytest.raises(AssertionError, match="goodness of fit"):
            assert_law(bounded.sample(4000, seed=1)[:, i] * 1.1, law, shared_among=4)


# Variables


@FLOW
def test_every_variable_is_adopted_once_and_trained(make):
    flow = make()
    inside = {v.ref() for b in flow.bijectors for part, _ in parts_of(b) for v in part.trainable_variables}
    inside |= {v.ref() for v in flow.base.trainable_variables} if flow.base else set()
    assert len(flow.trainable_variables) == len(inside) > 0
    assert {v.value.ref() for v in flow.trainable_variables} == inside
    flow.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    before = flow.get_weights()
    flow.fit(X + 1.0, verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, flow.get_weights(), strict=True)]
    assert sum(moved) >= len(inside)  # and the number of steps
    plain = {v.ref(): v.numpy() for b in flow.bijectors for v in b.trainable_variables}
    for v in flow.trainable_variables:  # one memory
        if v.value.ref() in plain:
            np.testing.assert_array_equal(plain[v.value.ref()], v.numpy())


def test_a_fixed_variable_is_saved_but_not_trained(tmp_path):
    fixed = tf.Variable([2.0, 2.0], trainable=False)
    flow = Flow([tfb.Scale(fixed), tfb.Shift(variable(0.0, 0.0))], event_shape=2)
    assert len(flow.trainable_variables) == 1
    fixed.assign([3.0, 3.0])
    flow.compile("sgd", jit_compile=False)
    flow.fit(X, verbose=0)
    np.testing.assert_array_equal(fixed, [3.0, 3.0])
    flow.save(tmp_path / "flow.keras")
    loaded = keras.models.load_model(tmp_path / "flow.keras")
    np.testing.assert_array_equal(loaded.log_prob(X), flow.log_prob(X))
    assert len(loaded.trainable_variables) == 1


def test_a_shared_variable_is_trained_as_one():
    """d/dv of -log q for z = v eps + v: the sum of what either place gives."""
    v = variable(1.5, 2.0)
    flow = Flow([tfb.Scale(v), tfb.Shift(v)], event_shape=2)
    assert len(flow.trainable_variables) == 1
    with tf.GradientTape() as tape:
        loss = -tf.reduce_sum(flow.log_prob(X))
    exact = (1.0 / v - (X - v) / v**2 * (X / v)).numpy().sum(axis=0)  # eps = (x - v) / v, d eps / dv = -x / v^2
    close(tape.gradient(loss, v), exact, rtol=1e-4)
    flow.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    flow.fit(X, batch_size=7, verbose=0)
    close(v, [1.5, 2.0] - 0.1 * exact / 7.0, rtol=1e-4)


def test_keras_variables_in_tfps_bijectors_are_refused():
    """TFP takes a snapshot of them: nothing would be learnt."""
    with pytest.raises((TypeError, ValueError), match=r"bijectors\[0\].*: expected .*tf.Variable.*; got .*"):
        Flow([tfb.Scale(keras.Variable([1.0, 2.0]))], event_shape=2)


def test_scale_and_shift_reach_the_closed_form():
    """Maximum likelihood of a normal distribution: the mean and the standard deviation, and the loss of those."""
    flow = Flow([tfb.Scale(variable(1.0, 1.0)), tfb.Shift(variable(0.0, 0.0))], event_shape=2)
    x = X * [0.5, 3.0] + [1.0, -1.0]
    flow.compile(keras.optimizers.Adam(0.05), jit_compile=False)
    losses = flow.fit(x, batch_size=7, epochs=400, verbose=0).history["loss"]
    scale, shift = (v.numpy() for v in flow.trainable_variables)
    close(np.abs(scale), x.std(axis=0), rtol=1e-2)
    close(shift, x.mean(axis=0), atol=1e-2)
    exact = -stats.norm(x.mean(axis=0), x.std(axis=0)).logpdf(x).sum(axis=1).mean()
    assert exact - 1e-5 < losses[-1] < exact + 1e-3


# TFP's optimizers

HANDLES = {
    "distribution": lambda flow: flow.distribution.trainable_variables,
    "values": lambda flow: [v.value for v in flow.trainable_variables],
    "bijectors": lambda flow: [v for b in flow.bijectors for v in b.trainable_variables],
    "found_by_tfp": lambda flow: None,
}


@pytest.mark.parametrize("handle", HANDLES)
@pytest.mark.parametrize("name", ["ours"])
def test_tfps_minimize_trains_a_flow(name, handle):
    flow, x = FLOWS[name](), tf.constant(0.3 * X + 1.0)
    before = [v.numpy() for v in flow.trainable_variables]
    losses = tfp.math.minimize(
        lambda: -tf.reduce_mean(flow.log_prob(x)),
        30,
        keras.optimizers.Adam(0.05),
        trainable_variables=HANDLES[handle](flow),
    )
    assert losses[-1] < losses[0] - 0.5
    close(losses[0], -np.mean(twin_with(flow, before).log_prob(x)))
    assert all((a != v.numpy()).any() for a, v in zip(before, flow.trainable_variables, strict=True))


def twin_with(flow, values):
    other = twin(flow)
    for v, value in zip(other.trainable_variables, values, strict=True):
        v.assign(value)
    return other


def test_the_variables_of_one_bijector_are_trained_alone():
    flow = FLOWS["ours"]()
    first, second = flow.bijectors
    before = [v.numpy() for v in (*first.trainable_variables, *second.trainable_variables)]
    tfp.math.minimize(
        lambda: -tf.reduce_mean(flow.log_prob(X + 1.0)),
        5,
        keras.optimizers.Adam(0.05),
        trainable_variables=first.trainable_variables,
    )
    moved = [
        not np.array_equal(a, v)
        for a, v in zip(before, (*first.trainable_variables, *second.trainable_variables), strict=True)
    ]
    assert moved == [True] * len(first.trainable_variables) + [False] * len(second.trainable_variables)


@FLOW
def test_the_distribution_knows_its_variables(make):
    flow = make()
    assert {v.ref() for v in flow.distribution.trainable_variables} == {v.value.ref() for v in flow.trainable_variables}


# Nothing stale


@REMEMBERED
def test_results_follow_the_variables(make):
    """One tensor, before and after the weights have moved: TFP would remember the first result."""
    flow, x = make(), tf.constant(X)
    before = {name: use(flow, x) for name, use in USES.items()}
    other = twin(trained(flow))
    for name, use in USES.items():
        after = use(flow, x)
        close(after, use(other, x))
        assert np.abs(after - before[name]).max() > 1e-3, name


@REMEMBERED
def test_a_traced_function_follows_the_variables(make):
    flow, x = make(), tf.constant(X)
    held = flow.distribution
    inside = tf.function(lambda x: flow.distribution.log_prob(x), autograph=False)
    outside = tf.function(lambda x: held.log_prob(x), autograph=False)
    before = inside(x), outside(x), held.log_prob(x)
    trained(flow)
    for a, b in zip(before, (inside(x), outside(x), held.log_prob(x)), strict=True):
        close(b, twin(flow).log_prob(x))
        assert np.abs(a - b).max() > 1e-3


@REMEMBERED
def test_a_step_inside_of_a_function_is_seen_by_the_rest_of_it(make):
    flow, x = make(), tf.constant(X)
    fresh, held = flow.distribution, flow.distribution

    def step():
        before = flow.log_prob(x), fresh.log_prob(x), flow.inverse_and_log_det(x)[0]
        for v in flow.trainable_variables:
            v.assign_add(0.1 * tf.ones(v.shape))
        return before, (flow.log_prob(x), held.log_prob(x), flow.inverse_and_log_det(x)[0])

    _, after = tf.function(step, autograph=False)()
    other = twin(flow)
    close(after[0], other.log_prob(x))
    close(after[1], other.log_prob(x))
    close(after[2], other.inverse_and_log_det(x)[0])


def gradients_of(function, variables):
    """Those of the sum of squares; -99 where there is none."""
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(function() ** 2)
    return [
        g if g is not None else tf.zeros(v.shape) - 99.0
        for g, v in zip(tape.gradient(y, variables), variables, strict=True)
    ]


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("name", ["log_prob", "distribution", "inverse", "forward"])
@REMEMBERED
def test_a_second_tape_finds_the_gradient_of_the_first(make, name, mode):
    flow, x, use = trained(make()), tf.constant(X), USES[name]
    variables, other = [v.value for v in flow.trainable_variables], twin(flow)
    held = flow.distribution if name == "distribution" else None

    def function():
        return use(flow, x) if held is None else held.log_prob(x) + flow.distribution.log_prob(x)

    expected = gradients_of(
        lambda: use(other, x) * (1 if held is None else 2), [v.value for v in other.trainable_variables]
    )
    for found in MODES[mode](lambda: [gradients_of(function, variables) for _ in range(2)]):
        for g, e in zip(found, expected, strict=True):
            close(g, e, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["ours", "tfp", "chain_of_ours"])
def test_a_distribution_is_an_argument_of_a_function(name):
    """It is passed as what it is, and differentiated through."""
    flow, x = FLOWS[name](), tf.constant(X)
    log_prob = tf.function(lambda distribution, x: distribution.log_prob(x), autograph=False)
    close(log_prob(flow.distribution, x), flow.log_prob(x))
    trained(flow)
    with tf.GradientTape() as tape:
        found = log_prob(flow.distribution, x)
        loss = tf.reduce_sum(found)
    close(found, flow.log_prob(x))
    assert all(g is not None for g in tape.gradient(loss, flow.trainable_variables))


@pytest.mark.parametrize("mode", ["graph", "xla"])
@pytest.mark.parametrize("name", ["ours", "chain_in_invert", "base"])
def test_a_distribution_is_the_same_in_every_mode(name, mode):
    flow = trained(FLOWS[name]())
    scored, (z, log_q) = MODES[mode](lambda: (flow.distribution.log_prob(X), flow.sample_and_log_prob(5, seed=(3, 4))))
    expected = flow.sample_and_log_prob(5, seed=(3, 4))
    close(scored, flow.log_prob(X))
    close(z, expected[0])
    close(log_q, expected[1], atol=1e-4)


# Events that are not vectors


def image_flow():
    scale = tf.Variable(1.0 + np.arange(64, dtype=np.float32).reshape(8, 8) / 64)
    return Flow([tfb.Scale(scale), tfb.Shift(tf.Variable(np.ones([8, 8], np.float32)))], event_shape=[8, 8])


def test_a_flow_of_images():
    flow = image_flow()
    x = np.random.default_rng(1).standard_normal([5, 8, 8]).astype(np.float32)
    scale, shift = (v.numpy() for v in flow.trainable_variables)
    close(flow.log_prob(x), stats.norm(shift, scale).logpdf(x).sum(axis=(1, 2)), rtol=1e-4)
    assert flow.sample(3, seed=0).shape == [3, 8, 8]
    assert flow.distribution.event_shape == [8, 8]
    flow.compile("adam", jit_compile=False)
    history = flow.fit(x, verbose=0).history
    close(history["nats_per_dimension"][0], history["loss"][0] / 64)


RESHAPED = {
    "told_by_the_base": lambda: Flow(
        [tfb.Scale(variable(1.0, 2.0, 3.0, 4.0)), tfb.Reshape([2, 2])],
        base=tfd.MultivariateNormalDiag(np.zeros(4, "f")),
    ),
    "told_by_ours": lambda: Flow([cb.AffineCoupling(4, [4], seed=0), tfb.Reshape([2, 2])]),
    "told_by_the_user": lambda: Flow([cb.AffineCoupling(4, [4], seed=0), tfb.Reshape([2, 2])], event_shape=[2, 2]),
    "both_told": lambda: Flow([cb.AffineCoupling(4, [4], seed=0), tfb.Reshape([2, 2], [4])], event_shape=[2, 2]),
    "and_back": lambda: Flow([tfb.Reshape([4], [2, 2]), cb.AffineCoupling(4, [4], seed=0), tfb.Reshape([2, 2], [4])]),
}


@pytest.mark.parametrize("make", RESHAPED.values(), ids=RESHAPED)
def test_a_flow_that_reshapes(make, tmp_path):
    flow = trained(make())
    x = np.random.default_rng(1).standard_normal([5, 2, 2]).astype(np.float32)
    assert flow.event_shape == (2, 2)
    z, log_q = flow.sample_and_log_prob(3, seed=0)
    assert z.shape == [3, 2, 2]
    close(flow.log_prob(z), log_q, atol=1e-4)
    flow.compile("adam", jit_compile=False)
    flow.fit(x, verbose=0)
    flow.save(tmp_path / "flow.keras")
    close(keras.models.load_model(tmp_path / "flow.keras").log_prob(x), flow.log_prob(x))


# Bases


def test_outside_of_a_bounded_base_the_density_is_zero():
    flow = Flow([tfb.Scale(variable(2.0, 4.0))], base=tfd.Independent(tfd.Uniform([0.0, 0.0], [1.0, 1.0]), 1))
    np.testing.assert_allclose(flow.log_prob([[1.0, 1.0], [3.0, 1.0]]), [-np.log(8.0), -np.inf], rtol=1e-6)


@pytest.mark.parametrize("bijector", [tfb.Exp(), tfb.Softplus(), tfb.Sigmoid()], ids=lambda b: b.name)
def test_outside_of_the_range_of_a_bijector_there_is_no_nan(bijector):
    """Zero density or a refusal; never NaN."""
    flow = Flow([bijector], event_shape=2)
    try:
        found = flow.log_prob([[0.5, 0.5], [-1.0, 0.5]]).numpy()
    except (ValueError, tf.errors.InvalidArgumentError):
        return
    assert np.isfinite(found[0])
    assert found[1] == -np.inf


def test_a_flow_is_the_base_of_another():
    inner = trained(FLOWS["ours"]())
    outer = Flow([coupling(5)], base=inner.distribution)
    eps, log_det = outer.inverse_and_log_det(X)
    close(outer.log_prob(X), inner.log_prob(eps) + log_det)
    assert len(outer.trainable_variables) == 4 + len(inner.trainable_variables)


def test_a_batch_of_parameters_is_refused():
    for bijector in (tfb.Scale(np.ones([3, 2], "f")), tfb.ScaleMatvecDiag(np.ones([3, 2], "f"))):
        with pytest.raises(ValueError, match=r"bijectors\[0\]: expected .* of events of shape .*; got Scale"):
            Flow([bijector], event_shape=2)
