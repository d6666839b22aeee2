"""zuko: its lazy flows."""

import flows_problem as problem
import flows_torch
import zuko
from zuko.transforms import MonotonicRQSTransform


def programs(data):
    """Every way of running it, by name."""
    return flows_torch.programs(
        data, "zuko", _flow, lambda flow, x: flow().log_prob(x), lambda flow, number: flow().sample((number,))
    )


def _flow(data):
    sizes = {"features": data.dim, "transforms": data.layers, "hidden_features": (problem.HIDDEN, problem.HIDDEN)}
    if data.kind == "autoregressive":
        return zuko.flows.MAF(**sizes)
    if data.kind == "affine":
        return zuko.flows.NICE(**sizes)
    bins = problem.BINS
    return zuko.flows.NICE(univariate=MonotonicRQSTransform, shapes=[(bins,), (bins,), (bins - 1,)], **sizes)
