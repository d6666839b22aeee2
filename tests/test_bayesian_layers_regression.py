"""A network without hidden layers against the exact posterior of linear regression: real data, plain `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_wine

from companion import bayesian_layers, datasets
from companion.bayesian_layers import DenseFlipout, DenseLocalReparameterization, DenseReparameterization
from companion.linear_regression import BayesianLinearRegression

KINDS = (DenseReparameterization, DenseLocalReparameterization, DenseFlipout)


def diabetes():
    """Progression of the disease, standardised, from ten standardised measurements of 442 patients."""
    table = datasets.diabetes()
    return table.x, table.y, 0.7


def wine():
    """The alcohol of 178 wines from their twelve other measurements, all standardised."""
    table = load_wine().data
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    return table[:, 1:], table[:, 0], 0.6


def trained(x, y, noise_scale, kind, num_examples=None, num_steps=8000):
    """A layer that has taken steps on all data at a time, with a rate that falls to zero."""
    keras.utils.set_random_seed(4)
    posterior = bayesian_layers.MeanFieldNormal("zeros", 0.05)
    layer = kind(1, posterior=posterior, num_examples=num_examples or len(x), seed=5, dtype="float64")
    model = keras.Sequential([keras.Input([x.shape[1]], dtype="float64"), layer])
    rate = keras.optimizers.schedules.CosineDecay(0.02, num_steps)
    loss = bayesian_layers.NegativeLogLikelihood(bayesian_layers.likelihoods.Normal(noise_scale), dtype="float64")
    model.compile(keras.optimizers.Adam(rate), loss, steps_per_execution=500)
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    model.fit(data, epochs=1, steps_per_epoch=num_steps, verbose=0)
    return layer


def mean_field(layer):
    """loc and scale of all weights, the bias last."""
    values = (layer.kernel.now(), layer.bias.now())
    return [np.concatenate([getattr(v, name).numpy().ravel() for v in values]) for name in ("loc", "scale")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("data", [diabetes, wine], ids=lambda data: data.__name__)
def test_fit_reaches_the_best_mean_field(data, kind):
    """To one hundredth of the gap between its exact ELBO and the evidence; the posterior to a tenth of its scales."""
    x, y, noise_scale = data()
    exact = BayesianLinearRegression(x, y, noise_scale)
    loc, scale = mean_field(trained(x, y, noise_scale, kind))
    best, best_scale = exact.log_evidence - exact.gap, exact.mean_field_posterior.stddev().numpy()
    assert exact.gap > 2.0
    assert best - 0.01 * exact.gap < exact.elbo(loc, scale) <= best + 1e-9
    assert (np.abs(loc - exact.posterior.mean()) < 0.1 * best_scale).all()
    np.testing.assert_allclose(scale, best_scale, rtol=0.1)
    assert (exact.marginal_ratio[:-1] < 0.83).all()  # mean field understates every variance but that of the bias,
    assert exact.marginal_ratio.min() < 0.15  # to which the standardised columns are orthogonal


@pytest.mark.parametrize("kl_weight", [0.1, 10.0])
def test_a_wrongly_weighted_divergence_is_found(kl_weight):
    """The power of the test above: with num_examples wrong by a factor, another posterior comes out, known exactly."""
    x, y, noise_scale = wine()
    exact = BayesianLinearRegression(x, y, noise_scale)
    loc, scale = mean_field(
        trained(x, y, noise_scale, DenseLocalReparameterization, num_examples=round(len(x) / kl_weight))
    )
    assert exact.elbo(loc, scale) < exact.log_evidence - 1.2 * exact.gap
    expected = exact.tempered(len(x) / round(len(x) / kl_weight)).mean_field_posterior.stddev()
    np.testing.assert_allclose(scale, expected, rtol=0.1)
