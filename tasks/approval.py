"""An operator's approval, asked for in the Prefect UI, where a run waits for it without holding anything."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from hmac import compare_digest
from itertools import count
from typing import Annotated, ClassVar, Literal, cast

import httpx
from prefect import pause_flow_run, suspend_flow_run
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL
from pydantic import ConfigDict, Field, ValidationError

from tasks.clients import source_repository
from tasks.core.models import NOT_YET, Environment, ImageUpdate, UpdateResult
from tasks.core.models import Approval as Approved
from tasks.core.report import approval
from tasks.core.report.overview import Waiting
from tasks.core.settings import load
from tasks.core.text import LINE, plain
from tasks.runtime.notify import notify
from tasks.runtime.server import password
from tasks.runtime.web import web

POLL_SECONDS = 2
"""How often a run that waits in its process looks for the answer."""

KEY = "approval-"
"""Begins the keys of the questions a run has asked, in Prefect's own record of it."""

_handed_over: ContextVar[Approved | None] = ContextVar("approval", default=None)


class Approval(RunInput):
    """The form an operator fills in.

    All fields have a default: the dialog closes without a word if the server refuses an answer, so an incomplete one
    is taken, and asked for again with the reason. The board adds a ``seal``, which the form doesn't show.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    decision: Annotated[
        Literal["Choose", "Approve", "Reject"], Field(description="Approve: it is written. Reject: nothing is.")
    ] = "Choose"
    approver: Annotated[str, Field(description="Your name, for the commit message.", max_length=LINE)] = ""
    note: Annotated[str, Field(description="Why, if you like.", max_length=LINE)] = ""


def needed(environment: Environment) -> Approved | None:
    """Return what a run begins with: its parent's approval, none yet, or ``None`` if no operator has to approve."""
    if given := _handed_over.get():
        return given
    context = FlowRunContext.get()
    deployed = bool(context and context.flow_run and context.flow_run.deployment_id)
    return NOT_YET if environment in load().approvals(deployed=deployed) else None


@contextmanager
def handed_over(given: Approved | None) -> Iterator[None]:
    """Let a subflow begin with this approval. In a variable of this process: a parameter could be typed by anyone."""
    token = _handed_over.set(given)
    try:
        yield
    finally:
        _handed_over.reset(token)


def asked_before() -> bool:
    """Whether this is a run that goes on from its start after it has waited for an operator."""
    return any(map(is_question, _flow_run().empirical_policy.pause_keys or ()))


def waiting() -> tuple[Waiting, ...]:
    """List the runs that wait for an operator; none if Prefect can't be asked."""
    if not PREFECT_API_URL.value():
        return ()
    paused = {"state": {"type": {"any_": ["PAUSED"]}}}
    try:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(paused))
    except (httpx.HTTPError, RuntimeError, ValueError):
        return ()
    return tuple(_waiting(run) for run in runs if any(map(is_question, run.empirical_policy.pause_keys or ())))


def is_question(key: str) -> bool:
    """Whether Prefect's key is that of a question of this application."""
    return key.startswith(load().names.own(KEY))


def _waiting(run: FlowRun) -> Waiting:
    since = run.state.timestamp if run.state else None
    environment = str(run.parameters.get("environment", "dev"))
    return Waiting(id=str(run.id), environment=environment, run=run.name, url=answered_at(str(run.id)), since=since)


def answered_at(run: str) -> str:
    """Return where a person answers a run's question: on the board, if its address is known, else on the run's page."""
    board = load().board_url.rstrip("/")
    return f"{board}/approvals/{run}" if board else web().run(run)


def _flow_run() -> FlowRun:
    context = FlowRunContext.get()
    if not context or not context.flow_run:
        raise RuntimeError("An operator's approval belongs to a flow run.")
    return context.flow_run


def ask(update: ImageUpdate, planned: UpdateResult, show: Callable[[Waiting], None]) -> Approved:
    """Wait for an operator's word on what is planned; ask again if an answer lacks a decision or a name.

    The run of a deployment is suspended: its process ends here, and starts the flow again when there is an answer,
    which this then returns. Prefect keeps question and answer under a key made from the planned changes: for other
    changes there is none, and they are asked for anew. Runs without a deployment, and subflows, which Prefect cannot
    suspend, wait in their process.

    Args:
        update: what is to be written.
        planned: what that would change.
        show: is called before the run waits.

    Raises:
        Rejected: the operator's answer is no, or there was none in time; nothing was written.
    """
    key, missing = load().names.own(KEY) + approval.fingerprint(update, planned), ""
    for number in count(1):
        answer = _answer(update, planned, f"{key}-{number}", missing, show)
        signed_in = is_sealed(answer, str(_flow_run().id), f"{key}-{number}")
        missing = approval.incomplete(answer.decision, answer.approver, "" if signed_in else _board())
        if not missing:
            break
    approve = answer.decision == approval.APPROVE
    approved = approval.decision(planned, approve, answer.approver, answer.note, signed_in=signed_in)
    get_run_logger().info("Approved by %s%s", approved.by, f": {approved.note}" if approved.note else "")
    return approved


def seal(answer: Approval, run: str, key: str) -> str:
    """Return what proves that the board has passed on this answer to a run's question, for the person it names.

    It is made with the API's password, which the proxy keeps from people; empty if the API has none.
    """
    secret = password()
    said = (answer.decision, answer.approver, answer.note)
    return approval.seal(secret, run, key, *said) if secret else ""


def is_sealed(answer: Approval, run: str, key: str) -> bool:
    """Tell whether an answer's name is that of a person who is signed in."""
    given, wanted = str((answer.model_extra or {}).get("seal", "")), seal(answer, run, key)
    return bool(wanted) and compare_digest(given.encode(), wanted.encode())


def _board() -> str:
    """Name the place where a person has to approve; empty if a typed name is enough."""
    return answered_at(str(_flow_run().id)) if load().approver_header else ""


def _answer(
    update: ImageUpdate, planned: UpdateResult, key: str, missing: str, show: Callable[[Waiting], None]
) -> Approval:
    settings, run = load(), _flow_run()
    text = None
    if key not in (run.empirical_policy.pause_keys or ()):
        source = source_repository(settings) if settings.source_repo else None
        board = _board()
        how = f"Approve on the [board]({board}), where you are signed in; here you can only reject." if board else ""
        text = approval.request(update, planned, source, settings.work_dir, missing, how or approval.HOW)
        _announce(update, text, settings.approval_timeout)
        show(_waiting(run))
    suspendable = run.deployment_id and not run.parent_task_run_id
    wait = suspend_flow_run if suspendable else partial(pause_flow_run, poll_interval=POLL_SECONDS)
    form = Approval.with_initial_data(description=text)
    try:
        return cast(Approval, wait(wait_for_input=form, timeout=settings.approval_timeout, key=key))
    except (FlowPauseTimeout, ValidationError):  # no answer to validate, where a run that timed out is run again
        raise approval.expired(planned, settings.approval_timeout) from None


def _announce(update: ImageUpdate, text: str, seconds: int) -> None:
    """Say on the run's page, in its log and to whoever is notified, what it waits for and where to answer."""
    run = str(_flow_run().id)
    page, link = web().run(run), answered_at(run)
    how = f"Resume in the menu of {page}" if link == page else f"on {link}"
    get_run_logger().info("An operator has %s seconds to approve %s: %s", seconds, update.tag, how)
    where = f"**Waiting for an operator:** open the [run]({page}) and pick **Resume** in its menu (⋮).\n\n"
    if link != page:
        where = f"**Waiting for an operator:** answer on the [board]({link}).\n\n"
    title = f"{update.environment}: {update.tag} waits for approval"
    create_markdown_artifact(where + text, key=load().names.own(f"approval-{update.environment}"), description=title)
    notify("approval", update.environment, title, f"{plain(text)}\nAnswer: {link}")
