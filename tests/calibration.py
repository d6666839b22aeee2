"""Statistical assertions with an exact target, a stated false-alarm rate, and power that tests can show.

Contract: every assertion here rejects a correct implementation with probability `FALSE_ALARM` at most, over the
random seed; `shared_among` divides it among the cases of a registry, so that the rate holds for the family. Seeds in
the tests are fixed, so a rejection repeats. Tolerances come from standard errors, never from trial.
"""

import numpy as np
from scipy import stats

FALSE_ALARM = 1e-4


def assert_mean(samples, exact, shared_among=1, rounding=1e-6):
    """The mean of independent samples [n, *shape] is `exact` [*shape], up to chance.

    `rounding` is the relative error allowed for the arithmetic itself, on the scale of one sample.
    """
    samples, exact = np.asarray(samples, dtype=float), np.asarray(exact, dtype=float)
    assert samples.shape[1:] == exact.shape, f"samples of shape {samples.shape[1:]}, exact of shape {exact.shape}"
    error = samples.mean(axis=0) - exact
    tolerance = quantile(shared_among * max(1, exact.size)) * samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    tolerance = tolerance + rounding * np.abs(samples).max(axis=0)
    worst = np.max(np.abs(error) / np.maximum(tolerance, 1e-300))
    assert (np.abs(error) <= tolerance).all(), f"the mean is {worst:.2f} times its tolerance away from {exact}"


def assert_variance(samples, exact, shared_among=1):
    """The variance of independent samples [n, *shape] is `exact` [*shape], up to chance.

    The standard error of a variance comes from the fourth moment.
    """
    samples, exact = np.asarray(samples, dtype=float), np.asarray(exact, dtype=float)
    squares = (samples - samples.mean(axis=0)) ** 2
    assert_mean(squares, exact * (len(samples) - 1) / len(samples), shared_among)


def assert_law(samples, cdf, shared_among=1):
    """Independent samples [n] have the continuous distribution function `cdf` (Kolmogorov-Smirnov)."""
    p = stats.kstest(np.asarray(samples, dtype=float), lambda z: np.asarray(cdf(z), dtype=float)).pvalue
    assert p > FALSE_ALARM / shared_among, f"goodness of fit: p = {p:.1e}"


def agree(samples, exact, shared_among=100):
    """Whether independent samples [n, *shape] can have the exact mean [*shape], for tests that ask both ways."""
    samples = np.asarray(samples, dtype=float)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return bool(np.all(np.abs(samples.mean(axis=0) - exact) <= quantile(shared_among) * error + 1e-12))


def variance_agrees(samples, exact):
    """Whether independent samples can have the exact variance."""
    samples = np.asarray(samples, dtype=float)
    return agree((samples - samples.mean(axis=0)) ** 2, exact)


def quantile(comparisons):
    """How many standard errors a correct mean may be away, two-sided, among so many comparisons."""
    return stats.norm.isf(FALSE_ALARM / 2 / comparisons)
