"""The files that an overlay is made of, found by following what its kustomizations refer to.

Only these are read; nothing is checked out. What kustomize would fetch or run by itself (remote bases, Helm charts,
plugins) is named and neither fetched nor run.
"""

import posixpath
import re
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import yaml

from tasks.core.manifests.image_entries import LFS
from tasks.core.manifests.yaml_tree import LARGEST

FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""What kustomize looks for in a folder (kustomize's api/konfig, RecognizedKustomizationFileNames)."""

FOLDERS = ("resources", "components", "bases", "generators", "transformers", "validators")
"""Fields whose items may be folders with a kustomization of their own."""

FILES = (
    *("configurations", "crds", "openapi", "patches", "patchesstrategicmerge", "patchesjson6902", "replacements"),
    *("configmapgenerator", "secretgenerator"),
)
"""Fields, in small letters, whose items are files, or have some in :data:`PLACES`; kustomize ignores the case."""

PLACES = ("path", "paths", "files", "envs", "env")
PLUGINS = ("generators", "transformers", "validators")
HELM = ("helmcharts", "helmchartinflationgenerator")

REMOTE = re.compile(
    r"[a-z][a-z0-9+.-]*://|git::|gh:|git@|[\w-]+@[\w.-]+:|(www\.)?(github|gitlab|bitbucket)\.(com|org)[/:]"
    r"|.*(//|\?(ref|version|timeout|submodules)=)",
    re.IGNORECASE,
)
"""What kustomize takes for the address of a repository or a file elsewhere (its api/internal/git/repospec.go)."""

MOST_FILES, MOST_BYTES = 2000, 16 << 20
"""Bounds of what one overlay may reach."""


class Found(Protocol):
    """What stands at a path: its real one, links followed, and the content of a file or the names in a folder."""

    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def content(self) -> bytes | None: ...  # noqa: D102
    @property
    def names(self) -> Container[str]: ...  # noqa: D102
    @property
    def submodule(self) -> bool: ...  # noqa: D102


Look = Callable[[Collection[str]], Mapping[str, Found]]
"""What stands at these paths of the repository; those with nothing are left out."""


@dataclass
class Sources:
    """What an overlay reaches.

    ``files`` by real path, ``links`` from a path to the real one, ``parts`` from each kustomization to what it refers
    to, in its order; ``plugins`` are configurations of plugins; ``omitted`` says what kustomize would have to fetch
    or run.
    """

    root: str
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    plugins: set[str] = field(default_factory=set)
    omitted: list[str] = field(default_factory=list)

    def kustomization(self, folder: str) -> str:
        """Return the path of a folder's kustomization; empty if there is none."""
        folder = self.links.get(folder, folder)
        return next((path for name in FILE_NAMES if (path := _join(folder, name)) in self.files), "")


def collect(overlay: str, look: Look) -> Sources:
    """Read what the overlay in a folder reaches.

    Args:
        overlay: the folder's real path in the repository.
        look: reads many paths at once, so that they can be fetched together.
    """
    sources, todo, seen = Sources(overlay), {overlay}, set[str]()
    while todo:
        seen |= todo
        found = look(sorted(todo))
        reached = set[str]()
        for path, each in found.items():
            if each.path != path:
                sources.links[path] = each.path
            reached |= set(_add(sources, each))
        if len(sources.files) > MOST_FILES or sum(map(len, sources.files.values())) > MOST_BYTES:
            sources.omitted.append(f"more than {MOST_FILES} files or {MOST_BYTES >> 20} MB")
            break
        todo = reached - seen
    return sources


def documents(content: bytes) -> list[object]:
    """Return the YAML documents of a file, every scalar as text; none if it can't be read: kustomize then says why."""
    try:
        return list(yaml.load_all(content, Loader=yaml.CBaseLoader))
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError):
        return []


def _add(sources: Sources, found: Found) -> Iterator[str]:
    """Take in a file or folder; what it refers to."""
    if found.submodule:
        sources.omitted.append(f"the submodule {found.path}")
        return
    if found.content is None:
        yield from (_join(found.path, name) for name in FILE_NAMES if name in found.names)
        return
    sources.files[found.path] = found.content
    folder, name = posixpath.split(found.path)
    if found.content.startswith(LFS.encode()) and name not in FILE_NAMES:  # Argo CD may be set up to fetch it
        sources.omitted.append(f"{found.path} from Git LFS")
    if len(found.content) > LARGEST and (name in FILE_NAMES or found.path in sources.plugins):
        sources.omitted.append(f"{found.path}, which has more than {LARGEST:,} bytes")
    elif name in FILE_NAMES:
        for document in documents(found.content):
            yield from _references(sources, found.path, folder, document)
    elif found.path in sources.plugins:
        for document in documents(found.content):
            yield from _local(sources, found.path, folder, document)


def _references(sources: Sources, path: str, folder: str, document: object) -> Iterator[str]:
    parts = sources.parts.setdefault(path, [])
    for key, value in document.items() if isinstance(document, dict) else ():
        known = str(key).lower()
        if known in HELM and value:
            sources.omitted.append(f"a Helm chart in {path}")
        if known in FOLDERS + FILES:
            targets = list(_local(sources, path, folder, value))
            parts += targets if known in ("resources", "components", "bases") else []
            sources.plugins |= set(targets) if known in PLUGINS else set()
            yield from targets


def _local(sources: Sources, path: str, folder: str, value: object) -> Iterator[str]:
    """Yield what a field refers to in the repository; what is elsewhere is noted."""
    for reference in islice(_strings(value), MOST_FILES):
        if REMOTE.match(reference):
            sources.omitted.append(f"{reference:.200} in {path}")
            continue
        target = _join(folder, reference)
        if not reference.startswith("/") and target.split("/", 1)[0] != "..":
            yield target


def _strings(value: object, depth: int = 4) -> Iterator[str]:
    """Every reference in a field's value: a string, one behind ``name=``, or one in a known place of a mapping."""
    match value:
        case str() if "\n" in value:  # a patch, or a plugin's configuration, written in place
            for document in documents(value.encode()) if depth else ():
                yield from _strings(document, 0) if isinstance(document, dict) else ()
        case str() if value:
            yield value
            if "=" in value and not REMOTE.match(value):
                yield value.partition("=")[2]
        case list() if depth:
            for each in value:
                yield from _strings(each, depth - 1)
        case dict():
            for place in PLACES:
                yield from _strings(value.get(place, []), max(depth - 1, 1))


def _join(folder: str, name: str) -> str:
    path = posixpath.normpath(posixpath.join(folder, name))
    return "" if path == "." else path
