"""What is where at a moment: what git says was deployed, what Argo CD says of it, and what waits for an answer."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime

from tasks.core.gitops.ledger import Deployment
from tasks.core.gitops.source_commits import SHOWN
from tasks.core.gitops.status import Ahead, Entry, EnvironmentStatus, Status
from tasks.core.models import Environment, Value

HAND = "changed by hand since"


class Health(Value):
    """What Argo CD says of an environment, if asked: its health's name, its words, and the images it sees running."""

    status: str = ""
    words: str = ""
    images: tuple[str, ...] = ()


class Waiting(Value):
    """A run that waits for an operator."""

    id: str
    environment: str
    run: str
    url: str
    since: AwareDatetime | None = None


class Overview(Value):
    """Everything an operator asks for first."""

    at: AwareDatetime
    status: Status
    health: Mapping[Environment, Health] = {}
    waiting: tuple[Waiting, ...] = ()

    def newest(self, environment: Environment) -> Deployment | None:
        """Return what was deployed to an environment last."""
        found = next((each for each in self.status.environments if each.environment == environment), None)
        return found.history[0].deployment if found and found.history else None

    def waits(self, environment: Environment) -> list[Waiting]:
        """List what waits for an answer there."""
        return [each for each in self.waiting if each.environment == environment]

    def missing(self, environment: Environment) -> Ahead | None:
        """Return what the environment before this one has and it has not."""
        return next((each for each in self.status.differences if each.behind == environment), None)

    def ledger(self) -> list[Entry]:
        """List all deployments, newest first."""
        entries = [entry for each in self.status.environments for entry in each.history]
        return sorted(entries, key=lambda entry: entry.deployment.at, reverse=True)


def row(view: Overview, each: EnvironmentStatus) -> dict[str, str]:
    """Return an environment as a line of a table, in plain words."""
    newest = view.newest(each.environment)
    behind = view.missing(each.environment)
    return {
        "environment": each.environment,
        "version": _version(each, newest),
        "age": age(newest.at, view.at) if newest else "",
        "by": newest.actor if newest else "",
        "health": view.health.get(each.environment, Health()).status or "not asked",
        "waits": ", ".join(waits.run for waits in view.waits(each.environment)),
        "not yet here": arriving(behind) if behind else "",
    }


def arriving(behind: Ahead) -> str:
    """Say how many commits have not come here yet."""
    if behind.unknown:
        return "unknown"
    new = [commit for commit in behind.commits if commit.startswith("+")]
    if len(behind.commits) > SHOWN:
        return f"more than {SHOWN} commits of {behind.ahead}"
    return f"{len(new)} commit{'s' * (len(new) != 1)} of {behind.ahead}" if new else "nothing"


def age(since: datetime, now: datetime) -> str:
    """Say how long ago something was, in its largest unit."""
    passed = max(now - since, timedelta())
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed.total_seconds() >= seconds:
            return f"{passed.total_seconds() // seconds:.0f} {unit}"
    return f"{passed.total_seconds():.0f} s"


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def _version(each: EnvironmentStatus, newest: Deployment | None) -> str:
    if not newest:
        return "never deployed to"
    return f"{newest.tag} ({HAND})" if each.by_hand else newest.tag
