"""The head of a branch in a repository elsewhere, read and written without a checkout.

Only the commit, the folders on the way to a file and the file itself are fetched, one at a time, so that the
cost does not grow with the repository (partial clone, git-rev-list(1) ``--filter=tree:0``). From a server
that knows no filters the whole commit comes at once and nothing more is asked for.
"""

import time
from pathlib import Path
from typing import NamedTuple

from tasks.core import git
from tasks.core.errors import InvalidInput, NotFound

BOT = "github-actions[bot]"
BOT_EMAIL = "github-actions[bot]@users.noreply.github.com"

MADE = "refs/heads/made"
"""Where a new commit waits for its push."""

DEPTH = 50
"""Commits fetched at once, without their files: among them is, as a rule, each environment's last deployment."""

FILES = ("100644", "100755")
"""Modes of plain files in a tree (git-fast-import(1), "filemodify")."""


class Entry(NamedTuple):
    """One line of a tree: a file or a folder."""

    mode: str
    kind: str
    object: str
    name: str


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


class Branch:
    """A branch at the commit that was its head when :meth:`fetch` was last called.

    Args:
        where: the repository.
        name: the branch's name.
        scratch: folder for the objects that are fetched and made; must not exist yet.
    """

    def __init__(self, where: git.Remote, name: str, scratch: Path) -> None:
        git.check_ref(name)
        self.where, self.name, self.head = where, name, ""
        self._scratch, self._here, self._root = scratch, set[str](), ""
        self._trees: dict[str, dict[str, Entry]] = {}
        git.init(scratch, where)

    def fetch(self) -> str:
        """Fetch the branch's newest commit and return its sha.

        Raises:
            NotFound: there is no such repository or branch.
            AccessDenied, Unavailable: as the git server answers.
        """
        self._fetch(f"refs/heads/{self.name}", DEPTH)
        # Not rev-parse FETCH_HEAD^{tree}: that would have the whole tree fetched.
        self.head, self._root = self._git("log", "-1", "--format=%H %T", "FETCH_HEAD").split()
        present = self._git("cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname)")
        self._here = set(present.split())
        return self.head

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            NotFound: there is no such file.
            InvalidInput: it is not a plain file.
        """
        *folders, name = _names(path)
        entry = self.folder("/".join(folders)).get(name)
        if entry is None:
            raise NotFound(f"{self.where.url} has no {path} on branch {self.name}.")
        if entry.mode not in FILES:
            raise InvalidInput(f"{path} in {self.where.url} is not a plain file.", "Replace the link by the file.")
        self._need(entry.object)
        return git.run_bytes(self.where, "cat-file", "blob", entry.object, directory=self._scratch)

    def folder(self, path: str) -> dict[str, Entry]:
        """The entries of a folder by name; empty where there is no such folder."""
        entries = self._entries(self._root)
        for name in _names(path):
            entry = entries.get(name)
            if entry is None or entry.kind != "tree":
                return {}
            entries = self._entries(entry.object)
        return entries

    def commit(self, path: str, content: bytes, message: str) -> str:
        """Make a commit on top of the head in which one existing file is different, and return its sha.

        By git-fast-import(1), which needs the folders on the way to the file and nothing else of the commit.
        """
        *folders, name = _names(path)
        mode, text = self.folder("/".join(folders))[name].mode, message.encode()
        quoted = "/".join([*folders, name]).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        stream = b"".join(
            (
                f"commit {MADE}\ncommitter {BOT} <{BOT_EMAIL}> {int(time.time())} +0000\n".encode(),
                b"data %d\n%b\nfrom %b\n" % (len(text), text, self.head.encode()),
                f'M {mode} inline "{quoted}"\n'.encode(errors="surrogateescape"),
                b"data %d\n%b\n" % (len(content), content),
            )
        )
        self._git("fast-import", "--quiet", "--force", stdin=stream)
        return self._git("rev-parse", MADE).strip()

    def messages(self, depth: int) -> list[str]:
        """The messages of the newest commits, newest first; commits alone are fetched for it."""
        if depth > DEPTH:
            self._fetch(f"refs/heads/{self.name}", depth)
        text = self._git("log", f"--max-count={depth}", "--format=%B%x00", self.head)
        return [message.lstrip("\n") for message in text.split("\0")[:-1]]

    def push(self, commit: str) -> None:
        """Make a commit the branch's new head.

        Raises:
            LostRace: the branch has another head by now; fetch, and make the commit again on top of that.
            PushRefused, AccessDenied, Unavailable: as the git server answers.
        """
        self._git("push", "-q", "origin", f"{commit}:refs/heads/{self.name}")

    def _entries(self, tree: str) -> dict[str, Entry]:
        if tree not in self._trees:
            self._need(tree)
            rows = (row.partition("\t") for row in self._git("ls-tree", "-z", tree).split("\0") if row)
            self._trees[tree] = {name: Entry._make([*about.split(), name]) for about, _, name in rows}
        return self._trees[tree]

    def _need(self, name: str) -> None:
        if name not in self._here:
            self._fetch(name)
            self._here.add(name)

    def _fetch(self, what: str, depth: int = 1) -> None:
        self._git("fetch", "-q", f"--depth={depth}", "--filter=tree:0", "--no-tags", "origin", what)

    def _git(self, *args: str, stdin: bytes = b"") -> str:
        return git.run(self.where, *args, directory=self._scratch, stdin=stdin)
