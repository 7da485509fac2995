"""What is installed: the lock files, the bounds in pyproject.toml, the audit, and a wheel outside of the checkout."""

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.sandbox.services import starts

PROJECT = Path(__file__).parents[1]
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (PROJECT / name).read_text(), re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=;]", each)[0].strip().lower().replace(".", "-") for each in requirements}


def test_production_gets_what_was_tested_and_no_developer_s_tool() -> None:
    production, everything = locked("requirements.lock"), locked("requirements-dev.lock")
    project, groups = DECLARED["project"], DECLARED["dependency-groups"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    wanted = names([*project["dependencies"], *extras, *groups["install"]])
    tools = names([each for each in groups["dev"] if isinstance(each, str)])
    assert wanted <= set(production)
    assert tools <= set(everything)
    assert production.items() <= everything.items()
    assert {"pytest", "moto", "mypy", "playwright", "ruff"} <= tools - set(production)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_file_names_no_registry_and_has_a_hash_for_everything(name: str) -> None:
    text = (PROJECT / name).read_text()
    assert "://" not in text
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 100
    assert [each.split()[0] for each in entries if "--hash=sha256:" not in each] == []


@pytest.mark.parametrize(
    ("name", "pin"), [("pyproject.toml", r'^ *"[^"]*(<|==)[^"]*",?$'), ("Makefile", r"^\t.*\w==\d")]
)
def test_each_pin_has_a_reason_and_says_when_it_goes(name: str, pin: str) -> None:
    lines = (PROJECT / name).read_text().splitlines()
    pins = [number for number, line in enumerate(lines) if re.search(pin, line)]
    assert pins
    for number in pins:
        above = "\n".join(lines[max(0, number - 7) : number])
        assert re.search(r"#.*?\b([Rr]aise|[Rr]emove|[Cc]hange)\b", above, re.DOTALL), lines[number]


@pytest.mark.parametrize(
    ("packages", "said", "status"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], "Audited 1 of 1 packages: 0 vulnerabilities", 0),
        ([{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}], "a 1: CVE-1", 1),
        ([{"name": "a", "skip_reason": "not found"}], "NOT AUDITED", 0),
        ([{"name": "a", "skip_reason": "x"}, {"name": "b", "version": "1", "vulns": []}], "Not audited: a", 1),
        ("requests.exceptions.ConnectionError", "NOT AUDITED", 0),
        ("unknown option", "unknown option", 1),
    ],
    ids=["clean", "vulnerable", "a mirror", "half a mirror", "out of reach", "broken"],
)
def test_an_audit_that_could_not_be_made_is_no_clean_one(
    packages: object, said: str, status: int, tmp_path: Path
) -> None:
    words = f"echo '{packages}' >&2; exit 1" if isinstance(packages, str) else 'cat "$0.json"'
    (tmp_path / "pip-audit").write_text(f"#!/bin/sh\n{words}\n")
    (tmp_path / "pip-audit").chmod(0o755)
    (tmp_path / "pip-audit.json").write_text(json.dumps({"dependencies": packages}))
    command = [sys.executable, PROJECT / ".ci/audit", tmp_path / "pip-audit"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said in ran.stdout + ran.stderr
    assert ran.returncode == status


@pytest.fixture
@starts("process")
def site(tmp_path: Path) -> Path:
    """The packages of a virtual environment that has the project as a wheel."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(PROJECT)]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(tmp_path / "venv", symlinks=True, with_pip=False)
    python = tmp_path / "venv/bin/python"
    (wheel,) = tmp_path.glob("*.whl")
    # This environment's packages besides, but for the project itself: they are what the lock file installs.
    (site,) = (tmp_path / "venv/lib").glob("*/site-packages")
    others = Path(str(distribution("prefect").locate_file("")))
    for each in others.iterdir():
        if "flowise" not in each.name and each.suffix != ".pth":
            (site / each.name).symlink_to(each)
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    return site


def test_a_wheel_works_without_the_checkout(site: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "prefect")}

    def said(*command: object) -> str:
        ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    code = "import flows, pathlib; print(flows.deploy_to_k8s.name, pathlib.Path(flows.__file__).parents[1])"
    assert said(python, "-c", code).split() == ["deploy-to-k8s", str(site)]
    for name in DECLARED["project"]["scripts"]:
        assert name in said(tmp_path / "venv/bin" / name, "--help")
    shipped = tmp_path / "venv/share/flowise-delivery/prefect.yaml"
    assert shipped.read_text() == (PROJECT / "prefect.yaml").read_text()
    entries = re.findall(r"entrypoint: (\S+):", shipped.read_text())
    assert entries
    assert [each for each in entries if not (site / each).exists()] == []
    sources = subprocess.run(
        ["git", "ls-files", "flows", "tasks"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert [each for each in sources.stdout.split() if not (site / each).exists()] == [], (
        "each module and page is there"
    )
