"""Names that two applications on one server must not share, and what they are for the first one."""

import yaml

from flows.setup.deployments import prefect_yaml
from flows.setup.steps import RECOVERIES
from tasks.core.names import Names
from tasks.core.settings import Settings
from tests.flows.conftest import PROJECT

NAMES = {
    "tag": ("flowise", "acme-eu"),
    "build_pool": ("flowise-build", "acme-eu-build"),
    "gitops_pool": ("flowise-gitops", "acme-eu-gitops"),
    "namespace": ("flowise-delivery", "acme-eu-delivery"),
    "alert_blocks": ("flowise-alerts", "acme-eu-alerts"),
    "event": ("flowise-image-updated", "acme-eu-image-updated"),
    "notification": ("flowise-notify-dev", "acme-eu-notify-dev"),
    "image_resource": ("flowise.image.dev", "acme-eu.image.dev"),
    "environment_resource": ("flowise.environment.dev", "acme-eu.environment.dev"),
    "title": ("Flowise", "Acme-eu"),
    "recovery": ("Flowise recovery: dev", "Acme-eu recovery: dev"),
    "alert": ("Flowise alert: dev", "Acme-eu alert: dev"),
    "limit": ("flowise-dev", "acme-eu-dev"),
    "build_limit": ("slot-build-dev", "slot-build-acme-eu-dev"),
    "variable": ("flowise_dev", "acme_eu_dev"),
    "deployment": ("dev/dev", "dev/acme-eu-dev"),
    "proposal": ("flowise/dev", "acme-eu/dev"),
    "own": ("dev", "acme-eu-dev"),
}
"""Each name of a thing that is called ``dev``, for the default application and for another one."""


def test_no_name_is_shared_and_those_of_the_first_application_stay() -> None:
    public = {name for name in vars(Names) if not name.startswith("_")} - {"application"}
    assert public == set(NAMES)
    for name, expected in NAMES.items():
        found = [getattr(Names(*application), name) for application in ((), ("acme-eu",))]
        argument = "dev/dev" if name == "deployment" else "dev"
        assert tuple(each(argument) if callable(each) else each for each in found) == expected, name


def test_settings_that_name_things_derive_from_the_application_unless_they_are_set() -> None:
    ours, other = Settings(), Settings(application="acme", aws_credentials_block="shared")
    assert (ours.overlays_path, ours.argocd_application) == ("argocd/apps/flowise/overlays", "flowise-{environment}")
    assert (ours.aws_credentials_block, ours.github_credentials_block) == ("flowise", "flowise")
    assert ours.source_credentials_block == "flowise-source"
    assert (other.overlays_path, other.argocd_application) == ("argocd/apps/acme/overlays", "acme-{environment}")
    assert (other.aws_credentials_block, other.github_credentials_block) == ("shared", "acme")
    assert other.source_credentials_block == "acme-source"


def test_prefect_yaml_of_another_application_has_other_deployments_pools_and_triggers() -> None:
    written = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
    ours, other = (yaml.safe_load(prefect_yaml(Names(name))) for name in ("flowise", "acme"))
    assert ours == {key: value for key, value in written.items() if key != "definitions"}
    for mine, theirs in zip(ours["deployments"], other["deployments"], strict=True):
        assert theirs["name"] == f"acme-{mine['name']}"
        assert theirs["work_pool"]["name"] == mine["work_pool"]["name"].replace("flowise", "acme")
        assert theirs["tags"] == ["acme", *mine["tags"][1:]]
        assert theirs["entrypoint"] == mine["entrypoint"]
    assert other["build"] == [{"flows.setup.steps.switches": {"application": "acme"}}]
    event, *recoveries = (trigger for each in other["deployments"] for trigger in each.get("triggers", ()))
    assert (event["name"], event["expect"]) == ("acme-image-updated", ["acme-image-updated"])
    assert event["match"] == {"prefect.resource.id": "acme.image.*"}
    assert {each["name"] for each in recoveries} == {f"Acme recovery: {each}" for each in RECOVERIES}
    assert {each["match_related"]["prefect.resource.id"] for each in recoveries} == {"prefect.tag.acme"}
