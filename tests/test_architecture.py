"""The project keeps its shape: imports run one way, and the wheel holds every module."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

PROJECT = Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(PROJECT) for folder in ("flows", "tasks") for path in (PROJECT / folder).rglob("*.py")
)


def test_imports_run_one_way() -> None:
    """The contracts stand in pyproject.toml, [tool.importlinter]."""
    lint = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    ran = subprocess.run([*lint, "--no-cache"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


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
