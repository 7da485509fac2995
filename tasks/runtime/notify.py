"""Events of this project that people are notified of, by the automations that ``flowise-setup`` makes."""

from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger

from tasks.core.settings import load
from tasks.core.text import plain

Kind = Literal["approval", "deployed", "rolled-back", "drift"]
"""What there is to hear of."""

MOST = 1700
"""Characters of a body: Discord rejects messages of more than 2000, with their subject."""


def notify(kind: Kind, environment: str, subject: str, body: str) -> None:
    """Tell those who want to hear of it; what is in the way of that is logged, and fails nothing.

    Args:
        kind: what happened.
        environment: where.
        subject: the same in a line.
        body: all there is to know; its last line is a link, which stays if the rest is too long.
    """
    names = load().names
    event = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": names.notification(kind),
        "resource": {"prefect.resource.id": names.environment_resource(environment)},
        "payload": {"subject": plain(subject), "body": shortened(plain(body))},
    }
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event])
    except Exception as error:
        get_run_logger().warning("The notification of %r was not sent: %s", subject, error)


def shortened(body: str) -> str:
    """Return a body that every service takes."""
    words, _, link = body.rpartition("\n")
    return body if len(body) <= MOST else f"{words[: MOST - len(link) - 2]}…\n{link}"[-MOST:]
