"""Increasing maps of the real line with parameters, applied coordinate by coordinate: the moving part of a coupling.

Contract: a map has `num_parameters`, P; `forward` and `inverse` take values of shape [..., n] and parameters of shape
[..., P, n], any real numbers, and return the new values and the logarithms of the derivatives, both of shape [..., n].
Zero parameters give the identity. `config` names it and its settings.
"""

import tensorflow as tf

from companion import _validation

__all__ = ["Affine", "RationalQuadraticSpline", "find"]

_MOST_LOG_SCALE = 5.0  # in absolute value
_SMALLEST_BIN = 1e-3  # of the interval's length


class Affine:
    r"""x exp(s) + t, where :math:`s = 5 \tanh(\tilde s / 5)` can be no larger than 5."""

    num_parameters = 2

    def forward(self, x, parameters):
        """x exp(s) + t, and s."""
        shift, log_scale = self._parts(parameters)
        return x * tf.exp(log_scale) + shift, log_scale

    def inverse(self, y, parameters):
        """(y - t) exp(-s), and -s."""
        shift, log_scale = self._parts(parameters)
        return (y - shift) * tf.exp(-log_scale), -log_scale

    def _parts(self, parameters):
        shift, raw = tf.unstack(parameters, axis=-2)
        return shift, _log_scale(raw)


class RationalQuadraticSpline:
    r"""A spline of ratios of quadratic polynomials on [-bound, bound], the identity outside.

    In a bin of width w and height h, with slope s = h / w and derivatives d, d' at its ends, at the share
    :math:`\theta` of the bin,

    .. math::

        y = y_k + \frac{h\,(s\theta^2 + d\,\theta(1-\theta))}{s + (d' + d - 2s)\,\theta(1-\theta)}

    Args:
        bins: K, how many bins.
        bound: half the length of the interval.

    Reference:
        Durkan, Bekasov, Murray and Papamakarios (2019), section 3.1; Gregory and Delbourgo (1982).
    """

    def __init__(self, bins, bound):
        self.bins = _validation.count("bins", bins, minimum=2)
        self.bound = _validation.positive_number("bound", bound)
        if self.bins * _SMALLEST_BIN >= 0.5:
            raise ValueError(_validation.message("bins", f"fewer than {0.5 / _SMALLEST_BIN:.0f}", bins))

    @property
    def num_parameters(self):
        """K widths, K heights, and derivatives at the K - 1 inner knots."""
        return 3 * self.bins - 1

    def forward(self, x, parameters):
        """The spline, and the logarithm of its derivative."""
        widths, heights, derivatives = self._parts(parameters)
        inside, within = self._clipped(x)
        here = self._bin_of(within, widths)
        start, w, y, h = *widths.at(here), *heights.at(here)
        d0, d1 = here.ends(derivatives)
        s, share = h / w, tf.clip_by_value((within - start) / w, 0.0, 1.0)
        product = share * (1.0 - share)
        below = s + (d1 + d0 - 2.0 * s) * product
        value = y + h * (s * share * share + d0 * product) / below
        return tf.where(inside, value, x), tf.where(inside, _log_derivative(s, d0, d1, share, below), 0.0)

    def inverse(self, y, parameters):
        """The spline's inverse, a root of a quadratic equation, and the logarithm of its derivative."""
        widths, heights, derivatives = self._parts(parameters)
        inside, within = self._clipped(y)
        here = self._bin_of(within, heights)
        start, h, x, w = *heights.at(here), *widths.at(here)
        d0, d1 = here.ends(derivatives)
        s, rise = h / w, tf.clip_by_value(within - start, 0.0, h)
        bend = d1 + d0 - 2.0 * s
        a, b, c = h * (s - d0) + rise * bend, h * d0 - rise * bend, -s * rise
        root = tf.sqrt(tf.maximum(b * b - 4.0 * a * c, 0.0))
        up = b > 0.0  # the root without cancellation; where b <= 0, a >= -b - c > 0
        share = tf.where(up, -2.0 * c, root - b) / tf.where(up, b + root, 2.0 * a)
        share = tf.clip_by_value(share, 0.0, 1.0)
        below = s + bend * share * (1.0 - share)
        value = x + w * share
        return tf.where(inside, value, y), tf.where(inside, -_log_derivative(s, d0, d1, share, below), 0.0)

    def _parts(self, parameters):
        """The intervals' divisions, and the raw derivatives at the inner knots."""
        widths, heights, derivatives = tf.split(parameters, [self.bins, self.bins, self.bins - 1], axis=-2)
        return _Division(widths, self.bound), _Division(heights, self.bound), derivatives

    def _clipped(self, x):
        """Whether x lies inside of the interval, and the nearest point that does."""
        return tf.abs(x) < self.bound, tf.clip_by_value(x, -self.bound, self.bound)

    def _bin_of(self, x, division):
        return _Bin(tf.cast(x[..., None, :] >= division.inner_knots(), x.dtype))


class _Division:
    """[-bound, bound] in K parts, whose lengths are a softmax and a floor.

    Only what is looked up is divided by the sum: all tensors of K numbers are the exponentials.
    """

    def __init__(self, raw, bound):
        bins = raw.shape[-2]
        self._exps = tf.exp(raw - tf.stop_gradient(tf.reduce_max(raw, axis=-2, keepdims=True)))  # (..., K, n)
        self._least, self._bound = 2.0 * bound * _SMALLEST_BIN, bound
        self._unit = (2.0 * bound - bins * self._least) / tf.reduce_sum(self._exps, axis=-2)
        self._bins = bins

    def inner_knots(self):
        """The K - 1 places between the parts, without derivatives: they only decide in which part a point lies."""
        sums = tf.cumsum(tf.stop_gradient(self._exps[..., :-1, :]), axis=-2)
        floors = self._least * tf.range(1, self._bins, dtype=sums.dtype)[:, None] - self._bound
        return floors + sums * tf.stop_gradient(self._unit)[..., None, :]

    def at(self, here):
        """Where the part begins in which a point lies, and its length."""
        start = here.number * self._least - self._bound + self._unit * _select(here.before, self._exps)
        return start, self._least + self._unit * _select(here.chosen, self._exps)


class _Bin:
    """The bin in which a point lies.

    Args:
        passed: 1 for each inner knot that lies at or below the point, else 0: shape [..., K - 1, n].
    """

    def __init__(self, passed):
        first = tf.ones_like(passed[..., :1, :])
        self.before = tf.concat([passed, 0.0 * first], axis=-2)  # 1 for the bins below, (..., K, n)
        self.chosen = tf.concat([first, passed], axis=-2) - self.before
        self.number = tf.reduce_sum(passed, axis=-2)

    def ends(self, raw_derivatives):
        """The derivatives at the bin's ends: 1 at the ends of the interval, where no raw one is found."""
        left = _select(self.chosen[..., 1:, :], raw_derivatives)
        right = _select(self.chosen[..., :-1, :], raw_derivatives)
        return tf.exp(_log_scale(left)), tf.exp(_log_scale(right))


def find(transform, bins, bound):
    """The map of a name."""
    _validation.one_of("transform", transform, ("affine", "spline"))
    return Affine() if transform == "affine" else RationalQuadraticSpline(bins, bound)


def _log_scale(raw):
    """Any number, softly bounded, so that its exponential is in the range of every width."""
    return _MOST_LOG_SCALE * tf.tanh(raw / _MOST_LOG_SCALE)


def _select(chosen, values):
    return tf.reduce_sum(chosen * values, axis=-2)


def _log_derivative(s, d0, d1, share, below):
    rest = 1.0 - share
    above = d1 * share * share + 2.0 * s * share * rest + d0 * rest * rest
    return 2.0 * tf.math.log(s) + tf.math.log(above) - 2.0 * tf.math.log(below)
