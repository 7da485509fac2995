"""What kustomize makes of an overlay, by kustomize itself: in a private folder, without network, plugins or charts."""

import os
import posixpath
import re
import shutil
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tasks.core.errors import InvalidInput, Unavailable
from tasks.core.manifests.sources import Sources
from tasks.core.system import process
from tasks.core.system.interruption import work_ends_with_it
from tasks.core.system.process import CommandFailed
from tasks.core.text import listed

TIMEOUT = 60.0
"""Seconds one rendering may take; 50 ms are usual."""

MOST_OUTPUT = 64 << 20
"""Bytes that one rendering may print."""

CANNOT = (
    ("must specify --enable-helm", "a Helm chart"),
    ("external plugins disabled", "a plugin"),
    ("no 'git' program on path", "a remote base"),
    ("proxyconnect", "a remote file"),
    ("is not in or below", "a file outside its kustomization's folder"),
)
"""kustomize's words for what isn't done here, though Argo CD may be set up to do it."""

NOWHERE = "http://127.0.0.1:9"
"""A proxy that doesn't answer: what kustomize would fetch by itself fails at once."""


class NotRendered(Exception):
    """The overlay can't be rendered here, which doesn't mean that Argo CD can't; the text says why."""


def kustomize() -> list[str]:
    """Return the command that renders a folder: kustomize on the PATH, the wheel's kubectl, or kubectl on the PATH.

    Raises:
        NotRendered: there is none of them.
    """
    if found := shutil.which("kustomize"):
        return [found, "build"]
    wheel = Path(sysconfig.get_path("scripts"), "kubectl")
    if found := str(wheel) if wheel.is_file() else shutil.which("kubectl"):
        return [found, "kustomize"]
    raise NotRendered("neither kustomize nor kubectl is installed")


def render(sources: Sources, change: tuple[str, bytes], folder: Path) -> tuple[str | None, str]:
    """Render an overlay as it is and with one file changed.

    The first is ``None`` if kustomize can render only the changed overlay: the change repairs it.

    Args:
        sources: what the overlay reaches.
        change: the file's path, and what it is to be.
        folder: where the files may be written to meanwhile; must not exist yet.

    Raises:
        NotRendered: kustomize is missing, or would have to fetch or run something.
        InvalidInput: kustomize can't make sense of the changed overlay: so it is with Argo CD's.
        Unavailable: kustomize didn't end in time, or printed too much.
    """
    command = kustomize()
    if sources.omitted:
        raise NotRendered(f"it needs {listed(sources.omitted)}, which is neither fetched nor run")
    path, content = change
    changed = sources.files | {path: content}
    with ThreadPoolExecutor(2) as both, work_ends_with_it():
        rendered = both.submit(_rendered, command, sources, changed, folder / "changed")
        if changed != sources.files:
            before = None
            with suppress(InvalidInput):
                before = _rendered(command, sources, sources.files, folder / "as-it-is")
            return before, rendered.result()
        return rendered.result(), rendered.result()


def _rendered(command: list[str], sources: Sources, files: dict[str, bytes], root: Path) -> str:
    _write(sources, files, root)
    (root / ".home").mkdir()
    env = {"HOME": str(root / ".home"), "PATH": "", "LC_ALL": "C", "HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE}
    try:
        out = process.run([*command, str(root / sources.root)], env=env, timeout=TIMEOUT, most=MOST_OUTPUT)
    except CommandFailed as error:
        raise _explained(error, sources, root) from None
    return out.decode(errors="replace")


def _write(sources: Sources, files: dict[str, bytes], root: Path) -> None:
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    for path, real in sources.links.items():
        place = root / path
        if not os.path.lexists(place) and (root / real).exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(posixpath.relpath(real or ".", posixpath.dirname(path) or "."))


def _explained(error: CommandFailed, sources: Sources, root: Path) -> Exception:
    said = re.sub(r"\s+", " ", error.stderr.replace(f"{root}/", "").replace(str(root), ".")).strip()
    said = said.removeprefix("error: ").removeprefix("Error: ")
    for words, reason in CANNOT:
        if words in said:
            return NotRendered(f"it needs {reason}, which is neither fetched nor run: {said:.500}")
    if error.code is None or error.code < 0:
        return Unavailable(f"kustomize didn't render {sources.root or 'the overlay'}: {said:.500}")
    return InvalidInput(
        f"kustomize can't render {sources.root or 'the overlay'}: {said:.1000}",
        "Nothing was changed. Fix what kustomize names: Argo CD can't deploy it either."
        " If it can, with another version or options, set RENDER=off.",
    )
