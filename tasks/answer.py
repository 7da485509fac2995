"""A signed-in person's answer to a run that waits for an approval, as the board passes it on."""

import json
from typing import NamedTuple
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from tasks.approval import Approval, is_question, seal
from tasks.core.errors import Unavailable

ACCEPTED = "ACCEPT"


class Question(NamedTuple):
    """What a run asks: ``key`` is Prefect's own for it, ``text`` Markdown."""

    run: str
    name: str
    key: str
    text: str


def question(run: UUID) -> Question | None:
    """Return what a run asks; ``None`` if it doesn't wait for an approval.

    Raises:
        Unavailable: Prefect doesn't answer.
    """
    try:
        with get_client(sync_client=True) as client:
            found = client.read_flow_run(run)
            details = found.state.state_details if found.state and found.state.is_paused() else None
            if not (details and details.run_input_keyset and is_question(details.pause_key or "")):
                return None
            text = client.read_flow_run_input(run, details.run_input_keyset["description"])
    except (ObjectNotFound, PrefectHTTPStatusError):
        return None
    except httpx.HTTPError as error:
        raise _away(error) from None
    return Question(str(run), found.name, str(details.pause_key), str(json.loads(text)))


def answer(asked: Question, decision: str, approver: str, note: str) -> bool:
    """Answer a run's question for a signed-in person; returns whether the run goes on with it.

    Raises:
        Unavailable: Prefect doesn't answer.
    """
    given = Approval.model_validate({"decision": decision, "approver": approver, "note": note})
    said = given.model_dump() | {"seal": seal(given, asked.run, asked.key)}
    try:
        with get_client(sync_client=True) as client:
            done = client.resume_flow_run(UUID(asked.run), said)
    except httpx.HTTPError as error:
        raise _away(error) from None
    return done.status.value == ACCEPTED


def _away(error: httpx.HTTPError) -> Unavailable:
    return Unavailable(f"Prefect doesn't answer: {type(error).__name__}.", "Try again in a moment.")
