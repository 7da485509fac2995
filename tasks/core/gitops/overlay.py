"""The edit that an update makes in an environment's overlay, on a branch's head, before anything is written."""

import difflib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from tasks.core.errors import InvalidInput, NotFound
from tasks.core.git.branch import Branch
from tasks.core.git.paths import look
from tasks.core.images import Images
from tasks.core.manifests import kustomization
from tasks.core.manifests.sources import FILE_NAMES
from tasks.core.models import Environment, ImageChange, ImageRef

Overlays = str | Mapping[Environment, str]
"""The folder with one overlay for each environment, or the folder of each."""

NO_NEWLINE = r"\ No newline at end of file"
"""What a diff says below a last line that is not finished (git-diff(1))."""


@dataclass(frozen=True)
class Edit:
    """One file, before and after."""

    path: str
    before: str
    after: str

    @property
    def diff(self) -> str:
        """A unified diff, as git-apply(1) takes it; empty where nothing changes."""
        lines = difflib.unified_diff(_lines(self.before), _lines(self.after), f"a/{self.path}", f"b/{self.path}")
        return "".join(line if line.endswith("\n") else f"{line}\n{NO_NEWLINE}\n" for line in lines)

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """The images the file names so far."""
        return tuple(kustomization.read_images(self.before))

    def changes(self, images: Sequence[ImageRef]) -> tuple[ImageChange, ...]:
        """Which of these images become different."""
        return tuple(change for image in images if (change := self._change(image)))

    def appended(self, images: Sequence[ImageRef]) -> list[ImageRef]:
        """Which of these images the file had no entry of."""
        names = {image.name for image in self.images}
        return [image for image in images if image.name not in names]

    def _change(self, new: ImageRef) -> ImageChange | None:
        named = [image for image in self.images if image.name == new.name]
        old = next((image for image in named if image != new), None)  # of several entries, one that is different
        return ImageChange(old=old, new=new) if old or not named else None


def edit(branch: Branch, overlay: str, images: Sequence[ImageRef]) -> Edit:
    """Return the edit that writes images into an overlay.

    Raises:
        NotFound: there is no such overlay.
        InvalidInput: its kustomization is not one.
    """
    path = kustomization_in(branch, overlay)
    before = _text(branch.read(path), path)
    kustomization.check(before, where=path)
    return Edit(path, before, kustomization.set_images(before, images, where=path))


def edit_made(branch: Branch, overlay: str, commit: str) -> Edit:
    """Return the edit that a commit has made in an overlay.

    Raises:
        NotFound: there is no such overlay.
        InvalidInput: its kustomization is not one.
    """
    path = kustomization_in(branch, overlay, commit)
    before, parent = "", branch.parent(commit)
    if parent:
        with suppress(NotFound):
            before = _text(branch.read(path, parent), path)
    return Edit(path, before, _text(branch.read(path, commit), path))


def images_at(branch: Branch, overlay: str, commit: str | None = None) -> tuple[ImageRef, ...]:
    """Return the images an overlay names, at the head or at an earlier commit.

    Raises:
        NotFound: there is no such overlay.
        InvalidInput: its kustomization is not one.
    """
    path = kustomization_in(branch, overlay, commit)
    return tuple(kustomization.read_images(_text(branch.read(path, commit), path), where=path))


def changed_by_hand(branch: Branch, overlay: str, since: str, images: Images) -> bool:
    """Whether an overlay names other versions of these images than at the commit that deployed them.

    Raises:
        NotFound: there is no such overlay.
        InvalidInput: its kustomization is not one.
    """
    now = images_at(branch, overlay)
    try:
        then = images_at(branch, overlay, since)
    except (NotFound, InvalidInput):
        return True
    names = images.entries({image.name for image in now})
    return {image for image in now if image.name in names} != {image for image in then if image.name in names}


def overlay_of(overlays: Overlays, environment: Environment) -> str:
    """Find an environment's folder: in the one that has all of them, or by its name."""
    return str(
        PurePosixPath(overlays, environment) if isinstance(overlays, str) else PurePosixPath(overlays[environment])
    )


def check_own(branch: Branch, overlay: str, others: Mapping[Environment, str]) -> None:
    """Make sure that an overlay is one environment's alone: through a link, writing one could deploy to another.

    Raises:
        InvalidInput: another environment's overlay is the same folder.
    """
    found = look(branch, [overlay, *others.values()])
    same = [each for each, other in others.items() if overlay in found and found[overlay] == found.get(other)]
    if same:
        raise InvalidInput(
            f"{overlay} leads to {found[overlay].path}, and so does the overlay of {' and '.join(same)}.",
            "Nothing was changed. Replace the link by a folder for each environment, or correct OVERLAYS_PATH and"
            " ENVIRONMENT_NAMES: an update of one must not deploy to another.",
        )


def kustomization_in(branch: Branch, overlay: str, commit: str | None = None) -> str:
    """Return the path of an overlay's kustomization, links followed.

    Raises:
        NotFound: there is no such overlay.
        InvalidInput: it has more than one, or is in another repository.
    """
    there = look(branch, [overlay], commit).get(overlay)
    if there and there.submodule:
        raise InvalidInput(
            f"{there.path} in {branch.where.url} is a submodule.",
            "Nothing was changed. Set GITOPS_REPO to the submodule's own repository.",
        )
    found = [name for name in FILE_NAMES if there and name in there.names]
    if there and len(found) == 1:
        return f"{there.path}/{found[0]}".lstrip("/")
    if found:
        raise InvalidInput(f"{overlay} has {' and '.join(found)}.", "kustomize allows only one: remove the other.")
    parent = str(PurePosixPath(overlay).parent)
    overlays = look(branch, [parent], commit).get(parent)
    known = ", ".join(overlays.folders if overlays else ())
    raise NotFound(
        f"{branch.where.url} has no {overlay}/{FILE_NAMES[0]} on branch {branch.name}"
        f"{f' at {commit[:7]}' if commit else ''}.",
        f"Overlays there: {known or 'none'}. Add the overlay, or set OVERLAYS_PATH or ENVIRONMENT_NAMES.",
    )


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)  # splitlines() breaks lines where git does not


def _text(content: bytes, path: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text: {error}.", "Nothing was changed.") from None
