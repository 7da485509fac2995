"""What a Prefect server uses, and what is lost when it restarts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx
from prefect.client.orchestration import SyncPrefectClient

NOTHING = "nothing"

LOST = {
    ("events", "messaging_broker"): ("events", "events that it hasn't handled, and the runs they would start"),
    ("events", "messaging_cache"): (
        "handled events",
        "which events it has handled: one sent again starts a second run",
    ),
    ("events", "causal_ordering"): ("order of events", "events that wait for an earlier one"),
    ("concurrency", "lease_storage"): (
        "leases of slots",
        "who holds a slot: it stays taken, or its holder is cancelled",
    ),
    ("worker_channel", "cleanup_queue_storage"): ("cancellations", "cancellations that no worker has confirmed"),
    ("docket", "url"): ("background work", "background work that has been put off, such as retries of an action"),
}
"""What each setting keeps, and what is lost at a restart if that is in memory."""


class Kept(NamedTuple):
    """One thing that the server keeps, where, and what of it a restart loses."""

    what: str
    where: str
    lost: str


DATABASE = Kept("database", "(its URL is secret)", "nothing; SQLite, its default, lets writers wait: use PostgreSQL")


def kept(server: Mapping[str, Any]) -> list[Kept]:
    """Tell from a server's settings what it keeps where; older servers lack some of them."""
    found = [DATABASE]
    for (group, name), (what, lost) in LOST.items():
        if place := server.get(group, {}).get(name):
            where = _where(place)
            found.append(Kept(what, where, lost if where == "memory" else NOTHING))
    return found


def read_settings(client: SyncPrefectClient) -> Mapping[str, Any] | None:
    """Ask a server for its settings; ``None`` if it doesn't tell them, as Prefect Cloud."""
    try:
        settings: Mapping[str, Any] = client.request("GET", "/admin/settings").json()["server"]
    except (httpx.HTTPStatusError, KeyError):
        return None
    return settings


def _where(place: str) -> str:
    for word, where in (("memory", "memory"), ("redis", "Redis"), ("filesystem", "files")):
        if word in place:
            return where
    return place
