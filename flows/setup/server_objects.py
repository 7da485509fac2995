"""The things of a Prefect server that ``flowise-setup`` makes: each is looked at first and changed where it differs."""

from typing import Any, NamedTuple
from uuid import UUID

from prefect.automations import Automation
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.exceptions import ObjectNotFound
from prefect.variables import Variable

POOL = "flowise"
"""The work pool of prefect.yaml."""


class Row(NamedTuple):
    """One thing, and what was done about it."""

    kind: str
    name: str
    outcome: str


def variable(name: str, value: str) -> Row:
    """A setting as a Prefect variable, which people see and change in the UI."""
    found = Variable.get(name)
    if found != value:
        Variable.set(name, value, overwrite=True)
    return Row("variable", name, _outcome(found is not None, [f"now {value}"] if found != value else []))


def work_pool(client: SyncPrefectClient, env: dict[str, str]) -> Row:
    """The pool; its runs get ``env``, whose variables a worker looks up when a run starts. Its type stays."""
    try:
        found = client.read_work_pool(POOL)
    except ObjectNotFound:
        found = None
    template = found.base_job_template if found else _process_template()
    declared = template["variables"]["properties"].setdefault(
        "env", {"title": "Environment Variables", "type": "object"}
    )
    missing = [name for name in env if (declared.get("default") or {}).get(name) != env[name]]
    declared["default"] = (declared.get("default") or {}) | env
    if not found:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
    elif missing:
        client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))
    return Row("work pool", POOL, _outcome(bool(found), missing))


def limit(client: SyncPrefectClient, name: str) -> Row:
    """A global concurrency limit of one, as ``tasks.runtime.concurrency`` makes it."""
    try:
        found = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        return Row("limit", name, _outcome(False, []))
    changes = [f"limit was {found.limit}"] * (found.limit != 1) + ["was switched off"] * (not found.active)
    if changes:
        client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=1, active=True))
    return Row("limit", name, _outcome(True, changes))


def block(kind: type[Block], name: str, /, **values: Any) -> tuple[Row, UUID]:  # noqa: ANN401 - any block's fields
    """A block with these values; its other fields stay as they are. Only the names of fields are told."""
    wanted, changes = kind(**values), []
    try:
        found = kind.load(name)
    except ValueError:  # Prefect's word for "not found"
        found = None
    if found:
        changes = [field for field in values if getattr(found, field) != getattr(wanted, field)]
        wanted = kind(**{field: getattr(found, field) for field in kind.model_fields} | values)
    if changes or not found:
        wanted.save(name, overwrite=True)
    identity = (found or wanted)._block_document_id
    return Row("block", f"{kind.get_block_type_slug()}/{name}", _outcome(bool(found), changes)), identity


def automation(client: SyncPrefectClient, wanted: Automation) -> Row:
    """An automation of that name; one that was switched off in the UI stays off."""
    found = next(iter(client.read_automations_by_name(wanted.name)), None)
    fields = ("description", "trigger", "actions")
    changes = [field for field in fields if found and getattr(found, field) != getattr(wanted, field)]
    if not found:
        wanted.create()
    elif changes:
        wanted.id, wanted.enabled = found.id, found.enabled
        wanted.update()
    return Row("automation", wanted.name, _outcome(bool(found), changes))


def _process_template() -> dict[str, Any]:
    from prefect.workers.process import ProcessWorker  # noqa: PLC0415 - slow to load

    return ProcessWorker.get_default_base_job_template()


def _outcome(existed: bool, changes: list[str]) -> str:
    if not existed:
        return "created"
    return f"changed: {', '.join(changes)}" if changes else "unchanged"
