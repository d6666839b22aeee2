"""torchbnn: its layers (one draw of the weights a step) and its KL loss, summed, which is not its default."""

import bnn_torch
import torchbnn
from torch.nn import functional


def programs(data):
    """Every way of running it, by name."""
    return {
        f"reparameterization: torchbnn, {threads} thread{'s' * (threads > 1)}": _program(data, threads)
        for threads in bnn_torch.THREADS
    }


def _program(data, threads):
    def convolution(*sizes):
        return torchbnn.BayesConv2d(0.0, 1.0, *sizes)

    def dense(*sizes):
        return torchbnn.BayesLinear(0.0, 1.0, *sizes)

    net = bnn_torch.network(data, convolution, dense)
    divergence = torchbnn.BKLLoss(reduction="sum")

    def loss(x, y):
        return functional.cross_entropy(net(x), y) + divergence(net)[0] / len(data.x)

    rho = (lambda scale: scale.log(), lambda log_scale: log_scale.exp())
    return bnn_torch.Program(data, net, loss, lambda: divergence(net), threads, rho)
