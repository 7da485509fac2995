"""What an application's resource tree says of its pods: which images they run, and why they do not start.

A Deployment is Degraded only when its deadline has passed, ten minutes by default; its pods know within seconds.
"""

import re
from collections.abc import Collection, Iterator
from datetime import datetime

from pydantic import AwareDatetime

from tasks.core.rollout.application import Health, Said

ENDING = "Pending deletion"
"""The health message of a pod that has been told to end."""

ENDED = ("Completed", "Succeeded", "Evicted", "Terminating")

BROKEN = re.compile(r"BackOff|Err|Error|Invalid|OOMKilled")
"""Reasons of a pod that does not start; an init container's are known from them alone (``Init:CrashLoopBackOff``)."""


class Reference(Said):
    """An owner."""

    kind: str = ""
    name: str = ""


class Info(Said):
    """A line of what Argo CD's page shows of a pod."""

    name: str = ""
    value: str = ""


class Node(Said):
    """A resource of the tree."""

    kind: str = ""
    name: str = ""
    images: tuple[str, ...] = ()
    health: Health = Health()
    created_at: AwareDatetime | None = None
    parent_refs: tuple[Reference, ...] = ()
    info: tuple[Info, ...] = ()

    @property
    def reason(self) -> str:
        """What kubectl shows as a pod's status."""
        return next((each.value for each in self.info if each.name == "Status Reason"), "")

    @property
    def broken(self) -> bool:
        """Whether it does not start, or not any more."""
        return self.health.status == "Degraded" or BROKEN.search(self.reason) is not None

    @property
    def ending(self) -> bool:
        """Whether it has been told to end, or has ended."""
        return self.health.message == ENDING or self.reason in ENDED


class Tree(Said):
    """The resources of an application, and what they have made."""

    nodes: tuple[Node, ...] = ()

    def running(self) -> tuple[str, ...]:
        """List the images of pods that are there to stay: not those that end, nor those of jobs, which run once."""
        found = (each for each in self._pods() if not each.ending and not _of_a_job(each))
        return tuple(dict.fromkeys(image for pod in found for image in pod.images))

    def broken_pods(self, images: Collection[str]) -> frozenset[str]:
        """Name the pods that run one of these images and do not start; none if one of them is healthy."""
        pods = [each for each in self._pods() if set(each.images) & set(images) and not each.ending]
        if any(each.health.status == "Healthy" for each in pods):
            return frozenset()
        return frozenset(each.name for each in pods if each.broken)

    def troubles(self, images: Collection[str], since: datetime | None, *, late: bool) -> list[str]:
        """Say why what a commit deploys does not start, in the words of its pods.

        Args:
            images: what the commit deploys.
            since: when its operation began; older resources without these images are not its own.
            late: whether pods that merely wait are worth mentioning, too.
        """
        lines = []
        for each in self.nodes:
            ours = set(each.images) & set(images) or (since and each.created_at and each.created_at >= since)
            if not ours or not each.parent_refs or each.ending or each.health.status == "Healthy":
                continue
            if each.broken or (each.kind == "Pod" and (late or each.health.message)):
                said = each.health.message
                lines.append(
                    f"{each.kind} {each.name} is {each.reason or each.health.status}{f': {said}' if said else ''}"
                )
        return lines

    def _pods(self) -> Iterator[Node]:
        return (each for each in self.nodes if each.kind == "Pod")


def _of_a_job(pod: Node) -> bool:
    return any(each.kind == "Job" for each in pod.parent_refs)
