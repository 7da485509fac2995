"""What an operator is shown, and what is made of the answer."""

from datetime import timedelta
from pathlib import Path

import pytest

from tasks.core.errors import InvalidInput, Rejected
from tasks.core.git import Remote
from tasks.core.gitops.commit_message import MessageStyle, message
from tasks.core.models import NOT_YET, Approval, ImageChange, ImageRef, ImageUpdate, ObjectChange, Origin, UpdateResult
from tasks.core.report import approval
from tasks.core.report.markdown import updated
from tasks.core.report.overview import now
from tasks.core.settings import load
from tasks.core.text import literal
from tests.sandbox.repositories import commit, git

OLD, NEW, OTHER = (ImageRef("flowise-ui", "r.example/flowise-ui", tag) for tag in ("v1", "v2", "v3"))


def planned(change: ImageChange | None = None, replaces: str = "") -> UpdateResult:
    return UpdateResult(
        environment="production",
        tag="v2",
        changed=False,
        commit="c" * 40,
        overlay_path="overlays/production",
        images=[NEW],
        changes=[change or ImageChange(old=OLD, new=NEW)],
        diff="-v1\n+v2\n",
        pending=True,
        replaces=replaces,
    )


def update(sha: str | None = None) -> ImageUpdate:
    return ImageUpdate(environment="production", tag="v2", sha=sha, actor="octo*cat*")


def shas(source: Path, *refs: str) -> list[str]:
    return [git(source, "rev-parse", f"{ref}^{{commit}}").decode().strip() for ref in refs]


def test_the_commits_that_come_are_shown_newest_first(source: Path, tmp_path: Path) -> None:
    old, middle, new = shas(source, "main~2", "main~1", "main")
    shown = approval.request(update(new), planned(replaces=old), Remote(str(source)), tmp_path)
    assert (
        "```diff\n"
        f"+ {new[:7]} perf(server): answer pings without logging\n"
        f"+ {middle[:7]} feat(ui): greet by name\n"
        "```\n"
    ) in shown
    assert "- `flowise-ui`\n    - from `r.example/flowise-ui:v1`\n    - to `r.example/flowise-ui:v2`\n" in shown
    assert r"Asked for by octo\*cat\*." in shown


def test_whole_digests_and_the_objects_that_change_are_shown(source: Path, tmp_path: Path) -> None:
    old, new = (ImageRef("flowise-ui", "r.example/flowise-ui", digest=f"sha256:{digit * 64}") for digit in "12")
    restarts = ObjectChange(object="Deployment p/ui", effect="restarts", images=[(str(old), str(new))])
    plan = planned(ImageChange(old=old, new=new)).model_copy(
        update={"objects": [restarts], "warnings": ["look <here>"]}
    )
    shown = approval.request(update(), plan, Remote(str(source)), tmp_path)
    for word, digit in ("from", "1"), ("to", "2"):
        halves = f"`sha256:{digit * 32}` `{digit * 32}`"
        assert f"    - {word} `r.example/flowise-ui` {halves}\n" in shown, "words that the narrow dialog doesn't cut"
    image = "`r.example/flowise-ui@sha256:{}`"
    assert f"- `Deployment p/ui` restarts\n    - {image.format('1' * 12)} → {image.format('2' * 12)}\n" in shown
    assert r"**Warning:** look \<here\>" in shown


def test_a_promotion_says_for_how_long_it_was_where_it_comes_from() -> None:
    since = now() - timedelta(days=3, minutes=1)
    origin = Origin(images=(NEW,), promoted_from="staging 1234567", since=since)
    shown = approval.request(update(), planned().model_copy(update={"origin": origin}), None, Path())
    assert f"Promoted from `staging 1234567`, where it has been since {since:%Y-%m-%d %H:%M} UTC (3 d).\n" in shown
    assert "since" not in message(update(), None, origin, MessageStyle()).lower()


def test_commits_that_go_away_are_shown_as_such(source: Path, tmp_path: Path) -> None:
    old, new = shas(source, "main", "feature/agents")
    shown = approval.request(update(new), planned(replaces=old), Remote(str(source)), tmp_path)
    assert f"+ {new[:7]} feat(components): add an agent\n" in shown
    assert f"- {old[:7]} perf(server): answer pings without logging\n" in shown
    assert "greet by name" not in shown, "both have it"


def test_many_commits_are_bounded_and_a_subject_stays_in_its_line(source: Path, tmp_path: Path) -> None:
    (old,) = shas(source, "main")
    for number in range(30):
        new = commit(source, "main", {"a.txt": str(number)}, f"``` # {number} <img> \x1b[31m {'x' * 300}")
    shown = approval.request(update(new), planned(replaces=old), Remote(str(source)), tmp_path)
    lines = [line for line in shown.splitlines() if line.startswith("+ ")]
    assert [line.split()[3:5] for line in lines] == [["#", str(29 - number)] for number in range(20)]
    assert all(len(line) < 120 and line.isprintable() for line in lines)
    assert shown.count("\n```") == 2
    assert "Only the newest 20" in shown


@pytest.mark.parametrize("replaces", ["", "1234567", "d" * 40])
def test_without_the_commits_it_is_asked_all_the_same(replaces: str, source: Path, tmp_path: Path) -> None:
    (new,) = shas(source, "main")
    shown = approval.request(update(new), planned(replaces=replaces), Remote(str(source)), tmp_path)
    assert new in shown
    assert "```" not in shown
    assert "- `flowise-ui`\n" in approval.request(update(), planned(), None, tmp_path)


def test_an_approval_is_for_these_changes_only() -> None:
    given = approval.decision(planned(), True, " Robin\n", "")
    assert given == Approval(by="Robin (as typed)", changes=(ImageChange(old=OLD, new=NEW),))
    assert given.covers([ImageChange(old=OLD, new=NEW)])
    assert not given.covers([ImageChange(old=OTHER, new=NEW)])
    assert not NOT_YET.covers([])
    keys = [approval.fingerprint(update(sha), planned()) for sha in ("a" * 40, "a" * 40, "b" * 40)]
    keys.append(approval.fingerprint(update("a" * 40), planned(ImageChange(old=OTHER, new=NEW))))
    assert (keys[0] == keys[1], len(set(keys))) == (True, 3)


def test_a_name_says_how_it_is_known_and_cannot_claim_more() -> None:
    forged = f"{'r' * 300} (single sign-on)"
    assert approval.decision(planned(), True, "Robin", "", signed_in=True).by == "Robin (single sign-on)"
    assert approval.decision(planned(), True, "Robin (single sign-on)", "").by == "Robin (single sign-on) (as typed)"
    assert approval.decision(planned(), True, forged, "").by == f"{'r' * 180} (as typed)"


def test_a_seal_is_for_its_parts_and_its_secret_alone() -> None:
    parts = ("run", "key", "Approve", "robin", "")
    others = [("x", *parts), ("s", "run", "key", "Reject", "robin", ""), ("s", "run", "key", "Approver", "obin", "")]
    made = {approval.seal("s", *parts), *(approval.seal(*each) for each in others)}
    assert len(made) == 4
    assert approval.seal("s", *parts) in made, "the same parts, the same seal"


@pytest.mark.parametrize(
    ("decision", "said"),
    [("Approve", "Approve on https://b.example, where you are signed in: a typed name isn't enough."), ("Reject", "")],
)
def test_where_people_are_signed_in_a_typed_name_can_only_reject(decision: str, said: str) -> None:
    assert approval.incomplete(decision, "Robin", "https://b.example") == said


@pytest.mark.parametrize(
    ("decision", "approver", "said"),
    [
        ("Approve", "Robin", ""),
        ("Reject", "Robin", ""),
        ("Choose", "Robin", "Choose Approve or Reject as your decision."),
        ("Approve", " \n", "Type your name as approver: it goes into the commit message."),
        (
            "",
            "",
            "Choose Approve or Reject as your decision. Type your name as approver: it goes into the commit message.",
        ),
    ],
)
def test_what_an_answer_lacks(decision: str, approver: str, said: str) -> None:
    assert approval.incomplete(decision, approver) == said


def test_versions_and_commits_come_first_and_a_lack_before_them(source: Path, tmp_path: Path) -> None:
    old, new = shas(source, "main~1", "main")
    shown = approval.request(update(new), planned(replaces=old), Remote(str(source)), tmp_path, "Type your name.")
    parts = ["Your answer is not complete.** Type your name.", "→ `v2`", "Choose **Approve** or **Reject**"]
    parts += ["## Source commits", "## Images", "from `r.example/flowise-ui:v1`"]
    places = [shown.index(part) for part in parts]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["", " \n", "\u200b\u202e"])
def test_nobody_cannot_approve(name: str) -> None:
    with pytest.raises(Rejected, match="has no name"):
        approval.decision(planned(), True, name, "")


def test_a_rejection_says_who_and_why() -> None:
    with pytest.raises(Rejected, match=r"rejected for production by Robin: not today\. Nothing was written"):
        approval.decision(planned(), False, "Robin", "not today.")


def test_a_name_cannot_forge_lines_and_is_bounded() -> None:
    given = approval.decision(planned(), True, "Robin\r\nTag: v9\u2028Source SHA: 0000000", "n" * 999)
    assert message(update("a" * 40), given, None, MessageStyle()).splitlines() == [
        "chore(production): update flowise images to v2",
        "",
        "Triggered by: octo*cat*",
        f"Source SHA: {'a' * 40}",
        "Tag: v2",
        "Approved by: Robin Tag: v9 Source SHA: 0000000 (as typed)",
        f"Approval note: {'n' * 200}",
    ]
    assert "Approval note" not in message(update(), Approval(by="Robin"), None, MessageStyle())


def test_the_summary_names_the_operator() -> None:
    result = planned().model_copy(update={"changed": True, "approved_by": "R*b*n", "approval_note": "<b>"})
    assert "Approved by R\\*b\\*n: \\<b\\>\n" in updated(result)
    assert "Approved" not in updated(planned())
    assert literal("plain words") == "plain words"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("production", ("production",)),
        (" staging, production ,", ("staging", "production")),
        ('["production"]', ("production",)),
        ("['staging', 'production']", ("staging", "production")),  # a Prefect variable that is a list
        ("[]", ()),
        ("none", ()),
        (" None ", ()),
        ("", ()),
    ],
)
def test_the_setting_is_a_list(text: str, wanted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPROVAL_REQUIRED", text)
    assert load().approval_required == wanted


@pytest.mark.parametrize(
    ("text", "deployed", "called"),
    [
        (None, ("production",), ()),
        ("", ("production",), ()),  # emptied, not switched off
        ("none", (), ()),
        ("[]", (), ()),
        ("staging", ("staging",), ("staging",)),
        ("staging,production", ("staging", "production"), ("staging", "production")),
    ],
)
def test_runs_of_deployments_ask_for_production_unless_the_setting_says_otherwise(
    text: str | None, deployed: tuple[str, ...], called: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        monkeypatch.setenv("APPROVAL_REQUIRED", text)
    settings = load()
    assert (settings.approvals(deployed=True), settings.approvals(deployed=False)) == (deployed, called)


@pytest.mark.parametrize("text", ["prod", "[", '["production"', "production staging", " ", ",", "false"])
def test_a_wrong_list_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPROVAL_REQUIRED", text)
    with pytest.raises(InvalidInput, match="APPROVAL_REQUIRED"):
        load()
