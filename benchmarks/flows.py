"""Training, scoring and sampling normalizing flows: the package beside other libraries, in one run.

Run it with `make bench BENCH=flows`. Every library has a process of its own, so that their threads do not meet; the
programs take turns, round by round, and only one runs at a time. A step's time is that of a whole epoch, with its
shuffling, divided by its steps: the median over the epochs, the first one of each turn left out; "least" is the
shortest. "cold" is the first run of all, from a flow that was never called, with everything it traces and compiles;
"run" a later one of as many steps. Scoring and sampling are medians over calls that are not the first.

"numbers" are those that are trained: see `flows_problem` for what libraries choose for themselves. In 2 dimensions the
densities must have a mass of 1; in 64 none may give other data a greater likelihood than the true one does; and
everywhere the mean negative log-likelihoods must lie within `Problem.tolerance` of the median of the libraries'
medians. That is wide: after 200 steps the flows are on their way, and start from different weights (nflows' and
normflows' sigmoid scales, of 1.001 at most, and nflows' softplus, far from the identity, make theirs the slowest).
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

import flows_problem
import numpy as np

MASS_TOLERANCE = 0.01
HERE = Path(__file__).resolve().parent
PEERS = ("companion", "tfp", "zuko", "nflows", "normflows", "flowjax")


class Worker:
    """A library's process."""

    def __init__(self, peer, problem):
        self._connection, other = Pipe()
        command = [sys.executable, "-W", "ignore", str(HERE / "flows_worker.py"), peer, problem, str(other.fileno())]
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
        self.parameters, self.cold, self.epochs, self.runs, self.losses = None, None, [], [], []
        self.calls = {(what, size): [] for what in ("score", "sample") for size in flows_problem.SIZES}

    def warm_up(self, epochs):
        """Makes the first calls."""
        self._do("start")
        self.parameters = self._do("parameters")
        began = time.perf_counter()
        self._do("run", epochs)
        self.cold = time.perf_counter() - began
        for call in self.calls:
            self._do(*call)

    def turn(self, data, epochs):
        """One run from the initial weights, then scoring and sampling."""
        self._do("start")
        began = time.perf_counter()
        self.epochs += self._do("run", epochs)[1:]
        self.runs.append(time.perf_counter() - began)
        self.losses.append(-float(self._do("log_prob", data.judged).mean()))
        for call, times in self.calls.items():
            times += self._do(*call)

    def wrong(self, data):
        """What its density cannot be, or None: another mass than 1, or a better fit than the truth's."""
        if data.dim == 2:
            points, area = flows_problem.grid()
            mass = area * np.nansum(np.exp(self._do("log_prob", points).astype(np.float64)))  # far out some overflow
            return None if abs(mass - 1.0) < MASS_TOLERANCE else f"{self.name}: its density has a mass of {mass}"
        if min(self.losses) < data.least - data.least_error:
            return f"{self.name}: its likelihood is above that of the true density"
        return None

    def step(self):
        """The median time of a step, in ms."""
        return 1e3 * statistics.median(self.epochs) / flows_problem.STEPS

    def row(self):
        """The line of the table."""
        least, run = 1e3 * min(self.epochs) / flows_problem.STEPS, statistics.median(self.runs)
        times = f"{self.step():8.3f} ms {least:8.3f} ms {run:6.2f} s {self.cold:6.2f} s"
        calls = " ".join(f"{1e3 * statistics.median(times):10.2f} ms" for times in self.calls.values())
        return f"  {self.name:38} {self.parameters:8} {times} {calls} {np.median(self.losses):8.3f}"

    def _do(self, method, *arguments):
        return self._worker.ask((self.name, method, arguments))


def measure(problem, epochs, rounds, peers, only):
    """Prints one problem's table; the programs whose losses are not the others'."""
    data = flows_problem.make(problem)
    workers = {peer: Worker(peer, problem) for peer in peers}
    measured = [
        Measured(peer, name, worker) for peer, worker in workers.items() for name in worker.ask("names") if only in name
    ]
    for one in measured:
        one.warm_up(epochs)
    for _ in range(rounds):
        for one in measured:
            one.turn(data, epochs)
    impossible = [found for one in measured if (found := one.wrong(data))]
    for worker in workers.values():
        worker.stop()
    steps = epochs * flows_problem.STEPS
    print(f"{data.title}; {rounds} rounds of {steps} steps at batch {flows_problem.BATCH}")
    heads = " ".join(f"{f'{what} {size}':>13}" for what, size in measured[0].calls)
    print(f"  {'program':38} {'numbers':>8} {'step':>11} {'least':>11} {'run':>8} {'cold':>8} {heads} {'NLL':>8}")
    for one in sorted(measured, key=Measured.step):
        print(one.row())
    return [*impossible, *disagreeing(measured, data.tolerance)]


def disagreeing(measured, tolerance):
    """The names of the programs with losses far from the middle of the libraries'."""
    of_peers = {}
    for one in measured:
        of_peers.setdefault(one.peer, []).extend(one.losses)
    middle = np.median([np.median(losses) for losses in of_peers.values()])
    return [one.name for one in measured if not np.all(np.abs(np.array(one.losses) - middle) <= tolerance)]


def main():
    """Prints one table for each problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each program has its turn")
    parser.add_argument("--epochs", type=int, default=flows_problem.EPOCHS, help="of a run, at least 2")
    parser.add_argument("--only", default="", help="programs whose name contains this")
    parser.add_argument("--problem", choices=flows_problem.PROBLEMS, help="this one alone")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS, help="these alone")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the start\n")
    wrong = {}
    for problem in [options.problem] if options.problem else flows_problem.PROBLEMS:
        wrong[problem] = measure(problem, options.epochs, options.rounds, options.peers, options.only)
        print(flush=True)
    print(f"load average {os.getloadavg()[0]:.1f} at the end; above 2 somebody else was computing")
    if any(wrong.values()):
        raise SystemExit(f"programs whose loss is not that of the others: {wrong}")


if __name__ == "__main__":
    main()
