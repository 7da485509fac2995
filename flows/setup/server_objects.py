"""The things of a Prefect server that ``flowise-setup`` makes: each is looked at first and changed where it differs."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast
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
from prefect.client.schemas.filters import FlowRunFilter
from prefect.exceptions import ObjectNotFound
from prefect.variables import Variable

from flows.setup.server_check import read_settings
from tasks.core.models import WorkPoolType
from tasks.core.names import Names

LEASES_IN_FILES = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem"
"""What a server needs to keep the leases of slots when it is restarted."""


HOME = "/home/delivery"
"""Home of the user in the worker image: caches, and results that a run continues with after an approval."""

CONTAINERS = {"PREFECT_HOME": f"{HOME}/.prefect"}
"""What runs in containers have besides: a worker passes its own settings of Prefect on to them."""


class RunEnvironment(Block):
    """The environment of every run of a work pool: a worker looks up the Prefect variables in it when a run starts."""

    _block_type_name = "Flowise run environment"
    _block_type_slug = "flowise-run-environment"

    value: dict[str, str]


class Row(NamedTuple):
    """One thing, and what was done about it."""

    kind: str
    name: str
    outcome: str


def variable(name: str, value: str) -> Row:
    """Make or change a setting's Prefect variable, which people see and change in the UI."""
    found = Variable.get(name)
    if found != value:
        Variable.set(name, value, overwrite=True)
    return Row("variable", name, _outcome(found is not None, [f"now {value}"] if found != value else []))


def fixed_environment(name: str) -> dict[str, str]:
    """Return the environment of a pool's runs; empty if there is none yet."""
    try:
        return cast(RunEnvironment, RunEnvironment.load(name)).value
    except ValueError:  # Prefect's word for "not found"
        return {}


def run_environment(name: str, values: dict[str, str]) -> Row:
    """Make or change the block with the environment of a pool's runs; what it has besides, and isn't empty, stays."""
    known = fixed_environment(name)
    kept = {key: value for key, value in known.items() if value and key not in CONTAINERS}
    return block(RunEnvironment, name, value=kept | values)[0]


def work_pool(client: SyncPrefectClient, name: str, kind: WorkPoolType, template: dict[str, Any]) -> Row:
    """Make or change a work pool; one of another type is left untouched."""
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template))
        return Row("work pool", name, _outcome(False, []))
    if found.type != kind:
        return Row("work pool", name, f"left alone: its type is {found.type}, not {kind}")
    changes = ["base job template"] * (found.base_job_template != template)
    if changes:
        client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
    return Row("work pool", name, _outcome(True, changes))


def limit(client: SyncPrefectClient, name: str) -> Row:
    """Make a global concurrency limit of one, as ``tasks.runtime.concurrency`` makes it."""
    try:
        found = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        return Row("limit", name, _outcome(False, []))
    changes = [f"limit was {found.limit}"] * (found.limit != 1) + ["was switched off"] * (not found.active)
    if changes:
        client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=1, active=True))
    return Row("limit", name, _outcome(True, changes))


def lost_slots(client: SyncPrefectClient, names: Names) -> Iterator[Row]:
    """Report what keeps slots taken: leases that don't survive a restart of the server, and slots that no run has."""
    settings = read_settings(client)
    if settings and "memory" in settings["concurrency"]["lease_storage"]:
        yield Row("server", "lease storage", f"in memory: start the server with {LEASES_IN_FILES}")
    running = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "CANCELLING"]}}})
    if client.read_flow_runs(flow_run_filter=running, limit=1):
        return
    for limit in client.read_global_concurrency_limits(limit=200):
        if limit.active_slots and limit.name.startswith((names.limit(""), names.build_limit(""))):
            free = f"prefect gcl update {limit.name} --active-slots 0"
            yield Row("limit", limit.name, f"taken though nothing runs; if it still is in a minute: {free}")


def block(kind: type[Block], name: str, /, **values: Any) -> tuple[Row, UUID]:  # noqa: ANN401 - any block's fields
    """Make or change a block; its other fields stay as they are. Only the names of fields are reported."""
    wanted, changes = kind(**values), []
    try:
        found = cast(Block, kind.load(name))
    except ValueError:  # Prefect's word for "not found"
        found = None
    if found:
        changes = [field for field in values if getattr(found, field) != getattr(wanted, field)]
        wanted = kind(**{field: getattr(found, field) for field in kind.model_fields} | values)
    if changes or not found:
        wanted.save(name, overwrite=True)
    identity = cast(UUID, (found or wanted)._block_document_id)
    return Row("block", f"{kind.get_block_type_slug()}/{name}", _outcome(bool(found), changes)), identity


def automation(client: SyncPrefectClient, wanted: Automation) -> Row:
    """Make or change an automation; one that was switched off in the UI stays off."""
    found = next(iter(client.read_automations_by_name(wanted.name)), None)
    fields = ("description", "trigger", "actions")
    changes = [field for field in fields if found and getattr(found, field) != getattr(wanted, field)]
    if not found:
        wanted.create()
    elif changes:
        wanted.id, wanted.enabled = found.id, found.enabled
        wanted.update()
    return Row("automation", wanted.name, _outcome(bool(found), changes))


def _outcome(existed: bool, changes: list[str]) -> str:
    if not existed:
        return "created"
    return f"changed: {', '.join(changes)}" if changes else "unchanged"
