"""A `keras.Model` that is trained on examples alone, by a loss of each example that may need noise.

Contract: a subclass defines `metric_names`, the first of them "loss"; `noise_for(first_row, num_examples, seed)`, the
noise of some examples, a tensor; `terms(x, eps, training)`, which gives
`.loss`, shape [batch], and `.stacked()`, all metrics, shape [num_metrics, batch]; `check_data(argument, array)`, which
returns the array, or raises, and builds the model with `build_for`; `build`; and `example_shape`, None until it is
built. The loss is the mean over the examples of the global batch, also where devices share it unevenly.
"""

import contextlib
import inspect

import keras
import tensorflow as tf

from companion import _validation, seeds
from companion._training import inputs, order
from companion._training.averages import Averages
from companion._training.compiled_steps import CompiledSteps
from companion._training.devices import place_in_global_batch, sum_over_devices

__all__ = ["TrainedOnExamples"]


class TrainedOnExamples(keras.Model):
    """`fit` and `evaluate` for a loss without targets.

    Args:
        seed: an integer.
        **kwargs: those of `keras.Model`.
    """

    def __init__(self, seed, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # examples keep their width; the nets cast what they take
        self.seed = _validation.count("seed", seed, minimum=0)
        # the optimizer counts updates, which are fewer where it accumulates gradients or skips a step
        counter = {"initializer": "zeros", "dtype": "int32", "trainable": False, "autocast": False}
        self.steps_taken = self.add_weight(shape=(), aggregation="only_first_replica", name="steps_taken", **counter)
        self._averages = Averages(self.metric_names)

    @property
    def training_seed(self):
        """The seed from which every training step's is made."""
        return seeds.fold(self.seed, 0)

    @property
    def evaluation_seed(self):
        """The seed of the noise in `evaluate`."""
        return seeds.fold(self.seed, 1)

    @property
    def metrics(self):
        """The numbers of `metric_names`, as one metric."""
        return [self._averages]

    def compile(self, optimizer="adam", loss=None, **kwargs):
        """Configures training: as `keras.Model.compile`, without a loss, which the model has.

        For long runs of larger nets `jit_compile=True` with, say, `steps_per_execution=100` is fastest: all those steps
        are then one XLA program, which takes some seconds to make and keeps the weights in place. Small nets gain most
        from `steps_per_execution` alone; best is a divisor of the number of batches in an epoch.

        Args:
            optimizer: a Keras optimizer or its name.
            loss: nothing.
            **kwargs: as in Keras, without metrics.

        Raises:
            ValueError: if a loss or metrics are given, or several devices are to take several steps at a time.
        """
        for name, value in {"loss": loss, **{k: kwargs.get(k) for k in ("metrics", "weighted_metrics")}}.items():
            if value is not None:
                expected = f"nothing: the model has its loss, and reports {', '.join(self.metric_names)}"
                raise ValueError(_validation.message(f"compile's {name}", expected, _validation.describe(value)))
        if kwargs.get("steps_per_execution", 1) != 1 and self.distribute_strategy.num_replicas_in_sync > 1:
            expected = "1 with several devices (Keras fails otherwise)"
            raise ValueError(_validation.message("steps_per_execution", expected, kwargs["steps_per_execution"]))
        super().compile(optimizer=optimizer, **kwargs)

    def compile_from_config(self, config):
        """Compiles a loaded model as it was compiled before it was saved; Keras calls this."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, *args, **kwargs):
        """Trains on examples: as `keras.Model.fit`, without targets and weights.

        The order in which the examples of an array are shuffled depends on the model's seed and on the number of steps
        taken, so that a run which was interrupted and restored goes on as it would have. (With `steps_per_epoch` it
        can be repeated, but starts a new pass when it is restored. That number should be a multiple of
        `steps_per_execution`, for Keras runs over the end of the epoch otherwise.)

        Args:
            x: an array of examples; or batches of them from a `tf.data.Dataset`, a `keras.utils.PyDataset` or a
                generator.
            *args: as in Keras.
            **kwargs: as in Keras; `validation_data` are examples too.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: if the data have the wrong shape, are not finite or are outside of what the model takes.
        """
        given = {**_bind(super().fit, "fit", x, args, kwargs), "x": self._checked("x", x)}
        if given.get("validation_data") is not None:
            given["validation_data"] = self._checked("validation_data", given["validation_data"])
        if not self.compiled:
            return super().fit(**given)  # which says so
        self.set_pace(given)
        function, order_seed = self.make_train_function(), seeds.fold(self.seed, 2)
        if not isinstance(function, CompiledSteps):
            given, *_ = order.with_repeatable_order(given, order_seed, self.steps_per_execution, places=False)
            return _run(super().fit, given)
        given, *form = order.with_repeatable_order(given, order_seed, self.steps_per_execution, places=True)
        with function.places_in(*form):
            return _run(super().fit, given)

    def set_pace(self, given):
        """Chooses how to run for the arguments of `fit`, where `compile` was not told; nothing here."""

    def evaluate(self, x=None, *args, **kwargs):
        """The averages of the metrics over examples: as `keras.Model.evaluate`, without targets and weights."""
        given = _bind(super().evaluate, "evaluate", x, args, kwargs)
        if not kwargs.get("_use_cached_eval_dataset"):  # inside fit, where they were checked
            given["x"] = self._checked("x", x)
        logs = _run(super().evaluate, {**given, "return_dict": True})
        return logs if given.get("return_dict") else self._in_order(logs)

    def train_on_batch(self, x, return_dict=False):
        """One step on a batch of examples; its metrics, in the place of those of an epoch that may be going on."""
        self.reset_metrics()  # older versions of Keras do not
        x = self._checked("x", x)
        function = self.make_train_function() if self.compiled else None
        with function.places_in(None) if isinstance(function, CompiledSteps) else contextlib.nullcontext():
            logs = super().train_on_batch(x, return_dict=True)
        return logs if return_dict else self._in_order(logs)

    def test_on_batch(self, x, return_dict=False):
        """The metrics of a batch of examples."""
        self.reset_metrics()
        logs = super().test_on_batch(self._checked("x", x), return_dict=True)
        return logs if return_dict else self._in_order(logs)

    def predict_on_batch(self, x):
        """What `call` returns for a batch of examples, as a NumPy array."""
        return super().predict_on_batch(self._checked("x", x))

    def predict(self, x, *args, **kwargs):
        """What `call` returns for examples, as a NumPy array: as `keras.Model.predict`."""
        return _run(super().predict, {**_bind(super().predict, "predict", x, args, kwargs), "x": self._checked("x", x)})

    def make_train_function(self, force=False):
        """What `fit` calls for every `steps_per_execution` batches; Keras calls this."""
        one_device = self.distribute_strategy.num_replicas_in_sync == 1
        if not (self.jit_compile and self.steps_per_execution > 1 and one_device and not self.run_eagerly):
            return super().make_train_function(force)
        if self.train_function is None or force:
            self.train_function = CompiledSteps(self, self.steps_per_execution)
        return self.train_function

    def train_step(self, data):
        """One step of the optimizer; Keras calls this."""
        x = self.only_examples(data)
        first_row, num_examples = place_in_global_batch(tf.shape(x)[0])
        self.learn(x, self.training_noise(first_row, tf.shape(x)[0], self.steps_taken), num_examples)
        return self.get_metrics_result()

    def test_step(self, data):
        """The metrics of a batch added to those before; Keras calls this."""
        x = self.only_examples(data)
        first_row, num_examples = place_in_global_batch(tf.shape(x)[0])
        first_row += tf.cast(self._averages.num_examples, tf.int32)
        eps = self.noise_for(first_row, tf.shape(x)[0], self.evaluation_seed)
        self._report(self.terms(x, eps, training=False), num_examples)
        return self.get_metrics_result()

    def training_noise(self, first_row, num_examples, step):
        """The noise of some examples of the batch in a training step."""
        seed = seeds.fold(self.training_seed, tf.convert_to_tensor(step))
        return self.noise_for(first_row, num_examples, seed)

    def learn(self, x, eps, num_examples):
        """One step of the optimizer with given noise, for this device's part of `num_examples`."""
        with tf.GradientTape() as tape:
            terms = self.terms(x, eps, training=True)
            loss = tf.reduce_sum(terms.loss) / tf.cast(num_examples, terms.loss.dtype)
            loss = self.optimizer.scale_loss(loss + self._penalties(loss.dtype))
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self._report(terms, num_examples)
        with tf.control_dependencies([loss]):  # where the data end in the middle of a graph, no step is taken
            self.steps_taken.assign_add(1)

    def _penalties(self, dtype):
        """What the nets' regularizers and `add_loss` charge: this device's part."""
        penalties = tf.add_n([tf.cast(loss, dtype) for loss in self.losses] or [tf.zeros([], dtype)])
        return penalties / tf.distribute.get_strategy().num_replicas_in_sync

    def only_examples(self, data):
        """The examples of a batch as Keras hands it on, of the model's width."""
        return tf.cast(keras.utils.unpack_x_y_sample_weight(data)[0], self.variable_dtype)

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Nothing: the model is built. Keras would look at a batch, and fail if the devices' shares of it differ."""

    def _report(self, terms, num_examples):
        sums = tf.reduce_sum(tf.stop_gradient(terms.stacked()), axis=1)
        self._averages.update_state(sum_over_devices(sums), num_examples)

    def _in_order(self, logs):
        return [logs[name] for name in self._averages.names]

    def _checked(self, argument, data):
        data = inputs.checked(argument, data, self)
        if self.built and self.compiled and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return data

    def build_for(self, event_shape):
        """Builds the model for examples of a shape, where its weights belong, if it is not built."""
        if not self.built:
            with self.distribute_strategy.scope():
                self.build((None, *event_shape))


def _bind(method, name, x, args, kwargs):
    """The arguments by name; targets and weights are refused."""
    given = inspect.signature(method).bind(x, *args, **kwargs).arguments
    given.update(given.pop("kwargs", {}))
    for argument in ("y", "sample_weight", "class_weight"):
        if given.get(argument) is not None:
            expected = f"nothing: {name} takes examples alone"
            raise ValueError(_validation.message(argument, expected, _validation.describe(given[argument])))
    return given


def _run(method, given):
    """The method's result; what a check found in the middle of a stream comes out as it was raised."""
    try:
        return method(**given)
    except tf.errors.InvalidArgumentError as error:
        found = inputs.error_inside(error)
        if found is None:
            raise
        raise found from error
