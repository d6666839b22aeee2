"""What the PyTorch libraries share: the usual loop with the fused Adam, and the layouts of arrays."""

import time

import bnn_problem as problem
import torch
from torch import nn
from torch.nn import functional

THREADS = (1, 2)


class Program:
    """A model that is trained anew after each `start`.

    Args:
        data: the problem.
        model: a module; its parameters are, layer by layer, the arrays of a posterior.
        loss: a function of a batch's inputs and classes, differentiable in the parameters.
        kl: a function without arguments, the library's KL divergence now.
        threads: how many threads PyTorch has.
        rho: a pair of functions, from a scale to what the library trains in its place, and back.
    """

    def __init__(self, data, model, loss, kl, threads, rho):
        self._data, self._model, self._loss, self._kl, self._threads = data, model, loss, kl, threads
        self._rho, self._scale = rho
        self._x, self._y = examples(data)

    def start(self):
        """Sets the initial posterior."""
        with torch.no_grad():
            for place, (parameter, value) in enumerate(self._pairs(to_torch(self._data, self._data.posterior()))):
                parameter.copy_(self._rho(value) if place % 2 else value)
        rate, epsilon = problem.LEARNING_RATE, problem.EPSILON
        self._adam = torch.optim.Adam(self._model.parameters(), rate, eps=epsilon, fused=True)

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        torch.set_num_threads(self._threads)
        seconds = []
        for _ in range(epochs):
            began = time.perf_counter()
            for rows in torch.randperm(len(self._x)).split(self._data.batch):
                self._adam.zero_grad(set_to_none=True)
                self._loss(self._x[rows], self._y[rows]).backward()
                self._adam.step()
            seconds.append(time.perf_counter() - began)
        return seconds

    def posterior(self):
        """The posterior now."""
        values = [parameter.detach() for parameter in self._model.parameters()]
        return from_torch(self._data, [self._scale(v) if place % 2 else v for place, v in enumerate(values)])

    def kl(self):
        """The library's KL divergence now."""
        return float(self._kl())

    def _pairs(self, values):
        return zip(self._model.parameters(), values, strict=True)


def examples(data):
    """Inputs, channels first, and classes."""
    x = data.x.transpose(0, 3, 1, 2) if data.image else data.x
    return torch.from_numpy(x.copy()), torch.from_numpy(data.y).long()


def network(data, convolution, dense):
    """The net, of layers made by functions of (inputs, units, kernel size, stride) and of (inputs, units)."""
    layers = []
    for layer in data.convolutions:
        layers += [convolution(layer.kernel[2], layer.units, layer.kernel[:2], layer.stride), nn.ReLU()]
    layers += [nn.Flatten()] if layers else []
    for layer in data.dense:
        layers += [dense(*layer.kernel), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def to_torch(data, posterior):
    """A posterior's arrays in PyTorch's layout."""
    arrays = []
    for place, array in enumerate(posterior):
        layer, value = data.layers[place // 4], torch.from_numpy(array)
        if place % 4 < 2 and layer.stride:
            value = value.permute(3, 2, 0, 1)
        elif place % 4 < 2:
            value = value.t()
            if data.image and layer is data.dense[0]:
                value = value.reshape(-1, *data.image).permute(0, 3, 1, 2).flatten(1)
        arrays.append(value.contiguous())
    return arrays


def from_torch(data, values):
    """The same back."""
    arrays = []
    for place, value in enumerate(values):
        layer = data.layers[place // 4]
        if place % 4 < 2 and layer.stride:
            value = value.permute(2, 3, 1, 0)
        elif place % 4 < 2:
            if data.image and layer is data.dense[0]:
                height, width, channels = data.image
                value = value.reshape(-1, channels, height, width).permute(0, 2, 3, 1).flatten(1)
            value = value.t()
        arrays.append(value.contiguous().numpy().copy())
    return arrays


def softplus():
    """The functions between a scale and rho, scale = softplus(rho)."""
    return lambda scale: scale.expm1().log(), functional.softplus
