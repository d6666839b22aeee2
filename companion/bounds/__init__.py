r"""Lower bounds on log p(x), whose value is an estimate and whose gradient is the estimator that you choose.

Contract: `log_joint` takes z of shape [num_samples, *batch, *event] and returns log p(x, z), shape
[num_samples, *batch]; `posterior` is q(z | x), a `tfd.Distribution` of batch shape [*batch]. A bound is a tensor of
shape [*batch] in nats. Differentiate it with a `tf.GradientTape` around the call (and around the making of the
posterior) with respect to anything that `log_joint` and the posterior were made from.

All gradients are in terms of the log weights log w = log p(x, z) - log q(z), and of two kinds of parameters: phi,
which the posterior was made from, and theta, which log_joint uses. For z = g(eps, phi) the derivative of log w
with respect to phi has a part along the path, dlog w/dz dz/dphi, and the score -dlog q/dphi at fixed z.

- "pathwise": differentiates everything.
- "sticking_the_landing": leaves the score out.
- "doubly_reparameterized": along the path with squared weights (importance weighting only).
- "score_function": no path; the only one for a discrete posterior.
"""

from companion.bounds.elbo import elbo
from companion.bounds.importance_weighted import importance_weighted

__all__ = ["elbo", "importance_weighted"]
