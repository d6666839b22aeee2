"""What an audit looks for: one function for each symptom.

Contract: a symptom is looked for in the `Evidence` by a function of the evidence, a false-alarm rate for its own
share, and the findings so far (a symptom that is explained is not reported). It yields each `Finding`.
"""

import numpy as np
import tensorflow as tf
from scipy import stats

from companion.diagnostics.neighbours import ends
from companion.diagnostics.report import Finding
from companion.gradients import applicable

__all__ = ["IN_ORDER", "ignored_parameters"]

_FEW = 2048  # samples for looking at supports
_LINES, _PIECES = 10_000, 2  # lines on which jumps are looked for, and the pieces of each
_JUMP = 1e-3  # of the spread of f: what is left of a difference after the last halving of a jump


def ignored_parameters(evidence):
    """The distribution does not move with the parameter."""
    for name in evidence.ignored:
        yield Finding(
            "ignored_parameter",
            name,
            "moving it leaves the density and the samples of make_distribution exactly as they are",
            "every gradient with respect to it is None or 0. A distribution that was made outside, or from a Keras "
            "variable, holds a snapshot of the number that the parameter had",
            "make the distribution inside make_distribution, from its arguments (inside the tape, or inside call; "
            "variable.value for a Keras variable)",
        )


def ignored_sample(evidence, rate, findings):
    """f does not look at z."""
    if not np.array_equal(evidence.values, evidence.other_values):
        return
    constant = np.ptp(evidence.values) == 0
    seen = "f gives exactly the same values at other samples"
    seen += f" (one value, {evidence.values.flat[0]:.6g}, at all of them)" if constant else ""
    yield Finding(
        "ignored_sample",
        None,
        seen,
        "f does not depend on the z that it is given: it uses a sample drawn outside (and outside the tape), or z does "
        "not reach where f changes. The gradient is None or 0",
        "draw z inside the tape and pass it to f; if f changes only on rare events, sample there (importance sampling)",
    )


def no_path(evidence, rate, findings):
    """z can't be moved by the parameters."""
    if evidence.reparameterized and not evidence.discrete:
        return
    name = type(evidence.distribution).__name__
    kind = "is discrete: its samples jump" if evidence.discrete else "is not reparameterized by TFP"
    others = [e for e in applicable(evidence.distribution) if e != "pathwise"]
    relaxation = ", or a relaxation, which is biased," if evidence.discrete else ""
    yield Finding(
        "no_path",
        None,
        f"{name} {kind}",
        "z is no differentiable function of the parameters; a tape around its sample gives None, and a sampler written "
        "by hand as a comparison gives None or 0",
        f"use {', '.join(others)}{relaxation} in place of pathwise",
    )


def no_gradient(evidence, rate, findings):
    """The path is cut."""
    if not evidence.reparameterized or evidence.discrete:
        return
    for name in evidence.problem.params:
        if evidence.pathwise(name) is not None:
            continue
        where = "from z on to the result: in f" if not evidence.f_has_slope else "from the parameter to z"
        yield Finding(
            "no_gradient",
            name,
            f"TensorFlow returns None; the path is cut {where}",
            "a comparison, a rounding, a cast to integers, .numpy() or stop_gradient has no derivative, and an "
            "optimiser skips a None with a warning at most",
            "write f in differentiable TensorFlow; if it jumps by nature, use score_function or measure_valued",
        )


def not_finite(evidence, rate, findings):
    """NaN or infinity among the gradients of the path."""
    for name in evidence.problem.params:
        path = evidence.pathwise(name)
        if path is None or np.isfinite(path).all():
            continue
        share = np.mean(~np.isfinite(path.reshape(len(path), -1)).all(axis=1))
        yield Finding(
            "not_finite",
            name,
            f"{share:.1%} of the pathwise gradients are NaN or infinite, where f is finite",
            "one of them makes the whole step NaN. tf.where, for one, multiplies the slope of the branch that it does "
            "not take by 0, and 0 * NaN is NaN",
            "make the argument of each branch harmless where the branch is not taken (a tf.where inside, too), or clip "
            "before the root, logarithm or division",
        )


def degenerate(evidence, rate, findings):
    """The density is not finite at the samples themselves."""
    share = np.mean(~np.isfinite(evidence.log_prob))
    if share > 0.01:
        yield Finding(
            "degenerate",
            None,
            f"log_prob is not finite at {share:.0%} of the distribution's own samples",
            "the law has no density there (its spread is 0, or it sits on the edge of its support), so the score "
            "function does not exist, and a pathwise gradient can't be checked against it",
            "look at the parameters: is a scale 0, or a transformation not one-to-one? Samples that are rounded onto "
            "the edge of their support (a small concentration) want float64 or a law on the logits",
        )


def zero_gradient(evidence, rate, findings):
    """All pathwise gradients are 0 and another witness says otherwise: the score function, or differences."""
    for name in evidence.problem.params:
        path = evidence.pathwise(name)
        if path is None or path.any():
            continue
        witness, samples = _witness(evidence, name, findings)
        distance = np.abs(_standardised_mean(samples))
        if np.any(distance > _quantile(rate, evidence)):
            i = np.unravel_index(np.argmax(distance), distance.shape)
            mean, error = samples.mean(axis=0)[i], samples.std(axis=0)[i] / np.sqrt(len(samples))
            yield _zero(name, f"while {witness} {mean:.4g} with standard error {error:.2g}")
        elif _found(findings, "degenerate"):
            yield _zero(name, "and the score function can't be had to check it")


def _witness(evidence, name, findings):
    """Samples whose mean is 0 if the gradient is, and words for them."""
    score = evidence.score(name)
    if score is not None and np.isfinite(score).all() and not _found(findings, "moving_support"):
        return "the score function gives", score
    return "moving the parameter a little to both sides changes the mean of f by", evidence.moved_difference(name)


def _zero(name, other):
    return Finding(
        "zero_gradient",
        name,
        f"every pathwise gradient is exactly 0, {other}",
        "f is flat wherever TensorFlow looks (a step, a sign, a rounding, a singular function): the slope between the "
        "jumps is all that the path sees, and it is not where the expectation changes",
        "use score_function, measure_valued or finite_difference, or smooth f and pay with bias",
    )


def moving_support(evidence, rate, findings):
    """Samples of one law are impossible under its neighbour."""
    problem = evidence.problem
    for name in problem.params:
        laws = [problem.distribution, *evidence.neighbours(name)]
        samples = [law.sample(_FEW, seed=problem.seed) for law in laws]
        lost = max(_lost(z, law, other) for z, law in zip(samples, laws, strict=True) for other in laws)
        if lost > 0:
            yield Finding(
                "moving_support",
                name,
                f"with the parameter moved a little, {lost:.1%} of the samples of one law are impossible under the "
                "other",
                "the score function misses what happens at the boundary: it is biased unless f or the density vanishes "
                "there; dropping its term from a mixed gradient is wrong too",
                "use pathwise or finite_difference (measure_valued for Uniform), or add the boundary terms",
            )


def _lost(z, law, other):
    """The share of the samples of a law that are impossible under another: no density there, or beyond an end."""
    possible = np.isfinite(law.log_prob(z).numpy())
    impossible = ~np.isfinite(other.log_prob(z).numpy())
    limits = ends(other) if law is not other else None
    if limits is not None:  # some densities do not say where they end
        impossible |= ((z < limits[0]) | (z > limits[1])).numpy()
    return np.mean(possible & impossible)


def discontinuous(evidence, rate, findings):
    """A difference of f that halving the way does not make smaller, on the way that a parameter moves a sample."""
    unfit = evidence.discrete or not evidence.z.dtype.is_floating or not evidence.f_is_deterministic
    if unfit or _found(findings, "ignored_sample"):
        return
    for name in evidence.problem.params:
        where, size, share = _find_jump(evidence, name)
        if share == 0 or _is_a_staircase(evidence, size, share):
            continue
        yield Finding(
            "discontinuous",
            name,
            f"f jumps by {size:.4g} near z = {where}; {share:.1%} of the samples cross a jump when the parameter moves "
            "a little to both sides",
            "the expectation changes when a sample crosses the jump, and the pathwise gradient never sees a crossing: "
            "it is biased, whatever the number of samples",
            "use score_function or measure_valued, add the boundary term, or smooth f and pay with bias",
        )


def _is_a_staircase(evidence, size, share):
    """Small steps that most samples cross: quantisation or rounding, which only the mean slope can judge."""
    return share > 0.5 and size < 0.05 * np.std(evidence.values)


def disagreement(evidence, rate, findings):
    """The path has one mean, and its witness another."""
    explained = {"zero_gradient", "discontinuous", "degenerate", "ignored_sample", "not_finite"}
    if any(_found(findings, kind) for kind in explained):
        return
    for name in evidence.problem.params:
        path, score = evidence.pathwise(name), evidence.score(name)
        if path is None or score is None or not np.isfinite(score).all():
            continue
        if _found(findings, "moving_support"):
            yield from _disagreement_with_differences(evidence, name, rate)
            continue
        distance = np.abs(_standardised_mean(path - score))
        if np.any(distance > _quantile(rate, evidence)):
            i = np.unravel_index(np.argmax(distance), distance.shape)
            yield _disagrees(name, path.mean(axis=0)[i], "the score function", score.mean(axis=0)[i], distance[i])


def _disagreement_with_differences(evidence, name, rate):
    """Where the support moves the score function is no witness; differences at common random numbers are."""
    found = evidence.slope_by_difference(name)
    if found is None:
        return
    by_difference, along, left_over = found
    error = np.std(by_difference - along) / np.sqrt(len(along))
    apart = abs(np.mean(by_difference - along))
    if apart > _quantile(rate, evidence) * error + left_over + 1e-4 * np.abs(along).max():
        distance = apart / max(error, np.finfo(float).tiny)
        yield _disagrees(name, along.mean(), "a difference along the same step", by_difference.mean(), distance)


def _disagrees(name, path, witness, other, distance):
    return Finding(
        "disagreement",
        name,
        f"pathwise gives {path:.4g}, {witness} {other:.4g}: {distance:.3g} standard errors apart at the same samples",
        "they estimate one number, so one of them is wrong: a part of the path or of the density is detached, or the "
        "map of the distribution or f jumps with the parameter",
        "compare both with companion.gradients.finite_difference, or with exact where there is a referee",
    )


def infinite_variance(evidence, rate, findings):
    """The tail of the gradients is too heavy for a variance."""
    for name in evidence.problem.params:
        path = evidence.pathwise(name)
        g = evidence.score(name) if path is None else path
        if g is None or not np.isfinite(g).all():
            continue
        index, lowest = _tail_index(g.reshape(len(g), -1), rate / _num_entries(evidence))
        if np.any(lowest > 0.5):
            worst = np.argmax(lowest)
            estimator = "score-function" if path is None else "pathwise"
            yield Finding(
                "infinite_variance",
                name,
                f"the largest {estimator} gradients fall off like a power law with index k = {index[worst]:.2f} (at "
                f"least {lowest[worst]:.2f}), and from k = 0.5 on its variance is infinite",
                "either the variance is infinite, or it rests on events that so few samples hardly show: standard "
                "errors may be far too small, and averages settle more slowly than 1 / sqrt(num_samples)",
                "narrow the distribution, bound f or its growth, or sample from a wider law with importance weights",
            )


IN_ORDER = (
    ignored_sample,
    no_path,
    no_gradient,
    not_finite,
    degenerate,
    moving_support,
    zero_gradient,
    discontinuous,
    disagreement,
    infinite_variance,
)


def _found(findings, kind):
    return any(finding.kind == kind for finding in findings)


def _num_entries(evidence):
    return sum(max(1, p.shape.num_elements()) for p in evidence.problem.params.values())


def _quantile(rate, evidence):
    """How many standard errors a mean of 0 may be away, two-sided, in each of the entries of all parameters."""
    return stats.norm.isf(rate / (2 * _num_entries(evidence)))


def _standardised_mean(samples):
    """The mean over its standard error; 0 if all samples are 0 up to rounding."""
    mean, error = samples.mean(axis=0), samples.std(axis=0) / np.sqrt(len(samples))
    rounding = 1e-6 * np.abs(samples).max(axis=0)
    return mean / np.maximum(np.hypot(error, rounding), np.finfo(float).tiny)


def _tail_index(g, rate):
    """Hill's estimate of the index k of the tail of |g| in each column, and the lower end of its interval.

    For P(|g| > t) ~ t^(-1/k), the m largest give an estimate with standard error k / sqrt(m).
    """
    m = int(np.sqrt(len(g)))
    ordered = np.sort(np.abs(g), axis=0)[-(m + 1) :]
    usable = ordered[0] > 0
    logs = np.log(np.where(usable, ordered, 1.0))
    index = (logs[1:] - logs[0]).mean(axis=0)
    return index, index / (1.0 + stats.norm.isf(rate) / np.sqrt(m))


def _find_jump(evidence, name):
    """Where f jumps on the lines along which a parameter moves the samples, by how much, and on what share of them."""
    z = evidence.z
    first, last = (side[:_LINES] for side in evidence.moved_samples(name))
    fractions = np.linspace(0.0, 1.0, _PIECES + 1)
    left = tf.concat([_between(first, last, t) for t in fractions[:-1]], axis=0)  # (pieces * lines, *batch, *event)
    right = tf.concat([_between(first, last, t) for t in fractions[1:]], axis=0)
    evaluate = evidence.f_anywhere
    f_left, f_right = evaluate(left), evaluate(right)
    for _ in range(22 if z.dtype == tf.float32 else 44):
        middle = _between(left, right, 0.5)
        f_middle = evaluate(middle)
        with np.errstate(invalid="ignore"):  # f may be infinite beyond the samples
            nearer = np.abs(f_middle - f_left) >= np.abs(f_right - f_middle)
        in_z = nearer.reshape(nearer.shape + (1,) * (z.shape.rank - nearer.ndim))
        left, right = tf.where(in_z, left, middle), tf.where(in_z, middle, right)
        f_left, f_right = np.where(nearer, f_left, f_middle), np.where(nearer, f_middle, f_right)
    difference = np.where(np.isfinite(f_right) & np.isfinite(f_left), np.abs(f_right - f_left), 0.0)
    difference = np.maximum(difference - evidence.explained_by_slope(left, right), 0.0)
    jumps = difference > _largest_of_a_continuous(evidence.values, z.dtype)
    if not jumps.any():
        return None, 0.0, 0.0
    i = np.unravel_index(np.argmax(difference), difference.shape)
    around = 4.0 * (right - left)  # f may have a value of its own in the middle of the jump
    size = np.abs(evaluate(right + around) - evaluate(left - around))[i]
    lines = jumps.reshape(_PIECES, -1, *jumps.shape[1:]).any(axis=0).reshape(first.shape[0], -1).any(axis=1)
    return _rounded(right.numpy()[i], np.std(z)), float(size), lines.mean()


def _largest_of_a_continuous(values, dtype):
    """What is left of a difference of a continuous f after the last halving, at most, with its rounding."""
    return _JUMP * np.std(values) + (1e-5 if dtype == tf.float32 else 1e-12) * np.abs(values).max()


def _rounded(z, spread):
    """A place as text, without the digits that are noise of the bisection."""
    digits = max(0, 4 - int(np.floor(np.log10(spread)))) if spread > 0 else 4
    return np.array2string(np.round(np.asarray(z, float), digits) + 0.0, precision=4, threshold=6)


def _between(left, right, t):
    """The point at the fraction t of the way."""
    return left + (right - left) * tf.cast(t, left.dtype)
