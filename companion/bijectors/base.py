"""What every bijector of this package is."""

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from companion import _validation
from companion.bijectors.memory import NoMemory

__all__ = ["Bijector", "width"]


def width(dtype):
    """The name of a floating width, Keras' own for None."""
    name = tf.as_dtype(dtype or keras.config.floatx()).name
    return _validation.one_of("dtype", name, ("float32", "float64"))


class Bijector(tfb.Bijector):
    r"""An invertible map of vectors, with the logarithm of the absolute value of its Jacobian's determinant.

    It is a `tfb.Bijector`, so it goes wherever one goes: `tfb.Chain`, `tfb.Invert`, `tfd.TransformedDistribution`.
    Beyond that, `forward_and_log_det` and `inverse_and_log_det` give value and log-determinant in one pass of the net,
    and a bijector that was made with `context_dim` takes the keyword `context` in every method.

    Unlike TFP's own bijectors it remembers nothing of earlier calls. (TFP keeps the last results for each tensor, so
    that ``inverse(forward(x))`` is free; but it keeps them too when the variables have changed since.)

    A subclass defines `_forward_pass(x, context)` and `_inverse_pass(y, context)`, each of which returns the value,
    shape [..., dim], and the log-determinant, shape [...]; and `get_config`.

    Args:
        dim: the length of the vectors.
        layers: the Keras layers that hold the variables.
        parameters: the arguments of the subclass, by name.
        context_dim: the length of a context vector, or None.
        dtype: "float32" or "float64".
        name: of the bijector.

    Attributes:
        dim: the length of the vectors.
        context_dim: the length of a context vector, or None.
        layers: the Keras layers that hold the variables.
        forward_passes: how many times `forward` evaluates the net (0 if there is none).
        inverse_passes: how many times `inverse` does.
    """

    _cache = NoMemory()
    has_users_net = False  # whether a net came from outside
    forward_passes = 0
    inverse_passes = 0

    def __init__(self, dim, layers, parameters, context_dim=None, dtype="float32", name=None):
        super().__init__(
            forward_min_event_ndims=1,
            dtype=tf.as_dtype(dtype),
            parameters={k: v for k, v in parameters.items() if k not in ("self", "__class__")},
            name=name or type(self).__name__.lower(),
        )
        self.dim, self.context_dim, self.layers = dim, context_dim, tuple(layers)

    def forward_and_log_det(self, x, context=None):
        """y = g(x) and log |det dg/dx|, in one pass.

        Args:
            x: a tensor of shape [..., dim].
            context: for a bijector with `context_dim`, a tensor of shape [context_dim] or [..., context_dim], whose
                leading dimensions are those of x, or the last of them.

        Returns:
            y, of the shape of x, and the log-determinant, shape [...].

        Raises:
            TypeError: if x is of another width than the bijector.
            ValueError: if a shape does not fit, or a context is missing or not wanted.
        """
        x = self._vectors("x", x)
        return self._forward_pass(x, self._context(context, x))

    def inverse_and_log_det(self, y, context=None):
        """The x of which y = g(x), and log |det dx/dy|, in one pass; arguments as for `forward_and_log_det`."""
        y = self._vectors("y", y)
        return self._inverse_pass(y, self._context(context, y))

    @property
    def variables(self):
        """The layers' variables, each a `tf.Variable`, for TFP and TensorFlow, which know nothing of Keras'."""
        return tuple(v.value for layer in self.layers for v in layer.variables)

    @property
    def trainable_variables(self):
        """Those that are trained."""
        return tuple(v.value for layer in self.layers for v in layer.trainable_variables)

    def get_config(self):
        """The arguments that make this bijector anew; Keras saves the weights beside it."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is made anew")

    @classmethod
    def from_config(cls, config):
        """A bijector with the configuration of another, untrained."""
        return cls(**config)

    # What TFP calls

    def _forward(self, x, context=None):
        return self.forward_and_log_det(x, context)[0]

    def _inverse(self, y, context=None):
        return self.inverse_and_log_det(y, context)[0]

    def _forward_log_det_jacobian(self, x, context=None):
        return self.forward_and_log_det(x, context)[1]

    def _inverse_log_det_jacobian(self, y, context=None):
        return self.inverse_and_log_det(y, context)[1]

    def _forward_event_shape(self, shape):
        return self._event_shape(shape)

    def _inverse_event_shape(self, shape):
        return self._event_shape(shape)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {}

    def __hash__(self):
        return id(self)

    def __eq__(self, other):
        return self is other

    def __repr__(self):
        context = "" if self.context_dim is None else f", context_dim={self.context_dim}"
        passes = f"; passes of its net: forward {self.forward_passes}, inverse {self.inverse_passes}"
        return f"<{type(self).__name__}(dim={self.dim}{context}){passes if self.forward_passes else ''}>"

    # Checks

    def _vectors(self, argument, x):
        argument = f"{argument} of {type(self).__name__}"
        x = tf.convert_to_tensor(x) if tf.is_tensor(x) or isinstance(x, np.ndarray) else tf.constant(x, self.dtype)
        if x.dtype != self.dtype:
            raise TypeError(_validation.message(argument, self.dtype.name, x.dtype.name))
        self._require_length(argument, x.shape, self.dim)
        return x if x.shape[-1] else tf.ensure_shape(x, [*x.shape[:-1], self.dim])

    def _context(self, context, x):
        """The context with the leading dimensions of x, or None."""
        argument = f"context of {type(self).__name__}"
        if self.context_dim is None:
            if context is not None:
                expected = "nothing, for it was made without context_dim"
                raise ValueError(_validation.message(argument, expected, _validation.describe(context)))
            return None
        if context is None:
            raise ValueError(_validation.message(argument, f"a tensor of shape [..., {self.context_dim}]", "nothing"))
        context = _validation.float_tensor(argument, context, self.dtype)
        if context.dtype != self.dtype:
            raise TypeError(_validation.message(argument, self.dtype.name, context.dtype.name))
        self._require_length(argument, context.shape, self.context_dim)
        try:
            together = tf.broadcast_static_shape(context.shape[:-1], x.shape[:-1])
            fits = together.is_compatible_with(x.shape[:-1])
        except ValueError:
            fits = False
        if not fits:
            expected = f"leading dimensions that are those of the vectors, {x.shape[:-1]}, or the last of them"
            raise ValueError(_validation.message(argument, expected, f"shape {context.shape}"))
        if context.shape[:-1] == x.shape[:-1] and context.shape.is_fully_defined():
            return context
        return tf.broadcast_to(context, tf.concat([tf.shape(x)[:-1], [self.context_dim]], axis=0))

    def _require_length(self, argument, shape, length):
        if shape.rank is None or shape.rank < 1 or shape[-1] not in (None, length):
            expected = f"vectors of length {length}, shape [..., {length}]"
            raise ValueError(_validation.message(argument, expected, f"shape {shape}"))

    def _event_shape(self, shape):
        self._require_length(f"event of {type(self).__name__}", tf.TensorShape(shape), self.dim)
        return tf.TensorShape(shape)
