"""The steps of the workflows that publish, run one after the other in a copy of the repository.

`make` and `gh` are played by small programs: the first makes a site, the second keeps what it is given.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from companion import _about

ROOT = Path(__file__).resolve().parents[1]
NEEDED = (
    ".github",
    "companion",
    "book/published_wheel.py",
    "book/notebooks.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
)

MAKE = """#!/bin/sh
site=book/_build/html
mkdir -p $site/colab $site/dist
echo "$@" > $site/index.html
touch $site/.nojekyll $site/colab/trick.ipynb $site/dist/a.whl
"""

# `gh run download 7 --name NAME --dir FOLDER` takes what the job before left; of the rest the words are kept, a call a
# line. A release is there once it has been created.
GH = """#!/bin/sh
[ "$1 $2 $3 $4" = "run download 7 --name" ] && { cp -r "artifact/$5" "$7"; exit; }
[ "$1 $2" = "release view" ] && { grep --quiet "^release create $3 " said; exit; }
echo "$*" >> said
"""


def program(path, text):
    """Write a program that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def repository(tmp_path):
    """A copy of the repository's files, with one commit, and the two programs."""
    folder = tmp_path / "repository"
    for name in NEEDED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target)
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## {_about.__version__}\n\nFirst.\n")
    program(folder / "bin" / "make", MAKE)
    program(folder / "bin" / "gh", GH)
    program(folder / ".venv" / "bin" / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "--message", "One"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def run(folder, workflow, job, **environment):
    """Run a job's commands as GitHub's runner does, and keep what it uploads."""
    content = yaml.safe_load((folder / ".github" / "workflows" / workflow).read_text())["jobs"][job]
    given = {name: value for name, value in content.get("env", {}).items() if "${{" not in value}
    settings = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "GITHUB_RUN_ID": "7",
        **given,
        **environment,
    }
    for step in content["steps"]:
        if "run" in step:
            subprocess.run(["bash", "-eo", "pipefail", "-c", step["run"]], cwd=folder, env=settings, check=True)
        elif step["uses"].startswith("actions/upload-artifact@"):
            source, kept = folder / step["with"]["path"], folder / "artifact" / step["with"]["name"]
            kept.mkdir(parents=True)
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, kept, **({"dirs_exist_ok": True} if source.is_dir() else {}))
            # The next job starts without what this one made.
            shutil.rmtree(source) if source.is_dir() else source.unlink()


def test_a_push_to_main_publishes_the_site(repository, tmp_path):
    server = tmp_path / "server"
    subprocess.run(["git", "init", "--quiet", "--bare", server / "Owner" / "course"], check=True)
    given = {"GITHUB_REPOSITORY": "Owner/course", "GITHUB_SERVER_URL": str(server), "GITHUB_SHA": "abc"}
    run(repository, "publish.yml", "build", **given)
    shutil.rmtree(repository / "book" / "_build")
    run(repository, "publish.yml", "push", **given)

    def git(*arguments):
        command = ["git", "-C", server / "Owner" / "course", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert (
        git("show", "gh-pages:index.html") == "book SITE_URL=https://owner.github.io/course REPOSITORY=Owner/course\n"
    )
    listed = git("ls-tree", "-r", "--name-only", "gh-pages").splitlines()
    assert listed == [".nojekyll", "colab/trick.ipynb", "dist/a.whl", "dist/wheels.txt", "index.html"]


def test_a_tag_makes_a_release(repository):
    tag = f"v{_about.__version__}"
    run(repository, "release.yml", "build", GITHUB_REPOSITORY="Owner/owner.github.io", GITHUB_REF_NAME=tag)
    run(repository, "release.yml", "release", GITHUB_REF_NAME=tag)
    package = f"reparameterization_companion-{_about.__version__}"
    names = ["SHA256SUMS", f"{package}-py3-none-any.whl", f"{package}.tar.gz", f"site-{_about.__version__}.tar.gz"]
    files = [f"release/{name}" for name in names]
    create, upload, publish = [
        f"release create {tag} --draft --verify-tag",
        f"release upload {tag} --clobber {' '.join(files)}",
        f"release edit {tag} --draft=false --prerelease=false --title {tag} --notes-file NOTES.md",
    ]
    assert (repository / "said").read_text().splitlines() == [create, upload, publish]
    assert (repository / "NOTES.md").read_text() == "First.\n"
    digest = hashlib.sha256((repository / files[3]).read_bytes()).hexdigest()
    assert f"{digest}  {names[3]}\n" in (repository / files[0]).read_text()

    shutil.rmtree(repository / "release")
    run(repository, "release.yml", "release", GITHUB_REF_NAME=tag)
    assert (repository / "said").read_text().splitlines() == [create, upload, publish, upload, publish]


@pytest.mark.parametrize(("tag", "expected"), [("v1.0.0rc1", "true"), ("v1.0.0", "false")])
def test_a_release_candidate_is_not_the_latest_release(repository, tag, expected):
    artifact = repository / "artifact" / "release"
    artifact.mkdir(parents=True)
    (artifact / "NOTES.md").write_text("First.\n")
    (artifact / "SHA256SUMS").write_text(f"{hashlib.sha256(b'').hexdigest()}  a.whl\n")
    (artifact / "a.whl").write_text("")
    run(repository, "release.yml", "release", GITHUB_REF_NAME=tag)
    assert f"release edit {tag} --draft=false --prerelease={expected} " in (repository / "said").read_text()


@pytest.mark.parametrize("job", ["check", "build"])
def test_a_wrong_tag_makes_none(repository, job):
    with pytest.raises(subprocess.CalledProcessError):
        run(repository, "release.yml", job, GITHUB_REPOSITORY="owner/course", GITHUB_REF_NAME="v99.0.0")
    assert not (repository / "artifact").exists()


def test_a_right_tag_passes_the_check_and_a_changelog_without_its_section_does_not(repository):
    tag = f"v{_about.__version__}"
    run(repository, "release.yml", "check", GITHUB_REF_NAME=tag)
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\nFirst.\n")
    with pytest.raises(subprocess.CalledProcessError):
        run(repository, "release.yml", "check", GITHUB_REF_NAME=tag)


def test_a_failed_build_of_the_site_stops_the_job(repository):
    program(repository / "bin" / "make", "#!/bin/sh\nexit 2\n")
    with pytest.raises(subprocess.CalledProcessError):
        run(repository, "publish.yml", "build", GITHUB_REPOSITORY="owner/course")
    assert not (repository / "artifact").exists()


@pytest.mark.parametrize("workflow", ["links.yml", "click-path.yml"])
def test_a_failed_check_opens_an_issue(repository, workflow):
    program(repository / "bin" / "gh", '#!/bin/sh\n[ "$2" = list ] && echo "[]" || echo "$1 $2 $3 $4" > said\n')
    place = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "owner/course"}
    run(repository, workflow, "report", **place)
    title = (repository / "said").read_text()
    assert title in {
        "issue create --title Links of the book are dead\n",
        "issue create --title The notebooks no longer run in Colab's own image\n",
    }


def test_dead_links_fail_the_job_although_its_output_is_piped(repository):
    summary = repository / "summary.md"
    program(repository / "bin" / "make", "#!/bin/sh\necho '- a link'\nexit 2\n")
    with pytest.raises(subprocess.CalledProcessError):
        run(repository, "links.yml", "check", GITHUB_STEP_SUMMARY=str(summary))
    assert summary.read_text() == "- a link\n"
