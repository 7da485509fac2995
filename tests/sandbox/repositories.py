"""Bare git repositories made with git alone, and what tests do to them: commit, show, log."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.sandbox import gitops_files, source_files

Files = Mapping[str, str | bytes | None]
"""Content by path: text, bytes, or ``None`` for a file that goes away."""

AUTHOR = "Sandbox <sandbox@example.com>"
EPOCH = 1_767_225_600  # 2026-01-01 00:00 UTC: the same content always gives the same commits
MINUTE = 60

_FIELD_END = "\x1f"
_RECORD_END = "\x1e"


def source_repository(path: Path) -> Path:
    """Make a bare repository shaped like Flowise's monorepo.

    ::

        main     A ── B ── C      A  the first import        C  a change to the server and the docs
                      │ \\         B  a better UI; v1.0.0 is an annotated tag on it
                    v1.0.0
        feature         D         D  adds packages/components/src/agent.ts to B

    What ``.dockerignore`` leaves out is in the repository: a build that ignores it fails.
    """
    init(path)
    commit(path, "main", source_files.first(), "feat: import the workspace")
    better = commit(path, "main", source_files.BETTER_UI, "feat(ui): greet by name")
    _tag(path, "v1.0.0", better)
    commit(path, "main", source_files.FASTER_SERVER, "perf(server): answer pings without logging")
    commit(path, "feature/agents", source_files.AGENT, "feat(components): add an agent", start=better)
    return path


def gitops_repository(path: Path) -> Path:
    """Make a bare repository shaped like the user's DevOps repository.

    ::

        main   A ── B ── C      A  base and the dev overlay   B  staging   C  production

    Every overlay renders with ``kubectl kustomize``, and each is written in a style of its own.
    """
    init(path)
    commit(path, "main", gitops_files.base_and_dev(), "feat: flowise in dev")
    commit(path, "main", gitops_files.overlay("staging"), "feat: flowise in staging")
    commit(path, "main", gitops_files.overlay("production"), "feat: flowise in production")
    return path


def init(path: Path) -> Path:
    """Make an empty bare repository whose branch will be ``main``."""
    git(None, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(path))
    return path


def commit(
    bare: Path, branch: str, files: Files, message: str, *, start: str | None = None, by: tuple[str, int] | None = None
) -> str:
    """Add a commit to a branch and answer its sha, by default one minute after the commit before.

    Args:
        bare: the repository.
        branch: where it goes; a new branch begins at ``start``, or with no history.
        files: what changes, by path.
        message: the whole commit message.
        start: a commit, when the branch is new.
        by: who commits, as ``name <address>``, and when, in seconds.
    """
    parent = start or head(bare, branch)
    if not by:
        by = AUTHOR, int(git(bare, "show", "-s", "--format=%ct", parent)) + MINUTE if parent else EPOCH
    git(bare, "fast-import", "--quiet", stdin=_stream(f"refs/heads/{branch}", parent, by, files, message))
    return git(bare, "rev-parse", f"refs/heads/{branch}").decode().strip()


def head(bare: Path, branch: str = "main") -> str | None:
    """The branch's newest commit; ``None`` where there is no such branch."""
    listed = git(bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}").decode()
    return listed.strip() or None


def show(bare: Path, rev: str, path: str) -> str:
    """A file's content in a revision, line ends untouched."""
    return git(bare, "cat-file", "blob", f"{rev}:{path}").decode()


def log(bare: Path, branch: str = "main") -> list[dict[str, str]]:
    """The branch's commits, newest first: ``sha``, ``author``, ``committer``, ``subject``, ``body``."""
    names = ("sha", "author", "committer", "subject", "body")
    fields = _FIELD_END.join(("%H", "%an <%ae>", "%cn <%ce>", "%s", "%b"))
    text = git(bare, "log", f"--format={fields}{_RECORD_END}", branch, "--").decode()
    records = [record.strip("\n") for record in text.split(_RECORD_END)]
    return [dict(zip(names, record.split(_FIELD_END), strict=True)) for record in records if record]


def git(bare: Path | None, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run git in a repository, without the user's configuration, and answer its output."""
    where = [f"--git-dir={bare}"] if bare else []
    answer = subprocess.run(
        ["git", *where, *arguments], input=stdin, capture_output=True, env=git_environment(), check=False
    )
    if answer.returncode:
        raise AssertionError(f"git {' '.join(arguments)}: {answer.stderr.decode(errors='replace')}")
    return answer.stdout


def git_environment() -> dict[str, str]:
    """This process's environment without anything that would change what git does."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return clean | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }


def _tag(bare: Path, name: str, target: str) -> None:
    stamp = f"tagger {AUTHOR} {EPOCH} +0000\n"
    stream = f"tag {name}\nfrom {target}\n{stamp}".encode() + _data(f"Release {name}\n".encode())
    git(bare, "fast-import", "--quiet", stdin=stream)


def _stream(ref: str, parent: str | None, by: tuple[str, int], files: Files, message: str) -> bytes:
    """The commit in git fast-import's language."""
    author, when = by
    begin = f"commit {ref}\ncommitter {author} {when} +0000\n".encode()
    after = f"from {parent}\n".encode() if parent else b""
    return begin + _data(message.encode()) + after + b"".join(map(_change, files, files.values()))


def _change(path: str, content: str | bytes | None) -> bytes:
    quoted = '"' + re.sub(r'(["\\])', r"\\\1", path) + '"'
    if content is None:
        return f"D {quoted}\n".encode()
    data = content.encode() if isinstance(content, str) else content
    mode = "100755" if data.startswith((b"#!", b"\x7fELF")) else "100644"
    return f"M {mode} inline {quoted}\n".encode() + _data(data)


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)
