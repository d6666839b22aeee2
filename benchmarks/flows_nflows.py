"""nflows: its transforms, with plain nets in the coupling layers."""

import flows_problem as problem
import flows_torch
from nflows.distributions import StandardNormal
from nflows.flows import Flow
from nflows.transforms import (
    AffineCouplingTransform,
    CompositeTransform,
    MaskedAffineAutoregressiveTransform,
    PiecewiseRationalQuadraticCouplingTransform,
    ReversePermutation,
)


def programs(data):
    """Every way of running it, by name."""
    compilable = data.kind != "spline"  # its splines index with masks, which break the graph at every step
    return flows_torch.programs(data, "nflows", _flow, _log_prob, _draw, compilable)


def _log_prob(flow, x):
    return flow.log_prob(x)


def _draw(flow, number):
    return flow.sample(number)


def _flow(data):
    layers = []
    for place in range(data.layers):
        layers += _layer(data, flows_torch.mask(data, place))
    return Flow(CompositeTransform(layers), StandardNormal([data.dim]))


def _layer(data, mask):
    if data.kind == "affine":
        return [AffineCouplingTransform(mask, flows_torch.Net)]
    if data.kind == "spline":
        options = {"num_bins": problem.BINS, "tails": "linear", "tail_bound": problem.BOUND}
        return [PiecewiseRationalQuadraticCouplingTransform(mask, flows_torch.Net, **options)]
    options = {"hidden_features": problem.HIDDEN, "num_blocks": 1, "use_residual_blocks": False}
    return [MaskedAffineAutoregressiveTransform(data.dim, **options), ReversePermutation(data.dim)]
