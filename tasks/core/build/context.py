"""One commit of the source repository, fetched when it is first needed, as Docker build contexts.

What the commit's images are made of is known from its folders alone; the files are fetched by the first build. From
a server without filters everything comes at once.
"""

import shutil
import tarfile
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tasks.core import git
from tasks.core.build.buildkit import Recipe
from tasks.core.build.dockerfile import Dockerfile
from tasks.core.build.inputs import Content, File, listed
from tasks.core.errors import InvalidInput, NotFound, Unavailable
from tasks.core.images import ImageSpec
from tasks.core.system.process import CommandFailed
from tasks.core.system.temp_dir import temp_dir

CHUNK = 1 << 18
"""How much of a context is sent, and held, at a time."""

LARGEST = 512 * 1024
"""Bytes of a Dockerfile or of an ignore file; those that people write have a few thousand."""

LATEST = 0o77777777777
"""The last second a plain tar header has room for, in the year 2242: the engine counts nanoseconds in 64 bits."""

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
        """Return a bare repository that has the commit with all its files; fetched by the first who asks.

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
        """Name all that an image of this commit is made of: see :meth:`tasks.core.build.inputs.Content.tag`.

        Raises:
            NotFound: the commit has no such Dockerfile.
            AccessDenied, Unavailable: as the git server answers.
        """
        return self._content(image).tag(build_args)

    def context(self, image: ImageSpec) -> Generator[bytes]:
        """Return the image's build context as a tar stream, without what ``.dockerignore`` leaves out.

        One is read at a time: of two at once, both would end when the second one does, and no build begin before.
        A stream that is not read to its end is to be closed, or the next one begins only after :data:`SENDING` seconds.

        Raises:
            NotFound: the commit has no such Dockerfile; raised by the call, before anything is sent.
        """
        self.repository()
        return self._stream(image, self._content(image).context)

    def _content(self, image: ImageSpec) -> Content:
        content = Content(image, self._listed(), self._read)
        if not content.dockerfile:
            path = image.folder + image.dockerfile
            raise NotFound(
                f"Commit {self.sha[:7]} of {self.where.url} has no {path}, which {image.name} is built from.",
                "Add the Dockerfile, or deploy a ref that has it.",
            )
        return content

    def recipe(self, image: ImageSpec) -> Recipe:
        """Read the image's Dockerfile, where links lead.

        Raises:
            NotFound: the commit has no such Dockerfile, or it has no such target.
        """
        path = self._content(image).dockerfile
        dockerfile = Dockerfile(self._read(path).decode(errors="replace"))
        if image.target and not dockerfile.has(image.target):
            raise NotFound(f"{path} of {image.name} has no stage {image.target}.", "Check the image's target.")
        return Recipe(path, dockerfile, image.target)

    def _listed(self) -> dict[str, File]:
        """Return the commit's files by path."""
        with self._fetching:
            if not self._files:
                here = self._whole or self._fetch_folders()
                self._files = listed(git.run(git.Remote(str(here)), "ls-tree", "-r", "-z", self.sha, directory=here))
                if git.has(here, *(file.object for file in self._files.values())):
                    self._whole = here  # the files weren't asked for: the server has no filters
            return self._files

    def _fetch_folders(self) -> Path:
        shutil.rmtree(self._folders, ignore_errors=True)
        git.fetch_folders(self.where, self.sha, self._folders)
        return self._folders

    def _read(self, path: str) -> bytes:
        file, here = self._listed()[path], self._whole or self._folders
        if not (git.has(here, file.object) or self._fetch(file)):
            here = self.repository()
        size = int(git.run(git.Remote(str(here)), "cat-file", "-s", file.object, directory=here))
        if size > LARGEST:
            raise InvalidInput(
                f"{path} of commit {self.sha[:7]} has {size} bytes, and no more than {LARGEST} are read.",
                "Commit a smaller one.",
            )
        return git.run_bytes(git.Remote(str(here)), "cat-file", "blob", file.object, directory=here)

    def _fetch(self, file: File) -> bool:
        """Fetch one file; some servers hand out only what a branch or tag points at."""
        with self._fetching, suppress(NotFound):
            git.run(self.where, "fetch", "-q", "--no-tags", "origin", file.object, directory=self._folders)
            return True
        return False

    def _stream(self, image: ImageSpec, context: Mapping[str, File]) -> Generator[bytes]:
        alone = self._sending.acquire(timeout=SENDING)
        try:
            with git.archive(self.repository(), self.sha, image.folder) as archive:
                yield from _joined(_tar(archive, self._listed(), context, image.folder))
        except (CommandFailed, tarfile.TarError) as error:
            raise Unavailable(f"The files of commit {self.sha[:7]} cannot be read: {error}.") from None
        finally:
            if alone:
                self._sending.release()


@contextmanager
def checkout(where: git.Remote, sha: str, work_dir: Path) -> Iterator[Source]:
    """Yield a commit to build from; what was fetched of it is gone on leaving. Nothing is fetched before it is used."""
    with temp_dir(work_dir) as folder:
        yield Source(where, sha, folder / "source.git")


def _tar(archive: IO[bytes], listed: Mapping[str, File], context: Mapping[str, File], folder: str) -> Iterator[bytes]:
    """Write the context's files as a tar: names and modes from git's list, contents from its archive.

    Raises:
        tarfile.ReadError: the archive doesn't have the listed files, one by one.
    """
    # BuildKit takes a context for a Dockerfile unless its first entry is within the first 1024 bytes: hence the
    # folder itself before all, whose name is never long.
    root = tarfile.TarInfo("./")
    root.type, root.mode = tarfile.DIRTYPE, 0o755
    yield root.tobuf(tarfile.GNU_FORMAT)
    with tarfile.open(fileobj=archive, mode="r|", bufsize=CHUNK, encoding="utf-8") as files:
        members = (member for member in files if not member.isdir())
        for path in (path for path in listed if path.startswith(folder)):
            member = next(members, None)
            if member is None or member.name != path:
                raise tarfile.ReadError(f"git archive has {member and member.name!r}, git ls-tree has {path!r}")
            if path in context:
                member.name, member.mode = path.removeprefix(folder), context[path].permissions
                member.mtime = min(member.mtime, LATEST)
                yield member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
                yield from _pieces(files.extractfile(member) if member.isreg() else None, member.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _pieces(content: IO[bytes] | None, size: int) -> Iterator[bytes]:
    while content and (piece := content.read(CHUNK)):
        yield piece
    yield bytes(-size % tarfile.BLOCKSIZE)


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        if len(buffer) >= CHUNK:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)
