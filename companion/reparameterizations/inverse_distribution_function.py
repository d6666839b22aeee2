"""Families whose distribution function has a closed inverse: z = F^{-1}(eps; theta), eps ~ U(0, 1)."""

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion.reparameterizations import noise
from companion.reparameterizations.registry import Reparameterization, noise_shape, register


def _by_inverse(d, inverse, formula):
    eps = noise.standard_uniform(noise_shape(d), d.dtype)
    return Reparameterization(d, eps, inverse, f"z = {formula}, eps ~ U(0, 1)")


@register(tfd.Exponential)
def _exponential(d):
    return _by_inverse(d, lambda e: -tf.math.log1p(-e) / d.rate, "-log(1 - eps) / rate")


@register(tfd.Weibull)
def _weibull(d):
    formula = "scale * (-log(1 - eps))^(1 / concentration)"
    return _by_inverse(d, lambda e: d.scale * (-tf.math.log1p(-e)) ** (1.0 / d.concentration), formula)


@register(tfd.Pareto)
def _pareto(d):
    formula = "scale * (1 - eps)^(-1 / concentration)"
    return _by_inverse(d, lambda e: d.scale * tf.exp(-tf.math.log1p(-e) / d.concentration), formula)


@register(tfd.Kumaraswamy)
def _kumaraswamy(d):
    def inverse(e):  # (1 - eps)^(1/b) is taken in logarithms, which keeps small z from rounding to zero
        return (-tf.math.expm1(tf.math.log1p(-e) / d.concentration0)) ** (1.0 / d.concentration1)

    return _by_inverse(d, inverse, "(1 - (1 - eps)^(1 / concentration0))^(1 / concentration1)")


def _normal_cdf(x):
    return 0.5 * tf.math.erfc(-x * 2.0**-0.5)


@register(tfd.TruncatedNormal)
def _truncated_normal(d):
    def inverse(e):
        low = _normal_cdf((d.low - d.loc) / d.scale)
        high = _normal_cdf((d.high - d.loc) / d.scale)
        return tf.clip_by_value(d.loc + d.scale * tf.math.ndtri(low + (high - low) * e), d.low, d.high)

    return _by_inverse(d, inverse, "loc + scale * Phi^-1(Phi(a) + eps (Phi(b) - Phi(a)))")
