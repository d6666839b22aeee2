"""The laws of Bayesian layers: the distribution of their pre-activations, their KL divergence, their gradients' noise.

Exact answers come from the layer's own linear map: pre-activations a are linear in the weights w, so that for one
example a ~ N(J loc, J diag(scale^2) J'), with J its derivative, which is found by brute force.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from bayesian_cases import CASES
from calibration import agree, assert_mean, assert_variance, variance_agrees
from scipy import stats
from tensorflow_probability import distributions as tfd

from companion import bayesian_layers, weight_noise

NUM_CALLS = 4000
CALLS = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
POSTERIOR = bayesian_layers.MeanFieldNormal("glorot_normal", 0.4)


def built(case, num_examples=2, **options):
    """A layer of a case and inputs for it; the biases and the scales are no longer those of the start."""
    keras.utils.set_random_seed(1)
    layer = case.layer(posterior=POSTERIOR, **options)
    x = case.inputs(num_examples)
    layer(x)
    generator = np.random.default_rng(2)
    for variable in layer.trainable_variables:
        variable.assign_add(0.3 * generator.standard_normal(variable.shape))
    return layer, x


def pairs(num_seeds):
    """Different seeds, int32 [num_seeds, 2]."""
    return tf.stack([tf.range(num_seeds), tf.ones([num_seeds], tf.int32)], axis=1)


def pre_activations(layer, x, num_calls=NUM_CALLS):
    """What a layer gives for inputs x at many calls, float64 [num_calls, len(x), size of an output]."""
    x = tf.constant(x)

    @tf.function
    def many():
        return tf.map_fn(lambda _: layer(x), tf.zeros([num_calls]))

    return many().numpy().astype(float).reshape(num_calls, len(x), -1)


def moments(layer, x):
    """Mean [len(x), size] and covariance [len(x), size, len(x), size] of the pre-activations at one draw of w."""

    def at(kernel, bias):
        return tf.reshape(layer.linear(tf.constant(x), kernel) + bias, [-1])

    values = (layer.kernel.now(), layer.bias.now())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([v.loc for v in values])
        mean = at(*(v.loc for v in values))
    jacobian = np.concatenate([tape.jacobian(mean, v.loc).numpy().reshape(len(mean), -1) for v in values], 1)
    scale = np.concatenate([v.scale.numpy().ravel() for v in values])
    covariance = (jacobian.astype(float) * scale**2) @ jacobian.T
    return mean.numpy().reshape(len(x), -1), covariance.reshape(len(x), -1, len(x), mean.shape[0] // len(x))


def products(samples):
    """Centred products of pre-activations, for covariances: [num_calls, len(x), size, len(x), size]."""
    centred = samples - samples.mean(axis=0)
    return np.einsum("nia,njb->niajb", centred, centred)


def exact_covariance(case, layer, x):
    """As `moments`, but with zeros where a way of drawing has independent or uncorrelated noise."""
    _, covariance = moments(layer, x)
    if case.method != "reparameterization":
        covariance = covariance * np.eye(len(x))[:, None, :, None]
    if case.method == "local_reparameterization":
        covariance = covariance * np.eye(covariance.shape[1])[None, :, None, :]
    return covariance


# The distribution of the outputs


@CALLS
def test_pre_activations_have_the_exact_mean_and_covariance(case):
    layer, x = built(case)
    samples = pre_activations(layer, x)
    exact_mean, covariance = moments(layer, x)[0], exact_covariance(case, layer, x)
    assert_mean(samples, exact_mean, shared_among=2 * len(CASES))
    assert_mean(products(samples), covariance * (1 - 1 / NUM_CALLS), shared_among=2 * len(CASES))


@CALLS
def test_another_covariance_is_found(case):
    """The power of the test above: scales 10 % larger, or the covariance of another way."""
    layer, x = built(case)
    samples, covariance = products(pre_activations(layer, x)), exact_covariance(case, layer, x)
    assert not agree(samples, 1.21 * covariance, shared_among=covariance.size)
    for another in CASES.values():
        other = exact_covariance(another, layer, x)
        if not np.allclose(other, covariance):
            assert not agree(samples, other, shared_among=covariance.size)


@pytest.mark.parametrize(
    "name", ["DenseReparameterization", "DenseLocalReparameterization", "Conv2DReparameterization"]
)
def test_noise_is_normal(name):
    layer, x = built(CASES[name], num_examples=1)
    mean, covariance = moments(layer, x)
    standard = (pre_activations(layer, x)[:, 0, 0] - mean[0, 0]) / np.sqrt(covariance[0, 0, 0, 0])
    assert stats.kstest(standard, stats.norm.cdf).pvalue > 1e-4 / 3
    assert stats.kstest(standard * 1.15, stats.norm.cdf).pvalue < 1e-4 / 3


@CALLS
def test_calls_are_independent(case):
    layer, x = built(case, num_examples=1)
    a = pre_activations(layer, x)[:, 0, :1]
    centred = a - a.mean(axis=0)
    assert_mean(centred[1:] * centred[:-1], np.zeros(1), shared_among=len(CASES), rounding=1e-3)


@CALLS
def test_where_nothing_comes_in_outputs_are_the_bias_and_gradients_finite(case):
    layer = case.layer(bias="deterministic")
    zeros = tf.zeros([2, *case.input_shape])
    with tf.GradientTape() as tape:
        outputs = layer(zeros)
        loss = tf.reduce_sum(outputs**2) + layer.losses[0]
    np.testing.assert_allclose(outputs, 0.0, atol=1e-15)
    assert all(np.isfinite(g).all() for g in tape.gradient(loss, layer.trainable_variables))


@CALLS
def test_a_fixed_draw_is_one_draw_from_q(case):
    """Mean and covariance of the networks that fixed draws are, whatever the way: those of shared weights."""
    layer, x = built(case)
    constant = tf.constant(x)

    @tf.function
    def many(seeds):
        def one(seed):
            with bayesian_layers.fixed_draw(layer, seed):
                return layer(constant)

        return tf.map_fn(one, seeds, fn_output_signature=tf.float32)

    samples = many(pairs(NUM_CALLS)).numpy().astype(float).reshape(NUM_CALLS, len(x), -1)
    exact_mean, covariance = moments(layer, x)
    assert_mean(samples, exact_mean, shared_among=2 * len(CASES))
    assert_mean(products(samples), covariance * (1 - 1 / NUM_CALLS), shared_among=2 * len(CASES))


# The KL divergence

PRIORS = {  # the distribution, and its log density by SciPy
    "standard normal": (None, stats.norm.logpdf),
    "normal": (tfd.Normal(0.3, 0.7), stats.norm(0.3, 0.7).logpdf),
    "laplace": (tfd.Laplace(0.2, 0.5), stats.laplace(0.2, 0.5).logpdf),
    "student": (tfd.StudentT(5.0, 0.0, 0.6), stats.t(5.0, 0.0, 0.6).logpdf),
    "mixture": (
        bayesian_layers.scale_mixture(0.3, (1.0, 0.1)),
        lambda w: np.logaddexp(np.log(0.3) + stats.norm.logpdf(w), np.log(0.7) + stats.norm.logpdf(w, 0.0, 0.1)),
    ),
}
NORMAL_OR_LAPLACE = ("standard normal", "normal", "laplace")
NODES = np.linspace(-9.0, 9.0, 200_001)  # in standard deviations of q
WEIGHTS = stats.norm.pdf(NODES) * (NODES[1] - NODES[0])


def integral(loc, scale, name):
    """KL(N(loc, scale^2) || prior), summed over the weights, by the trapezoidal rule in float64."""
    w = loc[:, None] + scale[:, None] * NODES
    log_q = stats.norm.logpdf(w, loc[:, None], scale[:, None])
    return ((log_q - PRIORS[name][1](w)) @ WEIGHTS).sum()


def one_row_layer(prior, **options):
    """A layer of three weights, without bias."""
    layer = bayesian_layers.DenseFlipout(1, prior=prior, num_examples=10, bias=None, seed=0, **options)
    layer.build([None, 3])
    layer.kernel_loc.assign([[-1.0], [0.1], [0.8]])
    layer.kernel_rho.assign([[-1.0], [-3.0], [0.5]])
    return layer


@pytest.mark.parametrize("name", PRIORS)
def test_divergence_is_the_integral(name):
    layer = one_row_layer(PRIORS[name][0])
    q = layer.posterior.model["kernel"].distribution
    exact = integral(np.ravel(q.mean()), np.ravel(q.stddev()), name)
    assert layer.kl == ("closed_form" if name in NORMAL_OR_LAPLACE else "sampled")
    if layer.kl == "closed_form":
        np.testing.assert_allclose(layer.kl_divergence(), exact, rtol=1e-5)
    sampling = one_row_layer(PRIORS[name][0], kl="sampled")
    estimates = tf.map_fn(tf.function(sampling.kl_divergence), pairs(1000), fn_output_signature=tf.float32).numpy()
    assert_mean(estimates, exact, shared_among=len(PRIORS))
    assert not agree(estimates, exact + 0.3 * estimates.std(), shared_among=1)
    many = sampling.kl_divergence(1, num_samples=400)
    assert abs(many - exact) < 5 * estimates.std() / 20


@pytest.mark.parametrize("name", PRIORS)
def test_gradient_of_the_divergence(name):
    """Against central differences of the integral; where it is sampled, on average."""
    layer = one_row_layer(PRIORS[name][0])
    variables = [layer.kernel_loc.value, layer.kernel_rho.value]
    num_samples = 1 if layer.kl == "closed_form" else 4000

    @tf.function
    def gradient(seed):
        with tf.GradientTape() as tape:
            kl = layer.kl_divergence(seed)
        return tf.reshape(tf.stack(tape.gradient(kl, variables)), [-1])

    estimates = tf.map_fn(gradient, pairs(num_samples), fn_output_signature=tf.float32).numpy()
    values = np.concatenate([np.ravel(v) for v in variables]).astype(float)

    def at(values):
        return integral(values[:3], np.logaddexp(0.0, values[3:]), name)

    exact = np.array([(at(values + 1e-3 * e) - at(values - 1e-3 * e)) / 2e-3 for e in np.eye(6)])
    if layer.kl == "closed_form":
        np.testing.assert_allclose(estimates[0], exact, rtol=1e-4, atol=1e-5)
    else:
        assert_mean(estimates, exact, shared_among=2, rounding=1e-4)


@CALLS
@pytest.mark.parametrize("name", ["standard normal", "normal"])
def test_divergence_is_that_of_the_two_distributions(case, name):
    layer, _ = built(case, prior=PRIORS[name][0])
    np.testing.assert_allclose(layer.kl_divergence(), tfd.kl_divergence(layer.posterior, layer.prior), rtol=1e-5)


def test_divergence_of_priors_over_the_whole_kernel():
    """A prior with its own numbers for every weight: as batch, as event; and in closed form where TFP has one."""
    scale = np.linspace(0.5, 2.0, 12).reshape(4, 3).astype("float32")
    batch = tfd.Normal(tf.zeros([4, 3]), scale)
    results = []
    for prior in (batch, tfd.Independent(batch, 2), tfd.Independent(batch, 1)):
        keras.utils.set_random_seed(0)
        layer = CASES["DenseFlipout"].layer(prior=prior, bias_prior=tfd.Normal(0.0, 1.0))
        layer.build([None, 4])
        assert layer.kl == "closed_form"
        np.testing.assert_allclose(layer.kl_divergence(), tfd.kl_divergence(layer.posterior, layer.prior), rtol=1e-5)
        results.append(layer.kl_divergence())
    np.testing.assert_allclose(results, results[0], rtol=1e-6)


@CALLS
def test_evaluate_charges_the_divergence_once(case):
    """At every batch size, also where the last batch is smaller: evaluate's loss is likelihood + KL / N."""
    layer, x = built(case, num_examples=7)
    model = keras.Sequential([keras.Input(case.input_shape), layer])
    model.compile(loss=lambda y, outputs: 0.0 * tf.reduce_sum(outputs, axis=-1))
    exact = float(tfd.kl_divergence(layer.posterior, layer.prior)) / 40
    targets = np.zeros([7, *case.output_shape], "float32")
    for batch_size in (1, 2, 3, 7, 10):
        np.testing.assert_allclose(model.evaluate(x, targets, batch_size=batch_size, verbose=0), exact, rtol=1e-5)


def test_many_samples_of_the_divergence_in_a_graph_are_those_outside():
    layer = one_row_layer(None, kl="sampled")
    inside = tf.function(lambda: layer.kl_divergence(seed=3, num_samples=200))()  # a loop, not 200 copies
    np.testing.assert_allclose(inside, layer.kl_divergence(seed=3, num_samples=200), rtol=1e-5)


def test_another_loss_of_the_layer_does_not_hide_the_divergence():
    class Penalised(bayesian_layers.DenseFlipout):
        def call(self, x, training=False):
            self.add_loss(tf.constant(0.0))
            return super().call(x, training=training)

    layer = Penalised(1, num_examples=1)
    model = keras.Sequential([keras.Input([4]), layer])
    model(np.ones([2, 4], "float32"))
    np.testing.assert_allclose(sum(model.losses), layer.kl_divergence(), rtol=1e-6)


# The gradients


def gradients(layer, x, y, num_calls=NUM_CALLS):
    """Gradients of the mean squared loss in the kernel's loc and scale, [num_calls, in, out] each."""
    x, y = tf.constant(x, tf.float64), tf.constant(y, tf.float64)
    variables = [layer.kernel_loc.value, layer.kernel_rho.value]
    slope = tf.sigmoid(layer.kernel_rho.value)  # d scale / d rho

    @tf.function
    def many():
        def one(_):
            with tf.GradientTape() as tape:
                loss = 0.5 * tf.reduce_mean(tf.reduce_sum((layer(x) - y) ** 2, axis=-1))
            by_loc, by_rho = tape.gradient(loss, variables)
            return by_loc, by_rho / slope

        return tf.map_fn(one, tf.zeros([num_calls]), fn_output_signature=(tf.float64, tf.float64))

    return [g.numpy() for g in many()]


def linear_problem(method, batch_size, seed=0):
    """A dense layer without bias, inputs and targets."""
    generator = np.random.default_rng(seed)
    case = CASES[
        "Dense"
        + {"shared": "Reparameterization", "local_reparameterization": "LocalReparameterization"}.get(method, "Flipout")
    ]
    layer = case.layer(bias=None, dtype="float64", posterior=POSTERIOR)
    layer.build([None, 4])
    layer.kernel_loc.assign(generator.standard_normal([4, 3]))
    layer.kernel_rho.assign(generator.standard_normal([4, 3]) - 0.5)
    x = generator.standard_normal([batch_size, 4])
    return layer, x, x @ generator.standard_normal([4, 3]) + generator.standard_normal([batch_size, 3])


@pytest.mark.parametrize("batch_size", [1, 4, 32])
@pytest.mark.parametrize("method", ["shared", "local_reparameterization", "flipout"])
def test_gradient_noise_of_a_linear_layer(method, batch_size):
    """Means are those of the exact gradient, the same for every method; variances those of the closed forms."""
    layer, x, y = linear_problem(method, batch_size)
    loc, scale = layer.kernel_loc.numpy(), layer.kernel.now().scale.numpy()
    exact = weight_noise.gradient_noise(x, y, loc, scale, method)
    other = weight_noise.gradient_noise(x, y, loc, scale, "shared" if method != "shared" else "flipout")
    for name, samples in zip(("loc", "scale"), gradients(layer, x, y), strict=True):
        assert_mean(samples, exact.mean[name], shared_among=36)
        assert_variance(samples, exact.variance[name], shared_among=36)
        if batch_size > 1:
            assert not variance_agrees(samples, other.variance[name])


def test_what_falls_with_the_batch_and_what_does_not():
    """The variance for loc, measured: with a shared draw it stays, otherwise it falls like 1 / M."""
    measured = {}
    for method in ("shared", "local_reparameterization", "flipout"):
        for batch_size in (8, 128):
            layer, x, y = linear_problem(method, batch_size)
            measured[method, batch_size] = gradients(layer, x, y)[0].var(axis=0).mean()
    assert measured["shared", 128] > 0.4 * measured["shared", 8]
    assert measured["local_reparameterization", 128] < 0.12 * measured["local_reparameterization", 8]
    assert measured["flipout", 128] < 0.12 * measured["flipout", 8]
