"""Grey images of handwritten digits."""

import zipfile
from typing import NamedTuple

import keras
import numpy as np
from sklearn import datasets as sklearn_datasets

from companion import _validation
from companion.datasets.binarization import bernoulli

__all__ = ["Images", "digits", "mnist"]

_BINARIZE = ("threshold", "dynamic", None)
_NUM_TRAIN = 1500  # of the 1797 digits


class Images(NamedTuple):
    """Images for training and for testing, with what they show.

    Attributes:
        x_train: float32 in [0, 1], shape [num_train, height, width, 1].
        y_train: labels, int64, shape [num_train].
        x_test: float32 in [0, 1], shape [num_test, height, width, 1].
        y_test: labels, int64, shape [num_test].
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def __repr__(self):
        parts = ", ".join(f"{name}: {_validation.describe(a)}" for name, a in self._asdict().items())
        return f"{type(self).__name__}({parts})"


def digits(binarize="threshold", seed=0):
    """1797 handwritten digits of 8 x 8 pixels, shuffled and split once and for all: 1500 to train on, 297 to test on.

    Args:
        binarize: what becomes of intensities. "threshold": 1 from 0.5 on, else 0. "dynamic": `x_train` keeps them, for
            `dynamically_binarized`; `x_test` is drawn once, each pixel 1 with the probability of its intensity.
            None: they stay.
        seed: of the draw of `x_test`, as for `companion.seeds.as_seed`; the split does not depend on it.

    Returns:
        `Images`.

    Raises:
        TypeError: if seed is no seed.
        ValueError: if binarize is none of the three.

    Reference:
        Alpaydin and Kaynak (1998), Optical recognition of handwritten digits, as shipped with scikit-learn.

    Example:
        >>> digits()
        Images(x_train: float32 of shape [1500, 8, 8, 1], y_train: int64 of shape [1500],
               x_test: float32 of shape [297, 8, 8, 1], y_test: int64 of shape [297])
    """
    _checked_binarize(binarize)
    raw = sklearn_datasets.load_digits()
    train, test = np.split(np.random.default_rng(0).permutation(len(raw.target)), [_NUM_TRAIN])
    x = raw.images / 16
    return _images([x[train], raw.target[train], x[test], raw.target[test]], binarize, seed)


def mnist(binarize="threshold", seed=0, file=None):
    """70000 handwritten digits of 28 x 28 pixels, 60000 to train on, 10000 to test on.

    Keras fetches them when they are first asked for, and keeps them: that takes a network, or a `file`.

    Args:
        binarize: as for `digits`.
        seed: as for `digits`.
        file: an .npz file in Keras' form: uint8 images x_train and x_test, shape [num_examples, height, width], and
            integer labels y_train and y_test. None to have Keras fetch it.

    Returns:
        `Images`.

    Raises:
        OSError: if Keras cannot fetch the data, or the file cannot be read.
        TypeError: if seed is no seed.
        ValueError: if binarize is none of the three, or the file is not of that form.

    Reference:
        LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition.

    Example:
        >>> import io
        >>> file, image, label = io.BytesIO(), np.full([1, 28, 28], 128, np.uint8), np.array([7], np.uint8)
        >>> np.savez(file, x_train=image, y_train=label, x_test=image, y_test=label)
        >>> _ = file.seek(0)
        >>> images = mnist(file=file)  # mnist() with a network
        >>> images.x_test.shape, images.x_test.max(), images.y_test
        ((1, 28, 28, 1), np.float32(1.0), array([7]))
    """
    _checked_binarize(binarize)
    x_train, y_train, x_test, y_test = _checked_arrays(_fetched() if file is None else _stored(file))
    return _images([x_train / np.float32(255), y_train, x_test / np.float32(255), y_test], binarize, seed)


def _images(arrays, binarize, seed):
    """Images from intensities [num_examples, height, width] in [0, 1] and labels."""
    x_train, y_train, x_test, y_test = arrays
    x_train, x_test = (x.astype(np.float32)[..., None] for x in (x_train, x_test))
    if binarize == "threshold":
        x_train, x_test = ((x >= 0.5).astype(np.float32) for x in (x_train, x_test))
    if binarize == "dynamic":
        x_test = bernoulli(x_test, seed).numpy()
    return Images(x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64))


def _fetched():
    """x_train, y_train, x_test, y_test as Keras has them."""
    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as error:  # Keras wraps what urllib raises in a bare Exception
        expected = "a network to fetch MNIST with, or file= with the path of a copy of Keras' mnist.npz"
        raise OSError(_validation.message("mnist", expected, f"{type(error).__name__}: {error}")) from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _stored(file):
    """x_train, y_train, x_test, y_test of an .npz file."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in Images._fields}
    except (EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        expected = f"an .npz file with the arrays {', '.join(Images._fields)}"
        raise ValueError(_validation.message("file", expected, f"{file} ({error})")) from error


def _checked_arrays(arrays):
    """x_train, y_train, x_test, y_test if they have Keras' form: uint8 images of one size, integers, of one length."""
    size = arrays["x_train"].shape[1:]
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.ndim != 3 or not x.size or x.shape[1:] != size:
            expected = "uint8 images [num_examples, height, width], all of one size"
            raise ValueError(_validation.message(f"x_{part}", expected, _validation.describe(x)))
        if not np.issubdtype(y.dtype, np.integer) or y.shape != x.shape[:1]:
            expected = f"integers of shape [{len(x)}]"
            raise ValueError(_validation.message(f"y_{part}", expected, _validation.describe(y)))
    return arrays.values()


def _checked_binarize(binarize):
    if binarize not in _BINARIZE:
        expected = "'threshold', 'dynamic' or None"
        raise ValueError(_validation.message("binarize", expected, _validation.describe(binarize)))
