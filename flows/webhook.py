"""The receiver of GitHub's webhooks: ``uvicorn flows.webhook:app``, behind whatever ends TLS.

Answers: 202 with the flow run (the same one for the same delivery); 200 with the reason where a genuine delivery
starts nothing; 4xx in words; 503 when Prefect did not take the run, so that GitHub shows the delivery as failed and
it can be sent again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger
from prefect.settings import PREFECT_API_URL
from prefect.utilities.urls import url_for
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, Unavailable
from tasks.core.settings import load
from tasks.core.triggers.webhook import Ignored, Receiver, Start, check_signature, no_deployment

MAX_BODY = 25 * 1024 * 1024
"""GitHub caps payloads at 25 MB: what is larger is not from there, and what is smaller may be."""

BODY_SECONDS = 5
"""GitHub gives a delivery ten seconds in all; whoever sends slower is somebody else."""

PREFECT_SECONDS = 4
"""A run is made well within one second, as a rule; a busy server gets what remains of GitHub's ten, because GitHub
does not try again by itself. A run that came about later is found by the next delivery's key."""

log = get_logger("webhook")


class TooLarge(InvalidInput):
    """The body is larger than any of GitHub's."""


STATUS: dict[type[DeliveryError], int] = {AccessDenied: 401, TooLarge: 413, InvalidInput: 400}
"""What was refused; any other failure is on this side, and worth another delivery: 503."""


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Receiver]]:
    """Read the settings, once.

    Raises:
        InvalidInput: without them this does not start.
    """
    if not PREFECT_API_URL.value():
        raise InvalidInput("PREFECT_API_URL is not set.", "Runs are made by a Prefect server: `prefect server start`.")
    yield {"receiver": Receiver(load())}


app = FastAPI(title="flowise-delivery", lifespan=lifespan, openapi_url=None)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """That this process answers; Prefect is not asked."""
    return {"status": "ok"}


@app.post("/webhooks/github")
async def github(request: Request) -> JSONResponse:
    """Take one delivery."""
    check_signature(request.headers.get("x-hub-signature-256"))  # before a body is taken in
    body = await bounded_body(request)
    decision = await run_in_threadpool(request.state.receiver.decide, request.headers, body)
    if isinstance(decision, Ignored):
        return answer(200, ignored=decision.reason)
    run = await start(decision)
    return answer(202, deployment=decision.deployment, flow_run=str(run.id), link=url_for(run))


@app.exception_handler(DeliveryError)
async def refused(_: Request, error: DeliveryError) -> JSONResponse:
    """An error as an answer, in words."""
    return answer(STATUS.get(type(error), 503), error=error.message, hint=error.hint)


def answer(status: int, **content: str | None) -> JSONResponse:
    """An answer, which is also this delivery's line in the log."""
    log.log(30 if status >= 400 else 20, "%s %s", status, content)
    return JSONResponse(content, status)


async def bounded_body(request: Request) -> bytes:
    """The request's body; whatever its headers say of its length, no more than the bound is held.

    Raises:
        TooLarge: it is larger.
        InvalidInput: it does not come to its end.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise TooLarge(f"The body is larger than {MAX_BODY} bytes.")
    except (TimeoutError, ClientDisconnect):
        raise InvalidInput("The body did not come to its end.") from None
    return bytes(body)


async def start(what: Start) -> FlowRun:
    """Make the run, or find the one that an earlier try of the same delivery made.

    Raises:
        NotFound: Prefect has no such deployment.
        Unavailable: Prefect is away, takes too long, or refuses the run.
    """
    try:
        async with asyncio.timeout(PREFECT_SECONDS):
            return await arun_deployment(
                what.deployment, parameters=what.parameters, timeout=0, as_subflow=False, idempotency_key=what.key
            )
    except ObjectNotFound:
        raise no_deployment(what.deployment) from None
    except (TimeoutError, httpx.HTTPError) as error:
        raise Unavailable(
            f"Prefect did not take the run of {what.deployment}: {type(error).__name__}.",
            "Send the delivery again: it makes one run, however often it comes.",
        ) from None
