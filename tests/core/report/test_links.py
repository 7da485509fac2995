"""Where a summary's links lead, and what has none."""

import pytest

from tasks.core.models import BuiltImage, DeployResult, ImageRef, UpdateResult
from tasks.core.report import links
from tasks.core.settings import Settings

SHA, COMMIT = "f3a21bc" + "0" * 33, "5e1eeb4" + "1" * 33
ECR = "123456789012.dkr.ecr.ap-southeast-1.amazonaws.com"
CONSOLE = "https://ap-southeast-1.console.aws.amazon.com/ecr/repositories/private/123456789012"
GITHUB = "https://github.com/acme"


def update(registry: str = ECR) -> UpdateResult:
    images = [ImageRef(name, f"{registry}/{name}", tag="v1") for name in ("flowise-server", "flowise-ui")]
    return UpdateResult(
        environment="dev", tag="v1", changed=True, commit=COMMIT, overlay_path="overlays/dev", images=images
    )


def deploy(result: UpdateResult | None) -> DeployResult:
    server, ui = (
        BuiltImage(uri=f"{ECR}/{name}:v1", repository=name, tags=("v1",), digest="sha256:" + "a" * 64, built=True)
        for name in ("flowise-server", "flowise-ui")
    )
    return DeployResult(
        environment="dev", tag="v1", sha=SHA, server=server, ui=ui, dispatched_via="inline", update=result
    )


def test_a_summary_leads_to_commits_images_and_argo_cd() -> None:
    known = Settings(
        source_repo="acme/FlowiseAI", gitops_repo="acme/devops", ecr_registry=ECR, argocd_server="argocd.example.com"
    )
    images = (
        f"[flowise-server]({CONSOLE}/flowise-server?region=ap-southeast-1)"
        f" · [flowise-ui]({CONSOLE}/flowise-ui?region=ap-southeast-1)"
    )
    then = (
        f"[GitOps commit 5e1eeb4]({GITHUB}/devops/commit/{COMMIT})"
        " · [flowise-dev in Argo CD](https://argocd.example.com/applications/flowise-dev)"
    )
    source = f"[source commit f3a21bc]({GITHUB}/FlowiseAI/commit/{SHA})"
    assert links.of_deploy(deploy(update()), known) == f"\n{source} · {images} · {then}\n"
    assert links.of_deploy(deploy(None), known) == f"\n{source} · {images}\n"
    assert links.of_update(update(), known) == f"\n{images} · {then}\n"


def test_what_is_not_on_the_web_has_no_link() -> None:
    local = Settings(source_repo="/srv/source.git", gitops_repo="../gitops", ecr_registry="127.0.0.1:5000")
    assert links.of_update(update("127.0.0.1:5000"), local) == ""
    wrong = Settings(argocd_server="https://user:secret@argocd.example.com")
    assert links.application("dev", wrong) == ""


@pytest.mark.parametrize(
    ("repository", "page"),
    [
        ("acme/devops", "https://git.example.com/acme/devops"),
        ("https://github.com/acme/devops.git", "https://github.com/acme/devops"),
        ("https://gitlab.example.com/group/sub/devops/", "https://gitlab.example.com/group/sub/devops"),
        ("http://127.0.0.1:8080/acme/devops.git", "http://127.0.0.1:8080/acme/devops"),
        ("git@github.com:acme/devops.git", "https://github.com/acme/devops"),
        ("ssh://git@github.com/acme/devops", "https://github.com/acme/devops"),
    ],
)
def test_a_commit_s_page_however_the_repository_is_named(repository: str, page: str) -> None:
    enterprise = Settings(github_api_url="https://git.example.com/api/v3")
    assert links.commit(repository, enterprise, SHA) == f"{page}/commit/{SHA}"


@pytest.mark.parametrize("repository", ["", "/srv/x.git", "file:///srv/x.git", "https://user@host/x", "https://h/a)b"])
def test_a_repository_without_a_page(repository: str) -> None:
    assert links.commit(repository, Settings(), SHA) == ""
