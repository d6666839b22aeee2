r"""Bayesian logistic regression with a Gaussian mean-field posterior: a testing ground with an exact referee.

Contract: labels y in {0, 1} have probability sigmoid(x . w) for label 1, the weights w have the prior
N(0, prior_scale^2 I), and the last weight is the bias. The posterior is q(w) = N(loc, diag(scale^2)). What is
exact is in float64; `fit`, which any estimator of `companion.gradients` can drive, works in float32.

Why there is an exact answer: under q the logit x . w is N(x . loc, sum x^2 scale^2), so the ELBO needs no more
than one integral over one variable an example. It is concave in (loc, scale), so its optimum is the only one.
"""

from companion.logistic_regression.ascent import Trace, fit
from companion.logistic_regression.model import BayesianLogisticRegression, Optimum

__all__ = ["BayesianLogisticRegression", "Optimum", "Trace", "fit"]
