"""A pushed commit on its way into the cluster: refresh, sync, and wait, until it is there or cannot get there."""

import time
from collections.abc import Callable, Sequence
from typing import Literal

from tasks.core.errors import InvalidInput, NotProven, Retryable, RolloutFailed
from tasks.core.models import Rollout
from tasks.core.rollout.application import Application, OperationState
from tasks.core.rollout.argocd import ArgoCD
from tasks.core.rollout.goal import Goal, History, operation_words, seen_after_operation, succeeded

SHORTEST_CALL = 1.0
"""Seconds that a last call gets when there is no time left."""

DEGRADED_LOOKS = 2
"""A resource can be Degraded for a moment while it starts; it counts when the next look sees it, too."""


def wait_for_rollout(
    argo: ArgoCD,
    application: str,
    commit: str,
    digests: Sequence[str],
    history: History,
    timeout: float,
    poll: float,
    log: Callable[[str], None],
) -> Rollout:
    """See a pushed commit into the cluster: refresh, sync where Argo CD does not by itself, and wait.

    What may pass is waited for: an operation in progress, a server that fails, a state from before the commit.
    A newer commit with other images ends it: these can no longer arrive.

    Args:
        argo: where the application is.
        application: its name.
        commit: the pushed commit, its full sha.
        digests: ``sha256:...`` of the images that must run in the end; none where tags were deployed.
        history: tells what other commits are to this one.
        timeout: seconds for all of it; the last call may take a second more.
        poll: seconds between two looks.
        log: is called with each line of what is not ready, once, until it changes.

    Raises:
        RolloutFailed: the operation failed, the application is Degraded, a sync window is closed, or time is up.
        NotFound: there is no such application.
        AccessDenied: the token is wrong, expired, or not enough.
        InvalidInput: what answers the first time is not Argo CD.
    """
    begun = time.monotonic()
    watch = _Watch(argo, application, Goal(commit, digests, history), log)
    while True:
        found = watch.look(within=max(begun + timeout - time.monotonic(), SHORTEST_CALL))
        if found:
            return found.model_copy(update={"seconds": round(time.monotonic() - begun, 1)})
        left = begun + timeout - time.monotonic()
        if left <= 0:
            raise watch.too_late(timeout)
        time.sleep(min(poll, left))


def check_running(
    argo: ArgoCD, application: str, commit: str, digests: Sequence[str], history: History, within: float
) -> None:
    """Make sure that a commit is rolled out at this moment, by the rules of a rollout; nothing is waited for.

    Raises:
        NotProven: it is not; the message says what is missing.
        NotFound, AccessDenied, InvalidInput, Unavailable: as Argo CD answers.
    """
    distance = Goal(commit, digests, history).distance(argo.application(application, within))
    if distance:
        raise NotProven(
            f"{application} does not run {commit[:7]} as it should: {_joined(distance)}.",
            "Wait until it does, or promote with force.",
        )


class _Watch:
    """One rollout, look by look."""

    def __init__(self, argo: ArgoCD, name: str, goal: Goal, log: Callable[[str], None]) -> None:
        self._argo, self._name, self._goal, self._log = argo, name, goal, log
        self._app: Application | None = None
        self._before: OperationState | None = None
        self._degraded = 0
        self._told: list[str] = []

    def look(self, within: float) -> Rollout | None:
        """Look once, and do what is due; the rollout when it is there.

        Raises:
            RolloutFailed, NotFound, AccessDenied, InvalidInput: there is nothing to wait for.
        """
        try:
            app = self._seen(within)
            if self._goal.replaced(app):
                return self._replaced(app)
            self._judge(app)
            if self._needs_sync(app):
                self._argo.sync(self._name, prune=app.prunes, within=within)
                self._log(f"{self._name}: sync asked for")
            distance = self._goal.distance(app)
        except (Retryable, InvalidInput) as error:
            # A proxy's page while Argo CD restarts, say; what never was Argo CD will not become it.
            if isinstance(error, InvalidInput) and self._app is None:
                raise
            self._tell([error.message])
            return None
        self._tell(distance + app.unready() if distance else [])
        return None if distance else self._arrived(app)

    def too_late(self, timeout: float) -> RolloutFailed:
        """The error for a rollout that took its time; it says what was in the way at the last look."""
        goal = f"{self._goal.commit[:7]} and healthy after {timeout:g} seconds"
        return RolloutFailed(
            f"{self._name} is not at {goal}: {_joined(self._told)}.",
            "The commit is in the repository, and Argo CD may still get there; else look at the application in it.",
        )

    def _seen(self, within: float) -> Application:
        """The application, refreshed as long as Argo CD has nothing to do and does not know the commit."""
        behind = self._app is None or not (self._app.in_progress or self._goal.compared(self._app))
        app = (self._argo.refreshed if behind else self._argo.application)(self._name, within)
        if self._app is None:
            self._before = app.status.operation_state
        self._app = app
        return app

    def _judge(self, app: Application) -> None:
        """Raise what is final: our operation failed, or what it led to is Degraded for good."""
        last = app.status.operation_state
        if last and last.failed and self._is_ours(last):
            raise RolloutFailed(
                f"The sync of {self._name} ended as {operation_words(app)}: {_joined(app.unready())}.",
                "Fix the manifests and deploy again; the commit is in the repository.",
            )
        settled = self._goal.compared(app) and seen_after_operation(app) and not self._needs_sync(app)
        self._degraded = self._degraded + 1 if settled and app.status.health.status == "Degraded" else 0
        if self._degraded == DEGRADED_LOOKS:
            raise RolloutFailed(
                f"{self._name} is Degraded at {self._goal.compared(app)}: {_joined(app.unready())}.",
                "Look at the resource's events and logs; roll back in git.",
            )

    def _needs_sync(self, app: Application) -> bool:
        """Whether nobody is at it: the commit is known, not deployed, and no operation of it runs or was just run."""
        last = app.status.operation_state
        if app.in_progress or not self._goal.compared(app) or (last and self._is_ours(last)):
            return False
        return app.status.sync.status != "Synced" or not succeeded(last)

    def _is_ours(self, operation: OperationState) -> bool:
        """Whether an operation deploys the commit, and was not over before this rollout."""
        return not self._is_old(operation) and self._goal.deployed_by(operation)

    def _is_old(self, operation: OperationState) -> bool:
        old = self._before
        return old is not None and (old.started_at, old.finished_at) == (operation.started_at, operation.finished_at)

    def _arrived(self, app: Application) -> Rollout:
        last = app.status.operation_state
        words = last.message if last and not self._is_old(last) else "Argo CD had nothing to sync"
        return self._ended("healthy", app, words)

    def _replaced(self, app: Application) -> Rollout:
        newer = (self._goal.compared(app) or "")[:7]
        return self._ended("superseded", app, f"commit {newer} brings other images")

    def _ended(self, status: Literal["healthy", "superseded"], app: Application, message: str) -> Rollout:
        revision, images = self._goal.compared(app) or "", app.status.summary.images
        return Rollout(application=self._name, status=status, revision=revision, images=images, message=message)

    def _tell(self, lines: list[str]) -> None:
        for line in lines:
            if line not in self._told:
                self._log(f"{self._name}: {line}")
        self._told = lines


def _joined(lines: list[str]) -> str:
    return "; ".join(lines).rstrip(".") or "Argo CD names no resource"
