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

from flows.setup.server_objects import HOME, RunEnvironment
from tasks.core.settings import SECRETS_FOLDER, Settings

PROJECT = Path(__file__).parents[2]
"""Where the runs of process pools start."""

USER = 10001
"""That user's number."""

CERTIFICATES = "/etc/flowise-delivery/buildkit"
"""Where a build in Kubernetes has the client certificates of buildkitd: ``BUILDX_CERTS``."""

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


def _job(settings: Settings, pool: str, builds: bool) -> Job:
    if settings.work_pool_type == "process":
        return _process()
    settings.require("worker_image")
    if settings.work_pool_type == "docker":
        return _docker(settings.worker_image, pool, builds)
    if settings.work_pool_type == "kubernetes":
        return _kubernetes(settings.worker_image, pool, settings.names.namespace, builds)
    return _ecs(settings.worker_image, pool)


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


def _kubernetes(image: str, pool: str, namespace: str, builds: bool) -> Job:
    """Run as a Kubernetes Job of the pool's service account, with what docs/examples/kubernetes makes for the pool.

    Its secrets are the Secret of the pool's name; a build has the client certificates of buildkitd besides.
    """
    folders = {"home": HOME, "tmp": "/tmp"}  # noqa: S108 - the container's own; all else is read-only
    volumes: list[Job] = [{"name": name, "emptyDir": {}} for name in folders]
    if builds:
        folders["buildkit-certs"] = CERTIFICATES
        volumes.append({"name": "buildkit-certs", "secret": {"secretName": "buildkit-client", "optional": True}})
    container = {
        "name": "prefect-job",
        "image": image,
        "args": EXECUTE.split(),
        "envFrom": [{"secretRef": {"name": pool, "optional": True}}],
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in folders.items()],
    }
    pod = {
        "restartPolicy": "Never",
        "parallelism": 1,  # Prefect looks for both here
        "completions": 1,
        "serviceAccountName": pool,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }
    template = {"metadata": {"labels": {"app.kubernetes.io/component": pool}}, "spec": pod}
    spec = {"backoffLimit": 0, "ttlSecondsAfterFinished": 3600, "template": template}
    return {
        "command": EXECUTE,
        "namespace": namespace,
        "pod_watch_timeout_seconds": 300,
        "job_manifest": {"apiVersion": "batch/v1", "kind": "Job", "metadata": {}, "spec": spec},
    }


def _ecs(image: str, pool: str) -> Job:
    """Run as a Fargate task of its own, in a task definition that is the same for all runs of the pool."""
    container = {"name": pool, "image": image, "readonlyRootFilesystem": False}
    definition = {"family": pool, "cpu": "1024", "memory": "4096", "containerDefinitions": [container]}
    overrides = {"containerOverrides": [{"name": pool}]}
    return {
        "command": EXECUTE,
        "container_name": pool,
        "match_latest_revision_in_family": True,
        "task_definition": definition,
        "task_run_request": {"launchType": "FARGATE", "overrides": overrides},
    }


def _merged(base: Any, over: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """Return ``base`` with what ``over`` says: objects key by key, lists of objects item by item."""
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: _merged(base.get(key), value) for key, value in over.items()}
    if isinstance(base, list) and isinstance(over, list) and all(isinstance(each, dict) for each in (*base, *over)):
        return [_merged(*pair) for pair in zip(base, over, strict=False)] + base[len(over) :] + over[len(base) :]
    return over
