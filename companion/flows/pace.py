"""How `fit` runs where the user has not said: how many steps at a time, and whether XLA compiles them."""

import numpy as np

from companion._training import order

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
        The number of steps at a time, and whether there are enough steps for XLA.
    """
    if several_devices or not isinstance(given["x"], np.ndarray):
        return 1, False
    batches = given.get("steps_per_epoch") or -(-len(order.split(given)["x"]) // order.batch_size_of(given))
    enough = batches * given.get("epochs", 1) >= ENOUGH_FOR_XLA
    if enough and batches > _MOST_AT_A_TIME:
        return _MOST_AT_A_TIME, True  # the program takes a rest that does not divide
    return max(n for n in range(1, min(batches, _MOST_AT_A_TIME) + 1) if batches % n == 0), enough and batches > 1
