"""GitHub, Amazon ECR and Prefect's blocks, each played by a stand-in that follows its documented contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect_aws import AwsClientParameters, AwsCredentials
from prefect_github import GitHubCredentials

from flows import deploy_to_k8s, update_flowise_deployment
from tasks.core.errors import AccessDenied, NotFound
from tests.flows.conftest import Installation
from tests.sandbox.ecr import HOST, Ecr, ecr
from tests.sandbox.engine import engine
from tests.sandbox.github import GitHub, github
from tests.sandbox.optional import optional
from tests.sandbox.repositories import commit, head, log

TOKEN = "ghp_0123456789abcdef0123456789abcdef0123"


@pytest.fixture
def hub(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """Both repositories on a GitHub of this machine, reached over HTTP with a token."""
    names = {"acme/flowise": installation.source, "acme/devops": installation.gitops}
    with github(names, token=TOKEN) as running:
        monkeypatch.setenv("GITHUB_API_URL", running.url)
        monkeypatch.setenv("SOURCE_REPO", "acme/flowise")
        monkeypatch.setenv("GITOPS_REPO", "acme/devops")
        monkeypatch.setenv("GITOPS_TOKEN", TOKEN)
        yield running


def test_both_flows_work_over_https_with_a_token(hub: GitHub, installation: Installation) -> None:
    result = deploy_to_k8s(environment="dev", ref="main")
    assert head(installation.gitops) == result.update.commit

    newest = installation.ask(
        "artifacts/filter", {"sort": "CREATED_DESC", "artifacts": {"key": {"any_": ["deploy-dev"]}}}
    )
    for repository, sha in (("flowise", result.sha), ("devops", result.update.commit)):
        assert f"/acme/{repository}/commit/{sha})" in newest[0]["data"]


def test_a_repository_dispatch_carries_what_the_other_repository_s_workflow_expects(
    hub: GitHub, installation: Installation
) -> None:
    before = head(installation.gitops)
    result = deploy_to_k8s(environment="staging", ref="main", dispatch_via="repository-dispatch")

    assert (result.dispatched_via, result.update) == ("repository-dispatch", None)
    assert head(installation.gitops) == before, "the rest is the other side's"
    (sent,) = hub.dispatches
    payload = sent.client_payload
    assert sent.event_type == "flowise-image-updated"
    assert set(payload) == {"environment", "tag", "sha", "server_digest", "ui_digest", "actor", "workflow_run_id"}
    assert payload["server_digest"] == result.server.digest
    assert payload["ui_digest"] == result.ui.digest
    assert (payload["environment"], payload["sha"]) == ("staging", result.sha)

    assert update_flowise_deployment(**payload).changed
    assert f"Source SHA: {result.sha}" in log(installation.gitops)[0]["body"]


def test_a_wrong_token_is_final_and_stays_secret(
    hub: GitHub, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITOPS_TOKEN", "ghp_wrong_wrong_wrong")
    with pytest.raises(AccessDenied, match="GITOPS_TOKEN") as caught:
        deploy_to_k8s(environment="dev", ref="main")
    assert "ghp_wrong" not in f"{caught.value!r} {caught.value} {caught.value.__cause__} {caught.value.__context__}"


def test_the_github_block_goes_before_the_environment(
    hub: GitHub, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITOPS_TOKEN")
    GitHubCredentials(token=TOKEN).save("flowise", overwrite=True)
    try:
        assert update_flowise_deployment("dev", "v3").changed
    finally:
        GitHubCredentials.delete("flowise")


@pytest.fixture
def amazon(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ecr]:
    """An ECR of this machine, and an engine that knows its name."""
    folder = tmp_path_factory.mktemp("amazon")
    with ecr(folder / "ecr") as running, optional(engine(folder / "engine", hosts=[HOST])) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        monkeypatch.setenv("ECR_REGISTRY", running.registry)
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def digests(amazon: Ecr, repository: str) -> dict[str, str]:
    """What ECR's own API says of a repository's tags, but for those of the tool itself: inputs and layer cache."""
    images = amazon.client.describe_images(repositoryName=repository)["imageDetails"]
    tags = {tag: image["imageDigest"] for image in images for tag in image.get("imageTags", [])}
    return {tag: digest for tag, digest in tags.items() if not tag.startswith(("inputs-", "buildcache"))}


def test_ecr(amazon: Ecr, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="aws ecr create-repository --repository-name flowise-"):
        deploy_to_k8s(environment="dev", ref="main")

    monkeypatch.setenv("ECR_CREATE_REPOSITORIES", "true")
    first = deploy_to_k8s(environment="dev", ref="main")
    assert digests(amazon, "flowise-server") == dict.fromkeys(first.server.tags, first.server.digest)
    assert digests(amazon, "flowise-ui") == dict.fromkeys([first.tag, "latest", first.sha], first.ui.digest)

    # Keys that are refused, in the environment; good ones in the block.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    with pytest.raises(AccessDenied, match="AWS_ACCESS_KEY_ID"):
        deploy_to_k8s(environment="dev", ref="main")
    good = amazon.environment()
    AwsCredentials(
        aws_access_key_id=good["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=good["AWS_SECRET_ACCESS_KEY"],
        aws_client_parameters=AwsClientParameters(endpoint_url=amazon.endpoint_url),
    ).save("flowise", overwrite=True)
    try:
        assert not deploy_to_k8s(environment="staging", ref="main").server.built
    finally:
        AwsCredentials.delete("flowise")


def test_immutable_tags_in_ecr(amazon: Ecr, installation: Installation, tmp_path: Path) -> None:
    amazon.create("flowise-server", "flowise-ui", immutable=True, movable=())
    first = deploy_to_k8s(environment="dev", ref="main")
    assert "latest" in first.server.tags
    again = deploy_to_k8s(environment="dev", ref="main")
    assert again.server.tags == first.server.tags

    commit(installation.source, "main", {"packages/components/src/id.ts": f"// {tmp_path}\n"}, "feat: another")
    second = deploy_to_k8s(environment="dev", ref="main")
    assert second.server.tags == (second.tag, second.sha), "latest cannot move there"
    assert digests(amazon, "flowise-server")["latest"] == first.server.digest
    assert digests(amazon, "flowise-server")[second.tag] == second.server.digest
