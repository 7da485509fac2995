"""A real Redis, which several Prefect servers share for events, leases and background work."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sandbox.processes import NotInstalled, free_port, running


@contextmanager
def redis(folder: Path, port: int | None = None) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Start Redis with what ``folder`` holds of an earlier one; yield its URL without a database, and its process.

    Raises:
        NotInstalled: this machine has none.
    """
    if not (program := shutil.which("redis-server")):
        raise NotInstalled("Redis is not installed: apt-get install redis-server.")
    folder.mkdir(parents=True, exist_ok=True)
    chosen, log = port or free_port(), folder / "log"
    log.unlink(missing_ok=True)
    options = {"bind": "127.0.0.1", "port": str(chosen), "dir": str(folder), "appendonly": "yes", "save": ""}
    command = [program, *(part for name, value in options.items() for part in (f"--{name}", value))]
    with running(command, log=log, ready=lambda: "Ready to accept connections" in log.read_text()) as process:
        yield f"redis://127.0.0.1:{chosen}", process
