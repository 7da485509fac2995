"""A build context as a tar stream, written from a commit's list of files and from what git hands out of each."""

import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, NamedTuple

from tasks.core.build.inputs import File

CHUNK = 1 << 18
"""How much of a context is sent, and held, at a time."""

LATEST = 0o77777777777
"""The last second a plain tar header has room for, in the year 2242: the engine counts nanoseconds in 64 bits."""


class Part(NamedTuple):
    """The files of a context that come from one repository.

    Args:
        archive: opens ``git archive`` of the repository's commit, or of ``folder`` in it.
        listing: all of the commit's files, by path.
        files: those that belong to the context.
        empty: folders of the context without files, by their path there.
        large: where the content of those files is that Git LFS has.
        folder: what paths in the commit begin with, and paths in the context don't.
        prefix: what paths in the context begin with instead.
    """

    archive: Callable[[], AbstractContextManager[IO[bytes]]]
    listing: Mapping[str, File]
    files: Mapping[str, File]
    empty: Iterable[str]
    large: Mapping[str, Path]
    folder: str = ""
    prefix: str = ""


def write(parts: Iterable[Part]) -> Iterator[bytes]:
    """Write a context as a tar, in pieces of about :data:`CHUNK` bytes.

    Raises:
        tarfile.ReadError: an archive doesn't have the listed files, one by one.
        CommandFailed, OSError: files can't be read any more.
    """
    buffer = bytearray()
    for piece in _tar(parts):
        buffer += piece
        if len(buffer) >= CHUNK:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)


def _tar(parts: Iterable[Part]) -> Iterator[bytes]:
    # BuildKit takes a context for a Dockerfile unless its first entry is within the first 1024 bytes: hence the
    # folder itself before all, whose name is never long.
    yield _folder("./")
    for part in parts:
        yield from map(_folder, part.empty)
        yield from _entries(part)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _folder(name: str) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _entries(part: Part) -> Iterator[bytes]:
    """Write the files of one repository: names and modes from git's list, contents from its archive."""
    with part.archive() as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK, encoding="utf-8") as files:
        members = (member for member in files if not member.isdir())
        for path in (path for path in part.listing if path.startswith(part.folder)):
            member = next(members, None)
            if member is None or member.name != path:
                raise tarfile.ReadError(f"git archive has {member and member.name!r}, git ls-tree has {path!r}")
            if path not in part.files:
                continue
            content = files.extractfile(member) if member.isreg() else None
            if path in part.large:
                content, member.size = part.large[path].open("rb"), part.large[path].stat().st_size
            member.name, member.mode = part.prefix + path.removeprefix(part.folder), part.files[path].permissions
            member.mtime = min(member.mtime, LATEST)
            yield member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
            yield from _pieces(content, member.size)


def _pieces(content: IO[bytes] | None, size: int) -> Iterator[bytes]:
    if content:
        with content:
            while piece := content.read(CHUNK):
                yield piece
    yield bytes(-size % tarfile.BLOCKSIZE)
