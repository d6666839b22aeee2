"""bayesian-torch: its layers give outputs and KL. The KL is averaged over an array's weights; here it is summed."""

import bnn_torch
from bayesian_torch import layers
from torch import nn
from torch.nn import functional

_LAYERS = {
    "reparameterization": (layers.Conv2dReparameterization, layers.LinearReparameterization),
    "flipout": (layers.Conv2dFlipout, layers.LinearFlipout),
}


class Net(nn.Module):
    """Logits, and the KL divergence of all layers, in one pass as the library's examples do it."""

    def __init__(self, data, convolution, dense):
        super().__init__()
        self.layers = bnn_torch.network(data, convolution, dense)

    def forward(self, x):
        kl = 0.0
        for layer in self.layers:
            if hasattr(layer, "kl_loss"):
                x, layer_kl = layer(x)
                kl = kl + layer_kl
            else:
                x = layer(x)
        return x, kl


def programs(data):
    """Every way of running it, by name."""
    return {
        f"{method}: bayesian-torch, {threads} thread{'s' * (threads > 1)}": _program(data, *types, threads)
        for method, types in _LAYERS.items()
        for threads in bnn_torch.THREADS
    }


def _program(data, convolution, dense, threads):
    net = Net(data, _summed(convolution), _summed(dense))

    def loss(x, y):
        logits, kl = net(x)
        return functional.cross_entropy(logits, y) + kl / len(data.x)

    def kl():
        return sum(layer.kl_loss() for layer in net.layers if hasattr(layer, "kl_loss"))

    return bnn_torch.Program(data, net, loss, kl, threads, bnn_torch.softplus())


def _summed(layer):
    """A type of layer whose KL divergence is the sum over its weights instead of the mean."""

    class Summed(layer):
        def kl_div(self, mu_q, *rest):
            return super().kl_div(mu_q, *rest) * mu_q.numel()

    return Summed
