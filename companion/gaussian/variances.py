"""The exact variance of every estimator: which options belong to which, and the way to its integrals."""

import functools
import inspect
import numbers

import numpy as np

from companion import _validation
from companion.gaussian import integrands
from companion.gaussian.arguments import checked, over_batch, slopes, values

__all__ = ["gradient_variance"]

_OPTIONS = {
    "pathwise": (),
    "score_function": ("baseline", "num_samples"),
    "measure_valued": ("coupled",),
    "finite_difference": ("step", "common_random_numbers"),
}


def gradient_variance(
    f,
    loc,
    scale,
    estimator,
    *,
    baseline=None,
    coupled=True,
    num_samples=None,
    step=1e-2,
    common_random_numbers=True,
):
    r"""The exact variance of one sample of a gradient estimator of E f(z), z ~ N(loc, scale^2).

    =====================  ===============================================  ====================================
    estimator              one sample                                       options
    =====================  ===============================================  ====================================
    "pathwise"             f'(z) dz / d theta
    "score_function"       (f(z) - b) d log q / d theta                     `baseline`, `num_samples`
    "measure_valued"       c (f(z) - f(z')), z and z' from the parts of     `coupled`
                           d q / d theta
    "finite_difference"    (f(z at theta + h) - f(z at theta - h)) / (2 h)  `step` h, `common_random_numbers`
    =====================  ===============================================  ====================================

    The measure-valued samples are

    .. math::

        \frac{f(\mu + \sigma W) - f(\mu - \sigma W')}{\sigma\sqrt{2\pi}} \text{ for } \mu, \qquad
        \frac{f(\mu + \sigma M) - f(\mu + \sigma N)}{\sigma} \text{ for } \sigma,

    with W and W' of density w exp(-w^2/2) on w > 0 (Rayleigh), M of density m^2 phi(m) (double-sided Maxwell) and N
    standard normal.

    Args:
        f: as for `expectation`; a TensorFlow function if `estimator` is "pathwise", which differentiates it.
        loc: mean, shape [*batch].
        scale: standard deviation, positive, shape [*batch].
        estimator: "pathwise", "score_function", "measure_valued" or "finite_difference".
        baseline: None for 0; a number; "optimal" for the best constant of each parameter, E[f S^2] / E[S^2] with S the
            score; or "leave_one_out" for the mean of f over the other samples.
        coupled: whether W' = W and N = M U with U uniform on (0, 1), or all are independent.
        num_samples: for "leave_one_out", how many samples there are with the one, at least 2.
        step: h, a positive number, less than every scale.
        common_random_numbers: whether both ends of a difference have the same eps, or independent ones.

    Returns:
        A dict with keys "loc" and "scale" of float64 numbers or arrays of shape [*batch].

    Raises:
        TypeError: as for `expectation`, or if an option is of the wrong kind.
        ValueError: as for `expectation`, or if `estimator` is unknown, or an option is out of its domain or does not
            belong to the estimator. An infinite variance is such an error.

    Reference:
        Mohamed, Rosca, Figurnov and Mnih (2020), section 3; measure-valued, section 6. Leave one out: Kool, van Hoof
        and Welling (2019). Chapter: The Gaussian case.

    Example:
        For f = z^2 at loc 0 and scale 1.

        >>> def at_loc(*args, **options):
        ...     return gradient_variance(lambda z: z**2, 0.0, 1.0, *args, **options)["loc"].round(9)
        >>> at_loc("pathwise"), at_loc("score_function"), at_loc("score_function", baseline="optimal")
        (np.float64(4.0), np.float64(15.0), np.float64(6.0))
        >>> at_loc("measure_valued"), at_loc("measure_valued", coupled=False)
        (np.float64(0.0), np.float64(1.273239545))
    """
    if estimator not in _OPTIONS:
        *others, last = map(repr, _OPTIONS)
        expected = f"{', '.join(others)} or {last}"
        raise ValueError(_validation.message("estimator", expected, repr(estimator)))
    f, loc, scale = checked(f, loc, scale)
    given = {
        "baseline": baseline,
        "coupled": coupled,
        "num_samples": num_samples,
        "step": step,
        "common_random_numbers": common_random_numbers,
    }
    options = _options_of(estimator, given, scale)
    variance = getattr(integrands, estimator)
    of_points = functools.partial(slopes if estimator == "pathwise" else values, f)
    return {
        name: over_batch(lambda m, s, name=name: variance(of_points, name, m, s, **options), loc, scale)
        for name in ("loc", "scale")
    }


def _options_of(estimator, given, scale):
    """The options that belong to an estimator, checked; the others must be as they are by default."""
    for name, value in given.items():
        default = inspect.signature(gradient_variance).parameters[name].default
        if name not in _OPTIONS[estimator] and not (type(value) is type(default) and value == default):
            owner = next(other for other, names in _OPTIONS.items() if name in names)
            got = f"{_validation.describe(value)} for estimator={estimator!r}"
            raise ValueError(_validation.message(name, f"estimator={owner!r}, to which it belongs", got))
    for name in ("coupled", "common_random_numbers"):
        if not isinstance(given[name], bool):
            raise TypeError(_validation.message(name, "True or False", _validation.describe(given[name])))
    if estimator == "score_function":
        _check_baseline(given["baseline"], given["num_samples"])
    if estimator == "finite_difference":
        _check_step(given["step"], scale)
    return {name: given[name] for name in _OPTIONS[estimator]}


def _check_baseline(baseline, num_samples):
    if isinstance(baseline, str) and baseline == "leave_one_out":
        _validation.count("num_samples (for baseline='leave_one_out')", num_samples, minimum=2)
        return
    if num_samples is not None:
        got = f"{_validation.describe(num_samples)} for baseline={_validation.describe(baseline)}"
        raise ValueError(_validation.message("num_samples", "baseline='leave_one_out', to which it belongs", got))
    if not (baseline is None or (isinstance(baseline, str) and baseline == "optimal") or _is_number(baseline)):
        expected = "None, a finite number, 'optimal' or 'leave_one_out'"
        raise ValueError(_validation.message("baseline", expected, _validation.describe(baseline)))


def _check_step(step, scale):
    if not _is_number(step):
        raise TypeError(_validation.message("step", "a finite number", _validation.describe(step)))
    if not 0.0 < step < scale.min():
        expected = f"a number above 0 and below the scale, {scale.min()}, so that scale - step > 0"
        raise ValueError(_validation.message("step", expected, step))


def _is_number(x):
    return isinstance(x, numbers.Real) and not isinstance(x, bool) and np.isfinite(x)
