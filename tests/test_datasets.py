"""The data are there without a network, and are what they say."""

import numpy as np
import pytest

from companion import datasets


def test_diabetes_is_standardised_and_selected_by_name():
    data = datasets.diabetes()
    assert data.x.shape == (442, 10)
    np.testing.assert_allclose([data.x.mean(axis=0), data.x.std(axis=0)], [np.zeros(10), np.ones(10)], atol=1e-12)
    np.testing.assert_allclose([data.y.mean(), data.y.std()], [0.0, 1.0], atol=1e-12)
    chosen = datasets.diabetes(["s5", "bmi"])
    np.testing.assert_array_equal(chosen.x, data.x[:, [8, 2]])
    assert chosen.feature_names == ("s5", "bmi")


def test_an_unknown_feature_is_named():
    with pytest.raises(ValueError, match=r"features: expected names among age, sex, .*; got shoe_size"):
        datasets.diabetes(["bmi", "shoe_size"])
