"""`audit`: is the gradient of E f(z) silently wrong or missing?"""

from companion import _validation
from companion.diagnostics import symptoms
from companion.diagnostics.evidence import Evidence
from companion.diagnostics.report import AuditReport

__all__ = ["audit"]

FALSE_ALARM = 1e-3


def audit(f, make_distribution, params, num_samples=50_000, seed=None):
    r"""Looks for gradients of E f(z) that are silently wrong or missing.

    It draws samples once, takes the pathwise and the score-function gradient of each, moves the parameters a little
    to both sides, and follows f along the way of the samples. What it can find, by the `kind` of the finding:

    - ``ignored_parameter``: moving the parameter changes nothing about the distribution (a Keras variable, or a
      distribution made outside, was snapshotted);
    - ``ignored_sample``: f gives the same values at other samples (z was drawn outside the tape);
    - ``no_path``: the distribution is discrete, or TFP can't reparameterize it;
    - ``no_gradient``: TensorFlow returns None for the path;
    - ``not_finite``: pathwise gradients are NaN or infinite where f is finite;
    - ``degenerate``: the density is not finite at the distribution's own samples;
    - ``moving_support``: a sample of one parameter value is impossible under a neighbouring one;
    - ``zero_gradient``: every pathwise gradient is exactly 0 and the score function (for a moving support: a
      difference at common random numbers) disagrees beyond chance;
    - ``discontinuous``: f jumps on the way along which the parameter moves a sample, found by bisection to the last
      digits;
    - ``disagreement``: the pathwise gradient and the score function (for a moving support: differences) have different
      means, beyond chance, for none of the reasons above;
    - ``infinite_variance``: the largest gradients fall off like a power law of infinite variance. A tail that is heavy
      as far as the samples reach and lighter beyond is reported, too.

    The checks on chance (``zero_gradient``, ``disagreement``, ``infinite_variance``) share a false-alarm rate of 0.001
    a report, by Bonferroni's inequality and the normal approximation; for ``infinite_variance`` it holds where the
    sqrt(num_samples) largest gradients follow a power law with k at most 1/2. The other findings are not a matter
    of chance.

    Silence is no proof. An audit can't see what the samples do not show: a jump in a region that they do not reach, an
    expectation that lives on events rarer than one in `num_samples` (a smooth integrand without a dominating bound),
    a wrong second derivative (audit the derivative of f as f for that). Of an f that is random itself, jumps are not
    looked for.

    Args:
        f: as for `companion.gradients.pathwise`.
        make_distribution: as for `companion.gradients.pathwise`.
        params: as for `companion.gradients.pathwise`.
        num_samples: how many samples, at least 1000.
        seed: as for `companion.gradients.pathwise`.

    Returns:
        An `AuditReport`.

    Raises:
        TypeError: as for `companion.gradients.pathwise`.
        ValueError: as for `companion.gradients.pathwise`, for what it would not let pass anyway.
        RuntimeError: inside `tf.function`.

    Reference:
        Glasserman (2003), section 7.2 for the conditions; Hill (1975) for the tails. Chapter: When the trick fails.

    Example:
        >>> import tensorflow as tf
        >>> from tensorflow_probability import distributions as tfd
        >>> audit(lambda z: z**2, tfd.Normal, {"loc": 1.0, "scale": 2.0}, seed=0)
        AuditReport(nothing found)
        >>> step = lambda z: tf.sign(z)
        >>> audit(step, tfd.Normal, {"loc": 1.0, "scale": 2.0}, seed=0).kinds
        ('zero_gradient', 'discontinuous')
    """
    _validation.eager("audit")
    _validation.count("num_samples", num_samples, minimum=1000)
    evidence = Evidence(f, make_distribution, params, num_samples, seed)
    findings = list(symptoms.ignored_parameters(evidence))
    if evidence.problem is not None:
        for look in symptoms.IN_ORDER:
            findings += look(evidence, FALSE_ALARM / 3, findings)
    return AuditReport(tuple(findings), num_samples, FALSE_ALARM)
