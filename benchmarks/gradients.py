"""Gradients of single samples: how many a second, beside plain TensorFlow and JAX, in one run.

Run it with `make bench`, which makes its environment. Each figure is the median over repeated calls after a
warm-up, with compilation timed apart; every program computes the same thing, the gradient of each sample (see
`problem`), and the means of all programs are compared with the exact gradient before they are timed.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import companion_programs
import jax
import jax_programs
import numpy as np
import problem
import tensorflow as tf
import tensorflow_by_hand

ONE_AT_A_TIME = ("measure_valued", "finite_difference")  # their price grows with the square of the dimension
SIZES = ((1_000, 1), (100_000, 1), (10_000, 100))
SIZES_ONE_AT_A_TIME = ((1_000, 1), (100_000, 1), (100, 100))


def programs(estimator, n, dim):
    """Every program for one estimator and size, by name."""
    table = {
        f"companion, {mode}": companion_programs.program(estimator, n, dim, mode) for mode in companion_programs.MODES
    }
    for mode in tensorflow_by_hand.MODES:
        table[f"TensorFlow by hand, {mode}"] = tensorflow_by_hand.program(estimator, n, dim, mode)
    table["JAX jit"] = jax_programs.program(estimator, n, dim)
    if estimator == "pathwise":
        table["TensorFlow loop over samples"] = tensorflow_by_hand.loop(n, dim)
    return table


def measure(program, seconds):
    """The first call's time and the median of the next ones'."""
    start = time.perf_counter()
    program(tf.constant([0, 1]))
    first = time.perf_counter() - start
    times = []
    while len(times) < 5 or (sum(times) < seconds and len(times) < 500):
        seed = tf.constant([0, len(times) + 2])
        start = time.perf_counter()
        result = program(seed)
        _ = np.asarray(result["loc"])[0]
        times.append(time.perf_counter() - start)
    return first, statistics.median(times)


def main():
    """Prints one table for each estimator and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each program is measured")
    parser.add_argument("--only", default="", help="estimators whose name contains this")
    options = parser.parse_args()
    print(f"TensorFlow {tf.__version__}, JAX {jax.__version__}, {os.cpu_count()} cores\n")
    for estimator in problem.ESTIMATORS:
        if options.only not in estimator:
            continue
        for n, dim in SIZES_ONE_AT_A_TIME if estimator.startswith(ONE_AT_A_TIME) else SIZES:
            print(f"{estimator}: {n} samples of {dim} coordinate{'s' if dim > 1 else ''}")
            print(f"  {'program':32} {'first call':>11} {'median':>12} {'samples/s':>14}")
            for name, program in programs(estimator, n, dim).items():
                first, median = measure(program, options.seconds)
                problem.check(f"{name}, {estimator}", program(tf.constant([0, 0])))
                print(f"  {name:32} {first:9.3f} s {1e3 * median:9.3f} ms {n / median:14,.0f}", flush=True)
            print()


if __name__ == "__main__":
    main()
