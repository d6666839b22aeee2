"""Location-scale families: z = loc + scale * eps, where eps is the family at loc 0 and scale 1."""

from tensorflow_probability import distributions as tfd

from companion.reparameterizations import noise
from companion.reparameterizations.registry import Reparameterization, noise_shape, register

_STANDARD = {
    tfd.Normal: (noise.standard_normal, "N(0, 1)"),
    tfd.Laplace: (noise.standard_laplace, "Laplace(0, 1)"),
    tfd.Logistic: (noise.standard_logistic, "Logistic(0, 1)"),
    tfd.Gumbel: (noise.standard_gumbel, "Gumbel(0, 1)"),
    tfd.Cauchy: (noise.standard_cauchy, "Cauchy(0, 1)"),
}


@register(*_STANDARD)
def _location_scale(d):
    family = next(family for family in type(d).__mro__ if family in _STANDARD)
    standard, name = _STANDARD[family]
    eps = standard(noise_shape(d), d.dtype)
    return Reparameterization(d, eps, lambda e: d.loc + d.scale * e, f"z = loc + scale * eps, eps ~ {name}")


@register(tfd.StudentT)
def _student_t(d):
    eps = noise.standard_student_t(d.df, noise_shape(d), d.dtype)
    formula = "z = loc + scale * eps, eps ~ StudentT(df, 0, 1), df given"
    return Reparameterization(d, eps, lambda e: d.loc + d.scale * e, formula)


@register(tfd.Uniform)
def _uniform(d):
    eps = noise.standard_uniform(noise_shape(d), d.dtype)
    formula = "z = low + (high - low) * eps, eps ~ U(0, 1)"
    return Reparameterization(d, eps, lambda e: d.low + (d.high - d.low) * e, formula)


@register(tfd.HalfNormal)
def _half_normal(d):
    eps = noise.standard_half_normal(noise_shape(d), d.dtype)
    return Reparameterization(d, eps, lambda e: d.scale * e, "z = scale * eps, eps ~ HalfNormal(1)")
