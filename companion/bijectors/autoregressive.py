"""Autoregressive maps: each coordinate is moved by a function of those before it."""

import keras
import numpy as np
import tensorflow as tf

from companion import _networks, _validation, seeds
from companion.bijectors import scalar_maps
from companion.bijectors.base import Bijector, width
from companion.bijectors.masked import MaskedNetwork

__all__ = ["InverseAutoregressive", "MaskedAutoregressive"]


class _Autoregressive(Bijector):
    """What both share: a masked net, and the two ways to use it, in one pass or coordinate after coordinate."""

    def __init__(
        self,
        dim,
        hidden=(64, 64),
        transform="affine",
        order="left_to_right",
        bins=8,
        bound=5.0,
        context_dim=None,
        seed=None,
        dtype=None,
        name=None,
    ):
        parameters = locals()
        dim = _validation.count("dim", dim)
        if context_dim is not None:
            context_dim = _validation.count("context_dim", context_dim)
        self.seed = seeds.any_seed() if seed is None else _validation.count("seed", seed, minimum=0)
        self.hidden, self.transform, self.order = _networks.widths("hidden", hidden), transform, order
        if self.hidden is None:
            raise TypeError(_validation.message("hidden", "a list of widths", _validation.describe(hidden)))
        self._map = scalar_maps.find(transform, bins, bound)
        self._bins, self._bound = bins, bound
        self._sequence = _sequence(order, dim)
        places = np.argsort(self._sequence)
        net = MaskedNetwork(dim, self._map.num_parameters, self.hidden, places, context_dim, self.seed, width(dtype))
        super().__init__(dim, [net], parameters, context_dim, width(dtype), name)

    def get_config(self):
        """The arguments that make this bijector anew."""
        plain = {name: getattr(self, name) for name in ("dim", "transform", "context_dim", "seed")}
        order = self.order if isinstance(self.order, str) else [int(i) for i in self.order]
        own = {"hidden": list(self.hidden), "order": order, "bins": self._bins, "bound": self._bound}
        return {**plain, **own, "dtype": self.dtype.name}

    def _at_once(self, values, context, scalar_map):
        """Moves every coordinate by the parameters that the net finds from the values themselves."""
        moved, log_derivatives = scalar_map(values, self._scalar_parameters(values, context))
        return moved, tf.reduce_sum(log_derivatives, axis=-1)

    def _one_by_one(self, values, context, scalar_map):
        """Moves every coordinate by the parameters that the net finds from the coordinates moved before it."""
        sequence = tf.constant(self._sequence, tf.int32)

        def move_next(i, moved):
            proposed, _ = scalar_map(values, self._scalar_parameters(moved, context))
            return i + 1, tf.where(tf.range(self.dim) == sequence[i], proposed, moved)

        start, last = (tf.constant(0), tf.zeros_like(values)), self.dim - 1
        _, moved = tf.while_loop(
            lambda i, _: i < last, move_next, start, maximum_iterations=last, parallel_iterations=1
        )
        moved, log_derivatives = scalar_map(values, self._scalar_parameters(moved, context))
        return moved, tf.reduce_sum(log_derivatives, axis=-1)

    def _scalar_parameters(self, values, context):
        return self.layers[0](values if context is None else tf.concat([values, context], axis=-1))


@keras.saving.register_keras_serializable(package="companion.bijectors")
class MaskedAutoregressive(_Autoregressive):
    r"""Scales and shifts, or bends, every coordinate by functions of the data coordinates before it.

    .. math::

        y_i = x_i\, e^{s_i(y_{<i})} + t_i(y_{<i}), \qquad
        \log\Bigl|\det\frac{\partial y}{\partial x}\Bigr| = \sum_i s_i(y_{<i})

    **Cost.** The inverse, and so the density of data, takes one pass of the net: all of y is there. The map itself, and
    so a sample, takes dim passes, one after another, for y_i needs the coordinates before it.

    Args:
        dim: the length of the vectors.
        hidden: widths of the hidden layers of the masked net; at least dim - 1, or some of the connections that the
            order allows are missing.
        transform: "affine", as above, or "spline", a rational-quadratic one on [-bound, bound].
        order: "left_to_right", "right_to_left", or the coordinates' numbers, the first to be decided first.
        bins: how many bins a spline has.
        bound: half the length of a spline's interval.
        context_dim: the length of a context vector, which every coordinate sees; None for none.
        seed: an integer that decides the net's initial weights. None for one that Keras draws.
        dtype: "float32" or "float64"; None for Keras' floatx.

    Raises:
        TypeError: if hidden is not a list of widths.
        ValueError: if an argument is out of its domain.

    Reference:
        Papamakarios, Pavlakou and Murray (2017). Chapter: Normalizing flows.

    Example:
        >>> bijector = MaskedAutoregressive(3, hidden=[8], seed=0)
        >>> bijector
        <MaskedAutoregressive(dim=3); passes of its net: forward 3, inverse 1>
    """

    inverse_passes = 1

    @property
    def forward_passes(self):
        """dim: a sample needs a pass for each coordinate."""
        return self.dim

    def _forward_pass(self, x, context):
        return self._one_by_one(x, context, self._map.forward)

    def _inverse_pass(self, y, context):
        return self._at_once(y, context, self._map.inverse)


@keras.saving.register_keras_serializable(package="companion.bijectors")
class InverseAutoregressive(_Autoregressive):
    r"""Scales and shifts, or bends, every coordinate by functions of the noise coordinates before it.

    .. math::

        y_i = x_i\, e^{s_i(x_{<i})} + t_i(x_{<i}), \qquad
        \log\Bigl|\det\frac{\partial y}{\partial x}\Bigr| = \sum_i s_i(x_{<i})

    **Cost.** The map, and so a sample with its density, takes one pass of the net: all of x is there. The inverse, and
    so the density of data from elsewhere, takes dim passes, one after another.

    Arguments, errors and references are those of `MaskedAutoregressive`.

    Reference:
        Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling (2016). Chapter: Normalizing flows.

    Example:
        >>> bijector = InverseAutoregressive(3, hidden=[8], seed=0)
        >>> bijector
        <InverseAutoregressive(dim=3); passes of its net: forward 1, inverse 3>
    """

    forward_passes = 1

    @property
    def inverse_passes(self):
        """dim: the noise of a point needs a pass for each coordinate."""
        return self.dim

    def _forward_pass(self, x, context):
        return self._at_once(x, context, self._map.forward)

    def _inverse_pass(self, y, context):
        return self._one_by_one(y, context, self._map.inverse)


def _sequence(order, dim):
    """The coordinates' numbers in the order in which they are decided."""
    if isinstance(order, str):
        _validation.one_of("order", order, ("left_to_right", "right_to_left"))
        return np.arange(dim) if order == "left_to_right" else np.arange(dim)[::-1].copy()
    sequence = np.asarray(order)
    if sequence.dtype.kind not in "iu" or sorted(sequence.ravel().tolist()) != list(range(dim)) or sequence.ndim != 1:
        expected = f'"left_to_right", "right_to_left", or the numbers 0 to {dim - 1} in some order'
        raise ValueError(_validation.message("order", expected, _validation.describe(order)))
    return sequence
