"""What Argo CD says of an application: the fields of its ``v1alpha1.Application`` that a rollout depends on.

Argo CD leaves out what is empty, so everything has a default, and fields that are not named here do not matter.
"""

from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

READY = ("Healthy", "Suspended")
"""Health of a resource that nobody waits for; a suspended one waits for a person."""


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, fields: Any) -> Any:  # noqa: ANN401 - pydantic hands in whatever came
        if not isinstance(fields, dict):
            return fields
        return {name: value for name, value in fields.items() if value is not None}


class Health(_Said):
    """``Healthy``, ``Progressing``, ``Degraded``, ``Suspended``, ``Missing`` or ``Unknown``."""

    status: str = ""
    message: str = ""


class Resource(_Said):
    """A Kubernetes resource: in the application's status with its health, in a sync's result with its message."""

    kind: str = ""
    name: str = ""
    status: str = ""
    message: str = ""
    hook_phase: str = ""
    health: Health = Health()


class Revisions(_Said):
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


class Operation(_Said):
    """An operation that was asked for."""

    sync: Revisions = Revisions()


class OperationState(_Said):
    """The operation that runs, or else the last one.

    ``phase`` is ``Running``, ``Terminating``, ``Succeeded``, ``Failed`` or ``Error``.
    """

    phase: str = ""
    message: str = ""
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    operation: Operation = Operation()
    sync_result: SyncResult = SyncResult()

    @property
    def revisions(self) -> tuple[str, ...]:
        """What it deploys."""
        return self.sync_result.all() or self.operation.sync.all()

    @property
    def failed(self) -> bool:
        """Whether it ended badly."""
        return self.phase in ("Failed", "Error")


class Condition(_Said):
    """Something Argo CD has to say, such as a ``ComparisonError``."""

    type: str = ""
    message: str = ""


class Summary(_Said):
    """``images`` are those of the pods that are there."""

    images: tuple[str, ...] = ()


class Status(_Said):
    """What the controller wrote last, and when."""

    sync: Comparison = Comparison()
    health: Health = Health()
    operation_state: OperationState | None = None
    reconciled_at: AwareDatetime | None = None
    resources: tuple[Resource, ...] = ()
    summary: Summary = Summary()
    conditions: tuple[Condition, ...] = ()


class Automated(_Said):
    """Automatic sync, where it is on."""

    prune: bool = False


class SyncPolicy(_Said):
    """How the application is synced."""

    automated: Automated | None = None


class Spec(_Said):
    """What a person wrote."""

    sync_policy: SyncPolicy = SyncPolicy()


class Application(_Said):
    """An application. ``operation`` is one that was asked for and is not over."""

    metadata: dict[str, Any]
    spec: Spec = Spec()
    status: Status = Status()
    operation: Operation | None = None

    @property
    def in_progress(self) -> bool:
        """Whether an operation waits or runs."""
        last = self.status.operation_state
        return self.operation is not None or (last is not None and last.finished_at is None)

    @property
    def prunes(self) -> bool:
        """Whether the application's own policy deletes what a commit no longer has."""
        automated = self.spec.sync_policy.automated
        return automated is not None and automated.prune

    def unready(self) -> list[str]:
        """Resources that are not as they should be, and Argo CD's own complaints: one line each."""
        last = self.status.operation_state
        complaints = [f"{each.type}: {each.message}" for each in self.status.conditions if each.type.endswith("Error")]
        failed = [
            _line(each, each.status or each.hook_phase)
            for each in (last.sync_result.resources if last else ())
            if each.status == "SyncFailed" or each.hook_phase in ("Failed", "Error")
        ]
        waiting = [
            _line(each, each.health.status)
            for each in self.status.resources
            if each.health.status and each.health.status not in READY
        ]
        return complaints + failed + waiting


def _line(resource: Resource, state: str) -> str:
    said = resource.message or resource.health.message
    return f"{resource.kind} {resource.name} is {state}{f': {said}' if said else ''}"
