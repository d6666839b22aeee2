"""Convolutions with random weights, over one axis (sequences) and two (images), channels last."""

import keras

from companion import _validation
from companion.bayesian_layers.flipout import Flipout
from companion.bayesian_layers.layer import BayesianLayer
from companion.bayesian_layers.local_reparameterization import LocalReparameterization
from companion.bayesian_layers.reparameterization import Reparameterization

__all__ = [
    "Conv1DFlipout",
    "Conv1DLocalReparameterization",
    "Conv1DReparameterization",
    "Conv2DFlipout",
    "Conv2DLocalReparameterization",
    "Conv2DReparameterization",
]


class Convolution(BayesianLayer):
    """The linear map: inputs [batch, *positions, channels] to outputs [batch, *positions, filters]; `rank` axes."""

    rank = None
    paddings = ("valid", "same")

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        dilation_rate=1,
        activation=None,
        prior=None,
        posterior=None,
        num_examples=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(activation, prior, posterior, num_examples, seed, **kwargs)
        self.filters = self.num_outputs = _validation.count("filters", filters)
        self.kernel_size = self._lengths("kernel_size", kernel_size)
        self.strides = self._lengths("strides", strides)
        self.padding = _validation.one_of("padding", padding, self.paddings)
        self.dilation_rate = self._lengths("dilation_rate", dilation_rate)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            expected = "1 along all axes where dilation_rate is not 1"
            raise ValueError(_validation.message("strides", expected, self.strides))

    @property
    def ranks(self):
        """Of inputs: batch, positions, channels."""
        return {"ndim": self.rank + 2}

    def kernel_shape(self, input_shape):
        """(*kernel_size, channels, filters)."""
        if len(input_shape) != self.rank + 2 or input_shape[-1] is None:
            axes = {1: "positions", 2: "height, width"}[self.rank]
            expected = f"shape [batch, {axes}, channels] with a known number of channels"
            raise ValueError(_validation.message("inputs", expected, f"shape {list(input_shape)}"))
        for length, size, rate in zip(input_shape[1:-1], self.kernel_size, self.dilation_rate, strict=True):
            if self.padding == "valid" and length is not None and length < rate * (size - 1) + 1:
                expected = f"at least {rate * (size - 1) + 1} positions along every axis, or another padding"
                raise ValueError(_validation.message("inputs", expected, f"shape {list(input_shape)}"))
        return (*self.kernel_size, input_shape[-1], self.filters)

    def linear(self, x, kernel):
        """The convolution, shape [batch, *positions, filters]."""
        padding = self.padding
        if padding == "causal":
            before = self.dilation_rate[0] * (self.kernel_size[0] - 1)
            x, padding = keras.ops.pad(x, [[0, 0], [before, 0], [0, 0]]), "valid"
        return keras.ops.conv(x, kernel, self.strides, padding, "channels_last", self.dilation_rate)

    def get_config(self):
        """What `from_config` needs to make this layer anew."""
        own = ("filters", "kernel_size", "strides", "padding", "dilation_rate")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}

    def _lengths(self, argument, value):
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * self.rank
        if len(values) != self.rank:
            expected = f"an integer or {self.rank} of them"
            raise ValueError(_validation.message(argument, expected, _validation.describe(value)))
        return tuple(_validation.count(argument, length) for length in values)


class Conv1D(Convolution):
    """Over one axis."""

    rank = 1
    paddings = ("valid", "same", "causal")


class Conv2D(Convolution):
    """Over two axes."""

    rank = 2


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class Conv1DReparameterization(Reparameterization, Conv1D):
    r"""A convolution over sequences with one draw of its weights a call (Bayes by Backprop).

    .. math::

        y = \mathrm{activation}\bigl((\mu + \sigma \odot \epsilon) * x + b\bigr),
        \qquad \epsilon \sim \mathcal{N}(0, I)

    All examples of a batch share the draw, so the gradient's noise does not fall with the batch size.

    Args:
        filters: how many outputs at a position, shape [batch, length, filters].
        kernel_size: an integer.
        strides: an integer.
        padding: "valid", "same" or "causal".
        dilation_rate: an integer.
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
        Blundell, Cornebise, Kavukcuoglu and Wierstra (2015).

    Example:
        >>> import tensorflow as tf
        >>> Conv1DReparameterization(3, kernel_size=3, seed=0)(tf.ones([5, 8, 2])).shape
        TensorShape([5, 6, 3])
    """


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class Conv1DLocalReparameterization(LocalReparameterization, Conv1D):
    r"""A convolution over sequences whose pre-activations are drawn in place of its weights.

    .. math::

        y = \mathrm{activation}\Bigl(\mu * x + b + \sqrt{\sigma^2 * x^2 + \sigma_b^2} \odot \epsilon\Bigr),
        \qquad \epsilon \sim \mathcal{N}(0, I)

    Mean and variance at every position are exact. Positions of one example are drawn independently, though weights that
    they share make them dependent: an approximation, where `Conv1DFlipout` is exact.

    Args:
        filters: how many outputs at a position, shape [batch, length, filters].
        kernel_size: an integer.
        strides: an integer.
        padding: "valid", "same" or "causal".
        dilation_rate: an integer.
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
        Kingma, Salimans and Welling (2015); for convolutions, Molchanov, Ashukha and Vetrov (2017).

    Example:
        >>> import tensorflow as tf
        >>> Conv1DLocalReparameterization(3, kernel_size=3, seed=0)(tf.ones([5, 8, 2])).shape
        TensorShape([5, 6, 3])
    """


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class Conv1DFlipout(Flipout, Conv1D):
    r"""A convolution over sequences with one draw of the weights' noise a call, and signs for every example.

    .. math::

        y_i = \mathrm{activation}\bigl(\mu * x_i + b + [(\sigma \odot \epsilon) * (x_i \odot r_i)] \odot s_i\bigr),
        \qquad r_i, s_i \in \{-1, 1\}

    The signs r_i of the channels and s_i of the filters are the same at all positions, so each example's outputs are as
    if it had a draw of the weights of its own; given the inputs, the noise of different examples is uncorrelated.

    Args:
        filters: how many outputs at a position, shape [batch, length, filters].
        kernel_size: an integer.
        strides: an integer.
        padding: "valid", "same" or "causal".
        dilation_rate: an integer.
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
        Wen, Vicol, Ba, Tran and Grosse (2018).

    Example:
        >>> import tensorflow as tf
        >>> Conv1DFlipout(3, kernel_size=3, seed=0)(tf.ones([5, 8, 2])).shape
        TensorShape([5, 6, 3])
    """


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class Conv2DReparameterization(Reparameterization, Conv2D):
    r"""A convolution over images with one draw of its weights a call (Bayes by Backprop).

    .. math::

        y = \mathrm{activation}\bigl((\mu + \sigma \odot \epsilon) * x + b\bigr),
        \qquad \epsilon \sim \mathcal{N}(0, I)

    All examples of a batch share the draw, so the gradient's noise does not fall with the batch size.

    Args:
        filters: how many outputs at a position, shape [batch, height, width, filters].
        kernel_size: an integer, or one for each axis.
        strides: an integer, or one for each axis.
        padding: "valid" or "same".
        dilation_rate: an integer, or one for each axis.
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
        Blundell, Cornebise, Kavukcuoglu and Wierstra (2015).

    Example:
        >>> import tensorflow as tf
        >>> Conv2DReparameterization(3, kernel_size=3, seed=0)(tf.ones([5, 8, 8, 2])).shape
        TensorShape([5, 6, 6, 3])
    """


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class Conv2DLocalReparameterization(LocalReparameterization, Conv2D):
    r"""A convolution over images whose pre-activations are drawn in place of its weights.

    .. math::

        y = \mathrm{activation}\Bigl(\mu * x + b + \sqrt{\sigma^2 * x^2 + \sigma_b^2} \odot \epsilon\Bigr),
        \qquad \epsilon \sim \mathcal{N}(0, I)

    Mean and variance at every position are exact. Positions of one example are drawn independently, though weights that
    they share make them dependent: an approximation, where `Conv2DFlipout` is exact.

    Args:
        filters: how many outputs at a position, shape [batch, height, width, filters].
        kernel_size: an integer, or one for each axis.
        strides: an integer, or one for each axis.
        padding: "valid" or "same".
        dilation_rate: an integer, or one for each axis.
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
        Kingma, Salimans and Welling (2015); for convolutions, Molchanov, Ashukha and Vetrov (2017).

    Example:
        >>> import tensorflow as tf
        >>> Conv2DLocalReparameterization(3, kernel_size=3, seed=0)(tf.ones([5, 8, 8, 2])).shape
        TensorShape([5, 6, 6, 3])
    """


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class Conv2DFlipout(Flipout, Conv2D):
    r"""A convolution over images with one draw of the weights' noise a call, and signs for every example.

    .. math::

        y_i = \mathrm{activation}\bigl(\mu * x_i + b + [(\sigma \odot \epsilon) * (x_i \odot r_i)] \odot s_i\bigr),
        \qquad r_i, s_i \in \{-1, 1\}

    The signs r_i of the channels and s_i of the filters are the same at all positions, so each example's outputs are as
    if it had a draw of the weights of its own; given the inputs, the noise of different examples is uncorrelated.

    Args:
        filters: how many outputs at a position, shape [batch, height, width, filters].
        kernel_size: an integer, or one for each axis.
        strides: an integer, or one for each axis.
        padding: "valid" or "same".
        dilation_rate: an integer, or one for each axis.
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
        Wen, Vicol, Ba, Tran and Grosse (2018).

    Example:
        >>> import tensorflow as tf
        >>> Conv2DFlipout(3, kernel_size=3, seed=0)(tf.ones([5, 8, 8, 2])).shape
        TensorShape([5, 6, 6, 3])
    """
