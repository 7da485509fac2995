"""A pushed commit on its way into the cluster: refresh, sync, and wait, until it is proven, refuted, or time is up."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tasks.core.errors import Inconclusive, InvalidInput, NotProven, NotSynced, Retryable, RolloutFailed
from tasks.core.models import Rollout
from tasks.core.rollout.application import Application, OperationState
from tasks.core.rollout.argocd import ArgoCD
from tasks.core.rollout.evidence import BY_A_PERSON, Degraded, Lasting, passing
from tasks.core.rollout.goal import Goal, operation_words, seen_after_operation, succeeded, suspended

SHORTEST_CALL = 1.0
"""Seconds that a last call gets when there is no time left."""

SYNCS = 3
"""How often a sync is asked for that Argo CD accepts."""

UNDONE = (
    "Nothing was undone. Check the application in Argo CD, then request the same deployment again; it needs no force."
)


@dataclass(frozen=True)
class Patience:
    """How long is waited for what, in seconds.

    Args:
        timeout: for all of it; the last call may take a second more.
        poll: between two looks.
        degraded: Degraded counts when it has lasted so long; so does what a person did in Argo CD.
    """

    timeout: float
    poll: float
    degraded: float


def wait_for_rollout(
    argo: ArgoCD, application: str, goal: Goal, patience: Patience, log: Callable[[str], None]
) -> Rollout:
    """See a pushed commit into the cluster: refresh, sync where Argo CD does not by itself, and wait.

    What may pass is waited for: an operation in progress, a server that fails, a state from before the commit.
    A newer commit with other images ends it: these can no longer arrive.

    Args:
        argo: where the application is.
        application: its name.
        goal: the pushed commit.
        patience: how long is waited for what.
        log: is called with each line of what is not ready, once, until it changes.

    Raises:
        RolloutFailed: the commit is refuted: its operation failed, or the application is Degraded at it.
        Inconclusive: neither, and time is up, or a person has intervened.
        NotFound: there is no such application.
        AccessDenied: the token is wrong, expired, or not enough.
        InvalidInput: what answers the first time is not Argo CD.
    """
    begun = time.monotonic()
    watch = _Watch(argo, application, goal, patience, log)
    while True:
        found = watch.look(within=max(begun + patience.timeout - time.monotonic(), SHORTEST_CALL))
        left = begun + patience.timeout - time.monotonic()
        if not found and left <= 0:
            found = watch.time_is_up()
        if found:
            return found.model_copy(update={"seconds": round(time.monotonic() - begun, 1)})
        time.sleep(min(patience.poll, left))


def check_running(argo: ArgoCD, application: str, goal: Goal, within: float) -> None:
    """Make sure that a commit is rolled out at this moment, by the rules of a rollout; nothing is waited for.

    Raises:
        NotProven: it is not; the message says what is missing.
        NotFound, AccessDenied, InvalidInput, Unavailable: as Argo CD answers.
    """
    distance = goal.distance(argo.application(application, within))
    if distance:
        raise NotProven(
            f"{application} does not run {goal.commit[:7]} as it should: {_joined(distance)}.",
            "Wait until it does, or promote with force.",
        )


class _Watch:
    """One rollout, look by look."""

    def __init__(self, argo: ArgoCD, name: str, goal: Goal, patience: Patience, log: Callable[[str], None]) -> None:
        self._argo, self._name, self._goal, self._patience, self._log = argo, name, goal, patience, log
        self._app: Application | None = None
        self._before: OperationState | None = None
        self._automatic, self._begun = False, False
        self._syncs, self._sync_due = 0, 0.0
        self._refused: NotSynced | None = None
        self._held = Lasting()
        self._degraded: Degraded
        self._told: list[str] = []

    def look(self, within: float) -> Rollout | None:
        """Look once, and do what is due; the rollout when it is there.

        Raises:
            RolloutFailed: the commit is refuted.
            Inconclusive, NotFound, AccessDenied, InvalidInput: there is nothing to wait for.
        """
        try:
            app = self._seen(within)
            if self._goal.replaced(app):
                return self._replaced(app)
            self._judge(app, within)
            held = self._held_by(app)
            if not held and self._needs_sync(app):
                self._sync(app, within)
            distance = self._goal.distance(app)
        except (Retryable, InvalidInput) as error:
            # A proxy's page while Argo CD restarts, say; what never was Argo CD will not become it.
            if isinstance(error, InvalidInput) and self._app is None:
                raise
            self._tell([error.message])
            return None
        if not distance:
            return self._arrived(app)
        self._tell(held + ([self._refused.message] if self._refused else []) + distance + app.unready())
        return None

    def time_is_up(self) -> Rollout:
        """End a rollout that is neither proven nor refuted.

        Raises:
            Inconclusive: says what was in the way at the last look.
        """
        app = self._app
        if app and suspended(app, ("Rollout",)) and len(self._goal.distance(app)) == 1:
            words = "; ".join(app.unready())
            return self._ended("suspended", app, f"{words}: it waits for a person, who promotes or aborts it")
        kind = NotSynced if self._refused else Inconclusive
        raise kind(
            f"After {self._patience.timeout:g} seconds it is not known whether {self._name} runs "
            f"{self._goal.commit[:7]}: {_joined(self._told)}.",
            UNDONE,
        )

    def _seen(self, within: float) -> Application:
        """The application, refreshed as long as Argo CD has nothing to do and does not know the commit."""
        behind = self._app is None or not (self._app.in_progress or self._goal.compared(self._app))
        app = (self._argo.refreshed if behind else self._argo.application)(self._name, within)
        if self._app is None:
            self._before, self._automatic = app.status.operation_state, app.automatic
            self._degraded = Degraded(set() if self._led_to(app) else app.degraded())
        self._app = app
        last = app.status.operation_state
        self._begun = self._begun or (last is not None and self._is_ours(last))
        return app

    def _led_to(self, app: Application) -> bool:
        """Whether the health is from after an operation that deployed the commit, in an earlier rollout."""
        last, since = app.status.operation_state, app.status.health.last_transition_time
        if last is None or not last.ended or not self._goal.deployed_by(last):
            return False
        return since is None or last.started_at is None or since >= last.started_at

    def _judge(self, app: Application, within: float) -> None:
        """Raise what is evidence against the commit: its operation failed, or what it led to is Degraded for good."""
        last = app.status.operation_state
        if last and last.failed and self._is_ours(last) and not passing(last) and not BY_A_PERSON.search(last.message):
            raise RolloutFailed(
                f"The sync of {self._name} ended as {operation_words(app)}: {_joined(app.unready())}.",
                "Fix the manifests and deploy again; the commit is in the repository.",
            )
        lasted = self._degraded.seconds(app, counts=self._settled(app))
        if lasted is None or lasted < self._patience.degraded:
            return
        # With its controller away Argo CD tells an old state: only what it has looked at again is evidence.
        app = self._argo.refresh(self._name, within)
        if self._degraded.seconds(app, counts=self._settled(app)) is not None:
            raise RolloutFailed(
                f"{self._name} is Degraded at {self._goal.compared(app)}: {_joined(app.unready())}.",
                "Look at the resource's events and logs; roll back in git.",
            )

    def _settled(self, app: Application) -> bool:
        """Whether what is seen is the commit's own doing: it was deployed, and looked at afterwards."""
        compared = self._goal.compared(app) is not None
        return compared and seen_after_operation(app) and not self._needs_sync(app)

    def _held_by(self, app: Application) -> list[str]:
        """What a person did in Argo CD to keep the commit away.

        Raises:
            Inconclusive: it has lasted as long as Degraded would have to.
        """
        words = self._act(app)
        if self._held.seconds(words or None) >= self._patience.degraded and words:
            raise Inconclusive(f"{self._goal.commit[:7]} is not deployed to {self._name}: {words}.", UNDONE)
        return [words] if words else []

    def _act(self, app: Application) -> str:
        last = app.status.operation_state
        if last is None or app.in_progress:
            return ""
        if self._is_ours(last):
            return f"a person ended its operation in Argo CD ({last.message})" if self._terminated(last) else ""
        if self._begun and not self._goal.deployed_by(last):
            return f"Argo CD was told to deploy {' '.join(last.revisions)[:40]} instead"
        if self._automatic and not app.automatic:
            return "a person switched automatic sync off in Argo CD"
        return ""

    def _terminated(self, last: OperationState) -> bool:
        return last.failed and BY_A_PERSON.search(last.message) is not None

    def _needs_sync(self, app: Application) -> bool:
        """Whether nobody is at it: the commit is known and not deployed, and no operation of it runs or has done it."""
        last = app.status.operation_state
        if app.in_progress or not self._goal.compared(app):
            return False
        if last and self._is_ours(last):
            stale = succeeded(last) and seen_after_operation(app) and bool(app.out_of_sync(workloads=True))
            return stale or (last.failed and passing(last))
        return app.status.sync.status != "Synced" or not succeeded(last)

    def _sync(self, app: Application, within: float) -> None:
        """Ask for a sync, each time after a longer pause; Argo CD's own automatic sync goes first.

        Raises:
            AccessDenied, NotFound, Unavailable: as Argo CD answers.
        """
        now = time.monotonic()
        if not self._sync_due:
            self._sync_due = now + (self._patience.poll if app.automatic or self._begun else 0)
        if self._syncs == SYNCS or now < self._sync_due:
            return
        self._sync_due = now + self._patience.poll * 2**self._syncs
        try:
            self._argo.sync(self._name, prune=app.prunes, within=within)
        except NotSynced as refused:
            self._refused = refused
            return
        self._syncs, self._refused = self._syncs + 1, None
        self._log(f"{self._name}: sync asked for")

    def _is_ours(self, operation: OperationState) -> bool:
        """Whether an operation deploys the commit, and was not over before this rollout."""
        old = self._before
        was_over = old is not None and old.ended and old.started_at == operation.started_at
        return not was_over and self._goal.deployed_by(operation)

    def _arrived(self, app: Application) -> Rollout:
        last = app.status.operation_state
        words = last.message if last and self._begun else "Argo CD had nothing to sync"
        for each in app.out_of_sync(workloads=False):
            why = "left over, and pruning is off" if each.requires_pruning else "written by somebody else, it seems"
            self._log(f"{self._name}: {each} is OutOfSync ({why}); that is no reason to fail")
        return self._ended("healthy", app, words)

    def _replaced(self, app: Application) -> Rollout:
        newer = (self._goal.compared(app) or "")[:7]
        return self._ended("superseded", app, f"commit {newer} brings other images")

    def _ended(self, status: Literal["healthy", "superseded", "suspended"], app: Application, message: str) -> Rollout:
        revision, images = self._goal.compared(app) or "", app.status.summary.images
        return Rollout(application=self._name, status=status, revision=revision, images=images, message=message)

    def _tell(self, lines: list[str]) -> None:
        for line in lines:
            if line not in self._told:
                self._log(f"{self._name}: {line}")
        self._told = lines


def _joined(lines: list[str]) -> str:
    return "; ".join(lines).rstrip(".") or "Argo CD names no resource"
