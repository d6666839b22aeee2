"""Print the address at which GitHub Pages serves this repository's site, so that a fork publishes without an edit.

    GITHUB_REPOSITORY=OWNER/NAME [CUSTOM_ADDRESS=https://...] python site_address.py

A site with a domain of its own says so in the repository's variable SITE_URL, which the workflows pass on.
"""

import os


def site_address(repository, custom=""):
    """The address of a repository's site, without a last slash.

    A host's name is in lower case; a repository that has the name of its owner's host is served at the root.
    """
    if custom:
        return custom.rstrip("/")
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise ValueError(f"GITHUB_REPOSITORY: expected OWNER/NAME, got {repository!r}")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}" if name.lower() == host else f"https://{host}/{name}"


if __name__ == "__main__":
    print(site_address(os.environ.get("GITHUB_REPOSITORY", ""), os.environ.get("CUSTOM_ADDRESS", "")))
