"""flowise-setup on a real, empty Prefect server: what it makes, what it leaves, what it says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.variables import Variable
from prefect.workers.process import ProcessWorker
from prefect_aws import AwsCredentials
from prefect_github import GitHubCredentials
from pydantic import SecretStr

from flows.setup.command import discord, set_up
from flows.setup.server_objects import RunEnvironment
from tasks.core.errors import InvalidInput, NotFound
from tasks.core.settings import load
from tasks.runtime.concurrency import one_run_in
from tests.flows.conftest import PROJECT
from tests.sandbox.prefect_server import PrefectServer, prefect_server, used
from tests.sandbox.services import starts

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "very-secret-aws-key",
    "GITOPS_TOKEN": "ghp_very_secret_token",
    "ALERT_WEBHOOK_URL": "http://127.0.0.1:9/hooks/very-secret-hook",
    "ALERT_SLACK_URL": "https://hooks.slack.com/services/AAAAAAAAA/BBBBBBBBB/verysecretslack",
}
OPEN = {"AWS_ACCESS_KEY_ID": "AKIAOPEN", "SOURCE_REPO": "acme/flowise", "GITOPS_REPO": "acme/devops"}


@pytest.fixture(scope="module")
@starts("prefect")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with (
        prefect_server(tmp_path_factory.mktemp("prefect")) as running,
        used(running),
    ):
        yield running


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SECRETS, **OPEN}.items():
        monkeypatch.setenv(name, value)


def command(server: PrefectServer) -> str:
    """The command's output, as a person at a wide terminal reads it."""
    env = {**os.environ, **server.environment(), "COLUMNS": "200"}
    run = subprocess.run(
        [sys.executable, "-m", "flows.setup"],
        cwd=PROJECT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def outcomes() -> dict[str, str]:
    return {f"{row.kind} {row.name}": row.outcome for row in set_up(load())}


def test_it_makes_everything_and_then_nothing_and_tells_no_secret(empty: PrefectServer) -> None:
    first, second = command(empty), outcomes()
    assert first.count("created") == len(second) > 10
    assert set(second.values()) == {"unchanged"}
    assert re.search("│ events +│ memory +│ events that it hasn't handled, and the runs they would start", first)
    with one_run_in("staging"):
        pass
    assert outcomes() == second, "a run leaves its limit as it is"

    answers = [
        httpx.post(f"{empty.api_url}/{path}/filter", json={}, trust_env=False).raise_for_status().text
        for path in ("automations", "block_documents", "variables", "work_pools", "events")
    ]
    assert "Flowise alert: stuck" in answers[0]
    for secret in SECRETS.values():
        assert secret not in first + "".join(answers)
    assert AwsCredentials.load("flowise").aws_secret_access_key.get_secret_value() == SECRETS["AWS_SECRET_ACCESS_KEY"]
    assert Variable.get("flowise_source_repo") == "acme/flowise"


def test_what_differs_is_changed_and_named(empty: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = outcomes()
    monkeypatch.setenv("GITOPS_TOKEN", "ghp_another")
    monkeypatch.setenv("SOURCE_REPO", "acme/fork")
    monkeypatch.setenv("ALERT_LATE_SECONDS", "600")
    httpx.patch(
        f"{empty.api_url}/v2/concurrency_limits/flowise-dev", json={"limit": 3}, trust_env=False
    ).raise_for_status()
    after = outcomes()
    assert {name: outcome for name, outcome in after.items() if outcome != "unchanged"} == {
        "variable flowise_source_repo": "changed: now acme/fork",
        "limit flowise-dev": "changed: limit was 3",
        "block github-credentials/flowise": "changed: token",
        "automation Flowise alert: late": "changed: trigger, actions",
    }
    assert GitHubCredentials.load("flowise").token.get_secret_value() == "ghp_another"
    assert set(outcomes()) == set(before)
    assert set(outcomes().values()) == {"unchanged"}


def environment_of(pool: str) -> dict[str, str]:
    return RunEnvironment.load(pool).value


def test_the_runs_of_a_pool_have_no_secrets_of_the_other(empty: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_TOKEN", "ghp_source")
    outcomes()
    build, gitops = environment_of("flowise-build"), environment_of("flowise-gitops")
    assert build["SOURCE_REPO"] == gitops["SOURCE_REPO"] == "{{ prefect.variables.flowise_source_repo }}"
    kept = {"SOURCE_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    secrets = {"GITOPS_TOKEN", "ARGOCD_AUTH_TOKEN", "GITHUB_WEBHOOK_SECRET", "SENDGRID_API_KEY", "ALERT_SLACK_URL"}
    assert {build.get(name) for name in secrets} == {""}
    assert not kept & set(build), "what the worker has stays"
    assert build["GITHUB_CREDENTIALS_BLOCK"] == "flowise-source"
    assert {gitops.get(name) for name in ("GITHUB_WEBHOOK_SECRET", "SENDGRID_API_KEY", "ALERT_SLACK_URL")} == {""}
    assert not {*kept, "GITOPS_TOKEN", "ARGOCD_AUTH_TOKEN", "GITHUB_CREDENTIALS_BLOCK"} & set(gitops)
    assert GitHubCredentials.load("flowise-source").token.get_secret_value() == "ghp_source"

    monkeypatch.setenv("DISPATCH_VIA", "inline")  # then the first flow's run is the second one's, too
    outcomes()
    assert not {"GITOPS_TOKEN", "ARGOCD_AUTH_TOKEN", *kept} & set(environment_of("flowise-build"))
    assert environment_of("flowise-build")["GITHUB_CREDENTIALS_BLOCK"] == "flowise"
    monkeypatch.setenv("DISPATCH_VIA", "prefect-event")
    outcomes()
    assert environment_of("flowise-build") == build


def test_hosts_that_get_credentials_are_fixed(empty: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def trusted() -> set[str]:
        outcomes()
        found = [environment_of(pool)["TRUSTED_HOSTS"] for pool in ("flowise-build", "flowise-gitops")]
        assert found[0] == found[1]
        return set(found[0].split(","))

    monkeypatch.setenv("ARGOCD_SERVER", "argocd.example:8443")
    assert trusted() >= {"api.github.com", "github.com", "argocd.example:8443"}
    monkeypatch.delenv("ARGOCD_SERVER")
    Variable.set("flowise_argocd_server", "evil.example", overwrite=True)
    assert trusted() >= {"argocd.example:8443"} and "evil.example" not in trusted()
    with monkeypatch.context() as run:
        run.setenv("TRUSTED_HOSTS", environment_of("flowise-gitops")["TRUSTED_HOSTS"])
        run.setenv("ARGOCD_SERVER", Variable.get("flowise_argocd_server"))
        with pytest.raises(InvalidInput, match=r"ARGOCD_SERVER is on 'evil\.example'"):
            load()
    monkeypatch.setenv("TRUSTED_HOSTS", "argocd.example,api.github.com,github.com,hooks.example")
    assert trusted() == {"argocd.example", "api.github.com", "github.com", "hooks.example"}


def test_what_builds_get_is_fixed_for_the_build_pool(empty: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"BUILD_SECRETS": "npmrc=/run/secrets/npmrc", "BUILDX_BUILDER": "tcp://buildkitd:1234"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    outcomes()
    assert environment_of("flowise-build").items() >= given.items()
    assert not given.keys() & environment_of("flowise-gitops").keys()
    assert Variable.get("flowise_build_secrets") is None
    assert "buildkitd:1234" in environment_of("flowise-gitops")["TRUSTED_HOSTS"]


def test_a_pool_of_an_earlier_release_is_fixed_and_one_of_another_type_left_alone(empty: PrefectServer) -> None:
    outcomes()
    pools = f"{empty.api_url}/work_pools"
    made = httpx.get(f"{pools}/flowise-build", trust_env=False).json()["base_job_template"]
    open_to_all = ProcessWorker.get_default_base_job_template()
    open_to_all["variables"]["properties"]["env"]["default"] = {"SOURCE_REPO": "acme/old"}
    httpx.patch(f"{pools}/flowise-build", json={"base_job_template": open_to_all}, trust_env=False).raise_for_status()
    assert outcomes()["work pool flowise-build"] == "changed: base job template"
    assert httpx.get(f"{pools}/flowise-build", trust_env=False).json()["base_job_template"] == made

    httpx.delete(f"{pools}/flowise-build", trust_env=False).raise_for_status()
    httpx.post(f"{pools}/", json={"name": "flowise-build", "type": "docker"}, trust_env=False).raise_for_status()
    assert outcomes()["work pool flowise-build"] == "left alone: its type is docker, not process"
    httpx.delete(f"{pools}/flowise-build", trust_env=False).raise_for_status()


def test_without_an_address_alerts_are_left_alone(empty: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [name for name in outcomes() if name.startswith("automation ")]
    monkeypatch.delenv("ALERT_SLACK_URL")
    monkeypatch.delenv("ALERT_WEBHOOK_URL")
    assert "ALERT_BLOCK" in outcomes()["alerts "]
    kept = httpx.post(f"{empty.api_url}/automations/filter", json={}, trust_env=False).json()
    assert {f"automation {each['name']}" for each in kept} == set(made)


def test_a_discord_webhook_is_taken_apart() -> None:
    found = discord(SecretStr("https://discord.com/api/webhooks/123/a_b-C"))
    assert [value.get_secret_value() for value in found.values()] == ["123", "a_b-C"]
    with pytest.raises(InvalidInput, match="ALERT_DISCORD_URL is not a Discord webhook") as caught:
        discord(SecretStr("https://example.com/api/webhooks/123/secret"))
    assert "secret" not in str(caught.value)


def test_temporary_keys_are_not_kept(empty: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "temporary")
    assert "temporary" in outcomes()["block aws-credentials/flowise"]


def test_what_is_missing_is_said(empty: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_BLOCK", "slack-webhook/nobody")
    with pytest.raises(NotFound, match="slack-webhook/nobody"):
        outcomes()
    monkeypatch.delenv("ALERT_BLOCK")
    monkeypatch.setenv("ALERT_EMAIL", "ops@example.com")
    with pytest.raises(InvalidInput, match="SENDGRID_API_KEY, ALERT_EMAIL_FROM are not set"):
        outcomes()
    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(InvalidInput, match="PREFECT_API_URL"):
        outcomes()


KINDS = ("automations", "block_documents", "v2/concurrency_limits", "variables", "work_pools")


def named(server: PrefectServer) -> set[tuple[str, str]]:
    """What is on a server, by kind and name; block types are the program's, not an application's."""
    found = set[tuple[str, str]]()
    for kind in KINDS:
        answer = httpx.post(f"{server.api_url}/{kind}/filter", json={}, trust_env=False).raise_for_status()
        found |= {(kind, f"{each.get('block_type_name', '')}/{each['name']}") for each in answer.json()}
    return found


def test_two_applications_on_one_server_share_no_name(empty: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes()
    monkeypatch.delenv("ALERT_BLOCK", raising=False)
    ours = named(empty)
    monkeypatch.setenv("APPLICATION", "acme")
    rows = list(set_up(load()))
    assert {row.outcome for row in rows if row.kind not in ("server", "alerts")} == {"created"}
    theirs = named(empty) - ours
    assert len(theirs) == len([row for row in rows if row.outcome == "created"])
    assert {name for _, name in theirs if not name.partition("/")[2].lower().startswith("acme")} == set()
    assert environment_of("acme-build")["APPLICATION"] == "acme"
    assert environment_of("acme-build")["GITOPS_REPO"] == "{{ prefect.variables.acme_gitops_repo }}"
    with one_run_in("dev"):
        pass
    assert named(empty) == ours | theirs, "a run uses the names that set-up has made"
    monkeypatch.delenv("APPLICATION")
    assert set(outcomes().values()) == {"unchanged"}
