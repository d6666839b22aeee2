"""Exact variances of five estimators under a reader's hand: sliders for mean, scale and frequency, without a kernel.

Contract: as for the package. Nothing is sampled; the closed forms of the chapter "Which estimator?" are computed in the
browser, in the language of Vega. The one function that Vega lacks, Dawson's integral, comes as a short table.
"""

import altair as alt
import numpy as np
from scipy import special

from companion.plotting.estimators import ESTIMATOR_COLOURS
from companion.plotting.figure import COLOURS, InteractiveFigure

__all__ = ["gaussian_variances"]

_QUADRATIC, _COSINE = "(z - k)²", "cos(k z)"
_NAMES = [
    "pathwise",
    "score function",
    "score function, best baseline",
    "measure-valued",
    "measure-valued, independent",
]
_WIDTH = 240
_STEP, _END = 0.02, 3.0  # of the table of Dawson's integral

# Intermediate fields, in order; k is datum.kk. H(t) = sqrt(2) t D(sqrt(2) t), with D Dawson's integral.
_FIELDS = {
    "d": "mu - datum.kk",
    "t": "datum.kk * sigma",
    "H": "{H_of_t}",
    "h": "{H_of_half}",
    "E": "exp(-2 * datum.t * datum.t) * cos(2 * datum.kk * mu)",  # E cos(2kz)
    "e": "exp(-datum.t * datum.t / 2)",
    "S": "pow(sin(datum.kk * mu), 2)",
    "C": "pow(cos(datum.kk * mu), 2)",
    "T": "datum.t * datum.t",
    "V": "sigma * sigma",
    "gm": "pow(datum.kk * datum.e, 2) * datum.S",  # squared gradients
    "gs": "pow(datum.kk * datum.t * datum.e, 2) * datum.C",
    "odd": "datum.H - datum.T * datum.e * datum.e * PI / 2",  # Var sin(tW)
    "even": "1 - datum.H - pow(1 - 2 * datum.h, 2)",  # Var cos(tW)
}
_D, _T, _V, _S, _C, _E, _E1 = (f"datum.{x}" for x in ("d", "T", "V", "S", "C", "E", "e"))
_D2 = f"{_D} * {_D}"
_VARIANCES = {  # f, then parameter, then estimators in the order of _NAMES
    _QUADRATIC: {
        "μ": [
            f"4 * {_V}",
            f"pow({_D}, 4) / {_V} + 14 * {_D2} + 15 * {_V}",
            f"8 * {_D2} + 6 * {_V}",
            f"4 * {_D2} * (4 / PI - 1)",
            f"2 * {_D2} * (4 / PI - 1) + 4 * {_V} / PI",
        ],
        "σ": [
            f"4 * {_D2} + 8 * {_V}",
            f"2 * pow({_D}, 4) / {_V} + 60 * {_D2} + 74 * {_V}",
            f"40 * {_D2} + 24 * {_V}",
            f"4 * {_D2} + 4 * {_V}",
            f"16 * {_D2} + 8 * {_V}",
        ],
    },
    _COSINE: {
        "μ": [
            f"datum.kk * datum.kk / 2 * (1 - {_E}) - datum.gm",
            f"(1 + (1 - 4 * {_T}) * {_E}) / (2 * {_V}) - datum.gm",
            f"(1 + (1 - 4 * {_T}) * {_E}) / (2 * {_V}) - datum.gm - pow((1 - {_T}) * {_E1}, 2) * {_C} / {_V}",
            f"2 * {_S} * datum.odd / (PI * {_V})",
            f"({_C} * datum.even + {_S} * datum.odd) / (PI * {_V})",
        ],
        "σ": [
            f"datum.kk * datum.kk / 2 * (1 - (1 - 4 * {_T}) * {_E}) - datum.gs",
            f"(2 + (16 * {_T} * {_T} - 16 * {_T} + 2) * {_E}) / (2 * {_V}) - datum.gs",
            f"(2 + (16 * {_T} * {_T} - 16 * {_T} + 2) * {_E}) / (2 * {_V}) - datum.gs"
            f" - pow(({_T} * {_T} - 4 * {_T} + 2) * {_E1}, 2) * {_C} / (2 * {_V})",
            f"(1 - (1 + 2 * {_T}) * {_E} - 2 * {_S} * {_E1}) / {_V} - datum.gs",
            f"(1 + (1 - 2 * {_T}) * {_E} - (pow(1 - {_T}, 2) + 1) * {_E1} * {_E1} * {_C}) / {_V}",
        ],
    },
}


def gaussian_variances(loc=1.0, scale=1.0, k=2.0):
    """Exact variances of one sample of five estimators, for f = (z - k)^2 or cos(kz) and z ~ N(loc, scale^2).

    Above, the variances against k, with a mark at the chosen k; below, the five at that k in numbers, the least
    marked.

    Args:
        loc: where the slider of the mean starts, in [-3, 3].
        scale: where the slider of the standard deviation starts, in [0.2, 2].
        k: where the slider of f's constant starts, in [0.1, 5].

    Returns:
        An `InteractiveFigure`.

    Example:
        >>> gaussian_variances()
        InteractiveFigure(Sliders for the mean, ...)
    """
    controls = [
        alt.param(name="mu", value=loc, bind=alt.binding_range(min=-3, max=3, step=0.1, name="mean μ ")),
        alt.param(name="sigma", value=scale, bind=alt.binding_range(min=0.2, max=2, step=0.1, name="std. dev. σ ")),
        alt.param(name="k", value=k, bind=alt.binding_range(min=0.1, max=5, step=0.1, name="constant k ")),
        alt.param(name="choice", value=_COSINE, bind=alt.binding_radio(options=[_QUADRATIC, _COSINE], name="f(z) = ")),
        alt.param(name="which", value="μ", bind=alt.binding_radio(options=["μ", "σ"], name="gradient for ")),
        alt.param(name="dawson", value=_table()),
    ]
    chart = alt.vconcat(_curves(), _numbers(), spacing=18).add_params(*controls).configure_view(stroke=None)
    description = (
        "Sliders for the mean, the standard deviation and a constant of f, choices of f and of the parameter; below "
        "them the exact variance of five gradient estimators against the constant, and a list of the five with the "
        "least marked."
    )
    return InteractiveFigure(chart, description)


def _table():
    """H(t) / t^2 at t = 0, _STEP, ..., _END and one more."""
    t = np.arange(0.0, _END + 1.5 * _STEP, _STEP)
    with np.errstate(invalid="ignore"):
        ratio = np.where(t > 0, np.sqrt(2.0) * special.dawsn(np.sqrt(2.0) * t) / t, 2.0)
    return [float(x) for x in ratio.round(6)]


def _dawson(t):
    """A Vega expression for H(t): linear in the table below _END, four terms of the asymptotic series above."""
    place = f"({t}) / {_STEP}"
    below, above = f"dawson[floor({place})]", f"dawson[floor({place}) + 1]"
    inner = f"pow({t}, 2) * ({below} + ({place} - floor({place})) * ({above} - {below}))"
    square = f"(2 * pow({t}, 2))"
    outer = f"(1 + 1 / (2 * {square}) + 3 / (4 * pow({square}, 2)) + 15 / (8 * pow({square}, 3))) / 2"
    return f"({t}) < {_END} ? {inner} : {outer}"


def _with_variances(chart):
    """One row an estimator: its name and the variance at datum.kk, mu, sigma; none where it is 0."""
    formulas = {"H_of_t": _dawson("datum.t"), "H_of_half": _dawson("datum.t / 2")}
    for name, expression in _FIELDS.items():
        chart = chart.transform_calculate(**{name: expression.format(**formulas)})
    columns = {f"v{i}": _chosen(i) for i in range(len(_NAMES))}
    chart = chart.transform_calculate(**columns).transform_fold(list(columns), as_=["column", "raw"])
    names = "[" + ", ".join(f"'{name}'" for name in _NAMES) + "]"
    return chart.transform_calculate(
        estimator=f"{names}[toNumber(slice(datum.column, 1))]", variance="datum.raw > 1e-9 ? datum.raw : 0"
    )


def _chosen(i):
    """The variance of the i-th estimator for the chosen f and parameter."""
    by_parameter = [f"(which == 'μ' ? {table['μ'][i]} : {table['σ'][i]})" for table in _VARIANCES.values()]
    return f"choice == '{_QUADRATIC}' ? {by_parameter[0]} : {by_parameter[1]}"


_COLOUR = alt.Color(
    "estimator:N",
    scale=alt.Scale(domain=_NAMES, range=[COLOURS[ESTIMATOR_COLOURS[name]] for name in _NAMES]),
    legend=None,
)


def _curves():
    lines = _with_variances(alt.Chart(alt.sequence(0.1, 5.01, 0.05, as_="kk"))).transform_filter(
        "datum.variance > 1e-4"
    )
    x = alt.X("kk:Q", title="constant k of f", scale=alt.Scale(domain=[0, 5]))
    scale, axis = alt.Scale(type="log", nice=True), alt.Axis(format="~g", tickCount=6)
    lines = lines.mark_line(strokeWidth=2, clip=True).encode(
        x, alt.Y("variance:Q", title="variance of one sample", scale=scale, axis=axis), _COLOUR
    )
    here = alt.Chart(alt.sequence(0, 1, 1, as_="one")).transform_calculate(kk="k")
    here = here.mark_rule(color=COLOURS["black"], strokeDash=[4, 3]).encode(alt.X("kk:Q"))
    return (lines + here).properties(width=_WIDTH, height=210, title="exact variances, dashed: the chosen k")


def _numbers():
    rows = _with_variances(alt.Chart(alt.sequence(0, 1, 1, as_="one")).transform_calculate(kk="k"))
    rows = rows.transform_joinaggregate(least="min(variance)").transform_calculate(
        best="datum.variance <= datum.least * 1.0000001",
        text="datum.estimator + ': ' + (datum.variance == 0 ? '0' : format(datum.variance, '.3~g'))"
        " + (datum.best ? '  ← least' : '')",
    )
    y = alt.Y("estimator:N", title=None, sort=_NAMES, axis=None)
    squares = rows.mark_point(shape="square", filled=True, size=90, opacity=1).encode(y, _COLOUR, x=alt.value(6))
    words = rows.mark_text(align="left", fontSize=12).encode(y, alt.Text("text:N"), x=alt.value(18))
    return (squares + words).properties(width=_WIDTH, height=100, title="at the chosen k")
