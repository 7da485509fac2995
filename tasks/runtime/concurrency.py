"""Runs that must not overlap, by Prefect's global concurrency limits."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from tasks.core.models import Environment

LEASE = 60
"""Seconds after which Prefect gives the place of a killed run to the next one."""


@contextmanager
def one_run_in(environment: Environment) -> Iterator[None]:
    """Wait until no other run works on this environment; other environments don't wait for it.

    The limit ``flowise-<environment>`` is made on first use and shows up in the UI under Concurrency.
    """
    with _place_of(f"flowise-{environment}"):
        yield


@contextmanager
def one_build_of(image: str, inputs: str) -> Iterator[None]:
    """Wait until nobody else builds this image of the same inputs.

    There are four limits for an image, ``slot-build-<image>-0`` to ``-3``, by the last digit of the inputs' name: one
    for each name would fill the UI, and one for all would have different commits wait for each other. They come after
    ``flowise-<environment>`` in the UI's list.
    """
    with _place_of(f"slot-build-{image.replace('/', '-')}-{ord(inputs[-1]) % 4}"):
        yield


@contextmanager
def _place_of(limit: str) -> Iterator[None]:
    place = partial(concurrency, limit, occupy=1, lease_duration=LEASE, strict=True)
    with ExitStack() as held:
        try:
            held.enter_context(place())
        except ConcurrencySlotAcquisitionError:  # it does not exist, as a rule
            _make(limit)
            held.enter_context(place())
        yield


def _make(limit: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(limit)
        except ObjectNotFound:
            with suppress(ObjectAlreadyExists):  # another run was faster
                client.upsert_global_concurrency_limit_by_name(limit, 1)
