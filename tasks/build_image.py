"""The tasks ``build-server`` and ``build-ui``: an image of a commit in the registry, built only where it has to be."""

import hashlib
import re
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.clients import files_elsewhere, image_in_registry, registry
from tasks.core.build.context import Source
from tasks.core.images import ImageSpec
from tasks.core.models import Build, Target
from tasks.core.registry.oci import Registry
from tasks.core.settings import load
from tasks.runtime.concurrency import one_build_of
from tasks.runtime.log import info
from tasks.runtime.progress import progress_artifacts
from tasks.runtime.retries import RETRIES
from tasks.runtime.skipped import skipped

if TYPE_CHECKING:
    from tasks.core.build.publish import Options


def build_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Prefect's cache key: commit, image and where it was pushed, but not which environment it is for.

    The inputs' name would be no better a key, and has to be fetched: the registry is asked for that one.
    """
    target: Target = parameters["target"]
    settings, name = load(), context.task.name
    image: ImageSpec = getattr(settings.images, name.removeprefix("build-"))
    where = re.sub("[:/]", "-", settings.ecr_registry)
    made_of = f"{image.model_dump_json()} {files_elsewhere(settings)}"
    described = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    return f"{name}-{where}-{target.sha}-node{target.node_version}-{described}"


CACHED: dict[str, Any] = {"persist_result": True, "result_serializer": "json", "cache_key_fn": build_key}


@task(name="build-server", task_run_name="build-server {target.tag}", **CACHED, **RETRIES)
def build_server(target: Target, source: Source, force: bool = False) -> Build:
    """Build and push the server's image. See :func:`build_image`."""
    return _named(build_image(load().images.server, target, source, force, "server"))


@task(name="build-ui", task_run_name="build-ui {target.tag}", **CACHED, **RETRIES)
def build_ui(target: Target, source: Source, force: bool = False) -> Build:
    """Build and push the user interface's image. See :func:`build_image`."""
    return _named(build_image(load().images.ui, target, source, force, "ui"))


def _named(build: Build) -> Build:
    """Return a build in a state that says if nothing was built."""
    return skipped(f"Not built: {build.reused}", build) if build.reused else build


def build_image(image: ImageSpec, target: Target, source: Source, force: bool, label: str) -> Build:
    """Find an image with the same inputs in the registry, or build one with BuildKit and push it.

    Args:
        image: its description.
        target: the commit, and the tags.
        source: the commit's files.
        force: build every step, whatever the registry and the caches have.
        label: begins the log lines of the build, which runs beside another one.

    Raises:
        NotFound, BuildFailed, InvalidInput, Conflict, AccessDenied, Unavailable: see ``tasks.core.build.publish``.
    """
    with closing(registry(load())) as connected:
        image = image_in_registry(load(), image)
        connected.check(image.name)
        inputs = source.inputs(image, image.arguments(target.node_version), load().build_attestations)
        found = None if force else _same(connected, image, inputs)
        if found:
            return found
        with one_build_of(image.name, inputs):  # another run may have built it meanwhile
            found = None if force else _same(connected, image, inputs)
            return found or _built(connected, image, target, source, _options(inputs, force), label)


def _same(connected: Registry, image: ImageSpec, inputs: str) -> Build | None:
    digest = connected.digest(image.name, inputs)
    if digest is None:
        return None
    get_run_logger().info("%s was built from the same inputs: %s", digest, inputs)
    return Build(repository=image.name, digest=digest, flow_run=flow_run.id, reused=f"same inputs as {inputs}")


def _options(inputs: str, force: bool) -> "Options":
    from tasks.builder import builder  # noqa: PLC0415 - Docker's SDK is only loaded to build
    from tasks.core.build.publish import Options  # noqa: PLC0415

    settings = load()
    return Options(
        settings.build_timeout,
        inputs=inputs,
        again=force,
        cache_size=settings.build_cache_gb * 10**9,
        logins=settings.build_logins,
        builder=builder(settings),
    )


def _built(
    connected: Registry, image: ImageSpec, target: Target, source: Source, options: "Options", label: str
) -> Build:
    from tasks.core.build.publish import build_and_push  # noqa: PLC0415

    with progress_artifacts(image.name) as report:
        digest = build_and_push(image, target, source, connected, replace(options, report=report), info(label))
    return Build(repository=image.name, digest=digest, flow_run=flow_run.id, again=options.again)
