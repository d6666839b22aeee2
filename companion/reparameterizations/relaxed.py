"""Relaxations of discrete families: a logistic or Gumbel noise behind a temperature (Concrete distribution)."""

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion.reparameterizations import noise
from companion.reparameterizations.registry import Reparameterization, noise_shape, register


@register(tfd.RelaxedBernoulli)
def _relaxed_bernoulli(d):
    eps = noise.standard_logistic(noise_shape(d), d.dtype)
    formula = "z = sigmoid((logits + eps) / temperature), eps ~ Logistic(0, 1)"
    return Reparameterization(d, eps, lambda e: tf.sigmoid((d.logits_parameter() + e) / d.temperature), formula)


@register(tfd.ExpRelaxedOneHotCategorical)  # RelaxedOneHotCategorical is its exponential, a composition
def _relaxed_one_hot(d):
    eps = tfd.Independent(noise.standard_gumbel(noise_shape(d), d.dtype), reinterpreted_batch_ndims=1)
    formula = "z = log softmax((logits + eps) / temperature), eps ~ Gumbel(0, 1)"

    def g(e):
        return tf.nn.log_softmax((d.logits_parameter() + e) / d.temperature[..., tf.newaxis])

    return Reparameterization(d, eps, g, formula)
