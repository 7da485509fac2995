"""What an image is made of: the files of a commit that count, and one name for all of it.

The name is the same on every machine, because it is made from what git itself keeps: mode, path and blob of each
file. Neither a checkout nor the files' content is needed for it. It does not cover what a Dockerfile gets from
elsewhere: a base image, a package of today.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tasks.core.dockerignore import Ignore
from tasks.core.images import ImageSpec

VERSION = "v1"
"""Changes whenever the same inputs get another name, or are built in another way."""

PREFIX = f"inputs-{VERSION}-"
"""What the tag that names an image's inputs begins with."""

ATTRIBUTES = ".gitattributes"
"""Says how files are handed out (line ends), also where the context is without it."""


class File(NamedTuple):
    """A file of a commit, as git-ls-tree(1) tells it; a symbolic link is a file whose mode says so."""

    mode: str
    object: str


def listed(listing: str) -> dict[str, File]:
    """The files by path, from what ``git ls-tree -r -z`` printed.

    Submodules are none: what is in them is no part of the repository, and of no build context made of it.
    """
    found = {}
    for line in listing.split("\0")[:-1]:
        about, _, path = line.partition("\t")
        mode, kind, name = about.split(" ")
        if kind == "blob":
            found[path] = File(mode, name)
    return found


class Content:
    """Which files of a folder an image is made of.

    Args:
        image: its description.
        files: the files of the context's folder, by path; the Dockerfile is among them.
        read: hands out a file's content; asked for ``.dockerignore`` alone.

    Raises:
        InvalidInput: a pattern of ``.dockerignore`` or of the image's ``paths`` is not well-formed.
    """

    def __init__(self, image: ImageSpec, files: Mapping[str, File], read: Callable[[File], bytes]) -> None:
        self._image, self._files = image, files
        # As BuildKit does: a Dockerfile's own ignore file goes before the context's.
        names = (f"{image.dockerfile}.dockerignore", ".dockerignore")
        self._rules = next((name for name in names if name in files), None)
        text = read(files[self._rules]).decode(errors="replace") if self._rules else ""
        self._ignore = Ignore(text)
        self._others = Ignore("\n".join(image.paths))  # whose patterns say what is wanted

    def keeps(self, path: str) -> bool:
        """Whether a file belongs to the build context."""
        if path == self._image.dockerfile:
            return True
        return self._ignore.keeps(path) and not (self._image.paths and self._others.keeps(path))

    def tag(self, build_args: Mapping[str, str]) -> str:
        """The name of these inputs, built with these arguments, as a tag: equal for equal inputs, and for no others."""
        image = self._image
        head = json.dumps([VERSION, image.dockerfile, image.platform, image.paths, sorted(build_args.items())])
        counted = sorted(path for path in self._files if self._counts(path))
        rows = [f"{self._files[path].mode} {self._files[path].object} {path}" for path in counted]
        # No path has a NUL in it: no two lists are one text.
        name = hashlib.sha256("\0".join([head, *rows]).encode(errors="surrogateescape")).hexdigest()[:40]
        return f"{PREFIX}{name}"

    def _counts(self, path: str) -> bool:
        return path == self._rules or path.rpartition("/")[2] == ATTRIBUTES or self.keeps(path)
