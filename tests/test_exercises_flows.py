"""The checks of the chapter "Normalizing flows" accept right answers and name wrong ones."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from companion import datasets
from companion.exercises import flows as check
from companion.exercises.checks import WrongAnswer


def planar(x, u, w, b):
    h = np.tanh(x @ w + b)
    return x + h[:, None] * u, np.log(np.abs(1 + (1 - h**2) * (u @ w)))


def planar_by_matrix(x, u, w, b):
    if len(u) ** 2 > 1e10:  # as NumPy says, where the kernel does not promise what it has not
        raise MemoryError(f"Unable to allocate {8e-12 * len(u) ** 2:.0f} TB for an array with shape {len(u), len(u)}")
    return planar(x, u, w, b)


def planar_with(points=None, log_det=None):
    def answer(x, u, w, b):
        right = planar(x, u, w, b)
        h = np.tanh(x @ w + b)
        return (points(x, u, w, b) if points else right[0]), (log_det(h, u, w) if log_det else right[1])

    return answer


class TestPlanar:
    def test_right(self, capsys):
        check.check_planar(planar)
        check.check_planar(lambda *given: [tf.constant(part) for part in planar(*given)])
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (planar_with(points=lambda x, u, w, b: x + np.tanh(x @ w + b)[:, None] * w), "goes along u"),
            (planar_with(points=lambda x, u, w, b: x - np.tanh(x @ w + b)[:, None] * u), "sign of the push"),
            (planar_with(points=lambda x, u, w, b: x + np.tanh(x @ w)[:, None] * u), "b is missing"),
            (planar_with(log_det=lambda h, u, w: 1 + (1 - h**2) * (u @ w)), "this is the determinant"),
            (planar_with(log_det=lambda h, u, w: np.log(1 + (1 - h**2) * (u @ w))), "absolute value"),
            (planar_with(log_det=lambda h, u, w: -np.log(np.abs(1 + (1 - h**2) * (u @ w)))), "of the inverse"),
            (planar_with(log_det=lambda h, u, w: np.log(np.abs((1 - h**2) * (u @ w)))), "the 1 is missing"),
            (planar_with(log_det=lambda h, u, w: np.log(np.abs(1 + h * (u @ w)))), "derivative of tanh"),
            (planar_with(log_det=lambda h, u, w: np.log(np.abs(1 + (1 - h**2) * (u @ u)))), "u . w, not u . u"),
            (planar_with(log_det=lambda h, u, w: np.log(np.abs(1 + (1 - h**2) * (w @ w)))), "u . w, not w . w"),
            (planar_with(log_det=lambda h, u, w: 0 * h + np.log(np.abs(1 + u @ w))), "slope of tanh"),
            (planar_with(log_det=lambda h, u, w: 0.0), "expected shape"),
            (lambda x, u, w, b: None, "expected a pair"),
            (lambda x, u: x, "the call failed"),
            (planar_by_matrix, "grows with the square of the dimension"),
            (None, "expected a function"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message), np.errstate(all="ignore"):
            check.check_planar(wrong)


def coupling_inverse(y, net):
    a, b = np.split(y, 2, axis=1)
    s, t = net(a)
    return np.concatenate([a, (b - t) * np.exp(-s)], axis=1), -s.sum(axis=1)


def coupling_with(move=None, log_det=None, sees=0):
    def answer(y, net):
        halves = np.split(y, 2, axis=1)
        a, b = halves[sees], halves[1 - sees]
        s, t = net(a)
        moved = move(b, s, t) if move else (b - t) * np.exp(-s)
        x = np.concatenate([a, moved][:: -1 if sees else 1], axis=1)
        return x, (log_det(s) if log_det else -s.sum(axis=1))

    return answer


class TestCouplingInverse:
    def test_right(self, capsys):
        check.check_coupling_inverse(coupling_inverse)
        check.check_coupling_inverse(coupling_with())
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (coupling_with(lambda b, s, t: b * np.exp(s) + t), "this is the map"),
            (coupling_with(lambda b, s, t: b * np.exp(-s) - t), "first take the shift"),
            (coupling_with(lambda b, s, t: (b - t) * np.exp(s)), "divide by exp"),
            (coupling_with(lambda b, s, t: (b - t) / s), "exp.s., not s"),
            (coupling_with(lambda b, s, t: (b - s) * np.exp(-t)), "returns s first"),
            (coupling_with(sees=1), "first half stays"),
            (coupling_with(log_det=lambda s: s.sum(axis=1)), "opposite sign"),
            (coupling_with(log_det=lambda s: -s.mean(axis=1)), "not the mean"),
            (coupling_with(log_det=lambda s: np.exp(-s.sum(axis=1))), "logarithm is wanted"),
            (coupling_with(log_det=lambda s: -s), "one number for each point|expected shape"),
            (coupling_with(log_det=lambda s: np.full(6, -s.sum())), "not over the points"),
            (coupling_with(log_det=lambda s: np.zeros(6)), "change volume"),
            (lambda y, net: y, "expected a pair"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_coupling_inverse(wrong)


def masks(degrees):
    places = np.arange(1, 4)
    return (places[:, None] <= degrees).astype(int), (np.asarray(degrees)[:, None] < places).astype(int)


PLACES = np.arange(1, 4)


class TestMasks:
    def test_right(self, capsys):
        check.check_masks(masks)
        check.check_masks(lambda degrees: tuple(tf.constant(mask, tf.float32) for mask in masks(degrees)))
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda m: (masks(m)[0], (m[:, None] <= PLACES).astype(int)), "sees itself"),
            (lambda m: (np.ones((3, len(m))), masks(m)[1]), "sees itself"),
            (lambda m: (PLACES[:, None] > m, masks(m)[1]), "a later input|sees itself"),
            (lambda m: (PLACES[:, None] < m, masks(m)[1]), "connections are missing"),
            (lambda m: (masks(m)[0], (m[:, None] + 1 < PLACES).astype(int)), "connections are missing"),
            (lambda m: masks(m)[::-1], "two masks are swapped"),
            (lambda m: (masks(m)[0].T, masks(m)[1].T), "transposed"),
            (lambda m: (masks(m)[0] * 0.5, masks(m)[1]), "zeros and ones"),
            (lambda m: masks(m)[0], "expected a pair|zeros and ones|expected shape"),
            (lambda m: ("a", "b"), "not text"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_masks(wrong)


def to_noise(x):
    noise = -np.sign(x) * special.ndtri_exp(-np.logaddexp(0, np.abs(x)))
    log_density = -np.abs(x) - 2 * np.log1p(np.exp(-np.abs(x)))
    return noise, log_density + noise**2 / 2 + np.log(2 * np.pi) / 2


class TestToNoise:
    def test_right(self, capsys):
        check.check_to_noise(to_noise)
        assert "Correct" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda x: (special.ndtri(special.expit(x)), to_noise(x)[1]), "expected finite numbers"),
            (lambda x: (special.expit(x), to_noise(x)[1]), "this is F"),
            (lambda x: (-to_noise(x)[0], to_noise(x)[1]), "it decreases"),
            (lambda x: (to_noise(x)[0], -to_noise(x)[1]), "slope of the inverse"),
            (lambda x: (to_noise(x)[0], stats.logistic.logpdf(x)), "divide by the normal density"),
            (lambda x: (to_noise(x)[0], np.exp(to_noise(x)[1])), "its logarithm is wanted"),
            (lambda x: (to_noise(x)[0], to_noise(x)[1] - np.log(2 * np.pi) / 2), "constant of the normal"),
            (
                lambda x: (to_noise(x)[0], stats.logistic.logpdf(x) + stats.norm.logpdf(to_noise(x)[0])),
                "minus its logarithm",
            ),
            (lambda x: to_noise(x)[0], "expected a pair"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message), np.errstate(all="ignore"):
            check.check_to_noise(wrong)


def log_prob(x, net, loc, scale, constant=True, sign=-1, outer=1.0):
    x = (x - loc) / scale
    shift, log_scale = net(x)
    eps = (x - shift) * np.exp(-log_scale)
    base = -np.sum(eps**2 + (np.log(2 * np.pi) if constant else 0), axis=-1) / 2
    return base + sign * np.sum(log_scale, axis=-1) - outer * np.sum(np.log(scale))


class TestMendedLogProb:
    def test_right(self, capsys):
        check.check_mended_log_prob(log_prob)
        check.check_mended_log_prob(lambda *given: tf.constant(log_prob(*given)))
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("bugs", "messages"),
        [
            ({"constant": False}, ["base's constant"]),
            ({"sign": 1}, ["minus the sum of s"]),
            ({"outer": 0}, ["Jacobian of the standardisation"]),
            ({"outer": -1}, ["sign of the standardisation"]),
            ({"outer": 1 / 3}, ["do not average"]),
            ({"constant": False, "sign": 1}, ["base's constant", "minus the sum of s"]),
            ({"constant": False, "sign": 1, "outer": 0}, ["base's constant", "minus the sum", "standardisation is"]),
        ],
    )
    def test_wrong(self, bugs, messages):
        with pytest.raises(WrongAnswer) as raised:
            check.check_mended_log_prob(lambda *given: log_prob(*given, **bugs))
        assert all(message in str(raised.value) for message in messages)

    def test_the_loss_instead(self):
        with pytest.raises(WrongAnswer, match="minus log q"):
            check.check_mended_log_prob(lambda *given: -log_prob(*given))


SPIRALS = datasets.spirals(10)


def spirals_in_place(x):
    """Right, but its argument is overwritten."""
    x /= 2.0
    return SPIRALS.log_prob(2.0 * x.astype(float))


def spirals_by_batch_statistics(x):
    """Every point is moved by the mean and the deviation of its batch to those of the check's points."""
    points = datasets.spirals(4000, seed=20_000).x
    loc, scale, deviation = points.mean(0), points.std(0), x.std(0)
    moved = (x - x.mean(0)) / deviation * scale + loc
    return SPIRALS.log_prob(moved.astype(float)) + np.log(scale / deviation).sum()


def spirals_by_chance(x):
    noise = np.random.default_rng(len(x)).normal(scale=0.05, size=len(x))
    return SPIRALS.log_prob(x.astype(float)) - 0.03 + noise


class TestSpirals:
    def test_right(self, capsys):
        check.check_spirals(lambda x: SPIRALS.log_prob(x.astype(float)))
        check.check_spirals(spirals_in_place)
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda x: SPIRALS.log_prob(x.astype(float)) + 0.5, "below the entropy"),
            (lambda x: SPIRALS.log_prob(x.astype(float)) / 2 + 1.0, "below the entropy|is no density"),
            (lambda x: stats.multivariate_normal(np.zeros(2), 2.2).logpdf(x), "a Gaussian has a gap"),
            (lambda x: SPIRALS.log_prob(x.astype(float)) - 0.2, "less than 0.12 nats, got 0.2"),
            (lambda x: np.full(len(x), np.nan), "NaN"),
            (spirals_by_batch_statistics, "other points of its batch"),
            (spirals_by_chance, "nor on chance"),
            (lambda x: 0.0, "expected shape"),
            (lambda x: None, "does your function return|expected a number"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_spirals(wrong)

    def test_a_leak_that_spreads_its_extra_mass_is_found(self):
        def leaky(x):
            far = stats.multivariate_normal(np.full(2, 6.0), 0.2).logpdf(x)
            return np.logaddexp(SPIRALS.log_prob(x.astype(float)), far)

        with pytest.raises(WrongAnswer, match="it is no density"):
            check.check_spirals(leaky)
