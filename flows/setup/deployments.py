"""The deployments of prefect.yaml, with the names of another application."""

import sys
from pathlib import Path

import yaml

from flows.setup.work_pools import PROJECT
from tasks.core.names import Names

PLACES = PROJECT, Path(sys.prefix) / "share" / "flowise-delivery"
"""Where prefect.yaml is: in a checkout, or where the wheel puts it."""


def prefect_yaml(names: Names) -> str:
    """Return prefect.yaml as ``prefect deploy --prefect-file`` takes it for an application; its switches stay."""
    written = yaml.safe_load(next(path for folder in PLACES if (path := folder / "prefect.yaml").exists()).read_text())
    del written["definitions"]
    ours = Names()
    if names != ours:
        written["build"] = [{step: {"application": names.application}} for each in written["build"] for step in each]
    pools = {ours.build_pool: names.build_pool, ours.gitops_pool: names.gitops_pool}
    for each in written["deployments"]:
        each["name"] = names.own(each["name"])
        each["tags"] = [names.tag, *(tag for tag in each["tags"] if tag != ours.tag)]
        each["work_pool"] = {"name": pools[each["work_pool"]["name"]]}
        for trigger in each.get("triggers", ()):
            if trigger["name"] == ours.event:
                resource = {"prefect.resource.id": names.image_resource("*")}
                trigger |= {"name": names.event, "match": resource, "expect": [names.event]}
            else:
                trigger["name"] = names.recovery(trigger["name"].removeprefix(ours.recovery("")))
                trigger["match_related"]["prefect.resource.id"] = f"prefect.tag.{names.tag}"
    return str(yaml.safe_dump(written, sort_keys=False))
