"""Prefect as a larger team runs it: PostgreSQL, Redis, two servers behind nginx, two workers for each pool.

``make replicas`` starts it all with the deployments of prefect.yaml and sample repositories, and keeps it until Ctrl-C.
The settings and nginx's site are those of docs/examples/replicas.
"""

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.sandbox.parts import Parts
from tests.sandbox.postgres import postgres_in
from tests.sandbox.prefect_server import PrefectServer, serving
from tests.sandbox.processes import SandboxError, answers, free_port, running
from tests.sandbox.redis import redis
from tests.sandbox.stage import stage
from tests.sandbox.worker import POOLS, PROJECT, worker

EXAMPLE = PROJECT / "docs" / "examples" / "replicas"
SERVERS = ("server-1", "server-2")


@dataclass(frozen=True)
class Replicas:
    """What runs, and where its clients find it; ``database`` is for asyncpg."""

    server: PrefectServer
    parts: Parts
    database: str

    def add_workers(self, env: Mapping[str, str], number: int, pools: Iterable[str] = POOLS, limit: int = 0) -> None:
        """Start ``number`` workers for each pool, all at once: ``flowise-build-1`` and so on."""
        names = [(pool, f"{pool}-{turn + 1}") for turn in range(number) for pool in pools]
        with ThreadPoolExecutor() as starting:
            list(starting.map(lambda each: self.add_worker(env, each[0], each[1], limit), names))

    def add_worker(self, env: Mapping[str, str], pool: str, name: str, limit: int = 0) -> None:
        """Start a worker that takes ``limit`` runs at a time."""
        log, options = self.server.home / f"{name}.log", ["--limit", str(limit)] if limit else []
        self.parts.start(name, lambda: worker(env, log, pool, "--name", name, *options))


@contextmanager
def replicas(home: Path, *, settings: Mapping[str, str] | None = None) -> Iterator[Replicas]:
    """Start two Prefect servers behind one address, and what they share.

    Args:
        home: for what they write.
        settings: more of Prefect's settings for both servers, by variable.

    Raises:
        NotInstalled: PostgreSQL, Redis or nginx is missing.
    """
    ports = {name: free_port() for name in ("balancer", "postgres", "redis", *SERVERS)}
    server = PrefectServer(f"http://127.0.0.1:{ports['balancer']}", home.resolve())
    with tempfile.TemporaryDirectory(prefix="sandbox-postgres-") as data, Parts() as parts:
        parts.start("postgres", lambda: _process(postgres_in(Path(data), ports["postgres"])))
        parts.start("redis", lambda: _process(redis(home / "redis", ports["redis"])))
        database = f"postgresql+asyncpg://prefect@127.0.0.1:{ports['postgres']}/postgres"
        shared = _settings(database, ports["redis"]) | dict(settings or {})
        for name in SERVERS:  # one after the other: the first one makes the tables
            own = shared | {"PREFECT_SERVER_DATABASE_MIGRATE_ON_START": str(name == SERVERS[0])}
            parts.start(name, partial(serving, server, own, port=ports[name]))
        parts.start("balancer", lambda: _nginx(home / "nginx", ports))
        yield Replicas(server, parts, database)


@contextmanager
def _process(
    started: AbstractContextManager[tuple[str, "subprocess.Popen[bytes]"]],
) -> Iterator["subprocess.Popen[bytes]"]:
    with started as (_, process):
        yield process


def _settings(database: str, redis_port: int) -> dict[str, str]:
    lines = (EXAMPLE / "prefect.env").read_text().replace(":6379", f":{redis_port}").splitlines()
    shared = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return shared | {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database}


@contextmanager
def _nginx(folder: Path, ports: Mapping[str, int]) -> Iterator["subprocess.Popen[bytes]"]:
    folder.mkdir(parents=True, exist_ok=True)
    site, known = (EXAMPLE / "nginx.conf").read_text(), {"4200": "balancer", "4201": SERVERS[0], "4202": SERVERS[1]}
    site = re.sub(r"127\.0\.0\.1:(420\d)", lambda found: f"127.0.0.1:{ports[known[found[1]]]}", site)
    temporary = "".join(f"{name}_temp_path {folder};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{ worker_connections 4096; }}\n"
        f"http {{ access_log off; {temporary}\n{site}\n}}\n"
    )
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    url = f"http://127.0.0.1:{ports['balancer']}/api/health"
    with running(command, log=folder / "log", ready=lambda: answers(url), timeout=30) as process:
        yield process


def set_up(env: Mapping[str, str]) -> None:
    """Make what the deployments need on the server of this environment, and deploy them."""
    for command in (["flows.setup"], ["prefect", "--no-prompt", "deploy", "--all"]):
        run = [sys.executable, "-m", *command]
        subprocess.run(run, cwd=PROJECT, env=dict(env), check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """Start everything, and wait for Ctrl-C or SIGTERM, also in the background of a script."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="flowise-replicas-", ignore_cleanup_errors=True) as folder:
        try:
            with (
                replicas(Path(folder) / "prefect") as them,
                stage(Path(folder), print, lambda _: nullcontext(them.server)) as here,
            ):
                set_up(here.environment())
                them.add_workers(here.environment(), 2)
                print(f"Ready: {them.server.ui_url}/v2/. Ctrl-C ends it all.")
                print(f"For the prefect command: export PREFECT_API_URL={them.server.api_url}", flush=True)
                signal.pause()
        except SandboxError as error:
            print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
