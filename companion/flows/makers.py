"""Whole flows, ready to be fitted."""

import numpy as np

from companion import _validation, seeds
from companion.bijectors import (
    ActNorm,
    AffineCoupling,
    InverseAutoregressive,
    MaskedAutoregressive,
    Permutation,
    Planar,
    Radial,
    SplineCoupling,
)
from companion.flows.model import Flow

__all__ = ["autoregressive_flow", "coupling_flow", "planar_flow", "radial_flow"]


def coupling_flow(
    dim,
    layers=8,
    hidden=(64, 64),
    transform="affine",
    context_dim=None,
    bins=8,
    bound=5.0,
    actnorm=False,
    seed=None,
    dtype=None,
):
    """Couplings in which the halves of the coordinates take turns; sampling and scoring cost the same.

    With more than two dimensions the coordinates are permuted at random before every second coupling, so that the
    halves are not always the same.

    Args:
        dim: the length of the vectors, at least 2.
        layers: how many couplings. With one, half of the coordinates stay as they are.
        hidden: widths of the hidden layers of each net.
        transform: "affine" or "spline".
        context_dim: the length of a context vector, or None.
        bins: how many bins a spline has.
        bound: half the length of a spline's interval.
        actnorm: whether an `ActNorm` stands behind each coupling.
        seed: an integer that decides initial weights, permutations, and the order of examples. None for one that Keras
            draws.
        dtype: "float32" or "float64"; None for Keras' floatx.

    Returns:
        A `Flow`.

    Raises:
        ValueError: if an argument is out of its domain.

    Reference:
        Dinh, Sohl-Dickstein and Bengio (2017); Durkan, Bekasov, Murray and Papamakarios (2019). Chapter: Normalizing
        flows.

    Example:
        >>> flow = coupling_flow(2, layers=4, hidden=[16], transform="spline", seed=0)
        >>> flow.sample(5, seed=0).shape, flow.cost
        (TensorShape([5, 2]), Cost(sampling=4, scoring=4))
    """
    dim, layers = _validation.count("dim", dim, minimum=2), _validation.count("layers", layers)
    _validation.one_of("transform", transform, ("affine", "spline"))
    spline = {"bins": bins, "bound": bound} if transform == "spline" else {}
    kind = SplineCoupling if transform == "spline" else AffineCoupling
    seed = _seed(seed)
    bijectors = []
    for place in range(layers):
        if dim > 2 and place % 2 == 0 and place > 0:
            bijectors.append(Permutation.random(dim, seeds.integer(seed, place, 1), dtype))
        own = {"seed": seeds.integer(seed, place), "context_dim": context_dim, "dtype": dtype, **spline}
        bijectors.append(kind(dim, hidden, reverse=place % 2 == 1, **own))
        if actnorm:
            bijectors.append(ActNorm(dim, dtype))
    return Flow(bijectors, seed=seed)


def autoregressive_flow(
    dim,
    layers=5,
    hidden=(64, 64),
    transform="affine",
    direction="density",
    order="left_to_right",
    context_dim=None,
    bins=8,
    bound=5.0,
    actnorm=False,
    seed=None,
    dtype=None,
):
    """Autoregressive maps whose order turns round from one to the next.

    **Cost.** With direction="density" (masked autoregressive) scoring takes `layers` passes of a net, and sampling
    `layers` times dim; with direction="sampling" (inverse autoregressive) it is the other way round. See `Flow.cost`.

    Args:
        dim: the length of the vectors.
        layers: how many maps.
        hidden: widths of the hidden layers of each masked net.
        transform: "affine" or "spline".
        direction: which is cheap, "density" or "sampling".
        order: of the last map before the data (the first that data meet): "left_to_right", "right_to_left" or the
            coordinates' numbers. The one before it has the opposite order, and so on.
        context_dim: the length of a context vector, or None.
        bins: how many bins a spline has.
        bound: half the length of a spline's interval.
        actnorm: whether an `ActNorm` stands behind each map.
        seed: an integer that decides initial weights and the order of examples. None for one that Keras draws.
        dtype: "float32" or "float64"; None for Keras' floatx.

    Returns:
        A `Flow`.

    Raises:
        ValueError: if an argument is out of its domain.

    Reference:
        Papamakarios, Pavlakou and Murray (2017); Kingma et al. (2016). Chapter: Normalizing flows.

    Example:
        >>> autoregressive_flow(4, layers=3, hidden=[16], seed=0).cost
        Cost(sampling=12, scoring=3)
        >>> autoregressive_flow(4, layers=3, hidden=[16], direction="sampling", seed=0).cost
        Cost(sampling=3, scoring=12)
    """
    dim, layers = _validation.count("dim", dim), _validation.count("layers", layers)
    _validation.one_of("direction", direction, ("density", "sampling"))
    kind = MaskedAutoregressive if direction == "density" else InverseAutoregressive
    seed = _seed(seed)
    if isinstance(order, str):
        _validation.one_of("order", order, ("left_to_right", "right_to_left"))
        orders = [order, "left_to_right" if order == "right_to_left" else "right_to_left"]
    else:
        orders = [order, np.asarray(order)[::-1].tolist()]
    bijectors = []
    for place in range(layers):
        bijectors.append(
            kind(
                dim,
                hidden,
                transform,
                order=orders[(layers - 1 - place) % 2],
                bins=bins,
                bound=bound,
                context_dim=context_dim,
                seed=seeds.integer(seed, place),
                dtype=dtype,
            )
        )
        if actnorm:
            bijectors.append(ActNorm(dim, dtype))
    return Flow(bijectors, seed=seed)


def planar_flow(dim, layers=8, context_dim=None, seed=None, dtype=None):
    """Planar maps, one after another.

    Args:
        dim: the length of the vectors.
        layers: how many maps.
        context_dim: the length of a context vector, or None.
        seed: an integer that decides initial values and the order of examples. None for one that Keras draws.
        dtype: "float32" or "float64"; None for Keras' floatx.

    Returns:
        A `Flow`. Its log_prob of points that are not its own samples solves one scalar equation a map and point.

    Raises:
        ValueError: if an argument is out of its domain.

    Reference:
        Rezende and Mohamed (2015). Chapter: Normalizing flows.

    Example:
        >>> planar_flow(2, layers=3, seed=0).sample(4, seed=1).shape
        TensorShape([4, 2])
    """
    return _stack(Planar, dim, layers, context_dim, seed, dtype)


def radial_flow(dim, layers=8, context_dim=None, seed=None, dtype=None):
    """Radial maps, one after another; arguments as for `planar_flow`.

    Example:
        >>> radial_flow(2, layers=3, seed=0).sample(4, seed=1).shape
        TensorShape([4, 2])
    """
    return _stack(Radial, dim, layers, context_dim, seed, dtype)


def _stack(kind, dim, layers, context_dim, seed, dtype):
    seed = _seed(seed)
    places = range(_validation.count("layers", layers))
    return Flow([kind(dim, context_dim, seeds.integer(seed, place), dtype) for place in places], seed=seed)


def _seed(seed):
    return seeds.any_seed() if seed is None else _validation.count("seed", seed, minimum=0)
