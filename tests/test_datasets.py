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


def test_breast_cancer_is_standardised_and_one_is_benign():
    data = datasets.breast_cancer()
    assert data.x.shape == (569, 30)
    assert data.x.dtype == data.y.dtype == np.float64
    np.testing.assert_allclose([data.x.mean(axis=0), data.x.std(axis=0)], [np.zeros(30), np.ones(30)], atol=1e-12)
    assert dict(zip(*np.unique(data.y, return_counts=True), strict=True)) == {0.0: 212, 1.0: 357}
    radius = data.x[:, data.feature_names.index("mean radius")]
    assert radius[data.y == 1].max() < radius[data.y == 0].max()
    assert radius[data.y == 1].mean() < 0 < radius[data.y == 0].mean()  # malignant tumours are larger
