"""The task ``get-digest``: the registry's word for what was built."""

from contextlib import closing

from prefect import task
from prefect.runtime import flow_run

from tasks.clients import registry
from tasks.core.build.tags import point_tags
from tasks.core.errors import Unavailable
from tasks.core.models import Build, BuiltImage, Target
from tasks.core.settings import load
from tasks.runtime.log import info
from tasks.runtime.retries import RETRIES


@task(name="get-digest", task_run_name="get-digest {build.repository}:{target.tag}", **RETRIES)
def get_digest(build: Build, target: Target) -> BuiltImage | None:
    """Ask the registry for the digest, and see that the target's tags have it.

    Args:
        build: what the build task said, now or in an earlier run.
        target: the tags to look at.

    Returns:
        The image as the registry has it; ``None`` when an earlier run's image is no longer there.

    Raises:
        Unavailable: the registry gives no answer, or does not know yet what this run pushed.
        Conflict: the release's tag is immutable and means another image, which was not to be built again.
        AccessDenied: the registry refuses the credentials.
    """
    log, settings = info(), load()
    ours = build.flow_run == flow_run.id
    reused = build.reused or ("" if ours else f"same commit, built by run {build.flow_run}")
    with closing(registry(settings)) as connected:
        if connected.digest(build.repository, build.digest) is None:
            if ours:
                raise Unavailable(f"{connected.host} does not show {build.repository}@{build.digest} yet.")
            log("%s@%s was built before, but the registry has it no longer", build.repository, build.digest)
            return None
        claimed = "" if build.again else target.tag
        tags = point_tags(connected, build.repository, build.digest, target.tags, log, claimed=claimed)
        name = f":{target.tag}" if target.tag in tags else f"@{build.digest}"
        uri = f"{connected.host}/{build.repository}{name}"
    log("%s is %s%s", uri, build.digest, f", not built again: {reused}" if reused else "")
    return BuiltImage(
        uri=uri, repository=build.repository, tags=tags, digest=build.digest, built=not reused, reused=reused
    )
