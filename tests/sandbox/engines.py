"""``make test-engines``: every test of builds on every engine, and a table of what came of it."""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import docker
from rich.console import Console
from rich.table import Table

from tests.sandbox.engine import KINDS, engine

TESTS = ("tests/core", "tests/flows/test_deploy.py", "tests/flows/test_build_run.py")


def main() -> int:
    """Run them; the exit status is 0 if nothing failed and nothing was skipped."""
    chosen = sys.argv[1:] or list(KINDS)
    table = Table("Docker Engine", "image store", "passed", "failed", "skipped", "seconds")
    bad = 0
    with tempfile.TemporaryDirectory(prefix="flowise-engines-") as folder:
        for name in chosen:
            started, counted = time.monotonic(), run(name, Path(folder) / f"{name}.xml")
            passed = counted["tests"] - counted["failures"] - counted["errors"] - counted["skipped"]
            failed = counted["failures"] + counted["errors"]
            row = (passed, failed, counted["skipped"], round(time.monotonic() - started))
            table.add_row(*describe(name, Path(folder) / name), *map(str, row))
            bad += failed + counted["skipped"] + (not passed)
    Console().print(table)
    return int(bad > 0)


def run(name: str, report: Path) -> dict[str, int]:
    """Run the tests on an engine of this kind: how many there were, and what became of them."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "engine", f"--junitxml={report}", *TESTS]
    environment = {key: value for key, value in os.environ.items() if key != "DOCKER_HOST"}
    subprocess.run(command, env=environment | {"SANDBOX_ENGINE": name, "CI": "true"}, check=False)
    suite = next(ElementTree.parse(report).iter("testsuite"))
    return {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}


def describe(name: str, folder: Path) -> tuple[str, str]:
    """The version and the image store, as the engine itself reports them."""
    with engine(folder, kind=KINDS[name]) as url, closing(docker.APIClient(base_url=url, version="auto")) as client:
        info = client.info()
    containerd = ["driver-type", "io.containerd.snapshotter.v1"] in info["DriverStatus"]
    return info["ServerVersion"], f"{info['Driver']}{' (containerd)' if containerd else ''}"


if __name__ == "__main__":
    sys.exit(main())
