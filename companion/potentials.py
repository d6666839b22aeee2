r"""Densities in the plane, known up to a constant, and the constant by quadrature: targets of variational flows.

Contract: a potential is an energy U, a TensorFlow function of points [..., 2] in float32 or float64, differentiable
everywhere. Its `log_prob` is not normalised; `log_normaliser` is what it lacks, in float64. For every density q

.. math::

    \mathbb{E}_q[\log q(z) - \log p(z)] = \mathrm{KL}(q \,\Vert\, p / Z) - \log Z \;\ge\; -\log Z,
    \qquad Z = \int p(z)\, dz

so that the free energy of a flow has an exact floor, if Z is finite.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import optimize

from companion import _validation
from companion.quadrature import integrate_panels, normal_density

__all__ = ["GaussianFit", "Potential", "rezende_mohamed"]

_TOLERANCE = 1e-10  # of each integral over one coordinate
_FREE_ENERGY_TOLERANCE = 1e-7  # likewise
_REACH = 9.0  # standard deviations of the wall and of a Gaussian, beyond which there is nothing
_PANELS = 16  # of a box, in each direction, to begin with
_SEARCH_NOISE = np.linspace(-6.0, 6.0, 97)  # of each coordinate, for sums whose least value is searched


class GaussianFit(NamedTuple):
    """The Gaussian q whose divergence KL(q || p / Z) from a potential's density is least.

    Attributes:
        loc: its mean, shape [2].
        scale_tril: the Cholesky factor of its covariance, shape [2, 2].
        free_energy: in nats; with `Potential.log_normaliser` added, its divergence from the normalised density.
    """

    loc: np.ndarray
    scale_tril: np.ndarray
    free_energy: float


class Potential:
    r"""The density :math:`p(z) = e^{-U(z) - W(z)}`, up to a constant, with a wall W around a window if one is given.

    .. math::

        W(z) = \frac{1}{2 s^2} \sum_{i=1}^2 \bigl(\max(l_i - z_i,\; 0,\; z_i - h_i)\bigr)^2

    W is 0 in the window, has a continuous gradient, and makes p fall off outside like a Gaussian of standard
    deviation s. So pathwise gradients are right, as they would not be if p jumped to 0 at the window. The mass outside
    is small and part of Z.

    Args:
        energy: U, a TensorFlow function from points [..., 2] to [...].
        window: None for no wall, or (low, high), numbers or corners of shape [2].
        wall_scale: s, how soft the wall is.
        extent: a box (low, high) that holds the mass of exp(-U), all but what rounding loses, if Z is finite without
            a window; None if it is not.
        name: what to call it.

    Attributes:
        window: (low, high), float64 arrays of shape [2], or None.
        wall_scale: as given.
        name: as given.

    Raises:
        TypeError: if energy can't be called, or the others are not made of floats.
        ValueError: if a box is not one, or wall_scale is not positive.

    Reference:
        Rezende and Mohamed (2015), Variational inference with normalizing flows. Chapter: Normalizing flows.

    Example:
        >>> standard_normal = Potential(lambda z: tf.reduce_sum(z**2, axis=-1) / 2, extent=(-9, 9))
        >>> round(standard_normal.log_normaliser(), 9), np.log(2 * np.pi).round(9)
        (1.837877066, np.float64(1.837877066))
    """

    def __init__(self, energy, window=None, wall_scale=0.25, extent=None, name="potential"):
        self._energy = _validation.function("energy", energy)
        self.window = None if window is None else _box("window", window)
        self.wall_scale = _validation.positive_number("wall_scale", wall_scale)
        self._extent = None if extent is None else _box("extent", extent)
        self.name = name

    def __repr__(self):
        window = None if self.window is None else tuple(corner.tolist() for corner in self.window)
        return f"{type(self).__name__}({self.name}, window={window})"

    @property
    def normalisable(self):
        """Whether the density has a finite integral: with a window always, without one if there is an extent."""
        return self.window is not None or self._extent is not None

    def energy(self, z):
        """U, without the wall.

        Args:
            z: points, shape [..., 2].

        Returns:
            A tensor of shape [...], of the width of z.

        Raises:
            TypeError: if z is not made of floats.
            ValueError: if the last axis is not of size 2, or a number is not finite.

        Example:
            >>> rezende_mohamed(2).energy([[1.0, 1.0], [1.0, 1.4]]).numpy().round(6)
            array([0. , 0.5], dtype=float32)
        """
        z = _points(z)
        return _validation.same_shape("energy", self._energy(z), z.shape[:-1], "one number a point")

    def log_prob(self, z):
        """-U(z) - W(z): the log-density but for `log_normaliser`, as `fit_to_density` takes it.

        Args:
            z: as for `energy`.

        Returns:
            A tensor of shape [...], of the width of z.

        Raises:
            TypeError: as for `energy`.
            ValueError: as for `energy`.

        Example:
            >>> rezende_mohamed(2, window=(-4, 4)).log_prob([[3.0, -0.6], [5.0, 1.0]]).numpy().round(6)
            array([-0.5, -8. ], dtype=float32)
        """
        z, energy = _points(z), self.energy(z)
        if self.window is None:
            return -energy
        low, high = (tf.cast(corner, z.dtype) for corner in self.window)
        outside = tf.nn.relu(low - z) + tf.nn.relu(z - high)
        return -energy - tf.reduce_sum((outside / self.wall_scale) ** 2, axis=-1) / 2

    def log_normaliser(self):
        r"""log Z, in nats to within 1e-8, by adaptive quadrature over one coordinate within the other.

        Returns:
            A number.

        Raises:
            RuntimeError: if called inside a `tf.function`.
            ValueError: if Z is infinite for want of a window, is 0 in float64, or can't be had to that accuracy.

        Example:
            >>> round(rezende_mohamed(1).log_normaliser(), 6)
            1.877502
        """
        return self._log_normaliser

    @functools.cached_property
    def _log_normaliser(self):
        _validation.eager("log_normaliser")
        mass = _integrate(lambda z: np.exp(self.log_prob(z).numpy()), self._edges(), _TOLERANCE)
        with np.errstate(divide="ignore"):
            return float(_validation.in_range("log_normaliser", np.log(mass)))

    def gaussian_free_energy(self, loc, scale_tril):
        r"""The free energy of a Gaussian, in nats to within 1e-6 of the mean energy, by adaptive quadrature.

        .. math::

            \mathbb{E}\bigl[U(z) + W(z)\bigr] - \log |C| - \log 2\pi e, \qquad z \sim N(\mu,\; C C^\top)

        That of N(0, I) is where a flow of identities begins. It is there whether Z is finite or not.

        Args:
            loc: the mean, shape [2].
            scale_tril: C, lower triangular with a positive diagonal, shape [2, 2].

        Returns:
            A number.

        Raises:
            RuntimeError: if called inside a `tf.function`.
            TypeError: if an argument is not made of floats.
            ValueError: if a shape is wrong, a number is not finite, scale_tril is not such a triangle, or the integral
                can't be had to that accuracy.

        Example:
            >>> bowl = Potential(lambda z: tf.reduce_sum(z**2, axis=-1) / 2, extent=(-9, 9))
            >>> round(bowl.gaussian_free_energy([1.0, 0.0], np.eye(2)), 6)  # a divergence of 1/2, less log 2 pi
            -1.337877
        """
        loc = _validation.array("loc", loc, [2], "one number a coordinate")
        scale = _validation.array("scale_tril", scale_tril, [2, 2], "one row a coordinate")
        if scale[0, 1] != 0.0 or not (np.diag(scale) > 0.0).all():
            expected = "a lower triangle with a positive diagonal"
            raise ValueError(_validation.message("scale_tril", expected, scale.tolist()))

        def weighted_energy(eps):
            return normal_density(eps).prod(axis=-1) * -self.log_prob(loc + eps @ scale.T).numpy()

        edges = np.linspace([-_REACH] * 2, [_REACH] * 2, _PANELS + 1).T
        energy = _integrate(weighted_energy, edges, _FREE_ENERGY_TOLERANCE)
        return float(energy - np.log(np.diag(scale)).sum() - np.log(2 * np.pi * np.e))

    def best_gaussian(self, mean_field=False):
        """The Gaussian with the least free energy: what a flow has to be better than.

        It is the lowest end of nine searches that begin all over the box. The free energy at the end is exact, as by
        `gaussian_free_energy`.

        Args:
            mean_field: whether the coordinates are independent.

        Returns:
            A `GaussianFit`.

        Raises:
            RuntimeError: if called inside a `tf.function`.
            ValueError: if Z is infinite, so that the free energy has no least value, or an integral does not converge.

        Example:
            >>> fit = rezende_mohamed(1).best_gaussian()  # one of the two bananas
            >>> np.abs(fit.loc).round(2), round(fit.free_energy + rezende_mohamed(1).log_normaliser(), 3)
            (array([1.86, 0.  ]), 0.902)
        """
        _validation.eager("best_gaussian")
        low, high = self._support()
        loss = _gaussian_loss(self.log_prob)
        free = np.array([True, True, True, True, not mean_field])  # the mean, the logarithms of the diagonal, the rest

        def objective(theta):
            value, gradient = loss(tf.constant(np.concatenate([theta, np.zeros(5 - len(theta))])))
            return value.numpy(), gradient.numpy()[free]

        begin = np.log((high - low) / 16)
        places = itertools.product(*np.linspace(low, high, 5)[1:-1].T)
        starts = (np.concatenate([place, begin, np.zeros(5)])[: free.sum()] for place in places)
        ends = [optimize.minimize(objective, start, jac=True, options={"gtol": 1e-6}) for start in starts]
        best = min(ends, key=lambda end: round(end.fun, 6)).x  # of mirror images, always the same one
        loc, scale = best[:2], np.diag(np.exp(best[2:4]))
        scale[1, 0] = 0.0 if mean_field else best[4]
        return GaussianFit(loc, scale, self.gaussian_free_energy(loc, scale))

    def _support(self):
        """Where the mass is, but for the wall."""
        if not self.normalisable:
            expected = "a window, for the integral of exp(-U) over the whole plane is infinite (no extent is given)"
            raise ValueError(_validation.message("window", expected, self.window))
        return self._extent if self.window is None else self.window

    def _edges(self):
        """Ends of panels for each coordinate, the kinks of the wall among them."""
        low, high = self._support()
        edges = np.linspace(low, high, _PANELS + 1)  # [num_edges, 2]
        if self.window is not None:
            margin = self.wall_scale * np.array([[_REACH], [_REACH / 2]])
            edges = np.concatenate([low - margin, edges, high + margin[::-1]])
        return edges.T


def rezende_mohamed(number, window=None):
    r"""One of the four potentials that planar flows were first shown on.

    .. math::

        \begin{aligned}
        U_1(z) &= \tfrac12 \Bigl(\frac{\lVert z \rVert - 2}{0.4}\Bigr)^2
            - \log\bigl[q(z_1 - 2, 0.6) + q(z_1 + 2, 0.6)\bigr] \\
        U_2(z) &= \tfrac12 \Bigl(\frac{z_2 - w_1}{0.4}\Bigr)^2 \\
        U_3(z) &= -\log\bigl[q(z_2 - w_1, 0.35) + q(z_2 - w_1 + w_2, 0.35)\bigr] \\
        U_4(z) &= -\log\bigl[q(z_2 - w_1, 0.4) + q(z_2 - w_1 + w_3, 0.35)\bigr]
        \end{aligned}

    with :math:`q(x, s) = e^{-(x/s)^2/2}` and

    .. math::

        w_1 = \sin\frac{2\pi z_1}{4}, \qquad w_2 = 3 \exp\Bigl(-\tfrac12\Bigl(\frac{z_1 - 1}{0.6}\Bigr)^2\Bigr), \qquad
        w_3 = 3\,\mathrm{sigmoid}\,\frac{z_1 - 1}{0.3}

    Only the first has a finite integral. The others repeat themselves, or nearly, for ever along z1, so over
    [-L, L]^2 the integral grows as L; the published figures show a window, [-4, 4]^2. Some public copies drop
    the division by 0.4 in U2. Logarithms of sums are taken of exponents, so that all is finite in the tails.

    Args:
        number: which, 1 to 4.
        window: as for `Potential`.

    Returns:
        A `Potential`.

    Raises:
        TypeError: if window is not made of floats.
        ValueError: if number is not one of 1, 2, 3, 4, or window is no box.

    Reference:
        Rezende and Mohamed (2015), Variational inference with normalizing flows, table 1 and figure 3. Chapter:
        Normalizing flows.

    Example:
        >>> rezende_mohamed(3, window=(-4, 4)).normalisable, rezende_mohamed(3).normalisable
        (True, False)
    """
    if _validation.count("number", number) > len(_ENERGIES):
        raise ValueError(_validation.message("number", "1, 2, 3 or 4", _validation.describe(number)))
    energy, extent = _ENERGIES[number - 1]
    return Potential(energy, window, extent=extent, name=f"rezende_mohamed({number})")


def _integrate(h, edges, tolerance):
    """The integral of a function of points [..., 2], over one coordinate within the other."""
    first, second = edges

    def slices(z1):
        """The integrals over z2 at points [n]; h is evaluated on a grid [num_z2, n]."""
        return integrate_panels(
            lambda z2: h(np.stack(np.meshgrid(z1, z2), axis=-1)), second, tolerance, argument="energy"
        )

    return integrate_panels(slices, first, tolerance, argument="energy")


def _gaussian_loss(log_prob):
    """The free energy of a Gaussian and its gradient, by a sum over a grid of noise, from five numbers."""
    eps = np.stack(np.meshgrid(_SEARCH_NOISE, _SEARCH_NOISE), axis=-1).reshape(-1, 2)
    weights = normal_density(eps).prod(axis=1)
    weights /= weights.sum()

    @tf.function(autograph=False)
    def loss(theta):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            first, second = tf.exp(theta[2]) * eps[:, 0], tf.exp(theta[3]) * eps[:, 1] + theta[4] * eps[:, 0]
            energy = -tf.reduce_sum(weights * log_prob(theta[:2] + tf.stack([first, second], axis=1)))
            value = energy - theta[2] - theta[3] - np.log(2 * np.pi * np.e)
        return value, tape.gradient(value, theta)

    return loss


def _two_bananas(z):
    """U1."""
    z1 = z[..., 0]
    smallest = np.finfo(z.dtype.as_numpy_dtype).tiny  # at the origin the gradient of the norm shall be 0, not NaN
    norm = tf.sqrt(tf.maximum(tf.reduce_sum(z**2, axis=-1), smallest))
    return -_log_q(norm - 2.0, 0.4) - _log_sum(_log_q(z1 - 2.0, 0.6), _log_q(z1 + 2.0, 0.6))


def _wave(z):
    """U2."""
    return -_log_q(_from_wave(z), 0.4)


def _bump(z):
    """U3."""
    x, w2 = _from_wave(z), 3.0 * tf.exp(_log_q(z[..., 0] - 1.0, 0.6))
    return -_log_sum(_log_q(x, 0.35), _log_q(x + w2, 0.35))


def _step(z):
    """U4."""
    x, w3 = _from_wave(z), 3.0 * tf.sigmoid((z[..., 0] - 1.0) / 0.3)
    return -_log_sum(_log_q(x, 0.4), _log_q(x + w3, 0.35))


def _from_wave(z):
    """z2 - w1."""
    return z[..., 1] - tf.sin(math.pi / 2.0 * z[..., 0])


def _log_q(x, scale):
    return -((x / scale) ** 2) / 2.0


def _log_sum(a, b):
    """log(exp(a) + exp(b)), however small both are."""
    return tf.reduce_logsumexp(tf.stack([a, b]), axis=0)


_ENERGIES = ((_two_bananas, (-6.5, 6.5)), (_wave, None), (_bump, None), (_step, None))


def _points(z):
    """A checked tensor of points."""
    z = _validation.float_tensor("z", z)
    if not z.shape[-1:].is_compatible_with([2]):
        raise ValueError(_validation.message("z", "shape [..., 2]", f"shape {list(z.shape)}"))
    return z


def _box(argument, value):
    """(low, high) as float64 arrays of shape [2], low below high."""
    try:
        low, high = value
    except (TypeError, ValueError) as error:
        raise TypeError(_validation.message(argument, "a pair (low, high)", _validation.describe(value))) from error
    corners = tuple(_corner(f"{argument}, {name}", corner) for name, corner in (("low", low), ("high", high)))
    if not (corners[0] < corners[1]).all():
        got = f"low {corners[0].tolist()}, high {corners[1].tolist()}"
        raise ValueError(_validation.message(argument, "low below high", got))
    return corners


def _corner(argument, value):
    shape, meaning = ([2], "one number a coordinate") if np.ndim(value) else ([], "one number")
    return np.resize(_validation.array(argument, value, shape, meaning), 2)
