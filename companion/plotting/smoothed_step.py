"""A step, smoothed: a temperature takes it from a slope to a jump, over fixed samples, without a kernel.

Contract: as for the package. The figure holds the noise and a quadrature rule for the logistic law; everything that is
shown is computed from them by the expressions below, in the browser, in the language of Vega.
"""

import altair as alt
import numpy as np

from companion.plotting.figure import COLOURS, InteractiveFigure

__all__ = ["explorer"]

_THRESHOLD = 1.0
_LOWEST, _HIGHEST, _STEP = -4.0, 0.5, 0.075  # log10 of the temperature
_NAMES = ["exact, smoothed", "exact, step", "pathwise"]
_COLOUR = alt.Color(
    "estimator:N",
    scale=alt.Scale(domain=_NAMES, range=[COLOURS[c] for c in ("green", "black", "blue")]),
    legend=alt.Legend(
        orient="bottom", title=None, columns=2, symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3
    ),
)
_WIDTH = 210


def explorer(eps, loc=0.5, log_temperature=-0.5):
    r"""The pathwise gradient of E sigmoid((z - 1) / temperature), z = loc + eps, against the temperature.

    .. math::

        \frac{\partial}{\partial\mu}\,\mathbb{E} f_\tau(z) = \mathbb{E}\,\varphi(1 - \mu + \tau L)
        \to \varphi(1 - \mu), \qquad f_\tau'(z) = \frac{1}{4 \tau \cosh^2((z - 1) / 2\tau)},

    with L logistic. Three panels: the smoothed step and its values at the samples; the gradient against the
    temperature, exact and estimated with two standard errors to each side; the numbers at the slider's temperature.

    Args:
        eps: standard normal noise, shape [num_samples].
        loc: where the slider of the mean starts, in [-1, 3].
        log_temperature: where the slider of log10 of the temperature starts, in [-4, 0.5].

    Returns:
        An `InteractiveFigure`.

    Example:
        >>> explorer(np.array([-1.0, 0.5, 1.0]))
        InteractiveFigure(Sliders for the temperature ...)
    """
    sliders = [
        alt.param(
            name="log_t",
            value=log_temperature,
            bind=alt.binding_range(min=_LOWEST, max=_HIGHEST, step=0.05, name="log10 of the temperature τ "),
        ),
        alt.param(name="mu", value=loc, bind=alt.binding_range(min=-1, max=3, step=0.05, name="mean μ ")),
    ]
    noise = alt.Data(values=[{"eps": round(float(e), 4)} for e in np.ravel(eps)])
    panels = [_samples(noise), _against_temperature(noise), _numbers(noise)]
    chart = alt.vconcat(*panels, spacing=18).add_params(*sliders).configure_view(stroke=None)
    description = (
        "Sliders for the temperature and the mean; below them samples on a smoothed step, and the gradient against the "
        "temperature. The exact gradient of the smoothed problem levels off at that of the step as the temperature "
        "falls; the pathwise estimate follows it, then scatters, and ends at 0 with a standard error of 0."
    )
    return InteractiveFigure(chart, description)


def _sigmoid(z, log_t):
    """A Vega expression for sigmoid((z - 1) / 10^log_t)."""
    return f"1 / (1 + exp(-({z} - {_THRESHOLD}) / pow(10, {log_t})))"


def _slope(z, log_t):
    """A Vega expression for its derivative, s (1 - s) / temperature, written so that nothing overflows."""
    x = f"exp(-abs({z} - {_THRESHOLD}) / pow(10, {log_t}))"
    return f"{x} / pow(1 + {x}, 2) / pow(10, {log_t})"


def _density(x):
    """A Vega expression for the standard normal density."""
    return f"exp(-0.5 * pow({x}, 2)) / sqrt(2 * PI)"


def _samples(noise):
    x = alt.X("z:Q", title="z", scale=alt.Scale(domain=[-3, 5]))
    y = alt.Y("value:Q", title="f(z)", scale=alt.Scale(domain=[0, 1]))
    curve = alt.Chart(alt.sequence(-3, 5.01, 0.01, as_="z")).transform_calculate(value=_sigmoid("datum.z", "log_t"))
    curve = curve.mark_line(color=COLOURS["grey"]).encode(x, y)
    points = alt.Chart(noise).transform_calculate(z="mu + datum.eps")
    points = points.transform_calculate(value=_sigmoid("datum.z", "log_t"), slope=_slope("datum.z", "log_t"))
    points = points.transform_filter("abs(datum.z - 1) <= 4").mark_point(filled=True, size=28, opacity=0.8)
    seen = alt.condition("datum.slope > 0.01", alt.value(COLOURS["blue"]), alt.value(COLOURS["grey"]))
    title = ["smoothed step at the samples", "blue: the slope here is above 0.01"]
    return (curve + points.encode(x, y, color=seen)).properties(width=_WIDTH, height=110, title=title)


def _estimates(noise, log_t):
    """A chart of one row a temperature: mean and standard error of the slopes of the samples."""
    chart = alt.Chart(noise).transform_calculate(log_tau=log_t).transform_flatten(["log_tau"])
    chart = chart.transform_calculate(slope=_slope("(mu + datum.eps)", "datum.log_tau"))
    chart = chart.transform_aggregate(gradient="mean(slope)", error="stderr(slope)", groupby=["log_tau"])
    return chart.transform_calculate(
        estimator="'pathwise'",
        low="datum.gradient - 2 * datum.error",
        high="datum.gradient + 2 * datum.error",
    )


def _exact(log_t):
    """Likewise the exact gradient of the smoothed problem: the trapezoidal rule over the logistic law."""
    nodes = np.arange(-56, 57) / 4
    weights = 0.25 / (4.0 * np.cosh(nodes / 2) ** 2)
    rule = [{"l": float(node), "w": float(f"{weight:.8g}")} for node, weight in zip(nodes, weights, strict=True)]
    chart = alt.Chart(alt.Data(values=rule)).transform_calculate(log_tau=log_t).transform_flatten(["log_tau"])
    density = _density(f"({_THRESHOLD} - mu + pow(10, datum.log_tau) * datum.l)")
    chart = chart.transform_calculate(term=f"datum.w * {density}")
    chart = chart.transform_aggregate(gradient="sum(term)", groupby=["log_tau"])
    return chart.transform_calculate(estimator=f"'{_NAMES[0]}'")


def _step():
    """One row: the exact gradient of the step."""
    chart = alt.Chart(alt.sequence(0, 1, 1, as_="one"))
    return chart.transform_calculate(gradient=_density(f"({_THRESHOLD} - mu)"), estimator=f"'{_NAMES[1]}'")


def _against_temperature(noise):
    grid = f"sequence({_LOWEST}, {_HIGHEST + _STEP / 2}, {_STEP})"
    x = alt.X("log_tau:Q", title="log10 of the temperature", scale=alt.Scale(domain=[_LOWEST, _HIGHEST], nice=False))
    y = alt.Y("gradient:Q", title="gradient in the mean", scale=alt.Scale(domain=[-0.2, 1.0]))
    estimates = _estimates(noise, grid)
    band = estimates.mark_area(color=COLOURS["sky"], opacity=0.35, clip=True)
    band = band.encode(x, alt.Y("low:Q", title="gradient in the mean"), y2="high:Q")
    lines = [c.mark_line(strokeWidth=2, clip=True).encode(x, y, _COLOUR) for c in (estimates, _exact(grid))]
    truth = _step().mark_rule(strokeDash=[5, 3], strokeWidth=1.5).encode(y, _COLOUR)
    here = alt.Chart(alt.sequence(0, 1, 1, as_="one")).transform_calculate(log_tau="log_t")
    here = here.mark_rule(color=COLOURS["grey"]).encode(x)
    return alt.layer(band, *lines, truth, here).properties(width=_WIDTH, height=170)


def _numbers(noise):
    y = alt.Y("estimator:N", title=None, sort=_NAMES, scale=alt.Scale(domain=_NAMES))
    one = "[log_t]"
    charts = [
        _exact(one).transform_calculate(label="format(datum.gradient, '.3f')"),
        _step().transform_calculate(label="format(datum.gradient, '.3f')"),
        _estimates(noise, one).transform_calculate(
            label="format(datum.gradient, '.3f') + ' ± ' + format(2 * datum.error, '.3f')"
        ),
    ]
    words = [c.mark_text(align="left", fontSize=12, x=4).encode(y=y, text="label:N") for c in charts]
    return alt.layer(*words).properties(width=_WIDTH - 60, height=62, title="at the temperature of the slider")
