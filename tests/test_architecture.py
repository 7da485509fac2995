"""The project keeps its shape: imports run one way, and loading the flows loads little."""

import subprocess
import sys
from pathlib import Path

import yaml

from tests.sandbox.worker import POOLS

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


def test_each_deployment_runs_a_flow_that_is_there_on_a_pool_that_is_set_up() -> None:
    for deployment in yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]:
        file, _, flow = deployment["entrypoint"].partition(":")
        assert f"def {flow}(" in (PROJECT / file).read_text()
        assert deployment["work_pool"]["name"] in POOLS
