"""The workflows: what they may do, and that what they name exists.

Each rule is a function from the texts of workflows to a list of problems. It is run on the repository's, where it must
find nothing, and on a planted error, which it must find. What a linter knows better, linters say.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = {path.name: path.read_text() for path in sorted((GITHUB / "workflows").glob("*.yml"))}
MAKEFILE = (ROOT / "Makefile").read_text()
PYTHONS = {
    line.split()[-1]
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    if re.search(r":: 3\.\d+$", line)
}

PINNED = re.compile(r"actions/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")
TOKENS = {"pages": "write", "contents": "write", "issues": "write", "actions": "read"}


def jobs(texts):
    """The name, the place and the content of every job."""
    for file, text in texts.items():
        for name, job in yaml.safe_load(text)["jobs"].items():
            yield name, f"{file}, job {name}", job


def steps(texts):
    """The place and the content of every step."""
    for _, place, job in jobs(texts):
        for step in job.get("steps", []):
            yield place, step


def commands(texts):
    """The place and the text of every step that is run by a shell."""
    for place, step in steps(texts):
        if "run" in step:
            yield place, step["run"]


def unpinned_actions(texts):
    """Actions that are not GitHub's own, or not pinned by digest beside a version, or pinned in two ways."""
    used = [
        (file, line.split("uses:", 1)[1].strip())
        for file, text in texts.items()
        for line in text.splitlines()
        if re.match(r"\s*(- )?uses:", line) and "uses: ./" not in line
    ]
    problems = [
        f"{file}: {action} is not a pinned action of GitHub's own"
        for file, action in used
        if not PINNED.fullmatch(action)
    ]
    pins = {action.split("@")[0]: set() for _, action in used}
    for _, action in used:
        pins[action.split("@")[0]].add(action)
    return problems + [f"{name} is pinned in {len(found)} ways" for name, found in pins.items() if len(found) > 1]


def generous_permissions(texts):
    """Permissions that are not given job by job, or are more than a job can need."""
    problems = [
        f"{file}: permissions at the top are not empty"
        for file, text in texts.items()
        if yaml.safe_load(text).get("permissions") != {}
    ]
    for _, place, job in jobs(texts):
        given = job.get("permissions")
        if not isinstance(given, dict):
            problems.append(f"{place} does not list its permissions")
            continue
        problems += [
            f"{place} may {level} {scope}"
            for scope, level in given.items()
            if (scope, level) != ("contents", "read") and TOKENS.get(scope) != level
        ]
    return problems


def risky_writers(texts):
    """Jobs that may write, and run what others wrote: the project's dependencies."""
    risky = re.compile(r"\b(make|pip|uv|npm|curl|wget)\b|\.venv/|\.ci/run|book/build\.py")
    return [
        f"{place} may write and runs {found.group()}"
        for _, place, job in jobs(texts)
        if "write" in job.get("permissions", {}).values()
        for step in job.get("steps", [])
        for found in [risky.search(re.sub(r'"[^"]*"', "", step.get("run", "")))]
        if found
    ]


def endless_jobs(texts):
    """Jobs without a limit of time. One that calls a workflow has the limits of that one's jobs."""
    return [
        f"{place} has no timeout" for _, place, job in jobs(texts) if "uses" not in job and "timeout-minutes" not in job
    ]


def crowding_runs(texts):
    """Workflows of which two runs could go on side by side."""
    return [
        f"{file} has no concurrency"
        for file, text in texts.items()
        if "group" not in yaml.safe_load(text).get("concurrency", {})
    ]


def lasting_credentials(texts):
    """Checkouts that leave a token in the folder in which later steps run."""
    return [
        f"{place} keeps its credentials"
        for place, step in steps(texts)
        if step.get("uses", "").startswith("actions/checkout@")
        and step.get("with", {}).get("persist-credentials") is not False
    ]


def expressions_in_commands(texts):
    """Expressions inside of a command, where a title or a branch's name could become a part of the program."""
    return [f"{place}: ${{{{ in a command: {command}" for place, command in commands(texts) if "${{" in command]


def forgiving_shells(texts):
    """Workflows in which the failure of the first program of a pipe goes unnoticed."""
    shells = {
        file: yaml.safe_load(text).get("defaults", {}).get("run", {}).get("shell") for file, text in texts.items()
    }
    problems = [
        f"{file}: the shell is not bash, and does not see a failure inside of a pipe"
        for file in texts
        if shells[file] != "bash"
    ]
    # The status of a program inside of an argument is lost; that of one assigned to a variable is not.
    hidden = re.compile(r"""^(?!\s*\w+=\$\().*\$\((?!\()""", re.MULTILINE)
    return problems + [
        f"{place}: a failure inside of an argument" for place, command in commands(texts) if hidden.search(command)
    ]


def missing_targets(texts, makefile=MAKEFILE):
    """Targets of make that the Makefile has not."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    named = [
        (place, name)
        for place, command in commands(texts)
        for name in re.findall(r"^\s*make ([a-z-]+)", command, re.MULTILINE)
    ]
    return [f"{place}: make {name}" for place, name in named if name not in targets]


def missing_files(texts):
    """Programs of the repository that are not there."""
    path = re.compile(r"(?<![\w/.-])(?:\.github|\.ci|tests|book)/[\w./-]+(?:\.py|\.sh|/run)\b")
    named = [(place, name) for place, command in commands(texts) for name in path.findall(command)]
    return [f"{place}: {name}" for place, name in named if not (ROOT / name).is_file()]


def wrong_pythons(texts):
    """Versions of Python that the package does not name, and those that it names and no job tests."""
    used = {place: set() for _, place, _ in jobs(texts)}
    for _, place, job in jobs(texts):
        matrix = job.get("strategy", {}).get("matrix", {})
        used[place] |= {*matrix.get("python", []), *(entry["python"] for entry in matrix.get("include", []))}
    for place, step in steps(texts):
        version = step.get("with", {}).get("python-version", "${{")
        used[place] |= set() if version.startswith("${{") else {version}
    problems = [f"{place}: Python {version}" for place, found in used.items() for version in sorted(found - PYTHONS)]
    tested = [found for place, found in used.items() if place == "test.yml, job everything"]
    return problems + [f"Python {version} is not tested" for found in tested for version in sorted(PYTHONS - found)]


CHECKOUT = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd  # v6.0.2"
GOOD = f"""
on: [push]
permissions: {{}}
defaults: {{run: {{shell: bash}}}}
concurrency: {{group: test}}
jobs:
  everything:
    runs-on: ubuntu-latest
    timeout-minutes: 5
    permissions: {{contents: read}}
    strategy: {{matrix: {{python: {sorted(PYTHONS)}}}}}
    steps:
      - uses: {CHECKOUT}
        with: {{persist-credentials: false}}
      - run: make test
"""

# A rule, what is good in GOOD, and the error in its place.
PLANTED = [
    (unpinned_actions, CHECKOUT, "actions/checkout@v6"),
    (unpinned_actions, CHECKOUT, CHECKOUT.split("  ")[0]),
    (unpinned_actions, CHECKOUT, CHECKOUT.replace("actions/", "somebody/")),
    (unpinned_actions, "      - run", f"      - uses: {CHECKOUT.replace('@d', '@e')}\n      - run"),
    (generous_permissions, "permissions: {}\n", ""),
    (generous_permissions, "permissions: {}\n", "permissions: {contents: read}\n"),
    (generous_permissions, "    permissions: {contents: read}\n", ""),
    (generous_permissions, "    permissions: {contents: read}\n", "    permissions: write-all\n"),
    (generous_permissions, "{contents: read}", "{packages: write}"),
    (generous_permissions, "{contents: read}", "{actions: write}"),
    (risky_writers, "{contents: read}", "{contents: write}"),
    (endless_jobs, "timeout-minutes: 5", "continue-on-error: false"),
    (crowding_runs, "concurrency: {group: test}\n", ""),
    (lasting_credentials, "with: {persist-credentials: false}", "with: {fetch-depth: 1}"),
    (lasting_credentials, "persist-credentials: false", "persist-credentials: true"),
    (expressions_in_commands, "make test", "echo ${{ github.event.issue.title }}"),
    (forgiving_shells, "defaults: {run: {shell: bash}}\n", ""),
    (forgiving_shells, "make test", 'make book SITE_URL="$(python3 address.py)"'),
    (missing_targets, "make test", "make tests"),
    (missing_files, "make test", "python3 tests/no_such_file.py"),
    (missing_files, "make test", ".ci/runs/run"),
    (wrong_pythons, "'3.11'", "'3.10'"),
    (wrong_pythons, "'3.11', ", ""),
    (wrong_pythons, "persist-credentials: false", "python-version: '3.9'"),
]


def test_there_are_workflows():
    assert set(WORKFLOWS) >= {"test.yml", "publish.yml", "release.yml", "click-path.yml", "links.yml"}
    assert len(PYTHONS) >= 3


@pytest.mark.parametrize(("rule", "good", "error"), PLANTED, ids=lambda value: getattr(value, "__name__", ""))
def test_rule_holds_and_an_error_is_found(rule, good, error):
    assert not rule(WORKFLOWS)
    assert GOOD.count(good) == 1
    assert not rule({"test.yml": GOOD})
    assert rule({"test.yml": GOOD.replace(good, error)})


# A linter, and an error that it must find in GOOD.
LINTERS = [
    (["zizmor", "--offline", "--no-progress"], "on: [push]", "on: [pull_request_target]"),
    (["check-jsonschema", "--builtin-schema", "vendor.github-workflows"], "    steps:", "    step:"),
]


@pytest.mark.parametrize(("linter", "good", "error"), LINTERS, ids=["zizmor", "check-jsonschema"])
def test_linter_is_content_and_finds_an_error(tmp_path, linter, good, error):
    def problems(*files):
        program = [Path(sys.executable).with_name(linter[0]), *linter[1:]]
        done = subprocess.run([*program, *files], check=False, capture_output=True, text=True)
        return done.stdout + done.stderr if done.returncode else ""

    assert not problems(*(GITHUB / "workflows" / name for name in WORKFLOWS))
    planted = tmp_path / ".github" / "workflows" / "planted.yml"
    planted.parent.mkdir(parents=True)
    planted.write_text(GOOD)
    assert not problems(planted)
    planted.write_text(GOOD.replace(good, error))
    assert "planted.yml" in problems(planted)
