"""Training Bayesian classifiers: the package through `model.fit` beside other libraries and JAX by hand, in one run.

Run it with `make bench BENCH=bnn`, which makes its environments. Every library has a process of its own, so that their
threads do not meet; the programs take turns, round by round, and only one runs at a time. A step's time is that of a
whole epoch, with its shuffling, divided by its steps: the median over the epochs, the first one of each turn left out;
"least" is the shortest, "run" the time of all epochs. What the first epoch of all takes longer is the first call's.

Before its first turn a library's KL divergence must be the closed form; after `Problem.epochs` epochs from the same
initial posterior, the negative log-likelihoods and KL divergences of all programs' posteriors, by one function in
float64, must lie within `Problem.tolerances` of the median of the libraries' medians for their method. (torchbnn and
TyXe train the logarithm of a scale, not its softplus inverse, and end with a slightly smaller KL divergence.)
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

import bnn_problem
import numpy as np

HERE = Path(__file__).resolve().parent
OLD_KERAS = HERE.parent / ".venv-bench-tfk" / "bin" / "python"
PEERS = {
    "companion": sys.executable,
    "bayesian_torch": sys.executable,
    "torchbnn": sys.executable,
    "tyxe": sys.executable,
    "jax": sys.executable,
    "tfp_layers": str(OLD_KERAS),
}
KL_TOLERANCE = 1e-5  # relative; float32's sums of up to a million terms


class Worker:
    """A library's process."""

    def __init__(self, peer, problem):
        self._connection, other = Pipe()
        command = [PEERS[peer], "-W", "ignore", str(HERE / "bnn_worker.py"), peer, problem, str(other.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[other.fileno()])
        other.close()

    def ask(self, request):
        """The answer to a request."""
        self._connection.send(request)
        return self._connection.recv()

    def stop(self):
        """Ends the process."""
        self._connection.send("stop")
        self._process.wait()


class Measured:
    """One program and what was measured of it."""

    def __init__(self, peer, name, worker):
        self.peer, self.name, self._worker = peer, name, worker
        self.method = name.partition(":")[0]
        self.first, self.epochs, self.runs, self.terms = None, [], [], []

    def warm_up(self, data):
        """Compares the KL divergence with the closed form, and makes the first call."""
        self._do("start")
        exact, got = data.kl(data.posterior()), self._do("kl")
        if abs(got / exact - 1.0) > KL_TOLERANCE:
            raise SystemExit(f"{self.name}: the KL divergence is {got} instead of {exact}")
        self.first = self._do("run", 1)[0]

    def turn(self, data):
        """One run from the initial posterior."""
        self._do("start")
        began = time.perf_counter()
        self.epochs += self._do("run", data.epochs)[1:]
        self.runs.append(time.perf_counter() - began)
        self.terms.append(data.terms(self._do("posterior")))

    def step(self, data):
        """The median time of a step, in ms."""
        return 1e3 * statistics.median(self.epochs) / data.steps

    def row(self, data):
        """The line of the table."""
        step, least = self.step(data), 1e3 * min(self.epochs) / data.steps
        first = max(0.0, self.first - 1e-3 * data.steps * step)
        nll, kl = np.median(self.terms, axis=0)
        times = f"{first:8.2f} s {step:8.3f} ms {least:8.3f} ms {statistics.median(self.runs):7.3f} s"
        return f"  {self.name:58} {times} {nll:9.3f} {kl:9.3f}"

    def _do(self, method, *arguments):
        return self._worker.ask((self.name, method, arguments))


def measure(problem, rounds, peers, only):
    """Prints one problem's table; the programs whose posterior is not the others'."""
    data = bnn_problem.PROBLEMS[problem]()
    workers = {peer: Worker(peer, problem) for peer in peers}
    measured = [
        Measured(peer, name, worker) for peer, worker in workers.items() for name in worker.ask("names") if only in name
    ]
    for one in measured:
        one.warm_up(data)
    for _ in range(rounds):
        for one in measured:
            one.turn(data)
    for worker in workers.values():
        worker.stop()
    print(f"{data.title}: {rounds} rounds of {data.epochs} epochs of {data.steps} steps at batch {data.batch}")
    print(f"  {'program':58} {'first call':>10} {'step':>11} {'least':>11} {'run':>9} {'NLL':>9} {'KL / n':>9}")
    for one in sorted(measured, key=lambda one: (bnn_problem.METHODS.index(one.method), one.step(data))):
        print(one.row(data))
    return disagreeing(measured, data.tolerances)


def disagreeing(measured, tolerances):
    """The names of the programs with terms far from the middle of the libraries' with the same method."""
    names = []
    for method in {one.method for one in measured}:
        same = [one for one in measured if one.method == method]
        of_peers = {}
        for one in same:
            of_peers.setdefault(one.peer, []).extend(one.terms)
        middle = np.median([np.median(terms, axis=0) for terms in of_peers.values()], axis=0)
        names += [one.name for one in same if not np.all(np.abs(one.terms - middle) <= tolerances)]
    return names


def main():
    """Prints one table for each problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each program has its turn")
    parser.add_argument("--only", default="", help="programs whose name contains this")
    parser.add_argument("--problem", choices=bnn_problem.PROBLEMS, help="this one alone")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="these alone")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the start\n")
    wrong = {}
    for problem in [options.problem] if options.problem else bnn_problem.PROBLEMS:
        wrong[problem] = measure(problem, options.rounds, options.peers, options.only)
        print(flush=True)
    print(f"load average {os.getloadavg()[0]:.1f} at the end; above 2 somebody else was computing")
    if any(wrong.values()):
        raise SystemExit(f"programs whose posterior is not that of the others: {wrong}")


if __name__ == "__main__":
    main()
