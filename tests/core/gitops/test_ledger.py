"""Commit messages as the record of every deployment: written and read again, and what follows from them."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.core import git
from tasks.core.errors import Conflict, InvalidInput, NotFound, NotProven
from tasks.core.git.branch import Branch
from tasks.core.gitops.commit_message import MessageStyle, message, parse
from tasks.core.gitops.ledger import Deployment, fate
from tasks.core.gitops.promotion import check_soak, running
from tasks.core.gitops.repository import GitOps
from tasks.core.gitops.rollback import Wanted, candidates, earlier
from tasks.core.gitops.status import read
from tasks.core.gitops.writer import write
from tasks.core.models import Approval, ImageRef, ImageUpdate, Origin
from tests.sandbox.github import github
from tests.sandbox.repositories import commit, log, show
from tests.sandbox.repositories import git as run_git

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REGISTRY = "r.example"
DEV = "argocd/apps/flowise/overlays/dev/kustomization.yaml"


def digest(character: str) -> str:
    return "sha256:" + character * 64


def test_what_is_written_is_read_again() -> None:
    update = ImageUpdate(
        environment="staging",
        tag="v1-abc",
        sha="a" * 40,
        server_digest=digest("1"),
        ui_digest=digest("2"),
        actor="Nguyễn: Văn A",
        workflow_run_id="run 7",
    )
    origin = Origin(images=(), restores="d" * 40, rolls_back="e" * 40, reason="pods: crash")
    told = parse(message(update, Approval(by="Robin", note="go"), origin, MessageStyle()))
    assert told == {
        "environment": "staging",
        "tag": "v1-abc",
        "sha": "a" * 40,
        "digests": {"server": digest("1"), "ui": digest("2")},
        "actor": "Nguyễn: Văn A",
        "run": "run 7",
        "approved_by": "Robin",
        "approval_note": "go",
        "restores": "d" * 40,
        "rolls_back": "e" * 40,
        "reason": "pods: crash",
    }


def test_the_users_lines_come_first_and_the_same() -> None:
    update = ImageUpdate(environment="dev", tag="abc1234", sha="abc1234", actor="octocat", workflow_run_id="7")
    assert message(update, None, None, MessageStyle()).startswith(
        "chore(dev): update flowise images to abc1234\n\nTriggered by: octocat\nSource SHA: abc1234\nTag: abc1234\n"
    )


OLD = "chore(dev): update flowise images to abc1234\n\nTriggered by: octocat\nSource SHA: abc1234\nTag: abc1234\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OLD, ("abc1234", "abc1234", "octocat")),
        (OLD.replace("to abc1234\n", "to abc1234 (#12)\n"), ("abc1234", "abc1234", "octocat")),
        (OLD.replace("Source SHA: abc1234", "Source SHA: --upload-pack=x"), ("abc1234", "abc1234", "octocat")),
        ("chore(dev): update flowise images to v1.0.0-abc1234 (#12)", ("v1.0.0-abc1234", "abc1234", "")),
        ("chore(dev): update flowise images to v1-20261126", ("v1-20261126", "", "")),
        ("chore(dev): update flowise images to v1", ("v1", "", "")),
        ("chore(qa): update flowise images to v1", None),
        ("chore(dev): other things", None),
        ("", None),
    ],
)
def test_messages_of_other_tools(text: str, told: tuple[str, str, str] | None) -> None:
    read_again = parse(text)
    assert (read_again and tuple(read_again.get(name, "") for name in ("tag", "sha", "actor"))) == told


def deployed(*tags: str, **fields: str) -> list[Deployment]:
    """Deployments to dev, the newest first."""
    made = [
        Deployment(commit=str(at) * 40, at=NOW, environment="dev", tag=tag, **(fields if at == len(tags) - 1 else {}))
        for at, tag in enumerate(tags)
    ]
    return made[::-1]


@pytest.mark.parametrize(
    ("tags", "newest", "back_to"),
    [
        (["a", "b", "c"], {}, ["b", "a"]),
        (["a", "a", "b", "b"], {}, ["a"]),
        (["a"], {}, []),
        # c was taken back to b: the next step goes to a, and never to c.
        (["a", "b", "c", "b"], {"rolls_back": "2" * 40, "restores": "1" * 40}, ["a"]),
    ],
)
def test_what_an_environment_goes_back_to(tags: list[str], newest: dict[str, str], back_to: list[str]) -> None:
    assert [each.tag for each in candidates(deployed(*tags, **newest))] == back_to
    assert candidates([]) == []


def test_what_became_of_a_deployment() -> None:
    found = deployed("a", "b", "a", rolls_back="1" * 40)
    assert [fate(each, found[:at]) for at, each in enumerate(found)] == [
        "live",
        "rolled back by 2222222",
        "superseded by 1111111",
    ]


@pytest.fixture
def repository(gitops: Path, source: Path, tmp_path: Path) -> GitOps:
    where, known = git.Remote(str(gitops)), git.Remote(str(source))
    return GitOps(where, "main", "argocd/apps/flowise/overlays", tmp_path, known)


def put(repository: GitOps, tag: str, environment: str = "dev", **fields: object) -> ImageUpdate:
    digests = {"server_digest": digest(tag[-1]), "ui_digest": digest(tag[-1])}
    update = ImageUpdate(environment=environment, tag=tag, **{**digests, **fields})
    assert write(repository, update, REGISTRY, lambda _: None).changed
    return update


def back(repository: GitOps, to: str = "", steps: int = 1, reason: str = "", **options: object) -> object:
    return earlier(repository, "dev", Wanted(to, steps, **options), actor="octocat", run="7", reason=reason)


def restore(repository: GitOps, move: object) -> object:
    return write(repository, move.update, REGISTRY, lambda _: None, origin=move.origin)


def test_a_rollback_is_a_commit_that_says_what_it_restores(repository: GitOps, gitops: Path) -> None:
    put(repository, "v1")
    one = show(gitops, "main", DEV)
    first = log(gitops)[0]["sha"]
    put(repository, "v2", sha="b" * 40)
    second = log(gitops)[0]["sha"]
    result = restore(repository, back(repository, reason="it is slow"))
    assert result.changed
    assert show(gitops, "main", DEV) == one, "byte for byte"
    lines = log(gitops)[0]["body"].splitlines()
    assert {f"Restores: {first}", f"Rolls-Back: {second}", "Reason: it is slow", "Triggered by: octocat"} <= set(lines)
    assert log(gitops)[0]["subject"] == "chore(dev): update flowise images to v1 (rollback)"

    again = ImageUpdate(environment="dev", tag="v2", sha="b" * 40, server_digest=digest("2"), ui_digest=digest("2"))
    refused = write(repository, again, REGISTRY, lambda _: None)
    assert "was rolled back in dev" in refused.skipped
    assert "it is slow" in refused.skipped
    assert write(repository, again, REGISTRY, lambda _: None, force=True).changed


@pytest.mark.parametrize("by", ["tag", "source", "commit", "steps"])
def test_an_earlier_deployment_is_named_in_many_ways(by: str, repository: GitOps, gitops: Path) -> None:
    put(repository, "v1", sha="a" * 40)
    first = log(gitops)[0]["sha"]
    put(repository, "v2")
    put(repository, "v3")
    names = {"tag": "v1", "source": "a" * 12, "commit": first[:7], "steps": ""}
    move = back(repository, names[by], 2)
    assert (move.update.tag, move.update.sha, move.update.server_digest) == ("v1", "a" * 40, digest("1"))
    assert move.origin.restores == first


def test_there_is_nothing_to_go_back_to(repository: GitOps) -> None:
    with pytest.raises(NotFound, match="no deployment 1 back"):
        back(repository)
    put(repository, "v1")
    put(repository, "v2")
    with pytest.raises(NotFound, match="as nope") as caught:
        back(repository, "nope")
    assert "v1 (" in caught.value.hint


def test_a_newer_deployment_in_between_wins(repository: GitOps, gitops: Path) -> None:
    put(repository, "v1")
    failed = put(repository, "v2")
    move = back(repository, of=failed)
    put(repository, "v3")
    result = restore(repository, move)
    assert "dev got v3 by commit" in result.skipped
    assert digest("3") in show(gitops, "main", DEV)
    with pytest.raises(Conflict, match="v3"):
        back(repository, of=failed)


def test_a_broken_deployment_of_the_old_workflow_is_not_restored(repository: GitOps, gitops: Path) -> None:
    broken = "images:\n  - name: flowise-server\n    newName: r.example/flowise-server\n"
    commit(gitops, "main", {DEV: broken}, OLD)
    put(repository, "v2")
    with pytest.raises(InvalidInput, match="without a version of flowise-server and flowise-ui"):
        back(repository)


def test_what_runs_in_one_environment_goes_to_the_next(repository: GitOps, gitops: Path) -> None:
    put(repository, "v1", sha="a" * 40)
    move, there = running(repository, "dev", "staging", actor="octocat", run="7")
    assert there.commit == log(gitops)[0]["sha"]
    assert write(repository, move.update, REGISTRY, lambda _: None, origin=move.origin).changed
    newest = log(gitops)[0]
    assert newest["subject"] == "chore(staging): update flowise images to v1 (promoted from dev)"
    assert f"Promoted-From: dev {there.commit}" in newest["body"].splitlines()
    staging = show(gitops, "main", DEV.replace("dev", "staging"))
    assert staging.count(digest("1")) == 2


def test_what_nobody_knows_is_not_promoted(repository: GitOps, gitops: Path) -> None:
    with pytest.raises(NotFound, match="dev has no deployment yet"):
        running(repository, "dev", "staging", actor="", run="")
    put(repository, "v1")
    commit(gitops, "main", {DEV: show(gitops, "main", DEV).replace(digest("1"), digest("9"))}, "by hand")
    with pytest.raises(InvalidInput, match="changed by hand"):
        running(repository, "dev", "staging", actor="", run="")


def test_soak_time() -> None:
    there = deployed("a")[0]
    check_soak(there, 60, NOW.replace(minute=1))
    with pytest.raises(NotProven, match="for 59 seconds, and SOAK_SECONDS asks for 60"):
        check_soak(there, 60, NOW.replace(second=59))


def test_the_state_of_all_environments(repository: GitOps, gitops: Path, source: Path) -> None:
    one, two = (git_sha(source, ref) for ref in ("v1.0.0^{commit}", "main"))
    entry = "images:\n  - name: flowise-server\n    newTag: abc1234\n  - name: flowise-ui\n    digest: {}\n"
    commit(gitops, "main", {DEV: entry.format(digest("0"))}, OLD)
    put(repository, "v2", sha=two)
    put(repository, "v1", "staging", sha=one)
    status = read(repository, {"staging": "dev", "production": "staging"})
    by_name = {each.environment: each for each in status.environments}
    assert list(by_name) == ["dev", "staging", "production"]
    assert status.commit == log(gitops)[0]["sha"]

    new, old = by_name["dev"].history
    assert (new.fate, old.fate) == ("live", f"superseded by {log(gitops)[1]['sha'][:7]}")
    assert old.deployment.digests["ui"] == digest("0"), "read from the overlay, where the message does not tell"
    assert not by_name["dev"].by_hand
    staging, production = status.differences
    assert any("answer pings" in line and line.startswith("+ ") for line in staging.commits)
    assert production.unknown, "nothing was ever deployed there"

    commit(gitops, "main", {DEV: show(gitops, "main", DEV).replace(digest("2"), digest("9"))}, "by hand")
    assert read(repository, {}).environments[0].by_hand


def git_sha(bare: Path, ref: str) -> str:
    return run_git(bare, "rev-parse", ref).decode().strip()


def test_the_ledger_reaches_beyond_the_newest_commits(repository: GitOps, gitops: Path) -> None:
    put(repository, "v1")
    for turn in range(60):
        commit(gitops, "main", {"README.md": str(turn)}, "docs")
    with Branch(repository.where, "main", repository.work_dir / "far.git") as branch:
        branch.fetch()
        assert [each.tag for each in repository.ledger(branch).newest("dev")] == ["v1"]


def again(repository: GitOps, tag: str, sha: str) -> str:
    """What comes of the same event once more."""
    update = ImageUpdate(environment="dev", tag=tag, sha=sha, server_digest=digest(tag[-1]), ui_digest=digest(tag[-1]))
    return write(repository, update, REGISTRY, lambda _: None).skipped


def test_what_was_rolled_back_stays_away_after_another_rollback(repository: GitOps, source: Path) -> None:
    one, two = (git_sha(source, ref) for ref in ("v1.0.0^{commit}", "main"))
    put(repository, "v1")
    put(repository, "v2", sha=one)
    put(repository, "v3", sha=two)
    restore(repository, back(repository, reason="v3 crashes"))
    restore(repository, back(repository, reason="v2 does, too"))
    assert "v3 crashes" in again(repository, "v3", two)
    assert "v2 does, too" in again(repository, "v2", one)
    assert not again(repository, "v4", "d" * 40)


def test_what_was_rolled_back_long_ago_stays_away(repository: GitOps, gitops: Path, source: Path) -> None:
    sha = git_sha(source, "main")
    put(repository, "v1")
    put(repository, "v2", sha=sha)
    for turn in range(60):
        commit(gitops, "main", {"README.md": str(turn)}, "docs")
    restore(repository, back(repository))
    assert "was rolled back in dev" in again(repository, "v2", sha)


def test_a_rollback_prefers_what_was_seen_healthy(repository: GitOps) -> None:
    good = put(repository, "v1")
    put(repository, "v2")
    failed = put(repository, "v3")
    assert back(repository, of=failed).update.tag == "v2"
    assert back(repository, of=failed, good=good).update.tag == "v1"
    assert back(repository, of=failed, good=failed).update.tag == "v2", "that one is what failed"
    restore(repository, back(repository, "v1"))
    put(repository, "v4")
    assert back(repository, good=failed).update.tag == "v1", "it was taken back since"


def test_many_commits_of_the_old_workflow_take_no_more_fetches_than_few(gitops: Path, tmp_path: Path) -> None:
    with github({"acme/devops": gitops}) as hub:
        where = git.Remote(hub.clone_url("acme/devops"), SecretStr(hub.token))

        def asked(deployments: int) -> int:
            for turn in range(deployments):
                entry = f"images:\n  - name: flowise-server\n    digest: {digest(f'{turn:x}')}\n  - name: flowise-ui\n"
                commit(gitops, "main", {DEV: entry}, OLD)
            before, repository = len(hub.requests), GitOps(where, "main", "argocd/apps/flowise/overlays", tmp_path)
            history = read(repository, {}).environments[0].history
            assert [each.deployment.digests["server"] for each in history[:2]] == [
                digest(f"{turn:x}") for turn in (deployments - 1, deployments - 2)
            ]
            return len(hub.requests) - before

        few = asked(3)
        assert asked(12) <= few + 2


def test_the_old_workflow_s_images_are_promoted_unless_somebody_changed_them(repository: GitOps, gitops: Path) -> None:
    entries = "images:\n  - name: flowise-server\n    digest: {}\n  - name: flowise-ui\n    newTag: abc1234\n"
    commit(gitops, "main", {DEV: entries.format(digest("1"))}, OLD)
    commit(gitops, "main", {"README.md": "more\n"}, "docs")
    move, _ = running(repository, "dev", "staging", actor="", run="")
    assert (move.update.tag, move.update.server_digest) == ("abc1234", digest("1"))
    commit(gitops, "main", {DEV: entries.format(digest("9"))}, "by hand")
    with pytest.raises(InvalidInput, match="changed by hand"):
        running(repository, "dev", "staging", actor="", run="")


def test_a_name_of_several_deployments_is_refused(repository: GitOps, gitops: Path) -> None:
    put(repository, "edge", server_digest=digest("1"))
    first = log(gitops)[0]["sha"]
    put(repository, "edge", server_digest=digest("2"))
    put(repository, "v3")
    with pytest.raises(InvalidInput, match="edge names 2 deployments") as caught:
        back(repository, "edge")
    assert f"edge ({first[:7]})" in caught.value.hint
    assert back(repository, first).update.server_digest == digest("1")


def test_a_full_sha_finds_what_was_recorded_short(repository: GitOps) -> None:
    put(repository, "v1", sha="abcdef1")
    put(repository, "v2")
    assert back(repository, "abcdef1" + "0" * 33).update.tag == "v1"


def test_from_what_came_by_hand_the_first_step_back_is_the_deployment(repository: GitOps, gitops: Path) -> None:
    put(repository, "v1")
    failed = put(repository, "v2", sha="b" * 40)
    deployed_as = show(gitops, "main", DEV)
    commit(gitops, "main", {DEV: deployed_as.replace(digest("2"), digest("9"))}, "by hand")
    with pytest.raises(Conflict, match="changed by hand"):
        back(repository, of=failed)
    move = back(repository)
    assert (move.update.tag, back(repository, steps=2).update.tag) == ("v2", "v1")
    assert restore(repository, move).changed
    assert show(gitops, "main", DEV) == deployed_as
    assert "Rolls-Back" not in log(gitops)[0]["body"], "v2 is what is there, and may be deployed again"
    assert back(repository).update.tag == "v1"


def test_a_tag_that_was_changed_by_hand_is_seen(repository: GitOps, gitops: Path) -> None:
    put(repository, "v1", server_digest=None, ui_digest=None)
    assert not read(repository, {}).environments[0].by_hand
    commit(gitops, "main", {DEV: show(gitops, "main", DEV).replace("newTag: v1", "newTag: v9", 1)}, "by hand")
    assert read(repository, {}).environments[0].by_hand
    with pytest.raises(InvalidInput, match="changed by hand"):
        running(repository, "dev", "staging", actor="", run="")


def test_what_was_merged_is_there_since_then(repository: GitOps, gitops: Path) -> None:
    """Proposed at nine, merged at noon, by somebody in Vietnam: the soak time begins at noon."""
    on_main = log(gitops)[0]["sha"]
    overlay = show(gitops, "main", DEV).replace("newTag: latest", "newTag: abc1234")
    proposed = commit(gitops, "flowise/dev", {DEV: overlay}, OLD, start=on_main)
    stamp = "A <a@example.com> 1893474000 +0700"
    merge = f"tree {git_sha(gitops, f'{proposed}^{{tree}}')}\nparent {on_main}\nparent {proposed}\n"
    merge += f"author {stamp}\ncommitter {stamp}\n\nMerge pull request #1\n"
    merged = run_git(gitops, "hash-object", "-t", "commit", "-w", "--stdin", stdin=merge.encode()).decode().strip()
    run_git(gitops, "update-ref", "refs/heads/main", merged)
    (entry,) = read(repository, {}).environments[0].history
    assert (entry.deployment.commit, entry.deployment.arrived) == (proposed, merged)
    assert entry.deployment.at.isoformat() == "2030-01-01T05:00:00+00:00"


def merge(gitops: Path, proposed: str, text: str = "Merge pull request #1 from acme/flowise/dev") -> str:
    """Merge a commit into main as a server does; its tree is what main gets."""
    main, stamp = git_sha(gitops, "main"), "A <a@example.com> 1893474000 +0000"
    made = f"tree {git_sha(gitops, f'{proposed}^{{tree}}')}\nparent {main}\nparent {proposed}\n"
    made += f"author {stamp}\ncommitter {stamp}\n\n{text}\n"
    merged = run_git(gitops, "hash-object", "-t", "commit", "-w", "--stdin", stdin=made.encode()).decode().strip()
    run_git(gitops, "update-ref", "refs/heads/main", merged)
    return merged


def by_digest(gitops: Path, character: str) -> str:
    """The overlay of dev with both images at one digest, as a person would write it."""
    entries = [f"- name: {name}\n  newName: {REGISTRY}/{name}\n  digest: {digest(character)}\n" for name in NAMES]
    return f"{show(gitops, 'main', DEV).partition('images:')[0]}images:\n{''.join(entries)}"


NAMES = ("flowise-server", "flowise-ui")


def words(tag: str, character: str, *more: str) -> str:
    """A message in the bot's words."""
    lines = [f"Server-Digest: {digest(character)}", f"UI-Digest: {digest(character)}", *more]
    return f"chore(dev): update flowise images to {tag}\n\nTag: {tag}\n\n" + "\n".join(lines) + "\n"


def test_a_message_alone_deploys_nothing(repository: GitOps, gitops: Path) -> None:
    """
    ::

        main   v1 ── v2 ── forged: "v1", an empty commit after v2 ── forged: "v2", with v9's digests in the overlay
    """
    put(repository, "v1", sha="a" * 40)
    first = log(gitops)[0]["sha"]
    put(repository, "v2", sha="b" * 40)
    commit(gitops, "main", {}, words("v1", "2", f"Rolls-Back: {log(gitops)[0]['sha']}"))
    assert back(repository, "v1").origin.restores == first, "an empty commit has deployed nothing"
    assert not again(repository, "v3", "b" * 40), "its trailer blocks nothing"
    commit(gitops, "main", {DEV: by_digest(gitops, "9")}, words("v4", "4"))
    history = read(repository, {}).environments[0]
    assert [each.deployment.tag for each in history.history] == ["v3", "v2", "v1"]
    assert history.by_hand, "a text that does not say what it did is nobody's deployment"
    with pytest.raises(InvalidInput, match="changed by hand"):
        running(repository, "dev", "staging", actor="", run="")


def test_a_commit_about_another_environment_is_no_deployment(repository: GitOps, gitops: Path) -> None:
    staging = DEV.replace("/dev/", "/staging/")
    commit(gitops, "main", {staging: by_digest(gitops, "5")}, words("v5", "5"))
    assert [each.history for each in read(repository, {}).environments] == [(), (), ()]


def test_a_revert_is_not_the_deployment_it_quotes(repository: GitOps, gitops: Path) -> None:
    before = show(gitops, "main", DEV)
    put(repository, "v1")
    commit(gitops, "main", {DEV: before}, 'Revert "chore(dev): update flowise images to v1"\n\nThis reverts it.\n')
    state = read(repository, {}).environments[0]
    assert [each.deployment.tag for each in state.history] == ["v1"]
    assert state.by_hand


def test_of_a_merged_proposal_its_last_state_is_the_deployment(repository: GitOps, gitops: Path) -> None:
    """
    ::

        main   A ──────────────── M       v1 was proposed, and replaced by v2 before anybody merged it
                \\              /
        flowise/dev   v1 ── v2
    """
    one = commit(gitops, "flowise/dev", {DEV: by_digest(gitops, "1")}, words("v1", "1"), start=git_sha(gitops, "main"))
    two = commit(gitops, "flowise/dev", {DEV: by_digest(gitops, "2")}, words("v2", "2"), start=one)
    merged = merge(gitops, two)
    (entry,) = read(repository, {}).environments[0].history
    assert (entry.deployment.tag, entry.deployment.commit, entry.deployment.arrived) == ("v2", two, merged)


@pytest.mark.parametrize(
    "text",
    [
        'Revert "chore(dev): update flowise images to v2"\n\nThis reverts commit 1a888a0.\n',
        'Revert "chore(dev): update flowise images to v2 (#7)" (#8)\n\nReverts acme/devops#7\n',
        'Merge pull request #8 from acme/revert-7\n\nRevert "[OPS-1] chore(dev): update flowise images to v2"\n',
    ],
    ids=["git revert", "GitHub's button, squashed", "merged"],
)
def test_what_people_revert_in_git_stays_away(text: str, repository: GitOps, gitops: Path, source: Path) -> None:
    """Neither an event that comes again brings it back, nor a rollback of what came after it."""
    sha = git_sha(source, "main")
    put(repository, "v1")
    first = log(gitops)[0]["sha"]
    put(repository, "v2", sha=sha)
    commit(gitops, "main", {DEV: by_digest(gitops, "1")}, text)
    state = read(repository, {}).environments[0]
    assert ([each.deployment.tag for each in state.history], state.by_hand) == (["v1", "v2", "v1"], False)
    assert "v2 was rolled back in dev by commit" in again(repository, "v2", sha)
    assert not again(repository, "v3", "d" * 40)
    assert back(repository).origin.restores != first, "the newest commit that had those images is the revert's"
    assert back(repository).update.tag == "v1"


def test_a_quotation_alone_reverts_nothing(repository: GitOps, gitops: Path, source: Path) -> None:
    sha = git_sha(source, "main")
    put(repository, "v1")
    put(repository, "v2", sha=sha)
    commit(gitops, "main", {DEV: by_digest(gitops, "9")}, 'Revert "chore(dev): update flowise images to v2"\n')
    state = read(repository, {}).environments[0]
    assert ([each.deployment.tag for each in state.history], state.by_hand) == (["v2", "v1"], True)
    assert not again(repository, "v2", sha)


def test_a_merge_s_title_does_not_hide_what_was_merged(repository: GitOps, gitops: Path) -> None:
    """GitHub, GitLab and Bitbucket write a pull request's title into the merge, by default."""
    proposed = commit(
        gitops,
        "flowise/dev",
        {DEV: by_digest(gitops, "2")},
        words("v2", "2", f"Run: {'7' * 9}"),
        start=git_sha(gitops, "main"),
    )
    merge(gitops, proposed, f"Merge pull request #1 from acme/flowise/dev\n\n{words('v2', '2').partition(chr(10))[0]}")
    newest = read(repository, {}).environments[0].history[0].deployment
    assert (newest.commit, newest.run, set(newest.digests.values())) == (proposed, "7" * 9, {digest("2")})


@pytest.mark.parametrize(
    "text",
    [
        words("v2", "2").replace("to v2", "to v2 (#7)"),
        f"[skip ci] {words('v2', '2')}",
        f"Merge branch 'flowise/dev' into 'main'\n\n{words('v2', '2')}\nSee merge request acme/devops!7\n",
        f"Deploy things (#7)\n\n* {words('v1', '1')}\n* three replicas\n\n* {words('v2', '2')}".replace(
            words("v1", "1"), words("v2", "1")
        ),
        f"{words('v2', '2').partition(chr(10))[0]} (#7)\n\n| image | now |\n\n```text\n{words('v2', '2')}```\n",
    ],
    ids=["squashed", "prefix", "gitlab", "squashed from several", "text of the pull request"],
)
def test_what_people_squash_is_read_all_the_same(text: str, repository: GitOps, gitops: Path) -> None:
    put(repository, "v1")
    sha = commit(gitops, "main", {DEV: by_digest(gitops, "2")}, text)
    newest = read(repository, {}).environments[0].history[0].deployment
    assert (newest.commit, newest.tag, set(newest.digests.values())) == (sha, "v2", {digest("2")})


@pytest.mark.parametrize("place", ["evil.example.net/flowise-server", "r.example.evil.net/x", "r.example2/x"])
def test_another_registrys_image_is_not_carried_on(place: str, repository: GitOps, gitops: Path) -> None:
    overlay = by_digest(gitops, "1").replace(f"{REGISTRY}/flowise-server", place)
    commit(gitops, "main", {DEV: overlay}, words("v1", "1"))
    move, _ = running(repository, "dev", "staging", actor="", run="")
    with pytest.raises(InvalidInput, match=f"flowise-server would come from {re.escape(place)}, which is not in"):
        restore(repository, move)
    known = replace(repository, registries=(place.partition("/")[0],))
    assert restore(known, move).changed


def test_an_image_that_the_registry_does_not_have_is_not_written(repository: GitOps, gitops: Path) -> None:
    def check(image: ImageRef) -> None:
        if image.name == "flowise-ui":
            raise NotFound("There is none.")

    head = git_sha(gitops, "main")
    with pytest.raises(NotFound, match="There is none"):
        put(replace(repository, check_image=check), "v1")
    assert git_sha(gitops, "main") == head


def test_a_history_that_is_cut_off_tells_nothing_of_its_last_commit(
    gitops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest deployment is the oldest commit that is fetched at first: without its parent it proves nothing."""
    monkeypatch.setattr("tasks.core.git.branch.DEPTH", 3)
    monkeypatch.setattr("tasks.core.gitops.ledger.DEPTH", 3)
    with github({"acme/devops": gitops}) as hub:
        where = git.Remote(hub.clone_url("acme/devops"), SecretStr(hub.token))
        repository = GitOps(where, "main", "argocd/apps/flowise/overlays", tmp_path)
        put(repository, "v1")
        for turn in range(2):
            commit(gitops, "main", {"README.md": str(turn)}, "docs")
        with Branch(where, "main", tmp_path / "cut.git") as branch:
            branch.fetch()
            ledger = repository.ledger(branch)
            assert not list(ledger.near("dev"))
            assert [each.tag for each in ledger.newest("dev")] == ["v1"]
