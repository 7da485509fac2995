"""The builder for what the engine's API lacks: the docker command's buildx, with any driver.

It brings build secrets and SSH, layers of all stages kept in the registry (``mode=max``), several platforms in one
index, attestations, and builders on other machines.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.core.build.build_secrets import Read, hand
from tasks.core.build.builder import Order
from tasks.core.build.buildx_command import Address, Docker, Found
from tasks.core.build.buildx_run import Run
from tasks.core.build.connection import connect, current_context
from tasks.core.build.dockerfile import Private
from tasks.core.build.engine_disk import limit_cache
from tasks.core.errors import InvalidInput
from tasks.core.system.temp_dir import temp_dir


@dataclass(frozen=True)
class Attestations:
    """What is attached to an image.

    Args:
        provenance: how it was built.
        sbom: what is in it.
        generator: the image that writes the SBOM; BuildKit's own by default.
    """

    provenance: bool = False
    sbom: bool = False
    generator: str = ""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of buildx; its own default is a provenance that makes every digest another one."""
        sbom = f"generator={self.generator}" if self.generator else "true"
        return (
            f"--provenance={'mode=max' if self.provenance else 'false'}",
            f"--sbom={sbom if self.sbom else 'false'}",
        )


@dataclass(frozen=True)
class Buildx:
    """Builds and pushes with ``docker buildx``.

    Args:
        work_dir: where its configuration, logins and secrets are while it builds.
        address: which builder.
        secrets: values of build secrets, by id.
        ssh: private keys, or sockets of agents (the path itself), by id.
        attestations: what is attached to the images.
    """

    work_dir: Path
    address: Address = field(default_factory=Address)
    secrets: Mapping[str, Read] = field(default_factory=dict)
    ssh: Mapping[str, Read | Path] = field(default_factory=dict)
    attestations: Attestations = field(default_factory=Attestations)

    def build_and_push(self, order: Order) -> str:
        """Build an image, push it under the order's tag, and return its digest in the registry.

        Raises:
            InvalidInput: docker, buildx, the builder or a secret is missing, or the builder can't make it.
            DeliveryError: see :class:`tasks.core.build.builder.Builder`.
        """
        private = self._private(order)
        with temp_dir(self.work_dir) as folder:
            docker = Docker(folder, self.address)
            builder = docker.find()
            self._check(order, builder)
            run = Run(docker, folder, hand(private, folder), self.attestations.arguments)
            if not builder.full:
                return run.build_on_engine(order)
            digest = run.build_and_push(order)
        if builder.driver == "docker":
            with connect(order.timeout) as engine:
                limit_cache(engine, order.cache_size)
        return digest

    def _private(self, order: Order) -> dict[tuple[str, str], Read | Path]:
        """Return what the Dockerfile asks for, by kind and id.

        Raises:
            InvalidInput: it isn't there.
        """
        return {(need.kind, need.id): self._find(need, order) for need in order.recipe.dockerfile.private()}

    def _find(self, need: Private, order: Order) -> Read | Path:
        where = f"{order.recipe.path}:{need.line} of {order.image.name} asks for {need.asks_for}"
        if "$" in need.kind + need.id:
            raise InvalidInput(
                f"{where}, and a build argument decides which.", "Write type and id into the Dockerfile."
            )
        given: Mapping[str, Read | Path] = self.ssh if need.kind == "ssh" else self.secrets
        if need.id not in given:
            # BuildKit would go on without it, unless the step says required.
            raise InvalidInput(
                f"{where} with the id {need.id}, and {need.setting} has none of that id.",
                f"Add it to {need.setting}, as {need.id}=FILE or {need.id}=BLOCK.",
            )
        return given[need.id]

    def _check(self, order: Order, builder: Found) -> None:
        if builder.driver == "docker" and builder.name != current_context():
            raise InvalidInput(
                f"BUILDX_BUILDER={builder.name} is a docker context and not the current one.",
                f"Set DOCKER_CONTEXT={builder.name} instead.",
            )
        wanted = [f"{order.image.name} for {order.image.platform}"] * ("," in order.image.platform)
        wanted += ["attestations"] * (self.attestations.provenance or self.attestations.sbom)
        if wanted and not builder.full:
            raise InvalidInput(
                f"The builder {builder.name} can't make {' and '.join(wanted)}: its engine keeps images in Docker's"
                " older store.",
                "Switch the engine to the containerd image store, or set BUILDX_BUILDER to another driver's builder.",
            )
