"""Push a built site to the branch that GitHub Pages serves, as one commit without a history.

    GITHUB_TOKEN=... python publish_site.py FOLDER --remote URL --address https://OWNER.github.io/NAME --source COMMIT

Contract: the branch then holds the folder's files, and of what it held before the last wheels, by which copies that
readers saved go on working; `dist/wheels.txt` lists all, the newest last. The token is on no command line and in no
file.
"""

import argparse
import base64
import os
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

BRANCH = "gh-pages"
AUTHOR = "github-actions[bot]"
EMAIL = "41898282+github-actions[bot]@users.noreply.github.com"
WHEELS = "dist/wheels.txt"
KEPT = 100  # of a third of a megabyte each


def require_site(folder):
    """Refuses a folder that is not a whole site, before it would replace one."""
    missing = [name for name in ("index.html", ".nojekyll", "colab", "dist") if not (folder / name).exists()]
    if missing:
        raise ValueError(f"FOLDER: expected a built site, got {folder.name} without {', '.join(missing)}")


def custom_domain(address):
    """The domain that GitHub Pages must be told to answer to; None for its own."""
    host = urlsplit(address).hostname or ""
    return None if host.endswith(".github.io") else host


def credentials(token, remote):
    """The environment in which git may write to a remote."""
    if not token:
        return {}
    parts = urlsplit(remote)
    header = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{parts.scheme}://{parts.netloc}/.extraheader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {header}",
    }


def keep_wheels(folder, remote, git):
    """Put the wheels of the last publications beside the new one, and list them."""
    own = [path.name for path in sorted((folder / "dist").glob("*.whl"))]
    older = []
    if git("ls-remote", remote, f"refs/heads/{BRANCH}"):
        git("fetch", "--quiet", "--depth=1", remote, BRANCH)
        published = git("ls-tree", "--name-only", "FETCH_HEAD", "dist/").splitlines()
        if WHEELS in published:
            older = [name for name in git("show", f"FETCH_HEAD:{WHEELS}").splitlines() if f"dist/{name}" in published]
    wheels = [*(name for name in older if name not in own), *own][-KEPT:]
    for name in set(wheels).difference(own):
        git("checkout", "--quiet", "FETCH_HEAD", "--", f"dist/{name}")
    (folder / WHEELS).write_text("".join(f"{name}\n" for name in wheels))


def publish(folder, remote, address, source, token=""):
    """Make the commit and push it."""
    require_site(folder)
    if domain := custom_domain(address):
        (folder / "CNAME").write_text(f"{domain}\n")
    with tempfile.TemporaryDirectory() as temporary:
        who = {"NAME": AUTHOR, "EMAIL": EMAIL}
        identity = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        place = {"GIT_DIR": f"{temporary}/git", "GIT_WORK_TREE": str(folder.resolve())}
        settings = {**os.environ, **identity, **place, **credentials(token, remote)}

        def git(*arguments):
            command = ["git", *arguments]
            return subprocess.run(
                command, check=True, env=settings, cwd=folder, stdout=subprocess.PIPE, text=True
            ).stdout

        git("init", "--quiet", f"--initial-branch={BRANCH}")
        keep_wheels(folder, remote, git)
        git("add", "--all", "--force", ".")
        git("commit", "--quiet", "--no-verify", "--message", f"Publish the site of {source}")
        git("push", "--quiet", "--force", remote, f"{BRANCH}:{BRANCH}")


def main():
    """Parse the command line and publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    for name in ("remote", "address", "source"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    publish(**vars(options), token=os.environ.get("GITHUB_TOKEN", ""))


if __name__ == "__main__":
    main()
