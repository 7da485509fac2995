"""An image update, written into the GitOps repository: one commit, on the newest head, or none at all."""

import difflib
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from pydantic.dataclasses import dataclass

from tasks.core import kustomization, order
from tasks.core.branch import DEPTH, Branch
from tasks.core.errors import InvalidInput, LostRace, NotFound
from tasks.core.git import Remote
from tasks.core.images import Images
from tasks.core.models import Approval, Environment, ImageChange, ImageRef, ImageUpdate, UpdateResult
from tasks.core.scratch import scratch, turn

FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""What kustomize looks for in a folder (kustomize's api/konfig, RecognizedKustomizationFileNames)."""

FAR = 1000
"""Commits of the GitOps branch to look through for an environment's last deployment."""

WHOLE = 0x7FFFFFFF
"""Commits that git takes for the whole history (git-fetch(1), ``--depth``)."""

PATIENCE = 120.0
"""Seconds to go on after lost races before the next retry is Prefect's."""


@dataclass(frozen=True)
class GitOps:
    """Where the overlays are.

    Args:
        where: the repository.
        branch: the branch that Argo CD watches.
        overlays: the folder with one overlay for each environment.
        work_dir: where fetched objects may live meanwhile.
        source: the source repository, which knows what is newer; ``None`` where only GitOps history may tell.
        images: what the two images are called.
    """

    where: Remote
    branch: str
    overlays: str
    work_dir: Path
    source: Remote | None = None
    images: Images = Images()


@dataclass(frozen=True)
class Edit:
    """One file, before and after."""

    path: str
    before: str
    after: str


def images_of(update: ImageUpdate, registry: str, images: Images) -> list[ImageRef]:
    """What the overlay has to say: by digest where there is one, else by tag."""
    wanted = ((images.server, update.server_digest), (images.ui, update.ui_digest))
    return [
        ImageRef(spec.name, f"{registry}/{spec.name}", None if digest else update.tag, digest)
        for spec, digest in wanted
    ]


def write(
    repository: GitOps,
    update: ImageUpdate,
    registry: str,
    log: Callable[[str], None],
    *,
    force: bool = False,
    dry_run: bool = False,
    approval: Approval | None = None,
) -> UpdateResult:
    """Write an update's images into its environment's overlay, commit and push.

    The edit is made on the branch's head; when somebody else pushes first, it is made again on the new head.
    Where a newer source commit is deployed, nothing is written and the result says why; where an approval is for
    other changes than those that would be written, neither, and the result is pending.

    Args:
        repository: where the overlays are.
        update: what to write.
        registry: the registry the images are in, ``host[:port]``.
        log: is called with each line of progress.
        force: also replace a newer source commit.
        dry_run: only tell what would be written.
        approval: who approved which changes; ``None`` where nobody has to.

    Raises:
        NotFound: no such repository, branch or overlay.
        InvalidInput: the overlay's kustomization is not one.
        PushRefused, AccessDenied, Unavailable: as the git server answers.
        LostRace: other writers were faster for two minutes.
    """
    started, lost = time.monotonic(), 0
    with (
        scratch(repository.work_dir) as folder,
        Branch(repository.where, repository.branch, folder / "gitops.git") as branch,
    ):
        while True:
            try:
                with turn(repository.work_dir):
                    planned, edit = _plan(
                        branch, repository, update, images_of(update, registry, repository.images), log
                    )
                    if dry_run or edit.before == edit.after:
                        return planned
                    if not force and (newer := _newer(branch, repository, update, folder)):
                        return _skipped(planned, edit, newer)
                    if approval and not approval.covers(planned.changes):
                        return _pending(planned, branch)
                    commit = branch.commit(edit.path, edit.after.encode(), message(update, approval))
                    branch.push(commit)
                    return _written(planned, commit, approval)
            except LostRace as race:
                lost += 1
                if time.monotonic() - started > PATIENCE:
                    raise
                log(f"{race.message} Trying again on the new head.")
            time.sleep(random.uniform(0, min(2.0, 0.05 * 2**lost)))  # noqa: S311 - spreads writers, no secret


def _plan(
    branch: Branch, repository: GitOps, update: ImageUpdate, images: Sequence[ImageRef], log: Callable[[str], None]
) -> tuple[UpdateResult, Edit]:
    """The edit on the branch's newest head, and the result as long as it is not written."""
    head = branch.fetch()
    log(f"{branch.where.url} {branch.name} is at {head[:7]}")
    overlay = str(PurePosixPath(repository.overlays, update.environment))
    path = _kustomization_in(branch, overlay)
    before = _text(branch.read(path), path)
    edit = Edit(path, before, kustomization.set_images(before, images, where=path))
    result = UpdateResult(
        environment=update.environment,
        tag=update.tag,
        changed=False,
        commit=head,
        overlay_path=overlay,
        images=tuple(images),
        changes=_changes(before, images),
        diff=_diff(edit),
    )
    return result, edit


def _newer(branch: Branch, repository: GitOps, update: ImageUpdate, folder: Path) -> str | None:
    """The source commit that is deployed, where the update's comes before it."""
    if not update.sha:
        return None
    deployed = _deployed(branch, update.environment)
    commits = folder / f"source-{branch.head}.git"
    return deployed[0] if deployed and order.is_older(update.sha, deployed, repository.source, commits) else None


def _deployed(branch: Branch, environment: Environment) -> list[str]:
    """The source commits that an environment got, newest first."""
    for depth in (DEPTH, FAR, WHOLE):
        messages = branch.messages(depth)
        deployed = order.deployments(messages, environment)
        if deployed or len(messages) < depth:
            break
    return deployed


def _skipped(planned: UpdateResult, edit: Edit, newer: str) -> UpdateResult:
    reason = (
        f"{planned.environment} has the newer source commit {newer[:7]}: {planned.tag} would be a step back. "
        "Nothing was written; deploy with force to do it anyway."
    )
    images = tuple(kustomization.read_images(edit.before))
    return planned.model_copy(update={"skipped": reason, "images": images, "changes": (), "diff": ""})


def _pending(planned: UpdateResult, branch: Branch) -> UpdateResult:
    deployed = _deployed(branch, planned.environment)
    return planned.model_copy(update={"pending": True, "replaces": deployed[0] if deployed else ""})


def _written(planned: UpdateResult, commit: str, approval: Approval | None) -> UpdateResult:
    by, note = (approval.by, approval.note) if approval else ("", "")
    return planned.model_copy(
        update={"changed": True, "commit": commit, "approved_by": by, "approval_note": note},
    )


def message(update: ImageUpdate, approval: Approval | None = None) -> str:
    """The commit message, line by line that of the user's workflow; a line without a value is left out."""
    body = {"Triggered by": update.actor, "Source SHA": update.sha, "Tag": update.tag}
    if approval:
        body |= {"Approved by": approval.by, "Approval note": approval.note}
    lines = [f"{name}: {value}" for name, value in body.items() if value]
    return f"chore({update.environment}): update flowise images to {update.tag}\n\n" + "\n".join(lines) + "\n"


def _kustomization_in(branch: Branch, overlay: str) -> str:
    there = branch.folder(overlay)
    found = [name for name in FILE_NAMES if name in there]
    if len(found) == 1:
        return f"{overlay}/{found[0]}"
    if found:
        raise InvalidInput(f"{overlay} has {' and '.join(found)}.", "kustomize allows only one: remove the other.")
    overlays = branch.folder(str(PurePosixPath(overlay).parent))
    known = ", ".join(name for name, entry in overlays.items() if entry.kind == "tree")
    raise NotFound(
        f"{branch.where.url} has no {overlay}/{FILE_NAMES[0]} on branch {branch.name}.",
        f"Overlays there: {known or 'none'}. Add the overlay, or set OVERLAYS_PATH.",
    )


def _text(content: bytes, path: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text: {error}.", "Nothing was changed.") from None


def _changes(before: str, images: Sequence[ImageRef]) -> tuple[ImageChange, ...]:
    old = {image.name: image for image in kustomization.read_images(before)}
    changes = (ImageChange(old=old.get(image.name), new=image) for image in images)
    return tuple(change for change in changes if change.old != change.new)


def _diff(edit: Edit) -> str:
    old, new = edit.before.splitlines(keepends=True), edit.after.splitlines(keepends=True)
    return "".join(difflib.unified_diff(old, new, f"a/{edit.path}", f"b/{edit.path}"))
