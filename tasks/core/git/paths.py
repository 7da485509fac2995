"""Paths of a branch, many at once and with links followed, as a checkout would have them."""

import os
from collections.abc import Generator, Iterable, Mapping
from typing import NamedTuple

from tasks.core.git.branch import FILES, Branch
from tasks.core.git.objects import Entry

LINK = "120000"
"""Mode of a symbolic link in a tree (git-fast-import(1), "filemodify")."""

MOST_LINKS = 40
"""Links followed on the way to one path, as Linux has it (path_resolution(7))."""


class Found(NamedTuple):
    """What stands at a path: its real one, the bytes of a file, the names in a folder; neither for a submodule."""

    path: str
    content: bytes | None
    names: Mapping[str, Entry] = {}
    submodule: bool = False

    @property
    def folders(self) -> list[str]:
        """The names of folders, and of links, which may lead to some."""
        return [name for name, entry in self.names.items() if entry.kind == "tree" or entry.mode == LINK]


Walk = Generator[str, bytes, Found | None]
"""Asks for objects, one at a time."""


def look(branch: Branch, paths: Iterable[str], at: str | None = None) -> dict[str, Found]:
    """Return what stands at each path, at the head or at an earlier commit; paths with nothing are left out.

    Objects that are missing are fetched together: one fetch for each level of the deepest path. A link that leads out
    of the repository leads to nothing.
    """
    root, found = branch.root(at), dict[str, Found]()
    walks = {path: _walk(branch, root, path) for path in paths}
    wanted = {path: name for path, walk in walks.items() if (name := next(walk, ""))}
    while wanted:
        branch.load(wanted.values())
        asked, wanted = wanted, {}
        for path, name in asked.items():
            try:
                wanted[path] = walks[path].send(branch.object(name))
            except StopIteration as end:
                if end.value:
                    found[path] = end.value
    return found


def _walk(branch: Branch, root: str, path: str) -> Walk:
    done, trees, links = list[str](), [root], 0
    parts = path.split("/")
    while parts:
        name = parts.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            if not done:
                return None
            del done[-1], trees[-1]
            continue
        yield trees[-1]
        entry = branch.entries(trees[-1]).get(name)
        if entry is None:
            return None
        done.append(name)
        if entry.kind == "tree":
            trees.append(entry.object)
        elif entry.kind == "commit":
            return Found("/".join(done), None, submodule=True)
        elif entry.mode == LINK:
            del done[-1]
            target, links = os.fsdecode((yield entry.object)), links + 1
            if links > MOST_LINKS or target.startswith("/"):
                return None
            parts = target.split("/") + parts
        else:
            return None if parts or entry.mode not in FILES else Found("/".join(done), (yield entry.object))
    yield trees[-1]
    return Found("/".join(done), None, branch.entries(trees[-1]))
