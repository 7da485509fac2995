"""docs/examples/kubernetes: rendered by real kustomize, valid by Kubernetes' schemas, and with no right too many."""

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from flows.setup.server_objects import HOME
from flows.setup.work_pools import CERTIFICATES, USER
from tasks.core.manifests.render import kustomize
from tasks.core.names import Names

EXAMPLE = Path(__file__).parents[1] / "docs/examples/kubernetes"
NAMES = Names()
PREFECT = {"batch": {"jobs"}, "": {"pods", "pods/log", "pods/status", "events"}}
"""What Prefect's own chart for a worker lets it have, by API group."""


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], Any]:
    """The rendered objects, by kind and name."""
    ran = subprocess.run([*kustomize(), str(EXAMPLE)], capture_output=True, text=True, check=True, timeout=60)
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(ran.stdout)}


def check_restricted(pod: dict[str, Any]) -> None:
    """Check what the Pod Security Standard "restricted" asks for, and a read-only root besides."""
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, USER)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
    for container in pod["containers"]:
        confined = container["securityContext"]
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert {HOME, "/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_every_object_is_valid(objects: dict[tuple[str, str], Any]) -> None:
    assert len(objects) == 15
    for each in objects.values():
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def test_workers_are_confined_and_serve_the_pools_of_set_up(objects: dict[tuple[str, str], Any]) -> None:
    for pool in (NAMES.build_pool, NAMES.gitops_pool):
        deployment = objects["Deployment", f"{pool}-worker"]
        pod = deployment["spec"]["template"]["spec"]
        check_restricted(pod)
        command = " ".join(pod["containers"][0]["args"])
        assert command.startswith(f"prefect worker start --pool {pool} --type kubernetes")
        assert deployment["metadata"]["namespace"] == NAMES.namespace
        assert pod["serviceAccountName"] == "flowise-worker"
    secrets = [name for kind, name in objects if kind == "Secret"]
    assert secrets == [], "whoever installs it makes them"


def test_only_workers_have_a_token_and_only_for_jobs_and_pods_of_their_namespace(
    objects: dict[tuple[str, str], Any],
) -> None:
    role = objects["Role", "flowise-worker"]
    assert {group: set(rule["resources"]) for rule in role["rules"] for group in rule["apiGroups"]} == PREFECT
    assert not [rule for rule in role["rules"] if "*" in rule["verbs"]]
    assert not [kind for kind, _ in objects if kind.startswith("ClusterRole")]
    assert [each["name"] for each in objects["RoleBinding", "flowise-worker"]["subjects"]] == ["flowise-worker"]
    for kind, name in objects:
        if kind == "ServiceAccount":
            assert objects[kind, name]["automountServiceAccountToken"] is False
    for pool in (NAMES.build_pool, NAMES.gitops_pool):
        annotations = objects["ServiceAccount", pool]["metadata"]["annotations"]
        assert annotations["eks.amazonaws.com/role-arn"].endswith(f":role/{pool}")


def test_buildkitd_has_no_root_and_takes_builds_alone_with_a_certificate(objects: dict[tuple[str, str], Any]) -> None:
    pod = objects["Deployment", "buildkitd"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"].endswith("-rootless")
    assert container["securityContext"]["runAsNonRoot"] is True
    assert "privileged" not in container["securityContext"]
    assert {"--tlscacert", "--tlscert", "--tlskey"} <= set(container["args"])
    (rule,) = objects["NetworkPolicy", "buildkitd"]["spec"]["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": NAMES.build_pool}
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": NAMES.namespace}
    assert CERTIFICATES.startswith("/etc/flowise-delivery/")


def test_instance_metadata_is_out_of_reach(objects: dict[tuple[str, str], Any]) -> None:
    policies = [each for (kind, _), each in objects.items() if kind == "NetworkPolicy"]
    wide = [
        peer["ipBlock"]
        for policy in policies
        for rule in policy["spec"]["egress"]
        for peer in rule.get("to", ())
        if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
    ]
    assert len(wide) == 2
    assert all({"169.254.169.254/32", "169.254.0.0/16"} & set(each["except"]) for each in wide)
