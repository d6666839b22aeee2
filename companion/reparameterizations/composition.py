"""Compositions: a bijector after a reparameterized base, and independent copies of one."""

from tensorflow_probability import distributions as tfd

from companion.reparameterizations.registry import Reparameterization, find, register

_WITHOUT_TYPE_SPEC = tfd.TransformedDistribution.__bases__[0]  # what TFP makes with a bijector that has none


@register(tfd.TransformedDistribution, _WITHOUT_TYPE_SPEC)
def _transformed(d):
    base = d.distribution
    if base.batch_shape != d.batch_shape:  # the bijector's parameters have a batch of their own
        base = tfd.BatchBroadcast(base, with_shape=d.batch_shape)
    r = find(base)
    if r is None:
        return None
    formula = f"z = {d.bijector.name}(x), {r.formula.replace('z =', 'x =', 1)}"
    return Reparameterization(d, r.noise, lambda e: d.bijector.forward(r.g(e)), formula)


@register(tfd.Independent)
def _independent(d):
    r = find(d.distribution)
    if r is None:
        return None
    noise = tfd.Independent(r.noise, reinterpreted_batch_ndims=d.reinterpreted_batch_ndims)
    return Reparameterization(d, noise, r.g, r.formula)


@register(tfd.BatchBroadcast)
def _batch_broadcast(d):
    r = find(d.distribution)
    if r is None:
        return None
    return Reparameterization(d, tfd.BatchBroadcast(r.noise, to_shape=d.batch_shape), r.g, r.formula)
