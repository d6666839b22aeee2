"""Multivariate normals: z = loc + L eps with L L' the covariance and eps a vector of independent N(0, 1)."""

from tensorflow_probability import distributions as tfd

from companion.reparameterizations.noise import standard_normal
from companion.reparameterizations.registry import Reparameterization, noise_shape, register


@register(tfd.MultivariateNormalLinearOperator)  # parent of the diagonal, triangular and full-covariance ones
def _multivariate_normal(d):
    eps = tfd.Independent(standard_normal(noise_shape(d), d.dtype), reinterpreted_batch_ndims=1)

    def g(e):
        z = d.scale.matvec(e)
        return z if d.loc is None else z + d.loc

    return Reparameterization(d, eps, g, "z = loc + L eps, L L' = covariance, eps ~ N(0, I)")
