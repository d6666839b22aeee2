"""`predict`: what many draws of a network's weights say together."""

import functools
import weakref

import keras
import numpy as np
import tensorflow as tf

from companion import _validation, seeds
from companion.bayesian_layers import likelihoods
from companion.bayesian_layers.layer import fixed_draw, require_layers
from companion.bayesian_layers.losses import NegativeLogLikelihood

__all__ = ["Prediction", "predict"]


def predict(model, x, num_samples=100, seed=None, likelihood=None, batch_size=256):
    r"""The predictive distribution of a network with Bayesian layers, from draws of its weights.

    .. math::

        p(y \mid x) \approx \frac1S\sum_{s=1}^S p(y \mid x, w_s), \qquad w_s \sim q

    Each draw is one network for all of x, so the samples are functions. (`model.predict` draws anew for every batch,
    and but once.)

    Args:
        model: a Keras model with Bayesian layers and one output.
        x: inputs, shape [num_inputs, ...], or a list or dict of them for a model with several.
        num_samples: S, how many draws.
        seed: as for `companion.seeds.as_seed`.
        likelihood: what the outputs mean: "categorical", "bernoulli" or an object of
            `companion.bayesian_layers.likelihoods`. None: as the model's loss says.
        batch_size: how many inputs go through the network at a time; it does not change the result.

    Returns:
        A `Prediction`.

    Raises:
        ValueError: if the model has no Bayesian layers, or its loss does not say what the outputs mean.

    Reference:
        Blundell, Cornebise, Kavukcuoglu and Wierstra (2015). Chapter: Bayesian neural networks.

    Example:
        >>> from companion.bayesian_layers import DenseFlipout
        >>> model = keras.Sequential([keras.Input([2]), DenseFlipout(3)])
        >>> prediction = predict(model, tf.ones([5, 2]), num_samples=10, seed=0, likelihood="categorical")
        >>> prediction.mean.shape, prediction.epistemic.shape
        (TensorShape([5, 3]), TensorShape([5]))
    """
    require_layers(model)
    likelihood = _likelihood_of(model) if likelihood is None else likelihoods.find(likelihood)
    num_samples = _validation.count("num_samples", num_samples)
    batch_size = _validation.count("batch_size", batch_size)
    x, num_inputs = _inputs(x)
    draws = tf.stack(seeds.split(seed, num_samples))
    outputs = [
        _at_draws(model)(tf.nest.map_structure(lambda part, i=start: tf.constant(part[i : i + batch_size]), x), draws)
        for start in range(0, num_inputs, batch_size)
    ]
    return Prediction(tf.concat(outputs, axis=1), likelihood)


class Prediction:
    """A mixture of the predictions of several networks, such as draws of a network's weights.

    Args:
        outputs: of the networks, shape [num_samples, num_inputs, ...].
        likelihood: what they mean, as in `predict`.

    Attributes:
        outputs: as given.
        likelihood: an object of `companion.bayesian_layers.likelihoods`.

    Raises:
        TypeError: if the outputs are not numbers.
        ValueError: if there is no axis of samples, or the likelihood is none.

    Reference:
        For the parts of the uncertainty: Depeweg, Hernandez-Lobato, Doshi-Velez and Udluft (2018).

    Example:
        >>> two_networks = tf.constant([[[4.0, 0.0]], [[0.0, 4.0]]])  # that contradict each other
        >>> prediction = Prediction(two_networks, "categorical")
        >>> prediction.mean.numpy().round(2).tolist(), round(float(prediction.epistemic[0]), 2)
        ([[0.5, 0.5]], 0.6)
    """

    def __init__(self, outputs, likelihood):
        self.outputs = _validation.float_tensor("outputs", outputs)
        if self.outputs.shape.rank < 2:
            expected = "shape [num_samples, num_inputs, ...]"
            raise ValueError(_validation.message("outputs", expected, f"shape {list(self.outputs.shape)}"))
        self.likelihood = likelihoods.find(likelihood)

    @functools.cached_property
    def samples(self):
        """The expectation of y, or the probabilities of its classes, for every draw: [num_samples, num_inputs, ...]."""
        return self.likelihood.mean(self.outputs)

    @functools.cached_property
    def mean(self):
        """The mean over draws, the best guess: [num_inputs, ...]."""
        return tf.reduce_mean(self.samples, axis=0)

    @property
    def aleatoric(self):
        """What remains unknown about y if the weights were known: a variance, or an entropy in nats."""
        return self._uncertainty[1]

    @property
    def epistemic(self):
        """What is unknown because the weights are: a variance, or a mutual information in nats."""
        return self._uncertainty[2]

    @property
    def total(self):
        """Aleatoric and epistemic together: a variance, or an entropy in nats."""
        return self._uncertainty[0]

    def log_prob(self, y):
        r"""The log density, or probability, of targets under the mixture.

        .. math::

            \log \frac1S\sum_{s=1}^S p(y \mid x, w_s)

        Args:
            y: targets, shape [num_inputs, ...].

        Returns:
            A tensor of shape [num_inputs], in nats.

        Raises:
            ValueError: if the targets do not fit.
        """
        y = self.likelihood.targets(y, self.outputs[0])
        log_probs = self.likelihood.log_prob(self.outputs, y)
        return tf.reduce_logsumexp(log_probs, axis=0) - tf.math.log(tf.cast(log_probs.shape[0], log_probs.dtype))

    @functools.cached_property
    def _uncertainty(self):
        return self.likelihood.uncertainty(self.outputs)


_TRACED = weakref.WeakKeyDictionary()  # for every model which layers it had, and a function traced with them


def _at_draws(model):
    """A function from inputs and seeds [num_samples, 2] to the model's outputs [num_samples, num_inputs, ...]."""
    layers = [weakref.ref(layer) for layer in model._flatten_layers()]
    if model not in _TRACED or _TRACED[model][0] != layers:
        reference = weakref.ref(model)

        @tf.function(reduce_retracing=True, autograph=False)
        def outputs(x, draws):
            model = reference()
            dtype = tf.float64 if model.compute_dtype == "float64" else tf.float32  # others are widened

            def at_one(draw):
                with fixed_draw(model, draw):
                    return tf.cast(_only_output(model(x, training=False)), dtype)

            return tf.map_fn(at_one, draws, fn_output_signature=dtype)

        _TRACED[model] = layers, outputs
    return _TRACED[model][1]


def _only_output(outputs):
    if not tf.is_tensor(outputs):
        got = f"{len(outputs)} of them" if hasattr(outputs, "__len__") else type(outputs).__name__
        raise ValueError(_validation.message("model", "a model with one output, a tensor", got))
    return outputs


def _inputs(x):
    """Inputs as arrays, in their structure, and how many there are."""
    parts = [getattr(part, "shape", ()) for part in tf.nest.flatten(x)]
    if not parts or not all(map(len, parts)):
        expected = "an array of inputs, shape [num_inputs, ...], or a list or dict of arrays"
        raise TypeError(_validation.message("x", expected, _brief(x)))
    lengths = sorted({shape[0] for shape in parts})
    if len(lengths) > 1 or not lengths[0]:
        raise ValueError(
            _validation.message("x", "at least one input, and as many in every part", f"lengths {lengths}")
        )
    return tf.nest.map_structure(np.asarray, x), lengths[0]


def _brief(x):
    text = _validation.describe(x)
    return text if len(text) < 80 else f"{text[:70]} ... ({type(x).__name__})"


def _likelihood_of(model):
    """What a compiled model's loss says about its outputs."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, NegativeLogLikelihood):
        return loss.likelihood
    losses = keras.losses
    if (
        isinstance(loss, (losses.SparseCategoricalCrossentropy, losses.CategoricalCrossentropy))
        and loss.get_config()["from_logits"]
    ):
        return likelihoods.Categorical()
    if isinstance(loss, losses.BinaryCrossentropy) and loss.get_config()["from_logits"]:
        return likelihoods.Bernoulli()
    expected = "what the outputs mean, such as likelihoods.Normal(scale=0.1), or a loss that says it: "
    expected += "NegativeLogLikelihood, or a cross-entropy of Keras with from_logits=True"
    if isinstance(loss, losses.MeanSquaredError) or loss in ("mse", "mean_squared_error", losses.mean_squared_error):
        expected += " (the mean squared error does not say the scale of the noise)"
    raise ValueError(_validation.message("likelihood", expected, f"None, and loss={_name(loss)}"))


def _name(loss):
    return repr(loss) if loss is None or isinstance(loss, str) else getattr(loss, "name", type(loss).__name__)
