"""Figures show themselves, the same bytes each time, and touch nothing global."""

import subprocess
import sys

import altair as alt
import matplotlib
import pytest

from companion.plotting import InteractiveFigure, StaticFigure, glue
from companion.plotting.figure import new_axes


def drawing():
    figure, axes = new_axes(columns=2, sharey=True)
    axes[0].plot([0, 1], [1, 2])
    axes[0].set_title("left")
    return StaticFigure(figure)


def test_a_static_figure_is_the_same_png_each_time():
    first, second = (drawing()._repr_mimebundle_() for _ in range(2))
    assert first["image/png"].startswith(b"\x89PNG")
    assert first == second
    assert first["text/plain"] == "StaticFigure(left)"


def test_a_static_figure_can_be_saved(tmp_path):
    drawing().save(tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_the_style_does_not_leak():
    before = dict(matplotlib.rcParams)
    drawing()
    assert dict(matplotlib.rcParams) == before


def test_an_interactive_figure_is_the_same_html_each_time(tmp_path):
    def slider():
        chart = alt.Chart(alt.Data(values=[{"x": 1}])).mark_point().encode(x="x:Q")
        return InteractiveFigure(chart.add_params(alt.param(name="mu", value=0)), "A point.")

    first, second = (slider()._repr_mimebundle_() for _ in range(2))
    assert first == second
    assert "vega" in first["text/html"]
    assert first["text/plain"] == "InteractiveFigure(A point.)"
    slider().save(tmp_path / "figure.json")
    assert '"description": "A point."' in (tmp_path / "figure.json").read_text()


@pytest.mark.parametrize(("value", "stored"), [(1234.5678, "1.23e+03"), (0.123456, "0.123"), ("text", "text")])
def test_glue_stores_rounded_text(value, stored, monkeypatch):
    shown = []
    monkeypatch.setattr("companion.plotting.prose.display", lambda *a, **k: shown.append((a, k)))
    glue("name", value)
    ((bundle,), options) = shown[0]
    assert bundle == {"application/papermill.record/text/plain": stored}
    assert options["metadata"]["scrapbook"]["name"] == "name"


def test_importing_companion_loads_no_figures_and_no_data():
    code = "import sys, companion; print(sorted({'matplotlib', 'altair', 'sklearn', 'IPython'} & set(sys.modules)))"
    before = "import sys, tensorflow, tensorflow_probability; " + code.split("companion; ")[1]
    runs = [
        subprocess.run([sys.executable, "-c", c], capture_output=True, text=True, check=True).stdout
        for c in (before, code)
    ]
    assert runs[0] == runs[1], "import companion loads more than TensorFlow and TFP do"
