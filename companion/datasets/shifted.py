"""Images unlike those that a classifier was trained on: turned ones, and ones that show no digit."""

import numpy as np
from scipy import ndimage
from sklearn import datasets as sklearn_datasets

from companion import _validation, seeds

__all__ = ["natural_patches", "rotated"]

_SIZE, _SHRINK = 8, 4
_GREY = (0.299, 0.587, 0.114)  # the weights of red, green and blue in ITU-R BT.601


def natural_patches(num_examples, seed=0):
    """Patches of photographs of a Chinese temple and of a flower, grey, 8 x 8 pixels, as `digits` are.

    A patch is 32 x 32 pixels from anywhere in either photograph, shrunk fourfold by averaging. Patches may overlap.

    Args:
        num_examples: how many patches.
        seed: as for `companion.seeds.as_seed`.

    Returns:
        float32 in [0, 1], shape [num_examples, 8, 8, 1].

    Raises:
        TypeError: if seed is no seed.
        ValueError: if num_examples is not a positive integer.

    Reference:
        The photographs are shipped with scikit-learn, as `sklearn.datasets.load_sample_images`.

    Example:
        >>> natural_patches(5).shape
        (5, 8, 8, 1)
    """
    n = _validation.count("num_examples", num_examples)
    photographs = np.stack(sklearn_datasets.load_sample_images().images) @ np.array(_GREY) / 255
    width = _SIZE * _SHRINK
    windows = np.lib.stride_tricks.sliding_window_view(photographs, [width, width], axis=(1, 2))
    uniform = seeds.uniform([n, 3], seed, "float64").numpy()
    places = (uniform * windows.shape[:3]).astype(int)  # of a photograph, a row and a column
    blocks = windows[tuple(places.T)].reshape(n, _SIZE, _SHRINK, _SIZE, _SHRINK)
    return blocks.mean(axis=(2, 4), dtype=np.float64).clip(0, 1).astype(np.float32)[..., None]


def rotated(images, degrees):
    """Images turned about their centres, counter-clockwise; what comes in from outside is 0.

    Between the pixels cubic splines are used, which may go beyond 0 and 1 and are cut off there.

    Args:
        images: float32 or float64 in [0, 1], shape [num_examples, height, width, 1].
        degrees: the angle, one number.

    Returns:
        float32 in [0, 1], of the shape of images.

    Raises:
        TypeError: if an argument is not made of floats.
        ValueError: if a shape is wrong, a number is not finite, or images are outside of [0, 1] or none.

    Example:
        >>> corner = np.array([[0.25, 0.0], [0.0, 1.0]]).reshape(1, 2, 2, 1)
        >>> rotated(corner, 90)[0, :, :, 0].round(6)
        array([[0.  , 1.  ],
               [0.25, 0.  ]], dtype=float32)
    """
    x = _validation.float_tensor("images", images)
    x = _validation.same_shape("images", x, [None, None, None, 1], "[num_examples, height, width, 1]").numpy()
    if not x.size:
        raise ValueError(_validation.message("images", "at least one image", f"shape {list(x.shape)}"))
    _validation.between("images", x, 0, 1)
    angle = _validation.same_shape("degrees", _validation.float_tensor("degrees", degrees, "float64"), [], "one number")
    # grid-constant, for a pixel on the edge is not outside because of rounding
    turned = ndimage.rotate(x.astype(float), float(angle), axes=(1, 2), reshape=False, order=3, mode="grid-constant")
    return turned.clip(0, 1).astype(np.float32)
