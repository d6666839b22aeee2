"""The programs that the workflows run."""

import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / ".github" / "scripts"


def script(name):
    """One of the programs as a module."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


site_address, publish_site, report_failure, release_files, broken_links = map(
    script, ["site_address", "publish_site", "report_failure", "release_files", "broken_links"]
)


# The address


@pytest.mark.parametrize(
    ("repository", "custom", "expected"),
    [
        ("owner/course", "", "https://owner.github.io/course"),
        ("Owner-Name/Course", "", "https://owner-name.github.io/Course"),
        ("owner/owner.github.io", "", "https://owner.github.io"),
        ("Owner/Owner.GitHub.io", "", "https://owner.github.io"),
        ("owner/other.github.io", "", "https://owner.github.io/other.github.io"),
        ("owner/course", "https://course.example.org/", "https://course.example.org"),
    ],
)
def test_address_of_a_repositorys_site(repository, custom, expected):
    assert site_address.site_address(repository, custom) == expected


@pytest.mark.parametrize("repository", ["", "course", "owner/", "/course", "a/b/c"])
def test_what_is_no_repository_has_no_address(repository):
    with pytest.raises(ValueError, match="GITHUB_REPOSITORY: expected OWNER/NAME"):
        site_address.site_address(repository)


def test_the_program_prints_the_address_and_fails_without_a_repository():
    def run(environment):
        command = [sys.executable, SCRIPTS / "site_address.py"]
        return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)

    assert run({"GITHUB_REPOSITORY": "Owner/course", "CUSTOM_ADDRESS": ""}).stdout == "https://owner.github.io/course\n"
    assert run({}).returncode != 0


# Publishing


@pytest.fixture
def site(tmp_path):
    """A small site, with what git might leave out."""
    folder = tmp_path / "site"
    for name in (
        "index.html",
        ".nojekyll",
        "colab/trick.ipynb",
        "dist/a.whl",
        "_static/x.css",
        "node_modules/.gitignore",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("*\n" if name.endswith(".gitignore") else name)
    return folder


@pytest.fixture
def remote(tmp_path):
    """A repository to push to."""
    folder = tmp_path / "remote"
    subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)
    return folder


def git(folder, *arguments):
    return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_branch_holds_the_site_and_nothing_before_it(site, remote):
    publish_site.publish(site, str(remote), "https://owner.github.io/course", "abc")
    (site / "_static" / "x.css").rename(site / "_static" / "y.css")
    publish_site.publish(site, str(remote), "https://owner.github.io/course", "def")
    assert git(remote, "ls-tree", "-r", "--name-only", "gh-pages").splitlines() == files_of(site)
    assert git(remote, "log", "--format=%s", "gh-pages") == "Publish the site of def\n"
    assert git(remote, "show", "gh-pages:_static/y.css") == "_static/x.css"
    assert not (site / ".git").exists()


def test_wheels_of_the_last_publications_stay(site, remote, monkeypatch):
    monkeypatch.setattr(publish_site, "KEPT", 2)

    def publish(wheel):
        for name in ("wheels.txt", "a.whl", "b.whl", "c.whl"):
            (site / "dist" / name).unlink(missing_ok=True)  # each build starts anew
        (site / "dist" / wheel).write_text(f"new {wheel}")
        publish_site.publish(site, str(remote), "https://owner.github.io/course", "abc")
        listed = git(remote, "show", "gh-pages:dist/wheels.txt").splitlines()
        there = git(remote, "ls-tree", "--name-only", "gh-pages", "dist/").splitlines()
        assert there == sorted([*(f"dist/{name}" for name in listed), "dist/wheels.txt"])
        assert git(remote, "rev-list", "--count", "gh-pages") == "1\n"
        return listed

    assert publish("b.whl") == ["b.whl"]
    assert publish("a.whl") == ["b.whl", "a.whl"]
    assert publish("b.whl") == ["a.whl", "b.whl"]
    assert publish("c.whl") == ["b.whl", "c.whl"]
    assert git(remote, "show", "gh-pages:dist/b.whl") == "new b.whl"


def test_a_branch_that_lists_no_wheels_is_replaced(site, remote):
    publish_site.publish(site, str(remote), "https://owner.github.io/course", "abc")
    git(site, "clone", "--quiet", "--branch=gh-pages", remote, "other")
    git(site / "other", "rm", "--quiet", "dist/wheels.txt")
    git(site / "other", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message=By hand")
    git(site / "other", "push", "--quiet")
    shutil.rmtree(site / "other")
    publish_site.publish(site, str(remote), "https://owner.github.io/course", "def")
    assert git(remote, "show", "gh-pages:dist/wheels.txt") == "a.whl\n"


def test_a_domain_of_ones_own_is_kept(site, remote):
    publish_site.publish(site, str(remote), "https://course.example.org", "abc")
    assert git(remote, "show", "gh-pages:CNAME") == "course.example.org\n"
    assert publish_site.custom_domain("https://owner.github.io/course") is None


@pytest.mark.parametrize("name", ["index.html", ".nojekyll", "colab/trick.ipynb", "dist/a.whl"])
def test_half_a_site_is_not_published(site, remote, name):
    (site / name).unlink()
    if "/" in name:
        (site / name).parent.rmdir()
    with pytest.raises(ValueError, match="FOLDER: expected a built site, got site without"):
        publish_site.publish(site, str(remote), "https://owner.github.io/course", "abc")
    assert git(remote, "branch", "--list") == ""


def test_a_failed_push_is_an_error(site, tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        publish_site.publish(site, str(tmp_path / "nowhere"), "https://owner.github.io/course", "abc")


def test_the_token_reaches_git_for_its_host_alone():
    settings = publish_site.credentials("secret", "https://github.com/owner/course")

    def header(address):
        command = ["git", "config", "--get-urlmatch", "http.extraheader", address]
        return subprocess.run(command, env=settings | {"HOME": "/"}, check=False, capture_output=True, text=True).stdout

    assert header("https://github.com/owner/course") == "Authorization: Basic eC1hY2Nlc3MtdG9rZW46c2VjcmV0\n"
    assert header("https://example.org/owner/course") == ""
    assert publish_site.credentials("", "https://github.com/owner/course") == {}


# Issues

RUN = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7"}


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([], ["issue", "create", "--title", "It broke"]),
        ([{"number": 3, "title": "It broke badly"}], ["issue", "create", "--title", "It broke"]),
        ([{"number": 5, "title": "It broke"}, {"number": 4, "title": "It broke"}], ["issue", "comment", "4"]),
    ],
)
def test_one_issue_for_one_failure(monkeypatch, listed, expected):
    calls = []

    def gh(*arguments):
        calls.append(list(arguments))
        return json.dumps(listed) if arguments[:2] == ("issue", "list") else ""

    monkeypatch.setattr(report_failure, "gh", gh)
    report_failure.report("It broke", "Do this.", RUN)
    assert [call[:2] for call in calls] == [["issue", "list"], expected[:2]]
    assert calls[1][: len(expected)] == expected
    body = calls[1][calls[1].index("--body") + 1]
    assert body == "The check failed: https://github.com/o/r/actions/runs/7\n\nDo this."


def test_gh_is_called_and_its_failure_is_an_error(monkeypatch, tmp_path):
    program = tmp_path / "gh"
    program.write_text('#!/bin/sh\n[ "$1" = fail ] && exit 3\necho "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert report_failure.gh("issue", "a title; true") == "issue a title; true\n"
    with pytest.raises(subprocess.CalledProcessError):
        report_failure.gh("fail")


# Releases


def test_the_tag_is_the_version():
    release_files.require_version("v1.2.0", "1.2.0")
    for tag in ("1.2.0", "v1.2", "v1.2.0rc1"):
        with pytest.raises(ValueError, match=r"TAG: expected v1\.2\.0"):
            release_files.require_version(tag, "1.2.0")


CHANGELOG = """# Changelog

## Unreleased

## 1.10.0

Later.

## 1.1.0 (2026-11-24)

### Added

- A thing.

## 1.0.0
"""


def test_notes_are_the_section_of_the_version():
    assert release_files.notes(CHANGELOG, "1.1.0") == "### Added\n\n- A thing.\n"
    assert release_files.notes(CHANGELOG, "1.10.0") == "Later.\n"
    for version in ("1.0.0", "1.1", "2.0.0"):
        with pytest.raises(ValueError, match=r"CHANGELOG\.md: expected a section"):
            release_files.notes(CHANGELOG, version)


def test_an_archive_depends_on_names_and_contents_alone(site, tmp_path):
    release_files.archive(site, tmp_path / "a.tar.gz", "site-1", 1_700_000_000)
    (site / "index.html").chmod(0o600)
    (site / "index.html").touch()
    release_files.archive(site, tmp_path / "b.tar.gz", "site-1", 1_700_000_000)
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        assert tar.getnames() == [f"site-1/{name}" for name in files_of(site)]
        assert tar.extractfile("site-1/index.html").read() == b"index.html"
    (site / "index.html").write_text("changed")
    release_files.archive(site, tmp_path / "c.tar.gz", "site-1", 1_700_000_000)
    assert (tmp_path / "a.tar.gz").read_bytes() != (tmp_path / "c.tar.gz").read_bytes()


def test_checksums_are_those_that_sha256sum_reads(tmp_path):
    (tmp_path / "a.whl").write_text("one")
    (tmp_path / "b.tar.gz").write_text("two")
    (tmp_path / "SHA256SUMS").write_text(release_files.checksums(tmp_path))
    (tmp_path / "SHA256SUMS").write_text(release_files.checksums(tmp_path))
    check = ["sha256sum", "--check", "SHA256SUMS"]
    assert (
        subprocess.run(check, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        == "a.whl: OK\nb.tar.gz: OK\n"
    )
    (tmp_path / "a.whl").write_text("other")
    assert subprocess.run(check, cwd=tmp_path, check=False, capture_output=True).returncode == 1


# Links


def link(status, info, uri="https://example.org"):
    return json.dumps({"filename": "trick.md", "lineno": 1, "status": status, "code": 0, "uri": uri, "info": info})


@pytest.mark.parametrize(
    ("info", "dead"),
    [
        ("404 Client Error: Not Found for url: https://example.org", True),
        ("410 Client Error: Gone for url: https://example.org", True),
        ("HTTPSConnectionPool(...): Failed to resolve 'example.org' ([Errno -2] Name or service not known)", True),
        ("403 Client Error: Forbidden for url: https://example.org/404 ", False),
        ("429 Client Error: Too Many Requests", False),
        ("503 Server Error: Service Unavailable", False),
        ("timed out", False),
    ],
)
def test_a_link_is_dead_only_if_the_page_is_gone(tmp_path, capsys, info, dead):
    lines = [
        link("working", ""),
        link("redirected", "https://example.org/b"),
        link("broken", info),
        link("unchecked", ""),
    ]
    expected = [f"https://example.org in trick.md: {info}"]
    assert broken_links.sort_out([*lines, lines[2], ""]) == ((expected, []) if dead else ([], expected))
    (tmp_path / "output.json").write_text("\n".join(lines))
    assert broken_links.main(tmp_path / "output.json") == (1 if dead else 0)
    assert f"- {expected[0]}" in capsys.readouterr().out


def test_nothing_checked_is_no_success(tmp_path):
    (tmp_path / "output.json").write_text("")
    with pytest.raises(ValueError, match="expected the results of at least one link"):
        broken_links.main(tmp_path / "output.json")
