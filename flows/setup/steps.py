"""The step of prefect.yaml: ``prefect deploy`` would set what was switched in the UI back to what the file says."""

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from tasks.core.names import DEFAULT, Names

SCHEDULES = {"nightly": "deploy-to-k8s/deploy-to-k8s", "watch": "watch-source/watch-source", "drift": "drift/drift"}
"""The deployments with a schedule, by what prefect.yaml calls its switch."""

RECOVERIES = ("silent", "pending", "crashed")
"""The triggers of ``recover``, as prefect.yaml calls their switches."""


def switches(application: str = DEFAULT) -> dict[str, bool]:
    """Return how the schedules and triggers are switched now; before the first deploy, as they are to begin with."""
    names = Names(application)
    triggers = {"event": names.event} | {switch: names.recovery(switch) for switch in RECOVERIES}
    with get_client(sync_client=True) as client:
        schedules = {switch: _schedule_is_on(client, names.deployment(name)) for switch, name in SCHEDULES.items()}
        return schedules | {switch: _trigger_is_on(client, name) for switch, name in triggers.items()}


def _trigger_is_on(client: SyncPrefectClient, name: str) -> bool:
    found = next(iter(client.read_automations_by_name(name)), None)
    return found is None or found.enabled


def _schedule_is_on(client: SyncPrefectClient, deployment: str) -> bool:
    try:
        return any(each.active for each in client.read_deployment_by_name(deployment).schedules)
    except ObjectNotFound:
        return False
