"""Build the wheel of `companion` that is published with the book: a function of the sources and of the versions in
`requirements/lock.txt`, to the last byte.

Its version ends in a fingerprint of the sources, so that a notebook can tell the copy that belongs to it from any
other; and it knows the address of its book. Nothing of this is written into the sources: a copy of them is built.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from notebooks import fingerprint

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "companion")
FIXED_TIME = "315532800"  # 1980-01-01, the first day that a zip file can name


def exact_version(package=ROOT / "companion"):
    """The package's version followed by the fingerprint of its sources: 0.1.0+1a2b3c4d."""
    found = re.search(r'^__version__ = "(.+)"$', (package / "_about.py").read_text(), re.MULTILINE)
    return f"{found[1]}+{fingerprint('', package)[:8]}"


def copy_sources(folder, version, site_url):
    """Copy what a build needs into a folder, with the version and the book's address written in."""
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    about = folder / "companion" / "_about.py"
    text = re.sub(r"^__version__ = .*$", f"__version__ = {version!r}", about.read_text(), flags=re.MULTILINE)
    about.write_text(re.sub(r"^BOOK_URL = .*$", f"BOOK_URL = {site_url!r}", text, flags=re.MULTILINE))
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # a zip file keeps permissions, which differ between machines


def build_wheel(out, site_url=None):
    """Write the wheel into an emptied folder; returns its file name and its version."""
    shutil.rmtree(out, ignore_errors=True)
    version = exact_version()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "sources"
        folder.mkdir()
        copy_sources(folder, version, site_url)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        settings = {**os.environ, "SOURCE_DATE_EPOCH": FIXED_TIME, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        subprocess.run([*command, "-w", out, folder], check=True, env=settings)
    (wheel,) = Path(out).glob("*.whl")
    return wheel.name, version
