"""What the PyTorch libraries share: the usual loop with the fused Adam, as it is and with `torch.compile`."""

import copy
import time

import flows_problem as problem
import torch
from torch import nn

_WAYS = {"1 thread": (1, False), "2 threads": (2, False), "torch.compile, 2 threads": (2, True)}


class Program:
    """A flow that is trained anew after each `start`.

    Args:
        data: the problem.
        flow: a module.
        log_prob: a function of points, their log-densities.
        draw: a function of a number, so many samples.
        threads: how many threads PyTorch has.
        compiled: whether `torch.compile` compiles `log_prob` and `draw`.
    """

    def __init__(self, data, flow, log_prob, draw, threads, compiled):
        self._flow, self._threads = flow, threads
        self._log_prob, self._draw = (torch.compile(log_prob), torch.compile(draw)) if compiled else (log_prob, draw)
        self._at_start = copy.deepcopy(flow.state_dict())
        self._x, self._judged = torch.from_numpy(data.x), torch.from_numpy(data.judged)
        self.parameters = lambda: sum(parameter.numel() for parameter in flow.parameters())

    def start(self):
        """Sets the initial weights."""
        self._flow.load_state_dict(self._at_start)
        rate, epsilon = problem.LEARNING_RATE, problem.EPSILON
        self._adam = torch.optim.Adam(self._flow.parameters(), rate, eps=epsilon, fused=True)

    def run(self, epochs):
        """Trains; the seconds of each epoch."""
        torch.set_num_threads(self._threads)
        seconds = []
        for _ in range(epochs):
            began = time.perf_counter()
            for rows in torch.randperm(len(self._x)).split(problem.BATCH):
                self._adam.zero_grad(set_to_none=True)
                loss = -self._log_prob(self._x[rows]).mean()
                loss.backward()
                self._adam.step()
            seconds.append(time.perf_counter() - began)
        return seconds

    def log_prob(self, points):
        """Log-densities at points, an array."""
        torch.set_num_threads(self._threads)
        with torch.no_grad():
            return self._log_prob(torch.from_numpy(points)).numpy()

    def score(self, number):
        """The seconds of calls that score so many points."""
        torch.set_num_threads(self._threads)
        with torch.no_grad():
            return problem.seconds(lambda: self._log_prob(self._judged[:number]))

    def sample(self, number):
        """The seconds of calls that draw so many samples."""
        torch.set_num_threads(self._threads)
        with torch.no_grad():
            return problem.seconds(lambda: self._draw(number))


def programs(data, library, make, log_prob, draw, compilable=True):
    """Every way of running it, by name.

    Args:
        data: the problem.
        library: its name.
        make: a function of the problem that makes the flow.
        log_prob: a function of the flow and points.
        draw: a function of the flow and a number.
        compilable: whether `torch.compile` makes one graph of it.
    """
    found = {}
    for way, (threads, compiled) in _WAYS.items():
        if compiled and not compilable:
            continue
        torch.manual_seed(0)
        flow = make(data)
        found[f"{library}, {way}"] = Program(
            data,
            flow,
            lambda x, flow=flow: log_prob(flow, x),
            lambda number, flow=flow: draw(flow, number),
            threads,
            compiled,
        )
    return found


class Net(nn.Sequential):
    """A net with two hidden layers, for libraries that give their nets a context too."""

    def __init__(self, inputs, outputs):
        width = problem.HIDDEN
        super().__init__(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)
        )

    def forward(self, inputs, context=None):
        """The outputs; there is no context."""
        return super().forward(inputs)


def mask(data, place):
    """1 for the coordinates that this layer moves, 0 for those that its net sees."""
    second_half = torch.arange(data.dim) >= data.dim // 2
    return (second_half if place % 2 == 0 else ~second_half).int()
