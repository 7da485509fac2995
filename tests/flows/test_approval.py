"""Environments that wait for an operator: suspended on a worker, paused in a process; nothing unapproved is written."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.runtime import flow_run
from prefect.states import Failed
from prefect.variables import Variable

from flows import deploy_to_k8s, update_flowise_deployment
from flows.setup.command import set_up
from tasks.core.errors import Rejected
from tasks.core.settings import load
from tests.flows.conftest import Installation
from tests.sandbox.repositories import commit, git, head, log, show
from tests.sandbox.until import until

PRODUCTION = "argocd/apps/flowise/overlays/production/kustomization.yaml"
YES = {"decision": "Approve", "approver": "Robin", "note": "looks good"}


def api(installation: Installation, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(method, f"{installation.server.api_url}/{path}", json=body, trust_env=False)
    return answer.raise_for_status().json()


def start(name: str, **options: Any) -> FlowRun:
    """A run as the Run button makes it."""
    return run_deployment(f"{name}/{name}", timeout=0, as_subflow=False, **options)


def reached(installation: Installation, run: Any, name: str, asked: int = 0) -> dict[str, Any]:
    """The run, once it is in this state and has asked so often."""

    def there() -> dict[str, Any] | None:
        found = api(installation, "GET", f"flow_runs/{run}")
        if found["state"]["name"] == name and len(questions(found)) >= asked:
            return found
        assert found["state"]["type"] not in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"), found["state"]
        return None

    return until(there)


def questions(run: dict[str, Any]) -> list[str]:
    return run["empirical_policy"]["pause_keys"]


def question(installation: Installation, run: dict[str, Any]) -> str:
    """The Markdown that the UI shows."""
    key = run["state"]["state_details"]["run_input_keyset"]["description"]
    return api(installation, "GET", f"flow_runs/{run['id']}/input/{key}")


def resume(installation: Installation, run: Any, answer: dict[str, Any]) -> str:
    """Answer as the UI's dialog does, and again as a person would while the server is busy (503).

    The schema of the form may still be on its way.
    """
    url = f"{installation.server.api_url}/flow_runs/{run}/resume"
    for _ in range(100):
        said = httpx.post(url, json={"run_input": answer}, trust_env=False)
        if said.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            status = said.raise_for_status().json()
            if "schema not found" not in str(status["details"]):
                return status["status"]
        time.sleep(0.1)
    raise AssertionError(said.text)


def test_an_approved_update_is_one_commit_that_names_the_operator(served: Installation) -> None:
    one, two = (git(served.source, "rev-parse", ref).decode().strip() for ref in ("v1.0.0^{commit}", "main"))
    assert update_flowise_deployment("production", "v1", sha=one).changed
    before = len(log(served.gitops))
    run = start("update-flowise-deployment", parameters={"environment": "production", "tag": "v2", "sha": two})

    waiting = reached(served, run.id, "Suspended")
    limit = api(served, "GET", "v2/concurrency_limits/flowise-production")
    assert limit["active_slots"] == 0, "others may deploy meanwhile"
    assert len(log(served.gitops)) == before
    status = api(served, "POST", "artifacts/latest/filter", {"artifacts": {"key": {"any_": ["status"]}}})[0]["data"]
    assert "- **production**: [production v2](" in status.partition("## Waiting for approval")[2]
    assert str(run.id) in status
    shown = question(served, waiting)
    assert f"- from `{served.images.host}/flowise-server:v1`\n" in shown
    assert f"- to `{served.images.host}/flowise-server:v2`\n" in shown
    assert f"+ {two[:7]} perf(server): answer pings without logging" in shown
    assert "greet by name" not in shown, "that one is deployed already"
    assert resume(served, run.id, {"decision": "Approve", "approver": ""}) == "ACCEPT"
    again = reached(served, run.id, "Suspended", asked=2)
    assert "Type your name as approver" in question(served, again), "an answer has a name"

    forged = {"decision": "Approve", "approver": "Robin\nSource SHA: 0000000", "note": "go\r\nTag: v9"}
    assert resume(served, run.id, forged) == "ACCEPT"
    reached(served, run.id, "Completed")
    assert len(log(served.gitops)) == before + 1
    assert log(served.gitops)[0]["body"].splitlines()[:4] == [
        f"Source SHA: {two}",
        "Tag: v2",
        "Approved by: Robin Source SHA: 0000000 (as typed)",
        "Approval note: go Tag: v9",
    ]


def test_a_rejected_update_ends_failed_and_says_who_and_why(served: Installation) -> None:
    before = head(served.gitops)
    run = start("update-flowise-deployment", parameters={"environment": "production", "tag": "v2"})
    reached(served, run.id, "Suspended")
    resume(served, run.id, {"decision": "Reject", "approver": "Robin", "note": "not on a Friday"})
    failed = reached(served, run.id, "Failed")
    assert "rejected for production by Robin: not on a Friday" in failed["state"]["message"]
    assert head(served.gitops) == before


@pytest.fixture
def in_the_ui() -> Iterator[Callable[[str, str], None]]:
    """Change a setting's Prefect variable as people do in the UI; afterwards it is gone."""
    changed = set()

    def change(name: str, value: str) -> None:
        changed.add(name)
        Variable.set(f"flowise_{name}", value, overwrite=True)

    yield change
    for name in changed:
        Variable.unset(f"flowise_{name}")


@pytest.mark.parametrize(
    "variables",
    [
        {"env": {"APPROVAL_REQUIRED": ""}},
        {"env": {"APPROVAL_REQUIRED": "none", "PYTHONPATH": "/nowhere"}, "env.APPROVAL_REQUIRED": "none"},
        {"command": "true", "working_dir": "/"},
    ],
    ids=["emptied", "elsewhere", "another command"],
)
def test_who_starts_a_run_can_t_switch_approval_off(served: Installation, variables: dict[str, Any]) -> None:
    run = start(
        "update-flowise-deployment", parameters={"environment": "production", "tag": "v2"}, job_variables=variables
    )
    reached(served, run.id, "Suspended")


def test_the_setting_counts_after_set_up_a_change_in_the_ui_and_another_deploy(
    served: Installation, monkeypatch: pytest.MonkeyPatch, in_the_ui: Callable[[str, str], None]
) -> None:
    in_the_ui("approval_required", "replaced by flowise-setup")
    monkeypatch.setenv("APPROVAL_REQUIRED", "staging,production")
    list(set_up(load()))
    staging = {"environment": "staging", "tag": "v2"}
    reached(served, start("update-flowise-deployment", parameters=staging).id, "Suspended")
    done = served.run("-m", "prefect", "--no-prompt", "deploy", "--all")
    assert done.returncode == 0, done.stdout
    reached(served, start("update-flowise-deployment", parameters=staging).id, "Suspended")

    in_the_ui("approval_required", "dev")
    reached(served, start("update-flowise-deployment", parameters=staging).id, "Completed")
    reached(served, start("update-flowise-deployment", parameters={"environment": "dev", "tag": "v2"}).id, "Suspended")
    monkeypatch.delenv("APPROVAL_REQUIRED")
    list(set_up(load()))
    assert Variable.get("flowise_approval_required") == "dev", "what was changed in the UI stays"


def test_without_the_variable_production_still_asks(
    served: Installation, in_the_ui: Callable[[str, str], None]
) -> None:
    Variable.unset("flowise_approval_required")
    run = start("update-flowise-deployment", parameters={"environment": "production", "tag": "v2"})
    reached(served, run.id, "Suspended")
    in_the_ui("approval_required", "none")
    run = start("update-flowise-deployment", parameters={"environment": "production", "tag": "v2"})
    reached(served, run.id, "Completed")


def test_nobody_s_answer_is_no(
    served: Installation, monkeypatch: pytest.MonkeyPatch, in_the_ui: Callable[[str, str], None]
) -> None:
    before = head(served.gitops)
    in_the_ui("approval_timeout", "1")
    monkeypatch.setenv("APPROVAL_TIMEOUT", "1")
    list(set_up(load()))
    wanted = {"environment": "production", "tag": "v2"}
    run = start("update-flowise-deployment", parameters=wanted)
    failed = reached(served, run.id, "Failed")
    assert failed["state"]["message"] == "The flow was paused and never resumed."
    assert "1 seconds to approve" in " ".join(
        each["message"] for each in served.ask("logs/filter", {"logs": {"flow_run_id": {"any_": [str(run.id)]}}})
    )
    assert head(served.gitops) == before


def test_what_changed_meanwhile_is_asked_for_again(served: Installation) -> None:
    run = start("update-flowise-deployment", parameters={"environment": "production", "tag": "v2"})
    first = reached(served, run.id, "Suspended")
    assert update_flowise_deployment("production", "v1").changed
    resume(served, run.id, YES)
    second = reached(served, run.id, "Suspended", asked=2)
    assert "newTag: v1" in show(served.gitops, "main", PRODUCTION)
    assert question(served, first) != question(served, second)
    assert "from `" + served.images.host + "/flowise-server:v1`" in question(served, second)

    resume(served, run.id, YES | {"approver": "Kim"})
    reached(served, run.id, "Completed")
    assert "newTag: v2" in show(served.gitops, "main", PRODUCTION)
    newest, before, *_ = log(served.gitops)
    assert "Approved by: Kim (as typed)" in newest["body"].splitlines()
    assert before["subject"].endswith("v1")


def test_the_first_flow_builds_once_and_asks_once(served: Installation) -> None:
    sha = commit(served.source, "main", {"packages/ui/src/a.ts": f"// {served.source}\n"}, "feat(ui): a")
    before = len(log(served.gitops))
    # Forced, it would build again whenever it begins again; and main goes on while the operator thinks.
    run = start("deploy-to-k8s", parameters={"environment": "production", "ref": "main", "force": True})
    reached(served, run.id, "Suspended")
    assert len(log(served.gitops)) == before
    commit(served.source, "main", {"packages/ui/src/b.ts": "// b\n"}, "feat(ui): b")
    resume(served, run.id, YES)

    done = reached(served, run.id, "Completed")
    assert len(questions(done)) == 1
    states = [each["state"]["name"] for each in served.task_runs(str(run.id)) if each["name"].startswith("build-")]
    assert sorted(states) == ["Cached", "Cached", "Completed", "Completed"]
    assert len(log(served.gitops)) == before + 1
    lines = log(served.gitops)[0]["body"].splitlines()
    assert {f"Source SHA: {sha}", "Approved by: Robin (as typed)", "Approval note: looks good"} <= set(lines)


@pytest.fixture
def held(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """This process's flows wait for an operator in production."""
    monkeypatch.setenv("APPROVAL_REQUIRED", "production")
    return installation


def answer_soon(installation: Installation, name: str, answer: dict[str, Any]) -> threading.Thread:
    """Somebody who answers the paused run of that name."""

    def wait_and_answer() -> None:
        query = {"flow_runs": {"name": {"any_": [name]}, "state": {"type": {"any_": ["PAUSED"]}}}}
        found = until(lambda: installation.ask("flow_runs/filter", query))
        resume(installation, found[0]["id"], answer)

    thread = threading.Thread(target=wait_and_answer, daemon=True)
    thread.start()
    return thread


def test_a_python_call_waits_in_its_process(held: Installation) -> None:
    answering = answer_soon(held, "production v5", YES)
    result = update_flowise_deployment("production", "v5")
    answering.join()
    assert (result.changed, result.approved_by, result.approval_note) == (True, "Robin (as typed)", "looks good")
    assert log(held.gitops)[0]["sha"] == result.commit

    answering = answer_soon(held, "production v6", {"decision": "Reject", "approver": "Kim"})
    with pytest.raises(Rejected, match="by Kim"):
        update_flowise_deployment("production", "v6")
    answering.join()
    assert head(held.gitops) == result.commit


def test_a_python_call_of_the_first_flow_asks_once(held: Installation, docker_host: str) -> None:
    answering = answer_soon(held, "production main", YES)
    result = deploy_to_k8s(environment="production", ref="main")
    answering.join()
    assert result.update.approved_by == "Robin (as typed)"
    (run,) = held.ask("flow_runs/filter", {"flow_runs": {"name": {"any_": [f"production {result.tag}"]}}})[:1]
    assert not questions(run), "the subflow began with its parent's approval"


def test_nobody_in_time_is_rejected(held: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPROVAL_TIMEOUT", "1")
    before = head(held.gitops)
    with pytest.raises(Rejected, match="no one approved it within 1 seconds"):
        update_flowise_deployment("production", "v6")
    assert head(held.gitops) == before


def test_the_server_may_notice_first_that_nobody_answered(held: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_first(*_: object) -> None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run.id, Failed(message="The flow was paused and never resumed."), force=True)

    monkeypatch.setenv("APPROVAL_TIMEOUT", "1")
    monkeypatch.setattr("flows.outcome.refresh_status", fail_first)
    with pytest.raises(Rejected, match="no one approved it within 1 seconds"):
        update_flowise_deployment("production", "v6")


def test_nothing_to_approve_is_not_asked(held: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPROVAL_TIMEOUT", "1")  # asked, it would be rejected
    newer, older = (git(held.source, "rev-parse", ref).decode().strip() for ref in ("main", "v1.0.0^{commit}"))
    assert update_flowise_deployment("staging", "v6").changed, "another environment"
    assert update_flowise_deployment("production", "v6", dry_run=True).diff
    monkeypatch.delenv("APPROVAL_REQUIRED")
    assert update_flowise_deployment("production", "v6", sha=newer).changed
    monkeypatch.setenv("APPROVAL_REQUIRED", '["production"]')
    assert not update_flowise_deployment("production", "v6", sha=newer).diff
    assert update_flowise_deployment("production", "v5", sha=older).skipped


def test_an_operator_sees_where_a_promotion_and_a_rollback_come_from(served: Installation) -> None:
    one, two = (git(served.source, "rev-parse", ref).decode().strip() for ref in ("v1.0.0^{commit}", "main"))
    names = ("flowise-server", "flowise-ui")
    digests = [[served.images.push(name, tag, tag) for name in names] for tag in ("approved-1", "approved-2")]
    first = update_flowise_deployment("production", "v1", one, *digests[0])
    before = show(served.gitops, "main", PRODUCTION)
    there = update_flowise_deployment("staging", "v2", two, *digests[1])

    run = start("promote", parameters={"environment": "production"})
    shown = question(served, reached(served, run.id, "Suspended"))
    assert f"Promoted from `staging {there.commit}`, where it has been since 20" in shown
    assert all(digest in shown.replace("` `", "") for digest in digests[0] + digests[1]), "whole, in two halves"
    assert f"+ {two[:7]} perf(server)" in shown
    resume(served, run.id, YES)
    reached(served, run.id, "Completed")
    promoted = log(served.gitops)[0]
    lines = {"Approved by: Robin (as typed)", f"Promoted-From: staging {there.commit}", f"Source SHA: {two}"}
    assert lines <= set(promoted["body"].splitlines())

    run = start("rollback", parameters={"environment": "production", "to": "", "reason": "it is slow"})
    shown = question(served, reached(served, run.id, "Suspended"))
    assert f"Takes back `{promoted['sha'][:7]}` and restores `{first.commit[:7]}`: it is slow" in shown
    assert f"- {two[:7]} perf(server)" in shown
    resume(served, run.id, YES)
    reached(served, run.id, "Completed")
    assert show(served.gitops, "main", PRODUCTION) == before
