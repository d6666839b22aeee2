r"""Weak derivatives: the derivative of a density as a difference of two densities, family by family.

.. math::

    \partial_\theta\, q(z; \theta) = c\,(q^+(z; \theta) - q^-(z; \theta))

Contract: for a distribution over single numbers, `decompose` gives one `WeakDerivative` for each of its
parameters: c, a draw from q+ and a draw from q-, each of the distribution's batch shape. Coupled draws share
their noise, independent ones do not. A new family costs one function here.

Reference: Pflug (1989); Heidergott and Vazquez-Abad (2000); table 1 of Mohamed, Rosca, Figurnov and Mnih (2020).
"""

import math
from typing import NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import seeds
from companion.reparameterizations import standard_gumbel, standard_normal

__all__ = ["WeakDerivative", "decomposable", "decompose", "over_numbers"]


class WeakDerivative(NamedTuple):
    """The weak derivative of a family in one of its parameters, with a draw from both sides.

    Attributes:
        parameter: the parameter, shape [*batch], connected to whatever it was computed from.
        constant: c, shape [*batch].
        positive: a draw from q+, shape [*batch].
        negative: a draw from q-, shape [*batch].
    """

    parameter: tf.Tensor
    constant: tf.Tensor
    positive: tf.Tensor
    negative: tf.Tensor


def over_numbers(distribution):
    """The distribution of the single numbers of an event: what `tfd.Independent` or a diagonal normal holds.

    Example:
        >>> over_numbers(tfd.Independent(tfd.Normal([0.0, 1.0], 1.0), 1)).batch_shape
        TensorShape([2])
    """
    if isinstance(distribution, tfd.Independent):
        return over_numbers(distribution.distribution)
    if isinstance(distribution, tfd.MultivariateNormalDiag):
        return tfd.Normal(distribution.mean(), tf.abs(distribution.scale.diag_part()))
    return distribution


def decomposable(distribution):
    """Whether the weak derivatives of a distribution's family are known here.

    Example:
        >>> decomposable(tfd.Poisson(3.0)), decomposable(tfd.Laplace(0.0, 1.0))
        (True, False)
    """
    return type(over_numbers(distribution)) in _FAMILIES


def decompose(distribution, seed, coupled):
    """The weak derivatives of a distribution over single numbers, with draws.

    Args:
        distribution: one of a family known here, of batch shape [*batch].
        seed: as for `companion.seeds.as_seed`.
        coupled: whether the draws of the two sides share their noise.

    Returns:
        A list of `WeakDerivative`, one for each parameter.
    """
    return _FAMILIES[type(distribution)](distribution, seed, coupled)


def without_weak_derivative(distribution):
    """The parameters of a known family for which no weak derivative is known, by name.

    Example:
        >>> list(without_weak_derivative(tfd.Gamma(2.0, 1.0)))
        ['concentration']
    """
    names = {tfd.Gamma: ["concentration"]}.get(type(distribution), [])
    return {name: getattr(distribution, name) for name in names}


def _pair(draw, seed, coupled):
    """Two draws that share their seed, or do not."""
    first, second = seeds.split(seed, 2)
    return draw(first), draw(first if coupled else second)


def _filled(p, d):
    """A parameter at the shape of the batch."""
    return tf.broadcast_to(p, d.batch_shape_tensor())


def _noise(d):
    """The shape of one number a member of the batch: static where it can be."""
    return d.batch_shape if d.batch_shape.is_fully_defined() else d.batch_shape_tensor()


def _normal(d, seed, coupled):
    """Rayleigh steps to both sides for loc; for scale, the double-sided Maxwell law against the normal one.

    M with density m^2 phi(m) is a random sign times the length of three standard normals, and M U is standard
    normal for a uniform U: that is the coupling.
    """
    loc, scale = _filled(d.loc, d), _filled(d.scale, d)
    ray_seed, normal_seed, square_seed, sign_seed, uniform_seed, other_seed = seeds.split(seed, 6)
    shape, dtype = _noise(d), d.dtype

    def rayleigh(seed):
        return tf.sqrt(-2.0 * tf.math.log(seeds.uniform(shape, seed, dtype)))

    def normal(seed):
        return standard_normal(shape, dtype).sample(seed=seed)

    right, left = _pair(rayleigh, ray_seed, coupled)
    sign = tf.sign(seeds.uniform(shape, sign_seed, dtype) - 0.5)
    maxwell = sign * tf.sqrt(rayleigh(square_seed) ** 2 + normal(normal_seed) ** 2)
    plain = maxwell * seeds.uniform(shape, uniform_seed, dtype) if coupled else normal(other_seed)
    return [
        WeakDerivative(loc, 1.0 / (scale * math.sqrt(2.0 * math.pi)), loc + scale * right, loc - scale * left),
        WeakDerivative(scale, 1.0 / scale, loc + scale * maxwell, loc + scale * plain),
    ]


def _uniform(d, seed, coupled):
    """The end that moves, against the uniform law: a weak derivative where the density has no derivative."""
    low, high = _filled(d.low, d), _filled(d.high, d)
    for_low, for_high = (
        low + (high - low) * seeds.uniform(_noise(d), s, d.dtype) for s in _pair(lambda s: s, seed, coupled)
    )
    return [
        WeakDerivative(low, 1.0 / (high - low), for_low, low),
        WeakDerivative(high, 1.0 / (high - low), high, for_high),
    ]


def _exponential(d, seed, coupled):
    """Exponential against Erlang of order 2; coupled, the second is the first plus another waiting time."""
    rate = _filled(d.rate, d)
    first_seed, second_seed, other_seed = seeds.split(seed, 3)

    def wait(seed):
        return -tf.math.log(seeds.uniform(_noise(d), seed, d.dtype)) / rate

    first = wait(first_seed)
    start = first if coupled else wait(other_seed)
    return [WeakDerivative(rate, 1.0 / rate, first, start + wait(second_seed))]


def _gamma(d, seed, coupled):
    """Gamma(concentration) against Gamma(concentration + 1); coupled, one waiting time more."""
    rate, concentration = _filled(_gamma_rate(d), d), _filled(d.concentration, d)
    pair_seed, wait_seed = seeds.split(seed, 2)
    first, start = _pair(lambda s: tfd.Gamma(concentration, rate).sample(seed=s), pair_seed, coupled)
    wait = -tf.math.log(seeds.uniform(_noise(d), wait_seed, d.dtype)) / rate
    return [WeakDerivative(rate, concentration / rate, first, start + wait)]


def _gamma_rate(d):
    return tf.exp(d.log_rate) if d.rate is None else tf.convert_to_tensor(d.rate)


def _poisson(d, seed, coupled):
    """One event more, against the law itself."""
    rate = _filled(d.rate_parameter(), d)
    more, plain = _pair(lambda s: tfd.Poisson(rate).sample(seed=s), seed, coupled)
    return [WeakDerivative(rate, tf.ones_like(rate), more + 1.0, plain)]


def _bernoulli(d, seed, coupled):
    """One against zero, with no randomness left."""
    probs = _filled(d.probs_parameter(), d)
    one = tf.ones(_noise(d), d.dtype)
    return [WeakDerivative(probs, tf.ones_like(probs), one, tf.zeros_like(one))]


def _categorical(d, seed, coupled):
    """For each logit, its class against a draw from the other classes (by Gumbel's maximum)."""
    logits = d.logits_parameter()  # [*batch, num_classes]
    probs = tf.nn.softmax(logits)
    num_classes = logits.shape[-1]
    shape = tf.concat([d.batch_shape_tensor(), [num_classes]], axis=0)

    def draw_without(k, seed):
        gumbel = standard_gumbel(shape, logits.dtype).sample(seed=seed)
        barred = tf.one_hot(k, num_classes, on_value=-math.inf, off_value=0.0, dtype=logits.dtype)
        return tf.argmax(logits + gumbel + barred, axis=-1, output_type=d.dtype)

    noise = [seed] * num_classes if coupled else seeds.split(seed, num_classes)
    return [
        WeakDerivative(
            logits[..., k],
            probs[..., k] * (1.0 - probs[..., k]),
            tf.fill(d.batch_shape_tensor(), tf.constant(k, d.dtype)),
            draw_without(k, noise[k]),
        )
        for k in range(num_classes)
    ]


_FAMILIES = {
    tfd.Bernoulli: _bernoulli,
    tfd.Categorical: _categorical,
    tfd.Exponential: _exponential,
    tfd.Gamma: _gamma,
    tfd.Normal: _normal,
    tfd.Poisson: _poisson,
    tfd.Uniform: _uniform,
}
