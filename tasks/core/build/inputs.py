"""What an image is made of: the files of a commit that count, and one name for all of it.

The name is the same on every machine, because it is made from what git itself keeps: mode, path and blob of each
file. Neither a checkout nor the files' content is needed for it. The build context is written from the same list of
files (:mod:`tasks.core.build.context`), so that no file reaches a build without being part of the name. The name does
not cover what a Dockerfile gets from elsewhere: a base image, a package of today.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tasks.core.build.dockerignore import Ignore
from tasks.core.errors import InvalidInput
from tasks.core.images import ImageSpec

VERSION = "v2"
"""Changes whenever the same inputs get another name, or are built in another way."""

PREFIX = f"inputs-{VERSION}-"
"""What the tag that names an image's inputs begins with."""

LINK = "120000"
"""Mode of a symbolic link in git's trees."""

ATTRIBUTES = ".gitattributes"
"""Says how files are handed out (line ends), also where the context is without it."""


class File(NamedTuple):
    """A file of a commit, as git-ls-tree(1) tells it; a symbolic link is a file whose mode says so."""

    mode: str
    object: str

    @property
    def permissions(self) -> int:
        """Return what a checkout with umask 022 gives the file."""
        if self.mode == LINK:
            return 0o777
        return 0o755 if int(self.mode, 8) & 0o100 else 0o644


def listed(listing: str) -> dict[str, File]:
    """Parse what ``git ls-tree -r -z`` printed into files by path, in git's order.

    Submodules are left out: their files belong to another repository.

    Raises:
        InvalidInput: a path stands there twice, which git never writes; which of the two counts is anyone's guess.
    """
    found = dict[str, File]()
    for line in listing.split("\0")[:-1]:
        about, _, path = line.partition("\t")
        mode, kind, name = about.split(" ")
        if path in found:
            raise InvalidInput(f"The commit lists {path!r:.200} twice.", "Commit the folder again with git.")
        if kind == "blob":
            found[path] = File(mode, name)
    return found


class Content:
    """The files of a commit that an image is made of.

    Args:
        image: its description.
        files: all files of the commit, by path; the Dockerfile is among them.
        read: returns a file's content; called for ``.dockerignore`` alone.

    Attributes:
        context: the files of the build context, by their path in the commit.

    Raises:
        InvalidInput: a pattern of ``.dockerignore`` or of the image's ``paths`` is not well-formed.
    """

    def __init__(self, image: ImageSpec, files: Mapping[str, File], read: Callable[[File], bytes]) -> None:
        self._image, self._files, folder = image, files, image.folder
        # As BuildKit does: a Dockerfile's own ignore file goes before the context's.
        names = (f"{folder}{image.dockerfile}.dockerignore", f"{folder}.dockerignore")
        self._rules = next((name for name in names if name in files), None)
        ignore = Ignore(read(files[self._rules]).decode(errors="replace") if self._rules else "")
        others = Ignore("\n".join(image.paths))  # whose patterns say what is wanted

        def keeps(path: str) -> bool:
            return path == image.dockerfile or (ignore.keeps(path) and not (image.paths and others.keeps(path)))

        inside = (path for path in files if path.startswith(folder))
        self.context = {path: files[path] for path in inside if keeps(path.removeprefix(folder))}

    def tag(self, build_args: Mapping[str, str]) -> str:
        """Return the name of these inputs, built with these arguments, as a tag: only equal inputs have equal names."""
        image, folder = self._image, self._image.folder
        head = json.dumps([VERSION, image.dockerfile, image.platform, image.paths, sorted(build_args.items())])
        # Attributes of a folder above the context count as well; "/" tells them from what is in it.
        counted = {
            path.removeprefix(folder) if path.startswith(folder) else f"/{path}": self._files[path]
            for path in self._files
            if path in self.context or path == self._rules or self._says_how_files_are_written(path)
        }
        rows = [f"{file.mode} {file.object} {path}" for path, file in sorted(counted.items())]
        # No path has a NUL in it: no two lists are one text.
        name = hashlib.sha256("\0".join([head, *rows]).encode(errors="surrogateescape")).hexdigest()[:40]
        return f"{PREFIX}{name}"

    def _says_how_files_are_written(self, path: str) -> bool:
        above, _, name = path.rpartition("/")
        folder = self._image.folder
        return name == ATTRIBUTES and (path.startswith(folder) or folder.startswith(f"{above}/" if above else ""))
