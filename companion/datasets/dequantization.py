"""Images of whole grey levels made continuous: what a density may be fitted to."""

from typing import NamedTuple

import numpy as np

from companion import _validation, seeds

__all__ = ["Dequantized", "dequantized"]


class Dequantized(NamedTuple):
    """Images with noise below the last grey level, and the way back to nats and bits of the images themselves.

    Attributes:
        x: the images as rows, float64 in (0, 1), shape [num_examples, num_pixels].
        levels: how many grey levels there are.
    """

    x: np.ndarray
    levels: int

    @property
    def log_det(self):
        r"""What a log-density of rows gains in units of a grey level: -num_pixels log(levels), in nats.

        With it, a mean log-density is a lower bound on the mean log-probability of the images.
        """
        return float(-self.x.shape[1] * np.log(self.levels))

    def bits_per_dimension(self, negative_log_likelihood):
        r"""Bits that the images cost, by pixel, from a mean -log q(x) of rows in nats: an upper bound.

        .. math::

            \frac{-\log q(x) + d \log L}{d \log 2}, \qquad d \text{ pixels}, L \text{ levels}

        The uniform density on [0, 1]^d has 0 nats; it costs log2(levels) bits, as much as writing the pixels down.

        Args:
            negative_log_likelihood: in nats for each row or in the mean, a number or an array.

        Returns:
            A float64 number or array of the same shape.

        Raises:
            TypeError: if the argument is not made of floats.
            ValueError: if it is not finite.

        Example:
            >>> Dequantized(np.full([1, 64], 0.5), levels=16).bits_per_dimension(0.0)
            np.float64(4.0)
        """
        nats = _validation.float_tensor("negative_log_likelihood", negative_log_likelihood, "float64").numpy()
        return (nats.astype(float) - self.log_det) / (self.x.shape[1] * np.log(2.0))


def dequantized(images, levels=17, seed=0):
    r"""Images k / (levels - 1) of whole numbers k, with uniform noise and scaled to (0, 1).

    .. math::

        x = \frac{k + u}{L}, \quad u \sim U(0, 1)^d, \qquad
        \log P(k) = \log \int_{[0, 1]^d} q\Bigl(\frac{k + u}{L}\Bigr) L^{-d}\, du
        \;\ge\; \mathbb{E}_u \log q(x) - d \log L

    by Jensen's inequality, where P(k) is the mass that the density q gives to the cell of k. Fitted to the images
    themselves, q would be unbounded: it could put points of infinite density on the levels.

    Args:
        images: float32 or float64, each number one of 0, 1 / (levels - 1), ..., 1, shape [num_examples, ...]; as those
            of `digits(binarize=None)`.
        levels: L, the number of grey levels; 17 for `digits`, 256 for `mnist`.
        seed: of u, as for `companion.seeds.as_seed`. The noise of an example depends on its place alone.

    Returns:
        A `Dequantized`. The k of x is floor(levels x).

    Raises:
        TypeError: if images are not floats, or seed is no seed.
        ValueError: if a number is not one of the levels, there are no images, or levels is not an integer from 2 on.

    Reference:
        Theis, van den Oord and Bethge (2016), A note on the evaluation of generative models, section 3.1; Uria, Murray
        and Larochelle (2013), RNADE.

    Example:
        >>> dequantized([[0.0, 1.0, 0.5]], levels=3).x.round(3)
        array([[0.302, 0.876, 0.435]])
    """
    levels = _validation.count("levels", levels, minimum=2)
    x = _validation.float_tensor("images", images).numpy()
    if not x.ndim or not x.size:
        expected = "at least one image, shape [num_examples, ...]"
        raise ValueError(_validation.message("images", expected, f"shape {list(x.shape)}"))
    rows = _validation.between("images", x, 0, 1).reshape(len(x), -1).astype(float) * (levels - 1)
    k = np.rint(rows)
    if (off := np.abs(rows - k)).max() > 1e-3:
        expected = f"multiples of 1/{levels - 1}"
        raise ValueError(_validation.message("images", expected, rows.flat[off.argmax()] / (levels - 1)))
    noise = seeds.uniform_rows(0, k.shape, seed).numpy().astype(float)  # 23 bits: k + u and its floor are exact
    return Dequantized((k + noise) / levels, levels)
