"""Layers whose weights are random, for Keras 3: variational inference in networks, with the KL right.

Contract: a Bayesian layer is a `keras.layers.Layer` that keeps for every weight the `loc` and the `scale` of a normal
distribution q, draws weights from q at every call by w = loc + scale eps, and adds KL(q || prior) / num_examples to the
losses, once a step. Beside a mean negative log-likelihood, what `fit` minimises is then the negative ELBO of the whole
data divided by their number.

A layer's name says what it computes and how the noise enters: `dense`, `convolutional`; `reparameterization`,
`local_reparameterization`, `flipout`. `predict` averages over draws, `to_bayesian` converts a network.

For small networks most of the time of `fit(x, y)` is what Keras does with arrays between the steps. With batches from a
`tf.data.Dataset` that repeats without end, `steps_per_epoch`, and `steps_per_execution` in `compile`, training is
several times as fast.
"""

from companion.bayesian_layers import likelihoods
from companion.bayesian_layers.conversion import to_bayesian
from companion.bayesian_layers.convolutional import (
    Conv1DFlipout,
    Conv1DLocalReparameterization,
    Conv1DReparameterization,
    Conv2DFlipout,
    Conv2DLocalReparameterization,
    Conv2DReparameterization,
)
from companion.bayesian_layers.dense import DenseFlipout, DenseLocalReparameterization, DenseReparameterization
from companion.bayesian_layers.layer import fixed_draw, kl_divergence, layers_in
from companion.bayesian_layers.losses import NegativeLogLikelihood
from companion.bayesian_layers.posteriors import FanInConstant, MeanFieldNormal
from companion.bayesian_layers.prediction import Prediction, predict
from companion.bayesian_layers.priors import scale_mixture

__all__ = [
    "Conv1DFlipout",
    "Conv1DLocalReparameterization",
    "Conv1DReparameterization",
    "Conv2DFlipout",
    "Conv2DLocalReparameterization",
    "Conv2DReparameterization",
    "DenseFlipout",
    "DenseLocalReparameterization",
    "DenseReparameterization",
    "FanInConstant",
    "MeanFieldNormal",
    "NegativeLogLikelihood",
    "Prediction",
    "fixed_draw",
    "kl_divergence",
    "layers_in",
    "likelihoods",
    "predict",
    "scale_mixture",
    "to_bayesian",
]
