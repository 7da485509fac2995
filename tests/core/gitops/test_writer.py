"""An update lands once, whole, on the newest head: beside other writers, after a crash, and never in secret-telling."""

import base64
import pickle
import shutil
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks import clients
from tasks.core import git
from tasks.core.errors import AccessDenied, InvalidInput, LostRace, NotFound, PushRefused, Unavailable
from tasks.core.git.branch import Branch, Identity
from tasks.core.git.commits import Commit
from tasks.core.gitops import ledger, promotion, status, writer
from tasks.core.gitops.commit_message import MessageStyle
from tasks.core.gitops.repository import GitOps
from tasks.core.models import ImageRef, ImageUpdate, UpdateResult
from tasks.core.settings import Settings
from tests.conftest import TOKEN
from tests.core.gitops.other_writer import PROCESSES, be_killed, update_elsewhere
from tests.sandbox import repositories
from tests.sandbox.github import GitHub
from tests.sandbox.gitops_files import APP, REGISTRY

NAME = "acme/devops"
OVERLAYS = f"{APP}/overlays"
DEV = f"{OVERLAYS}/dev/kustomization.yaml"
BOT = "github-actions[bot] <github-actions[bot]@users.noreply.github.com>"
DIGEST = "sha256:" + "a0" * 32


def quiet(_: str) -> None:
    """A log that nobody reads."""


def write(
    where: Path | git.Remote, work: Path, tag: str = "v1", log: Callable[[str], None] = quiet, **fields: str
) -> UpdateResult:
    remote = where if isinstance(where, git.Remote) else git.Remote(str(where))
    update = ImageUpdate(**{"environment": "dev", "tag": tag, **fields})
    return writer.write(GitOps(remote, "main", OVERLAYS, work), update, REGISTRY, log)


def commits(bare: Path) -> list[str]:
    return [each["subject"] for each in repositories.log(bare)]


def hook(bare: Path, name: str, script: str) -> None:
    (bare / "hooks").mkdir(exist_ok=True)
    (bare / "hooks" / name).write_text(f"#!/bin/sh\n{script}\n")
    (bare / "hooks" / name).chmod(0o755)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """Where fetched objects may live; nothing may be left of them."""
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder
    assert not list(folder.iterdir())


def remote(hub: GitHub, token: str = TOKEN) -> git.Remote:
    return git.Remote(hub.clone_url(NAME), SecretStr(token))


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml", "Kustomization"])
def test_one_commit_changes_the_images_bytes(ends: str, name: str, gitops: Path, work: Path) -> None:
    before = repositories.show(gitops, "main", DEV).replace("\n", ends)
    path = f"{OVERLAYS}/dev/{name}"
    head = repositories.commit(gitops, "main", {DEV: None, path: before}, "start")
    result = write(gitops, work, tag="v1.0.0-0123456", sha="0123456", actor="Nguyễn Ánh", workflow_run_id="77")
    assert repositories.show(gitops, "main", path) == before.replace("newTag: latest", "newTag: v1.0.0-0123456")
    assert repositories.git(gitops, "diff-tree", "-r", "--name-only", head, "main").decode() == f"{path}\n"
    newest, parent = repositories.log(gitops)[:2]
    assert newest == {
        "sha": result.commit,
        "author": BOT,
        "committer": BOT,
        "subject": "chore(dev): update flowise images to v1.0.0-0123456",
        "body": "Triggered by: Nguyễn Ánh\nSource SHA: 0123456\nTag: v1.0.0-0123456\n\nRun: 77",
    }
    assert (parent["sha"], result.changed, result.overlay_path) == (head, True, f"{OVERLAYS}/dev")
    latest = ImageRef("flowise-ui", f"{REGISTRY}/flowise-ui", "latest")
    assert (result.changes[1].old, result.changes[1].new.tag) == (latest, "v1.0.0-0123456")
    assert sorted(line for line in result.diff.splitlines() if line.startswith("-  "))[0].startswith(
        "-  newTag: latest"
    )


def test_digests_take_the_place_of_tags_and_both_images_move_together(gitops: Path, work: Path) -> None:
    other = "sha256:" + "b1" * 32
    write(gitops, work, server_digest=DIGEST, ui_digest=other)
    first, second = repositories.show(gitops, "main", DEV).split("- name: flowise-ui")
    assert (DIGEST in first, other in second, "newTag" in first + second) == (True, True, False)
    assert len(commits(gitops)) == 4


def test_the_same_update_twice_is_one_commit_and_one_push(hub: GitHub, gitops: Path, work: Path) -> None:
    first = write(remote(hub), work, server_digest=DIGEST, ui_digest=DIGEST)
    asked = len(hub.requests)
    again = write(remote(hub), work, server_digest=DIGEST, ui_digest=DIGEST)
    assert (again.changed, again.commit, again.changes, again.diff) == (False, first.commit, (), "")
    assert len(commits(gitops)) == 4
    assert not [each for each in hub.requests[asked:] if "receive-pack" in each.path]


@pytest.mark.parametrize(
    "text",
    [
        "images:\n- name: flowise-server\n  newTag: v0\n- name: flowise-ui\n  newTag: v0",
        "images:\r\n- name: flowise-server\r\n  newTag: v0\r\nkind: Kustomization",
        "namespace: 'a\u2028b\u0085c'\nimages: []",
        "images: []\n# \x85\n\n\n",
    ],
)
def test_the_diff_is_one_that_git_applies(text: str, gitops: Path, work: Path, tmp_path: Path) -> None:
    repositories.commit(gitops, "main", {DEV: text}, "another style")
    result = write(gitops, work)
    (tmp_path / DEV).parent.mkdir(parents=True)
    (tmp_path / DEV).write_bytes(text.encode())
    done = subprocess.run(["git", "apply"], cwd=tmp_path, input=result.diff.encode(), check=False)
    assert done.returncode == 0
    assert (tmp_path / DEV).read_bytes().decode() == repositories.show(gitops, "main", DEV) != text


def test_of_several_entries_the_change_is_that_of_the_different_one(gitops: Path, work: Path) -> None:
    entry = f"- name: flowise-ui\n  newName: {REGISTRY}/flowise-ui\n  newTag: "
    text = f"images:\n{entry}v0\n{entry}v1\n"
    repositories.commit(gitops, "main", {DEV: text}, "twice")
    server, ui = write(gitops, work).changes
    assert (server.old, ui.old) == (None, ImageRef("flowise-ui", f"{REGISTRY}/flowise-ui", "v0"))
    assert write(gitops, work).changes == ()


def test_a_proposal_is_looked_for_again_after_a_lost_race(gitops: Path, work: Path) -> None:
    repository = GitOps(git.Remote(str(gitops)), "main", OVERLAYS, work, propose=True)
    for tag in ("v1", "v2"):
        if tag == "v2":
            (gitops / "refs/heads/flowise/dev.lock").touch()
            threading.Timer(0.5, (gitops / "refs/heads/flowise/dev.lock").unlink).start()
        result = writer.write(repository, ImageUpdate(environment="dev", tag=tag), REGISTRY, quiet)
        assert (result.proposed, result.commit) == (True, repositories.head(gitops, "flowise/dev"))
    assert len(commits(gitops)) == 3


@pytest.mark.parametrize("overlays", [f"/{OVERLAYS}/", f"./{OVERLAYS}//"])
def test_the_overlays_folder_may_be_written_loosely(overlays: str, gitops: Path, work: Path) -> None:
    where = GitOps(git.Remote(str(gitops)), "main", overlays, work)
    assert writer.write(where, ImageUpdate(environment="dev", tag="v1"), REGISTRY, quiet).changed


def test_overlays_may_stand_in_the_root(tmp_path: Path, work: Path) -> None:
    bare = repositories.init(tmp_path / "flat.git")
    repositories.commit(bare, "main", {"dev/kustomization.yaml": "images: []\n"}, "start")
    repository = GitOps(git.Remote(str(bare)), "main", ".", work)
    result = writer.write(repository, ImageUpdate(environment="dev", tag="v1"), "r.example.com", quiet)
    assert result.overlay_path == "dev"
    assert repositories.show(bare, "main", "dev/kustomization.yaml").count("newTag: v1\n") == 2
    with pytest.raises(NotFound, match="Overlays there: dev"):
        writer.write(repository, ImageUpdate(environment="staging", tag="v1"), "r.example.com", quiet)


def test_two_kustomizations_are_refused(gitops: Path, work: Path) -> None:
    head = repositories.commit(gitops, "main", {f"{OVERLAYS}/dev/Kustomization": "images: []\n"}, "second")
    with pytest.raises(InvalidInput, match=r"has kustomization\.yaml and Kustomization"):
        write(gitops, work)
    assert repositories.head(gitops) == head


def test_a_link_is_not_followed(gitops: Path, work: Path) -> None:
    stream = b"commit refs/heads/main\ncommitter A <a@b> 1767300000 +0000\ndata 1\nm\nfrom refs/heads/main^0\n"
    stream += f"M 120000 inline {DEV}\n".encode() + b"data 30\n../staging/kustomization.yaml \n"
    repositories.git(gitops, "fast-import", "--quiet", stdin=stream)
    with pytest.raises(InvalidInput, match="is not a plain file"):
        write(gitops, work)


def test_bytes_that_are_no_text_are_refused(gitops: Path, work: Path) -> None:
    repositories.commit(gitops, "main", {DEV: b"images: []\n# caf\xe9\n"}, "latin-1")
    with pytest.raises(InvalidInput, match=f"{DEV} is not UTF-8"):
        write(gitops, work)


def test_a_missing_overlay_names_those_there_are(gitops: Path, work: Path) -> None:
    repositories.commit(gitops, "main", {f"{OVERLAYS}/production/kustomization.yaml": None}, "no production")
    with pytest.raises(NotFound, match=r"no .*/production/kustomization\.yaml on branch main") as caught:
        write(gitops, work, environment="production")
    assert "Overlays there: dev, staging." in caught.value.hint


@pytest.mark.parametrize("kind", ["empty", "other branch", "nothing"])
def test_no_branch_is_not_found(kind: str, tmp_path: Path, work: Path) -> None:
    bare = tmp_path / "bare.git"
    if kind != "nothing":
        repositories.init(bare)
    if kind == "other branch":
        repositories.commit(bare, "master", {"a": "b"}, "start")
    with pytest.raises(NotFound, match=r"bare\.git"):
        write(bare, work)


@pytest.mark.parametrize("way", ["path", "http"])
def test_writers_at_once_all_land_exactly_once(way: str, hub: GitHub, gitops: Path, work: Path) -> None:
    wanted = [
        (environment, f"{environment}-{number}")
        for number in (1, 2)
        for environment in ("dev", "staging", "production")
    ]
    url, token = (str(gitops), None) if way == "path" else (hub.clone_url(NAME), TOKEN)
    with ProcessPoolExecutor(len(wanted), PROCESSES) as pool:
        made = list(pool.map(update_elsewhere, *zip(*[(url, token, *each, work) for each in wanted], strict=True)))
    history = repositories.log(gitops)[:-3]
    assert sorted(each["subject"] for each in history) == sorted(
        f"chore({environment}): update flowise images to {tag}" for environment, tag in wanted
    )
    assert {each["sha"] for each in history} == set(made)
    assert repositories.git(gitops, "rev-list", "--min-parents=2", "main") == b""
    for environment in ("dev", "staging", "production"):
        last = next(each["subject"] for each in history if f"({environment})" in each["subject"]).rpartition(" ")[2]
        text = repositories.show(gitops, "main", f"{OVERLAYS}/{environment}/kustomization.yaml")
        assert text.count(last) == 2


def before_first_push(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let somebody be faster, once."""
    push, pushes = Branch.push, []

    def late(self: Branch, commit: str) -> None:
        pushes.append(commit)
        if len(pushes) == 1:
            act()
        push(self, commit)

    monkeypatch.setattr(Branch, "push", late)


def test_a_lost_race_is_run_again_on_the_new_head(gitops: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = repositories.show(gitops, "main", DEV)
    theirs = start.replace("count: 1", "count: 5").replace("# Dev is", "# Dev was")
    rivals, said = [], []
    before_first_push(
        monkeypatch, lambda: rivals.append(repositories.commit(gitops, "main", {DEV: theirs, "new": "n"}, "rival"))
    )
    result = write(gitops, work, log=said.append)
    assert repositories.show(gitops, "main", DEV) == theirs.replace("newTag: latest", "newTag: v1")
    assert repositories.show(gitops, "main", "new") == "n"
    assert [each["sha"] for each in repositories.log(gitops)[:2]] == [result.commit, *rivals]
    assert any("Another writer" in line for line in said)


def test_a_race_lost_to_the_same_update_is_done(gitops: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = repositories.show(gitops, "main", DEV).replace("newTag: latest", "newTag: v1")
    before_first_push(monkeypatch, lambda: repositories.commit(gitops, "main", {DEV: done}, "rival"))
    result = write(gitops, work)
    assert (result.changed, result.commit) == (False, repositories.head(gitops))
    assert commits(gitops)[0] == "rival"


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("http", "Frozen until Monday."),
        ("path", "Frozen until Monday."),
        ("path", "Fetch first; cannot lock ref"),
        ("path", "permission denied"),
    ],
)
def test_a_hook_that_declines_is_final_and_quoted(way: str, words: str, hub: GitHub, gitops: Path, work: Path) -> None:
    hook(gitops, "pre-receive", f"echo asked >> {gitops}/asked; echo '{words} {TOKEN}' >&2; exit 1")
    head = repositories.head(gitops)
    where = git.Remote(str(gitops), SecretStr(TOKEN)) if way == "path" else remote(hub)
    with pytest.raises(PushRefused) as caught:
        write(where, work)
    assert words in caught.value.message
    assert TOKEN not in "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert TOKEN.encode() not in pickle.dumps(caught.value)
    assert (gitops / "asked").read_text() == "asked\n"
    assert repositories.head(gitops) == head


def test_a_token_that_may_only_read_is_refused_at_once(hub: GitHub, gitops: Path, work: Path) -> None:
    with pytest.raises(AccessDenied, match="403"):
        write(remote(hub, hub.read_token), work)
    assert [each.status for each in hub.requests if each.status == 403] == [403]
    assert len(commits(gitops)) == 3


def test_a_lock_on_the_server_is_waited_for(gitops: Path, work: Path) -> None:
    lock = gitops / "refs/heads/main.lock"
    lock.touch()
    threading.Timer(0.5, lock.unlink).start()
    assert write(gitops, work).commit == repositories.head(gitops)
    assert not lock.exists()


def test_a_lock_that_stays_is_named_in_the_end(gitops: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.core.gitops.writer.PATIENCE", 0.5)
    (gitops / "refs/heads/main.lock").touch()
    with pytest.raises(LostRace, match=r"main\.lock': File exists"):
        write(gitops, work)
    assert len(commits(gitops)) == 3


@pytest.mark.parametrize(
    "boundary", ["init", "before fetch", "after fetch", "after read", "after commit", "before push", "after push"]
)
def test_killed_anywhere_and_run_again_it_is_one_commit(boundary: str, gitops: Path, work: Path) -> None:
    dies = PROCESSES.Process(target=be_killed, args=(boundary, gitops, work))
    dies.start()
    dies.join()
    assert dies.exitcode == -9
    assert list(work.iterdir()), "this is left, and goes with the next run"
    assert len(commits(gitops)) == (4 if boundary == "after push" else 3)
    start = repositories.show(gitops, "main~1" if boundary == "after push" else "main", DEV)
    result = write(gitops, work)
    assert result.changed is (boundary != "after push")
    assert len(commits(gitops)) == 4
    assert result.commit == repositories.head(gitops)
    assert repositories.show(gitops, "main", DEV) == start.replace("newTag: latest", "newTag: v1")
    assert not list(gitops.rglob("*.lock"))


class Watch(threading.Thread):
    """Reads the command line of every process on this machine, over and over."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen, self.done = set[bytes](), threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()


def test_a_token_is_nowhere_to_be_found(
    hub: GitHub, gitops: Path, work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    forms = [TOKEN.encode(), base64.b64encode(f"x-access-token:{TOKEN}".encode()).rstrip(b"=")]
    said, files, push = [], {}, Branch.push

    def push_and_look(self: Branch, commit: str) -> None:
        push(self, commit)
        files.update({path: path.read_bytes() for path in work.rglob("*") if path.is_file()})

    monkeypatch.setattr(Branch, "push", push_and_look)
    hook(gitops, "pre-receive", "sleep 0.3")
    where = remote(hub)
    with Watch() as watch:
        result = write(where, work, log=said.append)
        subprocess.run(["sleep", "0.2", "argument-to-be-seen"], check=False, stderr=subprocess.DEVNULL)
    assert result.commit == repositories.head(gitops)
    assert [path for path in files if path.name == "config"], "there was something to look at"
    assert any(b"remote-http" in line and NAME.encode() in line for line in watch.seen)
    assert any(b"\0push\0" in line for line in watch.seen)
    everything = [*watch.seen, *files.values(), *map(bytes, files), "".join(said).encode(), repr(where).encode()]
    everything += [result.model_dump_json().encode(), str(where).encode(), "".join(capfd.readouterr()).encode()]
    everything += [repositories.git(gitops, "log", "-p", "-1")]
    assert not [text for text in everything for form in forms if form in text]


def test_the_patience_is_minded(gitops: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.core.gitops.writer.PATIENCE", 1.0)
    pushes = []

    def lost(self: Branch, commit: str) -> None:
        pushes.append(commit)
        raise LostRace("Lost.")

    monkeypatch.setattr(Branch, "push", lost)
    started = time.monotonic()
    with pytest.raises(LostRace, match="Lost"):
        write(gitops, work)
    assert len(pushes) > 1
    assert 1.0 <= time.monotonic() - started < 10


def test_committer_and_additions_are_an_installations_own(gitops: Path, work: Path) -> None:
    style = MessageStyle(prefix="[skip ci]", lines=("Ticket: OPS-7",))
    place = GitOps(
        git.Remote(str(gitops)), "main", OVERLAYS, work, style=style, identity=Identity("Ops Bot <ops@corp.example>")
    )
    update = ImageUpdate(environment="dev", tag="v1", actor="octocat", workflow_run_id="7")
    writer.write(place, update, REGISTRY, quiet)
    newest = repositories.log(gitops)[0]
    assert (newest["author"], newest["committer"]) == ("Ops Bot <ops@corp.example>",) * 2
    assert newest["subject"] == "[skip ci] chore(dev): update flowise images to v1"
    assert newest["body"] == "Triggered by: octocat\nTag: v1\n\nRun: 7\nTicket: OPS-7"
    with Branch(place.where, "main", work / "read.git") as branch:
        branch.fetch()
        assert [each.tag for each in place.ledger(branch).newest("dev")] == ["v1"]
    shutil.rmtree(work / "read.git")
    shutil.rmtree(work / "read.git-view")


@pytest.mark.parametrize("over_http", [False, True])
def test_git_signs_with_an_ssh_key(over_http: bool, hub: GitHub, gitops: Path, work: Path, tmp_path: Path) -> None:
    key, person = tmp_path / "key", "Ops Bot <ops@corp.example>"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    where = remote(hub) if over_http else git.Remote(str(gitops))
    place = GitOps(where, "main", OVERLAYS, work, identity=Identity(person, str(key)))
    result = writer.write(place, ImageUpdate(environment="dev", tag="v1"), REGISTRY, quiet)
    signers = tmp_path / "signers"
    signers.write_text(f"ops@corp.example {key.with_suffix('.pub').read_text()}")
    repositories.git(gitops, "-c", f"gpg.ssh.allowedSignersFile={signers}", "verify-commit", result.commit)
    newest = repositories.log(gitops)[0]
    assert (newest["sha"], newest["author"], newest["committer"]) == (result.commit, person, person)
    assert "newTag: v1" in repositories.show(gitops, "main", DEV)
    repositories.git(gitops, "fsck", "--strict")


def test_git_signs_with_a_gpg_key(gitops: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    made = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", "ops@corp.example", "ed25519", "sign"]
    subprocess.run(made, check=True, capture_output=True)
    try:
        identity = Identity("Ops Bot <ops@corp.example>", "ops@corp.example")
        place = GitOps(git.Remote(str(gitops)), "main", OVERLAYS, work, identity=identity)
        result = writer.write(place, ImageUpdate(environment="dev", tag="v1"), REGISTRY, quiet)
        repositories.git(gitops, "verify-commit", result.commit)
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=False)


def test_a_key_that_cannot_sign_is_named(gitops: Path, work: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("no key\n")
    place = GitOps(git.Remote(str(gitops)), "main", OVERLAYS, work, identity=Identity(signing_key=str(key)))
    with pytest.raises(InvalidInput, match="git can't sign the commit") as caught:
        writer.write(place, ImageUpdate(environment="dev", tag="v1"), REGISTRY, quiet)
    assert "COMMIT_SIGNING_KEY" in caught.value.hint


@pytest.mark.parametrize("later", [False, True])
def test_a_push_whose_answer_is_lost_is_this_runs_own(
    later: bool, gitops: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push, asked = Branch.push, {"server_digest": DIGEST, "ui_digest": DIGEST, "workflow_run_id": "run-1"}

    def lost(self: Branch, commit: str) -> None:
        push(self, commit)
        raise Unavailable("The answer was lost.")

    monkeypatch.setattr(Branch, "push", lost)
    with pytest.raises(Unavailable):
        write(gitops, work, **asked)
    monkeypatch.undo()
    ours = repositories.head(gitops)
    if later:
        repositories.commit(gitops, "main", {"README.md": "more\n"}, "docs")
    again = write(gitops, work, **asked)
    assert (again.changed, again.commit, len(again.changes)) == (True, ours, 2)
    assert again.diff.count(f"+  digest: {DIGEST}") == 2
    other = write(gitops, work, **asked | {"workflow_run_id": "run-2"})
    assert (other.changed, other.diff) == (False, "")


@pytest.mark.parametrize(("near", "far"), [(2, 4), (2, 400)])
def test_a_deployment_far_back_in_history_still_counts(
    near: int, far: int, hub: GitHub, gitops: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.core.git.branch.DEPTH", near)
    monkeypatch.setattr("tasks.core.gitops.ledger.DEPTH", near)
    monkeypatch.setattr("tasks.core.gitops.ledger.FAR", far)
    older, newer = "1" * 40, "2" * 40
    for sha in (older, newer):
        write(remote(hub), work, sha=sha, tag=sha[:7])
    for number in range(8):
        repositories.commit(gitops, "main", {"README.md": f"{number}\n"}, "something else")
    head = repositories.head(gitops)
    assert newer[:7] in write(remote(hub), work, sha=older, tag=older[:7]).skipped
    assert repositories.head(gitops) == head


@pytest.mark.parametrize(("sha", "searched"), [("", {2}), ("1" * 40, {2, 3, ledger.WHOLE})])
def test_the_whole_history_is_searched_only_for_what_has_an_order(
    sha: str, searched: set[int], gitops: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repositories.commit(gitops, "main", {"README.md": ""}, "the fourth, and nothing was ever deployed")
    monkeypatch.setattr("tasks.core.gitops.ledger.DEPTH", 2)
    monkeypatch.setattr("tasks.core.gitops.ledger.FAR", 3)
    log, asked = Branch.log, set()

    def noted(self: Branch, depth: int) -> list[Commit]:
        asked.add(depth)
        return log(self, depth)

    monkeypatch.setattr(Branch, "log", noted)
    assert write(gitops, work, sha=sha).changed
    assert asked == searched


@pytest.mark.parametrize(
    ("name", "path", "place"),
    [
        ("production", "envs/{environment}/flowise", "envs/production/flowise"),
        ("prod", "overlays", "overlays/prod"),
        ("prod", "envs/{environment}/x/{environment}", "envs/prod/x/prod"),
        ("prod", "deploy/.", "deploy"),
    ],
)
def test_overlays_and_branches_by_pattern(name: str, path: str, place: str, tmp_path: Path, work: Path) -> None:
    bare = repositories.init(tmp_path / "g.git")
    repositories.commit(bare, "main", {"README": "x"}, "start")
    for branch in ("env/dev", f"env/{name}"):
        folder = place if branch.endswith(name) else place.replace(name, "dev")
        repositories.commit(bare, branch, {f"{folder}/kustomization.yaml": "images: []\n"}, "overlay", start="main")
    settings = Settings(
        gitops_repo=str(bare),
        gitops_branch="env/{environment}",
        overlays_path=path,
        environment_names={"production": name},
        work_dir=work,
        render="off",
    )
    asked = ImageUpdate(environment="dev", tag="v1", sha="1" * 40, server_digest=DIGEST, ui_digest=DIGEST)
    assert writer.write(clients.overlays(settings, "dev"), asked, REGISTRY, quiet).changed
    move, _ = promotion.running(clients.overlays(settings, "production"), "dev", "production", actor="a", run="1")
    result = writer.write(clients.overlays(settings, "production"), move.update, REGISTRY, quiet, origin=move.origin)
    assert (result.overlay_path, result.commit) == (place, repositories.head(bare, f"env/{name}"))
    assert DIGEST in repositories.show(bare, f"env/{name}", f"{place}/kustomization.yaml")
    found = status.read(clients.overlays(settings, "dev"), {"production": "dev"})
    assert [each.environment for each in found.environments] == ["dev", "production"]
    assert found.commit == f"{repositories.head(bare, 'env/dev')}, {result.commit}"


def test_a_missing_branch_names_the_setting_and_those_there_are(hub: GitHub, gitops: Path, work: Path) -> None:
    for where in (git.Remote(str(gitops)), remote(hub)):
        repository = GitOps(where, "mian", OVERLAYS, work)
        with pytest.raises(NotFound, match=r"has no branch mian\.") as caught:
            writer.write(repository, ImageUpdate(environment="dev", tag="v1"), REGISTRY, quiet)
        assert caught.value.hint == "Branches there: main. Set GITOPS_BRANCH."
