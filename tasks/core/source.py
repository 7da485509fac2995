"""One commit of the source repository, fetched when somebody first needs it, as Docker build contexts."""

import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.core import git
from tasks.core.dockerignore import Ignore
from tasks.core.errors import NotFound, Unavailable
from tasks.core.models import ImageSpec
from tasks.core.process import CommandFailed
from tasks.core.scratch import scratch

CHUNK = 1 << 16
"""How much of a context is sent, and held, at a time."""


class Source:
    """A commit that several builds share.

    Args:
        where: the source repository.
        sha: full sha of the commit.
        repository: where the commit is fetched to when it is needed; must not exist yet.
    """

    def __init__(self, where: git.Remote, sha: str, repository: Path) -> None:
        self.where, self.sha = where, sha
        self._repository, self._fetched = repository, False
        self._fetching = threading.Lock()  # both builds want the commit at the same moment

    def repository(self) -> Path:
        """A bare repository that has the commit; fetched by the first who asks.

        Raises:
            NotFound, AccessDenied, Unavailable: as the git server answers.
        """
        with self._fetching:
            if not self._fetched:
                shutil.rmtree(self._repository, ignore_errors=True)  # of an attempt that failed
                git.fetch_commit(self.where, self.sha, self._repository)
                self._fetched = True
        return self._repository

    def context(self, image: ImageSpec) -> Iterator[bytes]:
        """The image's build context as a tar stream, without what ``.dockerignore`` leaves out.

        Raises:
            NotFound: the commit has no such Dockerfile; raised by the call, before anything is sent.
        """
        keep = self._filter(image)
        return self._stream(image.context, keep)

    def _filter(self, image: ImageSpec) -> Callable[[str], bool]:
        folder = "" if image.context in ("", ".") else f"{image.context.rstrip('/')}/"
        repository = self.repository()
        if git.read(repository, self.sha, folder + image.dockerfile) is None:
            raise NotFound(
                f"Commit {self.sha[:7]} of {self.where.url} has no {folder}{image.dockerfile}, "
                f"which {image.name} is built from.",
                "Add the Dockerfile, or deploy a ref that has it.",
            )
        # As BuildKit does: a Dockerfile's own ignore file goes before the context's.
        for name in (f"{image.dockerfile}.dockerignore", ".dockerignore"):
            text = git.read(repository, self.sha, folder + name)
            if text is not None:
                return Ignore(text.decode(errors="replace"), always=[image.dockerfile]).keeps
        return lambda path: True

    def _stream(self, folder: str, keep: Callable[[str], bool]) -> Iterator[bytes]:
        try:
            with (
                git.archive(self.repository(), self.sha, folder) as archive,
                tarfile.open(fileobj=archive, mode="r|") as files,
            ):
                yield from _joined(_records(files, keep))
        except (CommandFailed, tarfile.TarError) as error:
            raise Unavailable(f"The files of commit {self.sha[:7]} cannot be read: {error}.") from None


@contextmanager
def checkout(where: git.Remote, sha: str, work_dir: Path) -> Iterator[Source]:
    """A commit to build from; what was fetched of it is gone on leaving. Nothing is fetched before it is used."""
    with scratch(work_dir) as folder:
        yield Source(where, sha, folder / "source.git")


def _records(files: tarfile.TarFile, keep: Callable[[str], bool]) -> Iterator[bytes]:
    # BuildKit takes a context for a Dockerfile unless its first entry is within the first 1024 bytes: hence the
    # folder itself before all, whose name is never long, and GNU format instead of PAX.
    root = tarfile.TarInfo("./")
    root.type, root.mode = tarfile.DIRTYPE, 0o755
    yield root.tobuf(tarfile.GNU_FORMAT)
    for entry in files:
        if entry.isdir() or not keep(entry.name):
            continue
        yield entry.tobuf(tarfile.GNU_FORMAT)
        if entry.isreg() and (content := files.extractfile(entry)):
            while chunk := content.read(CHUNK):
                yield chunk
            yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        if len(buffer) >= CHUNK:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)
