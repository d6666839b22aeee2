"""`BetaSchedule`: a warm-up of the weight of the KL term."""

import keras

from companion import _validation

__all__ = ["BetaSchedule"]


class BetaSchedule(keras.callbacks.Callback):
    """Raises a VAE's beta linearly, epoch by epoch, from `start` to `end`; then leaves it there.

    With beta < 1 the loss is no bound (the metric `elbo` always is): what counts is the part of the run that is trained
    with beta = 1.

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
        ends = {"start": start, "end": end}
        for name, value in ends.items():
            if not isinstance(value, (int, float)) or not 0.0 <= value < float("inf"):
                raise ValueError(_validation.message(name, "a number, zero or more", _validation.describe(value)))
        self.start, self.end = float(start), float(end)

    def beta(self, epoch):
        """beta in the epoch of this number, the first being 0."""
        return self.start + (self.end - self.start) * min(1.0, epoch / self.num_epochs)

    def on_epoch_begin(self, epoch, logs=None):
        """Sets beta; Keras calls this."""
        self.model.beta.assign(self.beta(epoch))
