"""Estimators of the gradient of E f(z) for z ~ q(z; theta), one a file.

Contract: every estimator is called as `estimator(f, make_distribution, params, num_samples, seed=None)` and
returns a `GradientEstimate` with the gradient of every single sample. It runs eagerly, inside `tf.function`
and with `jit_compile=True`, in float32 and float64, for scalars and batches of parameters. `exact` is their referee:
it takes no samples and returns the gradient itself.
"""

from companion.gradients.applicable import applicable
from companion.gradients.estimate import GradientEstimate
from companion.gradients.exact import exact
from companion.gradients.finite_difference import finite_difference
from companion.gradients.measure_valued import measure_valued
from companion.gradients.pathwise import pathwise
from companion.gradients.score_function import score_function

__all__ = [
    "GradientEstimate",
    "applicable",
    "exact",
    "finite_difference",
    "measure_valued",
    "pathwise",
    "score_function",
]
