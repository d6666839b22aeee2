"""TyXe on Pyro: its variational network through its `fit`, with its effect handlers for flipout and local noise."""

import contextlib
import time
from functools import partial
from itertools import pairwise

import bnn_problem as problem
import bnn_torch
import pyro
import torch
import tyxe
from pyro.infer import TraceMeanField_ELBO
from torch import nn

_HANDLERS = {
    "reparameterization": contextlib.nullcontext,
    "flipout": tyxe.poutine.flipout,
    "local reparameterization": tyxe.poutine.local_reparameterization,
}


class Program:
    """A model that is made anew at each `start`; Pyro's parameters are global."""

    def __init__(self, data, method, threads):
        self._data, self._handler, self._threads = data, _HANDLERS[method], threads
        self._x, self._y = bnn_torch.examples(data)

    def start(self):
        """Makes the model with the initial posterior."""
        pyro.clear_param_store()
        net = bnn_torch.network(self._data, nn.Conv2d, nn.Linear)
        self._names = [f"net.{name}" for name, _ in net.named_parameters()]
        values = bnn_torch.to_torch(self._data, self._data.posterior())
        locs, scales = (dict(zip(self._names, values[part::2], strict=True)) for part in (0, 1))
        guide = partial(tyxe.guides.AutoNormal, init_loc_fn=tyxe.guides.PretrainedInitializer(locs), init_scale=scales)
        prior = tyxe.priors.IIDPrior(pyro.distributions.Normal(0.0, 1.0))
        likelihood = tyxe.likelihoods.Categorical(dataset_size=len(self._x))
        self._model = tyxe.VariationalBNN(net, prior, likelihood, guide)
        self._model.net_guide(self._x[:1])
        self._adam = pyro.optim.Adam({"lr": problem.LEARNING_RATE, "eps": problem.EPSILON, "fused": True})

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        torch.set_num_threads(self._threads)
        clock = [time.perf_counter()]
        with self._handler():
            self._model.fit(self, self._adam, epochs, callback=lambda *_: clock.append(time.perf_counter()))
        return [after - before for before, after in pairwise(clock)]

    def __iter__(self):
        """An epoch's batches."""
        for rows in torch.randperm(len(self._x)).split(self._data.batch):
            yield self._x[rows], self._y[rows]

    def posterior(self):
        """The posterior now."""
        guide = self._model.net_guide
        values = [get(name).detach() for name in self._names for get in (guide.get_loc, guide.get_scale)]
        return bnn_torch.from_torch(self._data, values)

    def kl(self):
        """The library's KL divergence now: minus the ELBO of the net without a likelihood."""
        return TraceMeanField_ELBO().loss(self._model.net, self._model.net_guide, self._x[:1])


def programs(data):
    """Every way of running it, by name."""
    return {
        f"{method}: TyXe, {threads} thread{'s' * (threads > 1)}": Program(data, method, threads)
        for method in problem.METHODS
        for threads in bnn_torch.THREADS
    }
