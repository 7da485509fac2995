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
        namespace: its own.
        retries: how often Argo CD tries a failed operation again by itself, each time after as many steps as it takes.
        left_over: whether a ConfigMap is left over that is not pruned.
        hydrated: whether a hydrator writes the manifests to another branch; its commits begin with ``h``.
        pod: reason and health message of the pods that do not start.
        sources: further revisions, of an application with several sources.
        target: what it follows.
        parameters: images that Argo CD itself gives to kustomize.
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
    namespace: str = "argocd"
    retries: int = 0
    left_over: bool = False
    hydrated: bool = False
    pod: tuple[str, str] = ("", "")
    sources: Sequence[str] = ()
    target: str = "main"
    parameters: Sequence[str] = ()
    deleted: bool = False
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
    _started_at: str = ""

    def __post_init__(self) -> None:
        self.live = self.head()
        self.operation_state = self._ended({"sync": {"revision": self._revision()}}, self.now(), "Succeeded")
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

    def tree(self) -> list[dict[str, Any]]:
        """The resource tree: its pods, which know of their trouble before the workload does."""
        reason, message = self.pod
        health = {"status": "Degraded" if reason else self.cluster[0], "message": message}
        pod = {"kind": "Pod", "parentRefs": [{"kind": "ReplicaSet"}], "health": health, "createdAt": self._started_at}
        info = [{"name": "Status Reason", "value": reason or "Running"}]
        return [
            pod | {"name": f"pod-{at}", "images": [image], "info": info}
            for at, image in enumerate(self.images(self.live))
        ]

    def end_operation(self) -> bool:
        """End the operation that is there, as a person does; whether there was one."""
        if not self.operation:
            return False
        self.operation_state = self._ended(self.operation, self._started_at, "Failed") | {
            "message": "Operation terminated"
        }
        self.operation, self._work = None, self._controller()
        return True

    def begin(self, revision: str) -> None:
        """Ask for a sync as somebody else does."""
        self.operation = {"sync": {"revision": revision, "prune": self.prune}}

    def answer(self) -> dict[str, Any]:
        """The application as the API gives it."""
        automated = {"automated": {"prune": self.prune, "selfHeal": True}} if self.auto_sync else {}
        state = {"operationState": self.operation_state} if self.operation_state else {}
        head = self.head()
        hydrated = {
            "drySHA": head,
            "hydratedSHA": self._revision(),
            "phase": "Hydrated",
            "finishedAt": self.reconciled_at,
        }
        hydrator = {"currentOperation": hydrated, "lastSuccessfulOperation": hydrated} if self.hydrated else {}
        left_over = [
            {"kind": "ConfigMap", "name": "old", "status": "OutOfSync", "requiresPruning": True}
        ] * self.left_over
        return {
            "metadata": {"name": self.name, "namespace": self.namespace}
            | ({"deletionTimestamp": self.reconciled_at} if self.deleted else {}),
            "spec": {
                "project": self.project,
                "source": {"targetRevision": self.target, "kustomize": {"images": list(self.parameters)}},
                "syncPolicy": automated,
            }
            | ({"sourceHydrator": {"drySource": {}}} if self.hydrated else {}),
            "status": {
                "sourceHydrator": hydrator,
                "sync": self.compared,
                "health": {"status": self.health[0], "lastTransitionTime": self._turned_at},
                "reconciledAt": self.reconciled_at,
                "resources": [self._resource(self.kind, self.health), self._resource("Service", HEALTHY), *left_over],
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
            "status": self._workload() if kind == self.kind else "Synced",
            "health": dict(zip(("status", "message"), health, strict=True)),
        }

    def _workload(self) -> str:
        if self.left_over:
            return "Synced" if self.images(self.head()) == self.images(self.live) else "OutOfSync"
        return str(self.compared["status"])

    def _controller(self) -> Iterator[None]:
        while True:
            if self.operation:
                yield from self._operate(self.operation)
            else:
                yield

    def _sync_by_itself(self) -> None:
        tried = (self.operation_state or {}).get("operation", {}).get("sync", {}).get("revision")
        due = self.auto_sync and not self.window_closed and not self.operation
        if due and self.compared["status"] == "OutOfSync" and tried != self._revision():
            self.begin(self._revision())

    def _operate(self, operation: dict[str, Any]) -> Iterator[None]:
        started = self._started_at = self.now()
        self.operation_state = {"operation": operation, "phase": "Running", "startedAt": started}
        for _ in range(self.operation_steps):
            yield
        yield from self._retry(operation, started)
        self.operation, self.operation_state = None, self._ended(operation, started, self.outcome)
        if self.outcome == "Succeeded":
            self.live = operation["sync"]["revision"].removeprefix("h")
            self.cluster = self._course()[0]
            yield  # the operation is over, and everything else still says what was before it
            yield from self._settle()

    def _retry(self, operation: dict[str, Any], started: str) -> Iterator[None]:
        for attempt in range(1, (self.retries if self.outcome != "Succeeded" else 0) + 1):
            message = f"{self.message}. Retrying attempt #{attempt} at 3:04PM."
            failed = self._ended(operation, started, self.outcome) | {"phase": "Running", "message": message}
            self.operation_state = failed | {"retryCount": attempt}
            for _ in range(2**attempt):
                yield

    def _settle(self) -> Iterator[None]:
        for health in self._course():
            self.cluster = health
            self._reconcile()
            yield

    def _revision(self) -> str:
        return f"h{self.head()}" if self.hydrated else self.head()

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
        same = self.images(self.head()) == self.images(self.live) and not self.left_over
        self.compared = {"status": "Synced" if same else "OutOfSync", "revision": self._revision()}
        if self.sources:
            self.compared = {"status": self.compared["status"], "revisions": [*self.sources, self._revision()]}
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
