"""E log sigmoid(t) for a normal t: the one integral behind the exact ELBO."""

import numpy as np
import tensorflow as tf

__all__ = ["expected_log_sigmoid"]


def _panels(edges, order):
    """Nodes and weights of Gauss-Legendre quadrature on each interval between the edges."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    middle, half = (edges[1:] + edges[:-1])[:, None] / 2, np.diff(edges)[:, None] / 2
    return (middle + half * nodes).ravel(), (half * weights).ravel()


_HERMITE, _HERMITE_WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
_HERMITE_WEIGHTS = _HERMITE_WEIGHTS / _HERMITE_WEIGHTS.sum()
_EDGES = np.array([0.0, 4.0, 8.0, 16.0, 24.0, 32.0, 40.0])  # exp(-40) is nothing
_LOGITS, _LOGIT_WEIGHTS = _panels(np.concatenate([-_EDGES[:0:-1], _EDGES]), order=16)
_BENDS = _LOGIT_WEIGHTS * np.log1p(np.exp(-np.abs(_LOGITS)))


def expected_log_sigmoid(loc, scale):
    """E log sigmoid(t), t ~ N(loc, scale^2), elementwise, for every scale.

    Up to scale 1 the integrand is smooth on the scale of the density, and Gauss-Hermite quadrature exact to
    rounding. Beyond, log sigmoid(t) = min(t, 0) - log(1 + exp(-|t|)) is taken apart: the first has a closed form,
    and the second is the same bend near 0 whatever the density, so it has fixed nodes in t.
    """
    narrow = tf.math.log_sigmoid(loc[:, None] + scale[:, None] * _HERMITE)  # [num_examples, num_nodes]
    narrow = tf.linalg.matvec(narrow, tf.constant(_HERMITE_WEIGHTS))
    ratio = loc / scale
    hinge = 0.5 * loc * tf.math.erfc(ratio / np.sqrt(2.0)) - scale * _density(ratio)  # E min(t, 0)
    density = _density((_LOGITS - loc[:, None]) / scale[:, None]) / scale[:, None]
    return tf.where(scale < 1.0, narrow, hinge - tf.linalg.matvec(density, tf.constant(_BENDS)))


def _density(eps):
    return tf.exp(-0.5 * eps**2) / np.sqrt(2.0 * np.pi)
