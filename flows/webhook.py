"""The receiver of GitHub's webhooks: ``uvicorn flows.webhook:app``, behind whatever ends TLS.

Answers: 202 with the flow run (the same one for the same delivery, unless it has failed); 200 with the reason if a
genuine delivery starts nothing; 4xx in words; 503 if Prefect did not take the run, so that GitHub shows the delivery as
failed and it can be sent again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypedDict

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger
from prefect.settings import PREFECT_API_URL
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from flows.webhook_connections import idle_connections_ended
from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, Unavailable
from tasks.core.settings import load
from tasks.core.triggers.webhook import Ignored, Receiver, Start, check_signature, no_deployment
from tasks.runtime.web import web

MAX_BODY = 25 * 1024 * 1024
"""GitHub caps payloads at 25 MB: what is larger is not from there, and what is smaller may be."""

BODY_SECONDS = 5
"""GitHub gives a delivery ten seconds in all; a slower sender isn't GitHub."""

SMALL_BODY, LARGE_AT_ONCE, REQUESTS_AT_ONCE = 256 * 1024, 2, 100
"""So much of a body is held for each of so many requests; larger ones are read two at a time. A body's signature can be
checked only at its end, so strangers' bodies count, too: 75 MB in all."""

PREFECT_SECONDS = 4
"""A run is made well within one second, as a rule; a busy server gets what remains of GitHub's ten, because GitHub
does not try again by itself. A run that came about later is found by the next delivery's key."""

log = get_logger("webhook")


class TooLarge(InvalidInput):
    """The body is larger than any of GitHub's."""


STATUS: dict[type[DeliveryError], int] = {AccessDenied: 401, TooLarge: 413, InvalidInput: 400}
"""What was refused; any other failure is on this side, and worth another delivery: 503."""


class State(TypedDict):
    """What all requests share."""

    receiver: Receiver
    large: asyncio.Semaphore
    requests: set[Request]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[State]:
    """Read the settings, once, and end idle connections meanwhile.

    Raises:
        InvalidInput: without them this does not start.
    """
    if not PREFECT_API_URL.value():
        raise InvalidInput("PREFECT_API_URL is not set.", "Runs are made by a Prefect server: `prefect server start`.")
    receiver = Receiver(load())
    with idle_connections_ended():
        yield State(receiver=receiver, large=asyncio.Semaphore(LARGE_AT_ONCE), requests=set())


app = FastAPI(title="flowise-delivery", lifespan=lifespan, openapi_url=None)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer that this process is up; Prefect isn't asked."""
    return {"status": "ok"}


@app.post("/webhooks/github")
async def github(request: Request) -> JSONResponse:
    """Take one delivery."""
    check_signature(request.headers.get("x-hub-signature-256"))  # before a body is taken in
    async with AsyncExitStack() as held:
        body = await bounded_body(request, held)
        decision = await run_in_threadpool(request.state.receiver.decide, request.headers, body)
    if isinstance(decision, Ignored):
        return answer(200, ignored=decision.reason)
    return await start(decision)


@app.exception_handler(DeliveryError)
async def refused(_: Request, error: DeliveryError) -> JSONResponse:
    """Answer with an error, in words."""
    return answer(STATUS.get(type(error), 503), error=error.message, hint=error.hint)


def answer(status: int, **content: str | None) -> JSONResponse:
    """Answer, and log the answer as this delivery's line."""
    log.log(30 if status >= 400 else 20, "%s %s", status, content)
    return JSONResponse(content, status)


async def bounded_body(request: Request, held: AsyncExitStack) -> bytearray:
    """Read the request's body; whatever its headers say of its length, no more than the bounds is held.

    Args:
        request: its body is read.
        held: what lets others go on once the body is dealt with.

    Raises:
        TooLarge: it is larger.
        InvalidInput: it does not come to its end.
        Unavailable: too many others are being read.
    """
    state, body = request.state, bytearray()
    if len(state.requests) >= REQUESTS_AT_ONCE:
        raise Unavailable("Too many deliveries at once.", "Send the delivery again.")
    state.requests.add(request)
    held.callback(state.requests.discard, request)
    large = False
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise TooLarge(f"The body is larger than {MAX_BODY} bytes.")
                if len(body) > SMALL_BODY and not large:
                    large = await held.enter_async_context(state.large) is None
    except (TimeoutError, ClientDisconnect):
        raise InvalidInput("The body did not come to its end.") from None
    return body


async def start(what: Start) -> JSONResponse:
    """Make the run, or find the one that an earlier delivery of the same body made.

    GitHub signs the body alone: who has seen a delivery could send it again under another id, and gains nothing by
    it. GitHub's own second delivery has the first one's id, and starts another run if the first one has failed.

    Raises:
        NotFound: Prefect has no such deployment.
        Unavailable: Prefect is away, takes too long, or refuses the run.
    """
    tag = f"github-delivery-{what.delivery}"
    try:
        async with asyncio.timeout(PREFECT_SECONDS):
            run, turn = await make_run(what, tag, what.key), 1
            while tag in run.tags and ended_badly(run):
                run, turn = await make_run(what, tag, f"{what.key}-{turn}"), turn + 1
    except ObjectNotFound:
        raise no_deployment(what.deployment) from None
    except (TimeoutError, httpx.HTTPError) as error:
        raise Unavailable(
            f"Prefect did not take the run of {what.deployment}: {type(error).__name__}.",
            "Send the delivery again: it makes one run, however often it comes.",
        ) from None
    known = {"deployment": what.deployment, "flow_run": str(run.id), "link": web().run(str(run.id))}
    if tag not in run.tags:
        return answer(200, ignored="This body came before, as another delivery; redeliver that one.", **known)
    return answer(202, **known)


async def make_run(what: Start, tag: str, key: str) -> FlowRun:
    """Make the run of this key, or find it."""
    return await arun_deployment(
        what.deployment, parameters=what.parameters, timeout=0, as_subflow=False, idempotency_key=key, tags=[tag]
    )


def ended_badly(run: FlowRun) -> bool:
    """Whether a run has ended, and not well."""
    return bool(run.state and run.state.is_final() and not run.state.is_completed())
