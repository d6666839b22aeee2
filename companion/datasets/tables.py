"""Tables of numbers, one row an example."""

from typing import NamedTuple

import numpy as np
from sklearn import datasets as sklearn_datasets

from companion import _validation, seeds

__all__ = ["Classification", "Regression", "Table", "breast_cancer", "diabetes", "split", "wine"]


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


class Table(NamedTuple):
    """Rows to learn a density from and rows to judge it by, in units of the first: (raw - loc) / scale.

    Attributes:
        x_train: shape [num_train, num_features], each column of mean 0 and standard deviation 1.
        x_test: shape [num_test, num_features].
        feature_names: names of the columns.
        loc: means of the raw columns of the training part, shape [num_features].
        scale: their standard deviations, shape [num_features].
    """

    x_train: np.ndarray
    x_test: np.ndarray
    feature_names: tuple
    loc: np.ndarray
    scale: np.ndarray

    @property
    def log_det(self):
        r"""What a log-density of rows gains in the raw units: :math:`-\sum_j \log` scale[j], in nats."""
        return float(-np.log(self.scale).sum())


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


def wine(test_share=0.2, seed=0):
    """The wine data for density estimation: 178 wines of three growers, thirteen measurements, without the growers.

    Columns are standardised by the mean and the standard deviation of the training part alone, so that nothing of the
    test part is known beforehand. Log-densities are in nats of these units; add `Table.log_det` for those of the raw
    ones. Some columns have few digits and values that repeat, so no log-density is bounded from above.

    Args:
        test_share: as for `split`.
        seed: as for `split`.

    Returns:
        A `Table`.

    Raises:
        TypeError: if seed is no seed.
        ValueError: if test_share is not between 0 and 1, or leaves a part empty.

    Reference:
        Aeberhard and Forina (1991), Wine, UCI Machine Learning Repository, as shipped with scikit-learn.

    Example:
        >>> data = wine()
        >>> data.x_train.shape, data.x_test.shape, round(data.log_det, 3)
        ((142, 13), (36, 13), -4.111)
    """
    raw = sklearn_datasets.load_wine()
    train, test = split(raw.data, test_share, seed)
    loc, scale = train.mean(axis=0), train.std(axis=0)
    return Table((train - loc) / scale, (test - loc) / scale, tuple(map(str, raw.feature_names)), loc, scale)


def split(x, test_share=0.2, seed=0):
    """Some rows to train on and the others to test on, at random.

    Args:
        x: an array, shape [num_examples, ...].
        test_share: which share of the rows is for testing, between 0 and 1, rounded to whole rows.
        seed: as for `companion.seeds.as_seed`.

    Returns:
        Two arrays, x_train and x_test, each in the order of x.

    Raises:
        TypeError: if seed is no seed, or x has no rows.
        ValueError: if test_share is not between 0 and 1, or leaves a part empty.

    Example:
        >>> split(np.arange(10.0), test_share=0.3)
        (array([0., 1., 3., 5., 6., 7., 8.]), array([2., 4., 9.]))
    """
    x = np.asarray(x)
    if not x.ndim:
        raise TypeError(_validation.message("x", "an array with rows", _validation.describe(x)))
    share = _validation.positive_number("test_share", test_share)
    num_test = round(share * len(x))
    if not 0 < num_test < len(x):
        expected = f"a share between 0 and 1 that leaves both parts some of {len(x)} rows"
        raise ValueError(_validation.message("test_share", expected, share))
    order = np.argsort(seeds.uniform([len(x)], seed, "float64").numpy())
    test, train = np.sort(order[:num_test]), np.sort(order[num_test:])
    return x[train], x[test]


def _standardised(a):
    return (a - a.mean(axis=0)) / a.std(axis=0)
