"""Objects of a git repository that has only a part of them, read by one process for all."""

import os
from pathlib import Path
from typing import NamedTuple

from tasks.core import git
from tasks.core.errors import InvalidInput, Unavailable
from tasks.core.system import process

SHA_BYTES = 20


class Entry(NamedTuple):
    """One line of a tree: a file or a folder."""

    mode: str
    kind: str
    object: str
    name: str


class Object(NamedTuple):
    """What is stored under a sha; ``kind`` is ``commit``, ``tree`` or ``blob``."""

    kind: str
    content: bytes


KNOWN = 2000
"""Objects that a reader remembers: the folders on the way to many files are asked for again and again."""

LARGEST = 64 << 20
"""Bytes of the largest object that is read."""


class Objects:
    """A reader for ``directory``, and for what is fetched into it later, until it is closed.

    By git-cat-file(1) ``--batch``, from a repository beside it that shares its objects and has no remote:
    in the one that was fetched into, git would go and fetch each object that is not there.
    """

    def __init__(self, directory: Path) -> None:
        view = directory.with_name(f"{directory.name}-view")
        git.init(view)
        env = git.environment(git.Remote(str(view))) | {"GIT_OBJECT_DIRECTORY": str(directory / "objects")}
        with git.installed():
            self._process = process.start(["git", "-C", str(view), "cat-file", "--batch"], env=env)
        self._known = dict[str, Object]()

    def close(self) -> None:
        """End the process."""
        process.end(self._process)

    def read(self, name: str) -> Object | None:
        """Return an object by its sha; ``None`` if it is not here.

        Raises:
            InvalidInput: it is larger than any that is of use here.
        """
        found = self._known.get(name) or self._read(name)
        if found and len(self._known) < KNOWN:
            self._known[name] = found
        return found

    def _read(self, name: str) -> Object | None:
        asked, answers = self._process.stdin, self._process.stdout
        assert asked and answers  # noqa: S101 - both are pipes, for the type checker
        try:
            asked.write(f"{name}\n".encode())
            asked.flush()
        except OSError:
            raise Unavailable("git stopped reading objects.") from None
        head = answers.readline().split()
        if len(head) != 3:
            if head[1:] == [b"missing"]:
                return None
            raise Unavailable("git stopped reading objects.")
        if (size := int(head[2])) > LARGEST:
            process.end(self._process)  # the rest of its answer isn't wanted
            raise InvalidInput(f"Object {name[:12]} has {size >> 20} MB.", "Keep large files out of overlays.")
        content = answers.read(size + 1)
        return Object(head[1].decode(), bytes(content[:-1]))


def entries(tree: bytes) -> dict[str, Entry]:
    """Return the lines of a tree object by name, as gitformat-pack(5) and git's ``tree.c`` have them."""
    found, at = {}, 0
    while at < len(tree):
        end = tree.index(b"\0", at)
        mode, _, name = tree[at:end].partition(b" ")
        at = end + 1 + SHA_BYTES
        text = os.fsdecode(name)
        kind = {b"40000": "tree", b"160000": "commit"}.get(mode, "blob")
        found[text] = Entry(mode.decode(), kind, tree[end + 1 : at].hex(), text)
    return found
