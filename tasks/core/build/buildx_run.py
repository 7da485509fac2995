"""One build by ``docker buildx build``: its arguments, what it reports, and how it ends."""

import json
import shutil
import tarfile
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tasks.core.build.build_secrets import Handed
from tasks.core.build.builder import KEPT, Order
from tasks.core.build.buildkit import Progress
from tasks.core.build.buildx_command import Docker
from tasks.core.build.connection import connect
from tasks.core.build.engine_builder import kept_layers, push_built
from tasks.core.build.engine_disk import working_name
from tasks.core.build.engine_errors import build_error
from tasks.core.errors import BuildFailed, DeliveryError, LoginExpired, Unavailable
from tasks.core.registry.errors import push_error
from tasks.core.system import interruption, process

SOLVING = ("ERROR: ", "failed to build: ", "failed to solve: ")
PUSHING = "failed to push "


@dataclass(frozen=True)
class Run:
    """One build, in a private folder."""

    docker: Docker
    folder: Path
    handed: Handed
    attestations: Sequence[str]

    def build_and_push(self, order: Order) -> str:
        """Let the builder push, with a login made now; and with another one where that expires meanwhile."""
        try:
            return self._build_and_push(order)
        except LoginExpired as expired:
            order.log(f"{expired.message} Once more, with a new login.")
            return self._build_and_push(replace(order, again=False))

    def _build_and_push(self, order: Order) -> str:
        kept = f"type=registry,ref={order.repository}:{KEPT},mode=max,image-manifest=true,oci-mediatypes=true"
        digest = self._build(
            order,
            f"--tag={order.repository}:{order.tag}",
            "--output=type=registry,store=false",
            f"--cache-to={kept},ignore-error=true",
        ).get("containerimage.digest")
        if not digest:
            raise Unavailable(f"The push of {order.repository}:{order.tag} ended without a digest.")
        order.report("push", 1)
        order.log(f"Pushed {order.repository}:{order.tag} as {digest}")
        return str(digest)

    def build_on_engine(self, order: Order) -> str:
        """Let an engine with Docker's older image store build, and push from there as the other builder does."""
        with connect(order.timeout) as engine, working_name(engine, order.image.name) as name:
            self._build(order, f"--tag={name}", "--output=type=docker", "--cache-to=type=inline")
            built = engine.inspect_image(name)["Id"]  # type: ignore[no-untyped-call]
            return push_built(engine, order, built, name)

    def _build(self, order: Order, *arguments: str) -> Mapping[str, object]:
        """Build, and return what buildx tells of the result.

        Raises:
            BuildFailed, AccessDenied, Conflict, Terminal, Unavailable: as the builder or the registry says.
        """
        self.docker.allow(order)
        metadata = self.folder / "metadata.json"
        command = ["docker", "buildx", "build", "--progress=rawjson", f"--metadata-file={metadata}"]
        command += [*self._described(order), *arguments, *self.attestations, *self.handed.arguments]
        clean = partial(process.redact, secrets=self.handed.hidden)
        platforms = order.image.platform.count(",") + 1
        told = Progress(order.log, partial(order.report, "build"), order.recipe, clean, platforms)
        code, said = self._follow(command, order, told)
        interruption.check(f"The build of {order.image.name}")
        if code:
            raise _explained(order, clean(said), told)
        order.report("build", 1)
        found: Mapping[str, object] = json.loads(metadata.read_bytes())
        return found

    def _described(self, order: Order) -> Iterator[str]:
        image = order.image
        if self.docker.builder:
            yield f"--builder={self.docker.builder}"
        yield f"--platform={image.platform}"
        if image.target:
            yield f"--target={image.target}"
        yield from (f"--build-arg={name}={value}" for name, value in order.arguments.items())
        if order.again:
            yield from ("--no-cache", "--pull")
        elif kept := kept_layers(order):
            yield f"--cache-from=type=registry,ref={kept}"

    def _context(self, order: Order) -> tuple[Sequence[str], Generator[bytes]]:
        """Return where buildx finds Dockerfile and context, and what it reads."""
        if order.recipe.apart is None:
            return (f"--file={order.image.dockerfile_in_context}", "-"), order.context()
        # In folders of their own, where COPY . . has no Dockerfile. Its empty ignore file takes precedence over one in
        # the context, which has been applied.
        context, dockerfile = self.folder / "context", self.folder / "Dockerfile"
        shutil.rmtree(context, ignore_errors=True)  # of a first try
        dockerfile.write_bytes(order.recipe.apart)
        dockerfile.with_name("Dockerfile.dockerignore").touch()
        with closing(order.context(whole=False)) as pieces, tempfile.TemporaryFile(dir=self.folder) as file:
            file.writelines(pieces)
            file.seek(0)
            with tarfile.open(fileobj=file) as tar:
                tar.extractall(context, filter="tar")
        return (f"--file={dockerfile}", str(context)), _nothing()

    def _follow(self, command: Sequence[str], order: Order, told: Progress) -> tuple[int, str]:
        """Run buildx to its end; return its exit status and what it said beside the progress."""
        said = list[str]()
        interruption.check(f"The build of {order.image.name}")
        where, context = self._context(order)
        try:
            with (
                process.fed([*command, *where], context, env=self.docker.env, timeout=order.timeout) as child,
                interruption.ended_by(partial(process.kill, child)),
            ):
                for line in child.stdout or ():
                    if not told.record_json(line):
                        said.append(line.decode(errors="replace").rstrip())
        except process.CommandFailed:
            raise BuildFailed(
                f"The build of {order.image.name} took longer than {order.timeout:g} seconds.", "See BUILD_TIMEOUT."
            ) from None
        return child.returncode, "\n".join(said)


def _explained(order: Order, said: str, told: Progress) -> DeliveryError:
    """Why buildx failed: what it says after ``ERROR:`` in the end, and which step failed by itself."""
    error = said[said.rfind("ERROR: ") :] if "ERROR: " in said else said[-500:]
    for beginning in SOLVING:
        error = error.removeprefix(beginning)
    failed = told.failed
    at = told.line_of(failed) if failed else 0
    if not at and PUSHING in error:
        return push_error(f"{order.repository}:{order.tag}", error.partition(PUSHING)[2])
    return build_error(order.image, error.strip(), failed, at)


def _nothing() -> Generator[bytes]:
    yield b""
