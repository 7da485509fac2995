"""What an image is made of: the files of a commit that count, and one name for all of it.

The name is the same on every machine, because it is made from what git itself keeps: mode, path and blob of each
file. Neither a checkout nor the files' content is needed for it. The build context is written from the same list of
files (:mod:`tasks.core.build.context`), so that no file reaches a build without being part of the name. The name does
not cover what a Dockerfile gets from elsewhere: a base image, a package of today.
"""

import hashlib
import json
import posixpath
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import accumulate
from typing import NamedTuple

from tasks.core.build.dockerignore import Ignore
from tasks.core.errors import InvalidInput
from tasks.core.images import ImageSpec
from tasks.core.system import interruption

VERSION = "v2"
"""Changes whenever the same inputs get another name, or are built in another way."""

PREFIX = f"inputs-{VERSION}-"
"""What the tag that names an image's inputs begins with."""

LINK = "120000"
"""Mode of a symbolic link in git's trees."""

FOLDER = "040000"
"""Mode of a folder."""

SUBMODULE = "160000"
"""Mode of a submodule, whose name is a commit of another repository."""

LINKS = 40
"""How many symbolic links lead to one file at most, as in Linux."""

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


class Listing(NamedTuple):
    """What a commit has, in git's order: its files by path, and the commits of its submodules by folder."""

    files: dict[str, File]
    submodules: dict[str, str]


def listed(listing: str) -> Listing:
    """Parse what ``git ls-tree -r -z`` printed.

    Raises:
        InvalidInput: a path stands there twice, which git never writes; which of the two counts is anyone's guess.
    """
    found = dict[str, File]()
    for line in listing.split("\0")[:-1]:
        about, _, path = line.partition("\t")
        mode, _, name = about.split(" ")
        if path in found:
            raise InvalidInput(f"The commit lists {path!r:.200} twice.", "Commit the folder again with git.")
        found[path] = File(mode, name)
    submodules = {path: file.object for path, file in found.items() if file.mode == SUBMODULE}
    return Listing({path: file for path, file in found.items() if path not in submodules}, submodules)


def follow(path: str, files: Mapping[str, File], read: Callable[[str], bytes]) -> tuple[str, ...]:
    """Follow symbolic links, those of folders as well, from a path to a file of the same commit.

    Returns:
        The links, and the file last; nothing if the commit has nothing at that path.

    Raises:
        InvalidInput: they lead out of the commit, to nothing, or in a circle.
    """
    start, links, is_link = path, list[str](), False
    while path not in files or files[path].mode == LINK:
        on_the_way = accumulate(path.split("/"), lambda folder, name: f"{folder}/{name}")
        link = next((each for each in on_the_way if each in files and files[each].mode == LINK), None)
        if link is None and not is_link:  # perhaps in a folder that is a link
            return ()
        if link is None or len(links) == LINKS:
            raise InvalidInput(
                f"{start} is a symbolic link, and its target {path:.200} isn't a file of the commit.",
                "Commit the target, or replace the link with the file itself.",
            )
        links.append(link)
        is_link = is_link or link == path
        target = read(link).decode(errors="surrogateescape")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(link), target) + path.removeprefix(link))
    return (*links, path)


def folders_of(paths: Iterable[str]) -> set[str]:
    """Return all folders that these paths are in."""
    return {folder for path in paths for folder in accumulate(path.split("/")[:-1], lambda one, name: f"{one}/{name}")}


class Content:
    """The files of a commit that an image is made of.

    Args:
        image: its description.
        listing: all that the commit has.
        read: returns the content of a file or the target of a link.

    Attributes:
        context: the files of the build context, by their path in the commit.
        submodules: the commits of submodules that may have more of them, by folder.
        dockerfile: path of the Dockerfile in the commit, where links lead; empty if there is none.
        empty: folders of the context that have no files, by their path in it.
        needed: the Dockerfile and the links to it, as far as the context doesn't have them.

    Raises:
        InvalidInput: a pattern of ``.dockerignore`` or of the image's ``paths`` is not well-formed, or a link to the
            Dockerfile or to ``.dockerignore`` doesn't lead to a file that the build can have.
    """

    def __init__(self, image: ImageSpec, listing: Listing, read: Callable[[str], bytes]) -> None:
        self._image, self._files, folder = image, listing.files, image.folder
        files = listing.files
        above = accumulate(image.context.split("/"), lambda one, name: f"{one}/{name}")
        if link := next((each for each in above if each in files and files[each].mode == LINK), ""):
            raise InvalidInput(
                f"The context {image.context} of {image.name} leads through {link}, a symbolic link.",
                "Set the image's context to the folder itself.",
            )
        # As BuildKit does: a Dockerfile's own ignore file goes before the context's.
        names = (f"{image.dockerfile_path}.dockerignore", f"{folder}.dockerignore")
        self._rules = next(filter(None, (follow(name, files, read) for name in names)), ())
        self._ignore = Ignore(read(self._rules[-1]).decode(errors="replace") if self._rules else "")
        wanted = (path.removeprefix("!") if path.startswith("!") else f"!{path}" for path in image.paths)
        self._paths = Ignore("\n".join(["**", *wanted] if image.paths else []))
        needed = follow(image.dockerfile_path, files, read)
        self.dockerfile = needed[-1] if needed else ""
        inside = (path for path in files if path.startswith(folder))
        self.context = {path: files[path] for path in inside if self.keeps(path.removeprefix(folder))}
        self.needed = {path: files[path] for path in needed if path not in self.context}
        self.empty = self.without_files(listing, self.context, folder)
        self.submodules = {
            path: commit
            for path, commit in listing.submodules.items()
            if path.startswith(folder) and self.may_keep(path.removeprefix(folder))
        }

    def without_files(self, listing: Listing, kept: Iterable[str], folder: str = "", prefix: str = "") -> list[str]:
        """Return the folders of a commit that a checkout has and nothing of the context is in, as the context has them.

        A Dockerfile may copy one whose files are ignored. The folder of a submodule is one, too.
        """
        there = folders_of(listing.files) | folders_of(listing.submodules) | listing.submodules.keys()
        names = (prefix + each.removeprefix(folder) for each in there - folders_of(kept) if each.startswith(folder))
        return sorted(each for each in names if self.keeps(each))

    def keeps(self, path: str) -> bool:
        """Whether the context has a file; ``path`` is relative to the context."""
        interruption.check(f"Reading the files of {self._image.name}")
        return self._ignore.keeps(path) and self._paths.keeps(path)

    def may_keep(self, folder: str) -> bool:
        """Whether the context may have files of a folder."""
        return self._ignore.may_keep(folder) and self._paths.may_keep(folder)

    def tag(self, build_args: Mapping[str, str], fetched: Collection[str] = (), attached: Collection[str] = ()) -> str:
        """Return the name of these inputs, built with these arguments, as a tag: only equal inputs have equal names.

        The ids of build secrets count, as the Dockerfile names them; their values don't.

        Args:
            build_args: values of the Dockerfile's ``ARG``.
            fetched: what the build gets besides the commit's own files: ``submodules``, ``lfs``.
            attached: the image's attestations.
        """
        image, folder = self._image, self._image.folder
        ways = ["apart"] * bool(self.needed) + ["lfs"] * ("lfs" in fetched) + sorted(attached)
        more = [*([image.target] if image.target else []), *([ways] if ways else [])]
        head = json.dumps([VERSION, image.dockerfile, image.platform, image.paths, sorted(build_args.items()), *more])
        # Attributes of a folder above the context count as well; "/" tells them from what is in it.
        counted = {
            path.removeprefix(folder) if path.startswith(folder) else f"/{path}": self._files[path]
            for path in self._files
            if path in self.context
            or path in self.needed
            or path in self._rules
            or self._says_how_files_are_written(path)
        }
        if "submodules" in fetched:
            counted |= {path.removeprefix(folder): File(SUBMODULE, sha) for path, sha in self.submodules.items()}
        counted |= {f"{each}/": File(FOLDER, "") for each in self.empty}
        rows = [f"{file.mode} {file.object} {path}" for path, file in sorted(counted.items())]
        # No path has a NUL in it: no two lists are one text.
        name = hashlib.sha256("\0".join([head, *rows]).encode(errors="surrogateescape")).hexdigest()[:40]
        return f"{PREFIX}{name}"

    def _says_how_files_are_written(self, path: str) -> bool:
        above, _, name = path.rpartition("/")
        folder = self._image.folder
        return name == ATTRIBUTES and (path.startswith(folder) or folder.startswith(f"{above}/" if above else ""))
