"""The variational autoencoder."""

import math

import keras
import tensorflow as tf

from companion import _networks, _saving, _validation, seeds
from companion._training import MOST_NUMBERS, TrainedOnExamples, array_of_examples, in_chunks
from companion.bounds.elbo import GRADIENTS as ELBO_GRADIENTS
from companion.bounds.importance_weighted import GRADIENTS as IMPORTANCE_WEIGHTED_GRADIENTS
from companion.bounds.importance_weighted import at_samples
from companion.reparameterizations import draw
from companion.reparameterizations import find as find_reparameterization
from companion.vae import networks, parts, priors, schedules, terms
from companion.vae.likelihoods import LIKELIHOODS
from companion.vae.posteriors import FAMILIES

__all__ = ["VAE"]

_GRADIENTS = {"elbo": ELBO_GRADIENTS, "importance_weighted": IMPORTANCE_WEIGHTED_GRADIENTS}


@keras.saving.register_keras_serializable(package="companion")
class VAE(TrainedOnExamples):
    r"""A variational autoencoder: p(z), p(x | z) by a decoder, q(z | x) by an encoder, trained on a bound.

    .. math::

        \operatorname{ELBO}(x) = \mathbb{E}_{q(z \mid x)}[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \,\|\, p(z))
        \le \log p(x)

    It is a `keras.Model`: `compile`, `fit`, `evaluate`, `predict`, `save` and callbacks work as usual, on examples
    alone (no targets). The loss is minus the bound, a sum over the values of an example and a mean over the examples,
    in nats per example; so are the metrics `loss`, `elbo`, `reconstruction` (the first term) and `kl` (the second).
    `elbo` is always reconstruction - kl, whatever the objective and beta are. What the nets' regularizers and
    `add_loss` charge is added to what is minimised, and is in none of the metrics.

    The noise of an example depends on `seed`, on the training step and on the example's place in the batch; in
    evaluation on its place in the data. So a run on an array can be repeated and resumed, `evaluate` gives one number
    at every batch size, and several devices give the numbers of one. (The order of a `PyDataset` is Keras'.)

    Args:
        encoder: a Keras model or layer from examples, shape [batch, *event], to `posterior_family.num_outputs` numbers
            each (for the diagonal posterior loc, then rho with scale = softplus(rho): shape [batch, 2 latent_dim]); or
            a list of widths of hidden layers, from which one is made.
        decoder: a Keras model or layer from latents, shape [batch, latent_dim], to one output for each value of an
            example, shape [batch, *event]: logits or means; or a list of widths.
        latent_dim: how many dimensions z has.
        likelihood: "bernoulli", "gaussian" (its scale learnt), or an object such as
            `companion.vae.Gaussian(scale=0.1, trainable=False)`.
        prior: p(z), a `tfd.Distribution` of event shape [latent_dim]; None for N(0, I). Variables inside it are not
            trained: a prior that is to be learnt is a Keras layer whose method `distribution()` makes it.
        num_samples: how many samples of z an example, in training and evaluation: K for the weighted bound.
        objective: "elbo" or "importance_weighted".
        gradient: "pathwise", "sticking_the_landing", "doubly_reparameterized" (weighted bound only) or
            "score_function"; see `companion.bounds`.
        kl: "analytic" (closed form) or "sampled" (mean of log q - log p). None takes the closed form where the bound
            has a KL term of its own and TFP knows it. Sticking the landing and the weighted bound need log q at the
            samples, so with them it is always sampled.
        beta: the weight of the KL term in the ELBO objective, 0 or more. The loss is minus the ELBO only for 1. It is
            a variable: `vae.beta.assign(0.5)`, or `companion.vae.BetaSchedule`.
        seed: an integer that decides the noise, and the initial weights of nets that are made from widths. None for
            one that Keras draws (fixed by `keras.utils.set_random_seed`).
        posterior_family: "diagonal", "full_covariance", or an object with their methods.
        **kwargs: those of `keras.Model`: name; dtype, such as "float64" or "mixed_bfloat16" (the nets then compute in
            16 bits, the bounds in float32; float16 ends at 65504, so standardise data for it).

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if an argument is out of its domain, or two do not go together; later, if the encoder's or the
            decoder's outputs do not fit, or the data do not.

    Reference:
        Kingma and Welling (2014); Rezende, Mohamed and Wierstra (2014); Burda, Grosse and Salakhutdinov (2016).
        Chapter: Variational autoencoders.

    Example:
        >>> import numpy as np
        >>> x = np.eye(4, dtype="float32")
        >>> vae = VAE([8], [8], latent_dim=2, seed=0)
        >>> vae.compile("adam")
        >>> history = vae.fit(x, epochs=2, verbose=0)
        >>> sorted(history.history)
        ['elbo', 'kl', 'loss', 'reconstruction']
        >>> vae.posterior(x).batch_shape, vae.sample(3, seed=1).shape
        (TensorShape([4]), TensorShape([3, 4]))
    """

    metric_names = ("loss", "elbo", "reconstruction", "kl")

    def __init__(
        self,
        encoder,
        decoder,
        latent_dim,
        likelihood="bernoulli",
        prior=None,
        num_samples=1,
        objective="elbo",
        gradient="pathwise",
        kl=None,
        beta=1.0,
        seed=None,
        posterior_family="diagonal",
        **kwargs,
    ):
        super().__init__(seeds.any_seed() if seed is None else seed, **kwargs)
        self.latent_dim = _validation.count("latent_dim", latent_dim)
        self.num_samples = _validation.count("num_samples", num_samples)
        self.objective = _validation.one_of("objective", objective, _GRADIENTS)
        self.gradient = _validation.one_of(f'gradient (objective="{objective}")', gradient, _GRADIENTS[objective])
        self._widths = {
            "encoder": _networks.widths("encoder", encoder),
            "decoder": _networks.widths("decoder", decoder),
        }
        self.encoder = None if self._widths["encoder"] is not None else encoder
        self.decoder = None if self._widths["decoder"] is not None else decoder
        policy = self.dtype_policy.name
        self.likelihood = parts.find("likelihood", likelihood, LIKELIHOODS, "log_prob", policy)
        self.posterior_family = parts.find("posterior_family", posterior_family, FAMILIES, "num_outputs", policy)
        self.prior = priors.find(prior, self.latent_dim, self.variable_dtype)
        self.kl = self._choose_kl(kl)
        initial_beta = keras.initializers.Constant(_checked_beta(beta, objective))
        self.beta = self.add_weight(shape=(), initializer=initial_beta, trainable=False, name="beta")
        self.event_shape = None  # of one example; known when the model is built

    def build(self, input_shape):
        """Makes the nets that were given as widths, and checks that all outputs fit. Keras calls this, or `fit` does.

        Args:
            input_shape: ``(None, *event)``.
        """
        if self.event_shape is not None:
            return
        event_shape = tuple(input_shape)[1:]
        if not event_shape or None in event_shape:
            expected = "the shape of examples, (None, *event), all lengths of the event known"
            raise ValueError(_validation.message("input_shape", expected, tuple(input_shape)))
        num_outputs, policy = self.posterior_family.num_outputs(self.latent_dim), self.dtype_policy.name
        if self.encoder is None:
            self.encoder = networks.encoder(self._widths["encoder"], num_outputs, policy, (self.seed, 0))
        if self.decoder is None:
            self.decoder = networks.decoder(self._widths["decoder"], event_shape, policy, (self.seed, 1))
        _networks.require_outputs("encoder", self.encoder, event_shape, (num_outputs,), "numbers for the posterior")
        _networks.require_outputs("decoder", self.decoder, (self.latent_dim,), event_shape, "the shape of an example")
        self.event_shape = event_shape
        self.built = True
        self(keras.Input(event_shape, dtype=self.compute_dtype))  # for `export`, which wants a model that was called

    # The distributions

    def posterior(self, x):
        """q(z | x), a distribution of batch shape [num_examples] and event shape [latent_dim].

        Args:
            x: examples, shape [num_examples, *event].

        Returns:
            A `tfd.Distribution`, differentiable in x and in the encoder's weights.
        """
        return self._posterior(self._examples(x))

    def decode(self, z):
        """p(x | z), a distribution of batch shape [...] and event shape [*event].

        Args:
            z: latents, shape [..., latent_dim].

        Returns:
            A `tfd.Distribution`, differentiable in z and in the decoder's weights. Its `mean()` holds the pixels'
            probabilities, or means.
        """
        self._require_built()
        z = tf.cast(_validation.float_tensor("z", z, tf.as_dtype(self.variable_dtype)), self.variable_dtype)
        if z.shape.rank < 1 or z.shape[-1] != self.latent_dim:
            expected = f"latents, shape [..., {self.latent_dim}]"
            raise ValueError(_validation.message("z", expected, f"shape {list(z.shape)}"))
        return self.likelihood.distribution(self._decoder_outputs(z), len(self.event_shape))

    @property
    def prior_distribution(self):
        """p(z), a `tfd.Distribution` of event shape [latent_dim]."""
        if self.prior is None:
            return self.posterior_family.standard_normal(self.latent_dim, self.variable_dtype)
        return self.prior.distribution() if isinstance(self.prior, keras.layers.Layer) else self.prior

    # What it is used for

    def sample(self, n, seed=None):
        """Draws n examples from the model: z from the prior, then x from p(x | z).

        Args:
            n: how many.
            seed: as for `companion.seeds.as_seed`.

        Returns:
            A tensor of shape [n, *event]. For the pixels' probabilities instead, take the mean of `decode(z)`.
        """
        latent_seed, data_seed = seeds.split(seed, 2)
        self._require_built()
        z = draw(self.prior_distribution, latent_seed, [_validation.count("n", n)])
        return self.likelihood.sample(self._decoder_outputs(z), data_seed)

    def reconstruct(self, x, seed=None):
        """The mean of p(x | z) at one z drawn from q(z | x) for each example.

        Args:
            x: examples, shape [num_examples, *event].
            seed: as for `companion.seeds.as_seed`.

        Returns:
            A tensor of shape [num_examples, *event].
        """
        posterior = self.posterior(x)
        eps = self.noise(0, posterior.batch_shape[0], 1, seeds.as_seed(seed))
        return self.decode(find_reparameterization(posterior).g(eps)[0]).mean()

    def call(self, x, training=False):
        """The mean of p(x | z) at the centre of q(z | x), g(0): what `predict` returns, the same at every call."""
        x = self._examples(x)
        posterior = self._posterior(x, training)
        z = find_reparameterization(posterior).g(tf.zeros([tf.shape(x)[0], self.latent_dim], self.variable_dtype))
        return self.likelihood.distribution(self._decoder_outputs(z, training), len(self.event_shape)).mean()

    # The bounds

    def elbo(self, x, num_samples=None, seed=None):
        """An estimate of the ELBO of each example, in nats.

        Its mean over the data is what `evaluate` reports as `elbo` for `seed=vae.evaluation_seed`.

        Args:
            x: examples, shape [num_examples, *event].
            num_samples: how many samples of z an example; None for those of the model.
            seed: as for `companion.seeds.as_seed`.

        Returns:
            A tensor of shape [num_examples].
        """
        num_samples = self.num_samples if num_samples is None else _validation.count("num_samples", num_samples)
        x, seed = self._examples(x), seeds.as_seed(seed)

        def of_rows(first_row, rows):
            return self.terms(rows, self.noise(first_row, tf.shape(rows)[0], num_samples, seed)).elbo

        return in_chunks(of_rows, x, num_samples * self._numbers_an_example)

    def log_marginal(self, x, num_samples=1000, seed=None):
        r"""An estimate of log p(x) of each example by importance sampling from q, in nats.

        .. math::

            \log \frac1K\sum_{k=1}^K \frac{p(x, z_k)}{q(z_k \mid x)}, \qquad z_k \sim q(z \mid x)

        On average it is at most log p(x), and nearer for more samples; where q is the exact posterior it is log p(x).

        Args:
            x: examples, shape [num_examples, *event].
            num_samples: K, how many samples of z an example.
            seed: as for `companion.seeds.as_seed`.

        Returns:
            A tensor of shape [num_examples].

        Reference:
            Burda, Grosse and Salakhutdinov (2016).
        """
        num_samples = _validation.count("num_samples", num_samples)
        x, seed = self._examples(x), seeds.as_seed(seed)

        chunk = max(1, MOST_NUMBERS // self._numbers_an_example)  # samples of an example at a time

        def of_rows(first_row, rows):
            posterior, prior = self._posterior(rows), self.prior_distribution
            reparameterization = find_reparameterization(posterior)
            eps = self.noise(first_row, tf.shape(rows)[0], num_samples, seed)

            def log_joint(z):
                return self._log_likelihood(z, rows) + prior.log_prob(z)

            sums = []
            for start in range(0, num_samples, chunk):
                z = reparameterization.g(eps[start : start + chunk])
                bound, log_weights = at_samples(log_joint, posterior, z, "pathwise")
                sums.append(bound + math.log(log_weights.shape[0]))
            return tf.reduce_logsumexp(tf.stack(sums), axis=0) - math.log(num_samples)

        return in_chunks(of_rows, x, min(num_samples, chunk) * self._numbers_an_example)

    def noise(self, first_row, num_examples, num_samples, seed):
        """Standard normal noise of which an example's part depends on the seed and on its row alone.

        Args:
            first_row: the place of the first example.
            num_examples: how many there are.
            num_samples: how many samples of z an example.
            seed: an int32 tensor of shape [2].

        Returns:
            eps, shape [num_samples, num_examples, latent_dim].
        """
        u = seeds.uniform_rows(first_row, [num_examples, num_samples * self.latent_dim], seed, self.variable_dtype)
        eps = tf.reshape(tf.math.ndtri(u), [num_examples, num_samples, self.latent_dim])
        return tf.transpose(eps, [1, 0, 2])

    def noise_for(self, first_row, num_examples, seed):
        """The noise of some examples in a step of training or evaluation, [num_samples, num_examples, latent_dim]."""
        return self.noise(first_row, num_examples, self.num_samples, seed)

    @property
    def example_shape(self):
        """The shape of one example; None until the model is built."""
        return self.event_shape

    def terms(self, x, eps, training=False):
        """The loss and its terms for a batch; `fit` and `evaluate` call this.

        Args:
            x: examples as a tensor, shape [batch, *event].
            eps: noise, shape [num_samples, batch, latent_dim].
            training: whether dropout and the like are on.

        Returns:
            `companion.vae.terms.Terms`, each of shape [batch].
        """
        posterior, prior = self._posterior(x, training), self.prior_distribution
        z = find_reparameterization(posterior).g(eps)

        def log_likelihood(z):
            return self._log_likelihood(z, x, training)

        if self.objective == "importance_weighted":
            return terms.importance_weighted(log_likelihood, prior, posterior, z, self.gradient)
        beta = tf.convert_to_tensor(self.beta)
        return terms.elbo(log_likelihood, prior, posterior, z, self.gradient, self.kl, beta)

    def check_data(self, argument, x):
        """The examples as a NumPy array of the model's width; the first ones build the model."""
        x = array_of_examples(argument, x, self.variable_dtype, self.event_shape)
        _validation.between(self._for_likelihood(argument), x, *self.likelihood.support)
        self.build_for(x.shape[1:])
        return x

    # Saving

    def get_config(self):
        """What `from_config` needs to make this model anew; Keras saves the weights beside it."""
        serialize = keras.saving.serialize_keras_object
        nets = {
            name: list(widths) if widths is not None else serialize(getattr(self, name))
            for name, widths in self._widths.items()
        }
        parts = {name: serialize(getattr(self, name)) for name in ("likelihood", "posterior_family")}
        plain = {
            name: getattr(self, name) for name in ("latent_dim", "num_samples", "objective", "gradient", "kl", "seed")
        }
        own = {**nets, **parts, **plain, "prior": _saving.to_config("prior", self.prior), "beta": self._beta_to_save}
        return {**keras.layers.Layer.get_config(self), **own}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """A model with the configuration of another, untrained."""
        config = {**config, "prior": _saving.from_config(config["prior"])}
        for name in ("encoder", "decoder", "likelihood", "posterior_family"):
            if isinstance(config[name], dict):
                config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        return cls(**config)

    # Inside

    def _posterior(self, x, training=False):
        outputs = self.encoder(x, training=training)
        return self.posterior_family.distribution(tf.cast(outputs, self.variable_dtype))

    def _decoder_outputs(self, z, training=False):
        """The decoder's outputs, shape [..., *event], at latents of shape [..., latent_dim]."""
        outputs = self.decoder(tf.reshape(z, [-1, self.latent_dim]), training=training)
        outputs = tf.cast(outputs, self.variable_dtype)
        return tf.reshape(outputs, tf.concat([tf.shape(z)[:-1], self.event_shape], axis=0))

    def _log_likelihood(self, z, x, training=False):
        return self.likelihood.log_prob(self._decoder_outputs(z, training), x)

    def _examples(self, x):
        """Examples as a tensor, checked; the model is built."""
        if tf.is_tensor(x) and not tf.executing_eagerly():
            if self.event_shape is None:
                self.build(x.shape)
            x = tf.cast(_validation.same_shape("x", x, [None, *self.event_shape], "examples"), self.variable_dtype)
            return _validation.between(self._for_likelihood("x"), _validation.finite("x", x), *self.likelihood.support)
        checked = self.check_data("x", x)
        return tf.cast(x, self.variable_dtype) if tf.is_tensor(x) else tf.convert_to_tensor(checked)

    def _require_built(self):
        if self.event_shape is None:
            expected = "one that knows the shape of its data, from fit, elbo, posterior or build((None, *event))"
            raise ValueError(_validation.message("the model", expected, "one that is not built"))

    def _for_likelihood(self, argument):
        return f"{argument} (for a {type(self.likelihood).__name__} likelihood)"

    @property
    def _numbers_an_example(self):
        """The size of the largest tensor that the nets make of one example."""
        widest = [_networks.widest_output(net) for net in (self.encoder, self.decoder)]
        return max(math.prod(self.event_shape), self.latent_dim, *widest)

    @property
    def _beta_to_save(self):
        return float(self.beta.numpy()) if self.objective == "elbo" else 1.0

    def _choose_kl(self, kl):
        if kl is not None:
            _validation.one_of("kl", kl, ("analytic", "sampled"))
        separate = self.objective == "elbo" and self.gradient != "sticking_the_landing"
        if kl == "analytic" and not separate:
            got = f'"analytic" with objective="{self.objective}" and gradient="{self.gradient}"'
            raise ValueError(_validation.message("kl", '"sampled", for log q is needed at the samples', got))
        if not separate or kl == "sampled":
            return "sampled"
        known = self._has_closed_form()
        if kl == "analytic" and not known:
            got = f"{type(self.posterior_family).__name__} and this prior"
            raise ValueError(_validation.message("kl", '"sampled", or distributions with a closed form', got))
        return "analytic" if known else "sampled"

    def _has_closed_form(self):
        outputs = tf.zeros([1, self.posterior_family.num_outputs(self.latent_dim)], self.variable_dtype)
        try:
            self.posterior_family.distribution(outputs).kl_divergence(self.prior_distribution)
        except NotImplementedError:
            return False
        return True


def _checked_beta(beta, objective):
    number = schedules.beta("beta", beta)
    if objective == "importance_weighted" and number != 1.0:
        raise ValueError(_validation.message("beta", "1 for the importance-weighted bound", number))
    return number
