"""Data for the chapters: tables, curves and images that need no network, and MNIST, which does.

Contract: each function returns the same numbers every time. Tables are float64, standardised where they say so.
Images are float32 in [0, 1], shape [num_examples, height, width, 1].
"""

from companion.datasets.binarization import dynamically_binarized
from companion.datasets.images import Images, digits, mnist
from companion.datasets.shifted import natural_patches, rotated
from companion.datasets.synthetic import blundell_regression
from companion.datasets.tables import Classification, Regression, breast_cancer, diabetes

__all__ = [
    "Classification",
    "Images",
    "Regression",
    "blundell_regression",
    "breast_cancer",
    "diabetes",
    "digits",
    "dynamically_binarized",
    "mnist",
    "natural_patches",
    "rotated",
]
