"""Lighthouse on the longest chapter: a phone on a slow line (its default, simulated), the median of three runs.

Run it alone: what else the machine does is measured with it.

The server compresses text, as hosts of static sites do (`serving.py`).
"""

import json
import os
import statistics
import subprocess

import pytest
from browsing import chromium, pages_of
from install_lighthouse import PROGRAM, node_program

RUNS, CATEGORIES = 3, ("performance", "accessibility")
# Without PaintHolding: a browser without a screen now and then holds its first picture back for a second.
FLAGS = "--headless=new --no-sandbox --disable-features=PaintHolding"
COSTS = (
    "first-contentful-paint",
    "largest-contentful-paint",
    "total-blocking-time",
    "cumulative-layout-shift",
    "speed-index",
)


def run(address):
    """One report of Lighthouse."""
    assert PROGRAM.exists(), f"expected Lighthouse in {PROGRAM}: run tests/browser/install_lighthouse.py"
    command = [node_program(), PROGRAM, address, "--output=json", "--quiet", f"--chrome-flags={FLAGS}"]
    command += [f"--only-categories={','.join(CATEGORIES)}", "--no-enable-error-reporting"]
    environment = {**os.environ, "CHROME_PATH": chromium()}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def scores(reports):
    """The median of each category's score."""
    return {name: statistics.median(report["categories"][name]["score"] for report in reports) for name in CATEGORIES}


def costs(report):
    """What a report says a reader waits for, and what it objects to."""
    audits = report["audits"]
    waits = [f"{name}: {audits[name]['displayValue']}" for name in COSTS]
    wrong = {audit["id"] for audit in report["categories"]["accessibility"]["auditRefs"] if audit["weight"]}
    return waits + [audits[name]["title"] for name in sorted(wrong) if audits[name]["score"] == 0]


def test_the_longest_chapter_is_quick_and_accessible(site, address):
    longest = max(
        (page for page in pages_of(site) if page.startswith("chapters/")), key=lambda page: (site / page).stat().st_size
    )
    reports = [run(address + longest) for _ in range(RUNS)]
    found = scores(reports)
    explanation = f"{longest}: {found}; {costs(reports[0])}"
    print(explanation)
    assert found["performance"] >= 0.9, explanation
    assert found["accessibility"] == 1, explanation


@pytest.mark.parametrize(
    ("category", "body"),
    [
        ("accessibility", "<input type='range'>"),
        ("performance", "<p id='late'></p><script>for (const end = Date.now() + 3000; Date.now() < end;);</script>"),
    ],
)
def test_planted_weakness_is_found(planted, category, body):
    report = run(planted(body) + "page.html")
    assert report["categories"][category]["score"] < (1 if category == "accessibility" else 0.9), costs(report)
