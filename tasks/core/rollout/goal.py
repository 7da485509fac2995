"""What an Argo CD application has to be like for a commit to count as rolled out, and what is still in between.

The classic mistake is to believe a Synced and Healthy from before the commit. So nothing counts until Argo CD has
compared with the commit or a descendant, its operation has succeeded, and it has looked again after the operation.
"""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Protocol

from tasks.core.git import FULL_SHA
from tasks.core.manifests.parameters import override
from tasks.core.models import ImageRef
from tasks.core.rollout.application import SCHEDULED, Application, OperationState, Resource


class History(Protocol):
    """What other commits are to the pushed one; each question is asked once for each commit."""

    def contains(self, revision: str) -> bool:
        """Whether a full sha is a descendant; a commit that is unknown there is none."""

    def follows(self, revision: str) -> bool:
        """Whether a full sha is an ancestor; a commit that is unknown there is none."""

    def keeps(self, revision: str) -> bool:
        """Whether a descendant still has the images of the pushed commit."""


class Goal:
    """A commit with its images in the cluster, and all of it healthy.

    Args:
        commit: the pushed commit, its full sha.
        images: what the commit deploys.
        history: tells what other commits are to this one.
    """

    def __init__(self, commit: str, images: Sequence[ImageRef], history: History) -> None:
        self.commit = commit
        self.images = tuple(map(str, images))
        self._refs = tuple(images)
        self._contains, self._keeps, self._follows = map(cache, (history.contains, history.keeps, history.follows))

    def compared(self, app: Application) -> str | None:
        """Return the commit or the descendant that Argo CD has compared the cluster with, if it has."""
        return self._covered_by(app.compared_with)

    def replaced(self, app: Application) -> bool:
        """Whether Argo CD has compared with a descendant that has other images: then these are not to come."""
        newer = self.compared(app)
        return newer is not None and newer != self.commit and not self._keeps(newer)

    def deployed_by(self, app: Application, operation: OperationState) -> bool:
        """Whether an operation deploys the commit or a descendant."""
        return self._covered_by(app.deployed_by(operation)) is not None

    def overtakes(self, app: Application, operation: OperationState) -> str:
        """Return the older commit that an operation deploys, on the way to this one; empty if it does not."""
        revisions = () if self.deployed_by(app, operation) else app.deployed_by(operation)
        return next((each for each in revisions if FULL_SHA.fullmatch(each) and self._follows(each)), "")

    def distance(self, app: Application, running: Sequence[str] | None = None) -> list[str]:
        """Say what is between this application and the goal; nothing when it is there.

        Args:
            app: the application.
            running: images of its pods, from the resource tree; those of its own summary by default.
        """
        status, overridden = app.status, self.overridden(app)
        found = [
            (not app.metadata.deletion_timestamp, "it is being deleted"),
            (self.compared(app), _compared_words(app)),
            (not overridden, overridden),
            (not app.in_progress, f"an operation is in progress: {operation_words(app)}"),
            (succeeded(status.operation_state), f"the last operation is {operation_words(app)}"),
            (seen_after_operation(app), "Argo CD did not look at it since the operation"),
            (self._in_sync(app), f"it is {_out_of_sync_words(app)}"),
            (_healthy(app), f"its health is {status.health.status or 'not known yet'}"),
        ]
        pods = self.other_versions(status.summary.images if running is None else running)
        return [words for good, words in found if not good] + pods

    def overridden(self, app: Application) -> str:
        """Say which of Argo CD's own parameters sets another version of an image; empty if none does.

        Argo CD Image Updater writes them, as does ``argocd app set --kustomize-image``: the commit has no effect then.
        """
        parameters = (each for source in app.spec.all_sources() for each in source.kustomize.images)
        found = override(parameters, self._refs)
        return f"its own parameter kustomize.images sets {found}, whatever the commit says" if found else ""

    def other_versions(self, running: Sequence[str]) -> list[str]:
        """Say which pods run something else of the commit's repositories.

        Where there are no pods (scaled to zero, a CronJob, an Argo CD that does not see them), their silence is neither
        for nor against the commit.
        """
        found = []
        for image in self.images:
            others = [each for each in running if _repository(each) == _repository(image) and not _same(each, image)]
            if any(_same(each, image) for each in running):
                found += [f"pods have {each} besides" for each in others]
            elif others:
                found.append(f"no pod has {image}")
        return found

    def _in_sync(self, app: Application) -> bool:
        """Whether the workloads are as the commit has them; what else differs is no reason to wait.

        Without pruning, which is Argo CD's default, an application stays OutOfSync for what is left over.
        """
        if app.status.sync.status == "Synced":
            return True
        last = app.status.operation_state
        others = app.status.sync.status == "OutOfSync" and app.out_of_sync(workloads=False)
        return bool(others and not app.out_of_sync(workloads=True) and last and self.deployed_by(app, last))

    def _covered_by(self, revisions: Sequence[str]) -> str | None:
        return next((each for each in revisions if each == self.commit or self._descends(each)), None)

    def _descends(self, revision: str) -> bool:
        # A chart's version is a revision, too, where an application has several sources.
        return FULL_SHA.fullmatch(revision) is not None and self._contains(revision)


def succeeded(operation: OperationState | None) -> bool:
    """Whether the last operation, if there was one, went well: without any, there was nothing to do."""
    return operation is None or operation.phase == "Succeeded"


def seen_after_operation(app: Application) -> bool:
    """Whether the status is from after the last operation. Both times are whole seconds of the controller's clock."""
    last, reconciled = app.status.operation_state, app.status.reconciled_at
    if app.in_progress or reconciled is None:
        return False
    return last is None or last.finished_at is None or reconciled >= last.finished_at


def operation_words(app: Application) -> str:
    """Describe the operation: its phase, and what Argo CD says about it.

    One that Argo CD tries again by itself is Running, with the time when its last try finished.
    """
    last = app.status.operation_state
    if last is None or (app.operation and last.ended):
        return "about to start"
    retries = f" after {last.retry_count} retries" if last.ended and last.retry_count else ""
    return f"{last.phase}{retries}{f' ({last.message})' if last.message else ''}"


def suspended(app: Application, kinds: Collection[str]) -> bool:
    """Whether the application is Suspended because of resources of these kinds alone."""
    found = [each.kind for each in app.status.resources if each.health.status == "Suspended"]
    return app.status.health.status == "Suspended" and bool(found) and set(found) <= set(kinds)


def _compared_words(app: Application) -> str:
    followed = " and ".join(dict.fromkeys(each.target_revision for each in app.spec.all_sources()))
    of = f" of {followed}" if followed else ""
    return f"it was compared with {' '.join(app.compared_with) or 'no commit'}{of}"


def _healthy(app: Application) -> bool:
    return app.status.health.status == "Healthy" or suspended(app, SCHEDULED)


def _out_of_sync_words(app: Application) -> str:
    named: list[Resource] = app.out_of_sync(workloads=True)
    state = app.status.sync.status or "not compared yet"
    return f"{state}: {', '.join(map(str, named))}" if named else state


def _repository(image: str) -> str:
    name = image.partition("@")[0]
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


def _same(running: str, wanted: str) -> bool:
    """Whether an image is the wanted one; a digest decides where there is one, whatever tag stands before it."""
    digest = wanted.partition("@")[2]
    return running.partition("@")[2] == digest if digest else running.partition("@")[0] == wanted
