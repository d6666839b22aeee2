"""Noise fills the grey levels' cells, and the constants turn nats of rows into nats and bits of images."""

import re

import numpy as np
import pytest
from calibration import agree, assert_law, assert_mean
from scipy import special, stats

from companion import datasets

DIGITS = datasets.digits(binarize=None).x_train


def grey(levels, shape, seed=0):
    """Random levels k, and the images they are."""
    k = np.random.default_rng(seed).integers(0, levels, size=shape)
    return k, k / (levels - 1)


def test_every_row_lies_in_its_cell():
    for images, levels in ((DIGITS, 17), (grey(256, [50, 9])[1], 256), (grey(2, [50, 3, 3, 1])[1], 2)):
        data = datasets.dequantized(images, levels)
        assert data.levels == levels
        assert data.x.dtype == np.float64
        k = np.rint(images.reshape(len(images), -1).astype(float) * (levels - 1))
        np.testing.assert_array_equal(np.floor(levels * data.x), k)
        assert ((data.x > 0) & (data.x < 1)).all()
    assert datasets.dequantized(DIGITS).x.shape == (1500, 64)


def test_noise_is_uniform_and_independent_of_the_image():
    data = datasets.dequantized(DIGITS[:400])
    noise = 17 * data.x - np.floor(17 * data.x)
    assert_law(noise.ravel(), stats.uniform.cdf, shared_among=2)
    with pytest.raises(AssertionError):
        assert_law(noise.ravel() ** 1.05, stats.uniform.cdf)
    level = np.floor(17 * data.x) - 8
    assert_mean(((noise - 0.5) * level).mean(axis=1), np.array(0.0), shared_among=2)
    assert not agree(((noise - 0.5 + 0.003 * level) * level).mean(axis=1), 0.0)


def test_noise_depends_on_the_seed_and_the_place_alone():
    many = datasets.dequantized(DIGITS[:20]).x
    np.testing.assert_array_equal(datasets.dequantized(DIGITS[:5]).x, many[:5])
    np.testing.assert_array_equal(datasets.dequantized(DIGITS[:20].astype(np.float64)).x, many)
    other = datasets.dequantized(DIGITS[:20], seed=1).x
    assert not (other == many).any()


def test_a_density_that_is_flat_in_each_cell_gives_the_probabilities_themselves():
    """q = L pi_k in the cell of k: its mass is pi_k, and the bound is an equality."""
    k, images = grey(4, [300, 2])
    data = datasets.dequantized(images, levels=4)
    pi = np.array([0.1, 0.2, 0.3, 0.4])
    log_q = np.log(4 * pi[np.floor(4 * data.x).astype(int)]).sum(axis=1)
    log_mass = np.log(pi[k]).sum(axis=1)
    np.testing.assert_allclose(log_q + data.log_det, log_mass, rtol=1e-12)
    np.testing.assert_allclose(data.bits_per_dimension(-log_q), -np.log2(pi[k]).mean(axis=1), rtol=1e-12)
    mean = data.bits_per_dimension(-log_q.mean())
    np.testing.assert_allclose(mean, -np.log2(pi[k]).mean(), rtol=1e-12)


def test_the_bound_is_below_the_mass_by_jensens_gap():
    """One pixel of three levels under the density 12 x (1 - x)^2."""
    k, images = grey(3, [20_000, 1])
    data, q = datasets.dequantized(images, levels=3), stats.beta(2, 3)
    log_mass = np.log(np.diff(q.cdf(np.arange(4) / 3)))
    x = np.arange(4) / 3  # an antiderivative of log q at the cells' ends
    integral = x * np.log(12) + special.xlogy(x, x) - x - 2 * (special.xlogy(1 - x, 1 - x) - (1 - x))
    bound = 3 * np.diff(integral) - np.log(3)
    assert (bound < log_mass).all()
    residual = q.logpdf(data.x[:, 0]) + data.log_det - bound[k[:, 0]]
    assert_mean(residual, np.array(0.0))
    assert not agree(residual, (log_mass - bound)[k[:, 0]].mean())
    assert not agree(residual - data.log_det, 0.0)


def test_the_flat_density_costs_what_the_pixels_take():
    data = datasets.dequantized(DIGITS[:3])
    np.testing.assert_allclose(data.bits_per_dimension(np.float64(0.0)), np.log2(17))
    np.testing.assert_allclose(data.log_det, -64 * np.log(17))


def test_bad_input_is_named():
    for wrong in (1, 0, 17.0, True):
        with pytest.raises(ValueError, match="levels: expected an integer of at least 2; got"):
            datasets.dequantized(DIGITS, wrong)
    with pytest.raises(ValueError, match=re.escape("images: expected multiples of 1/15; got 0.")):
        datasets.dequantized(DIGITS, levels=16)
    with pytest.raises(ValueError, match=re.escape("images: expected numbers in [0, 1]; got values from 0 to 16")):
        datasets.dequantized(16 * DIGITS)
    for empty in (np.zeros([0, 4]), np.float64(0.5)):
        with pytest.raises(ValueError, match="images: expected at least one image"):
            datasets.dequantized(empty)
    with pytest.raises(TypeError, match="images: expected float32 or float64; got uint8"):
        datasets.dequantized(np.zeros([2, 3], np.uint8))
    with pytest.raises(ValueError, match="images: expected finite"):
        datasets.dequantized([[np.nan]])
    with pytest.raises(TypeError, match="seed: expected"):
        datasets.dequantized(DIGITS, seed=0.5)
    with pytest.raises(ValueError, match="negative_log_likelihood: expected finite"):
        datasets.dequantized(DIGITS[:2]).bits_per_dimension(np.inf)
    with pytest.raises(TypeError, match="negative_log_likelihood: expected numbers"):
        datasets.dequantized(DIGITS[:2]).bits_per_dimension("nats")
