"""An image update, written into the GitOps repository: one commit, on the newest head, or none at all."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

from tasks.core import git
from tasks.core.errors import InvalidInput, LostRace, NotFound, Unavailable
from tasks.core.git import Remote
from tasks.core.git.branch import Branch, Identity
from tasks.core.gitops import commit_message, guard, overlay, proposal
from tasks.core.gitops.commit_message import MessageStyle
from tasks.core.gitops.effect import effect_of
from tasks.core.gitops.ledger import Deployment, Ledger
from tasks.core.images import Images
from tasks.core.models import ENVIRONMENTS, Approval, Environment, ImageRef, ImageUpdate, Origin, Render, UpdateResult
from tasks.core.system.temp_dir import temp_dir, turn
from tasks.core.text import listed

PATIENCE = 120.0
"""Seconds to go on after lost races before the next retry is Prefect's."""


@dataclass(frozen=True)
class GitOps:
    """Where the overlays are.

    Args:
        where: the repository.
        branch: the branch that Argo CD watches.
        overlays: the folder with one overlay for each environment, or the folder of each.
        work_dir: where fetched objects may live meanwhile.
        source: the source repository, which knows what is newer; ``None`` where only GitOps history may tell.
        images: what the two images are called.
        propose: whether a commit goes to a branch of its own, for a pull request, instead of to ``branch``.
        under_review: whether a pull request is open there.
        render: whether kustomize renders the overlay before a commit.
        branches: the branch of each environment, if there isn't one for all.
        style: what is added to commit messages.
        identity: who commits.
        registries: registries, or folders in them, that images may come from besides the update's own.
        check_image: raises if an image that would be written is not in its registry.
    """

    where: Remote
    branch: str
    overlays: overlay.Overlays
    work_dir: Path
    source: Remote | None = None
    images: Images = field(default_factory=Images)
    propose: bool = False
    under_review: bool = False
    render: Render = "off"
    branches: Mapping[Environment, str] = field(default_factory=dict)
    style: MessageStyle = field(default_factory=MessageStyle)
    identity: Identity = field(default_factory=Identity)
    registries: tuple[str, ...] = ()
    check_image: Callable[[ImageRef], None] = lambda _: None

    def on(self, environment: Environment) -> "GitOps":
        """Return the same, on the branch of an environment."""
        return replace(self, branch=self.branches.get(environment, self.branch))

    def others(self, environment: Environment) -> dict[Environment, str]:
        """Return the overlays of other environments on the same branch."""
        others = (each for each in ENVIRONMENTS if each != environment and self.on(each).branch == self.branch)
        return {each: overlay.overlay_of(self.overlays, each) for each in others}

    def ledger(self, branch: Branch) -> Ledger:
        """Return the deployments on a branch of this repository."""
        return Ledger(branch, self.overlays, self.images)


@contextmanager
def on_branch(repository: GitOps) -> Iterator[Branch]:
    """Yield the branch's newest head, to read from.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    with temp_dir(repository.work_dir) as folder, _branch(repository, repository.branch, folder) as branch:
        fetch(branch)
        yield branch


def fetch(branch: Branch) -> str:
    """Fetch the branch's newest commit and return its sha.

    Raises:
        NotFound: there is no such repository, or no such branch: the message names those there are.
        AccessDenied, Unavailable: as the git server answers.
    """
    try:
        return branch.fetch()
    except NotFound:
        there = git.branches(branch.where)
        if branch.name in there:  # a page that was there for a moment has no branches
            problem = f"{branch.where.url} has a branch {branch.name}, and could not fetch it."
            raise Unavailable(problem, "If this stays so, fetch it by hand to see why.") from None
        names = listed(there, 10) or "none"
        problem = f"{branch.where.url} has no branch {branch.name}."
        raise NotFound(problem, f"Branches there: {names}. Set GITOPS_BRANCH.") from None


def _branch(repository: GitOps, name: str, folder: Path) -> Branch:
    return Branch(repository.where, name, folder / f"{name.replace('/', '-')}.git")


def images_of(update: ImageUpdate, registry: str, images: Images, there: Sequence[ImageRef]) -> list[ImageRef]:
    """Return what the overlay has to say, which has these entries: by digest where there is one, else by tag."""
    known = {each.name for each in there}
    wanted = ((spec, update.digests[image]) for image, spec in images.specs.items())
    return [
        ImageRef(spec.entry(known), f"{registry}/{spec.name}", None if digest else update.tag, digest or None)
        for spec, digest in wanted
    ]


def update_as_deployed(
    repository: GitOps,
    deployment: Deployment,
    images: Sequence[ImageRef],
    environment: Environment,
    *,
    actor: str,
    run: str,
) -> tuple[ImageUpdate, tuple[ImageRef, ...]]:
    """Return the update that deploys to an environment what was deployed before, and its entries as they were.

    Args:
        repository: where the overlays are.
        deployment: what was deployed.
        images: what the overlay named then.
        environment: where it is to go.
        actor: who asks for it.
        run: the run that does.

    Raises:
        InvalidInput: the overlay named an image without a tag or a digest, or not at all.
    """
    named = {image.name: image for image in images if image.tag or image.digest}
    names = repository.images.entries(named)
    missing = [name for name in names if name not in named]
    if missing:
        raise InvalidInput(
            f"Commit {deployment.commit[:7]} deployed {deployment.tag} to {deployment.environment} "
            f"without a version of {' and '.join(missing)}.",
            "It is not known what ran then: choose another deployment.",
        )
    entries = {image: named[spec.name] for image, spec in repository.images.specs.items()}
    digests = {f"{image}_digest": entry.digest for image, entry in entries.items()}
    update = ImageUpdate.parse(
        environment=environment,
        tag=deployment.tag,
        sha=deployment.sha,
        actor=actor,
        workflow_run_id=run,
        **digests,
    )
    return update, tuple(entries.values())


def write(  # noqa: PLR0913 - not grouped yet
    repository: GitOps,
    update: ImageUpdate,
    registry: str,
    log: Callable[[str], None],
    *,
    force: bool = False,
    dry_run: bool = False,
    approval: Approval | None = None,
    origin: Origin | None = None,
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
        force: also replace a newer source commit, and write again what was rolled back.
        dry_run: only tell what would be written, or why nothing would.
        approval: who approved which changes; ``None`` if no approval is needed.
        origin: where the images come from, if nothing was built for the update; its entries are written as they are.

    Raises:
        NotFound: no such repository, branch or overlay.
        InvalidInput: the overlay's kustomization is not one, or an image is in an unknown registry.
        PushRefused, AccessDenied, Unavailable: as the git server answers.
        LostRace: other writers were faster for two minutes.
    """
    started, lost = time.monotonic(), 0
    at = overlay.overlay_of(repository.overlays, update.environment)
    images = list(origin.images) if origin else []
    _check_registries(images, (registry, *repository.registries))
    with temp_dir(repository.work_dir) as folder, _branch(repository, repository.branch, folder) as branch:
        while True:
            try:
                with turn(repository.work_dir):
                    log(f"{branch.where.url} {branch.name} is at {fetch(branch)[:7]}")
                    ledger = repository.ledger(branch)
                    ledger.prepare(update.environment)
                    overlay.check_own(branch, at, repository.others(update.environment))
                    if not origin:
                        images = images_of(update, registry, repository.images, overlay.images_at(branch, at))
                    edit = overlay.edit(branch, at, images)
                    planned = _planned(branch, update, edit, images, origin)
                    if edit.diff:
                        planned = _weighed(repository, ledger, update, planned, edit, folder, force=force)
                    else:
                        planned = _recognized(branch, ledger, update, planned)
                    if not planned.skipped:
                        effect = effect_of(branch, edit, images, repository.render, folder)
                        planned = planned.model_copy(update=effect._asdict())
                    if dry_run or not edit.diff or planned.skipped:
                        return planned
                    if approval and not approval.covers(planned.changes):
                        return planned.model_copy(update={"pending": True})
                    for image in images:
                        repository.check_image(image)
                    message = commit_message.message(update, approval, origin, repository.style)
                    change = proposal.Change(update.environment, at, images, edit, message, repository.identity)
                    commit = _put(branch, repository, change, folder, log)
                    return _written(planned, commit, approval, repository.propose)
            except LostRace as race:
                lost += 1
                if time.monotonic() - started > PATIENCE:
                    raise
                log(f"{race.message} Trying again on the new head.")
            time.sleep(random.uniform(0, min(2.0, 0.05 * 2**lost)))  # noqa: S311 - spreads writers, no secret


def _check_registries(images: Sequence[ImageRef], known: Sequence[str]) -> None:
    for image in images:
        if image.new_name and not any(image.new_name.startswith(f"{each.rstrip('/')}/") for each in known):
            raise InvalidInput(
                f"{image.name} would come from {image.new_name}, which is not in {' or '.join(known)}.",
                "Nothing was written. If that registry is yours, add it to IMAGE_REGISTRIES.",
            )


def _planned(
    branch: Branch, update: ImageUpdate, edit: overlay.Edit, images: Sequence[ImageRef], origin: Origin | None
) -> UpdateResult:
    """Return the result as long as nothing is written."""
    return UpdateResult(
        environment=update.environment,
        tag=update.tag,
        changed=False,
        commit=branch.head,
        overlay_path=edit.path.rpartition("/")[0],
        images=tuple(images),
        changes=edit.changes(images),
        diff=edit.diff,
        origin=origin,
    )


def _recognized(branch: Branch, ledger: Ledger, update: ImageUpdate, planned: UpdateResult) -> UpdateResult:
    """Return the result if the branch has these images: a commit of this run, if the answer to its push was lost."""
    newest = next(ledger.near(update.environment), None) if update.workflow_run_id else None
    if not newest or newest.run != update.workflow_run_id or not newest.brings(update):
        return planned
    made = overlay.edit_made(branch, planned.overlay_path, newest.arrived)
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


def _weighed(  # noqa: PLR0913 - not grouped yet
    repository: GitOps,
    ledger: Ledger,
    update: ImageUpdate,
    planned: UpdateResult,
    edit: overlay.Edit,
    folder: Path,
    *,
    force: bool,
) -> UpdateResult:
    """Return the planned result with what it replaces; or one that is skipped, and says why."""
    # The whole history is searched only for what can be in this update's way.
    search = update.sha or planned.origin
    deployed = ledger.newest(update.environment) if search else [*islice(ledger.near(update.environment), 1)]
    further = partial(ledger.newest, update.environment, at_least=2)
    why = guard.objection(update, planned.origin, deployed, further, repository.source, folder, force=force)
    if why:
        return planned.model_copy(update={"skipped": why, "images": edit.images, "changes": (), "diff": ""})
    return planned.model_copy(update={"replaces": next((each.sha for each in deployed if each.sha), "")})


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


def _put(branch: Branch, repository: GitOps, change: proposal.Change, folder: Path, log: Callable[[str], None]) -> str:
    """Commit and push; returns the commit, which may have been proposed before."""
    if repository.propose:
        apart = Path(tempfile.mkdtemp(dir=folder))  # it is looked at again after a lost race
        with _branch(repository, proposal.branch_of(change.environment), apart) as proposed:
            return proposal.propose(branch, proposed, change, under_review=repository.under_review, log=log)
    edit = change.edit
    commit = branch.commit(edit.path, edit.after.encode(), change.message, change.identity)
    branch.push(commit)
    return commit
