"""What a delivery of GitHub's webhooks asks for: from headers and bytes to a decision, and nothing happens here.

The shapes are those of "Webhook events and payloads" and "Validating webhook deliveries" in GitHub's documentation.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError
from pydantic.dataclasses import dataclass

from tasks.core.errors import AccessDenied, InvalidInput, NotFound
from tasks.core.git import ON_GITHUB
from tasks.core.gitops import commit_message
from tasks.core.models import ImageUpdate
from tasks.core.settings import Settings
from tasks.core.triggers.github_payloads import Dispatch, Payload, Ping, PullRequest, Push, Repository
from tasks.core.triggers.path_filter import PathFilter

DEPLOY, UPDATE = "deploy-to-k8s/deploy-to-k8s", "update-flowise-deployment/update-flowise-deployment"
"""The deployments of prefect.yaml that runs are made of; other applications' names derive from these."""

SIGNATURE = re.compile("sha256=[0-9a-f]{64}")
DELIVERY = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Start:
    """Something to do: a run of a deployment with these parameters.

    ``key`` is the same for the same body, which is what GitHub signs; ``delivery`` is the same if GitHub sends again.
    """

    deployment: str
    parameters: dict[str, Any]
    key: str
    delivery: str


@dataclass(frozen=True)
class Ignored:
    """Nothing to do, for this reason."""

    reason: str


Decision = Start | Ignored
Body = bytes | bytearray
Shape = TypeVar("Shape", bound=Payload)


class Receiver:
    """What the receiver was set up for.

    Args:
        settings: those of this installation.

    Raises:
        InvalidInput: there is no secret or no source repository, or a setting cannot be what it should be.
    """

    def __init__(self, settings: Settings) -> None:
        settings.require("github_webhook_secret", "source_repo")
        secrets = settings.github_webhook_secret, settings.github_webhook_secret_previous
        self._secrets = [each.get_secret_value().encode() for each in secrets if each]
        self._source = _on_github("SOURCE_REPO", settings.source_repo)
        self._gitops = _on_github("GITOPS_REPO", settings.gitops_repo) if settings.gitops_repo else ""
        self._ref = f"refs/heads/{settings.source_branch}"
        self._branch_of, self._names = settings.branch_of, settings.names
        self._paths = PathFilter(settings.source_paths)

    def verify(self, signature: str | None, body: Body) -> None:
        """Make sure that a body comes from a sender that knows a secret; in constant time.

        Raises:
            AccessDenied: it does not.
        """
        sent = check_signature(signature)
        wanted = ["sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest() for secret in self._secrets]
        if not any(hmac.compare_digest(each, sent) for each in wanted):
            raise AccessDenied(
                "The signature is not that of this body.", "Is the webhook's secret GITHUB_WEBHOOK_SECRET?"
            )

    def decide(self, headers: Mapping[str, str], body: Body) -> Decision:
        """Return what a delivery asks for.

        Args:
            headers: the request's headers; the names are lower-case, or asked for without regard to case.
            body: the request's body, as it came.

        Raises:
            AccessDenied: the signature is missing or wrong; nothing else was looked at.
            InvalidInput: it is genuine, but not well-formed, or the ping of a webhook that can start nothing.
        """
        self.verify(headers.get("x-hub-signature-256"), body)
        event, delivery = headers.get("x-github-event", ""), headers.get("x-github-delivery", "")
        if not DELIVERY.fullmatch(delivery):
            raise InvalidInput("X-GitHub-Delivery is missing, or is no GUID.")
        names = self._names.own(f"github-{hashlib.sha256(body).hexdigest()}"), delivery.lower()
        read = partial(_parsed, body=_json_of(headers.get("content-type", ""), body))
        if event == "push":
            return self._push(read(Push), *names)
        if event == "repository_dispatch":
            return self._dispatch(read(Dispatch), *names)
        if event == "pull_request":
            return self._merged(read(PullRequest), *names)
        if event == "ping":
            return _answer_ping(read(Ping))
        # A hook may be set to send every event: they must not look failed in GitHub's list of deliveries.
        return Ignored(f"The event {event!r:.60} starts nothing; push, pull_request and repository_dispatch do.")

    def _push(self, push: Push, key: str, delivery: str) -> Decision:
        if foreign := _foreign(push.repository, self._source, "push", "SOURCE_REPO"):
            return foreign
        if push.ref != self._ref:
            return Ignored(f"{push.ref!r:.100} was pushed; {self._ref} is deployed.")
        if push.deleted or not push.after.strip("0"):  # the zeros are git's for no commit
            return Ignored(f"{self._ref} was deleted.")
        # Where files may be missing from the list: rather one deployment too many than a change that is missed.
        if push.is_complete() and not any(self._paths.matching(push.files())):
            return Ignored("No changed file is one of SOURCE_PATHS.")
        who = push.sender.login if push.sender else push.pusher.name if push.pusher else None
        if who is None:
            raise InvalidInput("The push names neither a sender nor a pusher.")
        return Start(
            self._names.deployment(DEPLOY), {"environment": "dev", "ref": push.after, "actor": who}, key, delivery
        )

    def _merged(self, event: PullRequest, key: str, delivery: str) -> Decision:
        """Return a merged proposal of ours: its update once more finds nothing to commit, and follows the rollout."""
        if foreign := _foreign(event.repository, self._gitops, "pull_request", "GITOPS_REPO"):
            return foreign
        pull = event.pull_request
        told = commit_message.parse(f"{pull.title}\n\n{pull.body or ''}", self._names.application)
        if event.action != "closed" or not pull.merged or not told:
            return Ignored("Only the merge of a proposed update starts something.")
        digests = {f"{image}_digest": digest for image, digest in told["digests"].items()}
        fields = {name: told[name] for name in ("environment", "tag", "sha", "actor") if name in told}
        update = ImageUpdate.parse(workflow_run_id=told.get("run"), **fields, **digests)
        ours, there = self._names.proposal(update.environment), pull.head.repo
        if pull.head.ref != ours or not there or there.full_name.lower() != self._gitops:
            return Ignored(f"{pull.head.ref!r:.100} was merged; {ours} of {self._gitops} is this project's.")
        if pull.base.ref != self._branch_of(update.environment):
            return Ignored(
                f"It was merged into {pull.base.ref!r:.100}, which isn't the branch of {update.environment}."
            )
        return Start(self._names.deployment(UPDATE), update.model_dump(), key, delivery)

    def _dispatch(self, dispatch: Dispatch, key: str, delivery: str) -> Decision:
        if foreign := _foreign(dispatch.repository, self._gitops, "repository_dispatch", "GITOPS_REPO"):
            return foreign
        if dispatch.action != self._names.event:
            return Ignored(f"The action {dispatch.action!r:.100} starts nothing; {self._names.event} does.")
        return Start(
            self._names.deployment(UPDATE),
            ImageUpdate.parse(**(dispatch.client_payload or {})).model_dump(),
            key,
            delivery,
        )


def check_signature(signature: str | None) -> str:
    """Return the signature, if it could be one: what needs no body, and no secret, to be refused.

    Raises:
        AccessDenied: there is none, or it is not well-formed.
    """
    if signature is None or not SIGNATURE.fullmatch(signature):
        raise AccessDenied("X-Hub-Signature-256 is missing or not well-formed.", "Give the webhook a secret.")
    return signature


def no_deployment(name: str) -> NotFound:
    """Return the error for a deployment that Prefect does not have."""
    return NotFound(f"Prefect has no deployment {name}.", "Make it with `prefect --no-prompt deploy --all`.")


def _json_of(content_type: str, body: Body) -> Body:
    """Return the JSON of a body; as a form, which is a webhook's other content type, it has that in a field."""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return body
    try:
        fields = parse_qs(bytes(body), strict_parsing=True, max_num_fields=9)
    except ValueError:
        fields = {}
    return fields.get(b"payload", [b""])[0]


def _parsed(shape: type[Shape], body: Body) -> Shape:
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        # Without the values, which come from outside and may be huge.
        said = "; ".join(f"{'.'.join(map(str, each['loc'])):.80}: {each['msg']:.200}" for each in error.errors()[:5])
        raise InvalidInput(f"The payload is not one of {shape.__name__.lower()}: {said}.") from None


def _answer_ping(ping: Ping) -> Ignored:
    if not {"*", "push", "pull_request", "repository_dispatch"} & set(ping.hook.events):
        sent = ", ".join(ping.hook.events) or "no event"
        raise InvalidInput(
            f"This webhook sends {sent!r:.200}, which starts nothing.",
            "Choose the push event in its settings at GitHub; for an App, subscribe to repository_dispatch.",
        )
    return Ignored("A ping: the secret and the events of this webhook are right.")


def _foreign(repository: Repository, ours: str, event: str, setting: str) -> Ignored | None:
    # A webhook of an organization or an App delivers the events of all repositories: they must not look failed.
    if ours and repository.full_name.lower() == ours:
        return None
    return Ignored(f"A {event} of {repository.full_name!r:.100} starts nothing; {setting} is {ours or 'not set'}.")


def _on_github(name: str, repository: str) -> str:
    """``owner/name`` in lower case (GitHub ignores case), also of ``https://HOST/owner/name.git`` and ssh's forms."""
    path = repository
    if "://" in repository:
        path = urlsplit(repository).path.strip("/")
    elif "@" in repository:
        path = repository.partition(":")[2]
    if not ON_GITHUB.fullmatch(path):
        raise InvalidInput(
            f"{name} is not a repository on GitHub.", "Set it to owner/name: only GitHub sends webhooks."
        )
    return path.removesuffix(".git").lower()
