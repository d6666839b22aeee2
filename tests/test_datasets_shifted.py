"""Turned images are turned, and patches are of the photographs."""

import re

import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_law, quantile
from scipy import stats
from sklearn.datasets import load_sample_images

from companion import datasets

DIGITS = datasets.digits(binarize=None).x_test[:20]
RANDOM = np.random.default_rng(0).uniform(size=[3, 5, 7, 1]).astype(np.float32)


def blob(rows, columns, height=64, width=64):
    """A smooth spot at a place from the centre, in pixels: rows downwards, columns to the right."""
    i, j = np.mgrid[:height, :width]
    distance = (i - (height - 1) / 2 - rows) ** 2 + (j - (width - 1) / 2 - columns) ** 2
    return np.exp(-distance / 2 / 5**2).astype(np.float32)[None, ..., None]


def test_right_angles_turn_counter_clockwise_and_lose_nothing():
    for turns in (-1, 0, 1, 2, 3, 4):
        got = datasets.rotated(DIGITS, 90 * turns)
        np.testing.assert_allclose(got, np.rot90(DIGITS, turns, axes=(1, 2)), atol=1e-6)
        assert got.dtype == np.float32
    assert np.abs(datasets.rotated(DIGITS, 90) - np.rot90(DIGITS, -1, axes=(1, 2))).max() > 0.5
    np.testing.assert_allclose(datasets.rotated(RANDOM, 180), RANDOM[:, ::-1, ::-1], atol=1e-6)
    assert datasets.rotated(RANDOM, 30).shape == RANDOM.shape


@pytest.mark.parametrize("degrees", [10.0, 45.0, -120.0])
def test_a_spot_goes_where_the_angle_says(degrees):
    """Counter-clockwise about the centre, rows being downwards: to the top from the right."""
    angle = np.deg2rad(degrees)
    turned = datasets.rotated(blob(0.0, 12.0), degrees)
    np.testing.assert_allclose(turned, blob(-12 * np.sin(angle), 12 * np.cos(angle)), atol=1e-3)
    assert np.abs(turned - blob(12 * np.sin(angle), 12 * np.cos(angle))).max() > 0.1


def test_every_image_is_turned_by_itself_and_stays_in_range():
    turned = datasets.rotated(DIGITS, 33)
    alone = np.concatenate([datasets.rotated(image[None], 33) for image in DIGITS])
    np.testing.assert_array_equal(turned, alone)
    assert turned.min() == 0.0
    assert 0.9 < turned.max() <= 1.0
    full = datasets.rotated(np.ones([1, 8, 8, 1], np.float32), 45)[0, :, :, 0]
    assert (full[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()  # the corners come from outside
    np.testing.assert_allclose(full[2:6, 2:6], 1.0, atol=0.05)
    given = DIGITS.copy()
    np.testing.assert_array_equal(datasets.rotated(tf.constant(given), 10), datasets.rotated(given, np.float32(10)))
    np.testing.assert_array_equal(given, DIGITS)


BAD = {
    "images: expected shape [None, None, None, 1] ([num_examples, height, width, 1]); got shape [20, 8, 8]": (
        DIGITS[..., 0],
        1.0,
    ),
    "images: expected shape [None, None, None, 1] ([num_examples, height, width, 1]); got shape [1, 8, 8, 3]": (
        np.zeros([1, 8, 8, 3]),
        1.0,
    ),
    "images: expected at least one image; got shape [0, 8, 8, 1]": (DIGITS[:0], 1.0),
    "images: expected numbers in [0, 1]; got values from 0 to 16": (16 * DIGITS, 1.0),
    "images: expected finite numbers": (DIGITS * np.nan, 1.0),
    "degrees: expected shape [] (one number); got shape [2]": (DIGITS, [1.0, 2.0]),
    "degrees: expected finite numbers": (DIGITS, np.inf),
}


@pytest.mark.parametrize("expected", BAD)
def test_bad_input_is_named(expected):
    with pytest.raises(ValueError, match=re.escape(expected)):
        datasets.rotated(*BAD[expected])


def test_bad_types_are_named():
    with pytest.raises(TypeError, match="images: expected float32 or float64; got uint8"):
        datasets.rotated(np.zeros([1, 8, 8, 1], np.uint8), 1.0)
    with pytest.raises(TypeError, match="degrees: expected numbers"):
        datasets.rotated(DIGITS, "ten")
    with pytest.raises(ValueError, match="num_examples: expected an integer of at least 1; got 0"):
        datasets.natural_patches(0)
    with pytest.raises(TypeError, match="seed: expected"):
        datasets.natural_patches(1, seed=0.5)


def shrunk():
    """Grey 8 x 8 patches at every place of both photographs, by sums over 4 x 4 blocks: [2, rows, columns, 8, 8]."""
    grey = np.stack([image @ [0.299, 0.587, 0.114] for image in load_sample_images().images]) / 255
    sums = np.pad(grey.cumsum(1).cumsum(2), [(0, 0), (1, 0), (1, 0)])
    means = (sums[:, 4:, 4:] - sums[:, :-4, 4:] - sums[:, 4:, :-4] + sums[:, :-4, :-4]) / 16
    return np.lib.stride_tricks.sliding_window_view(means, [29, 29], axis=(1, 2))[..., ::4, ::4]


def places(patches):
    """Photograph, row and column of the patches that are found in the photographs; each must be."""
    every = shrunk()
    corners = every[..., 0, 0].ravel()
    order = np.argsort(corners)
    for patch in patches[..., 0]:
        near = order[slice(*np.searchsorted(corners[order], [patch[0, 0] - 1e-6, patch[0, 0] + 1e-6]))]
        at = np.array(np.unravel_index(near, every.shape[:3]))
        found = at[:, np.abs(every[tuple(at)] - patch).max(axis=(1, 2)) < 1e-6]
        assert found.shape[1] >= 1
        yield found[:, 0]


def test_patches_are_of_the_photographs_and_from_everywhere():
    patches = datasets.natural_patches(400, seed=3)
    assert patches.shape == (400, 8, 8, 1)
    assert patches.dtype == np.float32
    assert 0 <= patches.min() < 0.1
    assert 0.9 < patches.max() <= 1
    found = np.array(list(places(patches)))
    textured = patches.std(axis=(1, 2, 3)) > 0.02  # a flat patch may be at many places
    assert textured.mean() > 0.5
    assert abs(found[:, 0].mean() - 0.5) < quantile(3) * 0.5 / np.sqrt(400)
    for axis, size in ((1, 427 - 31), (2, 640 - 31)):
        assert_law((found[:, axis] + 0.5) / size, stats.uniform.cdf, shared_among=3)
    with pytest.raises(AssertionError):
        list(places(patches[:1, ::-1]))


def test_patches_depend_on_the_seed_alone_and_are_no_digits():
    patches = datasets.natural_patches(300)
    np.testing.assert_array_equal(patches, datasets.natural_patches(300, seed=0))
    assert not np.array_equal(patches, datasets.natural_patches(300, seed=1))
    digits = datasets.digits(binarize=None).x_test
    assert np.median(patches.std(axis=(1, 2, 3))) < np.median(digits.std(axis=(1, 2, 3))) / 2
    left = np.mean(digits[:, :, 0])  # digits leave their edges empty, photographs do not
    assert left < 0.02 < 0.2 < np.mean(patches[:, :, 0])
