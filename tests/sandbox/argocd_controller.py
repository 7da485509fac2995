"""The controller half of the stand-in for Argo CD (``tests.sandbox.argocd``): an application and what becomes of it.

It does one step before each answer instead of working by itself, so that a test sees every state whatever the
machine's speed; its clock is a second further at each step; there is no cluster. Automatic sync does not try a
revision again, but never heals by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from tests.sandbox import repositories
from tests.sandbox.gitops_files import APP

HEALTHY = ("Healthy", "")
PROGRESSING = ("Progressing", "Waiting for rollout to finish: 0 of 1 updated replicas are available...")
DEGRADED = ("Degraded", 'Deployment "flowise-server" exceeded its progress deadline')


@dataclass
class Application:
    """An application as the controller knows it. Tests turn the fields; ``steps`` are answers that go by.

    Args:
        name: its name.
        head: answers the newest commit of the branch it follows.
        images: answers the images a commit's manifests name.
        project: its AppProject.
        auto_sync: whether ``spec.syncPolicy.automated`` is set.
        prune: whether automatic sync prunes.
        outcome: the phase in which operations end.
        message: what operations say in the end, where it isn't a success.
        operation_steps: how long an operation runs.
        cluster: the health of what runs; the application's own is from the last time the controller looked.
        after_sync: health after a successful operation, step by step; the last one stays.
        breaks: answers whether a commit's images do not start: its health is ``DEGRADED`` instead.
        refresh_hangs: whether a refresh is never answered, though the controller does it.
        window_closed: whether a sync window denies every sync.
        kind: of its one workload.
    """

    name: str
    head: Callable[[], str]
    images: Callable[[str], Sequence[str]]
    project: str = "default"
    auto_sync: bool = True
    prune: bool = True
    outcome: str = "Succeeded"
    message: str = ""
    operation_steps: int = 2
    cluster: tuple[str, str] = HEALTHY
    after_sync: Sequence[tuple[str, str]] = (PROGRESSING, HEALTHY)
    breaks: Callable[[Sequence[str]], bool] = lambda _: False
    refresh_hangs: bool = False
    window_closed: bool = False
    kind: str = "Deployment"
    conditions: list[dict[str, str]] = field(default_factory=list)
    health: tuple[str, str] = ("", "")
    refresh_asked: bool = False
    operation: dict[str, Any] | None = None
    operation_state: dict[str, Any] | None = None
    compared: dict[str, Any] = field(default_factory=dict)
    reconciled_at: str = ""
    live: str = ""
    _seconds: int = 0
    _turned_at: str = ""

    def __post_init__(self) -> None:
        self.live = self.head()
        self.operation_state = self._ended({"sync": {"revision": self.live}}, self.now(), "Succeeded")
        self._reconcile()
        self._work = self._controller()

    def now(self) -> str:
        """The controller's clock, as Kubernetes writes times: whole seconds."""
        self._seconds += 1
        return f"{datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._seconds):%Y-%m-%dT%H:%M:%SZ}"

    def step(self) -> None:
        """Let the controller do one thing."""
        if self.refresh_asked:
            self.refresh_asked = False
            self._reconcile()
            self._sync_by_itself()
        else:
            next(self._work)

    def begin(self, revision: str) -> None:
        """Ask for a sync as somebody else does."""
        self.operation = {"sync": {"revision": revision, "prune": self.prune}}

    def answer(self) -> dict[str, Any]:
        """The application as the API gives it."""
        automated = {"automated": {"prune": self.prune, "selfHeal": True}} if self.auto_sync else {}
        state = {"operationState": self.operation_state} if self.operation_state else {}
        return {
            "metadata": {"name": self.name, "namespace": "argocd"},
            "spec": {"project": self.project, "syncPolicy": automated},
            "status": {
                "sync": self.compared,
                "health": {"status": self.health[0], "lastTransitionTime": self._turned_at},
                "reconciledAt": self.reconciled_at,
                "resources": [self._resource(self.kind, self.health), self._resource("Service", HEALTHY)],
                "summary": {"images": list(self.images(self.live))},
                "conditions": self.conditions,
                **state,
            },
            **({"operation": self.operation} if self.operation else {}),
        }

    def _resource(self, kind: str, health: tuple[str, str]) -> dict[str, Any]:
        return {
            "kind": kind,
            "name": "flowise-server",
            "namespace": self.name,
            "status": self.compared["status"] if kind == self.kind else "Synced",
            "health": dict(zip(("status", "message"), health, strict=True)),
        }

    def _controller(self) -> Iterator[None]:
        while True:
            if self.operation:
                yield from self._operate(self.operation)
            else:
                yield

    def _sync_by_itself(self) -> None:
        tried = (self.operation_state or {}).get("operation", {}).get("sync", {}).get("revision")
        due = self.auto_sync and not self.window_closed and not self.operation
        if due and self.compared["status"] == "OutOfSync" and tried != self.head():
            self.begin(self.head())

    def _operate(self, operation: dict[str, Any]) -> Iterator[None]:
        started = self.now()
        self.operation_state = {"operation": operation, "phase": "Running", "startedAt": started}
        for _ in range(self.operation_steps):
            yield
        self.operation, self.operation_state = None, self._ended(operation, started, self.outcome)
        if self.outcome == "Succeeded":
            self.live = operation["sync"]["revision"]
            self.cluster = self._course()[0]
            yield  # the operation is over, and everything else still says what was before it
            yield from self._settle()

    def _settle(self) -> Iterator[None]:
        for health in self._course():
            self.cluster = health
            self._reconcile()
            yield

    def _course(self) -> Sequence[tuple[str, str]]:
        return (PROGRESSING, DEGRADED) if self.breaks(self.images(self.live)) else self.after_sync

    def _ended(self, operation: dict[str, Any], started: str, phase: str) -> dict[str, Any]:
        good = phase == "Succeeded"
        task = {"kind": self.kind, "name": "flowise-server", "status": "Synced" if good else "SyncFailed"}
        return {
            "operation": operation,
            "phase": phase,
            "message": "successfully synced (all tasks run)" if good else self.message,
            "startedAt": started,
            "finishedAt": self.now(),
            "syncResult": {"revision": operation["sync"]["revision"], "resources": [task | {"message": self.message}]},
        }

    def _reconcile(self) -> None:
        same = self.images(self.head()) == self.images(self.live)
        self.compared = {"status": "Synced" if same else "OutOfSync", "revision": self.head()}
        self.reconciled_at = self.now()
        if self.health[0] != self.cluster[0]:
            self._turned_at = self.reconciled_at
        self.health = self.cluster


def follow(bare: Path, environment: str, **options: Any) -> Application:
    """An application ``flowise-<environment>`` that follows a bare GitOps repository, its overlay and its ``main``."""
    overlay = f"{APP}/overlays/{environment}/kustomization.yaml"

    def images(revision: str) -> list[str]:
        entries = yaml.safe_load(repositories.show(bare, revision, overlay))["images"] or []
        return [
            f"{each.get('newName', each['name'])}"
            + (f"@{each['digest']}" if "digest" in each else f":{each.get('newTag', 'latest')}")
            for each in entries
        ]

    return Application(f"flowise-{environment}", lambda: repositories.head(bare) or "", images, **options)
