"""Settings as people write them."""

import pytest

from tasks.core.errors import InvalidInput
from tasks.core.hosts import hosts
from tasks.core.settings import load


@pytest.mark.parametrize("ends", ["\n", "\r\n", " "])
def test_a_secret_that_ends_in_a_line_break_loses_it(ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITOPS_TOKEN", "ARGOCD_AUTH_TOKEN", "GITHUB_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, f"hunter2{ends}")
    settings = load()
    secrets = (settings.gitops_token, settings.argocd_auth_token, settings.github_webhook_secret)
    assert [each and each.get_secret_value() for each in secrets] == ["hunter2"] * 3


def test_a_place_that_ends_in_a_line_break_loses_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"GITOPS_REPO": "acme/devops", "GITOPS_BRANCH": "main", "ARGOCD_SERVER": "argocd.example.com"}
    for name, value in places.items():
        monkeypatch.setenv(name, f" {value}\n")
    settings = load()
    assert {name: getattr(settings, name.lower()) for name in places} == places


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        ("", ()),
        ("Ticket: OPS-7", ("Ticket: OPS-7",)),
        ("Ticket: OPS-7\n\nA, with a comma\n", ("Ticket: OPS-7", "A, with a comma")),
        ('["one", "two"]', ("one", "two")),
    ],
)
def test_lines_of_a_commit_message(written: str, lines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMIT_LINES", written)
    assert load().commit_lines == lines


@pytest.mark.parametrize("person", ["Ops Bot", "<ops@corp.example>", "Ops <a b>", "Ops\n<a@b>"])
def test_an_author_has_a_name_and_an_address(person: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMIT_AUTHOR", person)
    with pytest.raises(InvalidInput, match="COMMIT_AUTHOR"):
        load()


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("gitops_repo", "https://Git.example:8443/acme/devops.git", {"git.example:8443"}),
        ("gitops_repo", "https://git.example:443/acme", {"git.example"}),
        ("gitops_repo", "http://git.example/acme", {"git.example"}),
        ("source_repo", "https://someone@git.example/acme", {"git.example"}),
        ("source_repo", "acme/flowise", None),
        ("source_repo", "/srv/git/flowise.git", None),
        ("source_repo", "git@git.example:acme/flowise", None),
        ("source_repo", "ssh://git@git.example/acme", None),
        ("github_api_url", "https://ghe.example/api/v3", {"ghe.example"}),
        ("argocd_server", "argocd.example:8080", {"argocd.example:8080"}),
        ("argocd_server", "https://example.com/argocd", {"example.com"}),
        ("ecr_registry", "harbor.example/team", {"harbor.example"}),
        ("ecr_registry", "[::1]:5000", {"[::1]:5000"}),
        ("aws_endpoint_url", "http://127.0.0.1:5001", {"127.0.0.1:5001"}),
    ],
)
def test_which_host_a_setting_names(setting: str, value: str, named: set[str] | None) -> None:
    assert hosts({setting: value}).get(setting) == named


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("GITOPS_REPO", "https://git.example.evil.example/acme/devops"),
        ("GITOPS_REPO", "https://git.example:8443/acme/devops"),
        ("GITOPS_REPO", "https://git.example@evil.example/acme/devops"),
        ("SOURCE_REPO", "https://evil.example/acme/flowise"),
        ("GITHUB_API_URL", "https://evil.example/api/v3"),
        ("ARGOCD_SERVER", "evil.example"),
        ("ARGOCD_SERVER", "https://evil.example/argocd"),
        ("ECR_REGISTRY", "evil.example/team"),
        ("AWS_ENDPOINT_URL", "https://evil.example"),
        ("BUILDX_BUILDER", "tcp://evil.example:1234"),
    ],
)
def test_a_host_that_isn_t_trusted_is_named(setting: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_HOSTS", "api.github.com, github.com, git.example, Argocd.example")
    monkeypatch.setenv("GITOPS_REPO", "https://git.example/acme/devops")
    monkeypatch.setenv("SOURCE_REPO", "acme/flowise")
    monkeypatch.setenv("ARGOCD_SERVER", "argocd.example")
    assert load().gitops_repo
    monkeypatch.setenv(setting, value)
    with pytest.raises(InvalidInput, match=f"{setting} is on '.*', which isn't among TRUSTED_HOSTS"):
        load()


@pytest.mark.parametrize(
    ("written", "sources"),
    [
        ("", {}),
        ("npmrc=/run/secrets/npmrc, token = build-token", {"npmrc": "/run/secrets/npmrc", "token": "build-token"}),
        ('{"npmrc": "/a,b=c"}', {"npmrc": "/a,b=c"}),
    ],
)
def test_where_build_secrets_come_from(written: str, sources: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_SECRETS", written)
    assert load().build_secrets == sources


@pytest.mark.parametrize("written", ["Hunter2", "token=Hunter2 with spaces", "token", '{"token": "Hunter2!"}', "=x"])
def test_a_secret_itself_is_no_source(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_SECRETS", written)
    with pytest.raises(InvalidInput, match="BUILD_SECRETS") as caught:
        load()
    assert "Hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("builder", "right"),
    [("team-builder", True), ("tcp://buildkitd:1234", True), ("unix:///run/buildkitd.sock", True), ("--help", False)],
)
def test_which_builder(builder: str, right: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDX_BUILDER", builder)
    if right:
        assert load().buildx_builder == builder
        return
    with pytest.raises(InvalidInput, match="BUILDX_BUILDER"):
        load()
