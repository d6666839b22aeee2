"""Tables of numbers, one row an example."""

from typing import NamedTuple

import numpy as np
from sklearn import datasets as sklearn_datasets

from companion import _validation

__all__ = ["Classification", "Regression", "breast_cancer", "diabetes"]


class Regression(NamedTuple):
    """Inputs and targets of a regression.

    Attributes:
        x: inputs, shape [num_examples, num_features].
        y: targets, shape [num_examples].
        feature_names: names of the columns of `x`.
    """

    x: np.ndarray
    y: np.ndarray
    feature_names: tuple


class Classification(NamedTuple):
    """Inputs and labels of a classification into two classes.

    Attributes:
        x: inputs, shape [num_examples, num_features].
        y: labels 0.0 or 1.0, shape [num_examples].
        feature_names: names of the columns of `x`.
    """

    x: np.ndarray
    y: np.ndarray
    feature_names: tuple


def diabetes(features=None):
    """The diabetes data: 442 patients, ten measurements at the start, progression after a year.

    Columns and target are standardised to mean 0 and standard deviation 1.

    Args:
        features: names of the columns to keep, such as ["bmi", "s5"]; None for all ten.

    Returns:
        A `Regression`.

    Raises:
        ValueError: if a feature is unknown.

    Reference:
        Efron, Hastie, Johnstone and Tibshirani (2004), as shipped with scikit-learn.

    Example:
        >>> data = diabetes(["bmi"])
        >>> data.x.shape, data.y.shape
        ((442, 1), (442,))
    """
    raw = sklearn_datasets.load_diabetes(scaled=False)
    names = tuple(raw.feature_names)
    wanted = names if features is None else tuple(features)
    if unknown := [name for name in wanted if name not in names]:
        raise ValueError(_validation.message("features", f"names among {', '.join(names)}", unknown[0]))
    x = raw.data[:, [names.index(name) for name in wanted]]
    return Regression(_standardised(x), _standardised(raw.target), wanted)


def breast_cancer():
    """The Wisconsin breast cancer data: 569 tumours, thirty measurements of their cell nuclei, the diagnosis.

    Columns are standardised to mean 0 and standard deviation 1; there is no column of ones. Label 1 is benign
    (357 tumours), label 0 malignant (212).

    Returns:
        A `Classification`.

    Reference:
        Street, Wolberg and Mangasarian (1993), as shipped with scikit-learn.

    Example:
        >>> data = breast_cancer()
        >>> data.x.shape, data.y.mean().round(3)
        ((569, 30), np.float64(0.627))
    """
    raw = sklearn_datasets.load_breast_cancer()
    return Classification(_standardised(raw.data), raw.target.astype(float), tuple(map(str, raw.feature_names)))


def _standardised(a):
    return (a - a.mean(axis=0)) / a.std(axis=0)
