"""normflows: its layers, with plain nets; `Reverse` around those whose forward pass is the cheap one for densities."""

import flows_problem as problem
import flows_torch
import torch
from normflows import NormalizingFlow, flows, nets
from normflows.distributions import DiagGaussian
from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling


def programs(data):
    """Every way of running it, by name."""
    compilable = data.kind != "spline"  # its splines index with masks, which break the graph at every step
    return flows_torch.programs(data, "normflows", _flow, _log_prob, _draw, compilable)


def _log_prob(flow, x):
    return flow.log_prob(x)


def _draw(flow, number):
    return flow.sample(number)[0]


def _flow(data):
    layers = []
    for place in range(data.layers):
        layers += _layer(data, place)
    return NormalizingFlow(DiagGaussian(data.dim, trainable=False), layers)


def _layer(data, place):
    if data.kind == "spline":
        mask, options = flows_torch.mask(data, place), {"tails": "linear", "tail_bound": problem.BOUND}
        layer = PiecewiseRationalQuadraticCoupling(mask, flows_torch.Net, num_bins=problem.BINS, **options)
        return [flows.Reverse(layer)]
    if data.kind == "affine":
        seen, moved = data.halves[place]
        layer = flows.AffineCouplingBlock(nets.MLP([seen, problem.HIDDEN, problem.HIDDEN, 2 * moved], init_zeros=True))
    else:
        options = {"num_blocks": 1, "use_residual_blocks": False}
        layer = flows.Reverse(flows.MaskedAffineAutoregressive(data.dim, problem.HIDDEN, **options))
        return [layer, _reversal(data.dim)]
    return [layer, flows.Permute(data.dim, mode="swap")]


def _reversal(dim):
    """Its permutation, which is otherwise drawn at random."""
    permutation = flows.Permute(dim)
    for order in (permutation.perm, permutation.inv_perm):
        order.copy_(torch.arange(dim - 1, -1, -1))
    return permutation
