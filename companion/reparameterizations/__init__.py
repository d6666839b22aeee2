"""z = g(eps, theta) for families of distributions: `reparameterize`, and the registry behind it.

One file a kind of map: `location_scale`, `inverse_distribution_function`, `multivariate_normal`,
`relaxed`, `composition`; `noise` holds the standard noises, `registry` the contract.
"""

from companion.reparameterizations import (
    composition,
    inverse_distribution_function,
    location_scale,
    multivariate_normal,
    relaxed,
)
from companion.reparameterizations.noise import (
    standard_cauchy,
    standard_gumbel,
    standard_half_normal,
    standard_laplace,
    standard_logistic,
    standard_normal,
    standard_student_t,
    standard_uniform,
)
from companion.reparameterizations.registry import (
    Reparameterization,
    draw,
    find,
    is_discrete,
    register,
    reparameterize,
)

__all__ = [
    "Reparameterization",
    "composition",
    "draw",
    "find",
    "inverse_distribution_function",
    "is_discrete",
    "location_scale",
    "multivariate_normal",
    "register",
    "relaxed",
    "reparameterize",
    "standard_cauchy",
    "standard_gumbel",
    "standard_half_normal",
    "standard_laplace",
    "standard_logistic",
    "standard_normal",
    "standard_student_t",
    "standard_uniform",
]
