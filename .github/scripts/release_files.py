"""Make the files of a release: wheel, source distribution, an archive of the site, release notes and checksums.

    python release_files.py TAG --check
    python release_files.py TAG --site FOLDER --address URL --out FOLDER

Contract: the files are a function of the sources and the time of their commit, to the last byte. The tag must name the
version of the package, and the changelog must have a section for it; `--check` looks at that alone, before the tests.
"""

import argparse
import gzip
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "book"))

BUILD = "import sys; from setuptools import build_meta as b; _, out = sys.argv; b.build_wheel(out); b.build_sdist(out)"


def require_version(tag, version):
    """Refuses a tag that is not of the package's version."""
    if tag != f"v{version}":
        raise ValueError(f"TAG: expected v{version}, the version in companion/_about.py, got {tag}")


def notes(changelog, version):
    """The changelog's section of a version."""
    found = re.search(rf"^## {re.escape(version)}(?: [^\n]*)?\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if not found or not found[1].strip():
        raise ValueError(f"CHANGELOG.md: expected a section '## {version}', got none, or an empty one")
    return found[1].strip() + "\n"


def archive(folder, path, prefix, when):
    """Write a .tar.gz of a folder in which order, times, owners and permissions are always the same."""
    with (
        open(path, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=when) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for source in sorted(file for file in folder.rglob("*") if file.is_file()):
            member = tarfile.TarInfo(f"{prefix}/{source.relative_to(folder).as_posix()}")
            member.size, member.mtime, member.mode = source.stat().st_size, when, 0o644
            with source.open("rb") as content:
                tar.addfile(member, content)


def build_package(sources, out, when):
    """Write wheel and source distribution of a folder of sources."""
    settings = {**os.environ, "SOURCE_DATE_EPOCH": str(when)}
    out.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-c", BUILD, out.resolve()], check=True, cwd=sources, env=settings, stdout=2)
    (built,) = out.glob("*.tar.gz")
    prefix = built.name.removesuffix(".tar.gz")
    with tempfile.TemporaryDirectory() as temporary, tarfile.open(built) as tar:
        tar.extractall(temporary, filter="data")
        archive(Path(temporary) / prefix, built, prefix, when)  # setuptools writes the time of the build


def checksums(folder):
    """The lines that `sha256sum --check` reads, for the files of a folder."""
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def main():
    """Parse the command line, and check the tag or make the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tag")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--site", type=Path)
    parser.add_argument("--address")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not options.check and None in (options.site, options.address, options.out):
        parser.error("--site, --address and --out: expected all three, or --check")
    version = re.search(r'^__version__ = "(.+)"$', (ROOT / "companion" / "_about.py").read_text(), re.MULTILINE)[1]
    require_version(options.tag, version)
    section = notes((ROOT / "CHANGELOG.md").read_text(), version)
    if not options.check:
        make_files(version, section, options)


def make_files(version, section, options):
    """Write everything that a release has into a folder."""
    from published_wheel import copy_sources

    when = int(subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True).stdout)
    with tempfile.TemporaryDirectory() as sources:
        copy_sources(Path(sources), version, options.address)
        build_package(Path(sources), options.out, when)
    archive(options.site, options.out / f"site-{version}.tar.gz", f"site-{version}", when)
    (options.out / "SHA256SUMS").write_text(checksums(options.out))
    (options.out / "NOTES.md").write_text(section)


if __name__ == "__main__":
    main()
