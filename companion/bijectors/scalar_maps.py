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
        widths, heights, left, right = self._bins(parameters)
        inside = tf.abs(x) < self.bound
        within = tf.clip_by_value(x, -self.bound, self.bound)
        starts = self._starts(widths)
        chosen = self._bin_of(within, starts)
        start, w, y, h, d0, d1 = (
            _select(chosen, v) for v in (starts, widths, self._starts(heights), heights, left, right)
        )
        share = (within - start) / w
        s = h / w
        product = share * (1.0 - share)
        below = s + (d1 + d0 - 2.0 * s) * product
        value = y + h * (s * share * share + d0 * product) / below
        return tf.where(inside, value, x), tf.where(inside, _log_derivative(s, d0, d1, share, below), 0.0)

    def inverse(self, y, parameters):
        """The spline's inverse, a root of a quadratic equation, and the logarithm of its derivative."""
        widths, heights, left, right = self._bins(parameters)
        inside = tf.abs(y) < self.bound
        within = tf.clip_by_value(y, -self.bound, self.bound)
        starts = self._starts(heights)
        chosen = self._bin_of(within, starts)
        start, h, x, w, d0, d1 = (
            _select(chosen, v) for v in (starts, heights, self._starts(widths), widths, left, right)
        )
        s, rise = h / w, within - start
        bend = d1 + d0 - 2.0 * s
        a, b, c = h * (s - d0) + rise * bend, h * d0 - rise * bend, -s * rise
        share = -2.0 * c / (b + tf.sqrt(tf.maximum(b * b - 4.0 * a * c, 0.0)))
        below = s + bend * share * (1.0 - share)
        value = x + w * share
        return tf.where(inside, value, y), tf.where(inside, -_log_derivative(s, d0, d1, share, below), 0.0)

    def _bins(self, parameters):
        """Widths and heights of the bins, derivatives at their left and right ends: each of shape [..., K, n]."""
        widths, heights, derivatives = tf.split(parameters, [self.bins, self.bins, self.bins - 1], axis=-2)
        derivatives = tf.exp(_log_scale(derivatives))
        end = tf.ones_like(derivatives[..., :1, :])
        return (
            self._shares(widths),
            self._shares(heights),
            tf.concat([end, derivatives], axis=-2),
            tf.concat([derivatives, end], axis=-2),
        )

    def _shares(self, raw):
        """The interval's length divided among the bins."""
        shares = _SMALLEST_BIN + (1.0 - self.bins * _SMALLEST_BIN) * tf.nn.softmax(raw, axis=-2)
        return 2.0 * self.bound * shares

    def _starts(self, lengths):
        return tf.cumsum(lengths, axis=-2, exclusive=True) - self.bound

    def _bin_of(self, x, starts):
        """1 for the bin in which x lies, else 0: shape [..., K, n]."""
        reached = tf.cast(x[..., None, :] >= starts[..., 1:, :], x.dtype)
        first = tf.ones_like(reached[..., :1, :])
        return tf.concat([first, reached], axis=-2) - tf.concat([reached, 0.0 * first], axis=-2)


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
