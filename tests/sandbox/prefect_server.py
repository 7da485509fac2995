"""A real Prefect server with a home of its own: no profile, database or setting of the user takes part."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from tests.sandbox.processes import answers, free_port, running


@dataclass(frozen=True)
class PrefectServer:
    """A running server and the environment its clients need."""

    url: str
    home: Path

    @property
    def api_url(self) -> str:
        """``PREFECT_API_URL``."""
        return f"{self.url}/api"

    @property
    def ui_url(self) -> str:
        """What to open in a browser."""
        return self.url

    def environment(self) -> dict[str, str]:
        """What flows, workers and the command line need in order to use this server and nothing else."""
        return {"PREFECT_API_URL": self.api_url, **_common(self.home)}


@contextmanager
def prefect_server(
    home: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[PrefectServer]:
    """Start ``prefect server`` with all its services and an SQLite database in ``home``.

    Args:
        home: ``PREFECT_HOME``; a home that was used before starts faster, its database is there already.
        port: where it listens on 127.0.0.1; a free port by default.
        settings: more of Prefect's settings, by variable.

    Raises:
        SandboxError: it ended, or didn't answer within two minutes.
    """
    server = PrefectServer(f"http://127.0.0.1:{port or free_port()}", home.resolve())
    with serving(server, settings or {}):
        yield server


@contextmanager
def serving(
    server: PrefectServer, settings: Mapping[str, str], *, port: int | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process of a server until the block ends; yield it.

    Args:
        server: what people and clients know.
        settings: more of Prefect's settings, by variable.
        port: where it listens, when something else listens at the server's address and passes requests on.
    """
    own = port or int(server.url.rpartition(":")[2])
    prefect = [sys.executable, "-m", "prefect", "--no-prompt", "server", "start"]
    with running(
        [*prefect, "--host", "127.0.0.1", "--port", str(own)],
        log=server.home / ("server.log" if port is None else f"server-{port}.log"),
        ready=lambda: answers(f"http://127.0.0.1:{own}/api/health"),
        # The UI is told where its API is; it would look for it on the default port.
        env=_environment(server.home) | {"PREFECT_SERVER_UI_API_URL": server.api_url} | dict(settings),
        timeout=120,
    ) as process:
        yield process


@contextmanager
def used(server: PrefectServer) -> Iterator[None]:
    """Have the flows and clients of this process use a server, until the block ends.

    Before and after, what sends this process's events and logs is ended: it would go on with the server it began with.
    """
    ours = {
        PREFECT_API_URL: server.api_url,
        PREFECT_HOME: server.home,
        PREFECT_LOCAL_STORAGE_PATH: server.home / "storage",
    }
    _end_senders()
    try:
        with temporary_settings(ours):
            yield
    finally:
        _end_senders()


def _end_senders() -> None:
    for sender in (EventsWorker, APILogWorker):
        sender.drain_all(timeout=10)


def _common(home: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "DO_NOT_TRACK": "1",
    }


def _environment(home: Path) -> dict[str, str]:
    foreign = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    # Leases in memory don't survive a restart of the server: a slot would stay taken.
    leases = "prefect.server.concurrency.lease_storage.filesystem"
    return foreign | _common(home) | {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": leases}
