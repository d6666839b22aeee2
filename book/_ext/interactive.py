"""Interactive figures without a network: Altair's HTML, with its scripts taken from the book's own files.

Altair writes a page fragment that loads `vega`, `vega-lite` and `vega-embed` from a content delivery network
when it runs. Those three addresses are replaced by the copies in `_assets/vega`, so a page without an
interactive figure loads none of them.
"""

import re
from pathlib import Path

from sphinx.util import logging
from sphinx.util.osutil import relative_uri

logger = logging.getLogger(__name__)

# What is vendored. Altair names a major version, or an exact one.
VERSIONS = {"vega": "6.4.0", "vega-lite": "6.4.1", "vega-embed": "7.3.0"}
ADDRESS = re.compile(r'"https://cdn\.jsdelivr\.net/npm/(?P<library>vega[a-z-]*)(?:@(?P<version>[\d.]+))?\?noext"')


def satisfies(vendored, wanted):
    """Whether an exact version is one of those that a full or partial version names."""
    return vendored.split(".")[: wanted.count(".") + 1] == wanted.split(".")


def localise(html, folder):
    """Point Altair's script addresses at a folder; returns the HTML and the versions that are not vendored."""
    missing = []

    def replacement(match):
        library = "vega" if match["library"] == "vega-lib" else match["library"]
        if match["version"] and not satisfies(VERSIONS[library], match["version"]):
            missing.append(f"{library}@{match['version']}")
        return f'"{folder}/{library}.min.js"'

    return ADDRESS.sub(replacement, html), missing


def use_vendored_scripts(app, pagename, templatename, context, doctree):
    """Rewrite the addresses in one finished page."""
    if "cdn.jsdelivr.net/npm/vega" not in context.get("body", ""):
        return
    page = app.builder.get_target_uri(pagename)
    folder = relative_uri(page, "_static/vega")
    context["body"], missing = localise(context["body"], folder)
    for version in missing:
        logger.warning("an interactive figure asks for %s; _assets/vega holds %s", version, VERSIONS, location=pagename)


def setup(app):
    """Look at every page after its body is made; the files must be where the pages point."""
    vendored = Path(app.srcdir) / "_assets" / "vega"
    for library in VERSIONS:
        if not (vendored / f"{library}.min.js").exists():
            logger.warning("missing %s", vendored / f"{library}.min.js")
    app.connect("html-page-context", use_vendored_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
