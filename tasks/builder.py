"""The builder that the settings name, with build secrets from Prefect's Secret blocks and from files."""

import stat
from functools import partial
from pathlib import Path
from typing import Any, cast

from tasks.clients import block_exists
from tasks.core.build.build_secrets import Read
from tasks.core.build.builder import Builder
from tasks.core.build.buildx import Attestations, Buildx
from tasks.core.build.buildx_command import Address
from tasks.core.build.engine_builder import EngineBuilder
from tasks.core.errors import InvalidInput
from tasks.core.settings import Settings
from tasks.runtime.server import patiently


def builder(settings: Settings) -> Builder:
    """Return what builds images; a secret is read only by a build that asks for it.

    Raises:
        InvalidInput: there are to be attestations, and the builder attaches none.
    """
    attested = settings.build_attestations
    if settings.builder == "engine":
        if attested:
            raise InvalidInput(
                f"BUILD_ATTESTATIONS asks for {', '.join(attested)}, and BUILDER=engine attaches none.",
                "Set BUILDER=buildx, or leave BUILD_ATTESTATIONS empty: see docs/builders.md.",
            )
        return EngineBuilder()
    return Buildx(
        work_dir=settings.work_dir,
        address=Address(settings.buildx_builder, settings.buildx_certs),
        secrets={name: _reader("BUILD_SECRETS", name, source) for name, source in settings.build_secrets.items()},
        ssh={name: _agent(name, source) for name, source in settings.build_ssh.items()},
        attestations=Attestations("provenance" in attested, "sbom" in attested, settings.build_sbom_generator),
    )


def _agent(name: str, source: str) -> Read | Path:
    path = Path(source)
    is_socket = path.is_absolute() and path.exists() and stat.S_ISSOCK(path.stat().st_mode)
    return path if is_socket else _reader("BUILD_SSH", name, source)


def _reader(setting: str, name: str, source: str) -> Read:
    return partial(_read_file if source.startswith("/") else _read_block, f"{setting}={name}={source}", source)


def _read_file(said: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{said}: the file can't be read: {error.strerror}.", "Mount it into the worker, readable for its user."
        ) from None


def _read_block(said: str, name: str) -> bytes:
    if not block_exists("secret", name):
        raise InvalidInput(
            f"{said}: there is no Prefect Secret block of that name.",
            f"Create it in the UI under Blocks, or give the absolute path of a file, as {name} isn't one.",
        )
    from prefect.blocks.system import Secret  # noqa: PLC0415 - only a build that asks for one needs it

    value = patiently(lambda: cast("Secret[Any]", Secret.load(name))).get()
    return value.encode() if isinstance(value, str) else str(value).encode()
