"""The step of prefect.yaml: ``prefect deploy`` would set what was switched in the UI back to what the file says."""

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

SCHEDULES = {"nightly": "deploy-to-k8s/deploy-to-k8s", "watch": "watch-source/watch-source", "drift": "drift/drift"}
"""The deployments with a schedule, by what prefect.yaml calls its switch."""

TRIGGER = "flowise-image-updated"


def switches() -> dict[str, bool]:
    """Return how the schedules and the trigger are switched now; before the first deploy, as they are to begin with."""
    with get_client(sync_client=True) as client:
        schedules = {switch: _schedule_is_on(client, name) for switch, name in SCHEDULES.items()}
        trigger = next(iter(client.read_automations_by_name(TRIGGER)), None)
    return schedules | {"event": trigger is None or trigger.enabled}


def _schedule_is_on(client: SyncPrefectClient, deployment: str) -> bool:
    try:
        return any(each.active for each in client.read_deployment_by_name(deployment).schedules)
    except ObjectNotFound:
        return False
