"""What git is asked, what its answers mean, and what it must never see, say or run."""

import os
import shlex
import socket
import subprocess
from hashlib import sha1
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.core import git
from tasks.core.errors import AccessDenied, InvalidInput, NotFound, Terminal, Unavailable
from tests.sandbox import repositories
from tests.sandbox.github import GitHub
from tests.sandbox.redirects import moved

API = "https://api.github.com"
NAME = "acme/flowise"


@pytest.fixture
def source(source: Path) -> Path:
    """The sample, with more tags: ``light`` has no object of its own, ``both`` and ``same`` are branches as well."""
    repositories.git(source, "tag", "light", "main~1")
    repositories.git(source, "tag", "both", "main~1")
    repositories.git(source, "branch", "both", "main")
    repositories.git(source, "tag", "same", "main")
    repositories.git(source, "branch", "same", "main")
    return source


def over_http(hub: GitHub, token: str | None) -> git.Remote:
    return git.Remote(hub.clone_url(NAME), SecretStr(token) if token else None)


def sha_of(bare: Path, rev: str) -> str:
    return repositories.git(bare, "rev-parse", f"{rev}^{{commit}}").decode().strip()


def same_beginning(characters: int) -> list[bytes]:
    """Two commits whose ids begin alike."""
    tree, seen = "4b825dc642cb6eb9a060e54bf8d69288fbee4904", {}
    while True:
        number = len(seen)
        person = f"A <a@example.com> {number} +0000"
        commit = f"tree {tree}\nauthor {person}\ncommitter {person}\n\nx\n".encode()
        beginning = sha1(b"commit %d\0" % len(commit) + commit).hexdigest()[:characters]
        if beginning in seen:
            return [seen[beginning], commit]
        seen[beginning] = commit


@pytest.mark.parametrize(
    ("ref", "rev"),
    [
        ("main", "refs/heads/main"),
        ("feature/agents", "refs/heads/feature/agents"),
        ("v1.0.0", "refs/tags/v1.0.0"),
        ("light", "refs/heads/main~1"),
        ("same", "refs/heads/main"),
        ("refs/heads/both", "refs/heads/main"),
        ("HEAD", "refs/heads/main"),
        ("refs/heads/feature/agents", "refs/heads/feature/agents"),
        ("refs/tags/v1.0.0", "refs/tags/v1.0.0"),
        ("refs/tags/both", "refs/heads/main~1"),
    ],
)
def test_a_name_means_its_commit(ref: str, rev: str, source: Path, tmp_path: Path) -> None:
    assert git.resolve(git.Remote(str(source)), ref, tmp_path / "refs.git") == sha_of(source, rev)
    assert not (tmp_path / "refs.git").exists(), "nothing is fetched for a name"


def test_a_name_of_two_commits_is_rejected_with_both(source: Path, tmp_path: Path) -> None:
    branch, tag = sha_of(source, "main"), sha_of(source, "main~1")
    with pytest.raises(InvalidInput) as failure:
        git.resolve(git.Remote(str(source)), "both", tmp_path / "refs.git")
    wanted = f"'both' is ambiguous in {source}: refs/heads/both ({branch[:12]}), refs/tags/both ({tag[:12]})."
    assert failure.value.message == wanted


def test_a_branch_that_is_called_like_a_commit(tmp_path: Path) -> None:
    bare = repositories.source_repository(tmp_path / "source.git")
    meant, other = sha_of(bare, "main"), sha_of(bare, "feature/agents")
    for name in (meant, meant[:9], other[:8], "feedface"):
        repositories.git(bare, "update-ref", f"refs/heads/{name}", other)
    where = git.Remote(str(bare))
    assert git.resolve(where, meant, tmp_path / "full.git") == meant, "a full sha is a sha"
    with pytest.raises(
        InvalidInput, match=rf"ambiguous in .*refs/heads/{meant[:9]} \({other[:12]}\), the commit {meant}"
    ):
        git.resolve(where, meant[:9], tmp_path / "short.git")
    assert git.resolve(where, other[:8], tmp_path / "same.git") == other
    assert git.resolve(where, "feedface", tmp_path / "name.git") == other
    assert git.resolve(where, f"refs/heads/{meant[:9]}", tmp_path / "in-full.git") == other


def test_line_separators_in_names_are_no_line_ends(tmp_path: Path) -> None:
    bare = repositories.source_repository(tmp_path / "source.git")
    repositories.git(bare, "update-ref", "refs/heads/odd\u2028refs/heads/main", "refs/heads/feature/agents")
    assert git.resolve(git.Remote(str(bare)), "main", tmp_path / "refs.git") == sha_of(bare, "main")


@pytest.mark.parametrize("length", [7, 12, 39, 40])
@pytest.mark.parametrize("upper", [False, True])
def test_a_sha_may_be_short_and_in_capitals(length: int, upper: bool, source: Path, tmp_path: Path) -> None:
    sha = sha_of(source, "feature/agents")
    ref = sha[:length].upper() if upper else sha[:length]
    assert git.resolve(git.Remote(str(source)), ref, tmp_path / "refs.git") == sha


def test_a_short_sha_must_be_there_once(source: Path, tmp_path: Path) -> None:
    where = git.Remote(str(source))
    shas = []
    for number, commit in enumerate(same_beginning(7)):
        sha = repositories.git(source, "hash-object", "-t", "commit", "-w", "--stdin", stdin=commit).decode().strip()
        repositories.git(source, "update-ref", f"refs/heads/alike-{number}", sha)
        shas.append(sha)
    with pytest.raises(InvalidInput, match=f"{shas[0][:7]} is the beginning of 2 commits"):
        git.resolve(where, shas[0][:7], tmp_path / "ambiguous.git")
    assert git.resolve(where, shas[1][:20], tmp_path / "longer.git") == shas[1]
    with pytest.raises(NotFound, match="'0000000' is not a branch, tag or commit"):
        git.resolve(where, "0000000", tmp_path / "absent.git")


@pytest.mark.parametrize("ref", ["nothing-here", "abcdef", "refs/heads/nothing", "heads/main"])
def test_a_name_that_is_not_there(ref: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=ref):
        git.resolve(git.Remote(str(source)), ref, tmp_path / "refs.git")


@pytest.mark.parametrize(
    "ref",
    [
        *("", "-x", "--upload-pack=touch x", "a b", "a\nb", "a\0b", "a\u2028b", "a\x7fb", "a\udc80b", "a..b", "a@{1}"),
        *("@", "a.lock", "a.lock/b", ".a", "a/.b", "a//b", "/a", "a/", "a.", "a^", "a~1", "a:b", "a?", "a*", "a[b"),
        *("a\\b", "x" * 256),
    ],
)
def test_what_cannot_be_a_ref_is_refused_before_git_is_asked(ref: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        git.resolve(git.Remote(str(tmp_path / "nothing")), ref, tmp_path / "refs.git")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("ref", ["v1.0.0", "short", "main"])
def test_http_takes_the_token(ref: str, hub: GitHub, source: Path, tmp_path: Path) -> None:
    sha = sha_of(source, "main" if ref == "short" else ref)
    asked = sha[:7] if ref == "short" else ref
    assert git.resolve(over_http(hub, hub.read_token), asked, tmp_path / "refs.git") == sha


@pytest.mark.parametrize("token", ["expired", None])
def test_a_wrong_token_and_none_are_refused(token: str | None, hub: GitHub, tmp_path: Path) -> None:
    with pytest.raises(AccessDenied, match="GITOPS_TOKEN"):
        git.resolve(over_http(hub, token), "main", tmp_path / "refs.git")


def test_a_token_goes_to_its_own_host_only(hub: GitHub, tmp_path: Path) -> None:
    elsewhere = git.Remote(hub.clone_url(NAME).replace("127.0.0.1", "localhost"), SecretStr(hub.token))
    stolen = git.environment(over_http(hub, hub.token))
    fetched = subprocess.run(["git", "ls-remote", elsewhere.url], env=stolen, capture_output=True, check=False)
    assert b"Authentication failed" in fetched.stderr
    assert git.resolve(elsewhere, "main", tmp_path / "refs.git")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_because_the_token_would_be(status: int, source: Path, tmp_path: Path) -> None:
    sha = sha_of(source, "main")
    with moved(status) as servers:
        where = git.Remote(f"{servers.url}/org/devops.git", SecretStr("hunter2-secret"))
        for number, ask in enumerate(
            (
                lambda: git.resolve(where, "main", tmp_path / "refs.git"),
                lambda: git.fetch_commit(where, sha, tmp_path / "commit.git"),
                lambda: git.run(where, "push", "origin", f"{sha}:refs/heads/main", directory=source),
            )
        ):
            with pytest.raises(InvalidInput) as caught:
                ask()
            new = f"{servers.other}/new/org/devops.git"
            assert caught.value.message == f"The git server redirects {where.url} to {new}.", number
    assert servers.seen == []


@pytest.mark.parametrize("kind", ["http", "path"])
def test_a_repository_that_is_not_there(kind: str, hub: GitHub, tmp_path: Path) -> None:
    url = hub.clone_url("acme/nothing") if kind == "http" else str(tmp_path / "nothing")
    with pytest.raises(NotFound, match="nothing"):
        git.resolve(git.Remote(url, SecretStr(hub.token)), "main", tmp_path / "refs.git")


def test_a_port_where_nobody_listens_may_be_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable):
        git.resolve(git.Remote(f"http://127.0.0.1:{port}/a/b.git"), "main", tmp_path / "refs.git")


def test_a_server_that_never_answers_runs_out_of_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = git.Remote(f"http://127.0.0.1:{silent.getsockname()[1]}/a/b.git", timeout=0.5)
        with pytest.raises(Unavailable, match=r"no end after 0\.5 seconds"):
            git.resolve(where, "main", tmp_path / "refs.git")


@pytest.mark.parametrize("scheme", ["ext", "fd", "nonsense"])
def test_transports_that_run_programs_are_refused_for_good(scheme: str, tmp_path: Path) -> None:
    note = tmp_path / "ran"
    where = git.remote(f"{scheme}::touch {note}", None, API)
    with pytest.raises(Terminal):
        git.resolve(where, "main", tmp_path / "refs.git")
    assert not note.exists()


def test_a_repository_of_another_user_is_refused_for_good(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("only root can give a folder away")
    source = repositories.init(tmp_path / "theirs.git")
    os.chown(source, 65534, 65534)
    with pytest.raises(AccessDenied, match=r"belongs to another user.*dubious ownership(.|\n)*--add safe\.directory /"):
        git.resolve(git.Remote(str(source)), "main", tmp_path / "refs.git")


def test_git_s_own_way_to_allow_that_works(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid():
        pytest.skip("only root can give a folder away")
    os.chown(source, 65534, 65534)
    (tmp_path / "gitconfig").write_text(f"[safe]\n\tdirectory = {source}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    where = git.Remote(str(source))
    assert git.resolve(where, "main", tmp_path / "refs.git") == sha_of(source, "main")
    git.fetch_commit(git.Remote(source.as_uri()), sha_of(source, "main"), tmp_path / "fetched.git")


@pytest.mark.parametrize(
    "url",
    [
        "https://hunter2@example.com/a/b.git",
        "https://me:hunter2@example.com/a/b.git",
        "HTTP://me:hunter2@example.com/a/b",
        "ssh://me:hunter2@example.com/a/b",
        "https://me:hunter2@example.com/a/b.git\n",
        "https://me:hunter2@[broken/a/b.git",
    ],
)
def test_a_url_with_credentials_is_refused_without_saying_them(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        git.remote(url, None, API)
    assert "hunter2" not in f"{caught.value!r}{caught.value}"


@pytest.mark.parametrize("text", ["--upload-pack=x", "-x", "/a\nb", "/a\0b", "/" + "x" * 100_000 + "\n"])
def test_what_is_not_a_repository_is_refused_briefly(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        git.remote(text, None, API)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "api", "url"),
    [
        ("acme/flowise", API, "https://github.com/acme/flowise.git"),
        ("acme/flowise.js", "https://git.acme.com/api/v3/", "https://git.acme.com/acme/flowise.js.git"),
        ("acme/flowise", "http://127.0.0.1:80", "http://127.0.0.1:80/acme/flowise.git"),
        ("git@github.com:acme/flowise.git", API, "git@github.com:acme/flowise.git"),
        ("ssh://git@github.com/acme/flowise", API, "ssh://git@github.com/acme/flowise"),
        ("/srv/git/flowise.git", API, "/srv/git/flowise.git"),
    ],
)
def test_a_setting_names_a_remote(text: str, api: str, url: str) -> None:
    assert git.remote(text, None, api).url == url


def test_the_users_configuration_has_no_say(
    source: Path, hub: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    for hook in ("reference-transaction", "pre-push"):
        (home / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {home}/ran-{hook}\n")
        (home / "hooks" / hook).chmod(0o755)
    config = (
        f'[core]\n hooksPath = {home}/hooks\n[credential]\n helper = "store --file {home}/stored"\n'
        f'[url "/nowhere/"]\n insteadOf = {hub.url}/\n insteadOf = {source.parent}/\n'
    )
    (home / ".gitconfig").write_text(config)
    monkeypatch.setenv("HOME", str(home))
    plain = subprocess.run(["git", "ls-remote", str(source)], capture_output=True, text=True, check=False)
    assert "/nowhere/" in plain.stderr, "the configuration would have a say"
    where = over_http(hub, hub.token)
    git.fetch_commit(where, sha_of(source, "main"), tmp_path / "one.git")
    git.run(where, "push", "-q", "origin", "FETCH_HEAD:refs/heads/new", directory=tmp_path / "one.git")
    assert git.resolve(git.Remote(str(source)), "new", tmp_path / "refs.git") == sha_of(source, "main")
    assert sorted(path.name for path in home.iterdir()) == [".gitconfig", "hooks"]


def test_the_environments_ssh_command_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {shlex.quote(str(tmp_path / 'ran'))}; exit 1;")
    with pytest.raises(Unavailable):
        git.resolve(git.Remote("git@127.0.0.1:a/b.git"), "main", tmp_path / "refs.git")
    assert (tmp_path / "ran").exists()


def test_a_repository_at_a_path_needs_no_token(source: Path) -> None:
    assert "Authorization" not in str(git.environment(git.Remote(str(source), SecretStr("t"))))
