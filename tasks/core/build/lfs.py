"""Files that Git LFS keeps outside of a commit, which has a short pointer in the place of each.

The format is that of github.com/git-lfs/git-lfs/blob/main/docs/spec.md. git-lfs fetches the files, over every transport
that it knows, and checks them against their pointers. The token is configured for the source's own host alone.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.core import git
from tasks.core.build.inputs import LINK, File
from tasks.core.errors import InvalidInput, NotFound

POINTER = re.compile(
    rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\n(?:ext-.+\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize [0-9]+\n?"
)
SIZES = range(100, 1024)
"""Bytes of a pointer."""

ADDRESS = re.compile(r"(https?|ssh)://\S+")


def pointers(repository: Path, files: Mapping[str, File]) -> dict[str, bytes]:
    """Return the pointers among these files, by path."""
    here = git.Remote(str(repository))
    asked = dict.fromkeys(file.object for file in files.values() if file.mode != LINK)
    sizes = _asked(here, asked, "--batch-check=%(objectsize) %(objectname)").decode().split("\n")[:-1]
    small = [name for size, name in (line.split(" ") for line in sizes) if int(size) in SIZES]
    found = {name: text for name, text in _objects(_asked(here, small, "--batch")) if POINTER.fullmatch(text)}
    return {path: found[file.object] for path, file in files.items() if file.object in found}


def _asked(here: git.Remote, names: Mapping[str, None] | list[str], how: str) -> bytes:
    asked = "".join(f"{name}\n" for name in names).encode()
    return git.run_bytes(here, "cat-file", how, directory=Path(here.url), stdin=asked)


def _objects(batch: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(batch):
        end = batch.index(b"\n", at)
        name, _, size = batch[at:end].decode().split(" ")
        at = end + 1 + int(size) + 1
        yield name, batch[end + 1 : at - 1]


def fetch(where: git.Remote, repository: Path, found: Mapping[str, bytes], config: bytes = b"") -> dict[str, Path]:
    """Fetch the files of these pointers, and return where each of them is, by path.

    Args:
        where: the repository that the commit comes from.
        repository: where the commit was fetched to.
        found: the pointers by path.
        config: content of the commit's ``.lfsconfig``, which may name another server.

    Raises:
        InvalidInput: git-lfs is not installed, or ``.lfsconfig`` names no server.
        NotFound: the server doesn't have one of them.
        AccessDenied, Unavailable: as the server answers.
    """
    if not shutil.which("git-lfs"):
        raise InvalidInput(
            "git-lfs is not installed.", "Install it where builds run, for example with apt-get install git-lfs."
        )
    here = git.Remote(str(repository))
    # A commit of nothing else, so that no more is fetched than the context needs.
    blobs = (
        git.run(here, "hash-object", "-w", "--stdin", directory=repository, stdin=each).strip()
        for each in found.values()
    )
    listing = "".join(f"100644 blob {blob}\t{number}\n" for number, blob in enumerate(blobs))
    tree = git.run(here, "mktree", directory=repository, stdin=listing.encode()).strip()
    commit = f"tree {tree}\nauthor A <> 0 +0000\ncommitter A <> 0 +0000\n\n".encode()
    sha = git.run(here, "hash-object", "-t", "commit", "-w", "--stdin", directory=repository, stdin=commit).strip()
    # git-lfs asks for a login as often as it is rejected, and git's own way of asking never fails.
    no_login = ("-c", "credential.helper=!echo quit=1 #")
    git.run(where, *no_login, *_server(config), "lfs", "fetch", "origin", sha, directory=repository)
    paths = {path: _kept(repository, text) for path, text in found.items()}
    for path, kept in paths.items():
        if not kept.is_file():
            raise NotFound(f"{where.url} doesn't have the Git LFS file {path}.", "Push it: git lfs push --all origin.")
    return paths


def _kept(repository: Path, pointer: bytes) -> Path:
    match = POINTER.fullmatch(pointer)
    name = match[1].decode() if match else ""
    return repository / "lfs" / "objects" / name[:2] / name[2:4] / name


def _server(config: bytes) -> list[str]:
    url = git.config(config, ".lfsconfig").get("lfs.url", "")
    if url and not ADDRESS.fullmatch(url):
        raise InvalidInput(f".lfsconfig names {url!r:.100}, which is no Git LFS server.", "Give an https:// URL.")
    return ["-c", f"lfs.url={url}"] if url else []
