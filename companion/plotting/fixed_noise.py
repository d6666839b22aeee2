"""A Gaussian over fixed noise: sliders move the samples, the expectation and both gradients, without a kernel.

Contract: as for the package. The figure holds the noise and nothing else; everything that is shown is computed
from it by the expressions below, in the browser, in the language of Vega.
"""

import altair as alt
import numpy as np

from companion.plotting.figure import COLOURS, InteractiveFigure

__all__ = ["gaussian_gradients"]

_QUADRATIC, _COSINE = "(z - k)²", "cos(k z)"
_DAMPING = "exp(-k * k * sigma * sigma / 2)"

# (z - k)^2 : cos(k z), each a pair of Vega expressions; {z} and {m} stand for where they are taken
_F = ("pow({z} - k, 2)", "cos(k * {z})")
_SLOPE = ("2 * ({z} - k)", "-k * sin(k * {z})")
_EXPECTATION = ("pow({m} - k, 2) + sigma * sigma", _DAMPING + " * cos(k * {m})")
_EXACT = {
    "mu": ("2 * ({m} - k)", "-k * " + _DAMPING + " * sin(k * {m})"),
    "sigma": ("2 * sigma", "-k * k * sigma * " + _DAMPING + " * cos(k * {m})"),
}
_PATHWISE = {"mu": "datum.slope", "sigma": "datum.slope * datum.eps"}
_SCORE = {"mu": "datum.f * datum.eps / sigma", "sigma": "datum.f * (datum.eps * datum.eps - 1) / sigma"}

_NAMES = ["exact", "pathwise", "score function"]
_SAMPLE_MEAN = "mean over the samples"
_COLOUR = alt.Color(
    "estimator:N",
    scale=alt.Scale(domain=[*_NAMES, _SAMPLE_MEAN], range=[COLOURS[c] for c in ("black", "blue", "orange", "sky")]),
    legend=alt.Legend(
        orient="bottom", title=None, columns=2, symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3
    ),
)
_SAMPLE_MEANS = (  # f averaged over z = m + sigma eps, from averages over the noise alone
    "pow({m} - k, 2) + 2 * ({m} - k) * sigma * datum.first + sigma * sigma * datum.second",
    "cos(k * {m}) * datum.cosine - sin(k * {m}) * datum.sine",
)
_WIDTH = 225


def gaussian_gradients(eps, loc=1.0, scale=1.0, k=3.0):
    """Samples, expectation and gradients of E f(loc + scale eps) over fixed noise, with sliders.

    Three panels: f and its values at the samples; E f against the mean, with tangents whose slopes are the two
    estimates; both gradients, exact and estimated, with two standard errors to each side.

    Args:
        eps: the noise, shape [num_samples].
        loc: where the slider of the mean starts, in [-3, 3].
        scale: where the slider of the standard deviation starts, in [0.1, 3].
        k: where the slider of f's constant starts, in [0, 5].

    Returns:
        An `InteractiveFigure`.

    Example:
        >>> gaussian_gradients(np.array([-1.0, 0.5, 1.0]))
        InteractiveFigure(Sliders for the mean, ...)
    """
    sliders = [
        alt.param(name="mu", value=loc, bind=alt.binding_range(min=-3, max=3, step=0.1, name="mean μ ")),
        alt.param(name="sigma", value=scale, bind=alt.binding_range(min=0.1, max=3, step=0.1, name="std. dev. σ ")),
        alt.param(name="k", value=k, bind=alt.binding_range(min=0, max=5, step=0.1, name="constant k ")),
        alt.param(
            name="choice", value=_QUADRATIC, bind=alt.binding_radio(options=[_QUADRATIC, _COSINE], name="f(z) = ")
        ),
    ]
    noise = alt.Data(values=[{"eps": round(float(e), 4)} for e in np.ravel(eps)])
    panels = [_samples(noise), _expectation(noise), _gradients(noise, "mu", "μ"), _gradients(noise, "sigma", "σ")]
    chart = alt.vconcat(*panels, spacing=18).add_params(*sliders).configure_view(stroke=None)
    description = (
        "Sliders for the mean, the standard deviation and a constant of f; below them the samples on the curve "
        "of f, the expectation against the mean, and three bars for each gradient: exact, pathwise, score function."
    )
    return InteractiveFigure(chart, description)


def _chosen(pair, **places):
    """A Vega expression for the chosen f."""
    quadratic, cosine = (expression.format(**places) for expression in pair)
    return f"(choice == '{_QUADRATIC}' ? {quadratic} : {cosine})"


def _with_samples(noise):
    """A chart of one row a sample: z, f, its slope, and each sample's own gradients."""
    chart = alt.Chart(noise).transform_calculate(z="mu + sigma * datum.eps")
    chart = chart.transform_calculate(f=_chosen(_F, z="datum.z"), slope=_chosen(_SLOPE, z="datum.z"))
    fields = {f"pathwise_{name}": expression for name, expression in _PATHWISE.items()}
    fields |= {f"score_{name}": expression for name, expression in _SCORE.items()}
    return chart.transform_calculate(**fields)


def _samples(noise):
    curve = alt.Chart(alt.sequence(-8, 8, 0.05, as_="z")).transform_calculate(value=_chosen(_F, z="datum.z"))
    x = alt.X("z:Q", title="z", scale=alt.Scale(domain=[-8, 8]))
    curve = curve.mark_line(color=COLOURS["grey"]).encode(x, alt.Y("value:Q", title="f(z)"))
    points = _with_samples(noise).transform_filter("abs(datum.z) <= 8").mark_point(filled=True, size=28, opacity=0.7)
    points = points.encode(x, alt.Y("f:Q"), color=alt.value(COLOURS["blue"]))
    centre = alt.Chart(alt.sequence(0, 1, 1, as_="one")).transform_calculate(z="mu")
    centre = centre.mark_rule(color=COLOURS["black"], strokeDash=[4, 3]).encode(alt.X("z:Q"))
    return (curve + points + centre).properties(width=_WIDTH, height=110, title="samples z = μ + σ ε, dashed: μ")


def _expectation(noise):
    exact = alt.Chart(alt.sequence(-4, 4.05, 0.05, as_="m"))
    exact = exact.transform_calculate(value=_chosen(_EXPECTATION, m="datum.m"), estimator="'exact'")
    averages = alt.Chart(noise).transform_calculate(
        square="datum.eps * datum.eps", c="cos(k * sigma * datum.eps)", s="sin(k * sigma * datum.eps)"
    )
    averages = averages.transform_aggregate(first="mean(eps)", second="mean(square)", cosine="mean(c)", sine="mean(s)")
    averages = averages.transform_calculate(m="sequence(-4, 4.05, 0.05)").transform_flatten(["m"])
    averages = averages.transform_calculate(value=_chosen(_SAMPLE_MEANS, m="datum.m"), estimator=f"'{_SAMPLE_MEAN}'")
    x = alt.X("m:Q", title="mean", scale=alt.Scale(domain=[-4, 4]))
    y = alt.Y("value:Q", title="E f(z)")
    curves = [chart.mark_line(strokeWidth=1.5).encode(x, y, _COLOUR) for chart in (exact, averages)]
    estimate = _with_samples(noise).transform_aggregate(
        **{"value": "mean(f)", "pathwise": "mean(pathwise_mu)", "score function": "mean(score_mu)"}
    )
    tangents = estimate.transform_fold(["pathwise", "score function"], as_=["estimator", "gradient"])
    tangents = tangents.transform_calculate(step="[-1.2, 1.2]").transform_flatten(["step"])
    tangents = tangents.transform_calculate(m="mu + datum.step", value="datum.value + datum.step * datum.gradient")
    tangents = tangents.mark_line(strokeWidth=2.5, clip=True).encode(x, y, _COLOUR)
    here = estimate.transform_calculate(m="mu").mark_point(filled=True, size=50, color=COLOURS["black"], opacity=1)
    title = ["expectation against the mean", "dot: mean of f over the samples"]
    return alt.layer(*curves, tangents, here.encode(x, y)).properties(width=_WIDTH, height=150, title=title)


def _gradients(noise, name, symbol):
    y = alt.Y("estimator:N", title=None, sort=_NAMES, scale=alt.Scale(domain=_NAMES))
    estimates = _with_samples(noise).transform_fold([f"pathwise_{name}", f"score_{name}"], as_=["key", "gradient"])
    estimates = estimates.transform_aggregate(
        mean="mean(gradient)", standard_error="stderr(gradient)", groupby=["key"]
    ).transform_calculate(
        estimator=f"datum.key == 'pathwise_{name}' ? 'pathwise' : 'score function'",
        low="datum.mean - 2 * datum.standard_error",
        high="datum.mean + 2 * datum.standard_error",
        label="format(datum.mean, '.2f') + ' ± ' + format(2 * datum.standard_error, '.2f')",
    )
    exact = alt.Chart(alt.sequence(0, 1, 1, as_="one"))
    exact = exact.transform_calculate(mean=_chosen(_EXACT[name], m="mu"), estimator="'exact'")
    exact = exact.transform_calculate(label="format(datum.mean, '.2f')")
    x = alt.X("mean:Q", title=f"gradient with respect to {symbol}", scale=alt.Scale(zero=True, nice=True))
    bars = estimates.mark_rule(strokeWidth=3).encode(alt.X("low:Q"), y, _COLOUR, x2="high:Q")
    points = [c.mark_point(filled=True, size=60, opacity=1).encode(x, y, _COLOUR) for c in (exact, estimates)]
    truth = exact.mark_rule(color=COLOURS["black"], strokeDash=[4, 3]).encode(x)
    labels = [
        c.mark_text(align="right", dy=-11, fontSize=10).encode(y=y, text="label:N", x=alt.value(_WIDTH))
        for c in (exact, estimates)
    ]
    return alt.layer(truth, bars, *points, *labels).properties(width=_WIDTH, height=105)
