"""A normalizing flow as a Keras model."""

import functools
import math
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from companion import _saving, _validation, seeds
from companion._training import TrainedOnExamples, array_of_examples, in_chunks
from companion.bijectors import ActNorm, Bijector
from companion.flows import packing
from companion.flows.composition import Composition, Maps, conditional, parts_of
from companion.flows.pace import choose
from companion.flows.tracking import (
    AdoptedVariables,
    flattened,
    keras_layers_in,
    require_own_variables,
    variables_to_adopt,
)
from companion.reparameterizations import draw

__all__ = ["Cost", "Flow"]

_MOST_FOR_START = 4096  # examples from which the first scales and shifts are taken


class Cost(NamedTuple):
    """How many times the nets are evaluated, one after another, for a batch.

    Attributes:
        sampling: from noise to data: `sample`, `sample_and_log_prob`.
        scoring: from data to noise: `log_prob`, and each step of `fit`.
    """

    sampling: int
    scoring: int


class _Terms(NamedTuple):
    loss: tf.Tensor
    nats_per_dimension: tf.Tensor

    def stacked(self):
        return tf.stack(self)


@keras.saving.register_keras_serializable(package="companion.flows")
class Flow(TrainedOnExamples):
    r"""A distribution made by invertible maps from a simple one, with its density.

    .. math::

        z = g_L(\cdots g_1(\epsilon)), \quad \epsilon \sim p(\epsilon), \qquad
        \log q(z) = \log p(\epsilon) - \sum_{l=1}^L \log\Bigl|\det\frac{\partial g_l}{\partial x}\Bigr|

    It is a `keras.Model`: `compile`, `fit`, `evaluate`, `save` and callbacks work as usual, on examples alone. `fit` is
    maximum likelihood: the loss is the mean of -log q(x) over the examples, in nats; the metrics are `loss` and
    `nats_per_dimension`. It differentiates log q at fixed x, without a sample, so without the reparameterization trick.
    `companion.flows.fit_to_density` uses the other direction, and the trick.

    Args:
        bijectors: the maps g_1, ..., g_L in this order, from noise to data: of `companion.bijectors`, or any
            `tfb.Bijector` that keeps the number of values (a `tfb.Chain` stands for its parts). Each `tf.Variable`
            in TFP's is trained and saved too. What a function inside of one of them closes over is not found: assign
            its net to an attribute of the flow.
        base: p(eps), a `tfd.Distribution` of constants or variables (`tf.Variable`), without batch; None for N(0, I).
        event_shape: of one z, or its length; None takes it from the bijectors or the base.
        seed: an integer that decides the order of the examples in `fit`. None for one that Keras draws.
        **kwargs: those of `keras.Model`, such as name.

    Raises:
        TypeError: if an argument is of the wrong kind, or widths differ.
        ValueError: if a bijector changes the number of values, or shapes do not fit.

    Reference:
        Rezende and Mohamed (2015); Papamakarios, Nalisnick, Rezende, Mohamed and Lakshminarayanan (2021). Chapter:
        Normalizing flows.

    Example:
        >>> from companion.bijectors import AffineCoupling, Permutation
        >>> maps = [AffineCoupling(2, [8], seed=0), Permutation.reverse(2), AffineCoupling(2, [8], seed=1)]
        >>> flow = Flow(maps, seed=0)
        >>> flow.compile("adam")
        >>> x = flow.sample(64, seed=0).numpy() + 1
        >>> history = flow.fit(x, epochs=2, verbose=0)
        >>> sorted(history.history), flow.log_prob(x).shape
        (['loss', 'nats_per_dimension'], TensorShape([64]))
        >>> flow.distribution.event_shape
        TensorShape([2])
    """

    metric_names = ("loss", "nats_per_dimension")

    def __init__(self, bijectors, base=None, event_shape=None, seed=None, **kwargs):
        bijectors = _checked_bijectors(bijectors)
        event_shape = _event_shape(event_shape, bijectors, base)
        dtype = _width(bijectors, base, kwargs.pop("dtype", None))
        super().__init__(seeds.any_seed() if seed is None else seed, dtype=dtype, **kwargs)
        self.bijectors, self.base, self.event_shape = bijectors, base, event_shape
        self.context_dim = _context_dim(bijectors)
        self._maps = Maps(bijectors, _event_shapes(bijectors, event_shape, dtype))
        _require_base(base, self._maps.event_shapes[0], dtype)
        self._layers_inside = keras_layers_in(bijectors)
        self._adopted = AdoptedVariables(variables_to_adopt(bijectors, base), dtype)
        self._auto = {}
        # partial: else TensorFlow counts the tracing of all flows as that of one function, and warns
        self._score_compiled = tf.function(functools.partial(self._score), autograph=False, reduce_retracing=True)
        self._draw_compiled = tf.function(functools.partial(self._draw), autograph=False, reduce_retracing=True)
        self.built = True

    @property
    def cost(self):
        """How many passes through nets, one after another, sampling and scoring take: a `Cost`.

        Example:
            >>> from companion.bijectors import MaskedAutoregressive
            >>> Flow([MaskedAutoregressive(5, [8]), MaskedAutoregressive(5, [8])]).cost
            Cost(sampling=10, scoring=2)
        """
        ours = [
            (part, inverted) for b in self.bijectors for part, inverted in parts_of(b) if isinstance(part, Bijector)
        ]
        forward = sum(part.inverse_passes if inverted else part.forward_passes for part, inverted in ours)
        inverse = sum(part.forward_passes if inverted else part.inverse_passes for part, inverted in ours)
        return Cost(forward, inverse)

    # The distribution

    @property
    def distribution(self):
        """The flow as a `tfd.TransformedDistribution`, which reads the variables when it is used.

        Eagerly it runs op by op; inside of a `tf.function` it is as fast as `log_prob` and `sample`.

        Raises:
            ValueError: if the flow is conditional: use `distribution_given`.
        """
        if self.context_dim is not None:
            raise ValueError(_validation.message("distribution", "a flow without context", f"{self._conditional}"))
        return tfd.TransformedDistribution(self._base(), self._composition(None))

    def distribution_given(self, context):
        """The flow of each context, as a `tfd.TransformedDistribution`.

        Args:
            context: shape [*batch, context_dim].

        Returns:
            A distribution of batch shape [*batch] and event shape `event_shape`.
        """
        context = self._checked_context(context)
        base = self._base()
        if context.shape.rank > 1:
            base = tfd.BatchBroadcast(
                base, with_shape=tf.shape(context)[:-1] if None in context.shape else context.shape[:-1]
            )
        return tfd.TransformedDistribution(base, self._composition(context))

    def log_prob(self, x, context=None):
        """log q(x), in nats; see `cost` for what it takes.

        Args:
            x: points, shape [n, *event_shape], or with other leading dimensions.
            context: for a conditional flow, shape [context_dim] or [n, context_dim].

        Returns:
            A tensor of shape [n], differentiable in x and in the flow's variables.

        Raises:
            ValueError: if shapes do not fit or numbers are not finite.
        """
        x = self._points("x", x, self._maps.event_shapes[-1])
        context = self._context_for(context, x)
        batch = tf.shape(x)[: x.shape.rank - len(self.event_shape)]
        rows = tf.reshape(x, [-1, *self.event_shape])
        if context is None:
            values = in_chunks(lambda _, rows: self._scored(rows, None), rows, self._numbers_an_example)
        else:
            context = tf.broadcast_to(context, tf.concat([batch, [self.context_dim]], axis=0))
            flat = tf.concat([tf.reshape(v, [tf.shape(rows)[0], -1]) for v in (rows, context)], axis=1)

            def of_pairs(_, pairs):
                return self._scored(*packing.unpack(pairs, self.event_shape, self.context_dim))

            values = in_chunks(of_pairs, flat, self._numbers_an_example)
        return tf.ensure_shape(tf.reshape(_no_nan(values), batch), x.shape[: x.shape.rank - len(self.event_shape)])

    def sample(self, n, seed=None, context=None):
        """Samples z = g(eps); see `cost` for what they take.

        Args:
            n: how many.
            seed: as for `companion.seeds.as_seed`.
            context: for a conditional flow, shape [*batch, context_dim].

        Returns:
            A tensor of shape [n, *batch, *event_shape], differentiable in the flow's variables.
        """
        return self.sample_and_log_prob(n, seed, context)[0]

    def sample_and_log_prob(self, n, seed=None, context=None):
        """Samples and log q at them, in one pass and without an inverse.

        Args:
            n: how many.
            seed: as for `companion.seeds.as_seed`.
            context: for a conditional flow, shape [*batch, context_dim].

        Returns:
            z, shape [n, *batch, *event_shape], and log q(z), shape [n, *batch].
        """
        n = _validation.count("n", n)
        if context is None and self.context_dim is None:
            return self._sampled(tf.constant(n), seeds.as_seed(seed), None)
        context = self._checked_context(context)
        z, log_q = self._sampled(tf.constant(n), seeds.as_seed(seed), tf.reshape(context, [-1, self.context_dim]))
        shape = tf.concat([[n], tf.shape(context)[:-1]], axis=0)
        return tf.reshape(z, tf.concat([shape, self.event_shape], axis=0)), tf.reshape(log_q, shape)

    def forward_and_log_det(self, eps, context=None):
        """z = g(eps) and log |det dz/deps|, in one pass.

        Args:
            eps: noise, shape [n, *event_shape].
            context: for a conditional flow, shape [context_dim] or [n, context_dim].

        Returns:
            z, shape [n, *event_shape], and the log-determinant, shape [n].
        """
        eps = self._points("eps", eps, self._maps.event_shapes[0])
        return self._composition(self._context_for(context, eps)).forward_and_log_det(eps)

    def inverse_and_log_det(self, x, context=None):
        """The noise of points, and log |det deps/dx|, in one pass; arguments as for `log_prob`."""
        x = self._points("x", x, self._maps.event_shapes[-1])
        return self._composition(self._context_for(context, x)).inverse_and_log_det(x)

    def intermediate(self, eps, context=None):
        """The points on their way: eps, after g_1, ..., z.

        Args:
            eps: noise, shape [n, *event_shape].
            context: for a conditional flow, shape [context_dim] or [n, context_dim].

        Returns:
            A list of 1 + len(bijectors) tensors.
        """
        eps = self._points("eps", eps, self._maps.event_shapes[0])
        return [x for x, _ in self._composition(self._context_for(context, eps)).steps(eps)]

    def call(self, x):
        """log q(x) for examples, with their context behind them if there is one: what `predict` returns."""
        x, context = packing.unpack(tf.cast(x, self.variable_dtype), self.event_shape, self.context_dim)
        return self._score(x, context)

    # Training

    def compile(self, optimizer="adam", loss=None, jit_compile="auto", steps_per_execution="auto", **kwargs):
        """Configures training: as `keras.Model.compile`, without a loss, which is the mean of -log q(x).

        Args:
            optimizer: a Keras optimizer or its name.
            loss: nothing.
            jit_compile: whether training steps are compiled by XLA, which takes some seconds once and then makes them
                about twice as fast. "auto" does so where a `fit` to an array takes 2000 steps or more, and all
                bijectors, with their nets, are this package's (on a GPU: where Keras would).
            steps_per_execution: how many steps Keras takes at a time; callbacks for batches come as often. "auto"
                takes, for arrays, the largest number up to 100 that divides the number of batches of an epoch (100 for
                longer epochs that XLA compiles).
            **kwargs: as in Keras, without metrics.

        Raises:
            ValueError: if a loss or metrics are given.
        """
        self._auto = {"jit_compile": jit_compile == "auto", "steps_per_execution": steps_per_execution == "auto"}
        steps = 1 if steps_per_execution == "auto" else steps_per_execution
        super().compile(optimizer, loss, jit_compile=jit_compile, steps_per_execution=steps, **kwargs)

    def get_compile_config(self):
        """What `compile` was told."""
        return {**(super().get_compile_config() or {}), **{name: "auto" for name, auto in self._auto.items() if auto}}

    def set_pace(self, given):
        """Chooses what `compile` left open for the arguments of `fit`; what XLA has compiled stays compiled."""
        if self.run_eagerly:
            return
        steps, enough = choose(given, self.distribute_strategy.num_replicas_in_sync > 1)
        steps = steps if self._auto["steps_per_execution"] else self.steps_per_execution
        enough = enough and self._of_own_parts
        stays = self.jit_compile and (steps == self.steps_per_execution or not self._auto["jit_compile"])
        compiled = stays or (self._auto["jit_compile"] and enough)
        if (steps, compiled) != (self.steps_per_execution, self.jit_compile):
            self.steps_per_execution, self.jit_compile = steps, compiled
            self.train_function = self.test_function = None

    def fit(self, x=None, *args, context=None, **kwargs):
        """Maximum likelihood: as `keras.Model.fit`, without targets and weights.

        Args:
            x: examples, shape [num_examples, *event_shape]; or batches of them from a `tf.data.Dataset`, a
                `keras.utils.PyDataset` or a generator (for a conditional flow, a dataset or generator of pairs).
            *args: as in Keras.
            context: for a conditional flow and an array, shape [num_examples, context_dim].
            **kwargs: as in Keras; `validation_data` are examples too, for a conditional flow a pair.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: if the data have the wrong shape or are not finite.
        """
        rows = packing.pack("x", x, context, self)
        if kwargs.get("validation_data") is not None:
            kwargs["validation_data"] = packing.pack("validation_data", kwargs["validation_data"], None, self)
        return super().fit(self._started("x", rows), *args, **kwargs)

    def evaluate(self, x=None, *args, context=None, **kwargs):
        """The metrics over examples: as `keras.Model.evaluate`, without targets and weights."""
        if not kwargs.get("_use_cached_eval_dataset"):
            x = packing.pack("x", x, context, self)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x, *args, context=None, **kwargs):
        """log q of examples, as a NumPy array: as `keras.Model.predict`."""
        return super().predict(packing.pack("x", x, context, self), *args, **kwargs)

    def train_on_batch(self, x, return_dict=False, context=None):
        """One step on a batch of examples; its metrics."""
        rows = self._started("x", packing.pack("x", x, context, self))
        return super().train_on_batch(rows, return_dict)

    def test_on_batch(self, x, return_dict=False, context=None):
        """The metrics of a batch of examples."""
        return super().test_on_batch(packing.pack("x", x, context, self), return_dict)

    def predict_on_batch(self, x, context=None):
        """log q of a batch of examples, as a NumPy array."""
        return super().predict_on_batch(packing.pack("x", x, context, self))

    def export(self, filepath, **kwargs):
        """Saves what `predict` computes, for serving: as `keras.Model.export`."""
        self(keras.Input(self.example_shape, dtype=self.compute_dtype))  # Keras wants a model that was called
        wanted = keras.InputSpec(shape=(None, *self.example_shape), dtype=self.variable_dtype)
        return super().export(filepath, **{"input_signature": [wanted], **kwargs})

    def initialize(self, x, context=None):
        """Sets the scales and shifts of every `ActNorm` that has none yet, so that its noise is standardised.

        Args:
            x: examples, shape [num_examples, *event_shape]; evenly spaced ones are taken if there are many.
            context: for a conditional flow, shape [num_examples, context_dim].
        """
        stride = -(-len(x) // _MOST_FOR_START)
        x = self._points("x", x[::stride], self._maps.event_shapes[-1])
        context = self._context_for(None if context is None else context[::stride], x)
        for bijector, shape in zip(reversed(self.bijectors), reversed(self._maps.event_shapes), strict=False):
            if _to_start(bijector):
                bijector.initialize(x)
            maps = Maps([bijector], [shape, shape])
            x, _ = Composition(maps.key, self.variable_dtype, context).inverse_and_log_det(x)

    @property
    def example_shape(self):
        """The shape of one example: the event, with its context behind it."""
        return self.event_shape if self.context_dim is None else (math.prod(self.event_shape) + self.context_dim,)

    def build(self, input_shape):
        """Nothing: the variables were made with the bijectors."""

    def check_data(self, argument, x):
        """The examples as a NumPy array of the flow's width."""
        return array_of_examples(argument, x, self.variable_dtype, self.example_shape)

    def noise_for(self, first_row, num_examples, seed):
        """None is needed."""
        return tf.zeros([num_examples, 0], self.variable_dtype)

    def terms(self, x, eps, training=False):
        """The loss and the metrics for a batch; `fit` and `evaluate` call this."""
        loss = -self._score(*packing.unpack(x, self.event_shape, self.context_dim))
        return _Terms(loss, loss / math.prod(self.event_shape))

    # Saving

    def get_config(self):
        """What `from_config` needs to make this flow anew; Keras saves the weights beside it."""
        require_own_variables("bijectors", self.bijectors)
        own = {
            "bijectors": _saving.list_to_config("bijectors", self.bijectors),
            "base": _saving.to_config("base", self.base),
            "event_shape": list(self.event_shape),
            "seed": self.seed,
        }
        return {**keras.layers.Layer.get_config(self), **own}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """A flow with the configuration of another, untrained."""
        with keras.saving.custom_object_scope(custom_objects or {}):
            bijectors = _saving.list_from_config(config["bijectors"])
            return cls(**{**config, "bijectors": bijectors, "base": _saving.from_config(config["base"])})

    # Inside

    @property
    def _scored(self):
        """`_score`; from outside of a graph, compiled once."""
        return self._score_compiled if tf.executing_eagerly() else self._score

    @property
    def _sampled(self):
        """`_draw`; from outside of a graph, compiled once."""
        return self._draw_compiled if tf.executing_eagerly() else self._draw

    def _started(self, argument, rows):
        """The data as they were; the first of them start every `ActNorm`, and are in the range of TFP's bijectors."""
        foreign = not all(isinstance(b, Bijector) for b in self.bijectors) or self.base is not None
        if not foreign and not any(map(_to_start, self.bijectors)):
            return rows
        rows, first = packing.peek(argument, rows, self)
        first = packing.unpack(first, self.event_shape, self.context_dim)
        self.initialize(*first)
        if not np.isfinite(self.log_prob(*first)).all():
            expected = "points where the flow has a density"
            raise ValueError(_validation.message(argument, expected, "some where log q is minus infinity"))
        return rows

    def _composition(self, context):
        return Composition(self._maps.key, self.variable_dtype, context)

    def _base(self):
        if self.base is not None:
            return self.base
        shape, dtype = self._maps.event_shapes[0], self.variable_dtype
        return tfd.Independent(tfd.Normal(tf.zeros(shape, dtype), tf.ones([], dtype)), shape.rank)

    def _score(self, x, context):
        eps, log_det = self._composition(context).inverse_and_log_det(x)
        return self._base().log_prob(eps) + log_det

    def _draw(self, n, seed, context):
        base = self._base()
        shape = n[None] if context is None else tf.stack([n, tf.shape(context)[0]])
        eps = draw(base, seed, shape)
        known = [None] * (1 if context is None else 2)
        eps = tf.ensure_shape(eps, [*known, *self._maps.event_shapes[0]])
        z, log_det = self._composition(context).forward_and_log_det(eps)
        return z, base.log_prob(eps) - log_det

    def _points(self, argument, x, shape):
        x = _real_numbers(argument, x, self.variable_dtype)
        rank = shape.rank
        if x.shape.rank is None or x.shape.rank < rank or not x.shape[x.shape.rank - rank :].is_compatible_with(shape):
            expected = f"points of shape [n, {', '.join(map(str, shape.as_list()))}]"
            raise ValueError(_validation.message(argument, expected, f"shape {x.shape}"))
        return x

    def _context_for(self, context, x):
        if context is None and self.context_dim is None:
            return None
        context = self._checked_context(context)
        batch = x.shape[: x.shape.rank - len(self.event_shape)]
        if context.shape.rank > 1 and not context.shape[:-1].is_compatible_with(batch):
            expected = f"one context, shape [{self.context_dim}], or one for each of the points, {batch}"
            raise ValueError(_validation.message("context", expected, f"shape {context.shape}"))
        return context

    def _checked_context(self, context):
        if self.context_dim is None:
            expected = "nothing, for no bijector takes a context"
            raise ValueError(_validation.message("context", expected, _validation.describe(context)))
        if context is None:
            raise ValueError(_validation.message("context", f"a tensor of shape [..., {self.context_dim}]", "nothing"))
        context = _real_numbers("context", context, self.variable_dtype)
        if context.shape.rank is None or context.shape.rank < 1 or context.shape[-1] != self.context_dim:
            expected = f"shape [..., {self.context_dim}]"
            raise ValueError(_validation.message("context", expected, f"shape {context.shape}"))
        return context

    @property
    def _of_own_parts(self):
        """Whether XLA surely knows all that a step does."""
        return self.base is None and all(isinstance(b, Bijector) and not b.has_users_net for b in self.bijectors)

    @property
    def _conditional(self):
        return f"one with context_dim={self.context_dim}; use distribution_given(context)"

    @property
    def _numbers_an_example(self):
        """About the size of the largest tensor that the nets make of one example."""
        sizes = [v.shape[-1] for layer in self._layers_inside for v in layer.weights if len(v.shape) > 1]
        return max([math.prod(self.event_shape), *sizes])


def _checked_bijectors(bijectors):
    if isinstance(bijectors, tfb.Bijector) or not isinstance(bijectors, (list, tuple)) or not bijectors:
        raise TypeError(_validation.message("bijectors", "a list of tfb.Bijectors", _validation.describe(bijectors)))
    for place, bijector in enumerate(bijectors):
        if not isinstance(bijector, tfb.Bijector):
            argument = f"bijectors[{place}]"
            raise TypeError(_validation.message(argument, "a tfb.Bijector", _validation.describe(bijector)))
    bijectors = tuple(flattened(bijectors))
    for place, bijector in enumerate(bijectors):
        argument = f"bijectors[{place}]"
        if _holds_keras_variable(bijector):
            expected = "a tf.Variable where TFP's bijectors are to learn (TFP takes a Keras variable's value once)"
            raise TypeError(_validation.message(argument, expected, f"a keras.Variable in {type(bijector).__name__}"))
        if any(isinstance(part, ActNorm) and inverted for part, inverted in parts_of(bijector)):
            expected = "ActNorm itself, not inside of tfb.Invert: its inverse is a scale and a shift too"
            raise ValueError(_validation.message(argument, expected, type(bijector).__name__))
        hidden = [p for p, _ in parts_of(bijector) if conditional(p) and conditional(bijector) is None]
        if hidden:
            expected = "no bijector that takes a context inside of one of TFP's (but tfb.Invert): put it into the list"
            raise ValueError(_validation.message(argument, expected, f"{hidden[0]!r} in {type(bijector).__name__}"))
    return bijectors


def _event_shape(event_shape, bijectors, base):
    if event_shape is None:
        dims = [[part.dim for part, _ in parts_of(b) if isinstance(part, Bijector)] for b in bijectors]
        known = [place for place, dim in enumerate(dims) if dim]
        if known:
            start, shape = known[-1], tf.TensorShape(dims[known[-1]][-1])
        elif isinstance(base, tfd.Distribution):
            start, shape = 0, base.event_shape
            if shape.rank == 0:
                raise ValueError(_validation.message("base", "an event shape of at least one length", "[]"))
        else:
            raise ValueError(_validation.message("event_shape", "a shape, for no bijector tells it", "None"))
        for bijector in bijectors[start:]:
            shape = bijector.forward_event_shape(shape)
        return tuple(shape)
    lengths = event_shape if isinstance(event_shape, (list, tuple, tf.TensorShape)) else [event_shape]
    if not len(lengths):  # what has no axis is no event that `fit` could tell from the examples
        raise ValueError(_validation.message("event_shape", "at least one length", "[]"))
    return tuple(_validation.count(f"event_shape[{i}]", length) for i, length in enumerate(lengths))


def _width(bijectors, base, dtype):
    ours = {part.dtype.name for b in bijectors for part, _ in parts_of(b) if part.dtype is not None}
    if base is not None and not isinstance(base, tfd.Distribution):
        raise TypeError(_validation.message("base", "a tfd.Distribution or None", _validation.describe(base)))
    widths = ours | ({base.dtype.name} if base is not None else set())
    wanted = getattr(dtype, "name", dtype)
    if isinstance(dtype, dict):
        wanted = keras.dtype_policies.deserialize(dtype).name
    if len(widths) > 1 or (widths and wanted and {wanted} != widths):
        got = ", ".join(sorted(widths | ({wanted} if wanted else set())))
        raise TypeError(_validation.message("dtype", "one width of the bijectors, the base and the flow", got))
    return _validation.one_of(
        "dtype", widths.pop() if widths else wanted or keras.config.floatx(), ("float32", "float64")
    )


def _context_dim(bijectors):
    lengths = {conditional(b) for b in bijectors} - {None}
    if len(lengths) > 1:
        raise ValueError(_validation.message("bijectors", "one context_dim", ", ".join(map(str, sorted(lengths)))))
    return lengths.pop() if lengths else None


def _event_shapes(bijectors, event_shape, dtype):
    """The shapes of an event before, between and behind the maps."""
    shapes = [tf.TensorShape(event_shape)]
    for place in reversed(range(len(bijectors))):
        bijector, after = bijectors[place], shapes[0]
        try:
            before = bijector.inverse_event_shape(after)
        except (TypeError, ValueError) as error:
            raise ValueError(
                _validation.message(f"bijectors[{place}]", f"one of events of shape {after}", error)
            ) from error
        if before.rank and before.num_elements() is None:  # tfb.Reshape leaves one length to be found
            known = math.prod(length for length in before if length)
            before = tf.TensorShape([length or after.num_elements() // known for length in before])
        if before.num_elements() != after.num_elements():
            expected = f"a bijector that keeps the number of values, here {after.num_elements()}"
            got = f"{type(bijector).__name__} from shape {before} to {after}"
            raise ValueError(_validation.message(f"bijectors[{place}]", expected, got))
        if bijector.forward_min_event_ndims > before.rank:
            expected = f"a bijector of events of {before.rank} dimensions"
            got = f"{type(bijector).__name__}, of {bijector.forward_min_event_ndims}"
            raise ValueError(_validation.message(f"bijectors[{place}]", expected, got))
        shapes.insert(0, before)
        _require_no_broadcast(bijector, place, before, after, dtype)
    return tuple(shapes)


def _require_no_broadcast(bijector, place, before, after, dtype):
    """Refuses parameters of TFP's bijectors that have a batch of their own, or another length than the event."""
    if isinstance(bijector, Bijector) or conditional(bijector):
        return
    argument = f"bijectors[{place}]"
    traced = tf.function(bijector.forward, autograph=False)
    try:
        out = traced.get_concrete_function(tf.TensorSpec([7, *before], dtype)).structured_outputs.shape
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        expected = f"a bijector of events of shape {before}"
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ValueError(_validation.message(argument, expected, f"{type(bijector).__name__}: {reason}")) from error
    if not out.is_compatible_with([7, *after]):
        expected = f"parameters for events of shape {before}, without a batch"
        got = f"{type(bijector).__name__}, which makes shape {list(out)} of [7, {', '.join(map(str, before))}]"
        raise ValueError(_validation.message(argument, expected, got))


def _holds_keras_variable(value):
    parameters = value.parameters.values() if isinstance(value, (tfd.Distribution, tfb.Bijector)) else ()
    return isinstance(value, keras.Variable) or any(map(_holds_keras_variable, parameters))


def _to_start(bijector):
    return isinstance(bijector, ActNorm) and not bijector.initialized


def _real_numbers(argument, values, dtype):
    """Finite numbers of any width as a tensor of the flow's."""
    integer = getattr(getattr(values, "dtype", None), "is_integer", False)  # of a tf.DType
    if isinstance(values, (list, tuple, np.ndarray, np.generic, int, float)) or integer:
        values = _validation.as_array(argument, values)
        values = values.astype(dtype) if values.dtype.kind in "iub" else values
    values = _validation.float_tensor(argument, values, tf.as_dtype(dtype))
    if values.dtype != dtype:
        values = _validation.finite(f"{argument} as {dtype}", tf.cast(values, dtype))
    return values


def _no_nan(log_q):
    if tf.executing_eagerly() and np.isnan(log_q).any():
        expected = "points in the range of the bijectors"
        raise ValueError(_validation.message("x", expected, f"{np.isnan(log_q).sum()} for which log q is NaN"))
    return log_q


def _require_base(base, shape, dtype):
    if base is None:
        return
    _validation.distribution("base", base)
    if _holds_keras_variable(base):
        expected = "tf.Variables where it is to learn (TFP takes a Keras variable's value once)"
        raise TypeError(_validation.message("base", expected, "a keras.Variable"))
    if base.event_shape != shape or base.batch_shape.rank != 0:
        expected = f"a {dtype} distribution of event shape {shape} and no batch"
        got = f"event shape {base.event_shape}, batch shape {base.batch_shape}"
        raise ValueError(_validation.message("base", expected, got))
