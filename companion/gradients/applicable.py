"""Which estimators apply to a distribution: the other half of every refusal."""

from tensorflow_probability import distributions as tfd

from companion.gradients.weak_derivatives import decomposable

__all__ = ["applicable"]


def applicable(distribution):
    """The names of the estimators in `companion.gradients` that apply to a distribution.

    Whether their conditions on f hold is another question; see `companion.diagnostics.audit`. The measure-valued
    estimator may know only some of a family's parameters.

    Args:
        distribution: a `tfd.Distribution`.

    Returns:
        A tuple of names.

    Reference:
        Mohamed, Rosca, Figurnov and Mnih (2020). Chapter: Which estimator?

    Example:
        >>> applicable(tfd.Poisson(3.0))
        ('score_function', 'measure_valued', 'finite_difference')
    """
    pathwise = distribution.reparameterization_type == tfd.FULLY_REPARAMETERIZED
    names = {
        "pathwise": pathwise,
        "score_function": True,
        "measure_valued": decomposable(distribution),
        "finite_difference": True,
    }
    return tuple(name for name, applies in names.items() if applies)
