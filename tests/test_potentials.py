"""The potentials against formulas in NumPy, sums over grids and closed forms; each law is shown planted errors."""

import inspect
import types

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from companion import potentials
from companion.potentials import Potential, rezende_mohamed

NUMBERS = [1, 2, 3, 4]
WINDOW = (-4.0, 4.0)
WALL = 0.25


def q(x, scale):
    return np.exp(-((x / scale) ** 2) / 2)


def energy(number, z):
    """Table 1 of the paper as it is printed: exact where no exponential is 0."""
    z1, z2 = np.moveaxis(np.asarray(z, float), -1, 0)
    w1, w2, w3 = np.sin(2 * np.pi * z1 / 4), 3 * q(z1 - 1, 0.6), 3 / (1 + np.exp(-(z1 - 1) / 0.3))
    if number == 1:
        return ((np.hypot(z1, z2) - 2) / 0.4) ** 2 / 2 - np.log(q(z1 - 2, 0.6) + q(z1 + 2, 0.6))
    if number == 2:
        return ((z2 - w1) / 0.4) ** 2 / 2
    if number == 3:
        return -np.log(q(z2 - w1, 0.35) + q(z2 - w1 + w2, 0.35))
    return -np.log(q(z2 - w1, 0.4) + q(z2 - w1 + w3, 0.35))


def wall(z, low=-4.0, high=4.0, scale=WALL):
    """Half the squared distance from the window, in standard deviations."""
    return (((z - np.clip(z, low, high)) / scale) ** 2).sum(axis=-1) / 2


def grid(reach, step):
    axis = np.arange(-reach, reach + step / 2, step)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)


def points(reach=6.0, n=500):
    return np.random.default_rng(0).uniform(-reach, reach, size=[n, 2])


def log_integral(number, reach, step=0.05):
    """Of exp(-U) over a square, by the trapezoidal rule."""
    with np.errstate(divide="ignore"):  # far away, log 0
        values = np.exp(-energy(number, grid(reach, step)))
    values[[0, -1]] /= 2
    values[:, [0, -1]] /= 2
    return np.log(values.sum() * step**2)


def energy_law(module):
    for number in NUMBERS:
        z = points()
        got = module.rezende_mohamed(number).energy(z)
        assert got.dtype == tf.float64
        np.testing.assert_allclose(got, energy(number, z), rtol=1e-9, atol=1e-9)
        single = module.rezende_mohamed(number).energy(z.astype(np.float32).reshape(5, 100, 2))
        assert single.dtype == tf.float32
        np.testing.assert_allclose(np.reshape(single, 500), energy(number, z.astype(np.float32)), rtol=3e-5, atol=3e-5)


def tails_law(module):
    """Far away all is finite and the gradient points home; at the origin and along the axes it is no NaN."""
    far = np.array([[0.0, 60.0], [300.0, -400.0], [-1e4, 1e4], [1e8, 2e8]])
    near = np.array([[0.0, 0.0], [0.0, 1e-30], [1.0, 0.0], [2.0, 0.0], [-1e-12, 1e-12]])
    for number in NUMBERS:
        for dtype in (np.float32, np.float64):
            for potential in (module.rezende_mohamed(number), module.rezende_mohamed(number, WINDOW)):
                z = tf.constant(np.concatenate([far, near]), dtype)
                with tf.GradientTape() as tape:
                    tape.watch(z)
                    log_p = potential.log_prob(z)
                slope = tape.gradient(log_p, z).numpy()
                assert np.isfinite(log_p).all()
                assert np.isfinite(slope).all()
                assert (log_p.numpy()[:4] < -1000).all()
                assert (slope[:4, 1] * far[:, 1] < 0).all()


def wall_law(module):
    """Outside of the window the wall is added, inside nothing; a window may be a box of any sides."""
    z = points(8.0)
    for number in NUMBERS:
        exact = -energy(number, z[(np.abs(z) < 4.5).all(axis=1)])
        inside = module.rezende_mohamed(number, WINDOW).log_prob(z[(np.abs(z) < 4.5).all(axis=1)])
        np.testing.assert_allclose(inside, exact - wall(z[(np.abs(z) < 4.5).all(axis=1)]), rtol=1e-9, atol=1e-9)
    flat = module.Potential(lambda z: 0.0 * z[..., 0], ([-1.0, -2.0], [3.0, 0.5]), wall_scale=0.7)
    low, high = np.array([-1.0, -2.0]), np.array([3.0, 0.5])
    np.testing.assert_allclose(flat.log_prob(z), -wall(z, low, high, 0.7), rtol=1e-12)
    np.testing.assert_array_equal(module.rezende_mohamed(2).log_prob(z), -module.rezende_mohamed(2).energy(z))


def gradient_law(module):
    """Of log_prob, against central differences of the formulas, within the window, at its edge and outside."""
    z = np.concatenate([points(4.4, 200), [[4.0, 0.3], [-4.0, 1.2], [0.5, -4.0], [4.0, 4.0]]])
    step = 1e-5
    for number in NUMBERS:
        x = tf.constant(z)
        with tf.GradientTape() as tape:
            tape.watch(x)
            log_p = module.rezende_mohamed(number, WINDOW).log_prob(x)
        got = tape.gradient(log_p, x).numpy()
        for i, d in enumerate(np.eye(2) * step):
            ends = [-energy(number, end) - wall(end) for end in (z + d, z - d)]
            np.testing.assert_allclose(got[:, i], (ends[0] - ends[1]) / (2 * step), rtol=1e-4, atol=2e-4)


def normaliser_law(module):
    """Sums over a grid for all; closed forms where the walls along z2 are too far to count."""
    width = 10.0 + WALL * np.sqrt(2 * np.pi)
    for number, scales in ((2, 0.4), (3, 0.7), (4, 0.75)):
        potential = module.rezende_mohamed(number, ([-3.0, -9.0], [7.0, 6.0]))
        exact = np.log(scales * np.sqrt(2 * np.pi) * width)
        np.testing.assert_allclose(potential.log_normaliser(), exact, rtol=0, atol=1e-8)
    wide = module.Potential(lambda z: 0.0 * z[..., 0], (-1.0, 2.0), wall_scale=1.5)
    exact = 2 * np.log(3.0 + 1.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(wide.log_normaliser(), exact, rtol=0, atol=1e-8)
    z = grid(7.0, 0.02)
    for number in NUMBERS:
        sums = np.log(np.exp(-energy(number, z) - wall(z)).sum() * 0.02**2)
        got = module.rezende_mohamed(number, WINDOW).log_normaliser()
        assert isinstance(got, float)
        np.testing.assert_allclose(got, sums, rtol=0, atol=1e-8)
    np.testing.assert_allclose(module.rezende_mohamed(1).log_normaliser(), log_integral(1, 7.0), rtol=0, atol=1e-8)


def bowl(module, precision):
    """A Gaussian without its constant, and where it is."""
    precision = np.asarray(precision)
    reach = 10 * np.sqrt(np.linalg.inv(precision).diagonal())
    return module.Potential(
        lambda z: tf.einsum("...i,ij,...j->...", z, tf.constant(precision, z.dtype), z) / 2, extent=(-reach, reach)
    )


def two_wells(module):
    """A mixture of two Gaussians so far from each other that the best one Gaussian is one of them."""

    def energy(z):
        wells = [np.log(p) - tf.reduce_sum((z - [c, 0.0]) ** 2, -1) / 0.18 for p, c in ((0.3, -2.0), (0.7, 2.0))]
        return np.log(2 * np.pi * 0.09) - tf.reduce_logsumexp(wells, axis=0)

    return module.Potential(energy, extent=(-5, 5))


PRECISIONS = ([[2.0, 0.9], [0.9, 0.6]], [[4.0, -3.0], [-3.0, 9.0]])
GAUSSIANS = (([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]), ([1.5, -0.7], [[0.4, 0.0], [-0.9, 1.2]]))


def free_energy_law(module):
    """Of Gaussians on a Gaussian and on the second potential in closed form, on the others by sums over a grid."""
    for loc, scale in GAUSSIANS:
        cov = np.dot(scale, np.transpose(scale))
        entropy = stats.multivariate_normal(loc, cov).entropy()
        for precision in PRECISIONS:
            exact = np.sum(precision * (cov + np.outer(loc, loc))) / 2 - entropy
            got = bowl(module, precision).gaussian_free_energy(loc, scale)
            assert isinstance(got, float)
            np.testing.assert_allclose(got, exact, rtol=0, atol=1e-6)
        k, phase, damped = np.pi / 2, np.pi / 2 * loc[0], np.exp(-(np.pi**2) / 8 * cov[0, 0])
        cross = damped * (loc[1] * np.sin(phase) + k * cov[0, 1] * np.cos(phase))  # of z2 and sin k z1, by Stein
        squares = cov[1, 1] + loc[1] ** 2 - 2 * cross + (1 - damped**4 * np.cos(2 * phase)) / 2
        got = module.rezende_mohamed(2).gaussian_free_energy(loc, scale)
        np.testing.assert_allclose(got, squares / 0.32 - entropy, rtol=0, atol=1e-6)
        z = grid(12.0, 0.04)
        q_of_z = stats.multivariate_normal(loc, cov).pdf(z)
        for number in (1, 3, 4):
            with np.errstate(divide="ignore", invalid="ignore"):  # far away, log 0 where q is 0 too
                energies = np.where(q_of_z > 1e-30, energy(number, z) + wall(z), 0.0)
            got = module.rezende_mohamed(number, WINDOW).gaussian_free_energy(loc, scale)
            np.testing.assert_allclose(got, (q_of_z * energies).sum() * 0.04**2 - entropy, rtol=0, atol=2e-4)


def best_gaussian_law(module):
    """A Gaussian is found itself; with independent coordinates, at the gap of mean field; elsewhere all is uphill."""
    for precision in PRECISIONS:
        potential = bowl(module, precision)
        best = potential.best_gaussian()
        np.testing.assert_allclose(best.loc, 0.0, atol=1e-5)
        np.testing.assert_allclose(best.scale_tril, np.linalg.cholesky(np.linalg.inv(precision)), atol=1e-5)
        np.testing.assert_allclose(best.free_energy, -potential.log_normaliser(), atol=1e-6)
        best = potential.best_gaussian(mean_field=True)
        np.testing.assert_allclose(best.scale_tril, np.diag(np.diag(precision) ** -0.5), atol=1e-5)
        gap = (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2
        np.testing.assert_allclose(best.free_energy + potential.log_normaliser(), gap, atol=1e-6)
    best = two_wells(module).best_gaussian()  # the deeper one
    np.testing.assert_allclose(best.loc, [2.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(best.scale_tril, 0.3 * np.eye(2), atol=1e-5)
    np.testing.assert_allclose(best.free_energy, -np.log(0.7), atol=1e-6)
    potential = module.rezende_mohamed(4, WINDOW)
    best = potential.best_gaussian()
    for seed in range(2):
        step = np.random.default_rng(seed).normal(scale=0.02, size=5)
        for sign in (1, -1):
            loc, scale = best.loc + sign * step[:2], best.scale_tril + sign * np.array([[step[2], 0], step[3:]])
            assert potential.gaussian_free_energy(loc, scale) > best.free_energy


LAWS = {
    law.__name__: law
    for law in (energy_law, tails_law, wall_law, gradient_law, normaliser_law, free_energy_law, best_gaussian_law)
}


@pytest.mark.parametrize("law", LAWS)
def test_law_holds(law):
    LAWS[law](potentials)


# what stands in the source, what is planted, the law that must find it
PLANTED = {
    "the public copies' U2": ("return -_log_q(_from_wave(z), 0.4)", "return -_log_q(_from_wave(z), 1.0)", "energy"),
    "a ring of another radius": ("norm - 2.0, 0.4", "norm - 1.9, 0.4", "energy"),
    "a half forgotten": ("return -((x / scale) ** 2) / 2.0", "return -((x / scale) ** 2)", "energy"),
    "scale for its square": ("return -((x / scale) ** 2) / 2.0", "return -(x**2 / scale) / 2.0", "energy"),
    "one banana": ("_log_sum(_log_q(z1 - 2.0, 0.6), _log_q(z1 + 2.0, 0.6))", "_log_q(z1 - 2.0, 0.6)", "energy"),
    "bump down": ("_log_q(x + w2, 0.35)", "_log_q(x - w2, 0.35)", "energy"),
    "bump without its half": (
        "3.0 * tf.exp(_log_q(z[..., 0] - 1.0, 0.6))",
        "3.0 * tf.exp(_log_q(z[..., 0] - 1.0, 0.3))",
        "energy",
    ),
    "both steps alike": ("_log_q(x, 0.4), _log_q(x + w3", "_log_q(x, 0.35), _log_q(x + w3", "energy"),
    "steeper step": ("/ 0.3)\n", "/ 0.6)\n", "energy"),
    "wave of another length": ("math.pi / 2.0 * z", "math.pi * z", "energy"),
    "maximum for the sum": ("tf.reduce_logsumexp(tf.stack([a, b]), axis=0)", "tf.maximum(a, b)", "energy"),
    "sum of tiny exponentials": (
        "tf.reduce_logsumexp(tf.stack([a, b]), axis=0)",
        "tf.math.log(tf.exp(a) + tf.exp(b))",
        "tails",
    ),
    "gradient of the norm at 0": (
        "tf.sqrt(tf.maximum(tf.reduce_sum(z**2, axis=-1), smallest))",
        "tf.norm(z, axis=-1)",
        "tails",
    ),
    "wall without its half": ("/ self.wall_scale) ** 2, axis=-1) / 2", "/ self.wall_scale) ** 2, axis=-1)", "wall"),
    "wall on one side": ("tf.nn.relu(low - z) + tf", "tf", "wall"),
    "a hard wall": (
        "tf.reduce_sum((outside / self.wall_scale) ** 2, axis=-1) / 2",
        "1e9 * tf.reduce_max(tf.sign(outside), axis=-1)",
        "gradient",
    ),
    "wall that stops the gradient": ("tf.nn.relu(z - high)", "tf.nn.relu(tf.stop_gradient(z) - high)", "gradient"),
    "wall left out of the integral": (
        "np.exp(self.log_prob(z).numpy())",
        "np.exp(-self.energy(z).numpy())",
        "normaliser",
    ),
    "the window alone": ("_REACH = 9.0", "_REACH = 1.0", "normaliser"),
    "Z for its logarithm": ("np.log(mass)", "np.abs(mass)", "normaliser"),
    "extent cut short": ("(-6.5, 6.5)", "(-2.8, 2.8)", "normaliser"),
    "coordinates exchanged": (
        "np.meshgrid(z1, z2), axis=-1)",
        "np.meshgrid(z1, z2), axis=-1)[..., ::-1]",
        "normaliser",
    ),
    "entropy added": ("energy - np.log(np.diag(scale))", "energy + np.log(np.diag(scale))", "free_energy"),
    "entropy without its constant": (
        "np.log(np.diag(scale)).sum() - np.log(2 * np.pi * np.e)",
        "np.log(np.diag(scale)).sum() - np.log(2 * np.pi)",
        "free_energy",
    ),
    "factor from the wrong side": ("loc + eps @ scale.T", "loc + eps @ scale", "free_energy"),
    "a narrow Gaussian": ("np.linspace([-_REACH] * 2", "np.linspace([-2.0] * 2", "free_energy"),
    "correlation in the mean field": ("True, not mean_field]", "True, True]", "best_gaussian"),
    "correlation forgotten": ("0.0 if mean_field else best[4]", "0.0", "best_gaussian"),
    "width not paid for": ("energy - theta[2] - theta[3]", "energy - theta[2] - 2 * theta[3]", "best_gaussian"),
    "the worst of all": ("best = min(ends", "best = max(ends", "best_gaussian"),
}


@pytest.mark.parametrize("error", PLANTED)
def test_planted_error_is_found(error):
    there, instead, law = PLANTED[error]
    source = inspect.getsource(potentials)
    assert source.count(there) == 1
    changed = types.ModuleType(potentials.__name__)
    exec(compile(source.replace(there, instead), "<changed>", "exec"), vars(changed))
    with pytest.raises(AssertionError):
        LAWS[f"{law}_law"](changed)


@pytest.mark.parametrize("number", NUMBERS)
def test_only_the_first_has_a_finite_integral(number):
    """From square to square the others' grow as its side, which is twice as long each time; the first's stays."""
    mass = np.exp([log_integral(number, reach) for reach in (8.0, 16.0, 32.0)])
    growth = np.diff(mass)
    if number == 1:
        np.testing.assert_allclose(growth, 0.0, atol=1e-9)
        np.testing.assert_allclose(np.log(mass[0]), rezende_mohamed(1).log_normaliser(), atol=1e-8)
    else:
        a_unit = {2: 0.4, 3: 0.7, 4: 0.75}[number] * np.sqrt(2 * np.pi)  # of z1
        np.testing.assert_allclose(growth, a_unit * np.array([16.0, 32.0]), rtol=1e-6)


def test_a_window_makes_all_normalisable():
    assert [rezende_mohamed(number).normalisable for number in NUMBERS] == [True, False, False, False]
    assert all(rezende_mohamed(number, WINDOW).normalisable for number in NUMBERS)
    for number in NUMBERS[1:]:
        with pytest.raises(
            ValueError, match=r"window: expected a window, for the integral .* is infinite .*; got None"
        ):
            rezende_mohamed(number).log_normaliser()


def test_published_copies_underflow_where_these_do_not():
    z = np.array([[0.0, 20.0]], np.float32)
    with np.errstate(divide="ignore"):
        naive = -np.log(q(z[:, 1] - 0, np.float32(0.35)) + q(z[:, 1] + 0.748, np.float32(0.35)))
    assert np.isinf(naive).all()
    np.testing.assert_allclose(rezende_mohamed(3).energy(z), (20 / 0.35) ** 2 / 2, rtol=1e-6)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_best_gaussian_is_above_the_floor_and_the_mean_field_above_it(number):
    potential = rezende_mohamed(number, WINDOW)
    full, mean_field = potential.best_gaussian(), potential.best_gaussian(mean_field=True)
    assert -potential.log_normaliser() + 0.5 < full.free_energy <= mean_field.free_energy + 1e-7
    assert (mean_field.free_energy - full.free_energy > 0.1) == (number > 1)  # only the first has upright bananas
    np.testing.assert_array_equal(mean_field.scale_tril[~np.eye(2, dtype=bool)], 0.0)
    assert rezende_mohamed(1).best_gaussian().loc[0] < 0


@pytest.mark.parametrize("number", NUMBERS)
def test_graphs_and_xla_give_what_eager_gives(number):
    z = tf.constant(points(5.0, 64), tf.float32)
    potential = rezende_mohamed(number, WINDOW)

    def both(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            log_p = potential.log_prob(z)
        return log_p, tape.gradient(log_p, z)

    eager = both(z)
    unknown = tf.function(both, input_signature=[tf.TensorSpec(None, tf.float32)])
    for compiled in (tf.function(both), tf.function(both, jit_compile=True), unknown):
        for got, exact in zip(compiled(z), eager, strict=True):
            np.testing.assert_allclose(got, exact, rtol=1e-4, atol=1e-4)


def test_a_potential_says_what_it_is_and_integrates_once(monkeypatch):
    calls = []

    def bowl(z):
        calls.append(len(z))
        return tf.reduce_sum(z**2, axis=-1) / 2

    potential = Potential(bowl, extent=(-9, 9), name="bowl")
    assert repr(potential) == "Potential(bowl, window=None)"
    assert repr(rezende_mohamed(1, (-1, [2, 3]))) == "Potential(rezende_mohamed(1), window=([-1.0, -1.0], [2.0, 3.0]))"
    np.testing.assert_allclose(potential.log_normaliser(), np.log(2 * np.pi), atol=1e-10)
    num_calls = len(calls)
    assert potential.log_normaliser() == potential.log_normaliser()
    assert len(calls) == num_calls > 0


def test_bad_input_is_named():
    for wrong in (0, 5, 1.0, "1", True):
        with pytest.raises(ValueError, match="number: expected"):
            rezende_mohamed(wrong)
    with pytest.raises(TypeError, match=r"window: expected a pair \(low, high\); got 4"):
        rezende_mohamed(1, window=4)
    with pytest.raises(ValueError, match="window: expected low below high; got low"):
        rezende_mohamed(1, window=(4, -4))
    with pytest.raises(ValueError, match=r"window, high: expected shape \[2\] .* got shape \[3\]"):
        rezende_mohamed(1, window=(-4, [1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="window, low: expected finite"):
        rezende_mohamed(1, window=(-np.inf, 4.0))
    with pytest.raises(TypeError, match="window, high: expected numbers"):
        rezende_mohamed(1, window=(-4, "four"))
    with pytest.raises(ValueError, match="extent: expected low below high"):
        Potential(tf.reduce_sum, extent=(1, 1))
    with pytest.raises(TypeError, match="energy: expected a callable"):
        Potential(3.0)
    for wrong in (0.0, -1.0, "soft"):
        with pytest.raises(ValueError, match="wall_scale: expected a positive number"):
            Potential(tf.reduce_sum, wall_scale=wrong)
    potential = rezende_mohamed(2)
    for wrong in ([1.0, 2.0, 3.0], 1.0, np.zeros([2, 1])):
        for method in (potential.energy, potential.log_prob):
            with pytest.raises(ValueError, match=r"z: expected shape \[\.\.\., 2\]; got shape"):
                method(wrong)
    with pytest.raises(ValueError, match="z: expected finite numbers; got 1 of 2"):
        potential.energy([np.nan, 0.0])
    with pytest.raises(TypeError, match="z: expected"):
        potential.energy(tf.constant([[1, 2]]))
    with pytest.raises(ValueError, match=r"energy: expected shape \[3\] \(one number a point\); got shape \[\]"):
        Potential(tf.reduce_sum).energy(np.zeros([3, 2]))
    with pytest.raises(ValueError, match="energy: expected a finite integral"):
        Potential(lambda z: -(z[..., 0] ** 4), extent=(-90, 90)).log_normaliser()
    with pytest.raises(ValueError, match="log_normaliser: expected values in the range of float64; got infinity"):
        Potential(lambda z: 1e4 + z[..., 0], extent=(-9, 9)).log_normaliser()
    for method in ("log_normaliser", "best_gaussian"):
        with pytest.raises(RuntimeError, match=f"{method}: expected eager execution"):
            tf.function(getattr(rezende_mohamed(1), method))()
    gaussian_free_energy = rezende_mohamed(1).gaussian_free_energy
    with pytest.raises(RuntimeError, match="loc: expected eager execution"):
        tf.function(gaussian_free_energy)([0.0, 0.0], np.eye(2))
    with pytest.raises(ValueError, match=r"loc: expected shape \[2\]"):
        gaussian_free_energy([0.0], np.eye(2))
    for wrong in (np.ones([2, 2]), -np.eye(2), np.zeros([2, 2])):
        with pytest.raises(ValueError, match="scale_tril: expected a lower triangle with a positive diagonal; got"):
            gaussian_free_energy([0.0, 0.0], wrong)
    with pytest.raises(ValueError, match=r"scale_tril: expected shape \[2, 2\]"):
        gaussian_free_energy([0.0, 0.0], [1.0, 1.0])
