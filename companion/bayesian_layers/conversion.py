"""`to_bayesian`: an ordinary Keras model with its layers made Bayesian."""

import tempfile

import keras

from companion import _validation, seeds
from companion.bayesian_layers import convolutional, dense

__all__ = ["to_bayesian"]

METHODS = {
    "reparameterization": "Reparameterization",
    "local_reparameterization": "LocalReparameterization",
    "flipout": "Flipout",
}
ORDINARY = {keras.layers.Dense: "Dense", keras.layers.Conv1D: "Conv1D", keras.layers.Conv2D: "Conv2D"}
KINDS = {name: getattr(module, name) for module in (dense, convolutional) for name in module.__all__}
COMMON = ("name", "trainable", "activation", "units", "filters", "kernel_size", "strides", "padding", "dilation_rate")
WITHOUT_COUNTERPART = {  # what no Bayesian layer does, and the value at which it does nothing
    "kernel_regularizer": None,
    "bias_regularizer": None,
    "activity_regularizer": None,
    "kernel_constraint": None,
    "bias_constraint": None,
    "groups": 1,
    "data_format": "channels_last",
}


def to_bayesian(
    model,
    num_examples,
    method="flipout",
    prior=None,
    posterior=None,
    bias="bayesian",
    seed=None,
    others="refuse",
):
    """A network like an ordinary one, with a distribution in the place of every weight.

    `Dense`, `Conv1D` and `Conv2D` become Bayesian; the distributions are centred at their weights, biases included.
    Layers without weights are copied. The given model stays as it is.

    Args:
        model: a functional or sequential Keras model, built.
        num_examples: how many training examples there are.
        method: "flipout", "reparameterization" or "local_reparameterization".
        prior: as for the layers; one that is over one weight.
        posterior: a `MeanFieldNormal`, of which the scales are taken.
        bias: "bayesian" or "deterministic", for layers that have one.
        seed: an integer for the noise.
        others: what to do with other layers that have weights to train, such as `BatchNormalization`: "refuse" them, or
            "keep" them and their weights without a distribution.

    Returns:
        A Keras model, not compiled.

    Raises:
        TypeError: if the model is no functional or sequential Keras model.
        ValueError: if it is not built, or a layer cannot be made Bayesian.

    Example:
        >>> ordinary = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, "relu"), keras.layers.Dense(1)])
        >>> bayesian = to_bayesian(ordinary, num_examples=100)
        >>> [type(layer).__name__ for layer in bayesian.layers]
        ['DenseFlipout', 'DenseFlipout']
        >>> bool(keras.ops.all(bayesian.layers[0].posterior.mean()["kernel"] == ordinary.layers[0].kernel))
        True
    """
    functional = isinstance(model, keras.Model) and hasattr(model, "operations")  # Keras does not show the class
    if not (functional or isinstance(model, keras.Sequential)):
        expected = "a functional or sequential Keras model; for one of another class, use the layers themselves"
        raise TypeError(_validation.message("model", expected, _validation.describe(model)))
    if not model.built:
        raise ValueError(_validation.message("model", "a model that is built", "one that has not seen its inputs"))
    _validation.one_of("method", method, METHODS)
    _validation.one_of("others", others, ("refuse", "keep"))
    _validation.one_of("bias", bias, ("bayesian", "deterministic"))
    if seed is not None:
        _validation.count("seed", seed, minimum=0)
    same = {"num_examples": _validation.count("num_examples", num_examples), "prior": prior, "posterior": posterior}
    pairs = []

    def converted(layer):
        if not isinstance(layer, keras.layers.Layer):  # an operation, such as those of keras.ops
            return type(layer).from_config(layer.get_config())
        if (ordinary := ORDINARY.get(type(layer))) is None:
            new = _copied(layer, others)
        else:
            kind = KINDS[ordinary + METHODS[method]]
            own = {
                "bias": bias if layer.use_bias else None,
                "seed": None if seed is None else seeds.integer(seed, len(pairs)),
            }
            new = kind(**_arguments(layer), **same, **own)
        pairs.append((layer, new))
        return new

    clone = keras.models.clone_model(model, clone_function=converted, recursive=True)
    if not any(type(old) in ORDINARY for old, _ in pairs):
        expected = "a model with at least one Dense, Conv1D or Conv2D layer"
        raise ValueError(_validation.message("model", expected, f"{model.name}, which has none"))
    if not clone.built:
        clone.build(model.input_shape)
    for old, new in pairs:
        _take_weights(old, new)
    return clone


def _arguments(layer):
    """What a Bayesian layer takes over from an ordinary one; refuses what it cannot do."""
    if getattr(layer, "quantization_mode", None):
        expected = "layers that are not quantized"
        raise ValueError(_validation.message("model", expected, f"{layer.name}, {layer.quantization_mode}"))
    config = layer.get_config()
    for name, nothing in WITHOUT_COUNTERPART.items():
        if config.get(name, nothing) != nothing:
            expected = f"{nothing!r} in the layer {layer.name}, for a Bayesian layer has no such thing"
            raise ValueError(_validation.message(name, expected, repr(config[name])))
    return {name: config[name] for name in COMMON if name in config} | {"dtype": layer.dtype_policy.name}


def _copied(layer, others):
    """A layer of the same kind; refuses one with weights that are trained, unless it is to be kept."""
    if layer.trainable_weights and others == "refuse":
        expected = 'layers Dense, Conv1D, Conv2D and layers without weights, or others="keep"'
        raise ValueError(_validation.message("model", expected, f"{type(layer).__name__}, {layer.name}"))
    return type(layer).from_config(layer.get_config())


def _take_weights(old, new):
    """Sets the means of a Bayesian layer, or the weights of a copied one, to an ordinary layer's weights."""
    if type(old) not in ORDINARY:
        new.set_weights(old.get_weights())
        for part in new._flatten_layers():
            if isinstance(part, keras.layers.Normalization):
                part.finalize_state()  # what it divides by is made of its weights
        if hasattr(old, "save_assets"):  # vocabularies
            with tempfile.TemporaryDirectory() as folder:
                old.save_assets(folder)
                new.load_assets(folder)
        return
    new.kernel.set_loc(old.kernel)
    if old.use_bias:
        new.bias.set_loc(old.bias)
