"""`python -m companion`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from companion import __main__ as program
from companion import _about, _self_check

ROOT = Path(__file__).resolve().parents[1]


def test_the_program_passes():
    done = subprocess.run([sys.executable, "-m", "companion"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == f"all {len(_self_check.CHECKS)} checks passed"
    shown = [line for line in lines if re.search(r"  \d+\.\d s  ok$", line)]
    assert [line.split("  ")[0] for line in shown] == list(_self_check.CHECKS)


def test_versions_check_nothing(capsys):
    assert program.main(["--versions"], {"never run": pytest.fail}) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(shown) == ["companion", "book", "Python", "TensorFlow", "TFP", "Keras", "NumPy", "devices"]
    assert shown["companion"] == _about.__version__
    assert shown["Keras"].endswith("backend tensorflow")
    assert "CPU:0" in shown["devices"]


@pytest.mark.parametrize(("address", "expected"), [(None, program.HOW_TO_BUILD), ("https://a.github.io/b",) * 2])
def test_the_book_is_named(monkeypatch, address, expected):
    monkeypatch.setattr(_about, "BOOK_URL", address)
    assert program.versions()["book"] == expected


def test_a_failure_is_told_and_is_the_exit_status(capsys):
    def wrong():
        raise _self_check.Mismatch("the sum is 2, expected 1")

    assert program.main([], {"a sum": wrong, "nothing": lambda: None}) == 1
    *_, first, second, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"a sum +0\.0 s  FAILED: the sum is 2, expected 1", first)
    assert re.fullmatch(r"nothing +0\.0 s  ok", second)
    assert last == "1 of 2 checks failed"


def test_unknown_arguments_are_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        program.main(["--fast"])
    assert stopped.value.code == 2
    assert "python -m companion" in capsys.readouterr().err
