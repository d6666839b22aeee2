"""Laws that every bijector obeys, and what is particular to each."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from flow_cases import BIJECTORS, HIDDEN
from modes import MODES
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import bijectors as cb
from companion.bijectors import scalar_maps
from companion.bijectors.planar import _preimage as preimage

TOLERANCE = {"float32": 2e-4, "float64": 1e-10}
CASES = pytest.mark.parametrize("case", BIJECTORS, ids=lambda case: case.name)
CONDITIONAL = pytest.mark.parametrize("case", [c for c in BIJECTORS if c.conditional], ids=lambda case: case.name)
AUTOREGRESSIVE = pytest.mark.parametrize("case", [c for c in BIJECTORS if c.order], ids=lambda case: case.name)


def dims(case):
    return [dim for dim in (1, 2, 3, 6) if dim >= case.least_dim]


def jacobians(function, x):
    """d function / dx at each of some points, shape [n, dim, dim]."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.batch_jacobian(y, x).numpy()


@CASES
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_inverse_undoes_the_map_and_the_map_its_inverse(case, dtype):
    for dim in dims(case):
        bijector, x = case.bijector(dim, dtype), case.points(dim, dtype)
        np.testing.assert_allclose(bijector.inverse(bijector.forward(x)), x, atol=TOLERANCE[dtype])
        np.testing.assert_allclose(bijector.forward(bijector.inverse(x)), x, atol=TOLERANCE[dtype])


@CASES
def test_the_log_determinants_are_those_of_the_automatic_jacobians(case):
    for dim in dims(case):
        bijector, x = case.bijector(dim), case.points(dim)
        sign, exact = np.linalg.slogdet(jacobians(bijector.forward, x))
        assert (np.abs(sign) == 1).all()
        np.testing.assert_allclose(bijector.forward_and_log_det(x)[1], exact, atol=1e-9)
        np.testing.assert_allclose(bijector.forward_log_det_jacobian(x), exact, atol=1e-9)
        _, exact = np.linalg.slogdet(jacobians(bijector.inverse, x))
        np.testing.assert_allclose(bijector.inverse_and_log_det(x)[1], exact, atol=1e-9)
        np.testing.assert_allclose(bijector.inverse_log_det_jacobian(x), exact, atol=1e-9)


@CASES
def test_a_log_determinant_with_the_wrong_sign_would_be_seen(case):
    if case.name.startswith("permutation"):
        pytest.skip("its log-determinant is 0")
    bijector, x = case.bijector(3), case.points(3)
    _, exact = np.linalg.slogdet(jacobians(bijector.forward, x))
    assert np.abs(-bijector.forward_and_log_det(x)[1] - exact).max() > 1e-3


@CASES
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_log_determinants_of_both_directions_cancel(case, dtype):
    for dim in dims(case):
        bijector, x = case.bijector(dim, dtype), case.points(dim, dtype)
        y, forward = bijector.forward_and_log_det(x)
        _, inverse = bijector.inverse_and_log_det(y)
        np.testing.assert_allclose(forward + inverse, np.zeros(len(x)), atol=20 * TOLERANCE[dtype])


@AUTOREGRESSIVE
def test_autoregressive_jacobians_are_triangular_in_their_order(case):
    for dim in dims(case):
        bijector, order = case.bijector(dim), case.order(dim)
        for direction in (bijector.forward, bijector.inverse):
            slopes = jacobians(direction, case.points(dim))[:, order][:, :, order]
            assert (np.triu(slopes, 1) == 0).all()
            below = np.tril_indices(dim, -1)
            assert (slopes[:, *below] != 0).any(axis=0).all(), "a connection that the order allows is missing"
            assert (np.diagonal(slopes, axis1=1, axis2=2) > 0).all()


@pytest.mark.parametrize("case", [c for c in BIJECTORS if "coupling" in c.name], ids=lambda case: case.name)
def test_couplings_leave_one_half_alone_and_let_it_move_the_other(case):
    for dim in dims(case):
        bijector, x = case.bijector(dim), case.points(dim)
        slopes, half = jacobians(bijector.forward, x), dim // 2
        kept = np.arange(dim)[-half:] if "reversed" in case.name else np.arange(dim)[:half]
        moved = np.setdiff1d(np.arange(dim), kept)
        np.testing.assert_array_equal(bijector.forward(x).numpy()[:, kept], x[:, kept])
        assert (slopes[:, moved][:, :, kept] != 0).any(axis=0).all()
        between = slopes[:, moved][:, :, moved]
        assert (between * (1 - np.eye(len(moved))) == 0).all()


@CASES
@pytest.mark.parametrize("direction", ["forward_and_log_det", "inverse_and_log_det"])
def test_gradients_reach_every_variable(case, direction):
    bijector = case.bijector(4)
    with tf.GradientTape() as tape:
        value, log_det = getattr(bijector, direction)(case.points(4))
        loss = tf.reduce_sum(tf.sin(value)) + tf.reduce_sum(tf.sin(log_det))
    for gradient in tape.gradient(loss, list(bijector.trainable_variables)):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


@CASES
def test_gradients_are_those_of_differences(case):
    bijector, x = case.bijector(3), case.points(3, shape=(2,))
    for direction in (bijector.forward_and_log_det, bijector.inverse_and_log_det):
        for variable in bijector.trainable_variables:
            with tf.GradientTape() as tape:
                value, log_det = direction(x)
                loss = tf.reduce_sum(tf.sin(value)) + tf.reduce_sum(tf.sin(log_det))
            gradient = tape.gradient(loss, variable).numpy()
            place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
            start, losses = variable.numpy(), []
            for shift in (1e-6, -1e-6):
                moved = start.copy()
                moved[place] += shift
                variable.assign(moved)
                value, log_det = direction(x)
                losses.append(float(tf.reduce_sum(tf.sin(value)) + tf.reduce_sum(tf.sin(log_det))))
            variable.assign(start)
            np.testing.assert_allclose(gradient[place], (losses[0] - losses[1]) / 2e-6, rtol=1e-5, atol=1e-7)


@CASES
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("inverted", [False, True], ids=["map", "inverse"])
def test_densities_integrate_to_one(case, dim, inverted):
    if dim < case.least_dim:
        pytest.skip("it needs two coordinates")
    bijector = case.bijector(dim, spread=0.15)
    bijector = tfb.Invert(bijector) if inverted else bijector
    base = tfd.MultivariateNormalDiag(np.zeros(dim), np.ones(dim))
    step = 0.04
    axis = np.arange(-case.reach, case.reach, step)
    grid = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    eps, log_det = bijector.inverse(grid), bijector.inverse_log_det_jacobian(grid)
    total = np.exp(base.log_prob(eps) + log_det).sum() * step**dim
    np.testing.assert_allclose(total, 1.0, atol=2e-3)
    half_wrong = np.exp(base.log_prob(eps) - log_det).sum() * step**dim
    if not case.name.startswith("permutation"):
        assert abs(half_wrong - 1.0) > 2e-3  # the sum would see a wrong sign


@CASES
def test_all_leading_shapes(case):
    bijector = case.bijector(3)
    whole = case.points(3, shape=(4, 5))
    values, log_dets = bijector.forward_and_log_det(whole)
    assert values.shape == (4, 5, 3)
    assert log_dets.shape == (4, 5)
    value, log_det = bijector.forward_and_log_det(whole[2, 3])
    assert value.shape == (3,)
    assert log_det.shape == ()
    np.testing.assert_allclose(value, values[2, 3], rtol=1e-10)
    np.testing.assert_allclose(log_det, log_dets[2, 3], rtol=1e-10, atol=1e-12)
    empty, none = bijector.inverse_and_log_det(np.zeros((0, 3)))
    assert empty.shape == (0, 3)
    assert none.shape == (0,)


@CONDITIONAL
def test_each_vector_is_moved_by_its_own_context(case):
    bijector, x = case.bijector(3, context_dim=2), case.points(3, shape=(4, 5))
    context = np.random.default_rng(0).standard_normal((5, 2))
    for direction in (bijector.forward_and_log_det, bijector.inverse_and_log_det):
        values, log_dets = direction(x, context=context)
        for i, j in itertools.product(range(4), range(5)):
            value, log_det = direction(x[i, j], context=context[j])
            np.testing.assert_allclose(value, values[i, j], rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(log_det, log_dets[i, j], rtol=1e-9, atol=1e-12)
        assert np.abs(direction(x, context=context + 1)[0] - values).max() > 1e-3
    np.testing.assert_allclose(
        bijector.inverse(bijector.forward(x, context=context), context=context), x, atol=TOLERANCE["float64"]
    )
    _, exact = np.linalg.slogdet(jacobians(lambda v: bijector.forward(v, context=context[0]), x[0]))
    np.testing.assert_allclose(bijector.forward_log_det_jacobian(x[0], context=context[0]), exact, atol=1e-9)


@CONDITIONAL
def test_gradients_reach_the_context(case):
    bijector, context = case.bijector(3, context_dim=2), tf.constant([0.3, -0.2], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(context)
        loss = tf.reduce_sum(tf.sin(bijector.forward(case.points(3), context=context)))
    assert (tape.gradient(loss, context).numpy() != 0).all()


@CASES
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e3, 1e8, 1e15])
def test_extreme_inputs_give_finite_values_and_gradients(case, dtype, size):
    bijector = case.bijector(4, dtype)
    signs = np.array([[1, 1, 1, 1], [-1, 1, -1, 1], [-1, -1, -1, -1], [0, 1, 0, -1]], dtype)
    for direction in (bijector.forward_and_log_det, bijector.inverse_and_log_det):
        x = tf.constant(size * signs)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value, log_det = direction(x)
            loss = tf.reduce_sum(tf.tanh(value)) + tf.reduce_sum(log_det)
        assert value.dtype == dtype
        assert log_det.dtype == dtype
        assert np.isfinite(value).all()
        assert np.isfinite(log_det).all()
        for gradient in tape.gradient(loss, [x, *bijector.trainable_variables]):
            assert np.isfinite(gradient).all()


@CASES
def test_eager_graph_and_xla_agree(case):
    bijector, x = case.bijector(3), tf.constant(case.points(3))

    def everything():
        y, log_det = bijector.forward_and_log_det(x)
        back, inverse = bijector.inverse_and_log_det(x)
        return y, log_det, back, inverse

    results = [run(everything) for run in MODES.values()]
    for one, two in itertools.pairwise(results):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@CASES
def test_one_pass_of_the_net_gives_value_and_log_determinant(case, monkeypatch):
    bijector = case.bijector(4)
    if not bijector.forward_passes:
        pytest.skip("it has no net")
    calls, layer = [], bijector.layers[0]
    call = type(layer).call
    monkeypatch.setattr(type(layer), "call", lambda self, *a, **k: calls.append(self) or call(self, *a, **k))
    bijector.forward_and_log_det(case.points(4))
    assert len(calls) == bijector.forward_passes
    calls.clear()
    bijector.inverse_and_log_det(case.points(4))
    assert len(calls) == bijector.inverse_passes


@CASES
def test_a_bijector_made_anew_from_its_configuration_is_the_same_map(case):
    bijector = case.bijector(4)
    config = keras.saving.serialize_keras_object(bijector)
    twin = keras.saving.deserialize_keras_object(config)
    for old, new in zip(bijector.layers, twin.layers, strict=True):
        new.set_weights(old.get_weights())
    x = case.points(4)
    for one, two in zip(bijector.forward_and_log_det(x), twin.forward_and_log_det(x), strict=True):
        np.testing.assert_array_equal(one, two)


@CASES
def test_the_seed_decides_the_start(case):
    if not case.conditional:
        pytest.skip("it has no random start")
    x = case.points(3)
    first, again, other = (case.bijector(3, seed=seed, spread=0.0).forward(x) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4


@CASES
def test_nothing_is_remembered_when_variables_change(case):
    bijector, x = case.bijector(3), tf.constant(case.points(3))
    if not bijector.trainable_variables:
        pytest.skip("it has no variables")
    y, back = bijector.forward(x), bijector.inverse(x)
    for variable in bijector.trainable_variables:
        variable.assign(1.5 * variable + 0.1)
    assert np.abs(bijector.forward(x) - y).max() > 1e-6
    assert np.abs(bijector.inverse(x) - back).max() > 1e-6
    assert np.abs(bijector.inverse(y) - x).max() > 1e-6


class TestPlanarAndRadial:
    @pytest.mark.parametrize("kind", [cb.Planar, cb.Radial])
    @pytest.mark.parametrize("dtype", TOLERANCE)
    @pytest.mark.parametrize("size", [0.0, 1e-20, 1e-3, 1.0, 30.0, 1e3, 1e6])
    def test_invertible_whatever_the_variables_are(self, kind, dtype, size):
        x = np.random.default_rng(0).standard_normal((50, 3)).astype(dtype)
        for seed in range(20):
            bijector = kind(3, seed=seed, dtype=dtype)
            values = bijector.layers[0].values
            values.assign(size * np.random.default_rng(seed).standard_normal(values.shape))
            y, log_det = bijector.forward_and_log_det(x)
            assert np.isfinite(y).all()
            assert np.isfinite(log_det).all()
            # along its direction a map shrinks by a thousand at most; a radial one also across it
            assert log_det.numpy().min() > (3 if kind is cb.Radial else 1) * np.log(0.9e-3)

    def test_a_long_direction_is_bent_back_in_float32_too(self):
        x = np.linspace(-1, 1, 41, dtype="float32")[:, None]
        for size in (1e2, 1e4, 1e6):
            planar = cb.Planar(1, seed=0, dtype="float32")
            planar.layers[0].values.assign([-size, 1.0, 0.0])
            assert (np.diff(planar.forward(x).numpy()[:, 0]) > 0).all()
            np.testing.assert_allclose(planar.inverse(planar.forward(x)), x, atol=5e-3)

    def test_planar_does_not_jump_where_its_direction_vanishes(self):
        planar = cb.Planar(2, seed=0, dtype="float64")
        start = planar.layers[0].values.numpy()
        u, b = start[:2], 0.7
        for size in (1e-2, 1e-6, 1e-12, 0.0):
            w = size * np.array([0.6, -0.8])
            planar.layers[0].values.assign(np.concatenate([u, w, [b]]))
            moved = planar.forward(np.zeros(2))
            assert np.abs(moved).max() <= 2 * np.abs(u).max() * np.tanh(abs(b)) + 1e-12
            published = u + (np.log1p(np.exp(u @ w)) - 1 - u @ w) * w / max(w @ w, 1e-300)
            assert size == 0 or np.abs(published).max() > 0.1 / size  # the published one grows without bound

    def test_planar_inverse_far_out_and_at_the_steepest_place(self):
        planar = cb.Planar(1, seed=0, dtype="float64")
        planar.layers[0].values.assign([-1e6, 1.0, 0.0])  # slope 0.001 at 0
        x = np.array([[-1e5], [-1e-3], [-1e-9], [0.0], [1e-9], [2.0], [1e9]])
        np.testing.assert_allclose(planar.inverse(planar.forward(x)), x, rtol=1e-9, atol=1e-12)

    def test_radial_at_its_centre(self):
        radial = cb.Radial(3, seed=0, dtype="float64")
        centre = radial.layers[0].values.numpy()[:3]
        x = np.stack([centre, centre + 1e-12])
        _, exact = np.linalg.slogdet(jacobians(radial.forward, x))
        np.testing.assert_allclose(radial.forward_and_log_det(x)[1], exact, atol=1e-9)
        np.testing.assert_allclose(radial.inverse(radial.forward(x)), x, atol=1e-12)


class TestSplines:
    def test_linear_outside_of_the_interval(self):
        spline = cb.SplineCoupling(2, HIDDEN, bound=2.0, seed=0, dtype="float64")
        x = np.array([[0.3, 2.0], [0.3, -2.0], [0.3, 2.5], [-1.0, -1e6], [5.0, 1e20]])
        y, log_det = spline.forward_and_log_det(x)
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(log_det, np.zeros(5))

    def test_smooth_at_the_ends_of_the_interval_and_at_the_knots(self):
        case = next(c for c in BIJECTORS if c.name == "spline-coupling")
        spline = case.bijector(2)
        line = np.stack([np.full(60001, 0.4), np.linspace(-3.0005, 3.0005, 60001)], axis=-1)
        y, log_det = spline.forward_and_log_det(line)
        steps = np.diff(y.numpy()[:, 1])
        assert (steps > 0).all()
        middle = np.exp((log_det.numpy()[1:] + log_det.numpy()[:-1]) / 2)
        np.testing.assert_allclose(steps / np.diff(line[:, 1]), middle, rtol=1e-4)  # continuous, with its derivative
        assert np.abs(np.diff(log_det)).max() < 0.02

    def test_agrees_with_tfp(self):
        spline = cb.SplineCoupling(2, [], bins=4, bound=3.0, seed=0, dtype="float64")
        raw = np.random.default_rng(0).standard_normal((11, 1))
        spline.layers[0].layers[0].bias.assign(raw[:, 0])
        spline.layers[0].layers[0].kernel.assign(np.zeros((1, 11)))
        softmax = np.exp(raw[:8, 0].reshape(2, 4)) / np.exp(raw[:8, 0].reshape(2, 4)).sum(axis=1, keepdims=True)
        widths, heights = 6.0 * (1e-3 + (1 - 4e-3) * softmax)
        slopes = np.exp(5.0 * np.tanh(raw[8:, 0] / 5.0))
        theirs = tfb.RationalQuadraticSpline(bin_widths=widths, bin_heights=heights, knot_slopes=slopes, range_min=-3.0)
        z = np.linspace(-4, 4, 101)
        y, log_det = spline.forward_and_log_det(np.stack([np.zeros(101), z], axis=-1))
        np.testing.assert_allclose(y[:, 1], theirs.forward(z), rtol=1e-9)
        np.testing.assert_allclose(log_det, theirs.forward_log_det_jacobian(z), rtol=1e-9, atol=1e-9)

    def test_starts_near_the_identity(self):
        x = np.random.default_rng(0).standard_normal((100, 2))
        for kind in (cb.SplineCoupling, cb.AffineCoupling):
            y, log_det = kind(2, seed=0, dtype="float64").forward_and_log_det(x)
            assert np.abs(y - x).max() < 1.0
            assert np.abs(log_det).max() < 1.0


class TestElementary:
    def test_actnorm_standardises_the_first_data(self):
        y = 3 + 2 * np.random.default_rng(0).standard_normal((1000, 2)) * [1, 5]
        norm = cb.ActNorm(2, dtype="float64")
        assert not norm.initialized
        norm.initialize(y)
        eps, log_det = norm.inverse_and_log_det(y)
        np.testing.assert_allclose(eps.numpy().mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(eps.numpy().std(0), 1, rtol=1e-12)
        np.testing.assert_allclose(log_det, np.full(1000, -np.log(y.std(0)).sum()))
        assert norm.initialized

    def test_actnorm_scores_a_point_alike_in_every_company(self):
        norm, y = cb.ActNorm(2, dtype="float64"), np.random.default_rng(0).standard_normal((10, 2))
        norm.initialize(y)
        alone = norm.inverse_and_log_det(y[:1])
        among = norm.inverse_and_log_det(y)
        np.testing.assert_array_equal(alone[0][0], among[0][0])
        assert alone[1][0] == among[1][0]

    def test_a_constant_coordinate_keeps_its_scale(self):
        norm = cb.ActNorm(2, dtype="float64")
        norm.initialize(np.array([[1.0, 2.0], [1.0, 4.0]]))
        np.testing.assert_allclose(norm.inverse(np.array([[1.0, 2.0], [2.0, 4.0]])), [[0, -1], [1, 1]], atol=1e-12)

    def test_random_permutations_are_permutations_and_differ(self):
        orders = {tuple(cb.Permutation.random(6, seed).get_config()["permutation"]) for seed in range(20)}
        assert len(orders) > 15
        assert all(sorted(order) == list(range(6)) for order in orders)


class TestTheMask:
    def test_narrow_hidden_layers_still_mask(self):
        made = cb.MaskedAutoregressive(6, hidden=(3,), seed=0, dtype="float64")
        slopes = jacobians(made.inverse, np.random.default_rng(0).standard_normal((5, 6)))
        assert (np.triu(slopes, 1) == 0).all()

    def test_no_hidden_layer(self):
        made = cb.MaskedAutoregressive(3, hidden=(), seed=0, dtype="float64")
        assert (np.triu(jacobians(made.inverse, np.ones((1, 3))), 1) == 0).all()

    def test_the_first_coordinate_sees_the_context_alone(self):
        made = cb.MaskedAutoregressive(2, HIDDEN, context_dim=1, seed=0, dtype="float64")
        x, context = np.random.default_rng(0).standard_normal((2, 4, 2))
        one = made.inverse(x, context=context[:, :1]).numpy()
        moved = made.inverse(x + np.array([0, 1]), context=context[:, :1]).numpy()
        other = made.inverse(x, context=context[:, :1] + 1).numpy()
        np.testing.assert_array_equal(one[:, 0], moved[:, 0])
        assert (one[:, 0] != other[:, 0]).all()


def test_the_repr_says_what_each_direction_costs():
    assert repr(cb.MaskedAutoregressive(7, [8], seed=0)).endswith("forward 7, inverse 1>")
    assert repr(cb.InverseAutoregressive(7, [8], seed=0)).endswith("forward 1, inverse 7>")


class TestFloat32:
    @pytest.mark.parametrize("scale", [1.0, 3.0, 5.0, 50.0])
    def test_splines_are_near_those_of_float64_at_every_shape(self, scale):
        spline, y = scalar_maps.RationalQuadraticSpline(8, 5.0), np.linspace(-5.2, 5.2, 2000)[:, None]
        for seed in range(20):
            raw = np.broadcast_to(scale * np.random.default_rng(seed).standard_normal((23, 1)), (2000, 23, 1))
            y32, raw32 = y.astype("float32"), raw.astype("float32")
            for direction in (spline.forward, spline.inverse):
                value, log_slope = direction(tf.constant(y32), tf.constant(raw32))
                exact, exact_slope = direction(tf.constant(y32.astype(float)), tf.constant(raw32.astype(float)))
                np.testing.assert_allclose(log_slope, exact_slope, atol=0.1)
                if direction == spline.inverse:
                    np.testing.assert_allclose(value, exact, atol=0.02)

    @CASES
    def test_a_float64_map_does_not_pass_through_float32(self, case):
        """Differences of a millionth would show it: what is rounded to float32 moves in steps."""
        bijector, x = case.bijector(3), case.points(3)
        for direction in (bijector.forward, bijector.inverse):
            slopes = jacobians(direction, x)
            for j in range(3):
                step = 1e-6 * np.eye(3)[j]
                differences = (direction(x + step) - direction(x - step)).numpy() / 2e-6
                np.testing.assert_allclose(differences, slopes[:, :, j], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("slope", [-0.999, -0.9, -0.3, 0.0, 0.5, 3.0, 50.0])
def test_the_planar_inverse_finds_the_root_in_float32(mode, slope):
    y = np.concatenate([np.random.default_rng(0).standard_normal(20000) * 2, [0.0, 60.0, -60.0]]).astype("float32")
    root = MODES[mode](lambda: preimage(tf.constant(y), tf.constant(slope, tf.float32))).numpy().astype(float)
    assert np.isfinite(root).all()
    excess = root + slope * np.tanh(root) - y
    assert np.abs(excess).max() <= 8e-6 * max(1.0, abs(slope))


def test_second_derivatives_of_the_planar_inverse_are_right():
    planar, y = cb.Planar(1, seed=0, dtype="float64"), tf.constant([[0.4]], tf.float64)
    planar.layers[0].values.assign([1.0, 1.5, 0.3])

    def slope(y):
        with tf.GradientTape() as tape:
            tape.watch(y)
            log_det = planar.inverse_and_log_det(y)[1]
        return tape.gradient(log_det, y)

    with tf.GradientTape() as tape:
        tape.watch(y)
        first = slope(y)
    second = float(tape.gradient(first, y)[0, 0])
    np.testing.assert_allclose(second, float((slope(y + 1e-5) - slope(y - 1e-5))[0, 0]) / 2e-5, rtol=1e-7)


class TestUsersNets:
    def test_a_net_of_another_width_is_refused(self):
        net = keras.Sequential([keras.Input([1]), keras.layers.Dense(2, dtype="float64")])
        with pytest.raises(TypeError, match="net: expected a net of dtype float64; got float32"):
            cb.AffineCoupling(2, net=net, dtype="float64")

    def test_reverse_is_true_or_false(self):
        with pytest.raises(TypeError, match="reverse: expected True or False"):
            cb.AffineCoupling(2, reverse="False")

    def test_a_narrow_masked_net_with_a_context_keeps_every_connection(self):
        made = cb.MaskedAutoregressive(3, hidden=(2,), context_dim=1, seed=0, dtype="float64")
        rng = np.random.default_rng(0)
        for variable in made.layers[0].trainable_variables:
            variable.assign(np.abs(rng.standard_normal(variable.shape)))
        slopes = jacobians(lambda x: made.inverse(x, context=np.ones(1)), np.abs(rng.standard_normal((5, 3))))
        assert (slopes[:, *np.tril_indices(3, -1)] != 0).any(axis=0).all()
