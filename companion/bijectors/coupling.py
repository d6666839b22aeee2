"""Coupling: some coordinates pass unchanged, and decide what happens to the others."""

import keras
import tensorflow as tf

from companion import _networks, _validation, seeds
from companion.bijectors import scalar_maps
from companion.bijectors.base import Bijector, width

__all__ = ["AffineCoupling", "SplineCoupling"]


class _Coupling(Bijector):
    """What both couplings share: a net of the coordinates that stay gives the parameters of a scalar map."""

    forward_passes = inverse_passes = 1

    def __init__(self, scalar_map, dim, hidden, reverse, net, context_dim, seed, dtype, name, parameters):
        dim = _validation.count("dim", dim, minimum=2)
        if context_dim is not None:
            context_dim = _validation.count("context_dim", context_dim)
        self.reverse = _validation.true_or_false("reverse", reverse)
        self.seed = seeds.any_seed() if seed is None else _validation.count("seed", seed, minimum=0)
        self.has_users_net = net is not None
        self.hidden, self._given = _networks.widths("hidden", hidden), net
        self._map, self._num_kept = scalar_map, dim // 2
        num_moved, policy = dim - self._num_kept, width(dtype)
        num_inputs = self._num_kept + (context_dim or 0)
        num_outputs = scalar_map.num_parameters * num_moved
        if net is None:
            sizes = [*self.hidden, num_outputs]
            net = keras.Sequential(_networks.dense(sizes, policy, (self.seed,), last_scale=0.1, num_inputs=num_inputs))
            net.dtype_policy = policy
        elif not isinstance(net, keras.layers.Layer):
            raise TypeError(_validation.message("net", "a Keras model or layer, or None", _validation.describe(net)))
        meaning = "the scalar maps' parameters"
        outputs = _networks.require_outputs("net", net, (num_inputs,), (num_outputs,), meaning)
        widths = sorted({outputs.dtype, *(declared.dtype for declared in getattr(net, "inputs", None) or [])})
        if widths != [policy]:
            raise TypeError(_validation.message("net", f"a net of dtype {policy}", ", ".join(widths)))
        super().__init__(dim, [net], parameters, context_dim, policy, name)

    def get_config(self):
        """The arguments that make this bijector anew."""
        net = self._given if self._given is None else keras.saving.serialize_keras_object(self._given)
        plain = {name: getattr(self, name) for name in ("dim", "reverse", "context_dim", "seed")}
        return {**plain, "hidden": list(self.hidden), "net": net, "dtype": self.dtype.name}

    @classmethod
    def from_config(cls, config):
        """A bijector with the configuration of another, untrained."""
        net = config["net"]
        return cls(**{**config, "net": net and keras.saving.deserialize_keras_object(net)})

    def _forward_pass(self, x, context):
        return self._move(x, context, self._map.forward)

    def _inverse_pass(self, y, context):
        return self._move(y, context, self._map.inverse)

    def _move(self, values, context, scalar_map):
        kept, moved = self._split(values)
        moved, log_derivatives = scalar_map(moved, self._scalar_parameters(kept, context))
        parts = [moved, kept] if self.reverse else [kept, moved]
        return tf.concat(parts, axis=-1), tf.reduce_sum(log_derivatives, axis=-1)

    def _split(self, values):
        sizes = [self._num_kept, self.dim - self._num_kept]
        first, second = tf.split(values, sizes[::-1] if self.reverse else sizes, axis=-1)
        return (second, first) if self.reverse else (first, second)

    def _scalar_parameters(self, kept, context):
        """[..., P, num_moved]."""
        inputs = kept if context is None else tf.concat([kept, context], axis=-1)
        outputs = self.layers[0](tf.reshape(inputs, [-1, inputs.shape[-1]]))
        shape = [self._map.num_parameters, self.dim - self._num_kept]
        return tf.reshape(tf.cast(outputs, self.dtype), tf.concat([tf.shape(kept)[:-1], shape], axis=0))


@keras.saving.register_keras_serializable(package="companion.bijectors")
class AffineCoupling(_Coupling):
    r"""Scales and shifts one half of the coordinates by functions of the other half.

    .. math::

        y_a = x_a, \qquad y_b = x_b \odot e^{s(x_a)} + t(x_a), \qquad
        \log\Bigl|\det\frac{\partial y}{\partial x}\Bigr| = \sum_i s_i(x_a)

    a are the first dim // 2 coordinates, b the rest. The Jacobian is triangular whatever the net is, and the inverse
    costs as much as the map. With :math:`s = 5\tanh(\tilde s/5)` one coupling scales by 150 at most.

    Args:
        dim: the length of the vectors, at least 2.
        hidden: widths of the hidden layers of the net that gives t and s.
        reverse: whether the last dim // 2 coordinates stay instead of the first.
        net: in the place of `hidden`, a Keras model from [batch, dim // 2 + context_dim] to
            [batch, 2 (dim - dim // 2)]: all t, then all s. It is called as in
            inference also in training: a density depends neither on chance (dropout) nor on the batch (batch
            normalisation, which keeps the statistics it came with).
        context_dim: the length of a context vector, which the net takes beside the coordinates; None for none.
        seed: an integer that decides the net's initial weights. None for one that Keras draws.
        dtype: "float32" or "float64"; None for Keras' floatx.

    Raises:
        TypeError: if hidden or net is of the wrong kind.
        ValueError: if an argument is out of its domain, or the net does not fit.

    Reference:
        Dinh, Sohl-Dickstein and Bengio (2017), section 3. Chapter: Normalizing flows.

    Example:
        >>> coupling = AffineCoupling(3, hidden=[8], seed=0)
        >>> y, log_det = coupling.forward_and_log_det(tf.constant([[1.0, 2.0, 3.0]]))
        >>> float(y[0, 0]), log_det.shape
        (1.0, TensorShape([1]))
    """

    def __init__(
        self,
        dim,
        hidden=(64, 64),
        reverse=False,
        net=None,
        context_dim=None,
        seed=None,
        dtype=None,
        name=None,
    ):
        parameters = locals()
        super().__init__(scalar_maps.Affine(), dim, hidden, reverse, net, context_dim, seed, dtype, name, parameters)


@keras.saving.register_keras_serializable(package="companion.bijectors")
class SplineCoupling(_Coupling):
    r"""Bends one half of the coordinates by monotone splines whose shape is a function of the other half.

    .. math::

        y_a = x_a, \qquad y_b = \operatorname{spline}(x_b; \text{knots}(x_a)), \qquad
        \log\Bigl|\det\frac{\partial y}{\partial x}\Bigr| = \sum_i \log \frac{\mathrm dy_i}{\mathrm dx_i}

    The rational-quadratic spline acts on [-bound, bound] and is the identity outside, so values and log-determinants
    are finite for all finite x. Data should be scaled to lie in the interval, mostly.

    Args:
        dim: the length of the vectors, at least 2.
        hidden: widths of the hidden layers of the net that gives the splines' parameters.
        bins: how many bins a spline has.
        bound: half the length of the interval.
        reverse: whether the last dim // 2 coordinates stay instead of the first.
        net: in the place of `hidden`, a Keras model from [batch, dim // 2 + context_dim] to
            [batch, (3 bins - 1) (dim - dim // 2)]. It is called as in
            inference also in training: a density depends neither on chance (dropout) nor on the batch (batch
            normalisation, which keeps the statistics it came with).
        context_dim: the length of a context vector, which the net takes beside the coordinates; None for none.
        seed: an integer that decides the net's initial weights. None for one that Keras draws.
        dtype: "float32" or "float64"; None for Keras' floatx.

    Raises:
        TypeError: if hidden or net is of the wrong kind.
        ValueError: if an argument is out of its domain, or the net does not fit.

    Reference:
        Durkan, Bekasov, Murray and Papamakarios (2019). Chapter: Normalizing flows.

    Example:
        >>> coupling = SplineCoupling(2, hidden=[8], seed=0)
        >>> coupling.forward(tf.constant([[0.5, 1e6]])).numpy().tolist()  # the identity far out
        [[0.5, 1000000.0]]
    """

    def __init__(
        self,
        dim,
        hidden=(64, 64),
        bins=8,
        bound=5.0,
        reverse=False,
        net=None,
        context_dim=None,
        seed=None,
        dtype=None,
        name=None,
    ):
        parameters = locals()
        spline = scalar_maps.RationalQuadraticSpline(bins, bound)
        super().__init__(spline, dim, hidden, reverse, net, context_dim, seed, dtype, name, parameters)

    def get_config(self):
        """The arguments that make this bijector anew."""
        return {**super().get_config(), "bins": self._map.bins, "bound": self._map.bound}
