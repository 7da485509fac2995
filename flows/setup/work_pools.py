"""Base job templates: where the runs of a pool are carried out, and what a person who starts one can't change.

Command, folder and environment are fixed for every kind of pool. What installations differ in (networks, roles,
limits) comes from ``WORK_POOL_OPTIONS``, in the words of the kind's own job configuration.
"""

import json
import os
import shlex
import stat
import sys
from pathlib import Path
from typing import Any

from flows.setup.server_objects import RunEnvironment
from tasks.core.models import WorkPoolType
from tasks.core.settings import SECRETS_FOLDER, Settings

PROJECT = Path(__file__).parents[2]
"""Where the runs of process pools start."""

HOME = "/home/delivery"
"""Home of the user in the worker image: caches, and results that a run continues with after an approval."""

USER = 10001
"""That user's number."""

EXECUTE = "prefect flow-run execute"
"""What a container runs: it also ends the run when it is cancelled, which a bare engine leaves to a process worker."""

Job = dict[str, Any]


def base_job_template(settings: Settings, pool: str, *, builds: bool) -> dict[str, Any]:
    """Return a pool's base job template.

    The environment is a reference to a block, because a worker merges the job variable ``env`` into one that is
    written out here.

    Args:
        settings: the kind of pool, the worker image, and the options.
        pool: name of the pool, and of the block with its runs' environment.
        builds: whether its runs build images.

    Raises:
        InvalidInput: there is no worker image.
    """
    reference = f"prefect.blocks.{RunEnvironment.get_block_type_slug()}.{pool}"
    environment = f"{{{{ {reference} }}}}"
    options = json.loads(json.dumps(settings.work_pool_options).replace("{pool}", pool))
    job = _merged(_job(settings, pool, builds), options) | {"env": environment}
    # Prefect wants whatever is in braces declared; a job variable of this name replaces nothing.
    declared = {reference: {"type": "null", "description": "Fixed by flowise-setup; a run can't change it."}}
    return {"variables": {"type": "object", "properties": declared}, "job_configuration": job}


def container_environment(kind: WorkPoolType) -> dict[str, str]:
    """Return what runs in containers have besides: a worker passes its own settings of Prefect on to them."""
    return {} if kind == "process" else {"PREFECT_HOME": f"{HOME}/.prefect"}


def _job(settings: Settings, pool: str, builds: bool) -> Job:
    if settings.work_pool_type == "process":
        return _process()
    settings.require("worker_image")
    return {"docker": _docker}[settings.work_pool_type](settings.worker_image, pool, builds)


def _process() -> Job:
    """Run in this Python. With a command, a worker starts one process for a run, not another one that prepares it."""
    return {"command": f"{shlex.quote(sys.executable)} -m prefect.engine", "working_dir": str(PROJECT)}


def _docker(image: str, pool: str, builds: bool) -> Job:
    """Run in a container without privileges; secrets are files in a folder of the engine's machine."""
    secrets = f"/etc/flowise-delivery/{pool}:{SECRETS_FOLDER}:ro"
    limits: Job = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
    job: Job = {
        "command": EXECUTE,
        "image": image,
        "auto_remove": True,
        "volumes": [f"{pool}:{HOME}", secrets],
        "container_create_kwargs": limits,
    }
    if builds and (socket := _engine_socket()):
        job["volumes"] += [f"{socket}:/var/run/docker.sock"]
        limits["group_add"] = [socket.stat().st_gid]
    return job


def _engine_socket() -> Path | None:
    """Return the socket of this machine's engine; ``None`` if ``DOCKER_HOST`` names another one, or there is none."""
    kind, _, path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
    socket = Path(path)
    return socket if kind == "unix" and socket.exists() and stat.S_ISSOCK(socket.stat().st_mode) else None


def _merged(base: Any, over: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """Return ``base`` with what ``over`` says: objects key by key, lists of objects item by item."""
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: _merged(base.get(key), value) for key, value in over.items()}
    if isinstance(base, list) and isinstance(over, list) and all(isinstance(each, dict) for each in (*base, *over)):
        return [_merged(*pair) for pair in zip(base, over, strict=False)] + base[len(over) :] + over[len(base) :]
    return over
