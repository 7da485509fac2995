"""The head of a branch in a repository elsewhere, read and written without a checkout.

Only the commit, the folders on the way to a file and the file itself are fetched, one at a time, so that the cost
does not grow with the repository (partial clone, git-rev-list(1) ``--filter=tree:0``), and none that is in the cache.
From a server without filters the whole commit comes at once and nothing more is asked for; a repository on this
machine lends its objects, and nothing is fetched at all (gitrepository-layout(5), "objects/info/alternates").
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tasks.core import git
from tasks.core.errors import InvalidInput, NotFound
from tasks.core.git import commits
from tasks.core.git.commits import Commit
from tasks.core.git.object_cache import ObjectCache
from tasks.core.git.objects import Entry, Object, Objects, entries

BOT = "github-actions[bot] <github-actions[bot]@users.noreply.github.com>"

MADE = "refs/heads/made"
"""Where a new commit waits for its push."""

DEPTH = 50
"""Commits fetched at once, without their files: among them is, as a rule, each environment's last deployment."""

KEPT = 3
"""Commits whose files go into the cache: the head, the newest deployment, and what it replaced."""

FILES = ("100644", "100755")
"""Modes of plain files in a tree (git-fast-import(1), "filemodify")."""


@dataclass(frozen=True)
class Identity:
    """Who commits, as ``Name <address>``, and the key that git signs with: an SSH key's file, or a GPG key's id."""

    person: str = BOT
    signing_key: str = ""


ANONYMOUS = Identity()


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _tree(commit: bytes) -> str:
    return commit.split(maxsplit=2)[1].decode()  # it begins "tree SHA"


class Branch:
    """A branch at the commit that was its head when :meth:`fetch` was last called.

    Args:
        where: the repository.
        name: the branch's name.
        bare: folder for a bare repository of the objects that are fetched and made; must not exist yet.
    """

    def __init__(self, where: git.Remote, name: str, bare: Path) -> None:
        git.check_ref(name)
        self.where, self.name, self.head = where, name, ""
        self._bare, self._trees, self._logs = bare, dict[str, dict[str, Entry]](), dict[int, list[Commit]]()
        git.init(bare, where)
        self._deep = DEPTH
        self._whole = False
        self._lent, self._cache = git.lent(where) is not None, ObjectCache(where.url)
        self._objects = Objects(bare)

    def __enter__(self) -> "Branch":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._objects.close()

    def fetch(self) -> str:
        """Fetch the branch's newest commit and return its sha.

        Raises:
            NotFound: there is no such repository or branch.
            AccessDenied, Unavailable: as the git server answers.
        """
        if self._lent:
            self.head = git.head(self.where, self.name, self._bare)
        else:
            self._fetch_commits(DEPTH)
            self.head = (self._bare / "FETCH_HEAD").read_text()[:40]
        self._deep = DEPTH
        self._logs.clear()
        return self.head

    def read(self, path: str, at: str | None = None) -> bytes:
        """Return the bytes of a file, at the head or at an earlier commit.

        Raises:
            NotFound: there is no such file.
            InvalidInput: it is not a plain file.
        """
        *folders, name = _names(path)
        entry = self.folder("/".join(folders), at).get(name)
        if entry is None:
            raise NotFound(f"{self.where.url} has no {path} on branch {self.name}{f' at {at[:7]}' if at else ''}.")
        if entry.mode not in FILES:
            raise InvalidInput(f"{path} in {self.where.url} is not a plain file.", "Replace the link by the file.")
        return self.object(entry.object)

    def folder(self, path: str, at: str | None = None) -> dict[str, Entry]:
        """Return a folder's entries by name, at the head or an earlier commit; empty if there is no such folder."""
        found = self.entries(self.root(at))
        for name in _names(path):
            entry = found.get(name)
            if entry is None or entry.kind != "tree":
                return {}
            found = self.entries(entry.object)
        return found

    def parent(self, commit: str) -> str | None:
        """Return the first parent of a commit; empty for a root, ``None`` where the history is cut off for now."""
        cut = self._bare / "shallow"
        if cut.exists() and commit in cut.read_text().split():
            return None
        headers = self.object(commit).partition(b"\n\n")[0].split(b"\n")
        return next((line[7:].decode() for line in headers if line.startswith(b"parent ")), "")

    def prepare(self, path: str, at: Sequence[str]) -> None:
        """Fetch a file as it is at many commits, folder by folder: so many fetches, however many the commits are.

        Of many commits nothing goes into the cache: it would be full of what is of no use to the next update.
        """
        keep = len(at) <= KEPT
        found, names = [_tree(self.object(each)) for each in at], _names(path)
        for left, name in reversed([*enumerate(reversed(names))]):
            self.load(found, keep)
            entries = [entry for tree in dict.fromkeys(found) if (entry := self.entries(tree).get(name))]
            found = [entry.object for entry in entries if entry.kind == ("tree" if left else "blob")]
        self.load(found, keep)

    def commit(self, path: str, content: bytes, message: str, identity: Identity = ANONYMOUS) -> str:
        """Make a commit on top of the head in which one existing file is different, and return its sha.

        By git-fast-import(1), which needs the folders on the way to the file and nothing else of the commit.

        Raises:
            InvalidInput: git can't sign it.
        """
        *folders, name = _names(path)
        mode, text = self.folder("/".join(folders))[name].mode, message.encode()
        quoted = "/".join([*folders, name]).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        stream = b"".join(
            (
                f"commit {MADE}\nmark :1\ncommitter {identity.person} {int(time.time())} +0000\n".encode(),
                b"data %d\n%b\nfrom %b\n" % (len(text), text, self.head.encode()),
                f'M {mode} inline "{quoted}"\n'.encode(errors="surrogateescape"),
                b"data %d\n%b\nget-mark :1\n" % (len(content), content),
            )
        )
        made = self._git("fast-import", "--quiet", "--force", stdin=stream).strip()
        if not self._lent:
            self._keep(made, path)
        return self._signed(made, message, identity) if identity.signing_key else made

    def _signed(self, made: str, message: str, identity: Identity) -> str:
        """Return the same commit, signed; git-fast-import(1) can't sign."""
        name, _, address = identity.person.rstrip(">").rpartition(" <")
        key = identity.signing_key
        ssh = key.startswith(("ssh-", "key::")) or Path(key).is_file()
        config = {
            "user.name": name,
            "user.email": address,
            "user.signingKey": key,
            "gpg.format": "ssh" if ssh else "openpgp",
        }
        options = [option for each in config.items() for option in ("-c", "=".join(each))]
        made_of = ("-p", self.head, "-F", "-", self.root(made))
        return self._git(*options, "commit-tree", "-S", *made_of, stdin=message.encode()).strip()

    def log(self, depth: int) -> list[Commit]:
        """Return the newest commits, newest first; commits alone are fetched for it."""
        if depth not in self._logs:
            self._logs[depth] = self._log(depth)
        return self._logs[depth]

    def _log(self, depth: int) -> list[Commit]:
        if depth > self._deep and not self._lent:
            self._fetch_commits(depth)
            self._deep = depth
        log = ("log", f"--max-count={depth}", f"--format={commits.FORMAT}", self.head)
        # Messages that are not UTF-8 are read as far as they can be: they end up in pages and tables.
        text = git.run_bytes(self.where, *log, directory=self._bare).decode(errors="replace")
        return commits.parse(text)

    def push(self, commit: str) -> None:
        """Make a commit the branch's new head.

        Raises:
            LostRace: the branch has another head by now; fetch, and make the commit again on top of that.
            PushRefused, AccessDenied, Unavailable: as the git server answers.
        """
        self._push(f"{commit}:refs/heads/{self.name}")

    def propose(self, commit: str, to: str, instead_of: str) -> None:
        """Make a commit the head of another branch, in place of the commit that was seen there; empty for none.

        Raises:
            LostRace: the branch has another head by now.
            PushRefused, AccessDenied, Unavailable: as the git server answers.
        """
        self._push(f"--force-with-lease=refs/heads/{to}:{instead_of}", f"{commit}:refs/heads/{to}")

    def _push(self, *what: str) -> None:
        # However slow: the server's hooks are silent, or nearly so, and a push that was given up may still arrive.
        self._git("-c", "http.lowSpeedLimit=0", "push", "-q", *what[:-1], "origin", what[-1])

    def root(self, at: str | None = None) -> str:
        """Return the root folder's object, at the head or at an earlier commit."""
        return _tree(self.object(at or self.head))

    def load(self, names: Iterable[str], keep: bool = True) -> None:
        """Have these objects here: those that are missing come by one fetch, and stay for the next run if wanted."""
        missing = [name for name in dict.fromkeys(names) if not (self._objects.read(name) or self._cached(name))]
        if missing:
            self._fetch_objects(missing)
        for name in missing if keep else ():
            if found := self._objects.read(name):
                self._cache.add(name, found)

    def entries(self, tree: str) -> dict[str, Entry]:
        """Return the entries of a folder by name, by the folder's object."""
        if tree not in self._trees:
            self._trees[tree] = entries(self.object(tree))
        return self._trees[tree]

    def object(self, name: str) -> bytes:
        """Return the bytes of an object.

        Raises:
            NotFound: the repository doesn't have it.
        """
        found = self._objects.read(name) or self._cached(name) or self._fetched(name)
        if found is None:
            raise NotFound(f"{self.where.url} has no object {name}, which its branch {self.name} is made of.")
        return found.content

    def _cached(self, name: str) -> Object | None:
        return self._objects.read(name) if self._cache.copy(name, self._bare / "objects") else None

    def _fetched(self, name: str) -> Object | None:
        self.load([name])
        return self._objects.read(name)

    def _keep(self, commit: str, path: str) -> None:
        """Keep a new commit's folders on the way to a file, and the file: the next update begins with them."""
        name = _tree(self.object(commit))
        for part in [*_names(path), ""]:
            found = self._objects.read(name)
            if found is None:
                return
            self._cache.add(name, found)
            name = self.entries(name)[part].object if part else ""

    def _fetch_commits(self, depth: int) -> None:
        self._fetch([f"refs/heads/{self.name}"], f"--depth={depth}", *([] if self._whole else ["--filter=tree:0"]))

    def _fetch_objects(self, names: Sequence[str]) -> None:
        if self._whole:
            return  # what is not here is nowhere
        try:
            self._fetch(names, "--depth=1", "--filter=tree:0")
        except NotFound:
            # A server that hands out only what branches and tags point at, though it knows filters.
            self._whole = True
            (self._bare / "config").unlink(missing_ok=True)  # forget that objects were left out
            self._fetch_commits(self._deep)

    def _fetch(self, what: Sequence[str], *options: str) -> None:
        self._git("fetch", "-q", *options, "--no-tags", "origin", *what)

    def _git(self, *args: str, stdin: bytes = b"") -> str:
        return git.run(self.where, *args, directory=self._bare, stdin=stdin)
