"""Runs that must not overlap, by Prefect's global concurrency limits.

A slot saves work and keeps order; that nothing is written twice is git's and the registry's part. So a server that goes
away while a slot is held, or is to be given back, fails nothing: the slot's lease ends by itself.
"""

import contextvars
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.exceptions import MissingContextError, ObjectAlreadyExists, ObjectNotFound, PrefectException
from prefect.logging import get_logger, get_run_logger
from prefect.runtime import flow_run

from tasks.core.models import Environment
from tasks.core.settings import load
from tasks.core.system import interruption
from tasks.runtime.server import patiently

LEASE, RENEW = 60, 20.0
"""Seconds after which Prefect gives the slot of a killed run to the next one; between two renewals otherwise."""

SAY_AGAIN = 60.0
"""Seconds between two lines of a run that waits."""


@contextmanager
def one_run_in(environment: Environment) -> Iterator[None]:
    """Wait until no other run works on this environment; other environments don't wait for it.

    The limit ``<application>-<environment>`` is made on first use and shows up in the UI under Concurrency.
    """
    with _slot_of(load().names.limit(environment)):
        yield


@contextmanager
def one_build_of(image: str, inputs: str) -> Iterator[None]:
    """Wait until no other run builds this image of the same inputs.

    There are four limits for an image, ``slot-build-<image>-0`` to ``-3``, by the last digit of the inputs' name: one
    for each name would fill the UI, and one for all would have different commits wait for each other. They come after
    ``<application>-<environment>`` in the UI's list.
    """
    with _slot_of(f"{load().names.build_limit(image)}-{ord(inputs[-1]) % 4}"):
        yield


@contextmanager
def _slot_of(limit: str) -> Iterator[None]:
    lease = _wait_for_slot(limit)
    ended = threading.Event()
    context = contextvars.copy_context()  # with the run's logger, and the server's address
    threading.Thread(
        target=context.run, args=(_renew, limit, lease, ended), name=f"lease of {limit}", daemon=True
    ).start()
    try:
        yield
    finally:
        ended.set()
        _give_back(limit, lease)


def _wait_for_slot(limit: str) -> UUID:
    log, since, said = _log().info, datetime.now().astimezone(), 0.0
    while True:
        lease, pause = patiently(lambda: _try_to_take(limit))
        if lease:
            if said:
                log("Got the slot of %s", limit)
            return lease
        if time.monotonic() - said >= SAY_AGAIN or not said:
            said = time.monotonic()
            log("Waiting for the slot of %s since %s: another run has it", limit, f"{since:%H:%M:%S %Z}")
        interruption.pause(pause, f"Waiting for the slot of {limit}")


def _try_to_take(limit: str) -> tuple[UUID | None, float]:
    """Return the lease of a slot; if there is none, ``None`` and the seconds until the next try."""
    holder = ConcurrencyLeaseHolder(type="flow_run", id=UUID(flow_run.id)) if flow_run.id else None
    with get_client(sync_client=True) as client:
        try:
            answer = client.increment_concurrency_slots_with_lease([limit], 1, "concurrency", LEASE, holder)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.LOCKED:
                raise
            return None, float(error.response.headers.get("Retry-After", 1))
        if not answer.json()["limits"]:
            _make(client, limit)
            return None, 0.0
    return UUID(answer.json()["lease_id"]), 0.0


def _make(client: SyncPrefectClient, limit: str) -> None:
    try:
        client.read_global_concurrency_limit_by_name(limit)
    except ObjectNotFound:
        with suppress(ObjectAlreadyExists):  # another run was faster
            client.upsert_global_concurrency_limit_by_name(limit, 1)


def _renew(limit: str, lease: UUID, ended: threading.Event) -> None:
    while not ended.wait(RENEW):
        try:
            with get_client(sync_client=True) as client:
                client.renew_concurrency_lease(lease, LEASE)
        except (httpx.HTTPError, PrefectException) as error:
            _log().warning("The slot of %s isn't renewed (%s); the work goes on", limit, type(error).__name__)


def _give_back(limit: str, lease: UUID) -> None:
    try:
        with get_client(sync_client=True) as client:
            client.release_concurrency_slots_with_lease(lease)
    except (httpx.HTTPError, PrefectException) as error:
        _log().warning(
            "The slot of %s isn't given back (%s); Prefect frees it within %s seconds",
            limit,
            type(error).__name__,
            LEASE,
        )


def _log() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    try:
        return get_run_logger()
    except MissingContextError:  # outside of a run
        return get_logger("concurrency")
