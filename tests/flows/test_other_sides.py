"""GitHub, Amazon ECR and Prefect's blocks, each played by a stand-in that follows its documented contract."""

from pathlib import Path

import pytest
from prefect_aws import AwsClientParameters, AwsCredentials
from prefect_github import GitHubCredentials

from flows import deploy_to_k8s, update_flowise_deployment
from tasks.core.errors import AccessDenied, NotFound
from tests.flows.conftest import Installation
from tests.sandbox.ecr import Ecr
from tests.sandbox.github import GitHub
from tests.sandbox.repositories import commit, head, log, show


def test_both_flows_work_over_https_with_a_token(on_github: GitHub, installation: Installation) -> None:
    result = deploy_to_k8s(environment="dev", ref="main")
    assert head(installation.gitops) == result.update.commit

    newest = installation.ask(
        "artifacts/filter", {"sort": "CREATED_DESC", "artifacts": {"key": {"any_": ["deploy-dev"]}}}
    )
    for repository, sha in (("flowise", result.sha), ("devops", result.update.commit)):
        assert f"/acme/{repository}/commit/{sha})" in newest[0]["data"]


def test_a_repository_dispatch_carries_what_the_other_repository_s_workflow_expects(
    on_github: GitHub, installation: Installation
) -> None:
    before = head(installation.gitops)
    result = deploy_to_k8s(environment="staging", ref="main", dispatch_via="repository-dispatch")

    assert (result.dispatched_via, result.update) == ("repository-dispatch", None)
    assert head(installation.gitops) == before, "the rest is the other side's"
    (sent,) = on_github.dispatches
    payload = sent.client_payload
    assert sent.event_type == "flowise-image-updated"
    assert set(payload) == {"environment", "tag", "sha", "server_digest", "ui_digest", "actor", "workflow_run_id"}
    assert payload["server_digest"] == result.server.digest
    assert payload["ui_digest"] == result.ui.digest
    assert (payload["environment"], payload["sha"]) == ("staging", result.sha)

    assert update_flowise_deployment(**payload).changed
    assert f"Source SHA: {result.sha}" in log(installation.gitops)[0]["body"]


def test_a_wrong_token_is_final_and_stays_secret(
    on_github: GitHub, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITOPS_TOKEN", "ghp_wrong_wrong_wrong")
    with pytest.raises(AccessDenied, match="GITOPS_TOKEN") as caught:
        deploy_to_k8s(environment="dev", ref="main")
    assert "ghp_wrong" not in f"{caught.value!r} {caught.value} {caught.value.__cause__} {caught.value.__context__}"


def test_the_github_block_goes_before_the_environment(
    on_github: GitHub, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITOPS_TOKEN")
    GitHubCredentials(token=on_github.token).save("flowise", overwrite=True)
    try:
        assert update_flowise_deployment("dev", "v3").changed
    finally:
        GitHubCredentials.delete("flowise")


def digests(amazon: Ecr, repository: str) -> dict[str, str]:
    """What ECR's own API says of a repository's tags, but for those of the tool itself: inputs and layer cache."""
    images = amazon.client.describe_images(repositoryName=repository)["imageDetails"]
    tags = {tag: image["imageDigest"] for image in images for tag in image.get("imageTags", [])}
    return {tag: digest for tag, digest in tags.items() if not tag.startswith(("inputs-", "buildcache"))}


def test_ecr(on_amazon: Ecr, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="aws ecr create-repository --repository-name flowise-"):
        deploy_to_k8s(environment="dev", ref="main")

    monkeypatch.setenv("ECR_CREATE_REPOSITORIES", "true")
    first = deploy_to_k8s(environment="dev", ref="main")
    assert digests(on_amazon, "flowise-server") == dict.fromkeys(first.server.tags, first.server.digest)
    assert digests(on_amazon, "flowise-ui") == dict.fromkeys([first.tag, "latest", first.sha], first.ui.digest)

    # Keys that are refused, in the environment; good ones in the block.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    with pytest.raises(AccessDenied, match="AWS_ACCESS_KEY_ID"):
        deploy_to_k8s(environment="dev", ref="main")
    good = on_amazon.environment()
    AwsCredentials(
        aws_access_key_id=good["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=good["AWS_SECRET_ACCESS_KEY"],
        aws_client_parameters=AwsClientParameters(endpoint_url=on_amazon.endpoint_url),
    ).save("flowise", overwrite=True)
    try:
        assert not deploy_to_k8s(environment="staging", ref="main").server.built
    finally:
        AwsCredentials.delete("flowise")


def test_immutable_tags_in_ecr(on_amazon: Ecr, installation: Installation, tmp_path: Path) -> None:
    on_amazon.create("flowise-server", "flowise-ui", immutable=True, movable=())
    first = deploy_to_k8s(environment="dev", ref="main")
    assert "latest" in first.server.tags
    again = deploy_to_k8s(environment="dev", ref="main")
    assert again.server.tags == first.server.tags

    commit(installation.source, "main", {"packages/components/src/id.ts": f"// {tmp_path}\n"}, "feat: another")
    second = deploy_to_k8s(environment="dev", ref="main")
    assert second.server.tags == (second.tag, second.sha), "latest cannot move there"
    assert digests(on_amazon, "flowise-server")["latest"] == first.server.digest
    assert digests(on_amazon, "flowise-server")[second.tag] == second.server.digest

    third = deploy_to_k8s(environment="dev", ref="main", force=True)
    assert third.server.digest not in (first.server.digest, second.server.digest)
    assert third.server.uri.endswith(f"/flowise-server@{third.server.digest}"), "the tags stay with the image before"
    assert third.server.digest in show(
        installation.gitops, "main", "argocd/apps/flowise/overlays/dev/kustomization.yaml"
    )
    assert not deploy_to_k8s(environment="dev", ref="main").server.built, "what was built again is cached as such"
