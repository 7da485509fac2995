"""The objects of a rendered overlay: which images they name, and how two renderings differ."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tasks.core.manifests.sources import documents
from tasks.core.models import ObjectChange

SEPARATOR = re.compile(r"^---[ \t]*\n", re.MULTILINE)

CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
"""Lists whose items' ``image`` kustomize transforms, wherever they stand in an object."""

RESTARTING = ("Deployment", "StatefulSet", "DaemonSet", "Rollout", "DeploymentConfig")
"""Kinds whose pods are replaced when their template changes."""

OTHER_EFFECTS = {"CronJob": "runs with it next time", "Job": "can't be changed in place, only replaced"}
"""What a changed pod template means for kinds that don't restart."""

DATA = ("ConfigMap", "Secret", "CustomResourceDefinition")
"""Kinds in which kustomize doesn't look for images."""


@dataclass(frozen=True)
class Image:
    """An image that an object names: ``container`` tells whether at a place that kustomize transforms by itself."""

    object: str
    place: str
    text: str
    container: bool

    @property
    def parts(self) -> tuple[str, str, str]:
        """Repository, tag and digest."""
        return split(self.text)


def split(image: str) -> tuple[str, str, str]:
    """Return an image's repository, tag and digest; those it doesn't have are empty."""
    name, _, digest = image.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return head + slash + last, tag, digest


def objects(text: str) -> list[str]:
    """Return the objects of a rendering, each as text; kustomize always writes the same object alike."""
    return [each for each in SEPARATOR.split(text) if each.strip()]


def images(texts: Iterable[str]) -> list[Image]:
    """Every image that objects name."""
    found = list[Image]()
    for text in texts:
        if "image" in text.lower():
            for document in documents(text.encode()):
                if isinstance(document, dict) and document.get("kind") not in DATA:
                    found += _images(document, name_of(document))
    return found


def differences(before: str, after: str) -> tuple[ObjectChange, ...]:
    """Return what becomes different, object by object."""
    old, new = Counter(objects(before)), Counter(objects(after))
    gone, come = _by_name(old - new), _by_name(new - old)
    return tuple(_difference(name, gone.get(name), come.get(name)) for name in dict.fromkeys([*gone, *come]))


def name_of(document: dict[str, object]) -> str:
    """Return an object as a person names it: ``Deployment flowise-dev/flowise-server``."""
    metadata = document.get("metadata")
    about = metadata if isinstance(metadata, dict) else {}
    return f"{document.get('kind')} " + "/".join(str(about[key]) for key in ("namespace", "name") if about.get(key))


def _by_name(texts: Iterable[str]) -> dict[str, dict[str, object]]:
    found = (document for text in texts for document in documents(text.encode()))
    return {name_of(document): document for document in found if isinstance(document, dict)}


def _difference(name: str, old: dict[str, object] | None, new: dict[str, object] | None) -> ObjectChange:
    if old is None or new is None:
        return ObjectChange(object=name, effect="is deleted" if old else "is created")
    was, becomes = ({each.place: each.text for each in _images(of, name)} for of in (old, new))
    changed = tuple((was.get(place, ""), text) for place, text in becomes.items() if was.get(place) != text)
    return ObjectChange(object=name, effect=_effect(old, new), images=tuple(dict.fromkeys(changed)))


def _effect(old: dict[str, object], new: dict[str, object]) -> str:
    kind = str(new.get("kind"))
    if _template(old) != _template(new):
        return "restarts" if kind in RESTARTING else OTHER_EFFECTS.get(kind, "changes")
    return "changes"


def _template(document: dict[str, object]) -> object:
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return None
    return spec.get("jobTemplate") or spec.get("template")


def _images(value: object, name: str, place: str = "", seen: set[int] | None = None) -> Iterator[Image]:
    seen = set() if seen is None else seen
    if id(value) in seen:  # an alias
        return
    if isinstance(value, list):
        seen.add(id(value))
        for number, each in enumerate(value):
            label = each.get("name", number) if isinstance(each, dict) else number
            yield from _images(each, name, f"{place}[{label}]", seen)
    elif isinstance(value, dict):
        seen.add(id(value))
        inside = place.rpartition("[")[0].rpartition(".")[2] in CONTAINERS
        for key, each in value.items():
            if isinstance(each, str) and str(key).lower().endswith("image"):
                yield Image(name, f"{place}.{key}".lstrip("."), each, inside and key == "image")
            else:
                yield from _images(each, name, f"{place}.{key}", seen)
