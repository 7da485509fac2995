"""Which of an application's operations are a commit's own, and what is to be done about the others."""

from tasks.core.rollout.application import Application, OperationState
from tasks.core.rollout.evidence import TERMINATED, passing
from tasks.core.rollout.goal import Goal, seen_after_operation, succeeded


class Operations:
    """The operations of one rollout, as they are seen one after the other.

    Args:
        goal: the pushed commit.
        first: the application at the first look.
    """

    def __init__(self, goal: Goal, first: Application) -> None:
        self._goal = goal
        self._before = first.status.operation_state
        self._automatic = first.automatic
        self.begun = False

    def see(self, app: Application) -> None:
        """Take note of an operation of the commit's own."""
        self.begun = self.begun or self.own(app) is not None

    def own(self, app: Application) -> OperationState | None:
        """Return the last operation if it deploys the commit, and was not over before this rollout."""
        last, old = app.status.operation_state, self._before
        if last is None or not self._goal.deployed_by(app, last):
            return None
        return None if old and old.ended and old.started_at == last.started_at else last

    def failure(self, app: Application) -> OperationState | None:
        """Return the commit's own operation if it failed for reasons of the commit."""
        own = self.own(app)
        return own if own and own.failed and not passing(own) and not TERMINATED.search(own.message) else None

    def needs_sync(self, app: Application) -> bool:
        """Whether a sync is needed: the commit is known, not deployed, and no operation of it runs or has done it."""
        if app.in_progress or not self._goal.compared(app):
            return False
        last, own = app.status.operation_state, self.own(app)
        if own:
            # A sync from a stale cache succeeds and changes nothing.
            stale = succeeded(own) and seen_after_operation(app) and bool(app.out_of_sync(workloads=True))
            return stale or (own.failed and passing(own))
        return app.status.sync.status != "Synced" or not succeeded(last)

    def settled(self, app: Application) -> bool:
        """Whether the application is what the commit has made of it: deployed, and looked at afterwards."""
        return bool(self._goal.compared(app)) and seen_after_operation(app) and not self.needs_sync(app)

    def led_to(self, app: Application) -> bool:
        """Whether the health is from after an operation that deployed the commit, in an earlier rollout."""
        last, since = app.status.operation_state, app.status.health.last_transition_time
        if last is None or not last.ended or not self._goal.deployed_by(app, last):
            return False
        return since is None or last.started_at is None or since >= last.started_at

    def intervention(self, app: Application) -> str:
        """Say what a person did in Argo CD that keeps the commit away; empty otherwise."""
        if overridden := self._goal.overridden(app):
            return overridden
        last, own = app.status.operation_state, self.own(app)
        if last is None or app.in_progress:
            return ""
        if own:
            ended = own.failed and TERMINATED.search(own.message)
            return f"its operation was ended in Argo CD, by a person or a time limit ({own.message})" if ended else ""
        if self.begun and not self._goal.deployed_by(app, last):
            return f"a person had Argo CD deploy {' '.join(app.deployed_by(last))[:40] or 'another commit'} instead"
        if self._automatic and not app.automatic:
            return "a person switched automatic sync off in Argo CD"
        return ""

    def waits_behind(self, app: Application) -> str:
        """Return the older commit that Argo CD tries again and again while this one waits; empty if there is none.

        Only between two tries: what runs now may be a hook. And only where Argo CD deploys by itself: else a person
        may have wanted that commit.
        """
        last = app.status.operation_state
        if not (last and last.phase == "Running" and last.retry_count and last.finished_at and app.automatic):
            return ""
        return self._goal.overtakes(app, last) if self._goal.compared(app) else ""
