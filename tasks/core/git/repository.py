"""Repositories of our own, without a checkout: made, filled from others, and read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tasks.core.errors import DeliveryError, InvalidInput, NotFound
from tasks.core.git import cli
from tasks.core.git.cli import run, run_bytes
from tasks.core.git.remotes import Remote
from tasks.core.system import process


def init(directory: Path, where: Remote | None = None) -> None:
    """Make an empty bare repository, by hand: these few files are one (gitrepository-layout(5)).

    If ``where`` is a repository on this machine, it lends its objects ("objects/info/alternates"). The attributes
    make ``git archive`` hand out every file of a commit as a checkout would.
    """
    for part in ("objects/info", "refs", "info"):
        (directory / part).mkdir(parents=True)
    (directory / "HEAD").write_text("ref: refs/heads/none\n")
    (directory / "info" / "attributes").write_text("* -export-ignore -export-subst\n")
    if where and (objects := lent(where)):
        (directory / "objects" / "info" / "alternates").write_text(f"{objects}\n")


def lent(where: Remote) -> Path | None:
    """Return the folder of objects that a whole bare repository on this machine lends."""
    bare = Path(where.url).absolute()
    whole = (bare / "objects").is_dir() and (bare / "HEAD").is_file() and not (bare / "shallow").exists()
    return bare / "objects" if whole and not (bare / ".git").exists() else None


def fetch_commit(where: Remote, sha: str, directory: Path, *options: str) -> None:
    """Fetch one commit with all its files and without its history into a new repository, unless it is lent.

    Args:
        where: the repository it is in.
        sha: full sha of the commit.
        directory: the new repository.
        options: more of git-fetch(1)'s, such as a filter.

    Raises:
        NotFound: no branch or tag of the repository has this commit.
    """
    init(directory, where)
    if lent(where) and has(directory, sha):
        return
    try:
        run(where, "fetch", "-q", *options, "--depth=1", "--no-tags", "origin", sha, directory=directory)
    except NotFound:
        # Some servers hand out only what a branch or tag points at: take everything, then look.
        run(where, "fetch", "-q", *options, "--tags", "origin", "+refs/heads/*:refs/heads/*", directory=directory)
        if sha not in run(where, "rev-list", "--all", directory=directory).split():
            raise NotFound(f"{where.url} has no commit {sha}.", "Push it first, or check the sha.") from None


def fetch_folders(where: Remote, sha: str, directory: Path) -> None:
    """Fetch one commit as :func:`fetch_commit`, but without its files where the server can do so.

    Raises:
        NotFound: no branch or tag of the repository has this commit.
    """
    fetch_commit(where, sha, directory, "--filter=blob:none")
    # Forget that it is a part of another one: git would go and fetch each file that is asked for, by itself.
    (directory / "config").unlink(missing_ok=True)


def has(directory: Path, *objects: str) -> bool:
    """Whether a repository has all of these objects."""
    asked = "".join(f"{name}\n" for name in objects).encode()
    answer = run(Remote(str(directory)), "cat-file", "--batch-check", directory=directory, stdin=asked)
    return not any(line.endswith(" missing") for line in answer.splitlines())


@contextmanager
def archive(directory: Path, sha: str, folder: str = "") -> Iterator[IO[bytes]]:
    """Stream a commit's files, or those of a folder, as a tar: content as in a checkout, paths as in the commit."""
    what = [sha, "--", folder] if folder else [sha]
    command = ["git", "-C", str(directory), "--literal-pathspecs", "archive", "--format=tar", *what]
    with process.stream(command, env=cli.environment(Remote(str(directory)))) as out:
        yield out


def config(content: bytes, name: str) -> dict[str, str]:
    """Parse a file in the format of git-config(1), such as ``.gitmodules``, into values by key.

    Raises:
        InvalidInput: it isn't one.
    """
    try:
        said = run(Remote(name), "config", "--file", "-", "--list", "--null", stdin=content)
    except DeliveryError as error:
        raise InvalidInput(f"{name} can't be read: {error.message}", f"Fix {name}.") from None
    return dict(entry.partition("\n")[::2] for entry in said.split("\0")[:-1])


def read(directory: Path, sha: str, path: str) -> bytes | None:
    """Return a file of a commit; ``None`` where the commit has no such file."""
    here = Remote(str(directory))
    if not run(here, "ls-tree", sha, "--", path, directory=directory).strip():
        return None
    return run_bytes(here, "cat-file", "blob", f"{sha}:{path}", directory=directory)
