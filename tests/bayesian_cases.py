"""The nine Bayesian layers, one line for each linear map and one for each way in which the noise enters."""

import dataclasses

import keras
import numpy as np

from companion import bayesian_layers

NUM_EXAMPLES = 40
METHODS = {
    "reparameterization": "Reparameterization",
    "local_reparameterization": "LocalReparameterization",
    "flipout": "Flipout",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A kind of layer, with arguments and inputs to try it with."""

    kind: type
    ordinary: type  # the Keras layer with the same linear map
    method: str
    arguments: dict
    input_shape: tuple  # of one example
    output_shape: tuple

    def layer(self, **options):
        """A new layer; options go before the case's own arguments."""
        return self.kind(**{**self.arguments, "num_examples": NUM_EXAMPLES, "seed": 3, **options})

    def inputs(self, num_inputs=5, seed=0, dtype="float32"):
        """Standard normal numbers, shape [num_inputs, *input_shape]."""
        return np.random.default_rng(seed).standard_normal((num_inputs, *self.input_shape)).astype(dtype)

    def kernel_shape(self):
        """Of the layer's kernel."""
        positions = (self.arguments.get("kernel_size"),) * (len(self.input_shape) - 1)
        return (*positions, self.input_shape[-1], self.output_shape[-1])


LINEAR = {  # the ordinary layer, arguments, the shape of an input, the shape of an output
    "Dense": (keras.layers.Dense, {"units": 3}, (4,), (3,)),
    "Conv1D": (keras.layers.Conv1D, {"filters": 3, "kernel_size": 2}, (5, 2), (4, 3)),
    "Conv2D": (keras.layers.Conv2D, {"filters": 3, "kernel_size": 2}, (4, 5, 2), (3, 4, 3)),
}
CASES = {
    linear + suffix: Case(getattr(bayesian_layers, linear + suffix), ordinary, method, arguments, inputs, outputs)
    for linear, (ordinary, arguments, inputs, outputs) in LINEAR.items()
    for method, suffix in METHODS.items()
}
