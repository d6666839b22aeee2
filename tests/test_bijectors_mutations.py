"""Planted errors in the bijectors' and flows' own source, each of which a law must find: those that public code has.

The unchanged source passes the same laws.
"""

import importlib
import inspect
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import flows
from companion.flows import density

MODULES = (  # in the order in which they need each other
    "scalar_maps",
    "masked",
    "parameters",
    "planar",
    "radial",
    "coupling",
    "autoregressive",
    "actnorm",
    "permutation",
)

# name: (module, what stands there, what is planted)
PLANTED = {
    "sign of the planar log-determinant": ("planar", "-_log_slope(slope, h)", "_log_slope(slope, h)"),
    "planar slope without the derivative": ("planar", "slope * (1.0 - h * h)", "slope * h"),
    "planar without its constraint": ("planar", "slope = above_minus_one(dot(u, w))", "slope = dot(u, w)"),
    "planar constraint in the wrong direction": (
        "planar",
        "return u + slope[..., None] * unit",
        "return u - slope[..., None] * unit",
    ),
    "planar inverse that is not differentiated": (
        "planar",
        "_, root = excess_and_step(root, target, slope)",
        "root = tf.stop_gradient(root)",
    ),
    "a slope that may be minus one": ("parameters", "span = 1.0 - SMALLEST_SLOPE", "span = 1.5"),
    "radial determinant of one dimension": (
        "radial",
        "(self.dim - 1) * tf.math.log1p(slope * share)",
        "tf.math.log1p(slope * share)",
    ),
    "radial determinant without the last factor": ("radial", "+ tf.math.log1p(slope * share * share)", ""),
    "radial inverse with the other root": ("radial", "root - half)", "-root - half)"),
    "affine without its log-determinant": ("scalar_maps", "+ shift, log_scale", "+ shift, 0.0 * log_scale"),
    "affine inverse with the sign of its map": (
        "scalar_maps",
        "tf.exp(-log_scale), -log_scale",
        "tf.exp(-log_scale), log_scale",
    ),
    "shift before scale": ("scalar_maps", "(y - shift) * tf.exp(-log_scale)", "y * tf.exp(-log_scale) - shift"),
    "spline's derivative without its square": ("scalar_maps", "2.0 * tf.math.log(s) +", "tf.math.log(s) +"),
    "spline's inverse without its sign": (
        "scalar_maps",
        "tf.where(inside, -_log_derivative",
        "tf.where(inside, _log_derivative",
    ),
    "spline that ends at its interval": (
        "scalar_maps",
        "return tf.where(inside, value, x)",
        "return tf.where(inside, value, within)",
    ),
    "spline's ends exchanged": (
        "scalar_maps",
        "return tf.exp(_log_scale(left)), tf.exp(_log_scale(right))",
        "return tf.exp(_log_scale(right)), tf.exp(_log_scale(left))",
    ),
    "coupling that sees what it moves": (
        "coupling",
        "self._scalar_parameters(kept, context)",
        "self._scalar_parameters(moved[..., : self._num_kept], context)",
    ),
    "coupling that sums over one coordinate": (
        "coupling",
        "tf.reduce_sum(log_derivatives, axis=-1)",
        "log_derivatives[..., 0]",
    ),
    "coupling that exchanges its halves": (
        "coupling",
        "[moved, kept] if self.reverse",
        "[kept, moved] if self.reverse",
    ),
    "mask that leaks at the output": ("masked", "degrees[-1][:, None] < outputs", "degrees[-1][:, None] <= outputs"),
    "mask that hides too much": ("masked", "low[:, None] <= high", "low[:, None] < high"),
    "mask that is not applied": ("masked", "kernel * tf.constant(self._mask, kernel.dtype)", "kernel"),
    "order of the coordinates, not their places": (
        "autoregressive",
        "places = np.argsort(self._sequence)",
        "places = self._sequence",
    ),
    "autoregressive map in one pass": ("autoregressive", "lambda i, _: i < last", "lambda i, _: i < 1"),
    "permutation undone by itself": (
        "permutation",
        "tf.gather(y, self._back, axis=-1)",
        "tf.gather(y, self._order, axis=-1)",
    ),
    "actnorm without its log-determinant": (
        "actnorm",
        "+ tf.reduce_sum(log_scale)",
        "+ 0.0 * tf.reduce_sum(log_scale)",
    ),
}


def planted(name):
    """The modules of bijectors as the planted source has them, by their names."""
    twins, package = {}, sys.modules["companion.bijectors"]
    reals = {module: importlib.import_module(f"companion.bijectors.{module}") for module in MODULES}
    try:
        for module, real in reals.items():
            source = inspect.getsource(real)
            if name and PLANTED[name][0] == module:
                _, there, instead = PLANTED[name]
                assert source.count(there) >= 1, f"{module} no longer has {there!r}"
                source = source.replace(there, instead)
            source = source.replace(
                'register_keras_serializable(package="companion.bijectors")', 'register_keras_serializable("planted")'
            )
            twin = twins[module] = types.ModuleType(real.__name__)
            exec(compile(source, real.__file__, "exec"), vars(twin))
            sys.modules[real.__name__] = twin
            setattr(package, module, twin)
    finally:
        for module, real in reals.items():
            sys.modules[real.__name__] = real
            setattr(package, module, real)
    return twins


def specimens(twins, module):
    """Bijectors that use a module, their weights moved away from where they start."""
    nets = {"hidden": (8, 8), "seed": 1, "dtype": "float64"}
    coupling, autoregressive = twins["coupling"], twins["autoregressive"]
    couplings = [
        coupling.AffineCoupling(4, **nets),
        coupling.AffineCoupling(3, reverse=True, **nets),
        coupling.SplineCoupling(4, bins=4, bound=2.0, **nets),
    ]
    sequences = [
        autoregressive.MaskedAutoregressive(4, order=[1, 2, 3, 0], **nets),
        autoregressive.InverseAutoregressive(3, transform="spline", bound=2.0, bins=4, **nets),
    ]
    planar = [twins["planar"].Planar(3, seed=seed, dtype="float64") for seed in (0, 1)]
    radial = [twins["radial"].Radial(3, seed=seed, dtype="float64") for seed in (0, 1)]
    made = {
        "parameters": [*planar, *radial],
        "planar": planar,
        "radial": radial,
        "scalar_maps": couplings,
        "coupling": couplings,
        "masked": sequences,
        "autoregressive": sequences,
        "actnorm": [twins["actnorm"].ActNorm(3, dtype="float64")],
        "permutation": [twins["permutation"].Permutation([2, 0, 1], dtype="float64")],
    }[module]
    for place, bijector in enumerate(made):
        rng = np.random.default_rng(place)
        for layer in bijector.layers:
            for variable in layer.trainable_variables:
                variable.assign_add(0.5 * rng.standard_normal(variable.shape))
    return made


def jacobians(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.batch_jacobian(y, x).numpy()


def check_laws(twins, module):
    """Inverse, log-determinants, their derivatives, the shapes of the Jacobians, smoothness, invertibility."""
    for bijector in specimens(twins, module):
        x = tf.constant(1.5 * np.random.default_rng(0).standard_normal((40, bijector.dim)))
        y, log_det = bijector.forward_and_log_det(x)
        back, inverse = bijector.inverse_and_log_det(y)
        np.testing.assert_allclose(back, x, atol=1e-8)
        np.testing.assert_allclose(inverse, -log_det, atol=1e-7)
        slopes = jacobians(bijector.forward, x)
        np.testing.assert_allclose(log_det, np.linalg.slogdet(slopes)[1], atol=1e-8)
        np.testing.assert_allclose(inverse, np.linalg.slogdet(jacobians(bijector.inverse, y))[1], atol=1e-6)
        check_structure(bijector, slopes)
    for seed in range(10) if module in ("parameters", "planar") else ():
        planar = twins["planar"].Planar(2, seed=seed, dtype="float64")
        planar.layers[0].values.assign(20.0 * np.random.default_rng(seed).standard_normal(5))
        grid = tf.constant(np.random.default_rng(1).uniform(-1, 1, (200, 2)))
        assert np.isfinite(planar.forward_and_log_det(grid)[1]).all()


def check_structure(bijector, slopes):
    """A coupling moves one half by the other, an autoregressive map has a full triangle."""
    kind, dim = type(bijector).__name__, bijector.dim
    if kind.endswith("Coupling"):
        kept = np.arange(dim)[-(dim // 2) :] if bijector.reverse else np.arange(dim)[: dim // 2]
        moved = np.setdiff1d(np.arange(dim), kept)
        assert (slopes[:, moved][:, :, kept] != 0).any(axis=0).all()
        assert (slopes[:, moved][:, :, moved] * (1 - np.eye(len(moved))) == 0).all()
    if kind == "SplineCoupling":  # its derivative is continuous
        line = np.full((60001, dim), 0.3)
        line[:, -1] = np.linspace(-2.1, 2.1, 60001)
        assert np.abs(np.diff(bijector.forward_and_log_det(line)[1])).max() < 0.05
    if kind.endswith("Autoregressive"):
        order = [1, 2, 3, 0] if dim == 4 else [0, 1, 2]
        ordered = slopes[:, order][:, :, order]
        assert (np.triu(ordered, 1) == 0).all()
        assert (ordered[:, *np.tril_indices(dim, -1)] != 0).any(axis=0).all()


@pytest.mark.parametrize("module", MODULES)
def test_the_source_as_it_stands_keeps_the_laws(module):
    check_laws(planted(None), module)


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_error_is_found(name):
    with pytest.raises((AssertionError, ValueError, tf.errors.InvalidArgumentError)):
        check_laws(planted(name), PLANTED[name][0])


# The fit to a density

IN_DENSITY = {
    "entropy forgotten": ("return log_q, samples", "return tf.stop_gradient(log_q), samples"),
    "missing stop-gradient": (
        "z, log_q = samples.log_density(flow.distribution, z, gradient)",
        "log_q = flow.distribution.log_prob(z)",
    ),
    "stop-gradient on the samples": (
        "z, log_q = flow.sample_and_log_prob(num_samples, seed)",
        "z, log_q = flow.sample_and_log_prob(num_samples, seed); z = tf.stop_gradient(z)",
    ),
    "sign of the target": (
        "samples.evaluate(target_log_prob, z, log_q)",
        "-samples.evaluate(target_log_prob, z, log_q)",
    ),
}


def log_densities(name):
    """The function as the planted source has it."""
    source = inspect.getsource(density.log_densities)
    if name:
        there, instead = IN_DENSITY[name]
        assert source.count(there) == 1
        source = source.replace(there, instead)
    space = dict(vars(density))
    exec(source, space)
    return space["log_densities"]


def check_gradients(estimate):
    """At the target, sticking the landing is zero; elsewhere both estimators have the gradient of quadrature."""
    flow = flows.Flow([flows.planar_flow(1, layers=1, seed=2, dtype="float64").bijectors[0]], seed=0)
    variables = flow.trainable_variables

    def gradient(target, kind, num_samples=4000):
        with tf.GradientTape() as tape:
            log_q, log_p = estimate(flow, target, num_samples, tf.constant([1, 2]), kind)
            loss = tf.reduce_mean(log_q - log_p)
        return np.concatenate([np.ravel(g) for g in tape.gradient(loss, variables)])

    twin = flows.planar_flow(1, layers=1, seed=2, dtype="float64")
    assert np.abs(gradient(twin.log_prob, "sticking_the_landing", 20)).max() < 1e-10
    assert np.abs(gradient(twin.log_prob, "pathwise", 20)).max() > 1e-3

    def target(z):
        return tf.reduce_sum(tfd.Normal(np.float64(1.0), np.float64(0.5)).log_prob(z), axis=-1)

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    with tf.GradientTape() as tape:
        z, log_det = flow.forward_and_log_det(nodes[:, None])
        loss = tf.reduce_sum(weights / weights.sum() * (-log_det - target(z)))
    exact = np.concatenate([np.ravel(g) for g in tape.gradient(loss, variables)])
    for kind in density.GRADIENTS:
        np.testing.assert_allclose(gradient(target, kind), exact, atol=0.6)  # eight standard errors


def test_the_fit_as_it_stands_keeps_the_laws():
    check_gradients(log_densities(None))


@pytest.mark.parametrize("name", IN_DENSITY)
def test_every_error_planted_in_the_fit_is_found(name):
    with pytest.raises((AssertionError, ValueError, TypeError)):
        check_gradients(log_densities(name))
