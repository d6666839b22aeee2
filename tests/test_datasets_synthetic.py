"""Data drawn from a formula have the law of the formula."""

import re

import numpy as np
import pytest
from calibration import agree, assert_law, assert_mean, assert_variance, variance_agrees
from numpy.polynomial.hermite_e import hermegauss
from scipy import optimize, stats

from companion import datasets, seeds


def slope(x):
    """Of y in the noise, at noise 0."""
    return 1 + 0.6 * np.pi * np.cos(2 * np.pi * x) + 1.2 * np.pi * np.cos(4 * np.pi * x)


def curve(x, eps):
    return x + 0.3 * np.sin(2 * np.pi * (x + eps)) + 0.3 * np.sin(4 * np.pi * (x + eps)) + eps


def noise_of(x, y):
    """The noise of examples where y rises with it, by bisection."""
    pairs = zip(x, y, strict=True)
    return np.array([optimize.brentq(lambda eps, a=a, b=b: curve(a, eps) - b, -0.09, 0.09) for a, b in pairs])


def test_blundell_regression_is_the_published_curve():
    data = datasets.blundell_regression(30_000, seed=1)
    assert data.x.shape == (30_000, 1)
    assert data.y.shape == (30_000,)
    assert data.x.dtype == data.y.dtype == np.float64
    assert data.feature_names == ("x",)
    x = data.x[:, 0]
    assert_law(x, stats.uniform(0, 0.5).cdf, shared_among=3)
    with pytest.raises(AssertionError):
        assert_law(x, stats.uniform(0, 0.52).cdf, shared_among=3)
    steep = x < 0.07  # there y rises with the noise, up to four standard deviations and more
    eps = noise_of(x[steep], data.y[steep])
    assert_law(eps, stats.norm(0, 0.02).cdf, shared_among=3)
    assert_mean(eps * x[steep], np.array(0.0), shared_among=3)  # and does not depend on x
    for wrong in (stats.norm(0, 0.025).cdf, stats.norm(0.002, 0.02).cdf):
        with pytest.raises(AssertionError):
            assert_law(eps, wrong, shared_among=3)


def deviation(x):
    """The standard deviation of y at x, by quadrature over the noise."""
    nodes, weights = hermegauss(60)
    values = curve(x, 0.02 * nodes)
    mean = np.average(values, weights=weights)
    return np.sqrt(np.average((values - mean) ** 2, weights=weights))


def test_blundell_noise_depends_on_x_as_its_docstring_says():
    for place, expected in ((0.0, 0.13), (0.17, 0.01), (0.38, 0.01), (0.5, 0.06)):
        assert round(deviation(place), 2) == expected
        assert abs(deviation(place) - 0.02 * abs(slope(place))) < 0.012
    data = datasets.blundell_regression(50_000, seed=2)
    residuals = data.y - curve(data.x[:, 0], 0.0)
    near = data.x[:, 0] < 0.005
    assert_variance(residuals[near], np.array(deviation(0.0025) ** 2))
    assert not variance_agrees(residuals[near], 0.02**2)


def test_blundell_examples_stay_when_more_come_and_depend_on_the_seed_alone():
    few, many = datasets.blundell_regression(10), datasets.blundell_regression(1000)
    np.testing.assert_array_equal(few.x, many.x[:10])
    np.testing.assert_array_equal(few.y, many.y[:10])
    np.testing.assert_array_equal(many.y, datasets.blundell_regression(1000, seed=seeds.as_seed(0)).y)
    other = datasets.blundell_regression(1000, seed=1)
    assert not (other.x == many.x).any()
    assert not (other.y == many.y).any()
    assert agree((other.x * many.x)[:, 0], 1 / 16)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=re.escape("num_examples: expected an integer of at least 1; got 0")):
        datasets.blundell_regression(0)
    with pytest.raises(TypeError, match="seed: expected"):
        datasets.blundell_regression(3, seed=0.5)
