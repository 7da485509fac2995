"""Branches, tags and commits by their names, and the history that tells them apart."""

import re
from pathlib import Path

from tasks.core.errors import InvalidInput, NotFound
from tasks.core.git.cli import run
from tasks.core.git.errors import explain
from tasks.core.git.remotes import Remote
from tasks.core.git.repository import init

FULL_SHA = re.compile(r"[0-9a-f]{40}")
SHORT_SHA = re.compile(r"[0-9a-f]{7,39}")


def resolve(where: Remote, ref: str, folder: Path) -> str:
    """Return the full sha of a branch, a tag, a full name such as ``refs/tags/v1``, or a commit.

    Branches and tags are asked for without fetching anything; a full sha is taken at its word (fetching it
    will tell); an abbreviated one needs the list of commits, which goes to ``folder``.

    Raises:
        InvalidInput: not a name git allows, or one that several different commits have.
        NotFound: there is no such branch, tag or commit.
    """
    check_ref(ref)
    if FULL_SHA.fullmatch(ref.lower()):
        return ref.lower()
    found = _named(where, ref)
    if SHORT_SHA.fullmatch(ref.lower()) and (sha := _resolve_short(where, ref.lower(), folder)):
        found[f"the commit {sha}"] = sha
    if len(set(found.values())) > 1:
        known = ", ".join(name if sha in name else f"{name} ({sha[:12]})" for name, sha in found.items())
        raise InvalidInput(
            f"{ref!r} is ambiguous in {where.url}: {known}.", "Give one of the full names, or the commit's full sha."
        )
    if not found:
        raise NotFound(
            f"{ref!r} is not a branch, tag or commit of {where.url}.", "Push it first, or check the spelling."
        )
    return next(iter(found.values()))


def _named(where: Remote, ref: str) -> dict[str, str]:
    """Return the commits that have this name as a branch, as a tag or in full, by their full names."""
    names = (f"refs/heads/{ref}", f"refs/tags/{ref}", ref)
    asked = [each for name in names for each in (name, f"{name}^{{}}")]  # the latter is an annotated tag's commit
    answer = run(where, "ls-remote", "--", where.url, *asked)
    shas = {name: _sha1(where, sha) for sha, _, name in (line.partition("\t") for line in answer.split("\n"))}
    return {name: shas.get(f"{name}^{{}}", shas[name]) for name in names if name in shas}


def head(where: Remote, branch: str, directory: Path) -> str:
    """Return the newest commit of a branch, by its full sha, asked for from a repository of ours; nothing is fetched.

    Raises:
        NotFound: there is no such repository or branch.
        AccessDenied, Unavailable: as the git server answers.
    """
    ref = f"refs/heads/{branch}"
    for line in run(where, "ls-remote", "origin", ref, directory=directory).split("\n"):
        sha, _, name = line.partition("\t")
        if name == ref:
            return _sha1(where, sha)
    raise NotFound(f"{where.url} has no branch {branch}.", "Push it first, or check the spelling.")


def _sha1(where: Remote, sha: str) -> str:
    if len(sha) > len("0" * 40):
        raise explain(f"mismatched algorithms: {sha}", where.url)
    return sha


def branches(where: Remote) -> list[str]:
    """Return the names of a repository's branches.

    Raises:
        NotFound: there is no such repository.
        AccessDenied, Unavailable: as the git server answers.
    """
    rows = run(where, "ls-remote", "--heads", "--", where.url).splitlines()
    return [row.partition("\trefs/heads/")[2] for row in rows]


def check_ref(ref: str) -> None:
    """Refuse what git does not allow as a ref (git-check-ref-format(1)) and what it would take for an option.

    Raises:
        InvalidInput: names the ref.
    """
    forbidden = set(" ~^:?*[\\") & set(ref)
    parts = ref.split("/")
    if (
        not 0 < len(ref) <= 255
        or not ref.isprintable()
        or ref.startswith("-")
        or forbidden
        or ".." in ref
        or "@{" in ref
        or ref == "@"
        or any(not part or part.startswith(".") or part.endswith((".lock", ".")) for part in parts)
    ):
        raise InvalidInput(
            f"{ref[:80]!r} is not a branch, tag or commit.", "Give a name such as main, v1.2.0 or a sha."
        )


def _resolve_short(where: Remote, prefix: str, folder: Path) -> str | None:
    fetch_history(where, folder)
    return full_sha(where, prefix, folder)


def fetch_history(where: Remote, directory: Path) -> None:
    """Fetch the commits of all branches and tags, without their files, into a new repository or one that is there.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    if not (directory / "HEAD").exists():
        init(directory, where)
    run(where, "fetch", "-q", "--filter=tree:0", "--tags", "origin", "+refs/heads/*:refs/heads/*", directory=directory)


def full_sha(where: Remote, prefix: str, directory: Path) -> str | None:
    """Return the full sha of a commit in a history that was fetched; ``None`` where there is none that begins so.

    Raises:
        InvalidInput: several commits do.
    """
    commits = run(where, "rev-list", "--all", directory=directory).split()
    matches = [sha for sha in commits if sha.startswith(prefix)]
    if len(matches) > 1:
        raise InvalidInput(f"{prefix} is the beginning of {len(matches)} commits.", "Give more of the sha.")
    return matches[0] if matches else None
