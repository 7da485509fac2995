"""What Argo CD says of an application: the fields of its ``v1alpha1.Application`` that a rollout depends on.

Argo CD leaves out what is empty, so everything has a default, and fields that are not named here do not matter.
"""

from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Rollout", "Job", "CronJob", "Pod")
"""Kinds that run containers: what a deployment changes."""

SCHEDULED = ("CronJob", "Job")
"""Kinds that a manifest may suspend for good; then nothing is waited for."""

SKIPPED = "argocd.argoproj.io/skip-reconcile"
"""The annotation with which a person has the controller leave an application alone."""

ENDED_BADLY = ("Failed", "Error")


class Said(BaseModel):
    """Something Argo CD says."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, fields: Any) -> Any:  # noqa: ANN401 - pydantic hands in whatever came
        if not isinstance(fields, dict):
            return fields
        return {name: value for name, value in fields.items() if value is not None}


class Health(Said):
    """``Healthy``, ``Progressing``, ``Degraded``, ``Suspended``, ``Missing`` or ``Unknown``."""

    status: str = ""
    message: str = ""
    last_transition_time: AwareDatetime | None = None


class Resource(Said):
    """A Kubernetes resource: in the application's status with its health, in a sync's result with its message.

    ``hook_phase`` is how far a sync's result has come with any of them, whether it is a hook or not.
    """

    kind: str = ""
    name: str = ""
    status: str = ""
    message: str = ""
    hook: bool = False
    hook_type: str = ""
    hook_phase: str = ""
    requires_pruning: bool = False
    health: Health = Health()

    def __str__(self) -> str:
        hook = f"{self.hook_type} hook " if self.hook_type else ""
        return f"{hook}{self.kind} {self.name}"

    @property
    def failed(self) -> bool:
        """Whether a sync could not apply it, or the hook that it is failed."""
        return self.status == "SyncFailed" or self.hook_phase in ENDED_BADLY


class Revisions(Said):
    """One commit, or one for each source of an application with several."""

    revision: str = ""
    revisions: tuple[str, ...] = ()

    def all(self) -> tuple[str, ...]:
        """All of them; empty where Argo CD knows none."""
        return tuple(each for each in (self.revision, *self.revisions) if each)


class Comparison(Revisions):
    """How the cluster compares with the commit: ``Synced``, ``OutOfSync`` or ``Unknown``."""

    status: str = ""


class SyncResult(Revisions):
    """What a sync did so far."""

    resources: tuple[Resource, ...] = ()


class Operation(Said):
    """An operation that was asked for."""

    sync: Revisions = Revisions()


class OperationState(Said):
    """The operation that runs, or else the last one.

    ``phase`` is ``Running``, ``Terminating``, ``Succeeded``, ``Failed`` or ``Error``.
    """

    phase: str = ""
    message: str = ""
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    retry_count: int = 0
    operation: Operation = Operation()
    sync_result: SyncResult = SyncResult()

    @property
    def revisions(self) -> tuple[str, ...]:
        """What it deploys."""
        return self.sync_result.all() or self.operation.sync.all()

    @property
    def failed(self) -> bool:
        """Whether it ended badly."""
        return self.phase in ENDED_BADLY

    @property
    def ended(self) -> bool:
        """Whether it is over; one that Argo CD tries again by itself is Running, with a ``finishedAt``."""
        return self.failed or self.phase == "Succeeded"


class Condition(Said):
    """Something Argo CD has to say, such as a ``ComparisonError``."""

    type: str = ""
    message: str = ""


class Summary(Said):
    """``images`` are those of the pods that are there."""

    images: tuple[str, ...] = ()


class Hydration(Said):
    """The hydrator's work: manifests of a dry commit, written as a hydrated commit to another branch."""

    phase: str = ""
    message: str = ""
    finished_at: AwareDatetime | None = None
    dry_sha: str = Field("", alias="drySHA")
    hydrated_sha: str = Field("", alias="hydratedSHA")


class Hydrator(Said):
    """How far the source hydrator is, where the application has one."""

    current_operation: Hydration | None = None
    last_successful_operation: Hydration | None = None


class Status(Said):
    """What the controller wrote last, and when."""

    sync: Comparison = Comparison()
    health: Health = Health()
    operation_state: OperationState | None = None
    reconciled_at: AwareDatetime | None = None
    resources: tuple[Resource, ...] = ()
    summary: Summary = Summary()
    conditions: tuple[Condition, ...] = ()
    source_hydrator: Hydrator = Hydrator()


class Automated(Said):
    """Automatic sync; ``enabled`` is left out where it is on."""

    enabled: bool = True
    prune: bool = False


class SyncPolicy(Said):
    """How the application is synced."""

    automated: Automated | None = None


class Parameters(Said):
    """Images that Argo CD gives to kustomize, after those of the files, as ``name=new-name:tag``."""

    images: tuple[str, ...] = ()


class Source(Said):
    """Where manifests come from; what is followed is ``HEAD`` if nothing else is named."""

    target_revision: str = "HEAD"
    kustomize: Parameters = Parameters()


class Spec(Said):
    """What a person wrote."""

    source: Source | None = None
    sources: tuple[Source, ...] = ()
    sync_policy: SyncPolicy = SyncPolicy()
    source_hydrator: dict[str, Any] | None = None

    def all_sources(self) -> tuple[Source, ...]:
        """All of them; Argo CD leaves ``source`` aside where there are several."""
        return self.sources or ((self.source,) if self.source else ())


class Metadata(Said):
    """What Kubernetes knows of the application itself."""

    annotations: dict[str, str] = {}
    deletion_timestamp: AwareDatetime | None = None


class Application(Said):
    """An application. ``operation`` is one that was asked for and is not over."""

    metadata: Metadata
    spec: Spec = Spec()
    status: Status = Status()
    operation: Operation | None = None

    @property
    def in_progress(self) -> bool:
        """Whether an operation waits or runs."""
        last = self.status.operation_state
        return self.operation is not None or (last is not None and not last.ended)

    @property
    def automatic(self) -> bool:
        """Whether Argo CD syncs by itself."""
        automated = self.spec.sync_policy.automated
        return automated is not None and automated.enabled

    @property
    def prunes(self) -> bool:
        """Whether the application's own policy deletes what a commit no longer has."""
        automated = self.spec.sync_policy.automated
        return automated is not None and automated.prune

    @property
    def compared_with(self) -> tuple[str, ...]:
        """What Argo CD has compared the cluster with."""
        return self._as_written(self.status.sync.all(), self.status.reconciled_at)

    def deployed_by(self, operation: OperationState) -> tuple[str, ...]:
        """Return what an operation deploys."""
        return self._as_written(operation.revisions, operation.started_at)

    def _as_written(self, revisions: tuple[str, ...], at: datetime | None) -> tuple[str, ...]:
        """Return commits of the repository that people write to, where a hydrator makes other ones of them.

        The hydrated branch may be shared: another application's commit on it is newer than this one's.
        """
        if not self.spec.source_hydrator:
            return revisions
        hydrator = self.status.source_hydrator
        done, current = hydrator.last_successful_operation, hydrator.current_operation
        if done is None:
            return ()
        ended = current.finished_at if current and current.dry_sha == done.dry_sha else None
        return (done.dry_sha,) if done.hydrated_sha in revisions or (at and ended and at > ended) else ()

    def out_of_sync(self, *, workloads: bool) -> list[Resource]:
        """Return what differs from the commit: the workloads of it, or else what is left over or written by others."""
        return [
            each
            for each in self.status.resources
            if each.status == "OutOfSync" and workloads == (each.kind in WORKLOADS and not each.requires_pruning)
        ]

    def degraded(self) -> set[str]:
        """Name what is Degraded; the application itself where Argo CD names no resource."""
        if self.status.health.status != "Degraded":
            return set()
        named = {str(each) for each in self.status.resources if each.health.status == "Degraded" and not each.hook}
        return named or {"the application"}

    def unready(self) -> list[str]:
        """Describe what is not as it should be, and Argo CD's own complaints: one line each."""
        last = self.status.operation_state
        complaints = [f"{each.type}: {each.message}" for each in self.status.conditions if each.type.endswith("Error")]
        failed = [
            _line(each, each.status if each.status == "SyncFailed" else each.hook_phase)
            for each in (last.sync_result.resources if last else ())
            if each.failed
        ]
        waiting = [
            _line(each, each.health.status)
            for each in self.status.resources
            if each.health.status not in ("", "Healthy") and not each.hook
        ]
        return list(dict.fromkeys(self._standing_still() + complaints + failed + waiting))

    def _standing_still(self) -> list[str]:
        """Describe what keeps Argo CD from working on the application at all."""
        hydration = self.status.source_hydrator.current_operation
        failed = hydration.message if hydration and hydration.phase == "Failed" else None
        found = [
            (self.metadata.deletion_timestamp, "the application is being deleted"),
            (self.metadata.annotations.get(SKIPPED) == "true", f"reconciling is switched off (annotation {SKIPPED})"),
            (failed is not None, f"the source hydrator failed: {failed}"),
        ]
        return [words for true, words in found if true]


def _line(resource: Resource, state: str) -> str:
    said = resource.message or resource.health.message
    return f"{resource} is {state}{f': {said}' if said else ''}"
