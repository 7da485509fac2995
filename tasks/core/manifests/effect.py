"""Whether the images that an overlay is to have reach a container, and if not, why.

kustomize applies an entry of ``images:`` to the images that bases and components have made of the manifests', and
says nothing about one that matches none: a base that renames an image first is enough to take all effect from it.
"""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tasks.core.errors import InvalidInput
from tasks.core.manifests.image_entries import KEYS, is_pattern, names_same_image
from tasks.core.manifests.objects import Image, images, split
from tasks.core.manifests.sources import Sources, documents
from tasks.core.models import ImageRef
from tasks.core.text import listed


def missing(wanted: Sequence[ImageRef], found: Sequence[Image]) -> list[ImageRef]:
    """Return the wanted images that no object names in the wanted version."""
    return [ref for ref in wanted if not any(_is(ref, image) for image in found)]


def without_effect(path: str, lost: Sequence[ImageRef], found: Sequence[Image], sources: Sources) -> InvalidInput:
    """Explain entries that reach no container: name them, the images that there are, and the likely reason."""
    reasons = dict.fromkeys(_reason(ref, found, path, sources) for ref in lost)
    used = sorted(dict.fromkeys(image.text for image in found), key=lambda text: not _alike(lost, text))
    manifests = f"the manifests use {listed(used, 8)}" if used else "the manifests name no image"
    return InvalidInput(
        f"{path}: setting {' and '.join(ref.name for ref in lost)} has no effect: with it, no container has"
        f" {' or '.join(map(str, lost))}; {manifests}. {' '.join(said for said, _ in reasons)}",
        "Nothing was changed. " + " ".join(dict.fromkeys(hint for _, hint in reasons)),
    )


def warnings(wanted: Sequence[ImageRef], found: Sequence[Image], sources: Sources) -> list[str]:
    """Return what a person should know of images that stay as they are."""
    said = []
    others = [image for image in found if _alike(wanted, image.text) and not any(_is(ref, image) for ref in wanted)]
    if others:
        texts = listed(f"{image.text} ({image.object}, {image.place})" for image in others)
        said.append(f"Other versions stay beside those of this update: {texts}.")
    entries = [entry for content in _kustomizations(sources).values() for entry in _entries(content)]
    unset = [
        image.text
        for image in found
        if image.container and image not in others and not image.parts[2] and not any(_sets(e, image) for e in entries)
    ]
    if unset:
        said.append(f"No entry of images sets {listed(unset)}.")
    return said


def by_names(sources: Sources) -> list[Image]:
    """Return the images that an overlay would have, from the names alone: what can be told without kustomize."""
    return _named(sources, sources.kustomization(sources.root), set())


def _named(sources: Sources, path: str, above: set[str]) -> list[Image]:
    found = list[Image]()
    for part in sources.parts.get(path, []):
        inner = sources.kustomization(part)
        if inner and inner not in above:
            found += _named(sources, inner, above | {path})
        elif content := sources.files.get(sources.links.get(part, part)):
            found += images([content.decode(errors="replace")])
    for entry in _entries(sources.files.get(path, b"")):
        found = [_applied(entry, image) for image in found]
    return found


def _applied(entry: ImageRef, image: Image) -> Image:
    repository, tag, digest = image.parts
    same = names_same_image(entry.name, repository) if is_pattern(entry.name) else entry.name == repository
    if not (image.container and same):
        return image
    if entry.tag or entry.digest:
        tag, digest = entry.tag or "", entry.digest or ""
    suffix = (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    return replace(image, text=f"{entry.new_name or repository}{suffix}")


def _is(ref: ImageRef, image: Image) -> bool:
    repository, tag, digest = image.parts
    named = repository == ref.new_name if ref.new_name else names_same_image(ref.name, repository)
    return named and (digest == ref.digest if ref.digest else tag == ref.tag and not digest)


def _alike(refs: Iterable[ImageRef], text: str) -> bool:
    last = posixpath.basename(split(text)[0])
    return any(last in (posixpath.basename(ref.name), posixpath.basename(ref.new_name or ref.name)) for ref in refs)


def _sets(entry: ImageRef, image: Image) -> bool:
    repository = image.parts[0]
    named = repository == entry.new_name if entry.new_name else names_same_image(entry.name, repository)
    return named and bool(entry.tag or entry.digest)


def _kustomizations(sources: Sources) -> dict[str, bytes]:
    return {path: sources.files[path] for path in sources.parts}


def _entries(kustomization: bytes) -> list[ImageRef]:
    """Return the entries of a kustomization that kustomize itself has to judge."""
    documented = next((each for each in documents(kustomization) if isinstance(each, dict)), {})
    found = documented.get("images")
    mappings = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    texts = ({key: each[key] for key in KEYS if isinstance(each.get(key), str)} for each in mappings)
    return [
        ImageRef(each.get("name", ""), each.get("newName"), each.get("newTag"), each.get("digest")) for each in texts
    ]


def _reason(ref: ImageRef, found: Sequence[Image], path: str, sources: Sources) -> tuple[str, str]:
    """Return the likely reason why an entry has no effect, and what to do about it."""
    for base, content in _kustomizations(sources).items():
        if base != path and any(_alike([ref], each.name) and each.new_name for each in _entries(content)):
            return (
                f"{base} has images of its own, which rename {ref.name} before this overlay's entry can match.",
                f"Remove its entry from {base}.",
            )
    alike = [image for image in found if _alike([ref], image.text)]
    for image in alike:
        if not image.container:
            return (
                f"{image.object} names it in {image.place}, which kustomize doesn't transform by itself.",
                "Add a file with the images fieldSpec of that kind to the overlay's configurations.",
            )
        repository = image.parts[0]
        if repository == ref.new_name:
            return (
                f"A patch, a replacement or a later entry makes it {image.text} in {image.object}.",
                f"Leave the version of {ref.name} to the entry of images.",
            )
        return (
            f"{image.object} spells it {repository}.",
            f"Write image: {ref.name} in the manifests, and name: {ref.name}.",
        )
    return f"No manifest of the overlay names {ref.name}.", "Set IMAGES or OVERLAYS_PATH to what is deployed."
