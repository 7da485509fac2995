"""Folders that a build reads over its session: the sender's side of github.com/tonistiigi/fsutil.

The engine asks for a folder. It gets the description of each entry, requests the files that it wants by their place in
that list, and says when it has enough. Entries come in the order of their path's parts, folders before what is in them.
"""

import os
import tarfile
from collections import deque
from collections.abc import Collection, Iterator
from itertools import accumulate
from typing import IO

from tasks.core.build.protobuf import field, fields, number

DIFF_COPY = "/moby.filesync.v1.FileSync/DiffCopy"
STAT, REQUEST, DATA, FIN = range(4)
DIRECTORY, SYMLINK = 1 << 31, 1 << 27
"""Bits of Go's os.FileMode."""

PIECE = 1 << 15
"""Bytes of a file in one message, as Go's sender has it."""


class Folder:
    """The files of a tar, as a folder.

    Args:
        tar: a file that can be read anywhere, for as long as the folder is of use.
    """

    def __init__(self, tar: IO[bytes]) -> None:
        self._tar = tar
        tar.seek(0)
        with tarfile.open(fileobj=tar, mode="r:", encoding="utf-8") as archive:
            members = {os.fsencode(each.name): each for each in archive if each.name != "."}
        self._files = {path: each for path, each in members.items() if not each.isdir()}
        self._empty = members.keys() - self._files.keys()

    def entries(self, wanted: Collection[bytes] = ()) -> Iterator[tuple[bytes, tarfile.TarInfo | None]]:
        """Yield all entries, or those of some files, in their order; a folder has no description."""
        files = [path for path in self._files if not wanted or path in wanted]
        above = {
            folder
            for path in [*files, *self._empty]
            for folder in accumulate(path.split(b"/")[:-1], lambda a, b: a + b"/" + b)
        }
        empty = set() if wanted else self._empty
        for path in sorted({*files, *above, *empty}, key=lambda each: each.split(b"/")):
            yield path, self._files.get(path)

    def pieces(self, file: tarfile.TarInfo) -> Iterator[bytes]:
        """Yield the content of a file."""
        for at in range(0, file.size, PIECE):
            yield os.pread(self._tar.fileno(), min(PIECE, file.size - at), file.offset_data + at)


class Transfer:
    """One transfer of a folder: takes the engine's messages, and has ours ready."""

    def __init__(self, folder: Folder, wanted: Collection[bytes] = ()) -> None:
        self._folder, self._entries = folder, list(folder.entries(wanted))
        self._ready = deque[Iterator[bytes]]([self._list()])
        self.ended = False

    def take(self, message: bytes) -> None:
        """Take a message of the engine's."""
        said = dict(fields(message))  # wire.proto: Packet {type=1 stat=2 ID=3 data=4}
        kind, index = said.get(1, STAT), said.get(3, 0)
        if kind == REQUEST and index < len(self._entries) and (file := self._entries[index][1]):
            self._ready.append(self._content(index, file))
        elif kind != REQUEST:
            self._ready.append(self._end())

    def messages(self) -> Iterator[bytes]:
        """Yield the messages that can be sent now."""
        while self._ready:
            yield from self._ready[0]
            self._ready.popleft()

    def _list(self) -> Iterator[bytes]:
        for path, file in self._entries:
            yield number(1, STAT) + field(2, _stat(path, file))
        yield number(1, STAT)

    def _content(self, index: int, file: tarfile.TarInfo) -> Iterator[bytes]:
        head = number(1, DATA) + number(3, index)
        for piece in self._folder.pieces(file):
            yield head + field(4, piece)
        yield head

    def _end(self) -> Iterator[bytes]:
        yield number(1, FIN)
        self.ended = True


def _stat(path: bytes, file: tarfile.TarInfo | None) -> bytes:
    # stat.proto: Stat {path=1 mode=2 uid=3 gid=4 size=5 modTime=6 linkname=7}
    if file is None:
        return field(1, path) + number(2, DIRECTORY | 0o755)
    about = field(1, path) + number(2, file.mode | (SYMLINK if file.issym() else 0)) + number(5, file.size)
    link = field(7, os.fsencode(file.linkname)) if file.issym() else b""
    return about + number(6, int(file.mtime) * 10**9) + link
