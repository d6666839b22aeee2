"""Exact gradient noise against draws of the weights, and against sums over all signs with Gaussian quadrature.

The gradients come from TensorFlow's tape through the layer as the papers write it; nothing here knows of moments.
"""

import inspect
import itertools
import re
import types
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_mean, assert_variance
from numpy.polynomial.hermite_e import hermegauss

from companion import datasets, weight_noise
from companion.weight_noise import gradient_noise

METHODS = ("shared", "per_example", "local_reparameterization", "flipout")
NAMES = ("loc", "scale")
close = {"rtol": 1e-9, "atol": 1e-12}


def problem(n, num_inputs, num_outputs, seed):
    """x, y, loc, scale: correlated inputs with a mean, residuals that are not small, unlike scales."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=[n, num_inputs]) @ rng.normal(size=[num_inputs, num_inputs]) + 0.5
    loc, scale = rng.normal(size=[num_inputs, num_outputs]), rng.uniform(0.2, 1.5, size=[num_inputs, num_outputs])
    return x, x @ loc + rng.normal(size=[n, num_outputs]), loc, scale


@cache
def diabetes():
    """Four examples, three measurements and two targets."""
    data = datasets.diabetes(["age", "bmi", "s5"])
    y = np.column_stack([data.y, -data.y / 2])[:4]
    return (
        data.x[:4],
        y,
        np.array([[0.1, 0.0], [0.3, -0.4], [0.2, 0.7]]),
        np.array([[0.3, 1.0], [0.8, 0.2], [0.5, 0.6]]),
    )


PROBLEMS = {
    "several": problem(5, 3, 2, 0),
    "one example": problem(1, 2, 2, 1),
    "one input": problem(4, 1, 1, 2),
    "more inputs than examples": problem(2, 4, 1, 3),
    "diabetes": diabetes(),
}


def layer_noise(method, shape, num_draws, rng):
    """What the layer draws: eps, or eps and the signs of inputs and outputs, for [num_draws] layers."""
    n, num_inputs, num_outputs = shape
    if method == "per_example":
        return (rng.normal(size=[num_draws, n, num_inputs, num_outputs]),)
    if method == "local_reparameterization":
        return (rng.normal(size=[num_draws, n, num_outputs]),)
    eps = rng.normal(size=[num_draws, num_inputs, num_outputs])
    if method == "shared":
        return (eps,)
    return (
        eps,
        rng.choice([-1.0, 1.0], size=[num_draws, n, num_inputs]),
        rng.choice([-1.0, 1.0], [num_draws, n, num_outputs]),
    )


def outputs(method, x, loc, scale, noise):
    """The layer's outputs, [num_draws, n, out], for x [num_draws, n, in] and parameters [num_draws, in, out]."""
    eps = noise[0]
    if method == "per_example":
        return tf.einsum("dni,dnio->dno", x, loc[:, None] + scale[:, None] * eps)
    if method == "local_reparameterization":
        return x @ loc + tf.sqrt(x**2 @ scale**2) * eps
    if method == "shared":
        return x @ (loc + scale * eps)
    _, inputs, signs = noise
    return x @ loc + ((x * inputs) @ (scale * eps)) * signs  # Wen et al., equation 4


def gradients(method, x, y, loc, scale, noise):
    """Gradients of the mean squared loss by automatic differentiation, a dict of [num_draws, in, out]."""
    num_draws = len(noise[0])
    parameters = [tf.tile(tf.constant(p)[None], [num_draws, 1, 1]) for p in (loc, scale)]
    x, y = (tf.constant(np.broadcast_to(a, [num_draws, *a.shape[-2:]])) for a in (x, y))
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        squares = (outputs(method, x, *parameters, [tf.constant(part) for part in noise]) - y) ** 2
        loss = tf.reduce_sum(squares, axis=[1, 2]) / (2 * x.shape[1])
    return dict(zip(NAMES, (g.numpy() for g in tape.gradient(loss, parameters)), strict=True))


def sampled(method, arguments, num_draws, seed, batch_size=None):
    """Gradients of so many layers, on all rows or on rows drawn with replacement."""
    x, y, loc, scale = arguments
    rng = np.random.default_rng(seed)
    if batch_size is not None:
        rows = rng.integers(0, len(x), size=[num_draws, batch_size])
        x, y = x[rows], y[rows]
    return gradients(method, x, y, loc, scale, layer_noise(method, [x.shape[-2], *loc.shape], num_draws, rng))


def assert_noise(noise, samples):
    """Mean and variance of both gradients are those of the samples; four comparisons."""
    for name in NAMES:
        assert_mean(samples[name], noise.mean[name], shared_among=4)
        assert_variance(samples[name], noise.variance[name], shared_among=4)


def exact_moments(method, x, y, loc, scale):
    """Mean and variance by sums over all signs and over Gaussian nodes: three are exact up to degree 5.

    Gradients are of degree 2 in the noise, and their squares of degree 4.
    """
    shape = [part.shape[1:] for part in layer_noise(method, [len(x), *loc.shape], 1, np.random.default_rng(0))]
    nodes, weights = hermegauss(3)
    signs = [np.array([-1.0, 1.0])] * sum(int(np.prod(s)) for s in shape[1:])
    size = int(np.prod(shape[0]))
    draws = np.array(list(itertools.product(*[nodes] * size, *signs)))
    probabilities = np.array([np.prod(p) for p in itertools.product(*[weights / weights.sum()] * size)])
    probabilities = np.repeat(probabilities, 2 ** len(signs)) / 2.0 ** len(signs)
    edges = np.cumsum([int(np.prod(s)) for s in shape])[:-1]
    noise = [part.reshape([-1, *s]) for part, s in zip(np.split(draws, edges, axis=1), shape, strict=True)]
    values = gradients(method, x, y, loc, scale, noise)
    mean = {name: np.einsum("d,dio->io", probabilities, g) for name, g in values.items()}
    return mean, {name: np.einsum("d,dio->io", probabilities, (g - mean[name]) ** 2) for name, g in values.items()}


SMALL = {
    "shared": problem(3, 2, 2, 4),
    "per_example": problem(2, 2, 2, 5),
    "local_reparameterization": problem(3, 2, 2, 6),
    "flipout": problem(3, 2, 1, 7),
}


def sums_law(module):
    """All moments without chance: every sign, and Gaussian nodes."""
    small = [*SMALL.items(), ("flipout", problem(2, 2, 2, 8)), ("shared", problem(2, 3, 1, 9))]
    for method, arguments in small:
        mean, variance = exact_moments(method, *arguments)
        noise = module.gradient_noise(*arguments, method)
        for name in NAMES:
            np.testing.assert_allclose(noise.mean[name], mean[name], **close)
            np.testing.assert_allclose(noise.variance[name], variance[name], **close)


def mean_law(module):
    """The same for all methods: the gradient of the expected loss, sum (d^2 + v) / 2M, by automatic differentiation."""
    for x, y, loc, scale in PROBLEMS.values():
        parameters = [tf.constant(loc), tf.constant(scale)]
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            loss = tf.reduce_sum((x @ parameters[0] - y) ** 2 + x**2 @ parameters[1] ** 2) / (2 * len(x))
        exact = tape.gradient(loss, parameters)
        for method in METHODS:
            for batch_size in (None, 1, 7):
                noise = module.gradient_noise(x, y, loc, scale, method, batch_size)
                for name, gradient in zip(NAMES, exact, strict=True):
                    np.testing.assert_allclose(noise.mean[name], gradient, **close)


def copies_law(module):
    """Data k times over: the floor stays, and the rest is divided by k."""
    for arguments in PROBLEMS.values():
        x, y, *parameters = arguments
        for method in METHODS:
            one = module.gradient_noise(*arguments, method)
            many = module.gradient_noise(np.tile(x, [9, 1]), np.tile(y, [9, 1]), *parameters, method)
            for name in NAMES:
                rest = one.variance[name] - one.floor[name]
                np.testing.assert_allclose(many.floor[name], one.floor[name], **close)
                np.testing.assert_allclose(many.variance[name] - many.floor[name], rest / 9, **close)


def batch_law(module):
    """The law of total variance over all batches of two rows, with the noise of the weights given the rows."""
    for method in METHODS:
        for arguments in list(PROBLEMS.values())[:3]:
            x, y, *parameters = arguments
            noises = [
                module.gradient_noise(x[list(rows)], y[list(rows)], *parameters, method)
                for rows in itertools.product(range(len(x)), repeat=2)
            ]
            got = module.gradient_noise(*arguments, method, batch_size=2)
            for name in NAMES:
                within = np.mean([noise.variance[name] for noise in noises], axis=0)
                between = np.var([noise.mean[name] for noise in noises], axis=0)
                np.testing.assert_allclose(got.variance[name], within + between, **close)
                np.testing.assert_allclose(got.floor[name], module.gradient_noise(*arguments, method).floor[name])


LAWS = {law.__name__: law for law in (sums_law, mean_law, copies_law, batch_law)}


@pytest.mark.parametrize("law", LAWS)
def test_law_holds(law):
    LAWS[law](weight_noise)


# what stands in the source, what is planted, the law that must find it
PLANTED = {
    "mean without the examples": ("slope=x.T @ d / n", "slope=x.T @ d", "mean_law"),
    "residuals the other way": ("d, v = x @ loc - y,", "d, v = y - x @ loc,", "mean_law"),
    "own output of the variance": (
        "return np.diag(m.gram)[:, None] * m.scale",
        "return np.diag(m.gram)[:, None] * m.scale**2",
        "mean_law",
    ),
    "gram not squared": ("spread = m.gram**2 @ m.scale**2", "spread = m.gram @ m.scale**2", "sums_law"),
    "diagonal of the gram alone": ("spread = m.gram**2 @ m.scale**2", "spread = _own_output(m) ** 2", "sums_law"),
    "shared without the mean gradient": (
        "m.slope**2 + _own_output(m) ** 2 + spread",
        "_own_output(m) ** 2 + spread",
        "sums_law",
    ),
    "shared without its own weight": ("m.slope**2 + _own_output(m) ** 2 + spread", "m.slope**2 + spread", "sums_law"),
    "shared that decays": ("_Parts(part.own, part.own, floors", "_Parts(part.own, 0 * part.own, floors", "sums_law"),
    "variance not squared": ("squares @ scale**2", "squares @ scale", "sums_law"),
    "one weight of its own": ("m.output + m.fourth * m.scale**2", "m.output", "sums_law"),
    "no residuals": ("scale = m.square + m.output +", "scale = m.output +", "sums_law"),
    "local as per example": ("(m.ratio + 2.0 * m.fourth)", "(m.ratio + 3.0 * m.fourth)", "sums_law"),
    "local without residuals": ("(m.ratio + 2.0 * m.fourth)", "(2.0 * m.fourth)", "sums_law"),
    "flipout as per example": ("_replace(shared=shared, floor=floor)", "_replace()", "sums_law"),
    "flipout that counts copies twice": ("_replace(shared=shared, floor=floor)", "_replace(floor=floor)", "sums_law"),
    "flipout with half its floor": ("2.0 * _own_output(m) ** 2", "_own_output(m) ** 2", "sums_law"),
    "rows drawn without their own variance": (
        "(part.own + of_rows[name] - part.floor)",
        "(part.own - part.floor)",
        "batch_law",
    ),
    "floor counted twice": ("of_rows[name] - part.floor) / n", "of_rows[name]) / n", "batch_law"),
    "rows about zero": ("squares[name] - mean[name] ** 2", "squares[name]", "batch_law"),
    "whole data for the batch": ("- part.floor) / n + part.floor", "- part.floor) / len(x) + part.floor", "batch_law"),
    "a floor that is not told": (
        "{name: part.floor for name, part",
        "{name: 0 * part.floor for name, part",
        "copies_law",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_error_is_found(name):
    there, instead, law = PLANTED[name]
    source = inspect.getsource(weight_noise)
    assert source.count(there) == 1
    changed = types.ModuleType(weight_noise.__name__)
    exec(compile(source.replace(there, instead), f"<{name}>", "exec"), vars(changed))
    with pytest.raises(AssertionError):
        LAWS[law](changed)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", [None, 8])
def test_draws_have_that_noise(method, batch_size):
    """A layer of real size in shape: diabetes, all ten columns and a bias; all the rows of a batch, or drawn rows."""
    data = datasets.diabetes()
    rng = np.random.default_rng(20)
    x, y = np.column_stack([data.x, np.ones(442)]), np.column_stack([data.y, rng.normal(size=442)])
    x, y = (x, y) if batch_size else (x[:16], y[:16])
    arguments = x, y, rng.normal(size=[11, 2]) / 5, rng.uniform(0.1, 0.5, size=[11, 2])
    samples = sampled(method, arguments, 20_000, 21, batch_size)
    assert_noise(gradient_noise(*arguments, method, batch_size), samples)


@pytest.mark.parametrize("method", METHODS)
def test_noise_of_another_kind_is_told_apart(method):
    """The test above, on samples of each other method: it fails wherever the exact variances differ."""
    arguments = problem(6, 3, 1, 22)
    samples = sampled(method, arguments, 40_000, 23)
    for other in METHODS:
        noise = gradient_noise(*arguments, other)
        if other == method:
            assert_noise(noise, samples)
        else:
            with pytest.raises(AssertionError):
                assert_noise(noise, samples)


def test_oracles_of_the_gradient_for_loc():
    """As published: shared diag(A diag(s^2) A), the others M^-2 sum_i x_i^2 (x_i^2 . s^2)."""
    for x, y, loc, scale in PROBLEMS.values():
        gram = x.T @ x / len(x)
        for k, s in enumerate(scale.T):
            shared = np.diag(gram @ np.diag(s**2) @ gram)
            np.testing.assert_allclose(
                gradient_noise(x, y, loc, scale, "shared").variance["loc"][:, k], shared, **close
            )
            own = sum(row**2 * (row**2 @ s**2) for row in x) / len(x) ** 2
            for method in METHODS[1:]:
                got = gradient_noise(x, y, loc, scale, method)
                np.testing.assert_allclose(got.variance["loc"][:, k], own, **close)
                np.testing.assert_array_equal(got.floor["loc"], 0.0)


def variances(arguments, name):
    return [gradient_noise(*arguments, method).variance[name] for method in METHODS]


def test_order_of_the_noise_of_the_scale():
    """Local reparameterization, then a sample for every example, then flipout; equal where they must be."""
    for problem_name, arguments in PROBLEMS.items():
        _, own, local, flipout = variances(arguments, "scale")
        equal = {"one input": [local, own], "one example": [flipout, own]}
        if problem_name != "one input":
            assert (local < own).all()
        if problem_name != "one example":
            assert (own < flipout).all()
        if problem_name in equal:
            np.testing.assert_allclose(*equal[problem_name], **close)
    shared, own, _, flipout = variances(PROBLEMS["one example"], "scale")
    np.testing.assert_allclose(shared, own, **close)
    np.testing.assert_allclose(
        variances(PROBLEMS["one example"], "loc")[0], variances(PROBLEMS["one example"], "loc")[1]
    )


def test_a_shared_sample_may_be_the_quietest():
    """With orthogonal inputs and means that fit there is nothing to correlate: by hand, M = 4 and s = (1, 3)."""
    x = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    arguments = x, np.array([[1.0], [-1.0], [-1.0], [1.0]]), np.zeros([2, 1]), np.array([[1.0], [3.0]])
    shared, own, _, flipout = variances(arguments, "loc")
    np.testing.assert_allclose(shared[:, 0], [1.0, 9.0])
    np.testing.assert_allclose([own[:, 0], flipout[:, 0]], [[2.5, 2.5]] * 2)
    shared, own, _, flipout = variances(arguments, "scale")
    np.testing.assert_allclose(shared[:, 0], [2.0, 18.0])
    np.testing.assert_allclose(own[:, 0], [(1 + 10 + 1) / 4, (1 + 10 + 9) / 4])
    np.testing.assert_allclose(flipout[:, 0], [(1 + 10 - 1) / 4 + 2, (1 + 10 - 9) / 4 + 18])


def test_with_equal_scales_a_shared_sample_is_the_noisiest_in_sum():
    """||X X'||_F^2 against the sum of its squared diagonal: equal if and only if the rows are orthogonal."""
    for x, y, loc, _ in PROBLEMS.values():
        shared, own, _, _ = variances((x, y, loc, 0.7 * np.ones_like(loc)), "loc")
        gram = x @ x.T
        np.testing.assert_allclose(shared.sum(axis=0), 0.49 * (gram**2).sum() / len(x) ** 2, **close)
        np.testing.assert_allclose(own.sum(axis=0), 0.49 * (np.diag(gram) ** 2).sum() / len(x) ** 2, **close)
        assert (shared.sum() > own.sum()) == (len(x) > 1)
    orthogonal = np.array([[1.0, 2.0, 0.0], [2.0, -1.0, 1.0]])
    shared, own, _, _ = variances((orthogonal, np.zeros([2, 1]), np.zeros([3, 1]), np.ones([3, 1])), "loc")
    np.testing.assert_allclose(shared.sum(), own.sum(), **close)


def test_decay_with_the_batch():
    """From 10 to 10000 rows all but the floor falls by a thousand; flipout has one in its gradient for the scale."""
    arguments = problem(50, 3, 2, 24)
    floors = {("shared", "loc"), ("shared", "scale"), ("flipout", "scale")}
    for method, name in itertools.product(METHODS, NAMES):
        few, many = (gradient_noise(*arguments, method, batch_size) for batch_size in (10, 10_000))
        rest = [noise.variance[name] - noise.floor[name] for noise in (few, many)]
        np.testing.assert_allclose(rest[0], 1000 * rest[1], rtol=1e-6)
        assert (few.floor[name] > 0).all() == ((method, name) in floors)
        assert (few.floor[name] == 0).all() == ((method, name) not in floors)
    x, _, _, scale = arguments
    floor = gradient_noise(*arguments, "flipout").floor["scale"]
    np.testing.assert_allclose(floor, 2 * ((x**2).mean(axis=0)[:, None] * scale) ** 2, **close)


def test_rows_of_zeros_are_silent():
    """Where v = 0 the local reparameterization divides nothing by nothing."""
    x, y, loc, scale = problem(3, 2, 1, 25)
    padded = np.vstack([x, np.zeros([1, 2])]), np.vstack([y, [[5.0]]]), loc, scale
    for method in METHODS:
        alone, with_zeros = gradient_noise(x, y, loc, scale, method), gradient_noise(*padded, method)
        for name in NAMES:
            np.testing.assert_allclose(with_zeros.mean[name], alone.mean[name] * 3 / 4, **close)
            np.testing.assert_allclose(with_zeros.variance[name], alone.variance[name] * 9 / 16, **close)


def test_inputs_are_taken_as_numbers_of_any_float_width():
    noise = gradient_noise(np.ones([2, 1], np.float32), tf.ones([2, 3]), [[0, 0, 0]], tf.ones([1, 3]), "shared")
    for field in noise:
        assert [(g.dtype, g.shape) for g in field.values()] == [(np.float64, (1, 3))] * 2
        assert tuple(field) == NAMES


X, Y, W = np.ones([3, 2]), np.zeros([3, 1]), np.ones([2, 1])
BAD = {
    "x: expected shape [None, None] ([num_examples, in]); got shape [3]": ([1.0, 2.0, 3.0], Y, W, W, "shared"),
    "x: expected at least one example and one input; got shape [0, 2]": (X[:0], Y[:0], W, W, "shared"),
    "x: expected at least one example and one input; got shape [3, 0]": (X[:, :0], Y, W[:0], W[:0], "shared"),
    "x: expected finite numbers": (X + np.nan, Y, W, W, "shared"),
    "y: expected shape [3, None] ([num_examples, out]); got shape [3]": (X, Y[:, 0], W, W, "shared"),
    "y: expected shape [3, None] ([num_examples, out]); got shape [1, 1]": (X, Y[:1], W, W, "shared"),
    "y: expected at least one output; got shape [3, 0]": (X, Y[:, :0], W[:, :0], W[:, :0], "shared"),
    "loc: expected shape [2, 1] ([in, out]); got shape [2]": (X, Y, [1.0, 1.0], W, "shared"),
    "scale: expected shape [2, 1] ([in, out]); got shape []": (X, Y, W, 1.0, "shared"),
    "scale: expected positive numbers; got 0.0": (X, Y, W, 0 * W, "shared"),
    "method: expected one of shared, per_example, local_reparameterization, flipout; got 'reparam'": (
        (X, Y, W, W, "reparam")
    ),
    "batch_size: expected an integer of at least 1; got 0": (X, Y, W, W, "shared", 0),
    "batch_size: expected an integer of at least 1; got 2.0": (X, Y, W, W, "shared", 2.0),
    "gradient_noise: expected values in the range of float64; got infinity": (1e100 * X, Y, W, W, "shared"),
}
BAD_TYPES = {
    "x: expected float32 or float64; got int64": (np.ones([3, 2], int), Y, W, W, "shared"),
    "loc: expected numbers": (X, Y, [["a"], ["b"]], W, "shared"),
}


@pytest.mark.parametrize("expected", [*BAD, *BAD_TYPES])
def test_bad_input_is_named(expected):
    error, arguments = (ValueError, BAD[expected]) if expected in BAD else (TypeError, BAD_TYPES[expected])
    with pytest.raises(error, match=re.escape(expected)):
        gradient_noise(*arguments)
