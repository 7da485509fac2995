"""The house keeps its shape: arrows run flows -> tasks -> tasks/core, and the wheel holds all of it."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
FLOORS = {"flows": 3, "tasks": 2, "tasks.core": 1}
SHARED = ("tasks.runtime", "tasks.clients")
"""What every task may use; other siblings don't import each other."""

MODULES = sorted(
    path.relative_to(PROJECT) for folder in ("flows", "tasks") for path in (PROJECT / folder).rglob("*.py")
)


def floor(module: str) -> int | None:
    return next(
        (FLOORS[name] for name in ("tasks.core", "tasks", "flows") if f"{module}.".startswith(f"{name}.")), None
    )


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse((PROJECT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_arrows_run_one_way(path: Path) -> None:
    here = ".".join(path.with_suffix("").parts)
    for name in imports(path):
        there = floor(name)
        assert there is None or there <= floor(here), f"{here} imports {name}"
        if floor(here) == 1:
            assert not name.split(".")[0].startswith("prefect"), f"{here} imports {name}"
        if floor(here) == there == 2 and not here.startswith(SHARED) and name != "tasks":
            assert name.startswith(SHARED), f"{here} imports its sibling {name}"


def test_the_wheel_holds_every_module(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(PROJECT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {path.as_posix() for path in MODULES} <= names
    assert not [name for name in names if name.startswith("tests")]


def test_importing_the_flows_loads_only_what_a_cached_run_needs() -> None:
    code = "import flows, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True)
    slow = {"docker", "boto3", "botocore", "github", "prefect_aws", "prefect_github"}
    assert not slow & set(loaded.stdout.split())


def test_the_lock_file_names_no_registry_and_covers_what_is_declared() -> None:
    lock = (PROJECT / "requirements.lock").read_text()
    assert "://" not in lock
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    for requirement in project["project"]["dependencies"] + project["dependency-groups"]["dev"]:
        name = requirement.split(">")[0].split("<")[0].split("[")[0].lower()
        assert f"\n{name}==" in lock or f"\n{name.replace('.', '-')}==" in lock, requirement
