"""``make test-versions``: the fast tests and both flows on each Python and Prefect that is supported, and a table.

Prefect 3.8 comes with the lock file, whose other versions are those of production; a newer one with the newest of
everything, as an installation without the lock file gets it.
"""

import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
PREFECTS = ("3.8", "3.9")
TESTS = (["-m", "not service"], ["tests/flows/test_deploy.py", "tests/flows/test_rollout.py"])
LOCK = "requirements-dev.lock"


def main() -> int:
    """Run what is chosen, such as ``3.13-3.9``, or all; the exit status is 0 if everything passed."""
    uv, *chosen = sys.argv[1:]
    table, failed = Table("Python", "Prefect", "result", "seconds"), False
    for python, prefect in product(PYTHONS, PREFECTS):
        if chosen and f"{python}-{prefect}" not in chosen:
            continue
        begun = time.monotonic()
        result = install(uv, python, prefect) or test(folder_of(python, prefect))
        failed |= result != "passed"
        table.add_row(python, prefect, result, f"{time.monotonic() - begun:.0f}")
    Console().print(table)
    return int(failed)


def folder_of(python: str, prefect: str) -> Path:
    """Return the folder of a combination's virtual environment."""
    return PROJECT / ".venv" / "versions" / f"{python}-{prefect}"


def install(uv: str, python: str, prefect: str) -> str:
    """Make the virtual environment, and return what went wrong."""
    folder = folder_of(python, prefect)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))  # whose own programs on the PATH run one version
    path = os.pathsep.join([*map(str, sorted(pyenv.glob("versions/*/bin"))), os.environ["PATH"]])
    environment = {**os.environ, "VIRTUAL_ENV": str(folder), "PATH": path}
    locked = f"\nprefect=={prefect}." in (PROJECT / LOCK).read_text()
    newest = ["--upgrade", "--group", "dev", f"prefect=={prefect}.*"]
    packages = ["--requirements", LOCK, "--no-deps"] if locked else newest
    steps = [
        [uv, "venv", "--quiet", "--allow-existing", "--python", python, str(folder)],
        [uv, "pip", "install", "--quiet", *packages, "--editable", f"{PROJECT}[render]"],
    ]
    for step in steps:
        ended = subprocess.run(step, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode:
            print(ended.stderr)
            return "not installed"
    return ""


def test(folder: Path) -> str:
    """Run the tests, and return what became of them."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(folder)}
    for chosen in TESTS:
        command = [folder / "bin" / "python", "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *chosen]
        if subprocess.run(command, cwd=PROJECT, env=environment, check=False).returncode:
            return f"failed: {' '.join(chosen)}"
    return "passed"


if __name__ == "__main__":
    sys.exit(main())
