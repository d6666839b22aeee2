"""Training a VAE: the package through `model.fit` beside PyTorch, JAX with optax and plain TensorFlow, in one run.

Run it with `make bench BENCH=vae`, which makes its environment. Every framework has a process of its own, so that their
threads do not meet; the programs take turns, round by round, and only one runs at a time. A step's time is that of a
whole epoch, with its shuffling, divided by its steps: the median over the epochs, the first one of each turn left out;
"least" is the shortest, "run" the time of all epochs. What the first epoch of all takes longer is the first call's time
(PyTorch keeps what it compiled on the disk: its first call is shorter the second time). The share of the peak is the
matrix products' part: their floating-point operations, over the time, over the most that any framework reaches here on
large matrices. After `Problem.epochs` epochs from the same initial weights, the ELBOs of all programs' weights, by one
function in float64, must lie within `Problem.tolerance` of the median of the frameworks' medians.
"""

import argparse
import importlib
import multiprocessing
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import vae_problem

PEERS = ("companion", "torch", "jax", "tensorflow")


def serve(peer, problem, connection):
    """One framework's process: answers "names", "peak", or the name of a program, a method and its arguments."""
    module = importlib.import_module(f"vae_{peer}")
    programs = module.programs(vae_problem.PROBLEMS[problem]())
    while (request := connection.recv()) != "stop":
        if request == "names":
            connection.send(list(programs))
        elif request == "peak":
            connection.send(peak(module.matmul))
        else:
            name, method, arguments = request
            connection.send(getattr(programs[name], method)(*arguments))


class Worker:
    """The other end: a framework's process."""

    def __init__(self, peer, problem):
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=serve, args=(peer, problem, other), daemon=True)
        self._process.start()

    def ask(self, request):
        """The answer to a request."""
        self._connection.send(request)
        return self._connection.recv()

    def stop(self):
        """Ends the process."""
        self._connection.send("stop")
        self._process.join()


def peak(matmul, size=2048, calls=20):
    """Floating-point operations a second of the fastest product of two large matrices."""
    rng = np.random.default_rng(0)
    product = matmul(*rng.random([2, size, size], np.float32))
    product()
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


class Measured:
    """One program and what was measured of it."""

    def __init__(self, peer, name, worker):
        self.peer, self.name, self._worker = peer, name, worker
        self.first, self.epochs, self.runs, self.elbos = None, [], [], []

    def turn(self, data):
        """One run from the initial weights."""
        self._do("start")
        if self.first is None:
            self.first = self._do("run", 1)[0]
            self._do("start")
        began = time.perf_counter()
        self.epochs += self._do("run", data.epochs)[1:]
        self.runs.append(time.perf_counter() - began)
        self.elbos.append(data.elbo(self._do("weights")))

    def row(self, data, most):
        """The line of the table."""
        step, least = (f(self.epochs) / data.steps for f in (statistics.median, min))
        first, share = self.first - data.steps * step, data.flop / step / most
        run, elbo = statistics.median(self.runs), statistics.median(self.elbos)
        return (
            f"  {self.name:32} {first:8.2f} s {1e3 * step:6.3f} ms {1e3 * least:6.3f} ms {share:8.1%}"
            f" {run:7.3f} s {elbo:9.2f}"
        )

    def _do(self, method, *arguments):
        return self._worker.ask((self.name, method, arguments))


def measure(problem, rounds, only):
    """Prints one problem's table; the programs whose ELBO is not the others'."""
    data = vae_problem.PROBLEMS[problem]()
    workers = {peer: Worker(peer, problem) for peer in PEERS}
    measured = [
        Measured(peer, name, worker) for peer, worker in workers.items() for name in worker.ask("names") if only in name
    ]
    peaks = all_peaks(workers)
    for _ in range(rounds):
        for one in measured:
            one.turn(data)
    peaks += all_peaks(workers)
    for worker in workers.values():
        worker.stop()
    most, where = max(peaks)
    print(f"{data.title}: {data.flop / 1e6:.2f} MFLOP in a step's matrix products")
    print(f"peak {most / 1e9:.0f} GFLOP/s ({where}); {rounds} rounds of {data.epochs} epochs of {data.steps} steps")
    print(f"  {'program':32} {'first call':>10} {'step':>9} {'least':>9} {'of peak':>8} {'run':>9} {'ELBO':>9}")
    for one in measured:
        print(one.row(data, most))
    return disagreeing(measured, data.tolerance)


def all_peaks(workers):
    """The peak that each framework reaches now, and NumPy."""
    return [(peak(lambda a, b: lambda: a @ b), "NumPy"), *((w.ask("peak"), peer) for peer, w in workers.items())]


def disagreeing(measured, tolerance):
    """The names of the programs with an ELBO far from the middle of the frameworks'."""
    of_peers = {}
    for one in measured:
        of_peers.setdefault(one.peer, []).extend(one.elbos)
    middle = statistics.median(statistics.median(elbos) for elbos in of_peers.values())
    return [one.name for one in measured if max(abs(elbo - middle) for elbo in one.elbos) > tolerance]


def main():
    """Prints one table for each problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each program has its turn")
    parser.add_argument("--only", default="", help="programs whose name contains this")
    parser.add_argument("--problem", choices=vae_problem.PROBLEMS, help="this one alone")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the start\n")
    wrong = {}
    for problem in [options.problem] if options.problem else vae_problem.PROBLEMS:
        wrong[problem] = measure(problem, options.rounds, options.only)
        print(flush=True)
    print(f"load average {os.getloadavg()[0]:.1f} at the end; above 2 somebody else was computing")
    if any(wrong.values()):
        raise SystemExit(f"programs whose ELBO is not that of the others: {wrong}")


if __name__ == "__main__":
    main()
