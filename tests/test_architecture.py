"""The project keeps its shape: imports run one way, and loading the flows loads little."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_imports_run_one_way() -> None:
    """The contracts stand in pyproject.toml, [tool.importlinter]."""
    lint = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    ran = subprocess.run([*lint, "--no-cache"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_importing_the_flows_loads_only_what_a_cached_run_needs() -> None:
    code = "import flows, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True)
    slow = {"docker", "boto3", "botocore", "github", "prefect_aws", "prefect_github"}
    assert not slow & set(loaded.stdout.split())
