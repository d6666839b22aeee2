"""The approximate posterior q of a layer's weights: independent normal distributions."""

import math
import numbers
from typing import NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from companion import _validation, seeds

__all__ = ["FanInConstant", "MeanFieldNormal", "NormalValues", "NormalWeights", "PointValues", "PointWeights"]


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class FanInConstant(keras.initializers.Initializer):
    r"""One number for all weights of an array, gain / sqrt(fan_in).

    Inputs of size one then get noise of standard deviation `gain` from a layer's weights together, however many they
    are. fan_in is the product of all lengths of the shape but the last; for a bias it is 1.

    Args:
        gain: a positive number.

    Raises:
        ValueError: if `gain` is not a positive number.

    Example:
        >>> FanInConstant(0.1)([4, 2], "float32").numpy().tolist()[0]
        [0.05000000074505806, 0.05000000074505806]
    """

    def __init__(self, gain=0.1):
        self.gain = _validation.positive_number("gain", gain)

    def __call__(self, shape, dtype=None):
        """A tensor of `shape`."""
        value = self.gain / math.sqrt(math.prod(shape[:-1]))
        return tf.fill(shape, tf.constant(value, dtype or keras.config.floatx()))

    def get_config(self):
        """What `from_config` needs."""
        return {"gain": self.gain}


@keras.saving.register_keras_serializable(package="companion.bayesian_layers")
class MeanFieldNormal:
    r"""How the independent normal distributions of a layer's weights begin.

    .. math::

        q(w) = \prod_j \mathcal{N}(w_j;\, \mu_j, \sigma_j^2), \qquad \sigma_j = \log(1 + e^{\rho_j})

    mu and rho are what is trained.

    Args:
        loc_initializer: where mu begins in the kernel, a Keras initializer or its name; a bias begins at 0.
        scale_initializer: where sigma begins: an initializer of positive numbers, or one positive number. None is
            `FanInConstant(0.1)`.

    Raises:
        ValueError: if an initializer is unknown, or a scale is not positive.

    Reference:
        Blundell, Cornebise, Kavukcuoglu and Wierstra (2015). Chapter: Bayesian neural networks.

    Example:
        >>> MeanFieldNormal(scale_initializer=0.05).get_config()["scale_initializer"]
        0.05
    """

    def __init__(self, loc_initializer="glorot_uniform", scale_initializer=None):
        self.loc_initializer = _initializer("loc_initializer", loc_initializer)
        if scale_initializer is None:
            scale_initializer = FanInConstant()
        if isinstance(scale_initializer, numbers.Real):
            self._scale = _validation.positive_number("scale_initializer", scale_initializer)
            self.scale_initializer = keras.initializers.Constant(self._scale)
        else:
            self._scale = self.scale_initializer = _initializer("scale_initializer", scale_initializer)

    def add_weights(self, layer, name, shape, loc_initializer=None):
        """Makes a layer's variables `<name>_loc` and `<name>_rho`.

        Args:
            layer: a Keras layer.
            name: of the weights, such as "kernel".
            shape: of the weights.
            loc_initializer: None for that of this object.

        Returns:
            `NormalWeights`.
        """

        def rho(shape, dtype=None):
            scale = tf.convert_to_tensor(self.scale_initializer(shape, dtype=dtype))
            return tfp.math.softplus_inverse(_validation.positive("scale_initializer", scale))

        loc_initializer = loc_initializer or self.loc_initializer
        kept = {"shape": shape, "dtype": layer.variable_dtype, "autocast": False}
        loc = layer.add_weight(initializer=loc_initializer, name=f"{name}_loc", **kept)
        return NormalWeights(loc, layer.add_weight(initializer=rho, name=f"{name}_rho", **kept))

    def get_config(self):
        """What `from_config` needs."""
        scale = self._scale if isinstance(self._scale, float) else keras.initializers.serialize(self._scale)
        return {"loc_initializer": keras.initializers.serialize(self.loc_initializer), "scale_initializer": scale}

    @classmethod
    def from_config(cls, config):
        """An object with the configuration of another."""
        return cls(**config)


class NormalWeights:
    """The variables of random weights w = loc + scale eps.

    Args:
        loc: a Keras variable.
        rho: a Keras variable of the same shape; scale = softplus(rho).
    """

    def __init__(self, loc, rho):
        self.loc, self.rho = loc, rho
        self.shape = tuple(loc.shape)

    def now(self):
        """The values, which a layer reads once a call."""
        return NormalValues(tf.convert_to_tensor(self.loc.value), tf.nn.softplus(self.rho.value))

    def set_loc(self, values):
        """Gives mu new values."""
        self.loc.assign(values)

    def distribution(self):
        """q, whose parameters are the variables themselves: it changes as they do."""
        scale = tfp.util.DeferredTensor(self.rho.value, tf.nn.softplus)
        return tfd.Independent(tfd.Normal(self.loc.value, scale), len(self.shape))


class PointWeights:
    """The variable of weights that are not random.

    Args:
        variable: a Keras variable.
    """

    def __init__(self, variable):
        self._variable = variable

    def now(self):
        """The values, which a layer reads once a call."""
        return PointValues(tf.convert_to_tensor(self._variable.value))

    def set_loc(self, values):
        """Gives the weights new values."""
        self._variable.assign(values)


class NormalValues(NamedTuple):
    """Tensors loc and scale of random weights."""

    loc: tf.Tensor
    scale: tf.Tensor

    def noise(self, seed):
        """scale eps: a draw, less its mean."""
        return self.scale * seeds.normal(self.loc.shape, seed, self.loc.dtype)

    def draw(self, seed):
        """One draw of the weights."""
        return self.loc + self.noise(seed)


class PointValues(NamedTuple):
    """A tensor of weights that are not random."""

    loc: tf.Tensor

    def draw(self, seed):
        """The weights, whatever the seed."""
        return self.loc


def _initializer(argument, value):
    try:
        found = keras.initializers.get(value)
    except (TypeError, ValueError) as error:
        expected = "a Keras initializer or the name of one"
        raise ValueError(_validation.message(argument, expected, _validation.describe(value))) from error
    if not callable(found):
        raise ValueError(_validation.message(argument, "a Keras initializer", _validation.describe(value)))
    return found
