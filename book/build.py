"""Build the book with Jupyter Book; every warning and every dangling reference is an error.

python book/build.py [--fresh]
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parent
BUILD = BOOK / "_build"
STAMP = BUILD / ".machinery"


def machinery():
    """A fingerprint of what shapes every page but is invisible to Sphinx's own incremental build."""
    sources = [*sorted((BOOK / "_ext").glob("*.py")), BOOK / "_toc.yml", BOOK.parent / "requirements" / "lock.txt"]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


def build(fresh):
    """Build, incrementally when that is safe, and return the exit status."""
    if fresh or not STAMP.exists() or STAMP.read_text() != machinery():
        shutil.rmtree(BUILD, ignore_errors=True)
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", BOOK, "--warningiserror", "--nitpick", "--keep-going", "--quiet"]
    status = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode  # warnings are on stderr
    if status:
        # Sphinx would not warn again about pages it has read, so a second build would seem to pass.
        STAMP.unlink(missing_ok=True)
    else:
        STAMP.write_text(machinery())
    return status


def main():
    """Parse the command line, build, and say which file to open."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="build every page anew")
    status = build(parser.parse_args().fresh)
    if status == 0:
        print(f"The book is built. Open {BUILD / 'html' / 'index.html'}")
    sys.exit(status)


if __name__ == "__main__":
    main()
