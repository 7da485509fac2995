"""A real PostgreSQL for a Prefect server: on SQLite one answers 503 whenever two of its writers meet."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sandbox.processes import NotInstalled, free_port, running


@contextmanager
def postgres() -> Iterator[str]:
    """Start PostgreSQL with an empty database and yield its URL for ``PREFECT_SERVER_DATABASE_CONNECTION_URL``.

    Raises:
        NotInstalled: this machine has none.
    """
    with tempfile.TemporaryDirectory(prefix="sandbox-postgres-") as folder, postgres_in(Path(folder)) as (url, _):
        yield url


@contextmanager
def postgres_in(folder: Path, port: int | None = None) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Start PostgreSQL with what ``folder`` holds of an earlier one; yield the database's URL, and the process.

    Root starts it as the user ``postgres``: it does not run as root.

    Raises:
        NotInstalled: this machine has none.
    """
    programs, chosen, user = _programs(), port or free_port(), []
    folder.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    data, log = folder / "data", folder / "log"
    if not data.exists():
        # Without a locale in the environment it would be SQL_ASCII, which takes no other characters.
        options = ["--username=prefect", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        made: list[str | Path] = [*user, programs / "initdb", "--pgdata", data, *options]
        subprocess.run(made, cwd=folder, check=True, capture_output=True)
    log.unlink(missing_ok=True)
    settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command: list[str | Path] = [*user, programs / "postgres", "-D", data, "-p", str(chosen), *options]
    with running(command, log=log, ready=lambda: "ready to accept connections" in log.read_text()) as process:
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{chosen}/postgres", process


def _programs() -> Path:
    """The folder of the server's programs, which Debian keeps out of the PATH."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found and not debian:
        raise NotInstalled("PostgreSQL is not installed: apt-get install postgresql.")
    return Path(found).resolve().parent if found else debian[-1].parent
