"""`companion.flows` through `compile("adam")` and `fit`: as it stands, and with other settings of `compile`.

As it stands, `fit` takes an epoch's steps in one call, and compiles them with XLA if they are 2000 or more: with
`--epochs 100` that is so, else not.
"""

import time

import flows_problem as problem
import keras
import numpy as np

from companion import flows


class Program:
    """A flow that is trained anew after each `start`."""

    def __init__(self, data, **compile_options):
        self._x, self._judged, self._flow = data.x, data.judged, _flow(data)
        self._flow.compile("adam", **compile_options)
        self._flow.optimizer.build(self._flow.trainable_variables)
        self._at_start = [variable.numpy() for variable in self._variables()]

    def start(self):
        """Sets the initial weights."""
        for variable, value in zip(self._variables(), self._at_start, strict=True):
            variable.assign(value)

    def parameters(self):
        """How many numbers are trained."""
        return int(sum(np.prod(variable.shape) for variable in self._flow.trainable_variables))

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        clock = _Clock()
        self._flow.fit(self._x, batch_size=problem.BATCH, epochs=epochs, verbose=0, callbacks=[clock])
        return clock.seconds

    def log_prob(self, points):
        """Log-densities at points, an array."""
        return self._flow.log_prob(points).numpy()

    def score(self, number):
        """The seconds of calls that score so many points."""
        return problem.seconds(lambda: self._flow.log_prob(self._judged[:number]).numpy())

    def sample(self, number):
        """The seconds of calls that draw so many samples."""
        return problem.seconds(lambda: self._flow.sample(number).numpy())

    def _variables(self):
        return [*self._flow.trainable_variables, *self._flow.optimizer.variables]


class _Clock(keras.callbacks.Callback):
    """The seconds of each epoch, from the call of `fit` or the end of the epoch before."""

    def __init__(self):
        super().__init__()
        self.seconds, self._began = [], time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        self.seconds.append(now - self._began)
        self._began = now


def programs(data):
    """Every way of running it, by name."""
    settings = {
        "as it stands": {},
        "XLA": {"jit_compile": True},
        "a step a call": {"steps_per_execution": 1, "jit_compile": False},
        "a step a call, XLA": {"steps_per_execution": 1, "jit_compile": True},
    }
    return {f"companion, {name}": Program(data, **options) for name, options in settings.items()}


def _flow(data):
    sizes = {"layers": data.layers, "hidden": (problem.HIDDEN, problem.HIDDEN), "seed": 0}
    if data.kind == "autoregressive":
        return flows.autoregressive_flow(data.dim, **sizes)
    return flows.coupling_flow(data.dim, transform=data.kind, bins=problem.BINS, bound=problem.BOUND, **sizes)
