"""The values that travel between tasks, flows, repositories and people."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from tasks.core.errors import InvalidInput
from tasks.core.form import Plain, text
from tasks.core.text import LINE

IMAGES = {"server": "Server", "ui": "UI"}
"""The images of a delivery, as fields and as people write them; each is built by a task of its own."""

Environment = Literal["dev", "staging", "production"]
"""The overlays of the GitOps repository, in the order of promotion."""

ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)


Transport = Literal["inline", "prefect-event", "repository-dispatch"]
"""How the first flow tells the second one that there are new images."""

Render = Literal["auto", "require", "off"]
"""Whether kustomize renders an overlay before a commit: if it can, always, or never."""

Elsewhere = Literal["reject", "fetch", "leave"]
"""What happens to files that git keeps outside of a commit: the build ends, gets them, or goes on without them."""

WorkPoolType = Literal["process", "docker", "kubernetes", "ecs"]
"""Where the runs of deployments are carried out, as Prefect names the types of work pools."""

BuilderKind = Literal["engine", "buildx"]
"""What builds images: the Docker Engine's API, or the docker command's buildx."""

Attestation = Literal["provenance", "sbom"]
"""What may be attached to an image: how it was built, and what is in it."""

NodeVersion = Literal["18", "20", "22", "24"]
"""The Dockerfiles' NODE_VERSION: Node's even releases, which get long-term support."""

TAG_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
"""A tag, by the OCI distribution specification, "Pulling manifests"."""

DIGEST_PATTERN = r"sha256:[0-9a-f]{64}"
"""A sha256 digest, by the OCI image specification, "Digests"."""

SHA_PATTERN = r"[0-9a-f]{7,40}"
"""A commit, abbreviated to no less than git's and GitHub's seven characters."""

REF_PATTERN = r"^[^-\x00-\x20\x7f~^:?*\[\\][^\x00-\x20\x7f~^:?*\[\\]{0,254}$"
"""What a form can tell of a branch, tag or commit; ``tasks.core.git.check_ref`` knows git's rules to the end."""

LINE_PATTERN = r"^[^\x00-\x1f\x7f\x85\u2028\u2029]*$"
"""What a form can tell of one line of printable text."""

TOLD = 10
"""What is wrong with a message that is told at once: more than it has fields."""


def _one_printable_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line of printable text")
    return value


def _place(keys: Iterable[object]) -> str:
    """Where something is wrong; keys come from outside, too, and may be anything."""
    text = ".".join(map(str, keys))[:80]
    return text if text.isprintable() else ascii(text)


def _empty_is_none(value: object) -> object:
    # The user's workflow sends "" for a digest it does not have, and so does an emptied field of a form.
    return None if value == "" else value


_TAG = "letters, digits and . _ - alone, such as v1.2.0"
_DIGEST = "sha256: and 64 digits or letters from a to f"
_SHA = "a commit, 7 to 40 digits or letters from a to f, such as f3a21bc"
_LINE = "one line of printable text, such as a name"

Tag = Annotated[str, text(rf"^{TAG_PATTERN}$", _TAG)]
Digest = Annotated[str, text(rf"^{DIGEST_PATTERN}$", _DIGEST)]
Ref = Annotated[str, text(REF_PATTERN, "a branch, tag or commit, such as main, v1.2.0 or f3a21bc")]
Line = Annotated[str, text(LINE_PATTERN, _LINE, max_length=LINE), AfterValidator(_one_printable_line)]


# The patterns let "" through, so that a JSON schema made of them (the Run form's) does, too.
_Optional = BeforeValidator(_empty_is_none)
OptionalTag = Annotated[Annotated[str, text(rf"^({TAG_PATTERN})?$", _TAG)] | None, _Optional, Plain()]
OptionalSha = Annotated[Annotated[str, text(rf"^({SHA_PATTERN})?$", _SHA)] | None, _Optional, Plain()]
OptionalDigest = Annotated[Annotated[str, text(rf"^({DIGEST_PATTERN})?$", _DIGEST)] | None, _Optional, Plain()]
OptionalLine = Annotated[Line | None, _Optional, Plain()]


class Value(BaseModel):
    """A frozen value that knows its fields and refuses others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class ImageRef:
    """What an overlay says of one image: an entry of ``images:`` in a kustomization.yaml.

    Args:
        name: the image's name in the manifests, such as ``flowise-server``.
        new_name: what replaces it, such as ``registry.example.com/flowise-server``; ``None`` leaves it alone.
        tag: ``newTag``; ignored when there is a digest.
        digest: ``sha256:...``; goes before the tag, because it cannot change its meaning.
    """

    name: str
    new_name: str | None = None
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        suffix = f"@{self.digest}" if self.digest else f":{self.tag}" if self.tag else ""
        return f"{self.new_name or self.name}{suffix}"


class ImageUpdate(Value):
    """The message between the two repositories: exactly the seven keys of the user's dispatch payload."""

    environment: Environment
    tag: Tag
    sha: OptionalSha = None
    server_digest: OptionalDigest = None
    ui_digest: OptionalDigest = None
    actor: OptionalLine = None
    workflow_run_id: OptionalLine = None

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each image in :data:`IMAGES`; empty if it is deployed by its tag."""
        return {image: getattr(self, f"{image}_digest") or "" for image in IMAGES}

    @classmethod
    def parse(cls, /, **fields: object) -> "ImageUpdate":
        """Check the fields of a message that came from outside.

        Raises:
            InvalidInput: a field is not well-formed; the message names it and says why.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            # Without the values: they may be secrets, or huge.
            said = "; ".join(f"{_place(each['loc'])}: {each['msg']}" for each in error.errors()[:TOLD])
            raise InvalidInput(
                f"The image update is not valid: {said}.",
                "Nothing was changed. Send the seven keys of the event's payload.",
            ) from None

    def payload(self) -> dict[str, str]:
        """Return the seven keys as the user's workflows write them: text, empty where there is no value."""
        return {name: value or "" for name, value in self.model_dump().items()}


class Target(Value):
    """What set-env decides: which commit goes where, and what its images are called.

    ``tag`` is the seven-character sha, with ``tag_version`` in front where one was given; ``suffix``, at the end of all
    tags, tells another version of Node.js than the usual one.
    """

    environment: Environment
    sha: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    tag: Tag
    node_version: NodeVersion
    suffix: str = ""

    @property
    def tags(self) -> tuple[str, str]:
        """Return the tags that each image gets: the release's own, and the full sha."""
        return self.tag, f"{self.sha}{self.suffix}"


class Build(Value):
    """What is in the registry for a commit, as Prefect caches it.

    ``flow_run`` is the run that built it, or found it there; ``reused`` says then why nothing was built. ``again`` says
    that it was built again on purpose, so that the commit's tags may mean the image before it.
    """

    repository: str
    digest: Digest
    flow_run: str | None
    reused: str = ""
    again: bool = False


class BuiltImage(Value):
    """An image in the registry.

    ``uri`` is ``registry/repository:tag``; ``digest`` is what the registry answers for that tag;
    ``built`` is false when an image that was already there is used, and ``reused`` says why.
    """

    uri: str
    repository: str
    tags: tuple[str, ...]
    digest: Digest
    built: bool
    reused: str = ""


class ImageChange(Value):
    """One image in an overlay, before and after; ``old`` is ``None`` where the overlay did not name it."""

    old: ImageRef | None
    new: ImageRef


class ObjectChange(Value):
    """One object of the rendered overlay that becomes different, such as ``Deployment flowise-dev/flowise-server``.

    ``effect`` says what that means for it, such as ``restarts``; ``images`` are those that change, from old to new.
    """

    object: str
    effect: str
    images: Sequence[tuple[str, str]] = ()


class Origin(Value):
    """Where an update's images come from when nothing was built for it.

    ``images`` are the entries as they stand there, ``promoted_from`` an environment and a GitOps commit. A rollback
    takes the deployment of the commit ``rolls_back`` back to that of ``restores``, or what came by hand since
    ``restores``; ``reason`` is a person's, or an error. ``since`` is when the promoted deployment came there.
    """

    images: tuple[ImageRef, ...]
    promoted_from: str = ""
    since: AwareDatetime | None = None
    restores: str = ""
    rolls_back: str = ""
    reason: Line = ""


class Move(Value):
    """An update for which nothing has to be built, and where it comes from."""

    update: ImageUpdate
    origin: Origin


class Approval(Value):
    """An operator's word for these changes and no others; ``by`` is a name and how it is known."""

    by: Line = ""
    note: Line = ""
    changes: tuple[ImageChange, ...] = ()

    def covers(self, changes: Sequence[ImageChange]) -> bool:
        """Whether these are the changes that were approved."""
        return bool(self.by) and self.changes == tuple(changes)


NOT_YET = Approval()
"""An approval is needed, and there is none so far."""


class UpdateResult(Value):
    """What the second flow did to the GitOps repository.

    ``commit`` holds this state, also when nothing had to change. ``changes`` and ``diff`` (a unified one) are what
    changed, or would have in a dry run. ``skipped`` says why nothing was written though something would change;
    ``pending`` that nothing was, because these changes aren't approved. ``replaces`` is the source commit that was
    deployed before, where it is known. ``proposed`` means that ``commit`` is on a branch of its own, for the pull
    request whose address is ``pull_request``.
    """

    environment: Environment
    tag: str
    changed: bool
    commit: str
    overlay_path: str
    images: Sequence[ImageRef]
    changes: Sequence[ImageChange] = ()
    diff: str = ""
    objects: Sequence[ObjectChange] = ()
    warnings: Sequence[str] = ()
    skipped: str = ""
    pending: bool = False
    replaces: str = ""
    approved_by: str = ""
    approval_note: str = ""
    origin: Origin | None = None
    proposed: bool = False
    pull_request: str = ""
    rollout: "Rollout | None" = None

    @property
    def superseded(self) -> bool:
        """Whether its images do not run because a newer commit has brought others."""
        return self.rollout is not None and self.rollout.status == "superseded"

    @property
    def suspended(self) -> bool:
        """Whether its images run only in part, until a person says so."""
        return self.rollout is not None and self.rollout.status == "suspended"


class Rollout(Value):
    """How an update arrived in the cluster; one that failed is an exception.

    ``revision`` is the commit Argo CD has deployed (the pushed one or a descendant), ``images`` those it sees running,
    ``seconds`` how long it was waited for, ``message`` Argo CD's own words, or why there was no waiting,
    ``endpoint`` the answer of the environment's health check. ``superseded`` means that a newer commit has other
    images: that one's run sees to it; ``suspended``, that a canary waits for a person, who promotes or aborts it.
    """

    application: str
    status: Literal["healthy", "skipped", "superseded", "suspended"]
    revision: str = ""
    images: Sequence[str] = ()
    seconds: float = 0
    message: str = ""
    endpoint: str = ""


class ShownDeployment(NamedTuple):
    """Where an environment answers, and the git provider's id of a delivery that is shown already."""

    endpoint: str = ""
    id: int | None = None


NOT_SHOWN = ShownDeployment()


class UpdateRun(Value):
    """The second flow's run where it is one of its own; ``url`` is its page in the UI, ``state`` the last one seen."""

    id: str
    name: str
    url: str
    state: str


class DeployResult(Value):
    """What the first flow did.

    ``update`` is the second flow's result where it ran inline, ``update_run`` its run where an event started one.
    """

    environment: Environment
    tag: str
    sha: str
    server: BuiltImage
    ui: BuiltImage
    dispatched_via: Transport
    update: UpdateResult | None = None
    update_run: UpdateRun | None = None

    @property
    def images(self) -> tuple[BuiltImage, ...]:
        """What was built of each image in :data:`IMAGES`."""
        return tuple(getattr(self, image) for image in IMAGES)


class PlannedImage(Value):
    """What a dry run says of an image: the digest that would be used again, or none if it would be built; and why."""

    repository: str
    digest: OptionalDigest = None
    why: str


class DeployPlan(Value):
    """What the first flow would do. ``update`` is planned by tag for an image that isn't built yet."""

    environment: Environment
    tag: str
    sha: str
    server: PlannedImage
    ui: PlannedImage
    update: UpdateResult

    @property
    def images(self) -> tuple[PlannedImage, ...]:
        """What is planned for each image in :data:`IMAGES`."""
        return tuple(getattr(self, image) for image in IMAGES)
