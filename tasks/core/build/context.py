"""One commit of the source repository, fetched when it is first needed, as Docker build contexts.

What the commit's images are made of is known from its folders alone; the files are fetched by the first build. From
a server without filters everything comes at once.
"""

import posixpath
import shutil
import tarfile
import threading
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tasks.core import git, text
from tasks.core.build import lfs, submodules
from tasks.core.build.buildkit import Recipe
from tasks.core.build.context_tar import Part, write
from tasks.core.build.dockerfile import Dockerfile
from tasks.core.build.inputs import Content, File, Listing, listed
from tasks.core.errors import DeliveryError, InvalidInput, NotFound, Unavailable
from tasks.core.images import ImageSpec
from tasks.core.models import Elsewhere
from tasks.core.system.process import CommandFailed
from tasks.core.system.temp_dir import temp_dir

LARGEST = 512 * 1024
"""Bytes of a Dockerfile or of an ignore file; those that people write have a few thousand."""

SENDING = 60.0
"""Seconds to wait for the context before this one; an engine may have stopped reading it."""


@dataclass(frozen=True)
class Policy:
    """What happens to files that git keeps outside of the commit: in submodules, and in Git LFS."""

    submodules: Elsewhere = "reject"
    lfs: Elsewhere = "reject"

    @property
    def fetched(self) -> list[str]:
        """What of it a build gets."""
        return [name for name in ("submodules", "lfs") if getattr(self, name) == "fetch"]


class Source:
    """A commit that several builds share.

    Args:
        where: the source repository.
        sha: full sha of the commit.
        repository: where the commit is fetched to when it is needed; must not exist yet.
        policy: what happens to files that the commit itself doesn't have.
    """

    def __init__(self, where: git.Remote, sha: str, repository: Path, policy: Policy = Policy()) -> None:
        self.where, self.sha, self._policy = where, sha, policy
        self._repository, self._folders = repository, repository.with_name(f"{repository.name}-folders")
        self._whole: Path | None = None
        self._listing = Listing({}, {})
        self._modules = dict[str, Source]()
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

    def inputs(self, image: ImageSpec, build_args: Mapping[str, str], attached: Collection[str] = ()) -> str:
        """Name all that an image of this commit is made of: see :meth:`tasks.core.build.inputs.Content.tag`.

        Raises:
            NotFound: the commit has no such Dockerfile.
            AccessDenied, Unavailable: as the git server answers.
        """
        return self._content(image).tag(build_args, self._policy.fetched, attached)

    def context(self, image: ImageSpec, whole: bool = True) -> Generator[bytes]:
        """Return the image's build context as a tar stream, without what ``.dockerignore`` leaves out.

        The Dockerfile is in it even if it is ignored there, unless a build gets it apart (``whole=False``).

        One is read at a time: of two at once, both would end when the second one does, and no build begin before.
        A stream that is not read to its end is to be closed, or the next one begins only after :data:`SENDING` seconds.

        Raises:
            NotFound: the commit has no such Dockerfile; raised by the call, before anything is sent.
            InvalidInput: files that the context needs are outside of the commit.
            AccessDenied, Unavailable: as their servers answer.
        """
        self.repository()
        content = self._content(image)
        files = {**content.context, **content.needed} if whole else content.context
        return self._stream([*self._parts(content, files, content.submodules, image.folder)])

    def _parts(
        self,
        content: Content,
        files: Mapping[str, File],
        modules: Mapping[str, str],
        folder: str = "",
        prefix: str = "",
    ) -> Iterator[Part]:
        """Return the context's files of this commit, and of its submodules."""
        archive = partial(git.archive, self.repository(), self.sha, folder)
        empty = content.without_files(self._listed(), files, folder, prefix)
        yield Part(archive, self._listed().files, files, empty, self._large(files), folder, prefix)
        for path in modules if self._policy.submodules != "leave" else ():
            module, below = self._module(path, modules[path]), f"{prefix}{path.removeprefix(folder)}/"
            module.repository()
            listing = module._listed()
            chosen = {each: file for each, file in listing.files.items() if content.keeps(below + each)}
            nested = {each: sha for each, sha in listing.submodules.items() if content.may_keep(below + each)}
            yield from module._parts(content, chosen, nested, prefix=below)

    def _module(self, path: str, sha: str) -> "Source":
        if self._policy.submodules == "reject":
            raise InvalidInput(
                f"{path} of commit {self.sha[:7]} is a submodule, and its files aren't in {self.where.url}.",
                "Set SOURCE_SUBMODULES to fetch them, or to leave the folder empty; or list it in .dockerignore.",
            )
        known = submodules.addresses(self._read(".gitmodules")) if ".gitmodules" in self._listed().files else {}
        if not known.get(path):
            raise InvalidInput(f"{path} is a submodule that .gitmodules has no URL of.", "Add it: git submodule add.")
        where = submodules.remote(known[path], self.where)
        repository = self._repository.with_name(f"{self._repository.name}-module{sorted(known).index(path)}")
        return self._modules.setdefault(path, Source(where, sha, repository, self._policy))

    def _large(self, files: Mapping[str, File]) -> dict[str, Path]:
        """Return where those files are that the commit has only pointers to."""
        found = lfs.pointers(self.repository(), files) if self._policy.lfs != "leave" else {}
        if not found:
            return {}
        if self._policy.lfs == "reject":
            raise InvalidInput(
                f"Commit {self.sha[:7]} has only a Git LFS pointer in the place of {text.listed(found)}.",
                "Set SOURCE_LFS to fetch the files, or to leave the pointers; or list them in .dockerignore.",
            )
        config = self._read(".lfsconfig") if ".lfsconfig" in self._listed().files else b""
        with self._fetching:
            return lfs.fetch(self.where, self._whole or self._repository, found, config)

    def _content(self, image: ImageSpec) -> Content:
        listing = self._listed()
        content, folder = Content(image, listing, self._read), image.folder
        if not content.dockerfile:
            raise self._missing(image, image.dockerfile_path, "is built from")
        if not any(path.startswith(folder) for path in (*listing.files, *listing.submodules)):
            raise self._missing(image, image.context, "has for its context")
        return content

    def _missing(self, image: ImageSpec, path: str, use: str) -> DeliveryError:
        listing = self._listed()
        if module := next((each for each in listing.submodules if f"{path}/".startswith(f"{each}/")), ""):
            return InvalidInput(
                f"{path}, which {image.name} {use}, is in the submodule {module}.",
                "Keep it in the source repository itself.",
            )
        hint = "Add it, or deploy a ref that has it."
        if path == image.dockerfile_path and image.dockerfile in listing.files:
            from_context = posixpath.relpath(image.dockerfile, image.context)
            hint = f"The image's dockerfile is a path from its context: set it to {from_context}."
        return NotFound(f"Commit {self.sha[:7]} of {self.where.url} has no {path}, which {image.name} {use}.", hint)

    def recipe(self, image: ImageSpec) -> Recipe:
        """Read the image's Dockerfile, where links lead.

        Raises:
            NotFound: the commit has no such Dockerfile, or it has no such target.
        """
        content = self._content(image)
        path, text = content.dockerfile, self._read(content.dockerfile)
        dockerfile = Dockerfile(text.decode(errors="replace"), image.build_args)
        if image.target and dockerfile.standard and not dockerfile.has(image.target):
            raise NotFound(f"{path} of {image.name} has no stage {image.target}.", "Check the image's target.")
        return Recipe(path, dockerfile, image.target, text if content.needed else None)

    def _listed(self) -> Listing:
        """Return what the commit has."""
        with self._fetching:
            if not self._listing.files:
                here = self._whole or self._fetch_folders()
                self._listing = listed(git.run(git.Remote(str(here)), "ls-tree", "-r", "-z", self.sha, directory=here))
                if git.has(here, *(file.object for file in self._listing.files.values())):
                    self._whole = here  # the files weren't asked for: the server has no filters
            return self._listing

    def _fetch_folders(self) -> Path:
        shutil.rmtree(self._folders, ignore_errors=True)
        git.fetch_folders(self.where, self.sha, self._folders)
        return self._folders

    def _read(self, path: str) -> bytes:
        file, here = self._listed().files[path], self._whole or self._folders
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

    def _stream(self, parts: Iterable[Part]) -> Generator[bytes]:
        alone = self._sending.acquire(timeout=SENDING)
        try:
            yield from write(parts)
        except (CommandFailed, OSError, tarfile.TarError) as error:
            raise Unavailable(f"The files of commit {self.sha[:7]} cannot be read: {error}.") from None
        finally:
            if alone:
                self._sending.release()


@contextmanager
def checkout(
    where: git.Remote,
    sha: str,
    work_dir: Path,
    policy: Policy = Policy(),
) -> Iterator[Source]:
    """Yield a commit to build from; what was fetched of it is gone on leaving. Nothing is fetched before it is used."""
    with temp_dir(work_dir) as folder:
        yield Source(where, sha, folder / "source.git", policy)
