"""Mutation tests of the estimators and bounds: small faults are planted one at a time, and the tests must notice each.

Run it with `make mutants`, which makes its environment. cosmic-ray makes the mutants. Its own loop starts a process
for each and would spend most of its time importing TensorFlow; here one process imports it once, runs nothing
in it, and forks for every mutant. Each worker has a copy of the tree, so the tree itself is never touched.

A mutant meets the tests that ran its statement when nothing was mutated, quickest first. It is killed if one fails,
or if they take far longer than they did. `mutants.toml` beside this file explains those that no test can kill,
and they are not tried; any other survivor is a failure. Not mutated are strings, annotations, docstrings and imports.
"""

import argparse
import ast
import difflib
import functools
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"companion/gradients": "tests/test_gradients*.py", "companion/bounds": "tests/test_bounds*.py"}
EXPLAINED = "tests/mutants.toml"
# These find the places of their own errors by text.
PLANTED = [f"tests/test_{name}_mutations.py::test_every_planted_error_is_found" for name in ("gradients", "bounds")]
TESTS = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *(f"--deselect={test}" for test in PLANTED)]
REWRITTEN = "__autograph_generated_file"  # holds functions of the package as AutoGraph rewrote them for a graph
MEMORY = 8 * 2**30  # bytes for one fork: a fault can make a shape of a number
FAILED = {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR}
PASSED = {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}

COSMIC_RAY = (
    *(
        f"ReplaceBinaryOperator_{swap}"
        for swap in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "FloorDiv_Mul")
    ),
    *(f"ReplaceComparisonOperator_{swap}" for swap in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")),
    *(f"ReplaceComparisonOperator_{swap}" for swap in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt")),
    *(f"ReplaceUnaryOperator_Delete_{sign}" for sign in ("USub", "Not", "Invert")),
    *("AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
    *("NumberReplacer", "ZeroIterationForLoop", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    "RemoveDecorator",
)


class Unwrap:
    """tf.stop_gradient(x) -> (x), tf.sqrt(x) -> (x), _validation.finite("f", x) -> (x)."""

    def mutation_positions(self, node):
        if self._content(node) is not None:
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        import parso

        return parso.parse(f"{node.get_first_leaf().prefix}({self._content(node).get_code().strip()})")

    def _content(self, node):
        if not _is_call(node) or len(node.children[-1].children) != 3:
            return None
        module, given = node.children[0].get_code().strip(), node.children[-1].children[1]
        if module in {"tf", "np", "math"}:
            return None if given.type in {"arglist", "argument"} else given
        if module == "_validation" and given.type == "arglist" and "message" not in node.get_code():
            return given.children[2]
        return None


class DeleteCall:
    """A call that is a statement, such as a check -> pass."""

    def mutation_positions(self, node):
        if node.type == "simple_stmt" and _is_call(node.children[0]):
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        import parso

        node.children[0] = parso.parse(f"{node.get_first_leaf().prefix}pass")
        return node


def _is_call(node):
    return node.type == "atom_expr" and node.children[-1].type == "trailer" and node.children[-1].children[0] == "("


class Mutant(NamedTuple):
    """One fault: the file and line, the line or lines without and with it, and the whole source with it."""

    path: str
    line: int
    was: str
    now: str
    source: str

    def __str__(self):
        return f"{self.path}:{self.line}\n    - {self.was}\n    + {self.now}"

    @property
    def key(self):
        """What stays when lines move or spaces change."""
        return self.path, *("".join(line.split()) for line in (self.was, self.now))


def mutants_of(path, source):
    """All mutants of a file, in the order of its lines."""
    import parso
    from cosmic_ray.ast import ast_nodes
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.operators.provider import OperatorProvider

    provided = OperatorProvider()
    found = {}
    for operator in (*(provided[name]() for name in COSMIC_RAY), Unwrap(), DeleteCall()):
        positions = [p for node in ast_nodes(parso.parse(source)) for p in operator.mutation_positions(node)]
        step = 2 if type(operator).__name__ == "NumberReplacer" else 1  # n + 1 stands for n - 1 too
        for occurrence in range(0, len(positions), step):
            mutated = mutate_code(source, operator, occurrence)
            meaning = _meaning(mutated)
            if meaning not in {None, _meaning(source)}:
                was, now = _changed_lines(source, mutated)
                found.setdefault(meaning, Mutant(path, positions[occurrence][0][0], was, now, mutated))
    return sorted(found.values(), key=lambda m: (m.line, m.now))


def _meaning(source):
    """What two sources have in common that do the same; None if a source is none."""
    try:
        return ast.dump(_WithoutNot().visit(ast.parse(source)))
    except SyntaxError:  # {**a} -> {/ a}
        return None


_OPPOSITES = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is}


class _WithoutNot(ast.NodeTransformer):
    """not a == b -> a != b, not not a -> a."""

    def visit_UnaryOp(self, node):
        inner = self.generic_visit(node).operand
        if not isinstance(node.op, ast.Not):
            return node
        if isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.Not):
            return inner.operand
        if isinstance(inner, ast.Compare) and len(inner.ops) == 1 and type(inner.ops[0]) in _OPPOSITES:
            return ast.Compare(inner.left, [_OPPOSITES[type(inner.ops[0])]()], inner.comparators)
        return node


def _changed_lines(source, mutated):
    changes = [line for line in difflib.ndiff(source.splitlines(), mutated.splitlines()) if line[0] in "-+"]
    return tuple(" ".join(line[2:].strip() for line in changes if line[0] == side) for side in "-+")


def statement_lines(source, line):
    """The lines of the innermost statement around a line; of a compound one only its head."""
    around = [s for s in ast.walk(ast.parse(source)) if isinstance(s, ast.stmt) and s.lineno <= line <= s.end_lineno]
    if not around:
        return {line}
    innermost = max(around, key=lambda s: (s.lineno, -s.end_lineno))
    body = getattr(innermost, "body", None)
    return {line, *range(innermost.lineno, body[0].lineno if body else innermost.end_lineno + 1)}


class Recorder:
    """A pytest plugin: of one in `shares` tests, which lines of the package it runs, and how long it takes."""

    def __init__(self, share, shares):
        import coverage

        self.share, self.shares = share, shares
        included = [*(f"{package}/*" for package in PACKAGES), f"*{REWRITTEN}*"]
        self.coverage = coverage.Coverage(data_file=None, config_file=False, include=included)
        self.seconds = {}

    def pytest_collection_modifyitems(self, items):
        items[:] = items[self.share :: self.shares]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item, nextitem):
        self.coverage.switch_context(item.nodeid)
        start = time.perf_counter()
        result = yield
        self.seconds[item.nodeid] = time.perf_counter() - start
        self.coverage.switch_context("")
        return result

    def lines(self):
        """A mapping of files to mappings of lines to the tests that ran them; the test "" is the import."""
        data = self.coverage.get_data()
        return {os.path.relpath(file): data.contexts_by_lineno(file) for file in data.measured_files()}


class Chosen:
    """A pytest plugin: these tests alone, in this order."""

    def __init__(self, names):
        self.rank = {name: rank for rank, name in enumerate(names)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        items[:] = sorted((i for i in items if i.nodeid in self.rank), key=lambda i: self.rank[i.nodeid])

    def pytest_runtest_logreport(self, report):
        if report.failed:
            Path("killer.txt").write_text(report.nodeid)  # the first, for the tests end with it


def copy_tree(source, folder):
    """What the tests need, in a folder of its own."""
    for name in ("companion", "tests"):
        shutil.copytree(source / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "pyproject.toml", folder)
    return folder


def warm_up():
    """Imports what every test imports, and runs no operation: before its first, TensorFlow can be forked."""
    for module in ("tensorflow", "keras", "scipy.stats", "hypothesis.strategies", "xdist", "nbval"):
        importlib.import_module(module)
    from tensorflow_probability import distributions

    assert distributions.Normal  # TFP is lazy


def in_forks(jobs, folders):
    """Runs jobs (key, function, seconds allowed) in folders; yields (key, folder, status) as they end.

    The status is the function's result, None if its time ran out, or the negative number of a signal.
    """
    jobs, free, running = iter(jobs), list(folders), {}
    try:
        while True:
            while free and (job := next(jobs, None)):
                key, function, allowed = job
                folder = free.pop()
                running[_fork(function, folder)] = (key, folder, time.monotonic() + allowed)
            if not running:
                return
            time.sleep(0.02)
            for pid, (key, folder, deadline) in list(running.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if not ended and time.monotonic() > deadline:
                    os.killpg(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                elif not ended:
                    continue
                del running[pid]
                free.append(folder)
                yield key, folder, os.waitstatus_to_exitcode(status) if ended else None
    finally:
        for pid in running:
            os.killpg(pid, signal.SIGKILL)


def _fork(function, folder):
    pid = os.fork()
    if pid:
        os.setpgid(pid, pid)
        return pid
    status = 99
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.chdir(folder)
        sys.path[0] = tempfile.tempdir = str(folder)
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = int(function())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def record(modules, share, shares):
    """In a fork: a share of the tests without a mutant."""
    recorder = Recorder(share, shares)
    recorder.coverage.start()
    status = pytest.main([*TESTS, *modules], plugins=[recorder])
    recorder.coverage.stop()
    Path("record.json").write_text(json.dumps({"seconds": recorder.seconds, "lines": recorder.lines()}))
    return status


def record_all(packages, tree, folders):
    """The seconds of every test of some packages, and for each of their files the tests of each line."""
    seconds, lines = {}, {}
    tests = [path for package in packages for path in sorted(tree.glob(PACKAGES[package]))]
    modules = [*(path.relative_to(tree).as_posix() for path in tests), *packages]
    shares = len(folders)
    jobs = [(share, functools.partial(record, modules, share, shares), 1800.0) for share in range(shares)]
    for _, folder, status in in_forks(jobs, folders):
        if status != 0:
            raise SystemExit(f"{(folder / 'output.txt').read_text()}\nthe tests fail without a mutant ({status})")
        recorded = json.loads((folder / "record.json").read_text())
        seconds |= recorded["seconds"]
        for path, tests_of_line in recorded["lines"].items():
            for line, tests in tests_of_line.items():
                lines.setdefault(path, {}).setdefault(int(line), set()).update(tests)
    return seconds, lines


def choose(mutant, original, lines):
    """Two sets: the tests that ran the mutated statement, and those that may have, in a form of AutoGraph's.

    For what runs at import, the first are all tests that enter the file.
    """
    tests_of_line = lines.get(mutant.path, {})
    tests = set().union(*(tests_of_line.get(line, ()) for line in statement_lines(original, mutant.line)))
    if "" in tests:
        tests = set().union(*tests_of_line.values())
    hidden = set().union(*(tests for path in lines if REWRITTEN in path for tests in lines[path].values()))
    return tests - {""}, hidden - tests - {""}


def judge(mutant, tests, tree):
    """In a fork: the chosen tests on a mutant, alone in the folder."""
    for package in PACKAGES:
        shutil.rmtree(package)  # and the bytecode, which may be of the same second and length
        shutil.copytree(tree / package, package)
    Path(mutant.path).write_text(mutant.source)
    Path("killer.txt").write_text("")
    modules = sorted({test.partition("::")[0] for test in tests})
    return pytest.main([*TESTS, *modules], plugins=[Chosen(tests)])


def outcomes(mutants, tree, folders):
    """Yields each mutant with its outcome: "killed", "killed by time", "killed by a crash" or "survived"."""
    seconds, lines = record_all(sorted({str(Path(mutant.path).parent) for mutant in mutants}), tree, folders)
    print(f"{len(seconds)} tests pass without a mutant, in {sum(seconds.values()):.0f} s", flush=True)
    kills = Counter()

    def jobs():
        for mutant in mutants:
            chosen = choose(mutant, (tree / mutant.path).read_text(), lines)
            tests = [t for part in chosen for t in sorted(part, key=lambda test: seconds[test] / (1 + kills[test]))]
            yield mutant, functools.partial(judge, mutant, tests, tree), 60.0 + 5.0 * sum(map(seconds.get, tests))

    for mutant, folder, status in in_forks(jobs(), folders):
        if status in FAILED:
            kills[(folder / "killer.txt").read_text()] += 1
            yield mutant, "killed"
        elif status is None or status < 0:
            yield mutant, "killed by time" if status is None else "killed by a crash"
        elif status in PASSED:
            yield mutant, "survived"
        else:
            raise SystemExit(f"{(folder / 'output.txt').read_text()}\n{mutant}\nthe tests did not run ({status})")


def read_explained(tree):
    """A mapping of the keys of mutants to why no test can tell them from the package."""
    entries = tomllib.loads((tree / EXPLAINED).read_text())["mutant"]
    return {
        Mutant(f"companion/{entry['file']}", 0, entry["was"], entry["now"], "").key: entry["why"] for entry in entries
    }


def table(outcome):
    """The score, file by file and in all."""
    rows = {path: Counter(o for m, o in outcome.items() if m.path == path) for path in {m.path: None for m in outcome}}
    rows["in all"] = sum(rows.values(), Counter())
    yield f"{'':45}{'mutants':>9}{'killed':>9}{'explained':>11}{'survived':>10}"
    for name, n in rows.items():
        explained, survived = n["explained"], n["survived"]
        yield f"{name:45}{n.total():9}{n.total() - explained - survived:9}{explained:11}{survived:10}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="files of the package; all of them if none is named")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no fork outlives this process
    os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", OMP_NUM_THREADS="1")
    warm_up()
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        tree = copy_tree(ROOT, Path(scratch) / "tree")
        folders = [copy_tree(tree, Path(scratch) / f"worker{n}") for n in range(options.workers)]
        paths = [path for package in PACKAGES for path in sorted(tree.glob(f"{package}/*.py"))]
        files = options.files or [path.relative_to(tree).as_posix() for path in paths]
        mutants = [mutant for path in files for mutant in mutants_of(path, (tree / path).read_text())]
        explained = read_explained(tree)
        outcome = {m: "explained" if m.key in explained else "" for m in mutants}
        for mutant, result in outcomes([m for m in mutants if not outcome[m]], tree, folders):
            outcome[mutant] = result
            judged = sum(map(bool, outcome.values()))
            if judged % 50 == 0:
                print(f"{judged} of {len(mutants)} mutants judged", flush=True)
            if result != "killed":
                print(f"{result}: {mutant}", flush=True)
    stale = {k for k in explained if k[0] in files} - {m.key for m in mutants}
    print(*(f"{EXPLAINED} explains what is no mutant: {k}" for k in stale), *table(outcome), sep="\n")
    return bool(stale) or "survived" in outcome.values()


if __name__ == "__main__":
    sys.exit(main())
