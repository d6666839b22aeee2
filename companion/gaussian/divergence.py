"""The Kullback-Leibler divergence between two Gaussians, in closed form."""

import tensorflow as tf

from companion import _validation

__all__ = ["kl_divergence"]


def kl_divergence(loc, scale, prior_loc, prior_scale):
    r"""KL(N(loc, scale^2) || N(prior_loc, prior_scale^2)), in nats, elementwise and differentiable.

    .. math::

        \log\frac{\sigma_0}{\sigma} + \frac{\sigma^2 + (\mu - \mu_0)^2}{2\sigma_0^2} - \frac12

    Args:
        loc: mean, shape [*batch].
        scale: standard deviation, positive, shape [*batch].
        prior_loc: the prior's mean, shape [*batch] or a scalar.
        prior_scale: the prior's standard deviation, positive, shape [*batch] or a scalar.

    Returns:
        A tensor of shape [*batch]. Sum it for independent components.

    Raises:
        TypeError: if the arguments are not numbers of one floating width.
        ValueError: if a scale is not positive, a number is not finite, or shapes differ.

    Example:
        >>> float(kl_divergence(1.0, 1.0, 0.0, 1.0))
        0.5
    """
    given = {"loc": loc, "scale": scale, "prior_loc": prior_loc, "prior_scale": prior_scale}
    given = _validation.float_tensors("kl_divergence arguments", given)
    shape = next((x.shape for x in given.values() if x.shape.rank), tf.TensorShape([]))
    for name, x in given.items():
        if x.shape.rank:
            _validation.same_shape(name, x, shape, "that of the other arguments, or a scalar")
    m, s, m0, s0 = given["loc"], given["scale"], given["prior_loc"], given["prior_scale"]
    for name in ("scale", "prior_scale"):
        _validation.positive(name, given[name])
    ratio, distance = s / s0, (m - m0) / s0
    return 0.5 * (ratio**2 + distance**2 - 1.0) - tf.math.log(ratio)
