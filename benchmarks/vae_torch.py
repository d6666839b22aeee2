"""PyTorch: the usual loop with the fused Adam, eager and compiled, on one thread and on two."""

import time

import torch
import vae_problem as problem
from torch import nn
from torch.nn import functional


class VAE(nn.Module):
    """Minus the ELBO of a batch, averaged."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*sizes) for sizes in layers)

    def forward(self, x):
        encode, posterior, decode, outputs = self.layers
        loc, rho = posterior(functional.relu(encode(x))).chunk(2, dim=1)
        scale = functional.softplus(rho)
        z = loc + scale * torch.randn_like(loc)
        logits = outputs(functional.relu(decode(z)))
        reconstruction = -functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = (0.5 * (loc.square() + scale.square() - 1.0) - scale.log()).sum()
        return (kl - reconstruction) / len(x)


class Program:
    """A model that is trained anew after each `start`."""

    def __init__(self, data, compiled, threads):
        self._data, self._threads = data, threads
        self._x = torch.from_numpy(data.x)
        self._model = VAE(data.layers)
        self._loss = torch.compile(self._model) if compiled else self._model

    def start(self):
        """Sets the initial weights."""
        with torch.no_grad():
            for parameter, value in zip(self._model.parameters(), self._data.weights(), strict=True):
                parameter.copy_(torch.from_numpy(value).t())
        self._adam = torch.optim.Adam(self._model.parameters(), problem.LEARNING_RATE, eps=problem.EPSILON, fused=True)

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        torch.set_num_threads(self._threads)
        seconds = []
        for _ in range(epochs):
            began = time.perf_counter()
            for rows in torch.randperm(len(self._x)).split(self._data.batch):
                self._adam.zero_grad(set_to_none=True)
                self._loss(self._x[rows]).backward()
                self._adam.step()
            seconds.append(time.perf_counter() - began)
        return seconds

    def weights(self):
        """The weights now."""
        return [parameter.detach().t().numpy() for parameter in self._model.parameters()]


def programs(data):
    """Every way of running it, by name."""
    return {
        f"PyTorch {'compiled' if compiled else 'eager'}, {threads} thread{'s' * (threads > 1)}": Program(
            data, compiled, threads
        )
        for compiled in (False, True)
        for threads in (1, 2)
    }


def matmul(a, b):
    """A function that multiplies two arrays once."""
    a, b = torch.from_numpy(a), torch.from_numpy(b)
    return lambda: a @ b
