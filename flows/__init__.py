"""The flows, two of them one for each repository of the user's pipeline, and what goes around them."""

import gc

collecting = gc.isenabled()
gc.disable()  # loading makes no garbage, and looking for it takes a fifth of the time

from flows.deploy_to_k8s import deploy_to_k8s  # noqa: E402
from flows.promote import promote  # noqa: E402
from flows.rollback import rollback  # noqa: E402
from flows.status import status  # noqa: E402
from flows.update_flowise_deployment import update_flowise_deployment  # noqa: E402
from flows.watch_source import watch_source  # noqa: E402
from tasks.heartbeat import end_without_waiting  # noqa: E402
from tasks.prefect_client import retry_soon, share_certificates  # noqa: E402

__all__ = ["deploy_to_k8s", "promote", "rollback", "status", "update_flowise_deployment", "watch_source"]

gc.freeze()  # what is loaded stays, and is not looked through again, not even at the end
if collecting:
    gc.enable()

retry_soon()
share_certificates()
end_without_waiting()
