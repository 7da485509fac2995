"""What an Argo CD application has to be like for a commit to count as rolled out, and what is still in between.

The classic mistake is to believe a Synced and Healthy from before the commit. So nothing counts until Argo CD has
compared with the commit or a descendant, its operation is over, and it has looked again after the operation.
"""

from collections.abc import Callable, Sequence
from functools import cache

from tasks.core.argocd_application import Application, OperationState
from tasks.core.git import FULL_SHA


class Goal:
    """A commit with its images in the cluster, and all of it healthy.

    Args:
        commit: the pushed commit, its full sha.
        digests: ``sha256:...`` of the images that must run; none where tags were deployed.
        contains: answers whether another full sha is a descendant of the commit; asked once for each.
    """

    def __init__(self, commit: str, digests: Sequence[str], contains: Callable[[str], bool]) -> None:
        self.commit = commit
        self._digests = digests
        self._contains = cache(contains)

    def compared(self, app: Application) -> str | None:
        """The commit or the descendant that Argo CD has compared the cluster with, if it has."""
        return self._covered_by(app.status.sync.all())

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
    """The operation's phase, and what Argo CD says about it."""
    last = app.status.operation_state
    if last is None or (app.operation and last.finished_at):
        return "about to start"
    return f"{last.phase} ({last.message})" if last.message else last.phase
