r"""Checks of the exercises of the chapter "Normalizing flows".

Contract: each check takes a student's answer, prints "Correct. ..." or raises `WrongAnswer` with what was expected,
what came and the likely reason. The targets are closed forms; the points that the last check draws are the same every
time.
"""

import numpy as np
from scipy import special

from companion import datasets
from companion.exercises.checks import WrongAnswer, as_numbers, call, correct, expect_close

__all__ = [
    "check_coupling_inverse",
    "check_masks",
    "check_mended_log_prob",
    "check_planar",
    "check_spirals",
    "check_to_noise",
]

_MOST_GAP = 0.12  # nats, of check_spirals
_MOST_BELOW = 5.0  # standard errors that the gap of check_spirals may be below 0
_MASS_TOLERANCE = 0.03


def check_planar(planar):
    r"""A planar map and its log-determinant, by hand.

    Args:
        planar: a function from (x, u, w, b), NumPy arrays of shapes [num_points, dim], [dim] and [dim] and a number, to
            the pair of g(x) = x + u tanh(w . x + b), of the shape of x, and log|det g'(x)|, shape [num_points].

    Raises:
        WrongAnswer: with the likely mistake: tanh for its derivative, the 1, the logarithm or the absolute value
            forgotten.

    Example:
        >>> check_planar(lambda x, u, w, b: (x, 0.0 * x[:, 0]))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the new points: ...
    """
    rng = np.random.default_rng(0)
    # the second: no bijection, a negative determinant
    for num, dim, stretch in [(5, 3, 1.0), (5, 4, -6.0), (2, 1_000_000, 0.02)]:
        x, w, b = rng.normal(size=(num, dim)), rng.normal(size=dim) / dim**0.5, 0.2
        u = stretch * w + rng.normal(size=dim) / dim**0.5
        h = np.tanh(x @ w + b)
        bend = (1.0 - h**2) * (u @ w)
        points, log_det = _pair("planar", call("planar", planar, x.copy(), u.copy(), w.copy(), b))
        _expect(
            "the new points",
            points,
            x + h[:, None] * u,
            [
                (x + h[:, None] * w, "the push goes along u; w is where it is measured"),
                (x - h[:, None] * u, "the sign of the push"),
                (x + np.tanh(x @ w)[:, None] * u, "b is missing"),
            ],
            "x + u tanh(w . x + b), one number tanh(...) for each point",
        )
        with np.errstate(all="ignore"):
            _expect(
                "the log-determinant",
                log_det,
                np.log(np.abs(1.0 + bend)),
                [
                    (1.0 + bend, "this is the determinant; take the logarithm of its absolute value"),
                    (np.abs(1.0 + bend), "this is the determinant; take its logarithm"),
                    (np.log(1.0 + bend), "the determinant may be negative here: take its absolute value"),
                    (-np.log(np.abs(1.0 + bend)), "this is that of the inverse"),
                    (np.log(np.abs(bend)), "the 1 is missing: the map is the identity plus something"),
                    (np.log(np.abs(1.0 + h * (u @ w))), "the derivative of tanh is 1 - tanh^2"),
                    (np.log(np.abs(1.0 + (1.0 - h**2) * (u @ u))), "u . w, not u . u"),
                    (np.log(np.abs(1.0 + (1.0 - h**2) * (w @ w))), "u . w, not w . w"),
                    (np.log(np.abs(1.0 + (1.0 - h) * (u @ w))), "the derivative of tanh is 1 - tanh^2"),
                    (np.full(num, np.log(np.abs(1.0 + u @ w))), "the slope of tanh at w . x + b is missing"),
                ],
                "log|1 + (1 - tanh^2(w . x + b)) u . w|",
            )
    correct("A million dimensions, and no matrix.")


def check_coupling_inverse(coupling_inverse):
    r"""The inverse of an affine coupling, and its log-determinant.

    Args:
        coupling_inverse: a function from (y, net), points [num_points, dim] and a function from [num_points, dim / 2]
            to the pair (s, t) of that shape, to the pair of x, shape [num_points, dim], and log|det dx/dy|, shape
            [num_points].

    Raises:
        WrongAnswer: with the likely mistake: the net fed with the wrong half, the order of shift and scale, the sign of
            the log-determinant.

    Example:
        >>> check_coupling_inverse(lambda y, net: (y, 0.0 * y[:, 0]))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: x: ...
    """
    rng = np.random.default_rng(1)
    y, weights = rng.normal(size=(6, 4)), rng.normal(size=(2, 2, 2))

    def net(a):
        a = np.asarray(a, dtype=float)
        return np.tanh(a @ weights[0]), a @ weights[1] + 0.3

    a, b = np.split(y, 2, axis=1)
    s, t = net(a)
    other_s, other_t = net(b)

    def whole(first, second):
        return np.concatenate([first, second], axis=1)

    x, log_det = _pair("coupling_inverse", call("coupling_inverse", coupling_inverse, y.copy(), net))
    _expect(
        "x",
        x,
        whole(a, (b - t) * np.exp(-s)),
        [
            (whole(a, b * np.exp(s) + t), "this is the map; its inverse is wanted"),
            (whole(a, b * np.exp(-s) - t), "first take the shift away, then divide by the scale"),
            (whole(a, (b - t) * np.exp(s)), "divide by exp(s)"),
            (whole(a, (b - t) / s), "the scale is exp(s), not s"),
            (whole(a, (b - s) * np.exp(-t)), "net returns s first, then t"),
            (whole((a - other_t) * np.exp(-other_s), b), "the first half stays, and is what net sees"),
            (whole(a, (b - other_t) * np.exp(-other_s)), "net sees the half that stays"),
            (whole((b - t) * np.exp(-s), a), "put the halves back in their places"),
        ],
        "x_a = y_a, x_b = (y_b - t) exp(-s) with (s, t) = net(y_a)",
    )
    _expect(
        "the log-determinant",
        log_det,
        -s.sum(axis=1),
        [
            (s.sum(axis=1), "this is that of the map; the inverse has the opposite sign"),
            (-s.mean(axis=1), "the sum over the coordinates, not the mean"),
            (np.exp(-s.sum(axis=1)), "this is the determinant; its logarithm is wanted"),
            (-s, "one number for each point: sum over the coordinates"),
            (np.full(6, -s.sum()), "sum over the coordinates, not over the points"),
            (np.zeros(6), "the scales change volume"),
        ],
        "minus the sum of s over the coordinates",
    )
    correct("The network was evaluated, never inverted.")


def check_masks(masks):
    """The two masks of an autoregressive network with three inputs and outputs.

    Args:
        masks: a function from the degrees of the hidden units, an integer array of shape [num_hidden] of ones and
            twos, to the pair of masks of zeros and ones, shapes [3, num_hidden] and [num_hidden, 3].

    Raises:
        WrongAnswer: if an output sees itself or a later input, or a connection that is allowed is missing.

    Example:
        >>> check_masks(lambda degrees: (np.ones((3, len(degrees))), np.ones((len(degrees), 3))))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the masks: ...
    """
    for degrees in ([1, 2], [1, 2, 1, 2, 2], [2, 2], [1]):
        degrees = np.array(degrees)
        places = np.arange(1, 4)
        right = (places[:, None] <= degrees).astype(float), (degrees[:, None] < places).astype(float)
        given = _pair("masks", call("masks", masks, degrees.copy()))
        into = as_numbers("the input mask", given[0], "zeros and ones")
        out = as_numbers("the output mask", given[1], "zeros and ones")
        for name, got, expected in zip(("input", "output"), (into, out), right, strict=True):
            if got.shape != expected.shape:
                flipped = " It looks transposed, or the two masks are swapped." if got.T.shape == expected.shape else ""
                shapes = f"expected shape {list(expected.shape)}, got {list(got.shape)}"
                raise WrongAnswer(f"the {name} mask: {shapes}. Hint: rows are where a connection starts.{flipped}")
            if not np.isin(got, [0.0, 1.0]).all():
                raise WrongAnswer(f"the {name} mask: expected zeros and ones, got {got}. Hint: 1 keeps a connection")
        seen = into @ out > 0  # [input, output]
        for output in range(3):
            for source in range(output, 3):
                if seen[source, output]:
                    which = "itself" if source == output else "a later input"
                    hint = (
                        "strictly larger on the way out: m < i" if source == output else "inputs up to m on the way in"
                    )
                    raise WrongAnswer(
                        f"the masks: expected output {output + 1} to depend on inputs before it, got a path from "
                        f"input {source + 1} for degrees {degrees.tolist()}: it sees {which}. Hint: {hint}"
                    )
        for name, got, expected in zip(("input", "output"), (into, out), right, strict=True):
            if (got != expected).any():
                fault = "connections are missing" if (got < expected).any() else "there are connections too many"
                raise WrongAnswer(
                    f"the {name} mask for degrees {degrees.tolist()}: expected {expected.astype(int).tolist()}, got "
                    f"{got.astype(int).tolist()}. Hint: {fault}; in: i <= m, out: m < i"
                )
    correct("No output sees itself, and nothing that may be seen is hidden.")


def check_to_noise(to_noise):
    r"""The increasing map from the logistic law to the standard normal, and the logarithm of its slope.

    Args:
        to_noise: a function from numbers x, shape [n], to the pair of T(x) and log T'(x), each of shape [n].

    Raises:
        WrongAnswer: with the likely mistake: the map's own density left out, its inverse, tails lost to rounding.

    Example:
        >>> check_to_noise(lambda x: (x, 0.0 * x))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: T(x): ...
    """
    x = np.array([-500.0, -40.0, -3.0, -0.5, 0.0, 0.2, 2.0, 9.0, 37.0, 60.0, 500.0])
    noise = -np.sign(x) * special.ndtri_exp(-np.logaddexp(0.0, np.abs(x)))
    log_density = -np.abs(x) - 2.0 * np.log1p(np.exp(-np.abs(x)))
    log_slope = log_density + noise**2 / 2.0 + np.log(2.0 * np.pi) / 2.0
    with np.errstate(all="ignore"):
        got, slope = _pair("to_noise", call("to_noise", to_noise, x.copy()))
    for name, values in (("T(x)", got), ("log T'(x)", slope)):
        numbers = as_numbers(name, values, "one number for each x")
        if numbers.shape == x.shape and not np.isfinite(numbers).all():
            place = x[~np.isfinite(numbers)][0]
            hint = "F rounds to 0 or 1 in the tails: use logarithms there, and the symmetry T(-x) = -T(x)"
            raise WrongAnswer(f"{name}: expected finite numbers, got {numbers[x == place][0]} at {place}. Hint: {hint}")
    with np.errstate(all="ignore"):
        uniform = special.expit(x)
        _expect(
            "T(x)",
            got,
            noise,
            [
                (uniform, "this is F(x), uniform; the normal quantile function comes after it"),
                (-noise, "it decreases; the sign is wrong"),
                (special.ndtr(noise), "this is uniform, not normal"),
            ],
            "the normal quantile function of F(x), in logarithms: scipy.special.ndtri_exp",
        )
        _expect(
            "log T'(x)",
            slope,
            log_slope,
            [
                (-log_slope, "this is the slope of the inverse"),
                (log_density, "this is log F'(x); divide by the normal density at T(x)"),
                (np.exp(log_slope), "this is the slope; its logarithm is wanted"),
                (log_slope - np.log(2.0 * np.pi) / 2.0, "the constant of the normal density is missing"),
                (
                    log_density - noise**2 / 2.0 - np.log(2.0 * np.pi) / 2.0,
                    "divide by the normal density: minus its logarithm",
                ),
            ],
            "log p(x) - log phi(T(x)), as T = quantile(F)",
        )
    correct("A flow with no parameters, and the exact density.")


def check_mended_log_prob(mended_log_prob):
    r"""The log-density of an affine autoregressive flow of standardised data, mended.

    Args:
        mended_log_prob: a function from (x, net, loc, scale): raw data [n, dim]; a function from standardised data to
            the pair (shift, log_scale), each [n, dim]; the means and standard deviations [dim] by which the data are
            standardised. To log q of the raw data, shape [n].

    Raises:
        WrongAnswer: with the bugs that are still in it.

    Example:
        >>> check_mended_log_prob(lambda x, net, loc, scale: 0.0 * x[:, 0])
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: log q: ...
    """
    rng = np.random.default_rng(2)
    x, loc, scale = 3.0 * rng.normal(size=(7, 3)), rng.normal(size=3), np.array([0.5, 3.0, 7.0])
    weights = np.triu(rng.normal(size=(2, 3, 3)), k=1)

    def net(standardised):
        standardised = np.asarray(standardised, dtype=float)
        return standardised @ weights[0] + 0.1, np.tanh(standardised @ weights[1]) - 0.2

    def log_prob(*bugs):
        inputs = (x - loc) / scale
        shift, log_scale = net(inputs)
        eps = (inputs - shift) * np.exp(-log_scale)
        constant = {"constant": 0.0, "one constant": np.log(2.0 * np.pi) / 2.0}
        base = -np.sum(eps**2, axis=-1) / 2.0
        base -= next((v for bug, v in constant.items() if bug in bugs), 1.5 * np.log(2.0 * np.pi))
        inner = np.sum(log_scale, axis=-1) * (1.0 if "sign" in bugs else -1.0)
        outer = {"jacobian": 0.0, "outer sign": np.sum(np.log(scale)), "one scale": -np.mean(np.log(scale))}
        return base + inner + next((v for bug, v in outer.items() if bug in bugs), -np.sum(np.log(scale)))

    reasons = {
        "constant": "the base's constant is missing: log(2 pi) / 2 for every dimension",
        "one constant": "log(2 pi) / 2 belongs to every dimension",
        "sign": "the data are made by exp(+s), so the density has minus the sum of s",
        "jacobian": "the Jacobian of the standardisation is missing",
        "outer sign": "the sign of the standardisation's Jacobian: a wide unit makes a low density",
        "one scale": "sum log(scale) over the dimensions, do not average",
    }
    first, second = ("", "constant", "one constant"), ("", "sign")
    third = ("", "jacobian", "outer sign", "one scale")
    mistakes = [
        (log_prob(*bugs), "; ".join(reasons[bug] for bug in bugs if bug))
        for bugs in ((a, b, c) for a in first for b in second for c in third)
        if any(bugs)
    ]
    mistakes.append((-log_prob(), "this is minus log q"))
    given = call("mended_log_prob", mended_log_prob, x.copy(), net, loc.copy(), scale.copy())
    _expect("log q", given, log_prob(), mistakes, "log N(eps; 0, I) - sum of s - sum of log(scale), for each row")
    correct("Nats of the raw data.")


def check_spirals(log_prob):
    """A density for `companion.datasets.spirals`, near its entropy on fresh points, that integrates to 1.

    Args:
        log_prob: a function from points, float32 of shape [n, 2], to log q, shape [n], in nats, such as the method of a
            `companion.Flow`.

    Raises:
        WrongAnswer: with the gap above the entropy, or what shows that it is no density.

    Example:
        >>> check_spirals(lambda x: np.full(len(x), -np.log(16.0**2)))  # uniform on a square of side 16
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the gap: expected less than 0.12 nats, got 3.0...
    """
    plane = datasets.spirals(4000, seed=20_000)
    x = plane.x.astype(np.float32)
    log_q = as_numbers("log q", call("log_prob", log_prob, x.copy()), "one number for each point")
    if log_q.shape != (len(x),):
        raise WrongAnswer(f"log q: expected shape [{len(x)}], got {list(log_q.shape)}. Hint: one number for each point")
    if not np.isfinite(log_q).all():
        raise WrongAnswer("log q: expected finite numbers, got NaN or infinity. Hint: every point can be drawn")
    some = as_numbers("log q", call("log_prob", log_prob, x[:7].copy()), "one number for each point")
    if some.shape != (7,) or not np.allclose(some, log_q[:7], rtol=1e-3, atol=1e-2):
        hint = "a density of a point does not depend on the other points of its batch, nor on chance"
        raise WrongAnswer(
            f"log q: expected the same for 7 points alone as among {len(x)}, got {some} and {log_q[:7]}. Hint: {hint}"
        )
    differences = plane.log_prob(x.astype(float)) - log_q
    gap, error = differences.mean(), differences.std(ddof=1) / np.sqrt(len(x))
    if gap < -_MOST_BELOW * error:
        hint = "no density can do that: look for the sign of a log-determinant, a leak, or a missing Jacobian"
        raise WrongAnswer(f"the gap: expected at least 0 nats, got {gap:.3g}, below the entropy. Hint: {hint}")
    ticks = np.linspace(-8.0, 8.0, 321)
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2).astype(np.float32)
    values = as_numbers("log q", call("log_prob", log_prob, points), "one number for each point")
    with np.errstate(over="ignore"):
        mass = float(np.exp(values).sum() * (ticks[1] - ticks[0]) ** 2)
    if not mass < 1.0 + _MASS_TOLERANCE:
        hint = "it is no density: a leak, the sign of a log-determinant, or a missing Jacobian"
        raise WrongAnswer(f"the integral over [-8, 8]^2: expected 1, got {mass:.3g}. Hint: {hint}")
    if not gap < _MOST_GAP:
        hint = "train longer, let the rate fall to zero, or take splines; all pairs of coordinates must take turns"
        if gap > 0.3:
            hint = "a Gaussian has a gap of about 1.1 nats; " + hint
        raise WrongAnswer(f"the gap: expected less than {_MOST_GAP} nats, got {gap:.3g}. Hint: {hint}")
    correct("Within reach of the entropy, and a density.")


def _pair(what, answer):
    """The two entries of an answer."""
    try:
        first, second = answer
    except (TypeError, ValueError) as error:
        raise WrongAnswer(f"{what}: expected a pair, got {answer!r}. Hint: return two things") from error
    return first, second


def _expect(what, got, right, mistakes, hint):
    """As `expect_close`, with the hint of the first mistake that the answer matches."""
    numbers = as_numbers(what, got, hint)
    for wrong, reason in mistakes:
        wrong = np.asarray(wrong, dtype=float)
        another = wrong.shape != np.shape(right) or not np.allclose(wrong, right, rtol=1e-4, atol=1e-6)
        same = numbers.shape == wrong.shape and np.allclose(numbers, wrong, rtol=1e-4, atol=1e-6, equal_nan=True)
        if same and another:
            hint = reason
            break
    expect_close(what, numbers, right, hint)
