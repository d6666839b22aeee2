"""`reparameterize`: from a distribution q(z; theta) to noise eps and a map z = g(eps, theta).

Contract: a `Reparameterization` of a distribution has a noise whose law is free of the distribution's
parameters, and a transform, differentiable in them, such that transform(eps) has the distribution's law.
Families are found by class in an open registry, most specific class first.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from companion import _validation, seeds

__all__ = ["Reparameterization", "draw", "find", "is_discrete", "register", "reparameterize"]

_FAMILIES: dict[type, Callable] = {}

_DISCRETE = tuple(
    getattr(tfd, name)
    for name in [
        "Bernoulli",
        "BetaBinomial",
        "Binomial",
        "Categorical",
        "DirichletMultinomial",
        "FiniteDiscrete",
        "Geometric",
        "Multinomial",
        "NegativeBinomial",
        "OneHotCategorical",
        "PlackettLuce",
        "Poisson",
        "Skellam",
        "Zipf",
    ]
)
_RELAXED = {
    tfd.Bernoulli: "tfd.RelaxedBernoulli",
    tfd.Categorical: "tfd.RelaxedOneHotCategorical",
    tfd.OneHotCategorical: "tfd.RelaxedOneHotCategorical",
}
_IMPLICIT = (tfd.Gamma, tfd.Beta, tfd.Dirichlet, tfd.VonMises, tfd.InverseGamma)


@dataclass(frozen=True, repr=False)
class Reparameterization:
    r"""A distribution written as noise and a map: z = g(eps, theta), with p(eps) free of theta.

    Attributes:
        distribution: the `tfd.Distribution` q(z; theta).
        noise: the `tfd.Distribution` p(eps). It draws the same eps for one seed eagerly, in a graph and
            under XLA.
        formula: z = g(eps, theta) in words.
        g: the map itself; call `transform`, which checks its argument.

    Reference:
        Kingma and Welling (2014), section 2.4. Chapter: The trick.
    """

    distribution: tfd.Distribution
    noise: tfd.Distribution
    g: Callable = field(compare=False)
    formula: str

    def transform(self, eps):
        """z = g(eps, theta), differentiable in the parameters of the distribution and in eps.

        Args:
            eps: noise of shape [..., *noise.batch_shape, *noise.event_shape], of the noise's dtype.

        Returns:
            A tensor of shape [..., *batch_shape, *event_shape] of the distribution.

        Raises:
            ValueError: if the last dimensions of `eps` are not those of the noise.
            TypeError: if `eps` has another dtype.

        Example:
            >>> r = reparameterize(tfd.Normal(loc=3.0, scale=2.0))
            >>> float(r.transform(-1.0))
            1.0
        """
        eps = _validation.float_tensor("eps", eps, self.noise.dtype)
        if eps.dtype != self.noise.dtype:
            raise TypeError(_validation.message("eps", self.noise.dtype.name, eps.dtype.name))
        shape = self.noise.batch_shape + self.noise.event_shape
        if shape.rank is not None:
            tail = eps.shape[max(0, eps.shape.rank - shape.rank) :]
            if tail.rank != shape.rank or not tail.is_compatible_with(shape):
                expected = f"last dimensions {list(shape)}"
                raise ValueError(_validation.message("eps", expected, f"shape {list(eps.shape)}"))
        return self.g(eps)

    def sample(self, sample_shape=(), seed=None):
        """Draws eps from the noise and returns z = g(eps, theta).

        Args:
            sample_shape: shape of independent draws, put in front.
            seed: an integer, an integer tensor of shape [2], a `keras.random.SeedGenerator` or None.

        Returns:
            A tensor of shape [*sample_shape, *batch_shape, *event_shape].

        Example:
            >>> reparameterize(tfd.Normal(loc=[0.0, 1.0], scale=1.0)).sample(5, seed=1).shape.as_list()
            [5, 2]
        """
        return self.g(self.noise.sample(sample_shape, seed=seeds.as_seed(seed)))

    def __repr__(self):
        return f"{type(self.distribution).__name__}: {self.formula}"


def register(*families):
    """Registers how to reparameterize a family of distributions; a decorator.

    Args:
        *families: subclasses of `tfd.Distribution`. A subclass without an entry of its own uses its
            nearest ancestor's; a second registration replaces the first.

    Returns:
        A decorator of a function from a distribution of the family to its `Reparameterization`.

    Raises:
        TypeError: if a family is not a subclass of `tfd.Distribution`.

    Example:
        >>> class Shifted(tfd.Normal):
        ...     pass
        >>> @register(Shifted)
        ... def _(d):
        ...     return Reparameterization(d, standard_normal(d.batch_shape), lambda eps: d.loc + d.scale * eps,
        ...                               "z = loc + scale * eps, eps ~ N(0, 1)")
        >>> from companion.reparameterizations import standard_normal
        >>> reparameterize(Shifted(0.0, 1.0))
        Shifted: z = loc + scale * eps, eps ~ N(0, 1)
    """
    for family in families:
        if not (isinstance(family, type) and issubclass(family, tfd.Distribution)):
            expected = "subclasses of tfd.Distribution"
            raise TypeError(_validation.message("families", expected, _validation.describe(family)))

    def decorate(build):
        _FAMILIES.update(dict.fromkeys(families, build))
        return build

    return decorate


def reparameterize(distribution):
    """Writes a distribution as noise and a differentiable map, z = g(eps, theta).

    Known are the location-scale families (Normal, Laplace, Logistic, Gumbel, Cauchy, Uniform, HalfNormal,
    StudentT with its degrees of freedom given), families by inverse distribution function (Exponential,
    Weibull, Kumaraswamy, Pareto, TruncatedNormal), multivariate normals, and any of these through
    bijectors, `tfd.Independent` and `tfd.TransformedDistribution` (LogNormal among them). Others can be
    added with `companion.reparameterizations.register`.

    Args:
        distribution: a `tfd.Distribution` with batch shape [*batch] and event shape [*event].

    Returns:
        A `Reparameterization`.

    Raises:
        TypeError: if there is no such map: for a discrete distribution, for a family that has only implicit
            gradients (Gamma, Beta, Dirichlet, VonMises), or for one that is not registered.
        ValueError: if a parameter is outside its domain (a negative scale).

    Reference:
        Kingma and Welling (2014); Devroye (1986) for the maps. Chapter: The trick.

    Example:
        >>> r = reparameterize(tfd.Normal(loc=3.0, scale=2.0))
        >>> r
        Normal: z = loc + scale * eps, eps ~ N(0, 1)
        >>> r.sample(4, seed=0).shape.as_list()
        [4]
    """
    _validation.distribution("distribution", distribution)
    found = find(distribution)
    if found is None:
        raise TypeError(_validation.message("distribution", *_refusal(distribution)))
    return found


def find(distribution):
    """The reparameterization of a distribution whose parameters were checked before, or None.

    A composition has one if all its parts have.

    Example:
        >>> find(tfd.Gamma(2.0, 1.0)) is None
        True
    """
    for family in type(distribution).__mro__:
        if family in _FAMILIES:
            return _FAMILIES[family](distribution)
    return None


def draw(distribution, seed=None, sample_shape=()):
    """Samples of a distribution, z = g(eps, theta) where g is known, else by TFP's own sampler.

    Args:
        distribution: any `tfd.Distribution`.
        seed: as for `companion.seeds.as_seed`.
        sample_shape: shape of independent draws, put in front.

    Returns:
        A tensor of shape [*sample_shape, *batch_shape, *event_shape].

    Example:
        >>> draw(tfd.Gamma([2.0, 3.0], 1.0), seed=0).shape.as_list()
        [2]
    """
    seed = seeds.as_seed(seed)
    reparameterization = find(distribution)
    if reparameterization is None:
        return distribution.sample(sample_shape, seed=seed)
    return reparameterization.sample(sample_shape, seed=seed)


def is_discrete(distribution):
    """Whether a distribution lives on a countable set (some of TFP's discrete ones have a float dtype).

    Example:
        >>> is_discrete(tfd.Poisson(3.0)), is_discrete(tfd.Normal(0.0, 1.0))
        (True, False)
    """
    while isinstance(distribution, (tfd.Independent, tfd.Sample, tfd.BatchBroadcast)):
        distribution = distribution.distribution
    return isinstance(distribution, _DISCRETE) or not distribution.dtype.is_floating


def _refusal(distribution):
    """What was expected and what came, for a distribution that has no explicit map."""
    name = type(distribution).__name__
    expected = "a distribution with an explicit map z = g(eps, theta)"
    if is_discrete(distribution):
        relaxed = next((r for family, r in _RELAXED.items() if isinstance(distribution, family)), None)
        other = f", or {relaxed}, which is biased but has a path" if relaxed else ""
        return expected, (
            f"{name}, which is discrete: its samples jump as the parameters move, so no differentiable g exists. "
            f"Use companion.gradients.score_function{other}"
        )
    if isinstance(distribution, _IMPLICIT):
        return expected, (
            f"{name}: the inverse of its distribution function has no closed form, and its gradient is found by "
            "implicit differentiation. Use companion.gradients.pathwise, which does that through TFP"
        )
    return expected, (
        f"{name}, for which no map is registered. Register one with companion.reparameterizations.register, or "
        "use companion.gradients.pathwise if TFP can reparameterize it, else companion.gradients.score_function"
    )


def noise_shape(distribution):
    """The batch and event shape of a distribution, as the shape of its noise: static where it can be."""
    static = distribution.batch_shape + distribution.event_shape
    if static.is_fully_defined():
        return static
    return tf.concat([distribution.batch_shape_tensor(), distribution.event_shape_tensor()], axis=0)
