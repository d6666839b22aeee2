"""Checks of the exercises of the chapter "The trick".

Contract: `companion.exercises.checks` states it. Each function takes a student's answer, prints "Correct" or raises
`WrongAnswer`, and recognises the wrong answers that are common.
"""

import numpy as np
import tensorflow as tf
from scipy import special, stats
from tensorflow_probability import distributions as tfd

from companion.exercises.checks import FALSE_ALARM, WrongAnswer, call, correct, expect_close
from companion.reparameterizations import Reparameterization, find

__all__ = [
    "check_implicit_gradient",
    "check_rayleigh_map",
    "check_registered_family",
    "check_unbiasedness_test",
    "check_which_may_be_moved",
]

_UNIFORM = np.linspace(0.0, 1.0, 402)[1:-1]


def check_rayleigh_map(g):
    """Checks a map from uniform noise to the Rayleigh distribution, F(z) = 1 - exp(-z^2 / (2 scale^2)).

    Args:
        g: a function of eps, a float64 tensor of shape [num_points] with values in (0, 1), and of scale, a float64
            scalar tensor. It returns samples of shape [num_points].

    Raises:
        WrongAnswer: if g(eps, scale) has another law, or not the derivative that goes with it.

    Example:
        >>> check_rayleigh_map(lambda eps, scale: scale * tf.sqrt(-2.0 * tf.math.log(eps)))
        Correct. The law is Rayleigh's and dz/dscale = z / scale, as for every scale family.
    """
    eps = tf.constant(_UNIFORM)
    slopes = {}
    for scale, hint in (
        (1.7, "F(g(eps, scale)) must again be uniform; solve eps = F(z) for z"),
        (0.6, "the law is right at scale 1.7; is that number written into g?"),
    ):
        at = tf.constant(scale, tf.float64)
        with tf.autodiff.ForwardAccumulator(at, tf.ones_like(at)) as forward:
            z = _tensor("g(eps, scale)", call("g", g, eps, at), eps.shape, "log(1 - eps) and log(eps) are negative")
        slopes[scale] = forward.jvp(z), z / scale
        _expect_rayleigh_law(z.numpy(), scale, hint)
    for scale, (slope, expected) in slopes.items():
        if slope is None:
            raise WrongAnswer("dz/dscale: expected numbers, got None. Hint: use TensorFlow's functions, not NumPy's")
        hint = "the law is right, but the path is not that of scale * (something free of scale)"
        expect_close(f"dz/dscale at each eps, at scale {scale}", slope, expected, hint)
    correct("The law is Rayleigh's and dz/dscale = z / scale, as for every scale family.")


def _expect_rayleigh_law(z, scale, hint):
    right = scale * np.sqrt(-2.0 * np.log1p(-_UNIFORM))
    for mistake, wrong in (
        ("the 2 under the square root is missing", right / np.sqrt(2.0)),
        ("the square root is missing", right**2 / scale),
        ("the square root is missing", right**2),
        ("the scale stands where its square root or its square should", right * np.sqrt(scale)),
        ("the scale is squared", right * scale),
        ("the scale does not enter", right / scale),
        ("this is F itself, not its inverse", 1.0 - np.exp(-(_UNIFORM**2) / (2.0 * scale**2))),
        ("a minus sign is lost: z is negative", -right),
    ):
        if np.allclose(np.sort(z), np.sort(wrong), rtol=1e-6, atol=1e-9):
            raise WrongAnswer(f"g(eps, scale): {mistake}. Hint: solve eps = 1 - exp(-z^2 / (2 scale^2)) for z")
    level = np.sort(1.0 - np.exp(-(np.maximum(z, 0.0) ** 2) / (2.0 * scale**2)))
    expect_close("F(g(eps, scale)), sorted, at evenly spaced eps", level, _UNIFORM, hint, rtol=0, atol=1e-6)


_MAY_BE_MOVED = {
    "abs": (True, "|z| has a kink at 0, but the kink has probability 0 and |z| is Lipschitz"),
    "step": (False, "1[z > 0] jumps: for eps near -theta the path is not continuous near theta"),
    "relu_squared": (True, "max(z, 0)^2 has the derivative 2 max(z, 0), bounded near theta by 2 (|theta| + 1 + |eps|)"),
    "floor": (False, "floor(z) is flat between its jumps: the path's derivative is 0, the truth is positive"),
    "exp_quarter_square": (
        True,
        "near theta |f'(z)| <= |z| exp(z^2/4) / 2 with an integrable supremum, because 1/4 < 1/2; only the variance "
        "is infinite",
    ),
    "abs_of_scaled_noise": (False, "at theta = 0 every path |theta eps| has its kink: condition (C) fails"),
    "cubed_exponential": (False, "theta^3 exp(u(1 - theta^2)) is smooth, but no integrable bound exists near 0"),
    "uniform_scale": (True, "theta eps is linear in theta with the bound 1; the moving support does not matter"),
}


def check_which_may_be_moved(answers):
    """Checks for which integrands the gradient may be moved inside the expectation.

    Args:
        answers: a mapping of the eight names of the exercise to True (may be moved) or False.

    Raises:
        WrongAnswer: at the first name that is missing, unknown or wrong.
    """
    if not isinstance(answers, dict):
        raise WrongAnswer(f"answers: expected a dict of names to True or False, got {type(answers).__name__}")
    if unknown := sorted(set(map(str, answers)) - set(_MAY_BE_MOVED)):
        raise WrongAnswer(f"answers: expected the names {', '.join(_MAY_BE_MOVED)}; got {unknown[0]!r}")
    for name, (right, why) in _MAY_BE_MOVED.items():
        got = answers.get(name)
        if not isinstance(got, (bool, np.bool_)):
            raise WrongAnswer(f"answers[{name!r}]: expected True or False, got {got!r}")
        if bool(got) != right:
            raise WrongAnswer(f"answers[{name!r}]: expected {right}, got {bool(got)}. Hint: {why}")
    correct("Jumps, kinks that every path shares, and missing bounds forbid it; lone kinks and moving supports do not.")


_MEANS = (-1.0, 2.0)


def check_implicit_gradient(slope):
    """Checks dz/dw for the mixture w N(-1, 1) + (1 - w) N(2, 1), which has no explicit differentiable g.

    Args:
        slope: a function of z, a float64 tensor of shape [num_points], and of w, a float64 scalar tensor. It
            returns dz/dw along the path of constant F(z; w), shape [num_points].

    Raises:
        WrongAnswer: if the slopes are wrong.
    """
    for w in (0.3, 0.8):
        _expect_mixture_slope(slope, w)
    correct("A mixture's weights have a path too, although the choice of a component has none.")


def _expect_mixture_slope(slope, w):
    z = np.linspace(-4.0, 5.0, 91)
    got = np.asarray(_tensor("slope(z, w)", call("slope", slope, tf.constant(z), tf.constant(w, tf.float64)), z.shape))
    change = special.ndtr(z - _MEANS[0]) - special.ndtr(z - _MEANS[1])
    density = w * stats.norm.pdf(z, _MEANS[0]) + (1 - w) * stats.norm.pdf(z, _MEANS[1])
    d_density = stats.norm.pdf(z, _MEANS[0]) - stats.norm.pdf(z, _MEANS[1])
    named = {
        "the minus sign is missing": change / density,
        "the division by the density is missing": -change,
        "the distribution function must be differentiated, not the density": -d_density / density,
        "this divides by the distribution function, not by the density": -change
        / (w * special.ndtr(z - _MEANS[0]) + (1 - w) * special.ndtr(z - _MEANS[1])),
        "the weights of the two components are swapped in the density": -change
        / ((1 - w) * stats.norm.pdf(z, _MEANS[0]) + w * stats.norm.pdf(z, _MEANS[1])),
    }
    for mistake, wrong in named.items():
        if np.allclose(got, wrong, rtol=1e-6):
            raise WrongAnswer(f"slope(z, w): {mistake}. Hint: differentiate F(z(w); w) = constant with respect to w")
    expect_close(f"slope(z, w) at w = {w}", got, -change / density, "dz/dw = -(dF/dw) / q")


_NUM_SETS, _RATE = 2000, 0.05


def check_unbiasedness_test(test):
    """Checks a statistical test of unbiasedness: its false-alarm rate and its power.

    The test is called on 2000 unbiased data sets and on biased ones, in each of two settings: 400 normal samples of
    mean 3 and standard deviation 2; 100 of mean -1 and standard deviation 0.5. Right are the quantiles of Student's
    t and of the normal law, with n or n - 1 in the standard deviation. Each of these fails this check with
    probability `FALSE_ALARM` at most.

    Args:
        test: a function of samples, a float64 array of shape [num_samples], of the expected mean, and of the wanted
            false-alarm rate. It returns True to accept and False to reject.

    Raises:
        WrongAnswer: if it rejects too often or too rarely, or misses a bias in one of the two directions.
    """
    rng = np.random.default_rng(0)
    for mean, sd, num_samples in ((3.0, 2.0, 400), (-1.0, 0.5, 100)):
        clean = mean + sd * rng.standard_normal((_NUM_SETS, num_samples))
        _expect_rate(test, clean, mean, first=num_samples == 400)
        _expect_power(test, clean[:200], mean, 5.0 * sd / np.sqrt(num_samples))
    correct("The rate of false alarms is the one asked for, and biases of both signs are found.")


def _allowed_rejections(num_samples):
    """The least and the largest number of rejections, at `FALSE_ALARM` / 4 each: two ends in two settings.

    Student's t rejects with probability `_RATE` exactly, the normal quantile somewhat more often, most often with
    the standard deviation that divides by n (0.0540 at n = 100).
    """
    quantile = stats.norm.isf(_RATE / 2) * np.sqrt((num_samples - 1) / num_samples)
    largest_rate = 2 * stats.t.sf(quantile, df=num_samples - 1)
    return stats.binom.ppf(FALSE_ALARM / 4, _NUM_SETS, _RATE), stats.binom.isf(FALSE_ALARM / 4, _NUM_SETS, largest_rate)


def _expect_rate(test, clean, mean, first):
    rejects = ~np.array([_verdict(test, x, mean, _RATE) for x in clean])
    rejected = rejects.sum()
    low, high = _allowed_rejections(clean.shape[1])
    if not low <= rejected <= high:
        sides = np.sign(clean.mean(axis=1) - mean)[rejects]
        if not first:
            hint = "400 samples of mean 3 and sd 2 went well; is the mean, the sd or the number of samples written in?"
        elif rejected > _NUM_SETS / 2:
            hint = "True means accept; is the standard error sd / sqrt(num_samples), and the quantile positive?"
        elif rejected < low / 4:
            hint = (
                "it almost never rejects; is the standard error sd / sqrt(num_samples), or did you use the standard "
                "deviation itself, or the variance?"
            )
        elif abs(sides.sum()) == rejected:
            hint = "only one side is tested; take the absolute value of the z-score"
        else:
            hint = "two-sided needs the quantile of rate / 2 on each side; a fixed tolerance has no rate at all"
        raise WrongAnswer(
            f"the false-alarm rate on {_NUM_SETS} unbiased data sets of {clean.shape[1]} samples: "
            f"expected about {_RATE}, got {rejected / _NUM_SETS:.3f}. Hint: {hint}"
        )
    if sum(not _verdict(test, x, mean, 1e-6) for x in clean[:200]) > 2:  # 1e-10 for the normal quantile at n = 100
        raise WrongAnswer("the false-alarm rate is ignored: at 1e-6 it still rejects. Hint: take the quantile from it")


def _expect_power(test, clean, mean, bias):
    for sign, side in ((1, "too large"), (-1, "too small")):
        caught = sum(not _verdict(test, x + sign * bias, mean, _RATE) for x in clean)
        if caught < 190:  # the power is 0.9986 at least, so a right test fails with probability 1e-14
            hint = "take the absolute value of the z-score"
            raise WrongAnswer(f"a mean that is 5 standard errors {side} was caught {caught} of 200 times. Hint: {hint}")


def check_registered_family(distribution):
    """Checks a reparameterization that you registered for a family of scalar distributions.

    It must be a distribution with `cdf`, `log_prob` and `parameters`. Checked are: the noise has nothing to
    do with the parameters; the samples have the law, by the Dvoretzky-Kiefer-Wolfowitz bound; and dz/dtheta is the
    path derivative -(dF/dtheta) / q, for each floating parameter.

    Args:
        distribution: a scalar `tfd.Distribution` in float64 that was made with its parameters as tensors.

    Raises:
        WrongAnswer: if one of these fails.

    Example:
        >>> two, one = tf.constant(2.0, tf.float64), tf.constant(1.0, tf.float64)
        >>> check_registered_family(tfd.Weibull(concentration=two, scale=one))
        Correct. Weibull: the law and 2 path derivatives hold.
    """
    if not isinstance(distribution, tfd.Distribution):
        raise WrongAnswer(f"distribution: expected a tfd.Distribution, got {type(distribution).__name__}")
    name = type(distribution).__name__
    if distribution.dtype != tf.float64 or distribution.batch_shape.rank != 0 or distribution.event_shape.rank != 0:
        raise WrongAnswer(f"{name}: expected a scalar distribution in float64")
    if _find(distribution) is None:
        raise WrongAnswer(f"{name}: no map is registered. Hint: decorate a function with register({name})")
    params = {k: v for k, v in distribution.parameters.items() if tf.is_tensor(v) and v.dtype.is_floating}
    if not params:
        raise WrongAnswer(f"{name}: expected parameters that are float64 tensors. Hint: wrap them in tf.constant")
    rest = {k: v for k, v in distribution.parameters.items() if k not in params and k != "name"}
    with tf.GradientTape() as tape:
        tape.watch(params)
        made = type(distribution)(**params, **rest)
        found = _find(made)
        eps = call("noise.sample", found.noise.sample, 20000, tf.constant([0, 1]))
        noise_total = tf.reduce_sum(eps)
    if any(g is not None and float(tf.abs(g)) > 0 for g in tape.gradient(noise_total, params).values()):
        raise WrongAnswer(f"{name}: the noise depends on the parameters. Hint: p(eps) must be free of theta")
    at = tf.stop_gradient(_transform(found, eps, 20000))
    _expect_law(name, np.asarray(call(f"{name}.cdf", distribution.cdf, at)))
    _expect_path(name, made, params, at[:200], eps[:200])
    correct(f"{name}: the law and {len(params)} path derivatives hold.")


def _find(distribution):
    found = call("the registered function", find, distribution)
    if found is None:
        return None
    if not isinstance(found, Reparameterization):
        raise WrongAnswer(f"the registered function: expected a Reparameterization, got {type(found).__name__}")
    if not isinstance(found.noise, tfd.Distribution):
        raise WrongAnswer(f"noise: expected a tfd.Distribution, got {type(found.noise).__name__}")
    if found.noise.dtype != tf.float64:
        raise WrongAnswer(f"noise: expected float64, got {tf.as_dtype(found.noise.dtype).name}. Hint: d.dtype")
    return found


def _transform(found, eps, num_samples):
    z = _tensor("transform(eps)", call("transform", found.transform, eps), (num_samples,))
    if z.dtype != tf.float64:
        raise WrongAnswer(f"transform(eps): expected float64, got {z.dtype.name}. Hint: d.dtype")
    return z


def _expect_law(name, levels):
    distance = stats.kstest(levels, "uniform").statistic
    bound = np.sqrt(np.log(2.0 / FALSE_ALARM) / (2.0 * len(levels)))
    if not distance <= bound:
        raise WrongAnswer(
            f"{name}: the samples have another law: distance {distance:.3f} between the distribution functions, "
            f"where {bound:.3f} is allowed. Hint: is g the inverse of F, and the noise the one it needs?"
        )


def _expect_path(name, made, params, at, eps):
    """dz/dtheta of each sample against -(dF/dtheta) / q, which holds for monotone g."""
    for key, parameter in params.items():
        copies = tf.broadcast_to(parameter, at.shape)
        others = {k: v for k, v in made.parameters.items() if k not in (key, "name")}
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(copies)
            rows = type(made)(**{key: copies}, **others)
            found = _find(rows)
            if found.noise.batch_shape != rows.batch_shape:
                raise WrongAnswer(
                    f"{name}: with {len(at)} copies of {key} the noise has the batch shape "
                    f"{list(found.noise.batch_shape)}, the distribution {list(rows.batch_shape)}. "
                    "Hint: give the noise d.batch_shape and d.dtype"
                )
            moved = _transform(found, eps, len(at))
            level = rows.cdf(at)
        slope = tape.gradient(moved, copies)
        change = tape.gradient(level, copies)
        if change is None:
            continue
        if slope is None:
            raise WrongAnswer(
                f"{name}: transform(eps) does not depend on {key}: its gradient is None. "
                "Hint: use TensorFlow's functions, not NumPy's, and detach nothing"
            )
        expected = -change / made.prob(at)
        if not np.allclose(slope, expected, rtol=1e-3, atol=1e-4):
            worst = int(np.argmax(np.abs(slope - expected)))
            raise WrongAnswer(
                f"{name}: dz/d{key} at z = {float(at[worst]):.4g}: expected {float(expected[worst]):.4g}, "
                f"got {float(slope[worst]):.4g}. Hint: the path -(dF/dtheta) / q holds for every monotone g; "
                "is a parameter detached in g, or does g jump when the parameter moves?"
            )


def _tensor(what, value, shape, hint=""):
    try:
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise WrongAnswer(f"{what}: expected a tensor, got {value!r}") from error
    if not tensor.dtype.is_floating or tuple(tensor.shape) != tuple(shape):
        got = f"{tensor.dtype.name} of shape {list(tensor.shape)}"
        raise WrongAnswer(f"{what}: expected floats of shape {list(shape)}, got {got}")
    if not np.isfinite(tensor.numpy()).all():
        hint = f". Hint: {hint}" if hint else ""
        raise WrongAnswer(f"{what}: expected finite numbers, got NaN or infinity{hint}")
    return tensor


def _verdict(test, samples, expected, rate):
    answer = call("test", test, samples, expected, rate)
    if not isinstance(answer, (bool, np.bool_)):
        is_bool = getattr(answer, "dtype", None) in (tf.bool, np.bool_) and np.ndim(answer) == 0
        hint = ". Hint: wrap it in bool()" if is_bool else ""
        raise WrongAnswer(f"test: expected True (accept) or False (reject), got {answer!r}{hint}")
    return bool(answer)
