r"""The exact gradient noise of a linear layer with random weights, for four ways of drawing them.

Contract: M examples have the mean squared loss

.. math::

    \mathcal{L} = \frac{1}{2M} \sum_i \lVert x_i W_i - y_i \rVert^2, \qquad W_i = \mu + \sigma \odot \varepsilon_i,

with weights W_i, [in, out], whose entries are N(mu_jk, sigma_jk^2) for each single example i. The ways differ in how
the examples' noise depends on each other. Gradients are those of the trick, with respect to mu and sigma. They have the
same mean in every way, that of the exact gradient; all is float64, in closed form.
"""

from typing import NamedTuple

import numpy as np

from companion import _validation

__all__ = ["GradientNoise", "gradient_noise"]


class GradientNoise(NamedTuple):
    """Mean and variance of the gradient of the loss with respect to each parameter.

    Attributes:
        mean: a dict with keys "loc" and "scale" of arrays of shape [in, out], the exact gradient.
        variance: the same keys and shapes.
        floor: the same keys and shapes, the variance that is left when ever more examples of the same kind are added.
    """

    mean: dict
    variance: dict
    floor: dict


class _Moments(NamedTuple):
    """Means over the examples, of which the formulas are made; d and v as in `gradient_noise`, [in, out] unless said.

    Attributes:
        scale: sigma.
        gram: A, shape [in, in].
        slope: b.
        square: x_ij^2 d_ik^2.
        output: x_ij^2 v_ik.
        fourth: x_ij^4, shape [in, 1].
        ratio: x_ij^4 d_ik^2 / v_ik.
    """

    scale: np.ndarray
    gram: np.ndarray
    slope: np.ndarray
    square: np.ndarray
    output: np.ndarray
    fourth: np.ndarray
    ratio: np.ndarray


class _Parts(NamedTuple):
    """The variance of a gradient, taken apart; shape [in, out] each.

    Attributes:
        own: that of one example's gradient, given the example; a mean over the examples.
        shared: the covariance, from shared noise, of an example's gradient and that of its copy; a mean likewise.
        floor: the covariance, from shared noise, of the gradients of any two examples; a mean over all pairs.
    """

    own: np.ndarray
    shared: np.ndarray
    floor: np.ndarray


def gradient_noise(x, y, loc, scale, method, batch_size=None):
    r"""Mean and variance of the gradient of the loss for one draw of the noise.

    ==========================  ===========================================================================
    method                      the noise of example i
    ==========================  ===========================================================================
    "shared"                    eps, [in, out], the same for all examples: one sample of the weights
    "per_example"               its own eps: a sample of the weights for every example
    "local_reparameterization"  its own zeta, [out]: outputs are drawn, with mean x_i mu and variance v_i
    "flipout"                   eps times s_i t_i', with its own random signs s_i, [in], and t_i, [out]
    ==========================  ===========================================================================

    For one output, with :math:`d_i = x_i \mu - y_i`, :math:`v_i = \sum_l x_{il}^2 \sigma_l^2`,
    :math:`A = X^\top X / M` and :math:`b = X^\top d / M`, the means are :math:`b_j` and :math:`A_{jj} \sigma_j`, and
    the variances, for given examples,

    .. math::

        \begin{aligned}
        \mu_j: \quad& \sum_l A_{jl}^2 \sigma_l^2 && \text{shared} \\
        & M^{-2} \sum_i x_{ij}^2 v_i && \text{the others} \\
        \sigma_j: \quad& b_j^2 + A_{jj}^2 \sigma_j^2 + \sum_l A_{jl}^2 \sigma_l^2 && \text{shared} \\
        & M^{-2} \sum_i x_{ij}^2 (d_i^2 + v_i + x_{ij}^2 \sigma_j^2) && \text{per example} \\
        & M^{-2} \sum_i x_{ij}^2 (d_i^2 + v_i - x_{ij}^2 \sigma_j^2) + 2 A_{jj}^2 \sigma_j^2 && \text{flipout} \\
        & M^{-2} \sum_i x_{ij}^4 \sigma_j^2 (d_i^2 / v_i + 2) && \text{local reparameterization}
        \end{aligned}

    So for the scale local reparameterization is never noisier than a sample for every example, nor that than flipout,
    whose signs cannot hide that the size of eps is shared. A shared sample keeps all of its variance however many
    examples there are; yet for single weights, and few examples, it may be the quietest.

    Args:
        x: inputs, shape [num_examples, in]; a column of ones is a bias that is drawn like the other weights.
        y: targets, shape [num_examples, out].
        loc: mu, shape [in, out].
        scale: sigma, positive, shape [in, out].
        method: one of the four.
        batch_size: None for the gradient of all examples, whose only noise is that of the weights. An integer M for M
            of them drawn with replacement, and the noise of both.

    Returns:
        A `GradientNoise`.

    Raises:
        TypeError: if an argument is not made of floats.
        ValueError: if a shape is wrong, a number is not finite, a scale is not positive, method is unknown, batch_size
            is not a positive integer, or a value is beyond the range of float64.

    Reference:
        Kingma, Salimans and Welling (2015), sections 2.2 and 2.3, for local reparameterization; Wen, Vicol, Ba, Tran
        and Grosse (2018), section 3, for flipout. Chapter: Bayesian neural networks.

    Example:
        One input of 1 and one output, with the mean already right, for one example and for a hundred:

        >>> for method in ("shared", "per_example", "flipout", "local_reparameterization"):
        ...     noise = [gradient_noise(np.ones([n, 1]), np.zeros([n, 1]), [[0.0]], [[1.0]], method) for n in (1, 100)]
        ...     print(method, [(n.variance["loc"].item(), n.variance["scale"].item()) for n in noise])
        shared [(1.0, 2.0), (1.0, 2.0)]
        per_example [(1.0, 2.0), (0.01, 0.02)]
        flipout [(1.0, 2.0), (0.01, 2.0)]
        local_reparameterization [(1.0, 2.0), (0.01, 0.02)]
    """
    method = _validation.one_of("method", method, tuple(_PARTS))
    x, y, loc, scale = _checked(x, y, loc, scale)
    moments = _moments(x, y, loc, scale)
    parts = _PARTS[method](moments)
    mean = {"loc": moments.slope, "scale": _own_output(moments)}
    if batch_size is None:
        variance = {name: (part.own - part.shared) / len(x) + part.floor for name, part in parts.items()}
    else:
        n = _validation.count("batch_size", batch_size)
        squares = {"loc": moments.square, "scale": moments.fourth * scale**2}
        of_rows = {name: squares[name] - mean[name] ** 2 for name in mean}
        variance = {name: (part.own + of_rows[name] - part.floor) / n + part.floor for name, part in parts.items()}
    noise = GradientNoise(mean, variance, {name: part.floor for name, part in parts.items()})
    if not all(np.isfinite(values).all() for field in noise for values in field.values()):
        raise ValueError(_validation.message("gradient_noise", "values in the range of float64", "infinity"))
    return noise


def _per_example(m):
    """g = x_j (d + e) and g = x_j eps_j (d + e), with e = sum_l x_l sigma_l eps_l and nothing shared."""
    scale = m.square + m.output + m.fourth * m.scale**2
    return {"loc": _independent(m.output), "scale": _independent(scale)}


def _local_reparameterization(m):
    """The output's noise is one number zeta: g = x_j (d + v^(1/2) zeta), and that times zeta x_j sigma_j / v^(1/2)."""
    scale = m.scale**2 * (m.ratio + 2.0 * m.fourth)
    return {"loc": _independent(m.output), "scale": _independent(scale)}


def _flipout(m):
    """The signs take away what examples share, but for eps_j^2 x_j^2 sigma_j in the gradient for the scale."""
    parts = _per_example(m)
    shared, floor = 2.0 * m.fourth * m.scale**2, 2.0 * _own_output(m) ** 2
    return parts | {"scale": parts["scale"]._replace(shared=shared, floor=floor)}


def _shared(m):
    """All of the noise is that of the mean gradients, b_j + sum_l A_jl sigma_l eps_l, and that times eps_j."""
    spread = m.gram**2 @ m.scale**2
    floors = {"loc": spread, "scale": m.slope**2 + _own_output(m) ** 2 + spread}
    return {name: _Parts(part.own, part.own, floors[name]) for name, part in _per_example(m).items()}


_PARTS = {
    "shared": _shared,
    "per_example": _per_example,
    "local_reparameterization": _local_reparameterization,
    "flipout": _flipout,
}


def _independent(own):
    """No two examples share anything."""
    return _Parts(own, np.zeros_like(own), np.zeros_like(own))


def _own_output(m):
    """A_jj sigma_j."""
    return np.diag(m.gram)[:, None] * m.scale


def _moments(x, y, loc, scale):
    n, squares = len(x), x**2
    d, v = x @ loc - y, squares @ scale**2  # [num_examples, out]
    ratio = np.divide(d**2, v, out=np.zeros_like(v), where=v > 0)  # v is 0 where all x are
    return _Moments(
        scale=scale,
        gram=x.T @ x / n,
        slope=x.T @ d / n,
        square=squares.T @ d**2 / n,
        output=squares.T @ v / n,
        fourth=(squares**2).mean(axis=0)[:, None],
        ratio=(squares**2).T @ ratio / n,
    )


def _checked(x, y, loc, scale):
    """The arguments as float64 arrays that fit each other."""
    _validation.eager("gradient_noise")
    x = _tensor("x", x, [None, None], "[num_examples, in]")
    if not x.shape.num_elements():
        raise ValueError(_validation.message("x", "at least one example and one input", f"shape {list(x.shape)}"))
    y = _tensor("y", y, [x.shape[0], None], "[num_examples, out]")
    if not y.shape[1]:
        raise ValueError(_validation.message("y", "at least one output", f"shape {list(y.shape)}"))
    shape = [x.shape[1], y.shape[1]]
    loc, scale = (_tensor(name, value, shape, "[in, out]") for name, value in (("loc", loc), ("scale", scale)))
    return [tensor.numpy().astype(float) for tensor in (x, y, loc, _validation.positive("scale", scale))]


def _tensor(argument, value, shape, meaning):
    return _validation.same_shape(argument, _validation.float_tensor(argument, value, "float64"), shape, meaning)
