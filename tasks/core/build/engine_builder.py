"""The builder that needs no docker command: a Docker Engine, through its API."""

import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from contextvars import copy_context
from functools import partial

import docker

from tasks.core.build import docker_engine
from tasks.core.build.builder import KEPT, Order, permitted_login
from tasks.core.build.buildkit import Help
from tasks.core.build.buildkit_session import session
from tasks.core.build.connection import connect, find_engine
from tasks.core.build.engine_disk import limit_cache, push_as, working_name
from tasks.core.build.push_progress import Layers
from tasks.core.build.session_files import Folder
from tasks.core.errors import AccessDenied, Conflict, DeliveryError, InvalidInput, LoginExpired
from tasks.core.registry.docker_config import IDENTITY, proxy_arguments
from tasks.core.registry.oci import Registry


class EngineBuilder:
    """Builds and pushes with the Docker Engine that the docker command would use."""

    def build_and_push(self, order: Order) -> str:
        """Build an image, push it under the order's tag, and return its digest in the registry.

        Raises:
            DeliveryError: see :class:`tasks.core.build.builder.Builder`.
        """
        check(order)
        with connect(order.timeout) as engine, working_name(engine, order.image.name) as name:
            built = _build(engine, order, name)
            return push_built(engine, order, built, name)


def check(order: Order) -> None:
    """Reject build secrets, SSH and several platforms, which a build doesn't get through the engine's API.

    Raises:
        InvalidInput: names the line, or the platforms.
    """
    image = order.image
    for need in order.recipe.dockerfile.private():
        # BuildKit would go on without the secret, unless the step says required.
        raise InvalidInput(
            f"{order.recipe.path}:{need.line} of {image.name} asks for {need.asks_for}, and BUILDER=engine gives builds"
            " neither secrets nor SSH.",
            f"Set BUILDER=buildx and {need.setting}={need.id}=FILE, or {need.id}=BLOCK: see docs/builders.md.",
        )
    if "," in image.platform:
        raise InvalidInput(
            f"{image.name} is to be built for {image.platform}, and BUILDER=engine builds for one platform.",
            "Set BUILDER=buildx, or one platform: see docs/builders.md.",
        )


def _build(engine: docker.APIClient, order: Order, name: str) -> str:
    login = partial(permitted_login, order.registry, order.logins)
    with ExitStack() as stack:
        folders = stack.enter_context(_folders(order)) if order.recipe.apart is not None else {}
        context = None if folders else stack.enter_context(closing(order.context()))
        opened = stack.enter_context(session(engine, login, folders))
        return docker_engine.build(
            engine,
            order.image,
            context,
            {**proxy_arguments(find_engine().host), **order.arguments},
            timeout=order.timeout,
            log=order.log,
            progress=partial(order.report, "build"),
            helped=Help("" if order.again else kept_layers(order), opened, keep=True, again=order.again),
            name=name,
            recipe=order.recipe,
        )


@contextmanager
def _folders(order: Order) -> Iterator[dict[str, Folder]]:
    """Yield the context without the Dockerfile, and the Dockerfile, as BuildKit calls them.

    A context that is sent with the call has the Dockerfile in it, and so has ``COPY . .``: even one that is ignored.
    """
    recipe = tarfile.TarInfo(docker_engine.DOCKERFILE)
    recipe.size, recipe.mode = len(order.recipe.apart or b""), 0o644
    with tempfile.TemporaryFile() as context, tempfile.TemporaryFile() as dockerfile:
        with closing(order.context(whole=False)) as pieces:
            context.writelines(pieces)
        with tarfile.open(fileobj=dockerfile, mode="w") as tar:
            tar.addfile(recipe, io.BytesIO(order.recipe.apart or b""))
        yield {"context": Folder(context), "dockerfile": Folder(dockerfile)}


def kept_layers(order: Order) -> str:
    """Return the image whose layers may be of use; nothing if there is none yet."""
    try:
        digest = order.registry.digest(order.image.name, KEPT)
    except DeliveryError as failure:
        order.log(f"No layers of {order.repository} are used: {failure.message}")
        return ""
    return f"{order.repository}@{digest}" if digest else ""


def push_built(engine: docker.APIClient, order: Order, built: str, name: str) -> str:
    """Push an image of the engine without what it keeps for other builds, and beside it the one with that.

    Args:
        engine: the engine.
        order: where it goes.
        built: id of the image on the engine, built with BuildKit's inline cache.
        name: its name there.

    Returns:
        The digest in the registry of the one without.
    """
    with ThreadPoolExecutor(1) as beside:
        keep = partial(_keep, engine, order, built)
        sent = beside.submit(copy_context().run, keep)  # what is told of it belongs to the same run
        released = docker_engine.without_cache(engine, order.image, name, order.timeout)
        sent.result()
        beside.submit(limit_cache, engine, order.cache_size)
        return _push(engine, order, released, order.tag)


def _keep(engine: docker.APIClient, order: Order, built: str) -> None:
    """Send the layers, and keep them for the next machine; where tags are immutable, the first build's, for ever."""
    try:
        _push(engine, order, built, KEPT, partial(order.report, "push"))
    except Conflict as conflict:
        order.log(f"These layers are not kept for other machines: {conflict.message}")


def _push(
    engine: docker.APIClient,
    order: Order,
    built: str,
    tag: str,
    progress: docker_engine.Fraction = lambda _: None,
) -> str:
    """Push with a login made now, after the build; and with another one where that expires meanwhile."""
    layers = len(engine.inspect_image(built)["RootFS"].get("Layers") or ())  # type: ignore[no-untyped-call]

    def once() -> str:
        auth = _auth(order.registry, order.log)
        return push_as(
            engine,
            built,
            f"{order.repository}:{tag}",
            lambda: docker_engine.push(engine, built, order.repository, tag, auth, Layers(order.log, progress, layers)),
        )

    try:
        return once()
    except LoginExpired as expired:
        order.log(f"{expired.message} Once more, with a new login.")
        return once()


def _auth(registry: Registry, log: Callable[[str], None]) -> dict[str, str]:
    """Return the login for a push as the engine's API takes it; a registry may do without one."""
    try:
        user, password = registry.credentials() or ("", "")
    except AccessDenied as unreadable:
        log(f"Pushing without a login: {unreadable.message}")
        return {}
    if user == IDENTITY:
        return {"identitytoken": password}
    return {"username": user, "password": password} if user else {}
