"""How `fit` runs where the user has not said: how many steps at a time, and whether XLA compiles them."""

import numpy as np

__all__ = ["ENOUGH_FOR_XLA", "choose"]

ENOUGH_FOR_XLA = 2000  # steps, from which on compiling has paid
_MOST_AT_A_TIME = 100


def choose(given, several_devices):
    """`steps_per_execution` and `jit_compile` for a call of `fit`.

    Keras takes some tenths of a millisecond between two steps, as long as a small flow needs for one. Steps that go
    together are one XLA program, which keeps the weights in place; it takes some seconds to make.

    Args:
        given: the arguments of `fit` by name, with an array or a stream x.
        several_devices: whether a strategy shares the batches out.

    Returns:
        The number of steps at a time, a divisor of that of an epoch, and whether there are enough steps for XLA.
    """
    if several_devices or not isinstance(given["x"], np.ndarray):
        return 1, False
    validation_split = given.get("validation_split") or 0.0
    kept = (
        len(given["x"]) if given.get("validation_data") is not None else int(len(given["x"]) * (1 - validation_split))
    )
    batches = given.get("steps_per_epoch") or -(-kept // (given.get("batch_size") or 32))
    at_a_time = max(n for n in range(1, min(batches, _MOST_AT_A_TIME) + 1) if batches % n == 0)
    return at_a_time, at_a_time > 1 and batches * given.get("epochs", 1) >= ENOUGH_FOR_XLA
