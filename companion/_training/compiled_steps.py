"""Several training steps as one XLA program."""

import contextlib
import itertools

import tensorflow as tf

__all__ = ["CompiledSteps"]


class CompiledSteps:
    """What Keras calls for every `steps_per_execution` batches, in the place of its own loop of programs.

    With the loop inside the program, XLA keeps the weights and the optimizer's state in place from step to step; a
    program for each step reads all of them and writes them anew. The noise is made outside: XLA's generator for
    processors is slow.

    Args:
        model: a `TrainedOnExamples`.
        steps: how many at a time.
    """

    def __init__(self, model, steps):
        self._examples, self._at_a_time = None, 1
        self._model, self._steps = model, steps
        self._noise = tf.function(self._noise_of_steps, autograph=False)
        self._program = tf.function(self._learn, jit_compile=True, autograph=False)

    @contextlib.contextmanager
    def places_in(self, examples, at_a_time=1):
        """Inside, batches hold the places of their examples in a tensor, or the examples if it is None.

        The iterator gives so many batches at a time, stacked if they are several: one, or all steps of a call.
        """
        before = self._examples, self._at_a_time
        self._examples, self._at_a_time = examples, at_a_time
        try:
            yield
        finally:
            self._examples, self._at_a_time = before

    def __call__(self, iterator):
        """Takes the batches from an iterator; raises StopIteration if there is none."""
        if self._at_a_time > 1:
            self._run(next(iterator))
            return self._model.get_metrics_result()
        batches = list(itertools.islice(iterator, self._steps))
        if not batches:
            raise StopIteration
        if self._examples is None:
            batches = [self._model.only_examples(batch) for batch in batches]
        for _, alike in itertools.groupby(batches, key=lambda batch: batch.shape):
            self._run(tf.stack(list(alike)))
        return self._model.get_metrics_result()

    def _run(self, stack):
        """A stack of batches; the program is made for one of them, or for as many as there can be."""
        count = len(stack)
        eps = self._noise(count, tf.shape(stack)[1], self._model.steps_taken.value)
        if 1 < count < self._steps:
            stack, eps = (tf.concat([a, tf.repeat(a[:1], self._steps - count, axis=0)], axis=0) for a in (stack, eps))
        self._program(stack, eps, tf.constant(count), self._examples)

    def _noise_of_steps(self, count, num_examples, first_step):
        first_step = tf.cast(first_step, tf.int32)
        return tf.stack([self._model.training_noise(0, num_examples, first_step + i) for i in range(count)])

    def _learn(self, stack, eps, count, examples):
        def one(i):
            x = stack[i] if examples is None else tf.gather(examples, stack[i])
            self._model.learn(x, eps[i], tf.shape(x)[0])
            return (i + 1,)

        tf.while_loop(lambda i: i < count, one, (tf.constant(0),))
