"""`BetaSchedule`: a warm-up of the weight of the KL term."""

import numbers

import keras
import numpy as np

from companion import _validation

__all__ = ["BetaSchedule"]


def beta(argument, value):
    """A weight of the KL term, checked: a number, zero or more."""
    number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    if not number or not 0.0 <= value < float("inf"):
        raise ValueError(_validation.message(argument, "a number, zero or more", _validation.describe(value)))
    return float(value)


class BetaSchedule(keras.callbacks.Callback):
    """Raises a VAE's beta linearly, epoch by epoch, from `start` to `end`; then leaves it there.

    With beta < 1 the loss is no bound (the metric `elbo` always is): what counts is the part of the run that is trained
    with beta = 1. Callbacks that look for the best epoch should monitor `val_elbo` (mode "max"), for `val_loss` is
    least where beta is. beta is a weight: restoring the best weights restores its value too.

    Args:
        num_epochs: after how many epochs `end` is reached.
        start: beta in the first epoch.
        end: beta after the warm-up.

    Reference:
        Bowman, Vilnis, Vinyals, Dai, Jozefowicz and Bengio (2016); Sonderby, Raiko, Maaloe, Sonderby and Winther
        (2016). Chapter: Variational autoencoders.

    Example:
        >>> [BetaSchedule(num_epochs=4).beta(epoch) for epoch in range(6)]
        [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """

    def __init__(self, num_epochs, start=0.0, end=1.0):
        super().__init__()
        self.num_epochs = _validation.count("num_epochs", num_epochs)
        self.start, self.end = beta("start", start), beta("end", end)

    def beta(self, epoch):
        """beta in the epoch of this number, the first being 0."""
        return self.start + (self.end - self.start) * min(1.0, epoch / self.num_epochs)

    def on_train_begin(self, logs=None):
        """Refuses a model whose loss has no beta; Keras calls this."""
        objective = getattr(self.model, "objective", "of another kind")
        if objective != "elbo":
            raise ValueError(_validation.message("BetaSchedule", 'a VAE with objective="elbo"', repr(objective)))

    def on_epoch_begin(self, epoch, logs=None):
        """Sets beta; Keras calls this."""
        self.model.beta.assign(self.beta(epoch))
