r"""Exact answers for one-dimensional Gaussians, z ~ N(loc, scale^2), in float64.

Contract: f is a function from a vector of points to a vector of values, as the estimators use it. loc and
scale are numbers or arrays of one shape, and results have that shape. An integral is returned only if its error
estimate is below 1e-9 of the integral of the absolute value; otherwise there is an error, never a guess.

How: adaptive quadrature, which closes in on kinks and jumps by bisection; see `companion.quadrature`. As with any
quadrature of a function known at points only, detail narrower than a hundredth of scale can go unseen.
"""

from companion.gaussian.divergence import kl_divergence
from companion.gaussian.expectations import expectation, gradient
from companion.gaussian.variances import gradient_variance

__all__ = ["expectation", "gradient", "gradient_variance", "kl_divergence"]
