"""Events of this project that people are notified of, by the automations that ``flowise-setup`` makes."""

from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger

from tasks.core.settings import load
from tasks.core.text import LONGEST, plain

Kind = Literal["approval", "deployed", "rolled-back", "drift"]
"""What there is to hear of."""


def notify(kind: Kind, environment: str, subject: str, body: str) -> None:
    """Tell those who want to hear of it; what is in the way of that is logged, and fails nothing.

    Args:
        kind: what happened.
        environment: where.
        subject: the same in a line.
        body: all there is to know, with a link.
    """
    names = load().names
    event = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": names.notification(kind),
        "resource": {"prefect.resource.id": names.environment_resource(environment)},
        "payload": {"subject": plain(subject), "body": plain(body)[: 2 * LONGEST]},
    }
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event])
    except Exception as error:
        get_run_logger().warning("The notification of %r was not sent: %s", subject, error)
