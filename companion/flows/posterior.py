"""A flow as the approximate posterior of a variational autoencoder."""

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _networks, _validation, seeds
from companion.bijectors import AffineCoupling, InverseAutoregressive, Planar
from companion.flows.composition import Composition, Maps

__all__ = ["FlowPosterior"]


@keras.saving.register_keras_serializable(package="companion.flows")
class FlowPosterior(keras.layers.Layer):
    r"""q(z | x) made from a diagonal normal by maps that depend on x: a `posterior_family` of `companion.VAE`.

    .. math::

        z = g_L(\cdots g_1(\mu(x) + \sigma(x) \odot \epsilon;\, h(x)) \cdots;\, h(x)),
        \qquad \epsilon \sim N(0, I)

    The encoder gives mu, then rho with sigma = softplus(rho), then the context h. log q(z | x) of the model's own
    samples is had from the pass that makes them. No closed form of the KL term is known, so it is sampled.

    Args:
        transform: "inverse_autoregressive", "planar" or "coupling".
        layers: how many maps; the order of the latent coordinates turns round from one to the next.
        hidden: widths of the hidden layers of each map's net ("planar" has none).
        context_dim: the length of h.
        seed: an integer that decides the initial weights. None for one that Keras draws.
        **kwargs: those of `keras.layers.Layer`.

    Raises:
        ValueError: if an argument is out of its domain; later, if a coupling is to act on one latent dimension.

    Reference:
        Rezende and Mohamed (2015) for planar maps; Kingma et al. (2016) for inverse autoregressive ones. Chapter:
        Normalizing flows.

    Example:
        >>> from companion import VAE
        >>> vae = VAE([8], [8], latent_dim=2, posterior_family=FlowPosterior(layers=2, hidden=[8], seed=0), seed=0)
        >>> vae.elbo(np.eye(4, dtype="float32"), seed=0).shape
        TensorShape([4])
    """

    def __init__(self, transform="inverse_autoregressive", layers=4, hidden=(64,), context_dim=16, seed=None, **kwargs):
        super().__init__(**kwargs)
        kinds = ("inverse_autoregressive", "planar", "coupling")
        self.transform = _validation.one_of("transform", transform, kinds)
        self.num_maps = _validation.count("layers", layers)
        self.hidden = _networks.widths("hidden", hidden)
        if self.hidden is None:
            raise TypeError(_validation.message("hidden", "a list of widths", _validation.describe(hidden)))
        self.context_dim = _validation.count("context_dim", context_dim)
        self.seed = seeds.any_seed() if seed is None else _validation.count("seed", seed, minimum=0)
        self._latent_dim, self._maps, self._layers_inside = None, None, []

    def num_outputs(self, latent_dim):
        """latent_dim means, latent_dim numbers rho, and the context; the maps are made when this is asked first."""
        if self._latent_dim not in (None, latent_dim):
            raise ValueError(_validation.message("latent_dim", f"{self._latent_dim}, as before", latent_dim))
        if self._latent_dim is None:
            self._latent_dim = latent_dim
            bijectors = [self._map(place, latent_dim) for place in range(self.num_maps)]
            self._maps = Maps(bijectors, [[latent_dim]] * (self.num_maps + 1))
            self._layers_inside = [layer for b in bijectors for layer in b.layers]
        return 2 * latent_dim + self.context_dim

    def distribution(self, outputs):
        """q(z | x) from outputs of shape [batch, 2 latent_dim + context_dim]."""
        if outputs.dtype != self.variable_dtype:
            expected = f"the width of its model: make it with dtype={outputs.dtype.name!r}"
            raise TypeError(_validation.message("dtype of FlowPosterior", expected, self.variable_dtype))
        d = (outputs.shape[-1] - self.context_dim) // 2
        loc, rho, context = tf.split(outputs, [d, d, self.context_dim], axis=-1)
        smallest = np.finfo(outputs.dtype.as_numpy_dtype).tiny
        base = tfd.Independent(tfd.Normal(loc, tf.nn.softplus(rho) + smallest), reinterpreted_batch_ndims=1)
        return tfd.TransformedDistribution(base, Composition(self._maps.key, outputs.dtype, context, remembers=True))

    def standard_normal(self, latent_dim, dtype):
        """N(0, I)."""
        return tfd.Independent(tfd.Normal(tf.zeros([latent_dim], dtype), tf.ones([], dtype)), 1)

    def get_config(self):
        """The arguments that make this posterior anew."""
        plain = {name: getattr(self, name) for name in ("transform", "context_dim", "seed")}
        return {**super().get_config(), **plain, "layers": self.num_maps, "hidden": list(self.hidden)}

    def _map(self, place, latent_dim):
        given = {"context_dim": self.context_dim, "seed": seeds.integer(self.seed, place), "dtype": self.variable_dtype}
        if self.transform == "planar":
            return Planar(latent_dim, **given)
        if self.transform == "coupling":
            return AffineCoupling(latent_dim, self.hidden, reverse=place % 2 == 1, **given)
        order = "right_to_left" if place % 2 else "left_to_right"
        return InverseAutoregressive(latent_dim, self.hidden, order=order, **given)
