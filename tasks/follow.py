"""The task ``follow-update``: the second flow's run, which an event started, found and, if wanted, waited for."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
from prefect import task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.logging import get_run_logger

from tasks.core.errors import Unavailable, UpdateFailed
from tasks.core.models import ImageUpdate, UpdateRun
from tasks.core.settings import load
from tasks.runtime.retries import RETRIES
from tasks.runtime.server import patiently
from tasks.runtime.web import web

FLOW = "update-flowise-deployment"

LOOK_FOR = 10.0
"""Seconds in which the server makes a run of an event; it takes a third of one."""

POLL = 0.5
"""Seconds between two looks."""

CLOCKS = timedelta(minutes=5)
"""How far this machine's clock may be from the server's."""


@task(name="follow-update", task_run_name="follow {update.tag} in {update.environment}", **RETRIES)
def follow(update: ImageUpdate) -> UpdateRun | None:
    """Find the run that the event of this update started, and wait ``DISPATCH_WAIT`` seconds for its end.

    ``None`` where there is none.

    Raises:
        UpdateFailed: it ended, and did not do what it was to do.
        Unavailable: Prefect does not answer.
    """
    try:
        with get_client(sync_client=True) as client:
            run = _found(client, update)
            return _followed(client, run) if run else None
    except httpx.HTTPError as error:
        raise Unavailable(f"Prefect does not tell of {FLOW}: {error}", "Is the API up?") from None


def _followed(client: SyncPrefectClient, run: FlowRun) -> UpdateRun:
    link, seconds = web().run(str(run.id)), load().dispatch_wait
    get_run_logger().info("%s runs as %s: %s", FLOW, run.name, link)
    if seconds:
        run = _ended(client, run, seconds)
    state = run.state.name if run.state else ""
    if run.state and (run.state.is_failed() or run.state.is_crashed() or run.state.is_cancelled()):
        raise UpdateFailed(
            f"{FLOW} ended as {state}: {run.state.message or 'no reason given'}.", f"See {link or run.id}."
        )
    return UpdateRun(id=str(run.id), name=run.name, url=link, state=state)


def _found(client: SyncPrefectClient, update: ImageUpdate) -> FlowRun | None:
    asked = {"workflow_run_id": update.workflow_run_id, "environment": update.environment, "tag": update.tag}
    since = {"after_": datetime.now(UTC) - CLOCKS}
    until = time.monotonic() + LOOK_FOR
    while True:
        runs = patiently(
            lambda: client.read_flow_runs(
                flow_filter=FlowFilter.model_validate({"name": {"any_": [FLOW]}}),
                flow_run_filter=FlowRunFilter.model_validate({"expected_start_time": since}),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            )
        )
        for run in runs:
            if asked.items() <= run.parameters.items():
                return run
        if time.monotonic() > until:
            return None
        time.sleep(POLL)


def _ended(client: SyncPrefectClient, run: FlowRun, seconds: float) -> FlowRun:
    until = time.monotonic() + seconds
    while not (run.state and run.state.is_final()) and time.monotonic() < until:
        time.sleep(POLL)
        run = patiently(partial(client.read_flow_run, run.id))
    return run
