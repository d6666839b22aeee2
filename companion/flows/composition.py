"""Bijectors one after the other, as one bijector."""

import itertools
import weakref

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from companion.bijectors import Bijector
from companion.bijectors.memory import Direct

__all__ = ["Composition", "Maps", "conditional", "is_inverse", "parts_of"]

_MAPS = weakref.WeakValueDictionary()  # by key
_KEYS = itertools.count()
_INVERSES = (tfb.Invert, tfb.Invert.__bases__[0])  # the latter is what TFP makes with a bijector without type spec


def is_inverse(bijector):
    """Whether it is a `tfb.Invert`."""
    return isinstance(bijector, _INVERSES)


def parts_of(bijector, inverted=False):
    """The bijector and those that it is made of, each with whether it is used backwards."""
    yield bijector, inverted
    for part in getattr(bijector, "bijectors", None) or [getattr(bijector, "bijector", None)]:
        if isinstance(part, tfb.Bijector):
            yield from parts_of(part, inverted != is_inverse(bijector))


def conditional(bijector):
    """The length of the context that a bijector takes, or None."""
    while is_inverse(bijector):
        bijector = bijector.bijector
    return getattr(bijector, "context_dim", None)


def _step(bijector, x, event_ndims, context):
    """The value of a bijector and its log-determinant; in one pass if it is one of ours."""
    if isinstance(bijector, Bijector):
        return bijector.forward_and_log_det(x, context if conditional(bijector) else None)
    given = {"context": context} if conditional(bijector) else {}
    x = tf.identity(x)  # TFP has no results for it from earlier, with other values of its variables
    y = bijector.forward(x, **given)
    return y, bijector.forward_log_det_jacobian(x, event_ndims=event_ndims, **given)


def _inverse_step(bijector, y, event_ndims, context):
    """The value of a bijector's inverse and its log-determinant; in one pass if it is one of ours."""
    if isinstance(bijector, Bijector):
        return bijector.inverse_and_log_det(y, context if conditional(bijector) else None)
    given = {"context": context} if conditional(bijector) else {}
    y = tf.identity(y)
    x = bijector.inverse(y, **given)
    return x, bijector.inverse_log_det_jacobian(y, event_ndims=event_ndims, **given)


class Maps:
    """The maps g_1 to g_L, and the shapes of an event before, between and behind them.

    Args:
        bijectors: each a `tfb.Bijector`.
        event_shapes: one more than there are bijectors.
    """

    def __init__(self, bijectors, event_shapes):
        self.bijectors = tuple(bijectors)
        self.event_shapes = tuple(tf.TensorShape(shape) for shape in event_shapes)
        self.key = next(_KEYS)
        _MAPS[self.key] = self

    def learnt(self):
        """The variables (`tf.Variable`) of the maps that are trained, each once."""
        parts = [part for bijector in self.bijectors for part, _ in parts_of(bijector)]
        return list({v.ref(): v for part in parts for v in part.trainable_variables}.values())

    def __iter__(self):
        """Each map with the number of dimensions of an event before it."""
        return zip(self.bijectors, (shape.rank for shape in self.event_shapes), strict=False)

    def __reversed__(self):
        """Each map, the last first, with the number of dimensions of an event behind it."""
        return zip(reversed(self.bijectors), (shape.rank for shape in reversed(self.event_shapes)), strict=False)


class _MemoryOfSamples:
    """Inside a graph, if that was asked for, where a sample came from; nothing in eager mode."""

    def __get__(self, bijector, owner=None):
        if bijector is None or not bijector.remembers or tf.executing_eagerly():
            return Direct(bijector)
        return _Remembering(bijector)


class _Remembering(Direct):
    def forward(self, x, **kwargs):
        z, log_det = self.bijector.forward_and_log_det(x)
        self.bijector.made.append((x, z, log_det))
        return z

    def inverse(self, z, **kwargs):
        for x, made, _ in reversed(self.bijector.made):
            if made is z:
                return x
        return super().inverse(z)

    def forward_attributes(self, x, **kwargs):
        return next(({"ildj": -log_det} for start, _, log_det in reversed(self.bijector.made) if start is x), {})

    def inverse_attributes(self, z, **kwargs):
        return next(({"ildj": -log_det} for _, made, log_det in reversed(self.bijector.made) if made is z), {})


class Composition(tfb.AutoCompositeTensorBijector):
    """z = g_L(... g_1(eps)), given a context.

    Args:
        key: that of the `Maps`, a number, so that TensorFlow can tell compositions apart.
        dtype: of the vectors.
        context: a tensor for the bijectors that take one, or None.
        learnt: the variables of the maps, for TFP, which looks for them here; None for finding them.
        remembers: whether log q of a sample is had, inside a graph, from the pass that made it: right only where both
            stand under the same tapes, and no variable changes in between.
    """

    _cache = _MemoryOfSamples()

    def __init__(self, key, dtype, context=None, learnt=None, remembers=False, name="composition"):
        self.key, self.context, self.remembers = key, context, remembers
        self.maps = self._no_dependency(_MAPS[key])
        self.made = self._no_dependency([])
        self.learnt = self.maps.learnt() if learnt is None else learnt
        parameters = {"key": key, "dtype": dtype, "context": context, "learnt": self.learnt, "remembers": remembers}
        parameters["name"] = name
        super().__init__(
            forward_min_event_ndims=self.maps.event_shapes[0].rank,
            inverse_min_event_ndims=self.maps.event_shapes[-1].rank,
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
        return self.forward_and_log_det(x)[0]

    def _inverse(self, z):
        return self.inverse_and_log_det(z)[0]

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
