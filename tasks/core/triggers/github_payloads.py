"""The payloads of GitHub's webhooks, as far as they count here, by its page "Webhook events and payloads"."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tasks.core.models import Line

MAX_COMMITS, MAX_FILES = 2048, 3000
"""GitHub lists so many commits of a push, and so many files of a commit, and leaves out the rest."""

FullSha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Login = Annotated[Line, Field(min_length=1)]


class Payload(BaseModel):
    """A part of a payload: the fields that count here, each of exactly its type; GitHub sends many more."""

    model_config = ConfigDict(frozen=True, strict=True)


class Repository(Payload):
    """Where the event happened."""

    full_name: str


class Sender(Payload):
    """Who caused the event."""

    login: Login


class Pusher(Payload):
    """Who pushed, as git knows them; where GitHub names no sender."""

    name: Login


class Commit(Payload):
    """A commit of a push with the files it changed."""

    id: FullSha
    added: list[str] | None = None
    modified: list[str] | None = None
    removed: list[str] | None = None

    def files(self) -> list[str]:
        """Every file that is named."""
        return [*(self.added or ()), *(self.modified or ()), *(self.removed or ())]

    def is_complete(self) -> bool:
        """Whether no file is left out."""
        return None not in (self.added, self.modified, self.removed) and len(self.files()) < MAX_FILES


class Push(Payload):
    """The payload of ``push``."""

    ref: str
    after: FullSha
    created: bool
    deleted: bool
    forced: bool
    commits: list[Commit]
    repository: Repository
    sender: Sender | None = None
    pusher: Pusher | None = None

    def is_complete(self) -> bool:
        """Whether the commits are all that the branch has new, without gaps."""
        listed = 0 < len(self.commits) < MAX_COMMITS and self.commits[-1].id == self.after
        return listed and not self.created and not self.forced and all(each.is_complete() for each in self.commits)

    def files(self) -> Iterator[str]:
        """Every changed file that is named; some more than once."""
        return (file for commit in self.commits for file in commit.files())


class Dispatch(Payload):
    """The payload of ``repository_dispatch``."""

    action: str
    client_payload: dict[str, Any] | None
    repository: Repository


class Side(Payload):
    """One side of a pull request: a branch, and the repository it is in, unless that one is gone."""

    ref: str
    repo: Repository | None = None


class Proposal(Payload):
    """A pull request."""

    merged: bool
    title: str
    body: str | None
    head: Side
    base: Side


class PullRequest(Payload):
    """The payload of ``pull_request``, when it was closed."""

    action: str
    pull_request: Proposal
    repository: Repository


class Hook(Payload):
    """How a webhook is set up."""

    events: list[str]


class Ping(Payload):
    """The payload of ``ping``, which GitHub sends when a webhook is made."""

    hook: Hook
    repository: Repository | None = None
