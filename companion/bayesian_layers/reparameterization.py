"""One draw of the weights for the whole batch."""

__all__ = ["Reparameterization"]


class Reparameterization:
    r"""The way of Bayes by Backprop: all examples of a call share one draw of the weights.

    .. math::

        a = x\,(\mu + \sigma \odot \epsilon) + b, \qquad \epsilon \sim \mathcal{N}(0, I)

    Every example adds to the gradient noise of the same sign, so its variance does not fall with the batch size.
    """

    def noisy(self, x, weights, seeds_of):
        """The pre-activations at one draw of the weights.

        Args:
            x: inputs, a tensor.
            weights: `companion.bayesian_layers.layer.Weights` now.
            seeds_of: `companion.bayesian_layers.layer.Seeds` of this call.
        """
        return self.at_one_draw(x, weights, seeds_of)
