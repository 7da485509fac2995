"""One commit of the source repository, fetched when somebody first needs it, as Docker build contexts.

What the commit's images are made of is known from its folders alone; the files are fetched by the first build. From
a server that knows no filters everything comes at once.
"""

import re
import shutil
import tarfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import IO

from tasks.core import git
from tasks.core.content import Content, File, listed
from tasks.core.errors import InvalidInput, NotFound, Unavailable
from tasks.core.image_rules import unsupported_mount
from tasks.core.images import ImageSpec
from tasks.core.process import CommandFailed
from tasks.core.scratch import scratch

PAX_PATH = re.compile(rb"(?:^|\n)[0-9]+ path=([^\n]*)\n")
"""A file's long name in a tar's extended header (pax(1)); git writes no other one that counts here."""

CHUNK = 1 << 18
"""How much of a context is sent, and held, at a time."""

SENDING = 60.0
"""Seconds to wait for the context before this one; an engine may have stopped reading it."""


class Source:
    """A commit that several builds share.

    Args:
        where: the source repository.
        sha: full sha of the commit.
        repository: where the commit is fetched to when it is needed; must not exist yet.
    """

    def __init__(self, where: git.Remote, sha: str, repository: Path) -> None:
        self.where, self.sha = where, sha
        self._repository, self._folders = repository, repository.with_name(f"{repository.name}-folders")
        self._whole: Path | None = None
        self._files = dict[str, File]()
        self._fetching = threading.Lock()  # both builds want the commit at the same moment
        self._sending = threading.Lock()  # held while a context is read

    def repository(self) -> Path:
        """A bare repository that has the commit with all its files; fetched by the first who asks.

        Raises:
            NotFound, AccessDenied, Unavailable: as the git server answers.
        """
        with self._fetching:
            if not self._whole:
                shutil.rmtree(self._repository, ignore_errors=True)  # of an attempt that failed
                git.fetch_commit(self.where, self.sha, self._repository)
                self._whole = self._repository
            return self._whole

    def inputs(self, image: ImageSpec, build_args: Mapping[str, str]) -> str:
        """The name of all that an image of this commit is made of: see :meth:`tasks.core.content.Content.tag`.

        Raises:
            NotFound: the commit has no such Dockerfile.
            AccessDenied, Unavailable: as the git server answers.
        """
        return self._content(image).tag(build_args)

    def context(self, image: ImageSpec) -> Generator[bytes]:
        """The image's build context as a tar stream, without what ``.dockerignore`` leaves out.

        One is read at a time: of two at once, both would end when the second one does, and no build begin before.
        A stream that is not read to its end is to be closed, or the next one begins only after :data:`SENDING` seconds.

        Raises:
            NotFound: the commit has no such Dockerfile; raised by the call, before anything is sent.
            InvalidInput: the Dockerfile needs what a build does not get here.
        """
        self.repository()
        content = self._content(image)
        self._check(image)
        return self._stream(image.context, content.keeps)

    def _content(self, image: ImageSpec) -> Content:
        folder = _prefix(image)
        files = {path.removeprefix(folder): file for path, file in self._listed().items() if path.startswith(folder)}
        if image.dockerfile not in files:
            raise NotFound(
                f"Commit {self.sha[:7]} of {self.where.url} has no {folder}{image.dockerfile}, "
                f"which {image.name} is built from.",
                "Add the Dockerfile, or deploy a ref that has it.",
            )
        return Content(image, files, self._read)

    def _check(self, image: ImageSpec) -> None:
        path = _prefix(image) + image.dockerfile
        text = self._read(self._listed()[path]).decode(errors="replace")
        if kind := unsupported_mount(text):
            # BuildKit would go on without the secret, unless the step says required.
            raise InvalidInput(
                f"{path} of {image.name} has a RUN --mount=type={kind}, and a build is handed none here.",
                "Fetch what is private before the build, or build this image elsewhere.",
            )

    def _listed(self) -> dict[str, File]:
        """The commit's files by path."""
        with self._fetching:
            if not self._files:
                here = self._whole or self._fetch_folders()
                self._files = listed(git.run(git.Remote(str(here)), "ls-tree", "-r", "-z", self.sha, directory=here))
                if git.has(here, *(file.object for file in self._files.values())):
                    self._whole = here  # nobody asked for the files: the server knows no filters
            return self._files

    def _fetch_folders(self) -> Path:
        shutil.rmtree(self._folders, ignore_errors=True)
        git.fetch_folders(self.where, self.sha, self._folders)
        return self._folders

    def _read(self, file: File) -> bytes:
        here = self._whole or self._folders
        if not (git.has(here, file.object) or self._fetch(file)):
            here = self.repository()
        return git.run_bytes(git.Remote(str(here)), "cat-file", "blob", file.object, directory=here)

    def _fetch(self, file: File) -> bool:
        """Fetch one file; some servers hand out only what a branch or tag points at."""
        with self._fetching, suppress(NotFound):
            git.run(self.where, "fetch", "-q", "--no-tags", "origin", file.object, directory=self._folders)
            return True
        return False

    def _stream(self, folder: str, keep: Callable[[str], bool]) -> Generator[bytes]:
        alone = self._sending.acquire(timeout=SENDING)
        try:
            with git.archive(self.repository(), self.sha, folder) as archive:
                yield from _joined(_records(archive, keep))
        except (CommandFailed, tarfile.TarError) as error:
            raise Unavailable(f"The files of commit {self.sha[:7]} cannot be read: {error}.") from None
        finally:
            if alone:
                self._sending.release()


@contextmanager
def checkout(where: git.Remote, sha: str, work_dir: Path) -> Iterator[Source]:
    """A commit to build from; what was fetched of it is gone on leaving. Nothing is fetched before it is used."""
    with scratch(work_dir) as folder:
        yield Source(where, sha, folder / "source.git")


def _prefix(image: ImageSpec) -> str:
    return "" if image.context == "." else f"{image.context}/"


def _records(archive: IO[bytes], keep: Callable[[str], bool]) -> Iterator[bytes]:
    """The kept files of a tar, as git wrote them: tarfile would read and write each header anew, in twice the time."""
    # BuildKit takes a context for a Dockerfile unless its first entry is within the first 1024 bytes: hence the
    # folder itself before all, whose name is never long.
    root = tarfile.TarInfo("./")
    root.type, root.mode = tarfile.DIRTYPE, 0o755
    yield root.tobuf(tarfile.GNU_FORMAT)
    extended, path = b"", ""
    while any(header := archive.read(tarfile.BLOCKSIZE)):
        entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        body = _pieces(archive, entry.size + -entry.size % tarfile.BLOCKSIZE)
        if entry.type == tarfile.XHDTYPE:  # says more of the next entry: a long name, a long target
            content = b"".join(body)
            found = PAX_PATH.search(content[: entry.size])
            extended, path = header + content, found[1].decode(errors="surrogateescape") if found else ""
            continue
        kept = entry.type in (tarfile.REGTYPE, tarfile.SYMTYPE) and keep(path or entry.name)
        for piece in chain((extended, header), body):
            if kept:
                yield piece
        extended, path = b"", ""
    yield bytes(2 * tarfile.BLOCKSIZE)


def _pieces(archive: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (piece := archive.read(min(size, CHUNK))):
        size -= len(piece)
        yield piece


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        if len(buffer) >= CHUNK:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)
