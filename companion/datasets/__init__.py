"""Data for the chapters: tables, curves, planes and images that need no network, and MNIST, which does.

Contract: each function returns the same numbers every time. Tables and points are float64, standardised where they say
so. Images are float32 in [0, 1], shape [num_examples, height, width, 1].
"""

from companion.datasets.binarization import dynamically_binarized
from companion.datasets.dequantization import Dequantized, dequantized
from companion.datasets.images import Images, digits, mnist
from companion.datasets.planes import (
    Plane,
    checkerboard,
    conditional_autoregressive,
    eight_gaussians,
    rings,
    spirals,
    two_moons,
    wrong_order_cross_entropy,
)
from companion.datasets.shifted import natural_patches, rotated
from companion.datasets.synthetic import blundell_regression
from companion.datasets.tables import Classification, Regression, Table, breast_cancer, diabetes, split, wine

__all__ = [
    "Classification",
    "Dequantized",
    "Images",
    "Plane",
    "Regression",
    "Table",
    "blundell_regression",
    "breast_cancer",
    "checkerboard",
    "conditional_autoregressive",
    "dequantized",
    "diabetes",
    "digits",
    "dynamically_binarized",
    "eight_gaussians",
    "mnist",
    "natural_patches",
    "rings",
    "rotated",
    "spirals",
    "split",
    "two_moons",
    "wine",
    "wrong_order_cross_entropy",
]
