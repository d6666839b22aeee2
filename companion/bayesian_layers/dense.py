"""Densely connected layers with random weights."""

import keras

from companion import _validation
from companion.bayesian_layers.flipout import Flipout
from companion.bayesian_layers.layer import BayesianLayer
from companion.bayesian_layers.local_reparameterization import LocalReparameterization
from companion.bayesian_layers.reparameterization import Reparameterization

__all__ = ["DenseFlipout", "DenseLocalReparameterization", "DenseReparameterization"]


class Dense(BayesianLayer):
    """The linear map: inputs [batch, ..., num_inputs] to outputs [batch, ..., units]."""

    def __init__(self, units, activation=None, prior=None, posterior=None, num_examples=None, seed=None, **kwargs):
        super().__init__(activation, prior, posterior, num_examples, seed, **kwargs)
        self.units = self.num_outputs = _validation.count("units", units)
        self.supports_masking = True

    @property
    def ranks(self):
        """Of inputs: two or more."""
        return {"min_ndim": 2}

    def kernel_shape(self, input_shape):
        """(num_inputs, units)."""
        if len(input_shape) < 2 or input_shape[-1] is None:
            expected = "shape [batch, ..., num_inputs] with a known number of inputs"
            raise ValueError(_validation.message("inputs", expected, f"shape {list(input_shape)}"))
        return (input_shape[-1], self.units)

    def linear(self, x, kernel):
        """x kernel, shape [batch, ..., units]."""
        return keras.ops.matmul(x, kernel)

    def get_config(self):
        """What `from_config` needs to make this layer anew."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class DenseReparameterization(Reparameterization, Dense):
    r"""A dense layer with one draw of its weights a call (Bayes by Backprop).

    .. math::

        y = \mathrm{activation}\bigl(x\,(\mu + \sigma \odot \epsilon) + b\bigr), \qquad \epsilon \sim \mathcal{N}(0, I)

    All examples of a batch share the draw, so the gradient's noise does not fall with the batch size.

    Args:
        units: how many outputs, shape [batch, ..., units].
        activation: a Keras activation or its name.
        prior: a `tfd.Distribution` over one weight, or over the kernel's shape; None is the standard normal.
        posterior: a `MeanFieldNormal`, which says where q begins; None for its defaults.
        num_examples: how many training examples there are; without, the layer does not train.
        seed: an integer for the noise.
        **kwargs: bias, bias_prior and kl, as for `BayesianLayer`, and those of `keras.layers.Layer`.

    Raises:
        TypeError: if the prior is no distribution, or inputs are not floating-point numbers.
        ValueError: if an argument is none of the above.

    Reference:
        Blundell, Cornebise, Kavukcuoglu and Wierstra (2015). Chapter: Bayesian neural networks.

    Example:
        >>> import tensorflow as tf
        >>> layer = DenseReparameterization(3, num_examples=1000, seed=0)
        >>> layer(tf.ones([5, 2])).shape
        TensorShape([5, 3])
        >>> bool(layer.losses[0] == layer.kl_divergence() / 1000)
        True
    """


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class DenseLocalReparameterization(LocalReparameterization, Dense):
    r"""A dense layer whose pre-activations are drawn in place of its weights.

    .. math::

        y = \mathrm{activation}\Bigl(x\mu + b + \sqrt{x^2\sigma^2 + \sigma_b^2} \odot \epsilon\Bigr),
        \qquad \epsilon \sim \mathcal{N}(0, I)

    On vectors, each example's outputs are as if it had a draw of the weights of its own. On sequences, where the
    positions of an example share the weights, only each position's distribution is right, not their dependence.

    Args:
        units: how many outputs, shape [batch, ..., units].
        activation: a Keras activation or its name.
        prior: a `tfd.Distribution` over one weight, or over the kernel's shape; None is the standard normal.
        posterior: a `MeanFieldNormal`, which says where q begins; None for its defaults.
        num_examples: how many training examples there are; without, the layer does not train.
        seed: an integer for the noise.
        **kwargs: bias, bias_prior and kl, as for `BayesianLayer`, and those of `keras.layers.Layer`.

    Raises:
        TypeError: if the prior is no distribution, or inputs are not floating-point numbers.
        ValueError: if an argument is none of the above.

    Reference:
        Kingma, Salimans and Welling (2015). Chapter: Bayesian neural networks.

    Example:
        >>> import tensorflow as tf
        >>> layer = DenseLocalReparameterization(3, activation="relu", num_examples=1000, seed=0)
        >>> layer(tf.ones([5, 2])).shape
        TensorShape([5, 3])
    """


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class DenseFlipout(Flipout, Dense):
    r"""A dense layer with one draw of the weights' noise a call, and signs for every example.

    .. math::

        y_i = \mathrm{activation}\bigl(x_i\mu + b + [(x_i \odot r_i)(\sigma \odot \epsilon)] \odot s_i\bigr),
        \qquad \epsilon \sim \mathcal{N}(0, I), \quad r_i, s_i \in \{-1, 1\}

    Each example's outputs are as if it had a draw of the weights of its own; given the inputs, the noise of different
    examples is uncorrelated.

    Args:
        units: how many outputs, shape [batch, ..., units].
        activation: a Keras activation or its name.
        prior: a `tfd.Distribution` over one weight, or over the kernel's shape; None is the standard normal.
        posterior: a `MeanFieldNormal`, which says where q begins; None for its defaults.
        num_examples: how many training examples there are; without, the layer does not train.
        seed: an integer for the noise.
        **kwargs: bias, bias_prior and kl, as for `BayesianLayer`, and those of `keras.layers.Layer`.

    Raises:
        TypeError: if the prior is no distribution, or inputs are not floating-point numbers.
        ValueError: if an argument is none of the above.

    Reference:
        Wen, Vicol, Ba, Tran and Grosse (2018). Chapter: Bayesian neural networks.

    Example:
        >>> import tensorflow as tf
        >>> layer = DenseFlipout(3, num_examples=1000, seed=0)
        >>> layer(tf.ones([5, 2])).shape
        TensorShape([5, 3])
    """
