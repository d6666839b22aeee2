"""Estimators side by side: bias, variance, signal-to-noise and cost."""

import html
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from companion import _validation, gradients, seeds

__all__ = ["Comparison", "compare"]

_INTERVAL = 1.959964  # standard normal quantile of a 95 per cent interval
_FEW_ENTRIES = 4  # of a parameter: each has its own rows in a table


def compare(estimators, f, make_distribution, params, num_samples, seed=None):
    r"""Runs estimators on one problem and measures bias, variance, signal-to-noise and cost.

    Args:
        estimators: a mapping of names to estimators of `companion.gradients`, or to anything with their
            contract, such as ``functools.partial(score_function, baseline="leave_one_out")``; or a list of functions,
            which go by their own names.
        f: as for the estimators.
        make_distribution: as for the estimators.
        params: as for the estimators.
        num_samples: how many samples each estimator takes, at least 2.
        seed: as for the estimators; every estimator is given a seed of its own.

    Returns:
        A `Comparison`. Its times are medians of warm calls inside `tf.function`, in which compilation does not
        count (of eager calls, if f can't be traced).

    Raises:
        TypeError: as for the estimators, or if `estimators` is not such a mapping or list.
        ValueError: as for the estimators.
        RuntimeError: inside `tf.function`.

    Reference:
        Mohamed, Rosca, Figurnov and Mnih (2020), section 3 for the criteria; Glynn and Whitt (1992) for variance times
        cost. Chapter: Which estimator?

    Example:
        >>> from tensorflow_probability import distributions as tfd
        >>> both = [gradients.pathwise, gradients.score_function]
        >>> comparison = compare(both, lambda z: z**2, tfd.Normal, {"loc": 1.0, "scale": 1.0}, 10000, seed=0)
        >>> pathwise, score_function = comparison.variance["loc"]  # 4 and 30, but for chance
        >>> bool(score_function > 5 * pathwise)
        True
    """
    _validation.eager("compare")
    table = _named(estimators)
    _validation.count("num_samples", num_samples, minimum=2)
    try:
        exact = gradients.exact(f, make_distribution, params)
    except (TypeError, ValueError, tf.errors.OpError):
        exact = None  # a problem without a referee; the estimators below say so if it is a bad one
    estimates, seconds = [], []
    for own_seed, (name, estimator) in zip(seeds.split(seed, len(table)), table.items(), strict=True):
        estimate = estimator(f, make_distribution, params, num_samples, own_seed)
        estimates.append(_checked(name, estimate, num_samples, estimates))
        seconds.append(_seconds(estimator, f, make_distribution, params, num_samples))
    return Comparison.of(tuple(table), estimates, seconds, exact)


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare` found. Mappings have the names of the parameters as keys.

    Attributes:
        names: the estimators.
        num_samples: how many samples each took.
        exact: the exact gradient, each of shape [*param.shape]; None if there is no way to have it.
        mean: the mean gradient, each of shape [num_estimators, *param.shape].
        standard_error: that of the mean, with the rounding of its float width added.
        bias: (mean - exact) / standard_error; None without `exact`.
        variance: of one sample.
        variance_interval: the ends of an approximate 95 per cent interval of the variance, each of shape
            [2, num_estimators, *param.shape], from the fourth moment; too narrow if that is infinite.
        snr: the signal-to-noise ratio of one sample, |mean| / sqrt(variance); 0 where the mean is 0, infinite for an
            estimator without noise.
        seconds_per_thousand: seconds for a thousand samples, shape [num_estimators].
        variance_times_cost: variance * seconds_per_thousand / 1000, in squared gradient units times seconds:
            the variance that one second buys, reached by averaging.
    """

    names: tuple
    num_samples: int
    exact: dict | None
    mean: dict
    standard_error: dict
    bias: dict | None
    variance: dict
    variance_interval: dict
    snr: dict
    seconds_per_thousand: np.ndarray
    variance_times_cost: dict

    @classmethod
    def of(cls, names, estimates, seconds, exact):
        """The comparison of finished estimates, with the seconds that each took."""
        num_samples = estimates[0].num_samples
        samples = {
            name: np.stack([np.asarray(e.samples[name], float) for e in estimates]) for name in estimates[0].samples
        }
        width = max(np.finfo(e.function_values.dtype.as_numpy_dtype).eps for e in estimates)
        mean = {name: g.mean(axis=1) for name, g in samples.items()}
        variance = {name: g.var(axis=1, ddof=1) for name, g in samples.items()}
        error = {
            name: np.hypot(np.sqrt(variance[name] / num_samples), width * np.abs(g).max(axis=1) + np.finfo(float).tiny)
            for name, g in samples.items()
        }
        per_thousand = 1000.0 * np.asarray(seconds) / num_samples
        columns = {name: per_thousand.reshape([-1] + [1] * (v.ndim - 1)) for name, v in variance.items()}
        return cls(
            names=names,
            num_samples=num_samples,
            exact=exact,
            mean=mean,
            standard_error=error,
            bias=None if exact is None else {name: (m - exact[name]) / error[name] for name, m in mean.items()},
            variance=variance,
            variance_interval={name: _interval(g) for name, g in samples.items()},
            snr={name: _ratio(np.abs(m), np.sqrt(variance[name])) for name, m in mean.items()},
            seconds_per_thousand=per_thousand,
            variance_times_cost={name: v * columns[name] / 1000.0 for name, v in variance.items()},
        )

    def table(self, cost=True):
        """The comparison as text, with one row for each entry of a parameter and estimator.

        A parameter of more than four entries has one row an estimator: its largest bias in size, its mean
        variance and interval, its mean signal-to-noise ratio.

        Args:
            cost: whether to show times, which are the machine's and not the same twice.

        Returns:
            A string.
        """
        header, rows = self._cells(cost)
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines = [
            [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))]
            for r in (header, ["-" * w for w in widths], *rows)
        ]
        return "\n".join("  ".join(line).rstrip() for line in lines)

    def _cells(self, cost=True):
        """The heading and the rows of the table, as strings."""
        header = ["gradient of", "estimator", "mean", "bias / s.e.", "variance", "95% interval", "snr"]
        header += ["ms / 1000", "variance x s"] if cost else []
        return header, [
            [label, name, *self._numbers(parameter, (i, *index), cost)]
            for parameter in self.mean
            for label, index in _entries(parameter, self.mean[parameter].shape[1:])
            for i, name in enumerate(self.names)
        ]

    def _numbers(self, parameter, index, cost):
        """The cells of one row: of one entry, or summed up over all entries of a parameter."""

        def of(table, summary=np.mean):
            return summary(table[parameter][index])

        low, high = (of({parameter: end}) for end in self.variance_interval[parameter])
        single = np.ndim(self.mean[parameter][index]) == 0
        cells = [f"{of(self.mean):.4g}" if single else ""]
        cells.append("" if self.bias is None else f"{of(self.bias, _largest):+.1f}")
        cells += [f"{of(self.variance):.3g}", f"{low:.3g} to {high:.3g}", f"{of(self.snr):.3g}"]
        if cost:
            cells += [f"{1e3 * self.seconds_per_thousand[index[0]]:.3g}", f"{of(self.variance_times_cost):.2g}"]
        return cells

    def __str__(self):
        return self.table()

    def __repr__(self):
        return f"Comparison({', '.join(self.names)}; {self.num_samples} samples)"

    def _repr_html_(self):
        header, rows = self._cells()
        head = "".join(f'<th scope="col">{html.escape(c)}</th>' for c in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        caption = f"Estimators compared on {self.num_samples} samples"
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _named(estimators):
    """The estimators as a non-empty dict of callables."""
    if not isinstance(estimators, Mapping):
        if not isinstance(estimators, (list, tuple)) or not all(hasattr(e, "__name__") for e in estimators):
            expected = "a mapping of names to estimators, or a list of functions (a functools.partial needs a name)"
            raise TypeError(_validation.message("estimators", expected, _validation.describe(estimators)))
        if len({e.__name__ for e in estimators}) < len(estimators):
            raise ValueError(
                _validation.message("estimators", "functions of different names, or a mapping", estimators)
            )
        estimators = {e.__name__: e for e in estimators}
    if not estimators:
        raise ValueError(_validation.message("estimators", "at least one", "none"))
    if wrong := [name for name in estimators if not isinstance(name, str)]:
        raise TypeError(_validation.message("estimators", "names that are strings", _validation.describe(wrong[0])))
    return {name: _validation.function(f"estimators[{name!r}]", e) for name, e in estimators.items()}


def _checked(name, estimate, num_samples, others):
    """An estimate that keeps the contract, and has the gradients that the others have."""
    argument = f"estimators[{name!r}]"
    if not isinstance(estimate, gradients.GradientEstimate):
        expected = "an estimator that returns a GradientEstimate"
        raise TypeError(_validation.message(argument, expected, _validation.describe(estimate)))
    shapes = {parameter: tuple(g.shape) for parameter, g in estimate.samples.items()}
    first = others[0] if others else estimate
    wanted = {p: (num_samples, *g.shape[1:]) for p, g in first.samples.items()}
    if shapes != wanted:
        raise ValueError(_validation.message(argument, f"gradients of shapes {wanted}", shapes))
    return estimate


def _seconds(estimator, f, make_distribution, params, num_samples, budget=0.25):
    """The median time of a warm call, by as many calls as fit into the budget, at least three."""

    def run(seed):
        return estimator(f, make_distribution, params, num_samples, seed).samples

    program = tf.function(run, autograph=False)
    try:
        _wait(program(tf.constant([0, 0])))
    except Exception:  # whatever f does that a graph can't: it is timed as it is run
        program = run
        _wait(program(tf.constant([0, 0])))
    times = []
    while len(times) < 3 or (sum(times) < budget and len(times) < 50):
        seed = tf.constant([0, len(times) + 1])
        start = time.perf_counter()
        _wait(program(seed))
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _wait(samples):
    for g in samples.values():
        g.numpy()


def _interval(g):
    """Ends of the interval of the variance of samples [num_estimators, num_samples, ...], by the delta method for its
    logarithm."""
    n = g.shape[1]
    centred = g - g.mean(axis=1, keepdims=True)
    square = (centred**2).mean(axis=1)
    kurtosis = _ratio((centred**4).mean(axis=1), square**2)
    spread = _INTERVAL * np.sqrt(np.maximum(kurtosis - (n - 3) / (n - 1), 0.0) / n)
    variance = square * n / (n - 1)
    return np.stack([variance * np.exp(-spread), variance * np.exp(spread)])


def _ratio(a, b):
    """a / b, 0 where a is 0 and infinite where b alone is."""
    return np.divide(a, b, out=np.where(a > 0, np.inf, 0.0), where=b > 0)


def _entries(parameter, shape):
    """Labels and indices of the rows of a parameter: one each, or one for all."""
    if int(np.prod(shape)) > _FEW_ENTRIES:
        return [(f"{parameter} ({int(np.prod(shape))} entries)", ())]
    return [(parameter + (str(list(index)) if index else ""), index) for index in np.ndindex(*shape)]


def _largest(values):
    """The entry that is largest in size, with its sign."""
    values = np.ravel(values)
    return values[np.argmax(np.abs(values))]
