r"""The variance of one sample of each gradient estimator of E f(z), z ~ N(m, s^2), as integrals over N(0, 1).

Contract: m and s are numbers, f and its slope f' functions from arrays of points of shape [n] to arrays of shape [n],
and `name` says which parameter is differentiated, "loc" or "scale". `companion.gaussian.gradient_variance` is the way
in. The score of one sample is eps / s for loc and (eps^2 - 1) / s for scale, with z = m + s eps.
"""

import functools

import numpy as np

from companion.quadrature import NORMAL_EDGES, integrate_normal, integrate_triangle, normal_density

__all__ = ["finite_difference", "measure_valued", "pathwise", "score_function"]

# Errors are measured by these at least, where rounding would not converge:
_ROUNDING = 1e-5  # of a squared mean, for a variance; of the size of two numbers, for their difference
_NOISE = 1e-10  # of the size of two numbers, for the standard deviation of their difference
_expect = functools.partial(integrate_normal, argument="f")


def pathwise(slope, name, m, s):
    r"""Var[f'(z) dz / d theta]."""
    return _variance(lambda eps: slope(m + s * eps) * (1.0 if name == "loc" else eps))


def score_function(f, name, m, s, baseline=None, num_samples=None):
    r"""Var[(f(z) - b) score].

    "optimal" is b = E[f score^2] / E[score^2]. For "leave_one_out" the baseline of sample i, the mean of f over the
    n - 1 others, is independent of z_i, so with f_0 = f - E f and S the score

    .. math::

        \mathrm{Var} = \mathbb{E}[f_0^2 S^2] - g^2 + \mathrm{Var}(f)\,\mathbb{E}[S^2] / (n - 1)
    """

    def values(eps):
        return f(m + s * eps)

    def score(eps):
        return (eps if name == "loc" else eps**2 - 1.0) / s

    square = (1.0 if name == "loc" else 2.0) / s**2
    others = 0.0
    if baseline == "optimal":
        baseline = _expect(lambda eps: values(eps) * score(eps) ** 2) / square
    elif baseline == "leave_one_out":
        baseline = _expect(values)
        others = _variance(values) * square / (num_samples - 1)
    return _variance(lambda eps: (values(eps) - (baseline or 0.0)) * score(eps)) + others


def measure_valued(f, name, m, s, coupled=True):
    r"""For loc, Var[(f(m + s W) - f(m - s W')) / (s sqrt(2 pi))]; for scale, Var[(f(m + s M) - f(m + s N)) / s].

    W, W' have the Rayleigh density w exp(-w^2 / 2), w > 0; M the density m^2 phi(m); N is standard normal. Coupled,
    W' = W and N = M U with U uniform on (0, 1).
    """
    if name == "loc":
        ends = [lambda w, sign=sign: f(m + sign * s * np.abs(w)) for sign in (1.0, -1.0)]
        return _variance_of_difference(*ends, coupled, _rayleigh) / (2.0 * np.pi * s**2)

    def values(eps):
        return f(m + s * eps)

    if coupled:
        return _coupled_maxwell(values) / s**2
    return (_variance(values, np.square) + _variance(values)) / s**2


def finite_difference(f, name, m, s, step, common_random_numbers=True):
    r"""Var[(f(z_+) - f(z_-)) / (2 h)], z_+- = (m +- h) + s eps for loc, m + (s +- h) eps for scale."""

    def shifted(h):
        return lambda eps: f(m + h + s * eps if name == "loc" else m + (s + h) * eps)

    return _variance_of_difference(shifted(step), shifted(-step), common_random_numbers) / (2.0 * step) ** 2


def _variance(h, weight=np.ones_like):
    """The variance of h under the density weight(eps) phi(eps)."""
    mean = _expect(lambda eps: weight(eps) * h(eps))
    return _expect(lambda eps: weight(eps) * (h(eps) - mean) ** 2, floor=_ROUNDING * mean**2)


def _variance_of_difference(above, below, same_noise, weight=np.ones_like):
    """Var[above(eps) - below(eps')], eps' = eps or independent of it.

    The difference may live on a narrow strip between two jumps. It is refined together with its two ends, which show
    where that is.
    """
    if not same_noise:
        return _variance(above, weight) + _variance(below, weight)

    def together(of_both):
        def integrands(eps):
            ends = [above(eps), below(eps)]
            return np.stack([*ends, *of_both(*ends)], axis=-1) * weight(eps)[:, None]

        return integrands

    *_, size = _expect(together(lambda a, b: [np.abs(a) + np.abs(b)]))
    floor = np.array([0.0, 0.0, _ROUNDING * size])
    *_, mean = _expect(together(lambda a, b: [a - b]), floor=floor)
    floor = np.append(floor, _ROUNDING * mean**2 + (_NOISE * size) ** 2)
    return _expect(together(lambda a, b: [a - b, (a - b - mean) ** 2]), floor=floor)[-1]


def _rayleigh(eps):
    r"""The weight under which \|eps\| has the Rayleigh density."""
    return np.sqrt(np.pi / 2.0) * np.abs(eps)


def _coupled_maxwell(f):
    r"""Var[f(M) - f(M U)], M of density m^2 phi(m), U uniform.

    M U is standard normal, and given M the mean of f(M U) is F(M) / M, F(m) = int_0^m f. So

    .. math::

        \mathbb{E}[f(M) f(MU)] = \int m\,f(m)\,F(m)\,\phi(m)\,dm,

    over the two half-lines, each a triangle.
    """
    centre = _expect(f)  # the answer does not depend on it, its rounding does
    square = _expect(lambda eps: (eps**2 + 1.0) * (f(eps) - centre) ** 2)
    mean = _expect(lambda eps: (eps**2 - 1.0) * (f(eps) - centre))

    def pair(eps, sign):
        values = f(sign * eps) - centre
        return np.stack([eps * normal_density(eps) * values, values], axis=-1)

    half_line = NORMAL_EDGES[NORMAL_EDGES >= 0.0]
    product = sum(
        integrate_triangle(functools.partial(pair, sign=sign), half_line, argument="f", floor=square)
        for sign in (1.0, -1.0)
    )
    return max(square - 2.0 * product - mean**2, 0.0)  # below 0 by rounding only
