"""What all programs train: normalizing flows of three kinds, in 2 and in 64 dimensions, by maximum likelihood.

Every flow is a chain of layers on a standard normal. A coupling layer's net sees one half of the coordinates, the
halves taking turns; an autoregressive layer's net is masked, its order reversed from layer to layer, and the density
takes one pass. All nets have two hidden layers of 64 rectified linear units. Adam, 1e-3; float32. Where a
library leaves a choice (which half is first, the shape of a positive scale, the initial weights, a permutation instead
of a reversal), it keeps its own: `parameters` is what the nets have, and programs may differ from it by what is stated
in their table.
"""

import time
from typing import NamedTuple

import numpy as np
from sklearn.datasets import make_moons

BATCH, STEPS = 512, 20  # of an epoch
EPOCHS = 10
HIDDEN, BINS, BOUND = 64, 8, 5.0
COUPLING_LAYERS, AUTOREGRESSIVE_LAYERS = 8, 5
LEARNING_RATE, EPSILON = 1e-3, 1e-7
SIZES = (BATCH, 10_000)  # points to score, and to sample
SECONDS, CALLS = 0.3, 20  # a turn of scoring or sampling ends after either


class Problem(NamedTuple):
    """Data to train on and other data to judge by, [examples, dim], and the kind of flow."""

    kind: str  # "affine" or "spline" coupling, or "autoregressive"
    x: np.ndarray
    judged: np.ndarray
    least: float | None  # the mean negative log-likelihood of the true density, in nats, where it is known
    tolerance: float  # of the mean negative log-likelihood of `judged` after EPOCHS epochs, in nats
    least_error: float = 0.0  # of that mean as an estimate of `least`: five standard errors

    @property
    def dim(self):
        """Coordinates."""
        return self.x.shape[1]

    @property
    def layers(self):
        """Layers of the flow."""
        return AUTOREGRESSIVE_LAYERS if self.kind == "autoregressive" else COUPLING_LAYERS

    @property
    def outputs(self):
        """Numbers that a net gives for each coordinate."""
        return 3 * BINS - 1 if self.kind == "spline" else 2

    @property
    def halves(self):
        """For each layer, the coordinates that its net sees and those that it moves."""
        whole = self.dim
        first = whole if self.kind == "autoregressive" else whole // 2
        second = whole if self.kind == "autoregressive" else whole - first
        return [(first, second) if place % 2 == 0 else (second, first) for place in range(self.layers)]

    @property
    def parameters(self):
        """Weights and biases of all nets."""
        return sum(
            (seen + 1) * HIDDEN + (HIDDEN + 1) * HIDDEN + (HIDDEN + 1) * self.outputs * moved
            for seen, moved in self.halves
        )

    @property
    def title(self):
        """The headline of its table."""
        kind = {"affine": "affine coupling", "spline": "spline coupling", "autoregressive": "masked autoregressive"}
        least = "" if self.least is None else f", least possible NLL {self.least:.3f}"
        return f"{kind[self.kind]}, {self.dim}-d: {self.layers} layers, {self.parameters} parameters{least}"


def moons(kind):
    """Two moons, with mean 0 and variance 1."""
    x, _ = make_moons(BATCH * STEPS + SIZES[-1], noise=0.1, random_state=0)
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    return Problem(kind, x[: BATCH * STEPS], x[BATCH * STEPS :], None, tolerance=0.6)


def normal(kind):
    """A normal in 64 dimensions with variances 1 and random correlations."""
    rng, dim = np.random.default_rng(0), 64
    factor = np.eye(dim) + rng.standard_normal([dim, dim]) / np.sqrt(dim)
    factor /= np.linalg.norm(factor, axis=1, keepdims=True)
    x = (rng.standard_normal([BATCH * STEPS + SIZES[-1], dim]) @ factor.T).astype(np.float32)
    least = 0.5 * dim * np.log(2.0 * np.pi * np.e) + np.linalg.slogdet(factor)[1]
    error = 5.0 * np.sqrt(0.5 * dim / SIZES[-1])
    return Problem(kind, x[: BATCH * STEPS], x[BATCH * STEPS :], float(least), tolerance=9.0, least_error=error)


PROBLEMS = {
    f"{kind}_{dim}": (make, kind)
    for kind in ("affine", "spline", "autoregressive")
    for dim, make in ((2, moons), (64, normal))
}


def grid():
    """Points of the plane on a square that holds all but a thousandth of the flows' mass, and the area of each."""
    axis = np.linspace(-8.0, 8.0, 401)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2).astype(np.float32), (axis[1] - axis[0]) ** 2


def make(name):
    """The problem of this name."""
    function, kind = PROBLEMS[name]
    return function(kind)


def seconds(call):
    """The seconds of each of several calls."""
    times, end = [], time.perf_counter() + SECONDS
    while len(times) < CALLS and (not times or time.perf_counter() < end):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return times
