"""Where a book is published, and the copy of the package that goes with it.

`SITE_URL` is the address of the site's first page, `REPOSITORY` the name OWNER/NAME of the sources on GitHub. Both may
be missing: a book that is only built, not published, has neither. What they make possible is then not shown.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._-]+")
SITE_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d+)?(?:/[A-Za-z0-9._~-]+)*/?")
PAGES_BRANCH = "gh-pages"


@dataclass(frozen=True)
class Origin:
    """The address of the site, the repository, and the wheel in the site's `dist/` with its version."""

    site_url: str | None
    repository: str | None
    wheel: str
    version: str

    def page(self, path):
        """The address of a page or file of the site, given relative to its first page; None without a site."""
        return f"{self.site_url}/{path}" if self.site_url else None

    def wheel_address(self):
        """The address of the wheel; None without a site. A version's plus sign must be written as %2B."""
        return self.page(f"dist/{quote(self.wheel)}")

    def source(self, path, action="blob"):
        """The address of a file of the sources, to read ("blob") or to "edit"; None without a repository."""
        return source_url(self.repository, path, action)


def site_url_from(text):
    """A site's address without its last slash; None for an empty one."""
    if not text:
        return None
    if not SITE_URL.fullmatch(text) or text.endswith(".html"):
        raise ValueError(f"SITE_URL: expected an address such as https://owner.github.io/name, got {text!r}")
    return text.rstrip("/")


def repository_from(text):
    """A repository's OWNER/NAME; None for an empty one."""
    if not text:
        return None
    if not REPOSITORY.fullmatch(text):
        raise ValueError(f"REPOSITORY: expected OWNER/NAME, as on GitHub, got {text!r}")
    return text


def source_url(repository, path, action="blob"):
    """The address of a file of the sources on the main branch; None without a repository."""
    return f"https://github.com/{repository}/{action}/main/{path}" if repository else None


def colab_url(repository, chapter):
    """The address that opens a chapter's copy in Colab: it is read from the branch that the site is served from."""
    if not repository:
        return None
    return f"https://colab.research.google.com/github/{repository}/blob/{PAGES_BRANCH}/colab/{chapter}.ipynb"
