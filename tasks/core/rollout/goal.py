"""What an Argo CD application has to be like for a commit to count as rolled out, and what is still in between.

The classic mistake is to believe a Synced and Healthy from before the commit. So nothing counts until Argo CD has
compared with the commit or a descendant, its operation is over, and it has looked again after the operation.
"""

from collections.abc import Sequence
from functools import cache
from typing import Protocol

from tasks.core.git import FULL_SHA
from tasks.core.rollout.application import Application, OperationState


class History(Protocol):
    """What other commits are to the pushed one; each question is asked once for each commit."""

    def contains(self, revision: str) -> bool:
        """Whether a full sha is a descendant; a commit that is unknown there is none."""

    def keeps(self, revision: str) -> bool:
        """Whether a descendant still has the images of the pushed commit."""


class Goal:
    """A commit with its images in the cluster, and all of it healthy.

    Args:
        commit: the pushed commit, its full sha.
        digests: ``sha256:...`` of the images that must run; none where tags were deployed.
        history: tells what other commits are to this one.
    """

    def __init__(self, commit: str, digests: Sequence[str], history: History) -> None:
        self.commit = commit
        self._digests = digests
        self._contains, self._keeps = cache(history.contains), cache(history.keeps)

    def compared(self, app: Application) -> str | None:
        """The commit or the descendant that Argo CD has compared the cluster with, if it has."""
        return self._covered_by(app.status.sync.all())

    def replaced(self, app: Application) -> bool:
        """Whether Argo CD has compared with a descendant that has other images: then these are not to come."""
        newer = self.compared(app)
        return newer is not None and newer != self.commit and not self._keeps(newer)

    def deployed_by(self, operation: OperationState) -> bool:
        """Whether an operation deploys the commit or a descendant."""
        return self._covered_by(operation.revisions) is not None

    def distance(self, app: Application) -> list[str]:
        """What is between this application and the goal; empty when it is there."""
        status = app.status
        missing = [each for each in self._digests if not any(image.endswith(each) for image in status.summary.images)]
        found = [
            (self.compared(app), f"it was compared with {' '.join(status.sync.all()) or 'no commit'}"),
            (not app.in_progress, f"an operation is in progress: {operation_words(app)}"),
            (succeeded(status.operation_state), f"the last operation is {operation_words(app)}"),
            (seen_after_operation(app), "Argo CD did not look at it since the operation"),
            (status.sync.status == "Synced", f"it is {status.sync.status or 'not compared yet'}"),
            (status.health.status == "Healthy", f"its health is {status.health.status or 'not known yet'}"),
            (not missing, f"no pod has {', '.join(missing)}"),
        ]
        return [words for good, words in found if not good]

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
    """The operation's phase, and what Argo CD says about it.

    One that Argo CD tries again by itself is Running, with the time when its last try finished.
    """
    last = app.status.operation_state
    if last is None or (app.operation and last.finished_at and last.phase != "Running"):
        return "about to start"
    return f"{last.phase} ({last.message})" if last.message else last.phase
