"""Tell people that a weekly check failed: open an issue, or comment on the one that is open.

    GH_TOKEN=... GITHUB_...=... python report_failure.py TITLE WHAT_TO_DO

Contract: two failures in a row make one issue with a comment, known by its title.
"""

import json
import os
import subprocess
import sys


def gh(*arguments):
    """What GitHub's own command-line program answers."""
    return subprocess.run(["gh", *arguments], check=True, capture_output=True, text=True).stdout


def run_address(environment):
    """The address of the page of the run that this is part of."""
    server, repository, run = (environment[f"GITHUB_{name}"] for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return f"{server}/{repository}/actions/runs/{run}"


def report(title, advice, environment):
    """Open or continue the issue of a title."""
    body = f"The check failed: {run_address(environment)}\n\n{advice}"
    listed = gh("issue", "list", "--state", "open", "--limit", "1000", "--json", "number,title")
    numbers = [issue["number"] for issue in json.loads(listed) if issue["title"] == title]
    if numbers:
        gh("issue", "comment", str(min(numbers)), "--body", body)
    else:
        gh("issue", "create", "--title", title, "--body", body)


if __name__ == "__main__":
    report(*sys.argv[1:], os.environ)
