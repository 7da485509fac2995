"""Which source commit is where: a copy of the source repository's commits, without their files."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime

from tasks.core import git
from tasks.core.errors import DeliveryError
from tasks.core.models import Value
from tasks.core.text import one_line

PULL_REQUEST = re.compile(r"(?:.*/pull/|pr\s*#?|#)(\d{1,9})(?:[/?#].*)?", re.IGNORECASE)
"""A pull request, as people write it or copy its address."""

SHORT = re.compile(r"[0-9a-f]{7,40}")
FORMAT = "--format=%H%x00%ct%x00%an%x00%s"
MOST = 500
"""Commits of one deployment that are listed."""


class SourceCommit(Value):
    """A commit of the source repository."""

    sha: str
    at: AwareDatetime
    author: str
    subject: str


class SourceHistory:
    """The commits of all branches and tags.

    Args:
        source: the repository.
        folder: where the copy is, or will be.
    """

    def __init__(self, source: git.Remote, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._between: dict[tuple[str, str], list[SourceCommit]] = {}

    def refresh(self) -> None:
        """Fetch what is new.

        Raises:
            NotFound, AccessDenied, Unavailable: as the git server answers.
        """
        if not self._folder.exists():
            git.init(self._folder, self._source)
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        git.run(self._source, "fetch", "-q", "--prune", "--filter=tree:0", "origin", *refs, directory=self._folder)

    def find(self, words: str) -> SourceCommit | None:
        """Find a commit by its sha, a tag, a branch or the number of its pull request."""
        words = words.strip()
        if found := PULL_REQUEST.fullmatch(words):
            return self._merged(found[1])
        named = words if SHORT.fullmatch(words) else ""
        for ref in filter(None, (named, f"refs/tags/{words}", f"refs/heads/{words}")):
            with suppress(DeliveryError):
                git.check_ref(ref)
                return next(self._log("-1", f"{ref}^{{commit}}", "--"), None)
        return None

    def contains(self, newer: str, older: str) -> bool:
        """Say whether a commit has another one in its history; one that isn't known has not."""
        with suppress(DeliveryError):
            return not self._run("rev-list", "-1", older, f"^{newer}", "--").strip()
        return False

    def between(self, old: str, new: str) -> list[SourceCommit]:
        """List what the newer of two deployed commits brings, newest first; nothing if either isn't known."""
        if (old, new) not in self._between:
            with suppress(DeliveryError):
                self._between[old, new] = list(self._log(f"--max-count={MOST}", new, f"^{old}", "--"))
        return self._between.get((old, new), [])

    def _merged(self, number: str) -> SourceCommit | None:
        grep = ("--all", "-1", "--extended-regexp", rf"--grep=\(#{number}\)|pull request #{number}( |$)")
        with suppress(DeliveryError):
            return next(self._log(*grep), None)
        return None

    def _log(self, *what: str) -> Iterator[SourceCommit]:
        for line in self._run("log", FORMAT, *what).split("\n")[:-1]:
            sha, at, author, subject = line.split("\0")
            when = datetime.fromtimestamp(min(int(at), LATEST), UTC)
            yield SourceCommit(sha=sha, at=when, author=one_line(author), subject=one_line(subject))

    def _run(self, *args: str) -> str:
        return git.run(self._source, *args, directory=self._folder)


LATEST = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp())
"""The last time that is shown; git allows later ones."""


def arrived(history: SourceHistory, sha: str, deployed: Sequence[tuple[str, datetime]]) -> datetime | None:
    """Return since when a commit has been in an environment without a break; ``None`` if it isn't there.

    Args:
        history: the source repository's.
        sha: the commit.
        deployed: what was deployed there, newest first: source commit and time.
    """
    since = None
    for there, at in deployed:
        if not there or not history.contains(there, sha):
            break
        since = at
    return since
