"""Invertible maps with cheap log-determinants, each a `tfb.Bijector` whose nets and variables are Keras 3.

Contract: `forward` goes from noise to data, z = g(eps), `inverse` back. Every map is of vectors, shape [..., dim], and
gives a value and its log-determinant, shape [...], in one pass, by `forward_and_log_det` and `inverse_and_log_det`.
Its variables are made with it.

| bijector | the map is cheap | its inverse is cheap |
|---|---|---|
| `Planar`, `Radial` | yes | one scalar equation |
| `AffineCoupling`, `SplineCoupling` | yes | yes |
| `MaskedAutoregressive` | dim passes of its net | yes |
| `InverseAutoregressive` | yes | dim passes of its net |
| `ActNorm`, `Permutation` | yes | yes |
"""

from companion.bijectors.actnorm import ActNorm
from companion.bijectors.autoregressive import InverseAutoregressive, MaskedAutoregressive
from companion.bijectors.base import Bijector
from companion.bijectors.coupling import AffineCoupling, SplineCoupling
from companion.bijectors.permutation import Permutation
from companion.bijectors.planar import Planar
from companion.bijectors.radial import Radial

__all__ = [
    "ActNorm",
    "AffineCoupling",
    "Bijector",
    "InverseAutoregressive",
    "MaskedAutoregressive",
    "Permutation",
    "Planar",
    "Radial",
    "SplineCoupling",
]
