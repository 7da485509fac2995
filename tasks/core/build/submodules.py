"""Where a commit's submodules come from, as its ``.gitmodules`` says (gitmodules(5))."""

import posixpath
import re
from urllib.parse import SplitResult, urlsplit

from tasks.core import git
from tasks.core.errors import InvalidInput

LIKE_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^@/:]+):(?!//|:)(?P<path>.+)")
LOCAL = ("", "file")


def addresses(gitmodules: bytes) -> dict[str, str]:
    """Return the URLs of submodules by folder.

    Raises:
        InvalidInput: the file can't be read.
    """
    settings = git.config(gitmodules, ".gitmodules")
    names = [key.removesuffix(".path") for key in settings if key.endswith(".path")]
    return {settings[f"{name}.path"].rstrip("/"): settings.get(f"{name}.url", "") for name in names}


def remote(url: str, parent: git.Remote) -> git.Remote:
    """Return a submodule's repository.

    The parent's token goes with it to the same host alone; an SSH address of that host becomes HTTPS, as the token is
    what there is. Neither a path of this machine nor another program is reached from a repository elsewhere.

    Raises:
        InvalidInput: that isn't an address to fetch from.
    """
    resolved = _resolved(url, parent.url) if url.startswith(("./", "../")) else url
    ours, theirs = urlsplit(parent.url), _split(resolved)
    if ours.scheme in ("http", "https") and theirs.scheme == "ssh" and theirs.hostname == ours.hostname:
        theirs = urlsplit(f"{ours.scheme}://{ours.netloc}/{theirs.path.lstrip('/')}")
        resolved = theirs.geturl()
    if theirs.scheme not in ("http", "https", "ssh", "git", *LOCAL) or (
        theirs.scheme in LOCAL and _split(parent.url).scheme not in LOCAL
    ):
        raise InvalidInput(
            f"A submodule's address {url!r:.100} can't be fetched from.",
            "Use https:// or a relative URL in .gitmodules.",
        )
    same = (theirs.scheme, theirs.netloc) == (ours.scheme, ours.netloc)
    checked = git.remote(resolved, None, "", parent.timeout) if theirs.scheme else git.Remote(resolved)
    return git.Remote(checked.url, parent.token if same else None, parent.timeout, parent.user)


def _split(url: str) -> SplitResult:
    found = LIKE_SCP.fullmatch(url)
    try:
        return urlsplit(f"ssh://{found['host']}/{found['path']}" if found and "://" not in url else url)
    except ValueError:
        raise InvalidInput(f"A submodule's address {url!r:.100} is not one.", "Fix .gitmodules.") from None


def _resolved(url: str, parent: str) -> str:
    """Return a relative URL below its parent, as git does: the parent's name counts as a folder."""
    scp = LIKE_SCP.fullmatch(parent) if "://" not in parent else None
    if scp:
        start, base = parent[: -len(scp["path"])], scp["path"]
    else:
        address = urlsplit(parent)
        start, base = parent[: len(parent) - len(address.path)], address.path
    path = posixpath.normpath(posixpath.join(base, url))
    if path.startswith("..") or path in ("/", "."):
        raise InvalidInput(f"A submodule's address {url!r:.100} leads out of {parent}.", "Fix .gitmodules.")
    return start + path
