r"""Weak derivatives: the derivative of a density as a difference of two densities, family by family.

.. math::

    \partial_\theta\, q(z; \theta) = c\,(q^+(z; \theta) - q^-(z; \theta))

Contract: for a distribution over single numbers and a draw from it, `decompose` gives one `WeakDerivative` for
each of its parameters: c, a draw from q+ and a draw from q-, each of the distribution's batch shape. Where one of
the two laws is q itself, the draw that is there already serves (None stands for it). Coupled draws share their
noise, independent ones do not. A new family costs one function here.

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
        positive: a draw from q+, shape [*batch], or None for the plain draw.
        negative: a draw from q-, shape [*batch], or None for the plain draw.
    """

    parameter: tf.Tensor
    constant: tf.Tensor
    positive: tf.Tensor | None
    negative: tf.Tensor | None


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


def decompose(distribution, plain, seed, coupled):
    """The weak derivatives of a distribution over single numbers, with draws.

    Args:
        distribution: one of a family known here, of batch shape [*batch].
        plain: a draw from it, shape [*batch].
        seed: as for `companion.seeds.as_seed`.
        coupled: whether the draws of the two sides share their noise.

    Returns:
        A list of `WeakDerivative`, one for each parameter.
    """
    return _FAMILIES[type(distribution)](distribution, plain, seed, coupled)


def without_weak_derivative(distribution):
    """The parameters of a known family for which no weak derivative is known, by name.

    Example:
        >>> list(without_weak_derivative(tfd.Gamma(2.0, 1.0)))
        ['concentration']
    """
    names = {tfd.Gamma: ["concentration"]}.get(type(distribution), [])
    return {name: getattr(distribution, name) for name in names}


def _filled(p, d):
    """A parameter at the shape of the batch."""
    return tf.broadcast_to(p, d.batch_shape_tensor())


def _noise(d):
    """The shape of one number a member of the batch: static where it can be."""
    return d.batch_shape if d.batch_shape.is_fully_defined() else d.batch_shape_tensor()


def _normal(d, plain, seed, coupled):
    """For loc, Rayleigh steps to both sides; for scale, the double-sided Maxwell law against the normal one.

    The length R of a standard normal vector in three dimensions, with the sign of its first coordinate eps, has the
    density m^2 phi(m) of Maxwell's law on both sides. eps / R is uniform and independent of R: that is the coupling.
    """
    loc, scale = _filled(d.loc, d), _filled(d.scale, d)
    right_seed, left_seed, length_seed, other_seed = seeds.split(seed, 4)
    shape, dtype = _noise(d), d.dtype

    def rayleigh(seed):
        return tf.sqrt(-2.0 * tf.math.log(seeds.uniform(shape, seed, dtype)))

    right = rayleigh(right_seed)
    left = right if coupled else rayleigh(left_seed)
    eps = (plain - loc) / scale if coupled else standard_normal(shape, dtype).sample(seed=other_seed)
    maxwell = tf.sign(eps) * tf.sqrt(eps**2 + rayleigh(length_seed) ** 2)
    return [
        WeakDerivative(loc, 1.0 / (scale * math.sqrt(2.0 * math.pi)), loc + scale * right, loc - scale * left),
        WeakDerivative(scale, 1.0 / scale, loc + scale * maxwell, None),
    ]


def _uniform(d, plain, seed, coupled):
    """The end that moves, against the uniform law: a weak derivative where the density has no derivative."""
    low, high = _filled(d.low, d), _filled(d.high, d)
    return [WeakDerivative(low, 1.0 / (high - low), None, low), WeakDerivative(high, 1.0 / (high - low), high, None)]


def _exponential(d, plain, seed, coupled):
    """Exponential against Erlang of order 2; coupled, the second is the first plus another waiting time."""
    rate = _filled(d.rate, d)
    more_seed, other_seed = seeds.split(seed, 2)
    start = plain if coupled else _wait(d, rate, other_seed)
    return [WeakDerivative(rate, 1.0 / rate, None, start + _wait(d, rate, more_seed))]


def _gamma(d, plain, seed, coupled):
    """Gamma(concentration) against Gamma(concentration + 1); coupled, one waiting time more."""
    rate, concentration = _filled(_gamma_rate(d), d), _filled(d.concentration, d)
    more_seed, other_seed = seeds.split(seed, 2)
    start = plain if coupled else tfd.Gamma(concentration, rate).sample(seed=other_seed)
    return [WeakDerivative(rate, concentration / rate, None, start + _wait(d, rate, more_seed))]


def _wait(d, rate, seed):
    """An exponential waiting time."""
    return -tf.math.log(seeds.uniform(_noise(d), seed, d.dtype)) / rate


def _gamma_rate(d):
    return tf.exp(d.log_rate) if d.rate is None else tf.convert_to_tensor(d.rate)


def _poisson(d, plain, seed, coupled):
    """One event more, against the law itself."""
    rate = _filled(d.rate_parameter(), d)
    more = (plain if coupled else tfd.Poisson(rate).sample(seed=seed)) + 1.0
    return [WeakDerivative(rate, tf.ones_like(rate), more, None)]


def _bernoulli(d, plain, seed, coupled):
    """One against zero, with no randomness left."""
    probs = _filled(d.probs_parameter(), d)
    one = tf.ones(_noise(d), d.dtype)
    return [WeakDerivative(probs, tf.ones_like(probs), one, tf.zeros_like(one))]


def _categorical(d, plain, seed, coupled):
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
