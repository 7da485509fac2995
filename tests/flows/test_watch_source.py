"""One look after another at a real repository, with a real server that keeps what was seen."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.variables import Variable

from flows import deploy_to_k8s, watch_source
from tasks import watch_source as tasks
from tasks.core import git
from tasks.core.errors import InvalidInput, NotFound
from tasks.core.triggers import branch_watch
from tests.sandbox.prefect_server import PrefectServer
from tests.sandbox.repositories import commit, head
from tests.sandbox.repositories import git as run_git


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    for task in (tasks.read_head, tasks.compare, tasks.start_deploy):
        monkeypatch.setattr(task, "retry_delay_seconds", [0.01] * task.retries)


@pytest.fixture
def watched(server: PrefectServer, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The source repository, with a first commit of its own: runs of other tests are not this one's."""
    deploy_to_k8s.to_deployment(deploy_to_k8s.name).apply()
    monkeypatch.setenv("SOURCE_REPO", str(source))
    monkeypatch.setenv("WORK_DIR", str(tmp_path / "work"))
    commit(source, "main", {"docs/id": str(uuid.uuid4())}, "docs: something new")
    yield source
    assert not list((tmp_path / "work").glob("*")), "nothing is left behind"


def runs(server: PrefectServer) -> list[dict[str, Any]]:
    """The runs that were started by the watch, oldest first."""
    query = {"sort": "EXPECTED_START_TIME_ASC", "flows": {"name": {"any_": ["deploy-to-k8s"]}}}
    found = httpx.post(f"{server.api_url}/flow_runs/filter", json=query, trust_env=False).json()
    return [run for run in found if run["parameters"].get("actor") == "watch-source"]


def test_one_look_after_another(server: PrefectServer, watched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(runs(server))
    first = watch_source()
    (run,) = runs(server)[before:]
    assert (first.sha, first.flow_run) == (head(watched), run["id"])
    assert run["parameters"] == {"environment": "dev", "ref": head(watched), "actor": "watch-source"}
    assert run["state"]["type"] == "SCHEDULED"
    assert run["parent_task_run_id"] is None

    with monkeypatch.context() as nothing:
        nothing.setattr(branch_watch, "changed_files", lambda *_: pytest.fail("nothing is fetched"))
        same = watch_source()
    assert (same.sha, same.flow_run) == (head(watched), None)
    assert "main is still at" in same.reason

    commit(watched, "main", {"docs/guide.md": "new\n", "packages.md": "x"}, "docs: a guide")
    docs = watch_source()
    assert (docs.sha, docs.flow_run, docs.changed) == (head(watched), None, ())
    assert "SOURCE_PATHS" in docs.reason
    assert len(runs(server)) == before + 1

    commit(watched, "main", {"packages/ui/x.ts": "1", 'packages/ü "x".ts': "2", "docs/x": "3"}, "feat: three files")
    last = commit(watched, "main", {"docs/guide.md": "newer"}, "docs: more of it")
    new = watch_source()
    assert set(new.changed) == {"packages/ui/x.ts", 'packages/ü "x".ts'}
    assert (runs(server)[-1]["id"], runs(server)[-1]["parameters"]["ref"]) == (new.flow_run, last)
    assert len(runs(server)) == before + 2


def test_a_branch_that_is_set_back_is_deployed_again(server: PrefectServer, watched: Path) -> None:
    first = watch_source()
    old = first.sha
    commit(watched, "main", {"packages/x": "1"}, "feat: too early")
    second = watch_source()
    run_git(watched, "update-ref", "refs/heads/main", old)
    third = watch_source()
    assert third.sha == old
    assert len({first.flow_run, second.flow_run, third.flow_run}) == 3


def test_where_the_commit_that_was_seen_is_gone(server: PrefectServer, watched: Path) -> None:
    seen = watch_source().sha
    run_git(watched, "update-ref", "refs/heads/main", f"{seen}~1")
    run_git(watched, "reflog", "expire", "--expire=now", "--all")
    run_git(watched, "gc", "-q", "--prune=now")
    new = commit(watched, "main", {"docs/guide.md": "another"}, "docs: instead")
    result = watch_source()
    assert result.sha == new
    assert result.flow_run
    assert f"{seen} is gone" in result.reason


def test_killed_before_it_remembers(server: PrefectServer, watched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch_source()
    commit(watched, "main", {"Dockerfile": "FROM scratch\n"}, "build: smaller")
    before = len(runs(server))

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(Variable, "set", killed)
        with pytest.raises(KeyboardInterrupt):
            watch_source()
    started = runs(server)[before:]
    again = watch_source()
    assert [run["id"] for run in runs(server)[before:]] == [again.flow_run] == [run["id"] for run in started]


def test_branches_are_remembered_apart(server: PrefectServer, watched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch_source().flow_run
    monkeypatch.setenv("SOURCE_BRANCH", "feature/agents")
    result = watch_source()
    assert (result.branch, result.sha) == ("feature/agents", head(watched, "feature/agents"))
    assert result.flow_run
    monkeypatch.delenv("SOURCE_BRANCH")
    assert watch_source().flow_run is None


def test_a_branch_that_is_not_there(watched: Path, server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_BRANCH", "ain")  # ls-remote finds names by their end
    with pytest.raises(NotFound, match="no branch ain"):
        watch_source()


def test_a_missing_deployment(watched: Path, server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(tasks, "DEPLOY", "deploy-to-k8s/not-there")
        with pytest.raises(NotFound, match="deploy --all"):
            watch_source()
    assert watch_source().flow_run, "it was not taken for seen"


def test_a_variable_that_somebody_changed(watched: Path, server: PrefectServer) -> None:
    watch_source()
    name = branch_watch.variable_name(str(watched), "main")
    assert Variable.get(name)["sha"] == head(watched)
    Variable.set(name, "v1.0.0", overwrite=True)
    with pytest.raises(InvalidInput, match=name):
        watch_source()


def test_the_change_is_told_without_the_files(watched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_git(watched, "config", "uploadpack.allowFilter", "true")
    old, fetched = head(watched), []
    new = commit(watched, "main", {"packages/a": "a" * 100, "docs/id": None}, "feat: move")
    run = git.run

    def counted(where: git.Remote, *args: str, directory: Path, **options: Any) -> str:
        said = run(where, *args, directory=directory, **options)
        if args[0] == "diff-tree":
            kinds = run(where, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)", directory=directory)
            fetched.extend(kinds.split())
        return said

    def any_command(where: git.Remote, *args: str, directory: Path | None = None, **options: Any) -> str:
        if directory is None:
            return run(where, *args, **options)
        return counted(where, *args, directory=directory, **options)

    monkeypatch.setattr(git, "run", any_command)
    url = f"file://{watched}"  # a plain path is copied by git without asking for less
    assert set(branch_watch.changed_files(git.Remote(url), old, new, tmp_path / "work")) == {"packages/a", "docs/id"}
    assert fetched.count("commit") == 2
    assert "blob" not in fetched
