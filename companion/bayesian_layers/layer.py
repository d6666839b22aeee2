"""What all Bayesian layers share: the weights' distributions, their KL divergence, and its place in the loss.

Contract: a subclass is made of a linear map (`dense`, `convolutional`), which defines `kernel_shape(input_shape)`,
`linear(x, kernel)`, `num_outputs` and `ranks`, of inputs, as `InputSpec` wants them; and of a way in which the noise
enters (`reparameterization`, `local_reparameterization`, `flipout`), which defines `noisy(x, weights, seeds_of)`.
"""

import contextlib
from typing import NamedTuple

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _saving, _validation, seeds
from companion.bayesian_layers import divergence, priors
from companion.bayesian_layers.posteriors import MeanFieldNormal, NormalValues, PointValues, PointWeights

__all__ = ["BayesianLayer", "fixed_draw", "kl_divergence", "layers_in"]


class BayesianLayer(keras.layers.Layer):
    r"""A layer with random weights w ~ q that charges KL(q || prior) / num_examples once a step.

    .. math::

        \mathrm{outputs} = \mathrm{activation}(a), \qquad
        \frac1N\sum_{i=1}^N -\log p(y_i \mid x_i, w) + \frac1N \operatorname{KL}(q \,\Vert\, p)

    The second formula is what `fit` then minimises, on average over batches and draws, for a loss that is a mean
    negative log-likelihood and N = num_examples: the negative ELBO of the data, per example.

    Every call draws anew, in training and in inference; `fixed_draw` makes draws stay. A layer that a network uses at
    several places has independent noise at each, and is charged once. Where a forward pass is repeated for its gradient
    (`keras.RematScope`, `tf.recompute_grad`), the second pass would have other noise: don't.

    Args:
        activation: a Keras activation or its name.
        prior: a `tfd.Distribution` over one weight, or over the kernel's shape; None is the standard normal.
        posterior: a `MeanFieldNormal`, which says where q begins; None for its defaults.
        num_examples: N, how many training examples there are; without, the layer does not train and gives no gradients.
        seed: an integer for the noise, another one for every layer: the same seed is the same noise. None for one that
            `keras.utils.set_random_seed` decides. A clone has the seed, and so the noise, of what it was cloned from.
        bias: "bayesian", a bias that is random as the kernel is; "deterministic", one that is not, and has no KL;
            None for no bias.
        bias_prior: None for `prior`, which must then be over one weight.
        kl: "closed_form" or "sampled"; None for a closed form if there is one. The attribute says which.
        **kwargs: those of `keras.layers.Layer`.

    Raises:
        TypeError: if the prior is no distribution, the posterior no `MeanFieldNormal`, or inputs are not floating-point
            numbers.
        ValueError: if an argument is none of the above.
    """

    def __init__(
        self,
        activation=None,
        prior=None,
        posterior=None,
        num_examples=None,
        seed=None,
        *,
        bias="bayesian",
        bias_prior=None,
        kl=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if self.variable_dtype not in ("float32", "float64"):
            expected = "float32, float64, or a mixed policy such as mixed_bfloat16"
            raise ValueError(_validation.message("dtype", expected, self.variable_dtype))
        self.activation = _activation(activation)
        self._prior = priors.find("prior", prior, self.variable_dtype)
        self._bias_prior = (
            self._prior if bias_prior is None else priors.find("bias_prior", bias_prior, self._prior.dtype)
        )
        self._start = _posterior(posterior)
        self.num_examples = None if num_examples is None else _validation.count("num_examples", num_examples)
        self.seed = seeds.any_seed() if seed is None else _validation.count("seed", seed, minimum=0)
        self._bias_kind = bias if bias is None else _validation.one_of("bias", bias, ("bayesian", "deterministic"))
        if bias_prior is not None and not self.bayesian_bias:
            expected = 'None, since a prior is for bias="bayesian"'
            raise ValueError(_validation.message("bias_prior", expected, _validation.describe(bias_prior)))
        known = all(map(divergence.has_closed_form, (self._prior, self._bias_prior)))
        self._asked = {"prior": prior, "bias_prior": bias_prior, "kl": kl}
        self.kl = divergence.choose(kl, known)
        # counted on each device: one that waits for the others would let them into this call in the middle of it
        counted = {"initializer": "zeros", "dtype": "int32", "trainable": False, "autocast": False}
        self.calls = self.add_weight(shape=(), name="calls", aggregation="none", **counted)
        self._charged = None
        self._fixed_seed = None

    def build(self, input_shape):
        """Makes the weights; Keras calls this."""
        kernel_shape = self.kernel_shape(tuple(input_shape))
        priors.fit_to("prior", self._prior, kernel_shape)
        self.kernel = self._start.add_weights(self, "kernel", kernel_shape)
        self.kernel_loc, self.kernel_rho = self.kernel.loc, self.kernel.rho
        bias_shape = (self.num_outputs,)
        if self._bias_kind == "bayesian":
            priors.fit_to("bias_prior (or prior, for the bias)", self._bias_prior, bias_shape)
            self.bias = self._start.add_weights(self, "bias", bias_shape, "zeros")
            self.bias_loc, self.bias_rho = self.bias.loc, self.bias.rho
        elif self._bias_kind == "deterministic":
            self.bias = PointWeights(
                self.add_weight(shape=bias_shape, initializer="zeros", name="bias", autocast=False)
            )
        else:
            self.bias = None
        self.input_spec = keras.layers.InputSpec(**self.ranks, axes={-1: input_shape[-1]})
        self.built = True

    # The distributions

    @property
    def posterior(self):
        """q, a joint `tfd.Distribution` of "kernel" and, if it is random, "bias"; it changes as the layer learns."""
        self._require_built()
        return tfd.JointDistributionNamed({name: w.distribution() for name, w, _ in self._random(self)})

    @property
    def prior(self):
        """The prior of the same weights, a joint `tfd.Distribution`."""
        self._require_built()
        return tfd.JointDistributionNamed({name: priors.over(p, w.shape) for name, w, p in self._random(self)})

    def kl_divergence(self, seed=None, num_samples=1):
        """KL(q || prior) of all random weights of the layer.

        Args:
            seed: as for `companion.seeds.as_seed`; used if `kl` is "sampled".
            num_samples: over how many draws of the weights the estimate is averaged, if `kl` is "sampled".

        Returns:
            A scalar tensor, in nats, differentiable in the layer's variables.
        """
        num_samples = _validation.count("num_samples", num_samples)
        if self.kl == "closed_form":
            return self._closed_form(self._now())
        draws, weights = tf.stack(seeds.split(seed, num_samples)), self._now()
        width = weights.kernel.loc.dtype
        return tf.reduce_mean(
            tf.map_fn(lambda draw: self._log_ratio(weights, Seeds(draw)), draws, fn_output_signature=width)
        )

    # What Keras calls

    def call(self, x, training=False):
        """The outputs, with noise."""
        self._require_floats(x)
        if self._fixed_seed is not None:
            if training:
                raise ValueError(_validation.message("training", "False inside fixed_draw", training))
            return self.activation(self.at_one_draw(x, self._now(), Seeds(self._fixed_seed)))
        seeds_of = Seeds(seeds.fold(self.seed, tf.convert_to_tensor(self.calls.value)))
        self.calls.assign_add(1)
        weights = self._now()
        self._charge(weights, seeds_of, training)
        if self.num_examples is None:
            weights = self._for_inference(weights)
        return self.activation(self.noisy(x, weights, seeds_of))

    def compute_output_spec(self, x, training=False):
        """The shape and width of the outputs; no noise is drawn and nothing is charged."""
        self._require_floats(x)
        outputs = self.linear(x, keras.KerasTensor(self.kernel_shape(tuple(x.shape)), self.compute_dtype))
        return keras.KerasTensor(outputs.shape, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """The shape of the outputs for inputs of a shape."""
        return self.compute_output_spec(keras.KerasTensor(input_shape, self.compute_dtype)).shape

    def get_config(self):
        """What `from_config` needs to make this layer anew; Keras saves the weights beside it."""
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "prior": _saving.to_config("prior", self._asked["prior"]),
            "bias_prior": _saving.to_config("bias_prior", self._asked["bias_prior"]),
            "posterior": keras.saving.serialize_keras_object(self._start),
            "num_examples": self.num_examples,
            "seed": self.seed,
            "bias": self._bias_kind,
            "kl": self._asked["kl"],
        }

    @classmethod
    def from_config(cls, config):
        """A layer with the configuration of another."""
        read = {name: _saving.from_config(config[name]) for name in ("prior", "bias_prior")}
        posterior = keras.saving.deserialize_keras_object(config["posterior"])
        return cls(**{**config, **read, "posterior": posterior})

    # Inside

    @property
    def bayesian_bias(self):
        """Whether there is a bias, and it is random."""
        return self._bias_kind == "bayesian"

    def at_mean(self, x, weights):
        """The pre-activations at the mean of q."""
        return self._affine(x, weights.kernel.loc, None if weights.bias is None else weights.bias.loc)

    def at_one_draw(self, x, weights, seeds_of):
        """The pre-activations of all examples at one draw of the weights."""
        bias = None if weights.bias is None else weights.bias.draw(seeds_of.bias)
        return self._affine(x, weights.kernel.draw(seeds_of.kernel), bias)

    def _affine(self, x, kernel, bias):
        outputs = self.linear(x, tf.cast(kernel, x.dtype))
        return outputs if bias is None else outputs + tf.cast(bias, x.dtype)

    def _now(self):
        self._require_built()
        return Weights(self.kernel.now(), None if self.bias is None else self.bias.now())

    def _for_inference(self, weights):
        """The same weights, of which no gradient can be taken: not every model says when it trains."""

        @tf.custom_gradient
        def guarded(values):
            def gradient(upstream):
                raise self._without_num_examples()

            return tf.identity(values), gradient

        bias = None if weights.bias is None else tf.nest.map_structure(guarded, weights.bias)
        return Weights(tf.nest.map_structure(guarded, weights.kernel), bias)

    def _without_num_examples(self):
        expected = f"how many training examples there are, as in {type(self).__name__}(..., num_examples=len(x_train))"
        return ValueError(_validation.message("num_examples", expected, None))

    def _charge(self, weights, seeds_of, training):
        """Adds the KL divergence per example to the losses, at the first call of a step."""
        if self.num_examples is None:
            if training:
                raise self._without_num_examples()
        elif not any(loss is self._charged for loss in self.losses):
            exact = self.kl == "closed_form"
            kl = self._closed_form(weights) if exact else self._log_ratio(weights, seeds_of)
            self._charged = tf.cast(kl / self.num_examples, keras.config.floatx())  # as Keras' losses are
            self.add_loss(self._charged)

    def _closed_form(self, weights):
        return tf.add_n([divergence.closed_form(*w, prior) for _, w, prior in self._random(weights)])

    def _log_ratio(self, weights, seeds_of):
        """log q(w) - log prior(w) at the draw of all weights that belongs to some seeds."""
        terms = [divergence.sampled(*w, prior, getattr(seeds_of, name)) for name, w, prior in self._random(weights)]
        return tf.add_n(terms)

    def _random(self, weights):
        """The random ones of some weights, as triples of their name, themselves and their prior."""
        yield "kernel", weights.kernel, self._prior
        if self.bayesian_bias:
            yield "bias", weights.bias, self._bias_prior

    def _require_built(self):
        if not self.built:
            expected = "one that knows the shape of its inputs, from a call or build(input_shape)"
            raise ValueError(_validation.message("the layer", expected, "one that is not built"))

    def _require_floats(self, x):
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
            got = f"{keras.backend.standardize_dtype(x.dtype)}; convert them, as in x.astype('float32')"
            raise TypeError(_validation.message("inputs", "floating-point numbers", got))


class Weights(NamedTuple):
    """What a layer reads once a call: `NormalValues`, or for a bias that is not random `PointValues`, or None."""

    kernel: NormalValues
    bias: NormalValues | PointValues | None


class Seeds:
    """The seeds of one call of a layer.

    Args:
        seed: an int32 tensor of shape [2].
    """

    def __init__(self, seed):
        self.kernel, self.bias, self._examples = (seeds.fold(seed, purpose) for purpose in range(3))

    def examples(self, number):
        """A seed for noise that differs between examples; devices that share a batch have different ones."""
        seed = seeds.fold(self._examples, number)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        return seeds.fold(seed, context.replica_id_in_sync_group)


def layers_in(model):
    """The Bayesian layers of a model, in Keras' order, those of models within it too.

    Args:
        model: a Keras model or layer.

    Returns:
        A list of them, each once.

    Example:
        >>> from companion.bayesian_layers import DenseFlipout
        >>> len(layers_in(keras.Sequential([keras.Input([2]), DenseFlipout(3), DenseFlipout(1)])))
        2
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(_validation.message("model", "a Keras model or layer", _validation.describe(model)))
    return [layer for layer in model._flatten_layers() if isinstance(layer, BayesianLayer)]


def kl_divergence(model, seed=None, num_samples=1):
    """KL(q || prior) of all random weights of a model, in nats.

    `evaluate` charges it divided by the number of training examples.

    Args:
        model: a Keras model with Bayesian layers, built.
        seed: as for `companion.seeds.as_seed`, for layers that estimate their KL divergence from samples.
        num_samples: from how many draws they do.

    Returns:
        A scalar tensor, differentiable in the model's variables.

    Raises:
        ValueError: if the model has no Bayesian layers.

    Example:
        >>> from companion.bayesian_layers import DenseFlipout
        >>> model = keras.Sequential([keras.Input([2]), DenseFlipout(3), DenseFlipout(1)])
        >>> float(kl_divergence(model)) > 0.0
        True
    """
    found = require_layers(model)
    seeds_of_layers = seeds.split(seed, len(found))
    return tf.add_n([layer.kl_divergence(s, num_samples) for layer, s in zip(found, seeds_of_layers, strict=True)])


@contextlib.contextmanager
def fixed_draw(model, seed=None):
    """Inside it, a model uses one draw of its weights for all inputs and all calls: it is one function.

    It holds for calls of the model, `predict` and `evaluate`; the loss that `evaluate` reports is then that of the one
    network, without a KL divergence. Training is refused. Pass the outermost model, the one that you call: a function
    that TensorFlow has traced keeps what it was traced with, so a `tf.function` of your own, or a model around this
    one, goes on with fresh draws if it was traced outside, and with this draw if it was traced inside. It is a state of
    the model: other threads that use the model meanwhile meet it.

    Args:
        model: a Keras model with Bayesian layers, the one that you call.
        seed: as for `companion.seeds.as_seed`; it decides the draw.

    Raises:
        ValueError: if the model has no Bayesian layers.

    Example:
        >>> from companion.bayesian_layers import DenseFlipout
        >>> model = keras.Sequential([keras.Input([2]), DenseFlipout(1)])
        >>> with fixed_draw(model, seed=1):
        ...     first, second = model(tf.ones([1, 2])), model(tf.ones([1, 2]))
        >>> bool(first == second)
        True
    """
    found, seed = require_layers(model), seeds.as_seed(seed)
    before = [layer._fixed_seed for layer in found]
    names = ("predict_function", "test_function", "train_function")
    traced = {name: getattr(model, name) for name in names if hasattr(model, name)}
    try:
        for place, layer in enumerate(found):
            layer._fixed_seed = seeds.fold(seed, place)
        for name in traced:
            setattr(model, name, _no_training if name == "train_function" else None)  # Keras traces anew
        yield
    finally:
        for layer, outside in zip(found, before, strict=True):
            layer._fixed_seed = outside
        compiled_inside = getattr(model, "train_function", _no_training) is not _no_training
        for name, function in traced.items():
            setattr(model, name, None if compiled_inside else function)


def _no_training(iterator):
    """Stands where Keras keeps its traced step while a draw is fixed."""
    raise ValueError(_validation.message("training", "False inside fixed_draw", True))


def require_layers(model):
    """The Bayesian layers of a model that has some."""
    found = layers_in(model)
    if not found:
        raise ValueError(_validation.message("model", "a model with Bayesian layers", f"{model.name}, which has none"))
    return found


def _activation(value):
    try:
        return keras.activations.get(value)
    except (TypeError, ValueError) as error:
        expected = "a Keras activation, or the name of one"
        raise ValueError(_validation.message("activation", expected, _validation.describe(value))) from error


def _posterior(value):
    if value is not None and not isinstance(value, MeanFieldNormal):
        raise TypeError(_validation.message("posterior", "a MeanFieldNormal or None", _validation.describe(value)))
    return value or MeanFieldNormal()
