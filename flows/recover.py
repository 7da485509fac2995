"""The flow ``recover``: a run whose worker or process has died is started again, a bounded number of times.

Prefect's automations of prefect.yaml start it. A run that is started again finds what it has done, and does the rest.
"""

import time
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from prefect import State, flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.logging import get_run_logger
from prefect.states import Completed, Crashed, Scheduled
from pydantic import Field

RECOVERING = "Recovering"
"""The state's name of a run that is to be started again."""
LISTEN, PAUSE = 45.0, 5.0
"""Seconds in which a run may still show that it lives, longer than between two heartbeats; and between two looks."""


@flow(name="recover", flow_run_name="recover {lost}")
def recover(lost: UUID, most: Annotated[int, Field(ge=0, le=10)] = 2) -> State[None]:
    """Start a run again if its worker or its process has died.

    Args:
        lost: The flow run.
        most: How often a run is started again at most; after that it ends as Crashed.
    """
    with get_client(sync_client=True) as client:
        said = _recover(client, lost, most)
    get_run_logger().info(said)
    return Completed(message=said)


def _recover(client: SyncPrefectClient, lost: UUID, most: int) -> str:
    found = client.read_flow_run(lost).state
    if not found or found.type not in (StateType.RUNNING, StateType.PENDING, StateType.CRASHED):
        return f"Left as it is: {found.name if found else 'without a state'}."
    if found.type != StateType.CRASHED and _lives(client, lost):
        return "Left as it is: it gives signs of life."
    run = client.read_flow_run(lost)
    if not run.state or run.state.id != found.id:
        return "Left as it is: it has a new state."
    done = sum(state.name == RECOVERING for state in client.read_flow_run_states(lost))
    if run.deployment_id and done < most:
        said = f"Recovery {done + 1} of {most}: its worker or its process has died."
        client.set_flow_run_state(lost, Scheduled(name=RECOVERING, message=said), force=True)
        return said
    why = f"it was started again {done} times" if run.deployment_id else "its parent run starts it again"
    if found.type != StateType.CRASHED:
        client.set_flow_run_state(lost, Crashed(message=f"Its worker or its process has died; {why}."), force=True)
    return f"Not started again: {why}."


def _lives(client: SyncPrefectClient, run: UUID) -> bool:
    """Wait for an event of the run: after an outage of the server, its heartbeats have yet to arrive."""
    now = datetime.now(UTC).isoformat()
    sought = {"occurred": {"since": now}, "resource": {"id": [f"prefect.flow-run.{run}"]}}
    until = time.monotonic() + LISTEN
    while True:
        answer = client.request("POST", "/events/filter", json={"filter": sought, "limit": 1})
        if answer.json()["events"]:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(PAUSE)
