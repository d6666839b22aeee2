"""flowjax: its `fit_to_data`, its step in a bare loop, and the same step in a compiled epoch."""

import time

import equinox as eqx
import flows_problem as problem
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from flowjax import bijections, distributions, flows
from flowjax.train import fit_to_data
from flowjax.train.losses import MaximumLikelihoodLoss
from flowjax.train.train_utils import step

_ADAM = optax.adam(problem.LEARNING_RATE, eps=problem.EPSILON)
_LOSS = MaximumLikelihoodLoss()


class Program:
    """A flow that is trained anew after each `start`; `run` is the way of training."""

    def __init__(self, data, compiled):
        self._x, self._judged, self._at_start = jnp.asarray(data.x), jnp.asarray(data.judged), _flow(data)
        self._log_prob, self._draw = _log_prob, _draw
        if compiled:
            self._log_prob, self._draw = eqx.filter_jit(_log_prob), eqx.filter_jit(_draw)

    def start(self):
        """Sets the initial weights."""
        self._flow, self._key = self._at_start, jax.random.key(0)
        self._moments = _ADAM.init(_split(self._flow)[0])

    def parameters(self):
        """How many numbers are trained."""
        return sum(part.size for part in jax.tree.leaves(_split(self._at_start)[0]))

    def log_prob(self, points):
        """Log-densities at points, an array."""
        return np.asarray(self._flow.log_prob(points))

    def score(self, number):
        """The seconds of calls that score so many points."""
        return problem.seconds(lambda: self._log_prob(self._flow, self._judged[:number]).block_until_ready())

    def sample(self, number):
        """The seconds of calls that draw so many samples."""
        return problem.seconds(lambda: self._draw(self._flow, self._next(), number).block_until_ready())

    def _next(self):
        self._key, key = jax.random.split(self._key)
        return key


class _FitToData(Program):
    """Its training function, which wants validation data: one more batch."""

    def run(self, epochs):
        """Trains; the seconds of each epoch, all alike: it is one call."""
        x = jnp.concatenate([self._x, self._judged[: problem.BATCH]])
        options = {"batch_size": problem.BATCH, "val_prop": problem.BATCH / len(x), "max_patience": epochs}
        began = time.perf_counter()
        self._flow, _ = fit_to_data(
            self._next(), self._flow, x, optimizer=_ADAM, max_epochs=epochs, return_best=False, show_progress=False,
            **options,
        )  # fmt: skip
        jax.block_until_ready(_split(self._flow)[0])
        return [(time.perf_counter() - began) / epochs] * epochs


class _Steps(Program):
    """Its step, in a loop."""

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        seconds = []
        for _ in range(epochs):
            began = time.perf_counter()
            parameters, static = _split(self._flow)
            for x in _batches(self._x, self._next()):
                options = {"optimizer": _ADAM, "opt_state": self._moments, "loss_fn": _LOSS}
                parameters, self._moments, _ = step(parameters, static, x, **options)
            self._flow = eqx.combine(jax.block_until_ready(parameters), static)
            seconds.append(time.perf_counter() - began)
        return seconds


class _Scan(Program):
    """Its loss, in an epoch that is one compiled loop."""

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        seconds = []
        for _ in range(epochs):
            began = time.perf_counter()
            self._flow, self._moments = _epoch(self._flow, self._moments, self._x, self._next())
            jax.block_until_ready(self._moments)
            seconds.append(time.perf_counter() - began)
        return seconds


def programs(data):
    """Every way of running it, by name."""
    return {
        "flowjax, fit_to_data": _FitToData(data, False),
        "flowjax, its jitted step": _Steps(data, True),
        "flowjax, scan of an epoch": _Scan(data, True),
    }


def _flow(data):
    base, key = distributions.Normal(jnp.zeros(data.dim)), jax.random.key(0)
    sizes = {"flow_layers": data.layers, "nn_width": problem.HIDDEN, "nn_depth": 2}
    if data.kind == "autoregressive":
        return flows.masked_autoregressive_flow(key, base_dist=base, **sizes)
    spline = bijections.RationalQuadraticSpline(knots=problem.BINS - 1, interval=problem.BOUND)
    transformer = spline if data.kind == "spline" else None
    return flows.coupling_flow(key, base_dist=base, transformer=transformer, **sizes)


def _split(flow):
    return eqx.partition(flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable))


def _log_prob(flow, x):
    return flow.log_prob(x)


def _draw(flow, key, number):
    return flow.sample(key, (number,))


@jax.jit
def _batches(x, key):
    return list(jax.random.permutation(key, x).reshape(-1, problem.BATCH, x.shape[1]))


@eqx.filter_jit
def _epoch(flow, moments, x, key):
    parameters, static = _split(flow)

    def one(state, batch):
        parameters, moments = state
        gradients = eqx.filter_grad(_LOSS)(parameters, static, batch)
        updates, moments = _ADAM.update(gradients, moments, params=parameters)
        return (eqx.apply_updates(parameters, updates), moments), None

    batches = jax.random.permutation(key, x).reshape(-1, problem.BATCH, x.shape[1])
    (parameters, moments), _ = jax.lax.scan(one, (parameters, moments), batches)
    return eqx.combine(parameters, static), moments
