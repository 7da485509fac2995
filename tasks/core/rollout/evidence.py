"""What speaks against a commit: why its operation failed, and what has been Degraded because of it for long enough.

Only evidence undoes a deployment. A person who ended the operation, and a repository server or a cluster that could
not be reached, say nothing about the commit.
"""

import re
import time
from collections.abc import Hashable

from tasks.core.rollout.application import Application, OperationState

PASSING = re.compile(
    r"^ComparisonError|code = (Unavailable|DeadlineExceeded|ResourceExhausted)|context (deadline exceeded|canceled)"
    r"|\btime(d )?out\b|connection (refused|reset|lost)|no such host|no route to host|broken pipe|\bEOF\b"
    r"|error resolving repo revision|too many requests|server is currently unable|etcdserver|leader changed"
    r"|object has been modified|failed (calling|to call) webhook|no endpoints available|x509:|tls: "
    r"|(unable|failed) to (connect to|sync|get) (the )?(cluster|server)|failed to load initial state"
    r"|: Unauthorized$|asked for the client to provide credentials|cluster '[^']*' is disabled",
    re.IGNORECASE,
)
"""Words for what passes or isn't the commit's fault, in gRPC's, Go's and Kubernetes' own terms."""

TERMINATED = re.compile(r"operation terminated", re.IGNORECASE)
"""What Argo CD says of an operation that was ended: by a person, or by a time limit of its own."""


def passing(operation: OperationState) -> bool:
    """Whether a failed operation failed because of something that passes; a hook that failed is none of that."""
    failed = [each for each in operation.sync_result.resources if each.failed]
    if any(each.status != "SyncFailed" for each in failed):
        return False
    return all(PASSING.search(each.message) for each in failed) if failed else bool(PASSING.search(operation.message))


class Lasting:
    """How long something has been so without a break, as far as it was seen."""

    def __init__(self) -> None:
        self._what: Hashable = None
        self._since = 0.0

    def seconds(self, what: Hashable) -> float:
        """Count from when this was seen first; ``None`` or another thing is a break."""
        now = time.monotonic()
        if what is None or what != self._what:
            self._what, self._since = what, now
        return now - self._since


class Degraded:
    """What is Degraded at a commit and was not before it.

    Args:
        before: what was Degraded already; it counts once it was seen well in between.
    """

    def __init__(self, before: set[str]) -> None:
        self._before = before
        self._lasting = Lasting()

    def seconds(self, app: Application, *, counts: bool) -> float | None:
        """Tell how long something new has been Degraded; ``None`` if nothing is, or if it does not count now.

        Args:
            app: the application.
            counts: whether this is the state after the commit's own operation.
        """
        now = app.degraded()
        self._before &= now
        new = counts and now - self._before
        lasted = self._lasting.seconds(("Degraded", app.status.health.last_transition_time) if new else None)
        return lasted if new else None
