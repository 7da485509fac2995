"""What the two images of a delivery are made from: data, with the user's own two as the default."""

import posixpath
from collections.abc import Callable, Collection, Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tasks.core import image_rules
from tasks.core.models import IMAGES, Line, Value


def _more_of(default: "ImageSpec") -> Callable[[object], object]:
    return lambda given: {**dict(default), **given} if isinstance(given, Mapping) else given


InRepository = Annotated[str, Field(min_length=1), AfterValidator(image_rules.inside)]


class ImageSpec(Value):
    """How one image is made.

    Args:
        name: its repository in the registry.
        manifest_name: its name in the manifests; by default ``name``, or the last part of it.
        dockerfile: its path from the context, which may lead out of that: ``../docker/Dockerfile``.
        context: a folder of the source repository.
        paths: patterns of ``.dockerignore``, here for what the context consists of; everything by default.
        build_args: values of the Dockerfile's ``ARG``, beside ``NODE_VERSION``.
        platform: what it runs on; several, with commas between, make one index (``BUILDER=buildx``).
        target: the Dockerfile's stage to build, by name or number; the last one by default.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+([._/-]+[a-z0-9]+)*$", max_length=255)]
    manifest_name: Line = ""
    dockerfile: Annotated[str, Field(min_length=1), AfterValidator(image_rules.relative)]
    context: InRepository = "."
    paths: tuple[Annotated[Line, Field(min_length=1)], ...] = ()
    build_args: Annotated[dict[str, Line], AfterValidator(image_rules.for_each_image)] = Field(default_factory=dict)
    platform: Annotated[str, Field(pattern=image_rules.PLATFORMS)] = "linux/amd64"
    target: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=255)] = ""

    _supported = model_validator(mode="before")(image_rules.supported)

    def entry(self, known: Collection[str]) -> str:
        """Return the name of its entry in an overlay that has entries of these names."""
        last = self.name.rpartition("/")[2]
        return self.manifest_name or (last if last in known and self.name not in known else self.name)

    @model_validator(mode="after")
    def _in_the_repository(self) -> "ImageSpec":
        if self.dockerfile_path.startswith("../"):
            raise ValueError(f"dockerfile {self.dockerfile!r:.80} is outside of the repository")
        return self

    @property
    def dockerfile_path(self) -> str:
        """The Dockerfile's path in the repository."""
        return posixpath.normpath(self.folder + self.dockerfile)

    @property
    def dockerfile_in_context(self) -> str:
        """The same from the context."""
        return posixpath.relpath(self.dockerfile_path, self.context)

    @property
    def folder(self) -> str:
        """What the paths of the context's files begin with in the repository; empty for the whole repository."""
        return "" if self.context == "." else f"{self.context}/"

    def arguments(self, node_version: str) -> dict[str, str]:
        """All build arguments of a run."""
        return {image_rules.RUNS_ARGUMENT: node_version, **self.build_args}


SERVER = ImageSpec(name="flowise-server", dockerfile="packages/server/Dockerfile")
UI = ImageSpec(name="flowise-ui", dockerfile="packages/ui/Dockerfile")


class Images(Value):
    """The two images of a delivery; where a field of one is not given, it is the default's."""

    server: Annotated[ImageSpec, BeforeValidator(_more_of(SERVER))] = SERVER
    ui: Annotated[ImageSpec, BeforeValidator(_more_of(UI))] = UI

    @property
    def specs(self) -> dict[str, ImageSpec]:
        """Each image's description, by its field."""
        return {image: getattr(self, image) for image in IMAGES}

    def entries(self, known: Collection[str]) -> tuple[str, ...]:
        """Return the names of their entries in an overlay that has entries of these names."""
        return tuple(spec.entry(known) for spec in self.specs.values())

    @model_validator(mode="after")
    def _distinct(self) -> "Images":
        names = [spec.name for spec in self.specs.values()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"both images are called {name}")
        return self
