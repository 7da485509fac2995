"""A pushed commit on its way into the cluster: refresh, sync, and wait, until it is proven, refuted, or time is up."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.core.errors import (
    AccessDenied,
    DeliveryError,
    Inconclusive,
    InvalidInput,
    NotFound,
    NotProven,
    NotSynced,
    Retryable,
    RolloutFailed,
)
from tasks.core.models import Rollout
from tasks.core.rollout.application import Application
from tasks.core.rollout.argocd import ArgoCD, Forbidden, Throttled
from tasks.core.rollout.evidence import Degraded, Lasting
from tasks.core.rollout.goal import Goal, operation_words, suspended
from tasks.core.rollout.operations import Operations
from tasks.core.rollout.tree import Tree

SHORTEST_CALL = 1.0
"""Seconds that a last call gets when there is no time left."""

SYNCS = 3
"""How often a sync is asked for that Argo CD accepts."""

LATE = 30.0
"""Seconds after which pods that merely wait are mentioned, too."""

LINES, LINE = 8, 400
"""How much an error says of what was not ready: lines, and characters of each."""

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
        pods_degraded: pods of the commit's images that do not start count, too, after so long; 0: never.
    """

    timeout: float
    poll: float
    degraded: float
    pods_degraded: float = 0


def wait_for_rollout(
    argo: ArgoCD,
    application: str,
    goal: Goal,
    patience: Patience,
    log: Callable[[str], None],
    show: Callable[[Sequence[str]], None] = lambda _: None,
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
        show: is called with all those lines, whenever they change.

    Raises:
        RolloutFailed: the commit is refuted: its operation failed, or the application is Degraded at it.
        Inconclusive: neither, and time is up, the application is gone, or a person has intervened.
        NotFound: there is no such application.
        AccessDenied: the token is wrong, expired, or not enough.
        InvalidInput: what answers the first time is not Argo CD, or its certificate is not trusted.
    """
    begun = time.monotonic()
    watch = _Watch(argo, application, goal, patience, _Teller(application, log, show))
    while True:
        found = watch.look(within=max(begun + patience.timeout - time.monotonic(), SHORTEST_CALL))
        left = begun + patience.timeout - time.monotonic()
        if not found and left <= 0:
            found = watch.time_is_up()
        if found:
            return found.model_copy(update={"seconds": round(time.monotonic() - begun, 1)})
        time.sleep(min(watch.pause, left))


def check_running(argo: ArgoCD, application: str, goal: Goal, within: float) -> None:
    """Make sure that a commit is rolled out at this moment, by the rules of a rollout; nothing is waited for.

    Raises:
        NotProven: it is not; the message says what is missing.
        NotFound, AccessDenied, InvalidInput, Unavailable: as Argo CD answers.
    """
    app = argo.application(application, within)
    distance = goal.distance(app)
    if distance and goal.other_versions(app.status.summary.images):
        distance = goal.distance(app, argo.tree(application, within).running())
    if distance:
        raise NotProven(
            f"{application} does not run {goal.commit[:7]} as it should: {_joined(distance)}.",
            "Wait until it does, or promote with force.",
        )


class _Teller:
    """Says what is not ready: each line once, until it changes."""

    def __init__(self, name: str, log: Callable[[str], None], show: Callable[[Sequence[str]], None]) -> None:
        self._name, self._log, self._show = name, log, show
        self.told: list[str] = []

    def say(self, words: str) -> None:
        """Log a line of its own."""
        self._log(f"{self._name}: {words}")

    def tell(self, lines: list[str]) -> None:
        """Log what is new of these lines, and show all of them."""
        for line in lines:
            if line not in self.told:
                self.say(line)
        if lines != self.told:
            self._show(lines)
        self.told = lines


class _Watch:
    """One rollout, look by look."""

    def __init__(self, argo: ArgoCD, name: str, goal: Goal, patience: Patience, teller: _Teller) -> None:
        self._argo, self._name, self._goal, self._patience, self._teller = argo, name, goal, patience, teller
        self.pause = patience.poll
        self._app: Application | None = None
        self._operations: Operations
        self._degraded: Degraded
        self._tree: Tree | None = None
        self._held, self._broken, self._late = Lasting(), Lasting(), Lasting()
        self._syncs, self._sync_due, self._refused = 0, 0.0, ""
        self._ended: object = None

    def look(self, within: float) -> Rollout | None:
        """Look once, and do what is due; the rollout when it is there.

        Raises:
            RolloutFailed: the commit is refuted.
            Inconclusive, NotFound, AccessDenied, InvalidInput: there is nothing to wait for.
        """
        self.pause = self._patience.poll
        try:
            return self._looked(within)
        except Throttled as error:
            self.pause = max(self.pause, error.after)
            self._teller.tell([error.message])
        except (Retryable, InvalidInput) as error:
            # A proxy's page while Argo CD restarts, say; what never was Argo CD will not become it.
            if isinstance(error, InvalidInput) and self._app is None:
                raise
            self._teller.tell([error.message])
        except (NotFound, Forbidden) as error:
            if self._app is None:
                raise
            raise Inconclusive(
                f"{self._name} was there, and is not any more: deleted, renamed, or forbidden. {error.message}",
                f"{UNDONE} {error.hint}",
            ) from None
        return None

    def time_is_up(self) -> Rollout:
        """End a rollout that is neither proven nor refuted.

        Raises:
            Inconclusive: says what was in the way at the last look.
        """
        app = self._app
        if app and suspended(app, ("Rollout",)) and len(self._goal.distance(app)) == 1:
            words = "; ".join(app.unready())
            return self._found("suspended", app, f"{words}: it waits for a person, who promotes or aborts it")
        raise (NotSynced if self._refused else Inconclusive)(
            f"After {self._patience.timeout:g} seconds it is not known whether {self._name} runs "
            f"{self._goal.commit[:7]}: {_joined(self._teller.told)}.",
            UNDONE,
        )

    def _looked(self, within: float) -> Rollout | None:
        app = self._seen(within)
        if self._goal.replaced(app):
            newer = (self._goal.compared(app) or "")[:7]
            return self._found("superseded", app, f"commit {newer} brings other images")
        self._judge(app, within)
        held = self._held_by(app)
        if not held:
            self._make_way(app, within)
            self._sync(app, within)
        distance = self._distance(app, within)
        if not distance:
            return self._arrived(app)
        refused = [self._refused] if self._refused else []
        self._teller.tell([*dict.fromkeys(held + refused + distance + app.unready() + self._troubles(app, within))])
        return None

    def _seen(self, within: float) -> Application:
        """Return the application, refreshed as long as Argo CD has nothing to do and does not know the commit."""
        behind = self._app is None or not (self._app.in_progress or self._goal.compared(self._app))
        app = (self._argo.refreshed if behind else self._argo.application)(self._name, within)
        if self._app is None:
            self._operations = Operations(self._goal, app)
            self._degraded = Degraded(set() if self._operations.led_to(app) else app.degraded())
        self._app, self._tree = app, None
        self._operations.see(app)
        return app

    def _judge(self, app: Application, within: float) -> None:
        """Raise what is evidence against the commit: its operation failed, or what it led to is Degraded for good."""
        if self._operations.failure(app):
            raise RolloutFailed(
                f"The sync of {self._name} ended as {operation_words(app)}: {_joined(app.unready())}.",
                "Fix the manifests and deploy again; the commit is in the repository.",
            )
        if self._lasting(app) and self._lasting(self._confirmed(within)):
            raise RolloutFailed(
                f"{self._name} is Degraded at {self._goal.compared(app)}: {self._why(within)}.",
                "Look at the resource's events and logs; roll back in git.",
            )
        if self._stuck(app, within) and self._stuck(self._confirmed(within), within):
            raise RolloutFailed(
                f"No pod of {self._name} starts at {self._goal.compared(app)}: {self._why(within)}.",
                "Look at the pods' events and logs; roll back in git.",
            )

    def _confirmed(self, within: float) -> Application:
        """Return the application once more: with its controller away, Argo CD tells an old state, which is no evidence.

        Raises:
            Unavailable: the controller did not look at it.
        """
        self._app, self._tree = self._argo.refresh(self._name, within), None
        return self._app

    def _lasting(self, app: Application) -> bool:
        """Whether the commit is Degraded for long enough."""
        lasted = self._degraded.seconds(app, counts=self._operations.settled(app))
        return lasted is not None and lasted >= self._patience.degraded

    def _stuck(self, app: Application, within: float) -> bool:
        """Whether no pod of the commit starts, for long enough."""
        broken = self._broken_pods(app, within)
        return self._broken.seconds("broken" if broken else None) >= self._patience.pods_degraded and bool(broken)

    def _why(self, within: float) -> str:
        return _joined(self._app.unready() + self._troubles(self._app, within)) if self._app else ""

    def _broken_pods(self, app: Application, within: float) -> frozenset[str]:
        if not self._patience.pods_degraded or not self._goal.compared(app) or app.status.health.status == "Healthy":
            return frozenset()
        tree = self._pods(within)
        return tree.broken_pods(self._goal.images) if tree else frozenset()

    def _held_by(self, app: Application) -> list[str]:
        """Return what a person did in Argo CD to keep the commit away.

        Raises:
            Inconclusive: it has lasted as long as Degraded would have to.
        """
        words = self._operations.intervention(app)
        lasted = self._held.seconds(words or None)
        if words and lasted >= self._patience.degraded:
            raise Inconclusive(f"{self._goal.commit[:7]} is not deployed to {self._name}: {words}.", UNDONE)
        return [words] if words else []

    def _make_way(self, app: Application, within: float) -> None:
        """End what Argo CD tries again and again for an older commit: this one would wait minutes behind it."""
        older, last = self._operations.waits_behind(app), app.status.operation_state
        if not older or last is None or last.started_at == self._ended:
            return
        self._ended = last.started_at
        try:
            self._argo.end_operation(self._name, within)
        except (Forbidden, NotSynced) as refused:
            self._teller.say(f"the operation for {older[:7]} that Argo CD retries is not ended: {refused.message}")
        else:
            self._teller.say(
                f"ended the operation that Argo CD retried for the older commit {older[:7]} "
                f"({last.message}): {self._goal.commit[:7]} would have waited behind it"
            )

    def _sync(self, app: Application, within: float) -> None:
        """Ask for a sync if none is under way, each time after a longer pause; automatic sync goes first.

        Raises:
            AccessDenied, NotFound, Unavailable: as Argo CD answers.
        """
        now = time.monotonic()
        if not self._operations.needs_sync(app):
            return
        if not self._sync_due:
            self._sync_due = now + (self._patience.poll if app.automatic or self._operations.begun else 0)
        if self._syncs >= SYNCS or now < self._sync_due:
            return
        self._sync_due = now + self._patience.poll * 2**self._syncs
        try:
            self._argo.sync(self._name, prune=app.prunes, within=within)
        except NotSynced as refused:
            self._refused = refused.message
        except Forbidden as refused:
            if not app.automatic:
                raise AccessDenied(refused.message, refused.hint) from None
            self._refused, self._syncs = refused.message, SYNCS  # Argo CD may do it by itself
        else:
            self._syncs, self._refused = self._syncs + 1, ""
            self._teller.say("sync asked for")

    def _distance(self, app: Application, within: float) -> list[str]:
        """Return what is missing; pods that end, and those of jobs, are no longer counted once nothing else is."""
        distance = self._goal.distance(app)
        if not distance or distance != self._goal.other_versions(app.status.summary.images):
            return distance
        tree = self._pods(within)
        return self._goal.distance(app, tree.running()) if tree else distance

    def _troubles(self, app: Application, within: float) -> list[str]:
        """Why pods do not start, in their own words."""
        if not self._goal.compared(app) or not self._operations.begun:
            return []
        tree, own = self._pods(within), self._operations.own(app)
        late = self._late.seconds(own.started_at if own else None) > LATE
        return tree.troubles(self._goal.images, own.started_at if own else None, late=late) if tree else []

    def _pods(self, within: float) -> Tree | None:
        """Return the resource tree of this look; empty if the account may not see it or the server fails."""
        if self._tree is None:
            try:
                self._tree = self._argo.tree(self._name, within)
            except DeliveryError:
                return None
        return self._tree

    def _arrived(self, app: Application) -> Rollout:
        last = app.status.operation_state
        words = last.message if last and self._operations.begun else "Argo CD had nothing to sync"
        for each in app.out_of_sync(workloads=False):
            why = "left over; pruning is off" if each.requires_pruning else "another controller seems to write it"
            self._teller.say(f"{each} is OutOfSync ({why}), which is no reason to fail")
        return self._found("healthy", app, words)

    def _found(self, status: Literal["healthy", "superseded", "suspended"], app: Application, message: str) -> Rollout:
        revision, images = self._goal.compared(app) or "", app.status.summary.images
        return Rollout(application=self._name, status=status, revision=revision, images=images, message=message)


def _joined(lines: Sequence[str]) -> str:
    said = "; ".join(line[:LINE] for line in lines[:LINES]).rstrip(".")
    return said or "Argo CD names no resource"
