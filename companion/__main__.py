"""`python -m companion`: what is installed, where the book is, and whether it computes what it should.

The exit status is 1 if a check fails.
"""

import argparse
import platform
import sys

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from companion import _about, _self_check

HOW_TO_BUILD = "this copy belongs to no published book; `make book` in the course's repository builds one"


def versions():
    """A mapping of what matters in a report of a problem to what it is here."""
    return {
        "companion": _about.__version__,
        "book": _about.BOOK_URL or HOW_TO_BUILD,
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "TensorFlow": tf.__version__,
        "TFP": tfp.__version__,
        "Keras": f"{keras.__version__}, backend {keras.backend.backend()}",
        "NumPy": np.__version__,
        "devices": ", ".join(
            device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()
        ),
    }


def main(arguments=None, checks=_self_check.CHECKS):
    """Prints versions and the checks' results.

    Args:
        arguments: of the command line; None for the process's own.
        checks: as `companion._self_check.CHECKS`.

    Returns:
        The exit status: 1 if a check failed.
    """
    parser = argparse.ArgumentParser(prog="python -m companion", description="Versions, and a self-check.")
    parser.add_argument("--versions", action="store_true", help="print versions and check nothing")
    only_versions = parser.parse_args(arguments).versions
    for name, value in versions().items():
        print(f"{name:<11}{value}", flush=True)
    return 1 if not only_versions and _report(checks) else 0


def _report(checks):
    """Prints a line for each check, and returns how many failed."""
    failed = 0
    for result in _self_check.run(checks):
        failed += result.problem is not None
        outcome = "ok" if result.problem is None else f"FAILED: {result.problem}"
        print(f"{result.name:<47}{result.seconds:5.1f} s  {outcome}", flush=True)
    print(f"{failed} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
