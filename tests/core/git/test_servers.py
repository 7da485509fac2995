"""What differs between git servers, with real git on the other side: abilities, transports, certificates."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tasks.core import git
from tasks.core.errors import AccessDenied, InvalidInput
from tasks.core.git import cli
from tasks.core.git.branch import Branch
from tasks.core.gitops import guard
from tests.sandbox import repositories
from tests.sandbox.certificate import self_signed
from tests.sandbox.git_http import GitAnswer
from tests.sandbox.in_process import served

FILE = "argocd/apps/flowise/overlays/dev/kustomization.yaml"


@pytest.fixture
def over_ssh(gitops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> git.Remote:
    """A stand-in for ssh runs git's half of the server here, in protocol version 0: sshd passes no GIT_PROTOCOL on."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/bash\nunset GIT_PROTOCOL\neval "${@: -1}"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    return git.Remote(f"ssh://git@git.example{gitops}")


@contextmanager
def over_https(bare: Path, certificate: Path) -> Iterator[str]:
    async def answer(request: Request) -> Response:
        return GitAnswer(request, bare, f"/{request.path_params['rest']}")

    app = Starlette(routes=[Route("/devops.git/{rest:path}", answer, methods=["GET", "POST"])])
    with served(app, certificate=certificate) as url:
        yield f"{url}/devops.git"


@pytest.mark.parametrize("any_sha", ["true", "false"])
@pytest.mark.parametrize("filters", ["true", "false"])
def test_a_server_of_any_ability_takes_a_commit(
    filters: str, any_sha: str, over_ssh: git.Remote, gitops: Path, tmp_path: Path
) -> None:
    repositories.git(gitops, "config", "uploadpack.allowFilter", filters)
    repositories.git(gitops, "config", "uploadpack.allowAnySHA1InWant", any_sha)
    with Branch(over_ssh, "main", tmp_path / "branch.git") as branch:
        head = branch.fetch()
        assert b"flowise-server" in branch.read(FILE)
        assert b"flowise-server" in branch.read(FILE, head)
        assert len(branch.log(1000)) == 3
        branch.push(branch.commit(FILE, b"images: []\n", "a commit"))
    assert repositories.show(gitops, "main", FILE) == "images: []\n"
    assert repositories.git(gitops, "diff-tree", "-r", "--name-only", head, "main").decode() == f"{FILE}\n"
    repositories.git(gitops, "fsck", "--strict")


@pytest.mark.parametrize("any_sha", ["true", "false"])
def test_an_order_is_found_whatever_the_server_hands_out(
    any_sha: str, over_ssh: git.Remote, gitops: Path, tmp_path: Path
) -> None:
    repositories.git(gitops, "config", "uploadpack.allowFilter", "true")
    repositories.git(gitops, "config", "uploadpack.allowAnySHA1InWant", any_sha)
    newest, middle, oldest = (each["sha"] for each in repositories.log(gitops))
    assert guard.is_ancestor(over_ssh, oldest, middle, tmp_path / "one.git")
    assert not guard.is_ancestor(over_ssh, newest, middle, tmp_path / "two.git")


def test_a_hook_may_take_its_time(gitops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transfer that crawls for 30 seconds is given up, here for one; a push that waits for a hook is not."""
    environment = cli.environment

    def impatient(where: git.Remote) -> dict[str, str]:
        return {name: "1" if value == "30" else value for name, value in environment(where).items()}

    monkeypatch.setattr(cli, "environment", impatient)
    (gitops / "hooks").mkdir(exist_ok=True)
    (gitops / "hooks/pre-receive").write_text("#!/bin/sh\nsleep 4\n")
    (gitops / "hooks/pre-receive").chmod(0o755)
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with over_https(gitops, certificate) as url, Branch(git.Remote(url), "main", tmp_path / "branch.git") as branch:
        branch.fetch()
        commit = branch.commit(FILE, b"images: []\n", "a commit")
        branch.push(commit)
    assert repositories.head(gitops) == commit


def test_a_private_certificate_is_trusted_by_setting(
    gitops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    with over_https(gitops, certificate) as url:
        where = git.Remote(url, SecretStr("hunter2"))
        with pytest.raises(InvalidInput, match="doesn't trust the certificate") as caught:
            git.resolve(where, "main", tmp_path / "refs.git")
        assert "SSL_CERT_FILE" in caught.value.hint
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert git.resolve(where, "main", tmp_path / "refs.git") == repositories.head(gitops)


@pytest.mark.parametrize("how", ["path", "ssh"])
def test_a_sha256_repository_is_rejected_in_words(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over_ssh: git.Remote
) -> None:
    bare = tmp_path / "sha256.git"
    repositories.git(None, "init", "-q", "--bare", "-b", "main", "--object-format=sha256", str(bare))
    tree = repositories.git(bare, "mktree").decode().strip()
    person = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    commit = repositories.git(bare, *person, "commit-tree", "-m", "x", tree).decode().strip()
    repositories.git(bare, "update-ref", "refs/heads/main", commit)
    where = git.Remote(str(bare) if how == "path" else f"ssh://git@git.example{bare}")
    with pytest.raises(InvalidInput, match="SHA-256 repository"), Branch(where, "main", tmp_path / "b.git") as branch:
        branch.fetch()
    with pytest.raises(InvalidInput, match="SHA-256 repository"):
        git.resolve(where, "main", tmp_path / "refs.git")


def test_secrets_are_replaced_after_the_words_were_understood(
    over_ssh: git.Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = Path(tmp_path / "ssh")
    ssh.write_text("#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n")
    where = git.Remote(over_ssh.url, SecretStr("denied"))
    with pytest.raises(AccessDenied) as caught:
        git.resolve(where, "main", tmp_path / "refs.git")
    assert "denied" not in f"{caught.value!r}{caught.value.__context__!r}{caught.value.__cause__!r}"
    assert "Permission ********" in caught.value.message


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("https://github.com/org/devops.git", "x-access-token"),
        ("https://gitlab.com/org/devops.git", "oauth2"),
        ("https://gitlab.corp.example:8443/org/devops.git", "oauth2"),
        ("https://bitbucket.org/org/devops.git", "x-token-auth"),
        ("https://codeberg.org/org/devops.git", "x-access-token"),
        ("https://dev.azure.com/org/project/_git/devops", "x-access-token"),
    ],
)
def test_a_tokens_user_name_follows_its_host(url: str, user: str) -> None:
    assert git.user_of(url) == user


def test_where_this_process_stands_has_no_say(gitops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    repositories.git(None, "init", "-q", str(here))
    repositories.git(here / ".git", "config", "url./nowhere/.insteadOf", f"{gitops.parent}/")
    monkeypatch.chdir(here)
    assert git.resolve(git.Remote(str(gitops)), "main", tmp_path / "refs.git") == repositories.head(gitops)
    assert git.branches(git.Remote(str(gitops))) == ["main"]


@pytest.mark.parametrize(
    ("address", "api", "name"),
    [
        ("acme/devops", "https://api.github.com", "acme/devops"),
        ("https://github.com/acme/devops", "https://api.github.com", "acme/devops"),
        ("https://github.com/acme/devops.git", "https://api.github.com", "acme/devops"),
        ("git@github.com:acme/devops.git", "https://api.github.com", "acme/devops"),
        ("github.com:acme/dev.ops", "https://api.github.com", "acme/dev.ops"),
        ("ssh://git@github.com/acme/devops.git", "https://api.github.com", "acme/devops"),
        ("ssh://git@ssh.github.com:443/acme/devops.git", "https://api.github.com", "acme/devops"),
        ("https://git.corp.example/acme/devops/", "https://git.corp.example/api/v3", "acme/devops"),
        ("git@git.corp.example:acme/devops", "https://git.corp.example:8443/api/v3", "acme/devops"),
    ],
)
def test_a_repository_on_github_by_any_of_its_addresses(address: str, api: str, name: str) -> None:
    assert git.github_name(address, api) == name


@pytest.mark.parametrize(
    "address",
    [
        "https://gitlab.com/acme/devops.git",
        "git@evil-github.com:acme/devops",
        "/srv/devops.git",
        "https://github.com/x",
    ],
)
def test_other_addresses_stay_as_they_are(address: str) -> None:
    assert git.github_name(address, "https://api.github.com") == address
