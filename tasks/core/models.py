"""The values that travel between tasks, flows, repositories and people."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from tasks.core.errors import InvalidInput

Environment = Literal["dev", "staging", "production"]
"""The overlays of the GitOps repository, in the order of promotion."""

Transport = Literal["inline", "prefect-event", "repository-dispatch"]
"""How the first flow tells the second one that there are new images."""

EVENT = "flowise-image-updated"
"""Name of the Prefect event, and ``event_type`` of the GitHub ``repository_dispatch``."""

TAG_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
"""A tag, by the OCI distribution specification, "Pulling manifests"."""

DIGEST_PATTERN = r"sha256:[0-9a-f]{64}"
"""A sha256 digest, by the OCI image specification, "Digests"."""

SHA_PATTERN = r"[0-9a-f]{7,40}"
"""A commit, abbreviated to no less than git's and GitHub's seven characters."""


def _one_printable_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line of printable text")
    return value


def _empty_is_none(value: object) -> object:
    # The user's workflow sends "" for a digest it does not have, and so does an emptied field of a form.
    return None if value == "" else value


Tag = Annotated[str, Field(pattern=rf"^{TAG_PATTERN}$")]
Digest = Annotated[str, Field(pattern=rf"^{DIGEST_PATTERN}$")]
NodeVersion = Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z._-]{0,31}$")]
Line = Annotated[str, Field(max_length=200), AfterValidator(_one_printable_line)]

# The patterns let "" through, so that a JSON schema made of them (the Run form's) does, too.
_Optional = BeforeValidator(_empty_is_none)
OptionalTag = Annotated[Annotated[str, Field(pattern=rf"^({TAG_PATTERN})?$")] | None, _Optional]
OptionalSha = Annotated[Annotated[str, Field(pattern=rf"^({SHA_PATTERN})?$")] | None, _Optional]
OptionalDigest = Annotated[Annotated[str, Field(pattern=rf"^({DIGEST_PATTERN})?$")] | None, _Optional]
OptionalLine = Annotated[Line | None, _Optional]


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

    @classmethod
    def parse(cls, **fields: object) -> "ImageUpdate":
        """Check the fields of a message that came from outside.

        Raises:
            InvalidInput: a field is not well-formed; the message names it and says why.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            # Without the values: they may be secrets, or huge.
            said = "; ".join(f"{'.'.join(map(str, each['loc'])):.80}: {each['msg']}" for each in error.errors())
            raise InvalidInput(
                f"The image update is not valid: {said}.",
                "Nothing was changed. Send the seven keys of the flowise-image-updated payload.",
            ) from None

    def payload(self) -> dict[str, str]:
        """The seven keys as the user's workflows write them: text, empty where there is no value."""
        return {name: value or "" for name, value in self.model_dump().items()}


class Target(Value):
    """What set-env decides: which commit goes where, and what its images are called.

    ``tag`` is the seven-character sha, with ``tag_version`` in front where one was given.
    """

    environment: Environment
    sha: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    tag: Tag
    node_version: NodeVersion

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags each image gets: the release's own, ``latest``, and the full sha."""
        return (self.tag, "latest", self.sha)


class ImageSpec(Value):
    """How one image is made: ``context`` is a folder of the source repository, ``dockerfile`` a path inside of it."""

    name: str
    dockerfile: str
    context: str = "."
    platform: str = "linux/amd64"


SERVER = ImageSpec(name="flowise-server", dockerfile="packages/server/Dockerfile")
UI = ImageSpec(name="flowise-ui", dockerfile="packages/ui/Dockerfile")


class Build(Value):
    """What building an image left in the registry, as Prefect caches it; ``flow_run`` is the run that built it."""

    repository: str
    digest: Digest
    flow_run: str | None


class BuiltImage(Value):
    """An image in the registry.

    ``uri`` is ``registry/repository:tag``; ``digest`` is what the registry answers for that tag;
    ``built`` is false when an image that was already there is used.
    """

    uri: str
    repository: str
    tags: tuple[str, ...]
    digest: Digest
    built: bool


class ImageChange(Value):
    """One image in an overlay, before and after; ``old`` is ``None`` where the overlay did not name it."""

    old: ImageRef | None
    new: ImageRef


class UpdateResult(Value):
    """What the second flow did to the GitOps repository.

    ``commit`` holds this state, also when nothing had to change. ``changes`` and ``diff`` (a unified one) are what
    changed, or would have in a dry run. ``skipped`` says why nothing was written though something would change.
    """

    environment: Environment
    tag: str
    changed: bool
    commit: str
    overlay_path: str
    images: Sequence[ImageRef]
    changes: Sequence[ImageChange] = ()
    diff: str = ""
    skipped: str = ""


class DeployResult(Value):
    """What the first flow did. ``update`` is the second flow's result where it ran inline."""

    environment: Environment
    tag: str
    sha: str
    server: BuiltImage
    ui: BuiltImage
    dispatched_via: Transport
    update: UpdateResult | None = None
