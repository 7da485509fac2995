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

    Root starts it as the user ``postgres``: it does not run as root.

    Raises:
        NotInstalled: this machine has none.
    """
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="sandbox-postgres-") as name:
        folder, port, user = Path(name), free_port(), []
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        made: list[str | Path] = [
            *user,
            programs / "initdb",
            "--pgdata",
            folder / "data",
            "--username=prefect",
            "--auth=trust",
            "--no-sync",
        ]
        subprocess.run(made, cwd=folder, check=True, capture_output=True)
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [*user, programs / "postgres", "-D", folder / "data", "-p", str(port), *settings]
        log = folder / "log"
        with running(command, log=log, ready=lambda: "ready to accept connections" in log.read_text()):
            yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"


def _programs() -> Path:
    """The folder of the server's programs, which Debian keeps out of the PATH."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found and not debian:
        raise NotInstalled("PostgreSQL is not installed: apt-get install postgresql.")
    return Path(found).resolve().parent if found else debian[-1].parent
