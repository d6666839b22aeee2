"""What all programs train: Bayesian classifiers, the same data, initial posterior, prior and optimizer; and the checks.

The nets are convolutions without padding, then dense layers, with rectified linear units in between, and give logits.
All kernels and biases are random: the posterior is a mean-field normal, the prior N(0, 1), the KL divergence in closed
form and divided by the number of examples; Adam, 1e-3. A posterior is a list [kernel_loc, kernel_scale, bias_loc,
bias_scale, ...] in the order of the layers; kernels have the shapes [inputs, outputs] and [height, width, channels,
filters], and an image is flattened with its channels last.
"""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

METHODS = ("reparameterization", "flipout", "local reparameterization")
LEARNING_RATE, EPSILON = 1e-3, 1e-7
SEEN, DRAWS = 512, 4  # the examples and draws of the weights that `Problem.terms` averages over


class Layer(NamedTuple):
    """The shape of a kernel, and its stride if it is a convolution's."""

    kernel: tuple
    stride: int | None = None

    @property
    def units(self):
        """Outputs, or filters."""
        return self.kernel[-1]


class Problem(NamedTuple):
    """Images or rows [examples, ...] of float32, their classes, and how the programs go through them."""

    title: str
    x: np.ndarray
    y: np.ndarray
    layers: tuple
    epochs: int
    tolerances: tuple  # of the two `terms` after `epochs` epochs, in nats
    batch: int = 128

    @property
    def steps(self):
        """Steps of an epoch; the last one may have fewer examples."""
        return -(-len(self.x) // self.batch)

    @property
    def image(self):
        """The shape of an image before it is flattened, None if there is none."""
        shape = self.x.shape[1:]
        for layer in self.convolutions:
            shape = (*((n - k) // layer.stride + 1 for n, k in zip(shape, layer.kernel[:2], strict=False)), layer.units)
        return shape if self.convolutions else None

    @property
    def convolutions(self):
        """The layers before the image is flattened."""
        return tuple(layer for layer in self.layers if layer.stride)

    @property
    def dense(self):
        """The layers after that."""
        return tuple(layer for layer in self.layers if not layer.stride)

    def posterior(self):
        """The initial posterior: Glorot's means, and scales of 0.5 / sqrt(inputs); for a bias 0 and 0.05."""
        rng = np.random.default_rng(0)
        arrays = []
        for layer in self.layers:
            inputs, positions = np.prod(layer.kernel[:-1]), np.prod(layer.kernel[:-2])
            limit = np.sqrt(6.0 / (inputs + positions * layer.units))
            arrays += [rng.uniform(-limit, limit, layer.kernel), np.full(layer.kernel, 0.5 / np.sqrt(inputs))]
            arrays += [np.zeros(layer.units), np.full(layer.units, 0.05)]
        return [array.astype(np.float32) for array in arrays]

    def kl(self, posterior):
        """KL(posterior || prior), in nats, in float64."""
        arrays = [np.asarray(array, np.float64) for array in posterior]
        return sum(
            (0.5 * (loc**2 + scale**2 - 1.0) - np.log(scale)).sum()
            for loc, scale in zip(arrays[::2], arrays[1::2], strict=True)
        )

    def terms(self, posterior):
        """An example's mean negative log-likelihood and KL divergence, in nats; their sum is what is minimised.

        In float64, and with noise that is the same for all programs.
        """
        rng = np.random.default_rng(1)
        arrays = [np.asarray(array, np.float64) for array in posterior]
        x, y = self.x[:SEEN].astype(np.float64), self.y[:SEEN]
        losses = []
        for _ in range(DRAWS):
            draw = [m + s * rng.standard_normal(m.shape) for m, s in zip(arrays[::2], arrays[1::2], strict=True)]
            logits = self._logits(x, draw)
            losses.append(np.logaddexp.reduce(logits, axis=1).mean() - logits[np.arange(len(y)), y].mean())
        return np.mean(losses), self.kl(posterior) / len(self.x)

    def _logits(self, x, weights):
        last = self.layers[-1]
        for layer, kernel, bias in zip(self.layers, weights[::2], weights[1::2], strict=True):
            x = (_convolve(x, kernel, layer.stride) if layer.stride else x.reshape(len(x), -1) @ kernel) + bias
            x = x if layer is last else np.maximum(x, 0.0)
        return x


def dense_course():
    """scikit-learn's digits, as a chapter trains on them."""
    x, y = _digits()
    title = "dense, course size: 64-128-10"
    return Problem(title, x, y, (Layer((64, 128)), Layer((128, 10))), epochs=20, tolerances=(0.04, 0.06))


def conv_course():
    """The same digits as images."""
    x, y = _digits()
    layers = (Layer((3, 3, 1, 16), 1), Layer((3, 3, 16, 32), 1), Layer((512, 10)))
    title = "convolutional, course size: 8x8x1, 16 3x3, 32 3x3, 10"
    return Problem(title, x.reshape(-1, 8, 8, 1), y, layers, epochs=20, tolerances=(0.08, 0.08))


def dense_large():
    """Noisy copies of ten random images."""
    x, y = _noisy_images(50 * 128)
    title = "dense, large: 784-400-400-10"
    return Problem(
        title, x, y, (Layer((784, 400)), Layer((400, 400)), Layer((400, 10))), epochs=3, tolerances=(0.1, 0.5)
    )


def conv_large():
    """The same as images."""
    x, y = _noisy_images(12 * 128)
    layers = (Layer((5, 5, 1, 32), 1), Layer((5, 5, 32, 64), 2), Layer((6400, 10)))
    title = "convolutional, large: 28x28x1, 32 5x5, 64 5x5 stride 2, 10"
    return Problem(title, x.reshape(-1, 28, 28, 1), y, layers, epochs=3, tolerances=(0.5, 0.5))


PROBLEMS = {
    "dense_course": dense_course,
    "conv_course": conv_course,
    "dense_large": dense_large,
    "conv_large": conv_large,
}


def _digits():
    digits = load_digits()
    return (digits.data[:1500] / 16.0).astype(np.float32), digits.target[:1500].astype(np.int32)


def _noisy_images(examples):
    rng = np.random.default_rng(0)
    images, y = rng.random([10, 784]), rng.integers(10, size=examples)
    x = 0.5 * images[y] + 0.5 * rng.random([examples, 784])
    return x.astype(np.float32), y.astype(np.int32)


def _convolve(x, kernel, stride):
    """A convolution without padding, [examples, height, width, filters]."""
    height, width = kernel.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))
