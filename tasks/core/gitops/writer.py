"""An image update, written into the GitOps repository: one commit, on the newest head, or none at all."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypedDict, Unpack

from tasks.core.errors import InvalidInput, LostRace, NotFound
from tasks.core.git.branch import Branch
from tasks.core.gitops import commit_message, guard, overlay, proposal
from tasks.core.gitops.effect import effect_of
from tasks.core.gitops.ledger import Deployment, Ledger
from tasks.core.gitops.repository import GitOps, fetch
from tasks.core.images import Images
from tasks.core.models import Approval, ImageRef, ImageUpdate, Origin, UpdateResult
from tasks.core.names import Names
from tasks.core.system.temp_dir import temp_dir, turn

PATIENCE = 120.0
"""Seconds to go on after lost races before the next retry is Prefect's."""


class Terms(TypedDict, total=False):
    """On which terms an update is written.

    Args:
        force: also replace a newer source commit, and write again what was rolled back.
        dry_run: only tell what would be written, or why nothing would.
        approval: who approved which changes; ``None`` if no approval is needed.
        origin: where the images come from, if nothing was built for the update; its entries are written as they are.
    """

    force: bool
    dry_run: bool
    approval: Approval | None
    origin: Origin | None


def write(
    repository: GitOps, update: ImageUpdate, registry: str, log: Callable[[str], None], **terms: Unpack[Terms]
) -> UpdateResult:
    """Write an update's images into its environment's overlay, commit and push.

    The edit is made on the branch's head; if another push comes first, it is made again on the new head.
    Where it must not replace what is deployed, nothing is written and the result says why; where an approval is for
    other changes than those that would be written, neither, and the result is pending.

    Args:
        repository: where the overlays are.
        update: what to write.
        registry: the registry the images are in, ``host[:port]``, with its project.
        log: is called with each line of progress.
        terms: on which it is written.

    Raises:
        NotFound: no such repository, branch or overlay.
        InvalidInput: the overlay's kustomization is not one, or an image is in an unknown registry.
        PushRefused, AccessDenied, Unavailable: as the git server answers.
        LostRace: other writers were faster for two minutes.
    """
    started, lost = time.monotonic(), 0
    origin = terms.get("origin")
    _check_registries(origin.images if origin else (), (registry, *repository.registries))
    with temp_dir(repository.work_dir) as folder, repository.branch_named(repository.branch, folder) as branch:
        attempt = _Attempt(repository, branch, update, registry, log, folder, **terms)
        while True:
            try:
                with turn(repository.work_dir):
                    return attempt.write()
            except LostRace as race:
                lost += 1
                if time.monotonic() - started > PATIENCE:
                    raise
                log(f"{race.message} Trying again on the new head.")
            time.sleep(random.uniform(0, min(2.0, 0.05 * 2**lost)))  # noqa: S311 - spreads writers, no secret


def images_of(update: ImageUpdate, registry: str, images: Images, there: Sequence[ImageRef]) -> list[ImageRef]:
    """Return what the overlay has to say, which has these entries: by digest where there is one, else by tag."""
    known = {each.name for each in there}
    wanted = ((spec, update.digests[image]) for image, spec in images.specs.items())
    return [
        ImageRef(spec.entry(known), f"{registry}/{spec.name}", None if digest else update.tag, digest or None)
        for spec, digest in wanted
    ]


@dataclass(frozen=True)
class _Attempt:
    """One update of a branch's newest head."""

    repository: GitOps
    branch: Branch
    update: ImageUpdate
    registry: str
    log: Callable[[str], None]
    folder: Path
    force: bool = False
    dry_run: bool = False
    approval: Approval | None = None
    origin: Origin | None = None

    def write(self) -> UpdateResult:
        """Plan the edit and push it, unless there is a reason not to."""
        self.log(f"{self.branch.where.url} {self.branch.name} is at {fetch(self.branch)[:7]}")
        ledger = self.repository.ledger(self.branch)
        ledger.prepare(self.update.environment)
        images, edit = self._edit()
        planned = self._planned(edit, images)
        planned = self._weighed(ledger, planned, edit) if edit.diff else self._recognized(ledger, planned)
        if not planned.skipped:
            effect = effect_of(self.branch, edit, images, self.repository.render, self.folder)
            planned = planned.model_copy(update=effect._asdict())
        if self.dry_run or not edit.diff or planned.skipped:
            return planned
        if self.approval and not self.approval.covers(planned.changes):
            return planned.model_copy(update={"pending": True})
        for image in images:
            self.repository.check_image(image)
        return _written(planned, self._put(edit, images), self.approval, self.repository.propose)

    def _edit(self) -> tuple[list[ImageRef], overlay.Edit]:
        """Return the images the overlay is to have, and the edit that brings them."""
        at = self._overlay()
        overlay.check_own(self.branch, at, self.repository.others(self.update.environment))
        if self.origin:
            images = list(self.origin.images)
        else:
            there = overlay.images_at(self.branch, at)
            images = images_of(self.update, self.registry, self.repository.images, there)
        return images, overlay.edit(self.branch, at, images)

    def _overlay(self) -> str:
        return overlay.overlay_of(self.repository.overlays, self.update.environment)

    def _planned(self, edit: overlay.Edit, images: Sequence[ImageRef]) -> UpdateResult:
        """Return the result as long as nothing is written."""
        return UpdateResult(
            environment=self.update.environment,
            tag=self.update.tag,
            changed=False,
            commit=self.branch.head,
            overlay_path=edit.path.rpartition("/")[0],
            images=tuple(images),
            changes=edit.changes(images),
            diff=edit.diff,
            origin=self.origin,
        )

    def _recognized(self, ledger: Ledger, planned: UpdateResult) -> UpdateResult:
        """Return the result if the branch has these images: a commit of this run, if its push's answer was lost."""
        run = self.update.workflow_run_id
        newest = next(ledger.near(self.update.environment), None) if run else None
        if not newest or newest.run != run or not newest.brings(self.update):
            return planned
        made = overlay.edit_made(self.branch, planned.overlay_path, newest.arrived)
        return planned.model_copy(
            update={
                "changed": True,
                "commit": newest.commit,
                "changes": made.changes(planned.images),
                "diff": made.diff,
                "approved_by": newest.approved_by,
                "approval_note": newest.approval_note,
            }
        )

    def _weighed(self, ledger: Ledger, planned: UpdateResult, edit: overlay.Edit) -> UpdateResult:
        """Return the planned result with what it replaces; or one that is skipped, and says why."""
        # The whole history is searched only for what can be in this update's way.
        environment, search = self.update.environment, self.update.sha or self.origin
        deployed = ledger.newest(environment) if search else [*islice(ledger.near(environment), 1)]
        if why := self._objection(ledger, deployed) or self._objection_of_proposal():
            return planned.model_copy(update={"skipped": why, "images": edit.images, "changes": (), "diff": ""})
        return planned.model_copy(update={"replaces": next((each.sha for each in deployed if each.sha), "")})

    def _objection(self, ledger: Ledger, deployed: Sequence[Deployment]) -> str:
        further = partial(ledger.newest, self.update.environment, at_least=2)
        evidence = guard.Evidence(deployed, further, self.repository.source, self.folder)
        return guard.objection(self.update, self.origin, evidence, force=self.force)

    def _objection_of_proposal(self) -> str:
        """Return why an update must not take the place of what is proposed: events may come in another order."""
        repository, environment = self.repository, self.update.environment
        if not (repository.propose and repository.under_review and self.update.sha) or self.origin:
            return ""
        with self._proposal() as proposed:
            try:
                proposed.fetch()
            except NotFound:
                return ""
            ledger = repository.ledger(proposed)
            why = self._objection(ledger, ledger.newest(environment))
        return f"In the open pull request, {why}" if why else ""

    @contextmanager
    def _proposal(self) -> Iterator[Branch]:
        """Yield the proposal's branch, in a folder of its own: it is looked at again after a lost race."""
        name = Names(self.repository.style.application).proposal(self.update.environment)
        with self.repository.branch_named(name, Path(tempfile.mkdtemp(dir=self.folder))) as branch:
            yield branch

    def _put(self, edit: overlay.Edit, images: Sequence[ImageRef]) -> str:
        """Commit and push; returns the commit, which may have been proposed before."""
        repository, branch, update = self.repository, self.branch, self.update
        message = commit_message.message(update, self.approval, self.origin, repository.style)
        if not repository.propose:
            commit = branch.commit(edit.path, edit.after.encode(), message, repository.identity)
            branch.push(commit)
            return commit
        style = repository.style
        change = proposal.Change(
            update.environment, self._overlay(), images, edit, message, repository.identity, style.application
        )
        with self._proposal() as proposed:
            return proposal.propose(branch, proposed, change, under_review=repository.under_review, log=self.log)


def _check_registries(images: Sequence[ImageRef], known: Sequence[str]) -> None:
    for image in images:
        if image.new_name and not any(image.new_name.startswith(f"{each.rstrip('/')}/") for each in known):
            raise InvalidInput(
                f"{image.name} would come from {image.new_name}, which is not in {' or '.join(known)}.",
                "Nothing was written. If that registry is yours, add it to IMAGE_REGISTRIES.",
            )


def _written(planned: UpdateResult, commit: str, approval: Approval | None, proposed: bool) -> UpdateResult:
    by, note = (approval.by, approval.note) if approval else ("", "")
    return planned.model_copy(
        update={
            "changed": not proposed,
            "proposed": proposed,
            "commit": commit,
            "approved_by": by,
            "approval_note": note,
        },
    )
