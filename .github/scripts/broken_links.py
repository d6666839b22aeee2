"""Say which links of the book are dead, from what Sphinx's link checker wrote.

    python broken_links.py book/_build/linkcheck/output.json

A publisher that keeps programs out (403), asks for patience (429) or is down for an hour has not lost its page; such
links are listed and forgiven. The exit status is 1 if a link is dead: gone (404, 410), or its host is.
"""

import json
import re
import sys
from pathlib import Path

GONE = re.compile(
    r"^(404|410) |Name or service not known|nodename nor servname|Failed to resolve|No address associated"
)


def sort_out(lines):
    """The links that are dead, and those that could not be asked, each a list of lines to read."""
    dead, unsure = set(), set()
    for line in filter(str.strip, lines):
        link = json.loads(line)
        if link["status"] in {"broken", "timeout"}:
            (dead if GONE.search(link["info"]) else unsure).add(f"{link['uri']} in {link['filename']}: {link['info']}")
    return sorted(dead), sorted(unsure)


def main(path):
    """Print both lists; returns the exit status."""
    lines = Path(path).read_text().splitlines()
    if not lines:
        raise ValueError(f"{path}: expected the results of at least one link, got none")
    dead, unsure = sort_out(lines)
    for title, links in {"Dead links": dead, "Could not be asked": unsure}.items():
        print(f"## {title}: {len(links)}\n", *(f"- {link}" for link in links), "", sep="\n")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
