"""Every bijector and every way to make a flow, one line each."""

import dataclasses
from collections.abc import Callable

import numpy as np

from companion import bijectors as cb
from companion import flows

HIDDEN = (16, 16)
NETS = {"hidden": HIDDEN}


@dataclasses.dataclass(frozen=True)
class Case:
    """A kind of bijector, with what its laws need to know.

    Attributes:
        name: of the case.
        make: a callable from dim and keywords (seed, dtype, context_dim) to a bijector.
        least_dim: the smallest dim.
        conditional: whether it takes a context.
        order: for an autoregressive map, a callable from dim to the coordinates in the order of the map; else None.
        reach: how far out a trained one bends the space: a box of this half-length holds all but a little of the mass.
    """

    name: str
    make: Callable
    least_dim: int = 1
    conditional: bool = True
    order: Callable | None = None
    reach: float = 12.0

    def bijector(self, dim, dtype="float64", context_dim=None, seed=1, spread=0.3):
        """One that is as if trained: its weights are moved away from where they start."""
        given = {"context_dim": context_dim, "seed": seed} if self.conditional else {}
        made = self.make(dim, dtype=dtype, **given)
        rng = np.random.default_rng(seed)
        for layer in made.layers:
            for variable in layer.trainable_variables:
                variable.assign_add(spread * rng.standard_normal(variable.shape).astype(dtype))
        return made

    def points(self, dim, dtype="float64", shape=(6,), seed=2):
        """Standard normal points, shape [*shape, dim]."""
        return np.random.default_rng(seed).standard_normal((*shape, dim)).astype(dtype)


def _left(dim):
    return np.arange(dim)


def _right(dim):
    return np.arange(dim)[::-1]


def _odd_first(dim):
    return np.concatenate([np.arange(1, dim, 2), np.arange(0, dim, 2)])


BIJECTORS = [
    Case("planar", cb.Planar),
    Case("radial", cb.Radial),
    Case("affine-coupling", lambda dim, **k: cb.AffineCoupling(dim, **NETS, **k), least_dim=2),
    Case("affine-coupling-reversed", lambda dim, **k: cb.AffineCoupling(dim, reverse=True, **NETS, **k), least_dim=2),
    Case("spline-coupling", lambda dim, **k: cb.SplineCoupling(dim, bins=5, bound=3.0, **NETS, **k), least_dim=2),
    Case("masked", lambda dim, **k: cb.MaskedAutoregressive(dim, **NETS, **k), order=_left),
    Case(
        "masked-spline",
        lambda dim, **k: cb.MaskedAutoregressive(
            dim, transform="spline", order="right_to_left", bound=3.0, **NETS, **k
        ),
        order=_right,
    ),
    Case(
        "inverse",
        lambda dim, **k: cb.InverseAutoregressive(dim, order=_odd_first(dim), **NETS, **k),
        order=_odd_first,
    ),
    Case(
        "inverse-spline",
        lambda dim, **k: cb.InverseAutoregressive(dim, transform="spline", bound=3.0, **NETS, **k),
        order=_left,
    ),
    Case("actnorm", cb.ActNorm, conditional=False),
    Case("permutation", cb.Permutation.reverse, conditional=False),
    Case("permutation-random", lambda dim, **k: cb.Permutation.random(dim, 5, **k), conditional=False),
]

MAKERS = {
    "coupling": lambda dim, **k: flows.coupling_flow(dim, layers=4, **NETS, **k),
    "spline-coupling": lambda dim, **k: flows.coupling_flow(dim, layers=2, transform="spline", bins=5, **NETS, **k),
    "coupling-actnorm": lambda dim, **k: flows.coupling_flow(dim, layers=2, actnorm=True, **NETS, **k),
    "masked": lambda dim, **k: flows.autoregressive_flow(dim, layers=2, **NETS, **k),
    "masked-spline": lambda dim, **k: flows.autoregressive_flow(dim, layers=2, transform="spline", **NETS, **k),
    "inverse": lambda dim, **k: flows.autoregressive_flow(dim, layers=2, direction="sampling", **NETS, **k),
    "planar": lambda dim, **k: flows.planar_flow(dim, layers=3, **k),
    "radial": lambda dim, **k: flows.radial_flow(dim, layers=3, **k),
}


def trained(flow, spread=0.2, seed=3):
    """The flow, its weights moved away from where they start."""
    rng = np.random.default_rng(seed)
    for variable in flow.trainable_variables:
        variable.assign_add(spread * rng.standard_normal(variable.shape).astype(variable.dtype))
    return flow
