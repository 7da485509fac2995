"""What a delivery asks for, by GitHub's documented payloads; what is not well-formed starts nothing."""

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput
from tasks.core.settings import Settings
from tasks.core.triggers.path_filter import PathFilter
from tasks.core.triggers.webhook import Ignored, Receiver, Start
from tests.sandbox.github_events import DELIVERY, commit, dispatched, headers, pushed

SECRET = "It's a Secret to Everybody"
SHA = "c" * 40
SOURCE, GITOPS = "acme/FlowiseAI", "acme/devops"
DIGEST = "sha256:" + "a" * 64


def receiver(**settings: Any) -> Receiver:
    known = {"source_repo": SOURCE, "gitops_repo": GITOPS, "github_webhook_secret": SecretStr(SECRET)}
    return Receiver(Settings(**(known | settings)))


def decide(event: str, payload: object, **settings: Any) -> Start | Ignored:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return receiver(**settings).decide(headers(event, body, SECRET), body)


def update(**changes: object) -> dict[str, object]:
    known = {"environment": "staging", "tag": "f3a21bc", "sha": SHA, "server_digest": DIGEST, "ui_digest": ""}
    return {**known, "actor": "mona", "workflow_run_id": "42", **changes}


def test_the_signature_is_that_of_github_s_own_example() -> None:
    body, signature = b"Hello, World!", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    receiver().verify(f"sha256={signature}", body)
    assert signature == hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        "sha1=" + "0" * 40,
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\n",
        "sha256=" + "é" * 64,
    ],
)
def test_another_signature_is_refused_before_anything_is_read(signature: str | None) -> None:
    sent = {"x-github-event": "push", "x-github-delivery": "no guid"}
    if signature is not None:
        sent["x-hub-signature-256"] = signature
    with pytest.raises(AccessDenied):
        receiver().decide(sent, b"Hello, World!")


def test_another_body_under_the_same_signature() -> None:
    body = json.dumps(pushed(SOURCE, [commit(SHA, modified=["packages/a"])])).encode()
    sent = headers("push", body, SECRET)
    assert isinstance(receiver().decide(sent, body), Start)
    with pytest.raises(AccessDenied):
        receiver().decide(sent, body + b" ")


@pytest.mark.parametrize("changed", ["added", "modified", "removed"])
def test_a_push_is_deployed_to_dev(changed: str) -> None:
    decision = decide("push", pushed(SOURCE, [commit(SHA, **{changed: ["docs/a.md", "packages/ui/x.ts"]})]))
    assert decision == Start(
        "deploy-to-k8s/deploy-to-k8s",
        {"environment": "dev", "ref": SHA, "actor": "mona"},
        decision.key,
        DELIVERY,
    )


def test_the_pusher_where_there_is_no_sender() -> None:
    payload = pushed(SOURCE, [commit(SHA, added=["Dockerfile"])], pusher={"name": "deploy-key", "email": None})
    del payload["sender"]
    assert decide("push", payload).parameters["actor"] == "deploy-key"
    with pytest.raises(InvalidInput, match="neither a sender nor a pusher"):
        decide("push", payload | {"pusher": None})


def test_a_file_of_any_commit_counts() -> None:
    first, last = commit("b" * 40, added=["packages/x"]), commit(SHA, added=["README.md"])
    assert isinstance(decide("push", pushed(SOURCE, [first, last])), Start)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ref": "refs/heads/feature/agents"}, "'refs/heads/feature/agents' was pushed"),
        ({"ref": "refs/tags/main"}, "'refs/tags/main' was pushed"),
        ({"ref": "refs/heads/\x1b[31mred" + "x" * 5000}, "refs/heads/\\x1b[31m"),
        ({"deleted": True, "after": "0" * 40, "commits": [], "head_commit": None}, "refs/heads/main was deleted"),
        ({"after": "0" * 40}, "refs/heads/main was deleted"),
        ({"commits": [commit(SHA, modified=["docs/guide.md"])]}, "No changed file"),
    ],
)
def test_a_push_that_starts_nothing(changes: dict[str, object], reason: str) -> None:
    decision = decide("push", pushed(SOURCE, [commit(SHA, modified=["packages/x"])]) | changes)
    assert isinstance(decision, Ignored)
    assert reason in decision.reason
    assert decision.reason.isprintable()
    assert len(decision.reason) < 300


OTHER = commit(SHA, added=["docs/a.md"])


@pytest.mark.parametrize(
    "payload",
    [
        pushed(SOURCE, [OTHER], forced=True),
        pushed(SOURCE, [OTHER], created=True, before="0" * 40),
        pushed(SOURCE, []),
        pushed(SOURCE, [commit("b" * 40, added=["docs/a.md"])], after=SHA),
        pushed(SOURCE, [{**OTHER, "id": f"{number:040x}"} for number in range(2047)] + [OTHER]),
        pushed(SOURCE, [commit(SHA, added=[f"docs/{number}" for number in range(3000)])]),
        pushed(SOURCE, [{"id": SHA, "added": ["docs/a.md"]}]),
    ],
    ids=["forced", "new", "none", "not-the-head", "many-commits", "many-files", "no-lists"],
)
def test_where_files_may_be_missing_it_is_deployed(payload: dict[str, Any]) -> None:
    assert decide("push", payload).parameters["ref"] == SHA


def test_one_less_than_github_s_limits_is_believed() -> None:
    commits = [{**OTHER, "id": f"{number:040x}"} for number in range(2046)]
    many = commit(SHA, added=[f"docs/{number}" for number in range(2999)])
    assert isinstance(decide("push", pushed(SOURCE, [*commits, many])), Ignored)


def test_a_dispatch_updates_with_its_seven_keys() -> None:
    decision = decide("repository_dispatch", dispatched(GITOPS, "flowise-image-updated", update()))
    assert decision.deployment == "update-flowise-deployment/update-flowise-deployment"
    assert decision.parameters == update(ui_digest=None)


def test_another_action_is_ignored_whatever_it_carries() -> None:
    decision = decide("repository_dispatch", dispatched(GITOPS, "on-demand-test", {"unit": False}))
    assert isinstance(decision, Ignored)


def test_the_key_is_made_of_what_is_signed() -> None:
    body = json.dumps(GOOD).encode()
    keys = [receiver().decide(headers("push", body, SECRET, f"{n}{DELIVERY[1:]}"), body).key for n in range(2)]
    assert keys == [f"github-{hashlib.sha256(body).hexdigest()}"] * 2
    assert decide("push", GOOD | {"compare": ""}).key != keys[0]


def test_two_secrets_count_while_one_replaces_the_other() -> None:
    body = json.dumps(GOOD).encode()
    changing = receiver(github_webhook_secret=SecretStr("new"), github_webhook_secret_previous=SecretStr(SECRET))
    assert {type(changing.decide(headers("push", body, each), body)) for each in ("new", SECRET)} == {Start}
    for each in ("newnew", ""):
        with pytest.raises(AccessDenied):
            changing.decide(headers("push", body, each), body)
    with pytest.raises(AccessDenied):
        receiver(github_webhook_secret_previous=SecretStr("")).decide(headers("push", body, ""), body)


def form(payload: object, content_type: str = "application/x-www-form-urlencoded") -> Start | Ignored:
    body = urlencode({"payload": json.dumps(payload)}).encode()
    return receiver().decide(headers("push", body, SECRET) | {"content-type": content_type}, body)


@pytest.mark.parametrize("charset", ["", "; charset=utf-8"])
def test_a_form_has_the_payload_in_a_field(charset: str) -> None:
    payload = GOOD | {"sender": {"login": "mona & ümit=1+1"}}
    decision = form(payload, "application/x-www-form-urlencoded" + charset)
    assert decision.parameters == {"environment": "dev", "ref": SHA, "actor": "mona & ümit=1+1"}


@pytest.mark.parametrize("body", [b"", b"payload", b"payload=", b"payload=%7B", b"x=1", b"&" * 99, b"payload=1&" * 99])
def test_a_form_that_is_not_well_formed(body: bytes) -> None:
    sent = headers("push", body, SECRET) | {"content-type": "application/x-www-form-urlencoded"}
    with pytest.raises(InvalidInput, match="not one of push"):
        receiver().decide(sent, body)


@pytest.mark.parametrize("events", [["push"], ["*"], ["issues", "push"], ["repository_dispatch"]])
def test_the_ping_of_a_webhook_that_can_start_something(events: list[str]) -> None:
    decision = decide("ping", {"zen": "Design for failure.", "hook_id": 1, "hook": {"events": events}})
    assert isinstance(decision, Ignored)
    assert "ping" in decision.reason


@pytest.mark.parametrize(("events", "words"), [(["issues", "star"], "issues, star"), ([], "no event")])
def test_the_ping_of_a_webhook_that_starts_nothing_says_so(events: list[str], words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        decide("ping", {"hook": {"events": events}})
    assert "push event" in caught.value.hint


@pytest.mark.parametrize("event", ["star", "", "x\n" * 1000])
def test_other_events_are_ignored(event: str) -> None:
    decision = decide(event, {"zen": "Keep it logically awesome."})
    assert isinstance(decision, Ignored)
    assert decision.reason.isprintable()
    assert len(decision.reason) < 200


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": "prod"},
        {"tag": ""},
        {"tag": "a b"},
        {"server_digest": "sha256:abc"},
        {"ui_digest": DIGEST + "\n"},
        {"sha": "main"},
        {"sha": "--upload-pack=x"},
        {"actor": "mona\nTag: other"},
        {"actor": "m" * 201},
        {"cls": "x"},
        {"self": "x"},
        {"force": True},
        {"tag": None},
        {"tag": ["f3a21bc"]},
    ],
    ids=str,
)
def test_an_update_that_is_not_well_formed(changes: dict[str, object]) -> None:
    refused("repository_dispatch", dispatched(GITOPS, "flowise-image-updated", update(**changes)))


GOOD = pushed(SOURCE, [commit(SHA, added=["packages/x"])])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"payload=%7B%7D",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"ref": "\\ud800"}',
        {},
        {key: value for key, value in GOOD.items() if key != "after"},
        {key: value for key, value in GOOD.items() if key != "repository"},
        {key: value for key, value in GOOD.items() if key != "forced"},
        GOOD | {"after": "main"},
        GOOD | {"after": SHA + "\n"},
        GOOD | {"after": SHA[:-1]},
        GOOD | {"after": SHA.upper()},
        GOOD | {"after": int("1" * 40)},
        GOOD | {"deleted": "false"},
        GOOD | {"commits": "all"},
        GOOD | {"commits": [{"id": "x", "added": [], "modified": [], "removed": []}]},
        GOOD | {"commits": [{**GOOD["commits"][0], "added": [7]}]},
        GOOD | {"sender": {"login": "mona\nTag: other"}},
        GOOD | {"sender": {"login": "m" * 201}},
        GOOD | {"sender": {"login": ""}},
        GOOD | {"sender": {"login": "\x1b[31m"}},
    ],
    ids=lambda payload: str(payload)[:30],
)
def test_a_push_that_is_not_well_formed(payload: object) -> None:
    refused("push", payload)


@pytest.mark.parametrize("name", ["evil/FlowiseAI", "evil\r\n" + "x" * 100_000, GITOPS, ""])
def test_other_repositories_of_an_organization_s_webhook_are_ignored(name: str) -> None:
    decision = decide("push", GOOD | {"repository": {"full_name": name}})
    assert isinstance(decision, Ignored)
    assert "SOURCE_REPO is acme/flowiseai" in decision.reason
    assert decision.reason.isprintable()
    assert len(decision.reason) < 300


def test_a_dispatch_of_the_source_repository_and_if_there_is_no_other() -> None:
    payload = dispatched(SOURCE, "flowise-image-updated", update())
    assert "GITOPS_REPO is acme/devops" in decide("repository_dispatch", payload).reason
    payload = dispatched("", "flowise-image-updated", update())
    assert "GITOPS_REPO is not set" in decide("repository_dispatch", payload, gitops_repo="").reason
    refused("repository_dispatch", dispatched(GITOPS, "flowise-image-updated", None))


def test_what_a_payload_lacks_is_named() -> None:
    with pytest.raises(InvalidInput, match="after: Field required"):
        decide("push", {key: value for key, value in GOOD.items() if key != "after"})


def refused(event: str, payload: object, **settings: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        decide(event, payload, **settings)
    assert len(str(caught.value)) < 2000
    assert str(caught.value).replace("\n", "").isprintable()


@pytest.mark.parametrize("delivery", ["", "1", DELIVERY + "0", DELIVERY + "\n", DELIVERY.replace("-", "_"), "x" * 9999])
def test_a_delivery_without_a_proper_id(delivery: str) -> None:
    body = json.dumps(GOOD).encode()
    with pytest.raises(InvalidInput, match="X-GitHub-Delivery"):
        receiver().decide(headers("push", body, SECRET, delivery), body)


@pytest.mark.parametrize(
    "repository",
    [
        "acme/flowiseai",
        "https://github.com/acme/FlowiseAI.git",
        "https://github.com/acme/FlowiseAI/",
        "git@github.com:acme/FlowiseAI.git",
        "ssh://git@github.com/acme/FlowiseAI.git",
    ],
)
def test_however_the_repository_is_named(repository: str) -> None:
    assert isinstance(decide("push", GOOD, source_repo=repository), Start)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"github_webhook_secret": None}, "GITHUB_WEBHOOK_SECRET is not set"),
        ({"github_webhook_secret": SecretStr("")}, "GITHUB_WEBHOOK_SECRET is not set"),
        ({"source_repo": ""}, "SOURCE_REPO is not set"),
        ({"source_repo": "/srv/git/flowise.git"}, "SOURCE_REPO is not a repository on GitHub"),
        ({"gitops_repo": "../devops"}, "GITOPS_REPO is not a repository on GitHub"),
        ({"source_paths": "[z-a]"}, "SOURCE_PATHS"),
    ],
    ids=str,
)
def test_what_it_does_not_start_without(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(DeliveryError, match=words) as caught:
        receiver(**settings)
    assert SECRET not in str(caught.value)


# The examples of "Patterns to match file paths" in GitHub's workflow syntax, and what they leave out.
@pytest.mark.parametrize(
    ("patterns", "matching", "others"),
    [
        ("*", "README.md server.rb", "docs/a.md"),
        ("*.jsx?", "page.js page.jsx", "page.jsxx pagejs"),
        ("**", "all/the/files.md a", ""),
        ("*.js", "app.js index.js", "js/index.js app.jsx"),
        ("**.js", "index.js js/index.js src/js/app.js", "js/index.json"),
        ("docs/*", "docs/README.md docs/file.txt", "docs/a/b docs"),
        ("docs/**", "docs/README.md docs/mona/octocat.txt", "docs adocs/x"),
        ("docs/**/*.md", "docs/README.md docs/mona/hello-world.md docs/a/markdown/file.md", "docs/a.txt"),
        ("**/docs/**", "docs/hello.md dir/docs/my-file.txt space/docs/plan/space.doc", "mydocs/a"),
        ("**/README.md", "README.md js/README.md", "NOREADME.md"),
        ("**/*src/**", "a/src/app.js my-src/code/js/app.js", "src"),
        ("**/migrate-*.sql", "migrate-10909.sql db/migrate-v1.0.sql db/sept/migrate-v1.sql", "migrate.sql"),
        ("*.md, !README.md", "hello.md", "README.md docs/hello.md"),
        ("*.md\n!README.md\nREADME*", "hello.md README.md README.doc", "docs/hello.md"),
        ("packages/**,Dockerfile", "packages/ui/x.ts Dockerfile", "docker/Dockerfile Dockerfile.dev packages"),
        ("v[12].[0-9]+.[0-9]+", "v1.10.1 v2.0.0", "v3.0.0 v1x0x0"),
        (r"\!file,a\*b,x.y", "!file a*b x.y", "file ab aXb xzy"),
    ],
)
def test_paths_as_github_s_own_filter(patterns: str, matching: str, others: str) -> None:
    found = list(PathFilter(patterns).matching([*matching.split(), *others.split()]))
    assert found == matching.split()


@pytest.mark.parametrize("patterns", ["", ",", "!a", "[", "a]", "[]", "[z-a]", "?a", "*?", "**+", "a++", "a\\", "[^a]"])
def test_patterns_that_are_none(patterns: str) -> None:
    with pytest.raises(InvalidInput, match="SOURCE_PATHS"):
        PathFilter(patterns)


def merged(text: str, **changes: Any) -> dict[str, Any]:
    """A pull request that was closed, as GitHub's page has it; only what counts here."""
    repository = {"full_name": GITOPS}
    pull = {
        "merged": True,
        "title": "chore(staging): update flowise images to f3a21bc",
        "body": text,
        "head": {"ref": "flowise/staging", "repo": repository},
        "base": {"ref": "main", "repo": repository},
    }
    return {"action": "closed", "pull_request": pull | changes, "repository": repository}


RECORD = (
    f"Triggered by: mona\nSource SHA: {SHA}\nTag: f3a21bc\n\nServer-Digest: {DIGEST}\nUI-Digest: {DIGEST}\nRun: 42\n"
)


def test_a_merged_proposal_is_followed_by_its_update() -> None:
    decision = decide("pull_request", merged(f"| image | now |\n\n```text\n{RECORD}```\n"))
    expected = update(server_digest=DIGEST, ui_digest=DIGEST)
    assert decision == Start(decision.deployment, expected, decision.key, DELIVERY)


@pytest.mark.parametrize(
    "changes",
    [
        {"merged": False},
        {"title": "docs: a typo"},
        {"head": {"ref": "flowise/dev", "repo": {"full_name": GITOPS}}},
        {"head": {"ref": "flowise/staging", "repo": {"full_name": "mallory/devops"}}},
        {"head": {"ref": "flowise/staging", "repo": None}},
        {"base": {"ref": "other", "repo": {"full_name": GITOPS}}},
    ],
)
def test_other_pull_requests_start_nothing(changes: dict[str, Any]) -> None:
    assert isinstance(decide("pull_request", merged(RECORD, **changes)), Ignored)


def test_a_merge_elsewhere_is_refused() -> None:
    other = merged(RECORD) | {"repository": {"full_name": "mallory/devops"}}
    assert isinstance(decide("pull_request", other), Ignored)
    refused("pull_request", merged(RECORD.replace(DIGEST, "sha256:x")))
