"""What the checks of all chapters share.

Contract: a check is called with a student's answer. If the answer is right it prints one line that starts
with "Correct"; if not, it raises `WrongAnswer` with what was expected, what came, and where to look. A check of
a random quantity rejects a right answer with the probability `FALSE_ALARM` at most.
"""

import numpy as np
from scipy import stats

__all__ = ["FALSE_ALARM", "WrongAnswer", "as_numbers", "call", "correct", "expect_close", "expect_unbiased"]

FALSE_ALARM = 1e-5


class WrongAnswer(AssertionError):
    """An answer that does not solve its exercise, with a hint."""


def correct(why=""):
    """Says that the answer is right, and why in a few words."""
    print(f"Correct. {why}".strip())


def call(what, function, *arguments):
    """The result of a student's function; whatever goes wrong inside becomes a `WrongAnswer`.

    Example:
        >>> call("g", 3.0, 1.0)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: g: expected a function, got 3.0. Hint: hand in the function, ...
    """
    if not callable(function):
        raise WrongAnswer(f"{what}: expected a function, got {function!r}. Hint: hand in the function, not its result")
    try:
        return function(*arguments)
    except MemoryError as error:
        hint = "avoid what grows with the square of the dimension"
        raise WrongAnswer(f"{what}: the call ran out of memory: {error}. Hint: {hint}") from error
    except Exception as error:
        raise WrongAnswer(
            f"{what}: the call failed, your function raised {type(error).__name__}: {error}. "
            f"Hint: the check calls it with {len(arguments)} arguments, as the exercise says"
        ) from error


def as_numbers(what, got, hint):
    """The answer as a float64 array, or `WrongAnswer`: None and text are no numbers, nor are arrays with them.

    Example:
        >>> as_numbers("the mean", "2.0", "it is loc")
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the mean: expected a number ..., got '2.0'. Hint: numbers, not text
    """
    try:
        array = np.asarray(got)
        entries = [np.asarray(entry).item() for entry in array.flat] if array.dtype.kind in "OSU" else []
        if any(entry is None for entry in entries):
            raise WrongAnswer(f"{what}: got {got}. Hint: does your function return?")
        if any(isinstance(entry, str | bytes) for entry in entries):
            raise WrongAnswer(f"{what}: expected a number or a tensor, got {got!r}. Hint: numbers, not text")
        if array.dtype.kind == "c":
            raise WrongAnswer(f"{what}: expected real numbers, got {got!r}. Hint: {hint}")
        return np.asarray(got, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise WrongAnswer(f"{what}: expected a number or a tensor, got {got!r}. Hint: {hint}") from error


def expect_close(what, got, expected, hint, rtol=1e-4, atol=1e-6):
    """Raises `WrongAnswer` unless a number or an array is right, shape included.

    Example:
        >>> expect_close("the mean", 2.0, 3.0, "it is loc")
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the mean: expected 3, got 2. Hint: it is loc
    """
    got = as_numbers(what, got, hint)
    expected = np.asarray(expected, dtype=np.float64)
    if got.shape != expected.shape:
        raise WrongAnswer(f"{what}: expected shape {list(expected.shape)}, got {list(got.shape)}. Hint: {hint}")
    if not np.allclose(got, expected, rtol=rtol, atol=atol):
        raise WrongAnswer(f"{what}: expected {_brief(expected)}, got {_brief(got)}. Hint: {hint}")


def expect_unbiased(what, samples, expected, hint):
    """Raises `WrongAnswer` unless independent samples can have the expected mean.

    The tolerance is the quantile of Student's t at which a right answer fails with probability `FALSE_ALARM`,
    shared among the entries, times the standard error of the samples themselves.

    Args:
        what: the name of the quantity.
        samples: shape [num_samples, *shape].
        expected: the exact mean, shape [*shape].
        hint: where to look.
    """
    samples = as_numbers(what, samples, hint)
    expected = np.asarray(expected, dtype=np.float64)
    if samples.ndim < 1 or len(samples) < 2 or samples.shape[1:] != expected.shape:
        wanted = f"[num_samples, *{list(expected.shape)}]"
        raise WrongAnswer(f"{what}: expected samples of shape {wanted}, got {list(samples.shape)}. Hint: {hint}")
    if not np.isfinite(samples).all():
        raise WrongAnswer(f"{what}: expected finite samples, got NaN or infinity. Hint: {hint}")
    standard_error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    quantile = stats.t.isf(FALSE_ALARM / 2 / max(expected.size, 1), df=len(samples) - 1)
    mean = samples.mean(axis=0)
    rounding = 1e-5 * np.abs(expected)
    if (np.abs(mean - expected) > quantile * standard_error + rounding).any():
        raise WrongAnswer(
            f"{what}: expected a mean of {_brief(expected)}, got {_brief(mean)} with a standard error of "
            f"{_brief(standard_error)}, which is more than {quantile:.1f} standard errors away. Hint: {hint}"
        )


def _brief(x):
    return f"{x:.4g}" if np.ndim(x) == 0 else np.array2string(x, precision=4, threshold=8)
