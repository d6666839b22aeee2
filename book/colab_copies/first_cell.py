"""The first code cell of a copy: installs the package that was built with the page, and checks that it is there.

`--no-deps` leaves every package of Colab as it was; what the package needs is there. A failing `%pip` raises nothing,
so what is installed is asked for afterwards, and then what is imported: an older copy may be in the session already.
Whatever is wrong is said in words, with what to do.
"""

import json
import textwrap

__all__ = ["first_cell"]

TITLE = '#@title Install the package of this course { display-mode: "form" }'
FROM_THE_SOURCES = "Get the sources of the course, and run in their folder: pip install --no-deps ."
CHECK = """\
def check_package(expected, missing, other):
    from importlib import metadata

    def fits(version):
        return version == expected or version.startswith(f"{{expected}}+")

    try:
        installed = metadata.version("reparameterization-companion")
    except metadata.PackageNotFoundError:
        raise RuntimeError(missing) from None
    if not fits(installed):
        raise RuntimeError(f"Here is version {{installed}} of the package; this notebook needs {{expected}}. {{other}}")
    try:
        import companion
    except Exception as error:
        raise RuntimeError(
            f"The package is installed, but what this session ships beside it does not fit: {{error}}. In Colab choose "
            "Runtime > Change runtime type > Runtime version, take an older one, and run this cell again."
        ) from error
    if not fits(companion.__version__):
        raise RuntimeError(
            f"Version {{expected}} of the package is installed, but this session has already imported "
            f"{{companion.__version__}}. Choose Runtime > Restart session in the menu, then run this cell again."
        )
    print(f"companion {{companion.__version__}} is ready")


check_package(
    expected="{version}",
    missing={missing},
    other={other},
)"""


def first_cell(origin, name):
    """The source of the first code cell of the copy of a chapter."""
    wheel = origin.wheel_address()
    page = origin.page(f"chapters/{name}.html")
    missing = _missing(wheel, page) if wheel else f"The package of this course is not here. {FROM_THE_SOURCES}"
    other = _other(page) if page else f"They may not fit together. {FROM_THE_SOURCES}"
    # Who builds the book works with the sources: their version has no fingerprint.
    version = origin.version if wheel else origin.version.partition("+")[0]
    check = CHECK.format(version=version, missing=_literal(missing), other=_literal(other))
    install = [f'%pip install --quiet --no-deps "{wheel}"', ""] if wheel else []
    return "\n".join([TITLE, *install, check])


def _missing(wheel, page):
    """What to say when no version is installed."""
    return (
        f"The package of this course could not be installed from {wheel}. If pip says above that nothing is there "
        f"(404), this notebook is older than the published course: open it anew from {page}, and copy your answers "
        "over. If pip could not connect, or the course is just being published, wait a minute and run this cell again."
    )


def _other(page):
    """What to say when another version is installed."""
    return (
        "If pip says above that nothing is there (404), this notebook is older than the published course: open it "
        f"anew from {page}. If pip could not connect, wait a minute and run this cell again."
    )


def _literal(text):
    """A long text as a Python literal over several lines."""
    lines = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False, drop_whitespace=False)
    return "\n".join(["(", *(f"        {json.dumps(line)}" for line in lines), "    )"])
