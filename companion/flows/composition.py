"""Bijectors one after the other, as one bijector."""

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from companion.bijectors import Bijector

__all__ = ["Composition", "Maps", "conditional"]


def _step(bijector, x, event_ndims, context=None):
    """The value of a bijector and its log-determinant; in one pass if it is one of ours."""
    if isinstance(bijector, Bijector):
        return bijector.forward_and_log_det(x, context if conditional(bijector) else None)
    given = {"context": context} if conditional(bijector) else {}
    y = bijector.forward(x, **given)
    return y, bijector.forward_log_det_jacobian(x, event_ndims=event_ndims, **given)


def _inverse_step(bijector, y, event_ndims, context=None):
    """The value of a bijector's inverse and its log-determinant; in one pass if it is one of ours."""
    if isinstance(bijector, Bijector):
        return bijector.inverse_and_log_det(y, context if conditional(bijector) else None)
    given = {"context": context} if conditional(bijector) else {}
    x = bijector.inverse(y, **given)
    return x, bijector.inverse_log_det_jacobian(y, event_ndims=event_ndims, **given)


def conditional(bijector):
    """The length of the context that a bijector takes, or None."""
    while isinstance(bijector, tfb.Invert):
        bijector = bijector.bijector
    return getattr(bijector, "context_dim", None)


class _Memory:
    """TFP's memory of results inside a graph; none in eager mode, where variables may have changed in between.

    With it, log q of a sample is had from the pass that made the sample.
    """

    def __get__(self, bijector, owner=None):
        if bijector is None or not tf.executing_eagerly():
            return tfb.Bijector._cache.__get__(bijector, owner)
        return _NoMemory(bijector)


class _NoMemory:
    def __init__(self, bijector):
        self._bijector = bijector

    def forward(self, x, **kwargs):
        return self._bijector._forward(x, **kwargs)

    def inverse(self, y, **kwargs):
        return self._bijector._inverse(y, **kwargs)

    def forward_attributes(self, x, **kwargs):
        return {}

    inverse_attributes = forward_attributes


class Maps:
    """The maps g_1 to g_L, and the shapes of an event before, between and behind them.

    Args:
        bijectors: each a `tfb.Bijector`.
        event_shapes: one more than there are bijectors.
    """

    def __init__(self, bijectors, event_shapes):
        self.bijectors = tuple(bijectors)
        self.event_shapes = tuple(tf.TensorShape(shape) for shape in event_shapes)

    def __iter__(self):
        """Each map with the number of dimensions of an event before it."""
        return zip(self.bijectors, (shape.rank for shape in self.event_shapes), strict=False)

    def __reversed__(self):
        """Each map, the last first, with the number of dimensions of an event behind it."""
        return zip(reversed(self.bijectors), (shape.rank for shape in reversed(self.event_shapes)), strict=False)


class Composition(tfb.AutoCompositeTensorBijector):
    """z = g_L(... g_1(eps)), given a context.

    Args:
        maps: the `Maps`.
        dtype: of the vectors.
        context: a tensor for the bijectors that take one, or None.
    """

    _cache = _Memory()

    def __init__(self, maps, dtype, context=None, name="composition"):
        parameters = {"maps": maps, "dtype": dtype, "context": context, "name": name}
        self.maps, self.context = maps, context
        self._tf_variables = tuple(v for bijector in maps.bijectors for v in bijector.variables)  # for TFP
        super().__init__(
            forward_min_event_ndims=maps.event_shapes[0].rank,
            inverse_min_event_ndims=maps.event_shapes[-1].rank,
            dtype=tf.as_dtype(dtype),
            parameters=parameters,
            name=name,
        )

    def forward_and_log_det(self, x):
        """z and log |det dz/dx|, in one pass."""
        *_, (z, log_det) = self.steps(x)
        return z, log_det

    def steps(self, x):
        """After each of the maps, the value and the log-determinant so far; x and zeros first."""
        log_det = self._zeros(x, self.maps.event_shapes[0])
        yield x, log_det
        for bijector, event_ndims in self.maps:
            x, more = _step(bijector, x, event_ndims, self.context)
            log_det += more
            yield x, log_det

    def inverse_and_log_det(self, z):
        """x and log |det dx/dz|, in one pass."""
        log_det = self._zeros(z, self.maps.event_shapes[-1])
        for bijector, event_ndims in reversed(self.maps):
            z, more = _inverse_step(bijector, z, event_ndims, self.context)
            log_det += more
        return z, log_det

    def _zeros(self, x, event_shape):
        return tf.zeros(tf.shape(x)[: tf.rank(x) - event_shape.rank], x.dtype)

    # What TFP calls

    def _forward(self, x):
        z, log_det = self.forward_and_log_det(x)
        self._cache.forward_attributes(x)["ildj"] = -log_det
        return z

    def _inverse(self, z):
        x, log_det = self.inverse_and_log_det(z)
        self._cache.inverse_attributes(z)["ildj"] = log_det
        return x

    def _forward_log_det_jacobian(self, x):
        return self.forward_and_log_det(x)[1]

    def _inverse_log_det_jacobian(self, z):
        return self.inverse_and_log_det(z)[1]

    def _forward_event_shape(self, shape):
        return self.maps.event_shapes[-1]

    def _inverse_event_shape(self, shape):
        return self.maps.event_shapes[0]

    def _forward_event_shape_tensor(self, shape):
        return tf.constant(self.maps.event_shapes[-1].as_list(), tf.int32)

    def _inverse_event_shape_tensor(self, shape):
        return tf.constant(self.maps.event_shapes[0].as_list(), tf.int32)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {}

    def __hash__(self):
        return id(self)

    def __eq__(self, other):
        return self is other
