"""Estimators of the gradient of E f(z) for z ~ q(z; theta), one a file.

Contract: every estimator is called as `estimator(f, make_distribution, params, num_samples, seed=None)` and
returns a `GradientEstimate` with the gradient of every single sample. It runs eagerly, inside `tf.function`
and with `jit_compile=True`, in float32 and float64, for scalars and batches of parameters.
"""

from companion.gradients.estimate import GradientEstimate
from companion.gradients.pathwise import pathwise
from companion.gradients.score_function import score_function

__all__ = ["GradientEstimate", "pathwise", "score_function"]
