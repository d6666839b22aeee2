"""The evidence lower bound."""

import tensorflow as tf

from companion import _validation
from companion.bounds.samples import draw_samples, evaluate, log_density, score

__all__ = ["GRADIENTS", "elbo"]

GRADIENTS = ("pathwise", "sticking_the_landing", "score_function")


def elbo(log_joint, posterior, num_samples=1, seed=None, gradient="pathwise"):
    r"""Estimates the ELBO, one number for each member of the batch.

    .. math::

        \operatorname{ELBO}(x) = \mathbb{E}_{q(z \mid x)}[\log p(x, z) - \log q(z \mid x)]
        = \log p(x) - \mathrm{KL}(q(z \mid x) \,\|\, p(z \mid x)) \le \log p(x)

    The estimate is the mean over the samples, unbiased, and so is its gradient for each choice of `gradient`, where
    the conditions of that estimator hold. "sticking_the_landing" leaves out the score of q at fixed z,
    whose mean is zero: its gradient with respect to the posterior's parameters has variance zero where q is the exact
    posterior, and elsewhere may have more than the plain one. "score_function" multiplies the score by log w.

    Args:
        log_joint: a callable from z, shape [num_samples, *batch, *event], to log p(x, z), shape
            [num_samples, *batch]. It may use variables; their gradients are those of the bound.
        posterior: q(z | x), a `tfd.Distribution` of batch shape [*batch] and event shape [*event].
        num_samples: how many samples of z for each member of the batch.
        seed: as for `companion.seeds.as_seed`.
        gradient: "pathwise", "sticking_the_landing" or "score_function".

    Returns:
        A tensor of shape [*batch], in nats.

    Raises:
        TypeError: if the posterior can't be reparameterized and the gradient needs it, or log_joint returns no
            floats of the posterior's width.
        ValueError: if an argument is out of its domain, log_joint returns a wrong shape, or a number comes out
            that is not finite.

    Reference:
        Kingma and Welling (2014); Roeder, Wu and Duvenaud (2017) for sticking the landing. Chapter: Variational
        autoencoders.

    Example:
        With z ~ N(0, 1) and x | z ~ N(z, 1) the evidence of x = 1 is N(1; 0, 2), and q = N(1/2, 1/2) is exact.

        >>> from tensorflow_probability import distributions as tfd
        >>> log_joint = lambda z: tfd.Normal(0.0, 1.0).log_prob(z) + tfd.Normal(z, 1.0).log_prob(1.0)
        >>> bound = elbo(log_joint, tfd.Normal(0.5, 0.5**0.5), num_samples=3, seed=0)
        >>> evidence = tfd.Normal(0.0, 2.0**0.5).log_prob(1.0)
        >>> round(float(bound), 4), round(float(evidence), 4)
        (-1.5155, -1.5155)
    """
    _validation.function("log_joint", log_joint)
    _validation.one_of("gradient", gradient, GRADIENTS)
    z = draw_samples(posterior, num_samples, seed, gradient)
    z, log_q = log_density(posterior, z, gradient)
    log_weights = _validation.finite("log_joint(z) - log q(z)", evaluate(log_joint, z, log_q) - log_q)
    return mean(log_weights, log_q, gradient)


def mean(values, log_q, gradient):
    """The mean over the samples of f(z), whose gradient includes, where there is no path, the score of q."""
    if gradient == "score_function":
        values = values + score(values, log_q)
    return tf.reduce_mean(values, axis=0)
