"""The table of recordings: what a rollout makes of each thing that a real Argo CD did, on a clock of its own."""

from collections.abc import Iterator

import pytest

from tasks.core.errors import DeliveryError
from tests.core.rollout.test_recordings import ENDS, REFUTED, SCENES, Scene, play

HEAD = """
## Recordings

What a rollout makes of what a real Argo CD 3.5.1 did (`tests/sandbox/argocd_recordings`), in the seconds of the
recording. Only what is refuted may be undone. The reason is what went wrong on the way, also if all ended well.

| recording | end | undone | seconds | reason | said after |
| --- | --- | --- | --- | --- | --- |
"""


def table() -> Iterator[str]:
    """Make the table's lines."""
    return map(_line, SCENES)


def _line(scene: Scene) -> str:
    with pytest.MonkeyPatch.context() as patched:
        played = play(scene, patched)
    end, by = ENDS[type(played.end)], f"{played.said(scene.reason):.0f}" if scene.reason else ""
    reason = scene.reason or (played.end.message if isinstance(played.end, DeliveryError) else "")
    undone = "may be" if end == REFUTED else "no"
    return f"| {scene.name} | {end} | {undone} | {played.seconds:.0f} | {reason} | {by} |"
