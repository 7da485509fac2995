"""Which events of this project people should hear of, and in which words: Prefect automations as data.

What belongs to the project is told by the tag ``flowise`` that every deployment of prefect.yaml gives its runs. A
Python caller's run has none: its failure is an exception there. Nothing here changes a run: a silent one may still be
at work behind a broken network, and is for a person to judge.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID

from prefect.automations import Automation
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture

from tasks.runtime.notify import PREFIX, Kind

TAG = "flowise"
"""What the runs of this project carry."""

RUN = """Flow: {{ flow.name }}
Run: {{ flow_run.name }}
State: {{ flow_run.state.name }}
"""

STILL_RUNNING = "{% if flow_run.state.type.value not in ('RUNNING', 'CANCELLING') %}{{ 0 // 0 }}{% endif %}"
"""Looked up when the message is about to go. A first heartbeat may arrive after the run was suspended or has ended, and
Prefect's trigger then waits for another one in vain; a template that cannot be filled in is the one way to say nothing.
"""

SILENT = """
No sign of life for %(minutes)s: its process or its machine may be gone, or its network. Look there; if it is gone,
set the run to Crashed and start it again, which is safe at any point.
"""

LATE = """
No worker has picked it up for %(minutes)s. Start one: prefect worker start --pool {{ work_pool.name }}
"""

LOST = """Automation: {{ event.resource.name }}
Message: {{ event.payload.reason }}

An event started no run: a value in its payload is missing or not valid. The payload is in the event feed; send the
event again once it is right.
%(ui)s/events?resource={{ event.resource.id }}"""


def automations(blocks: Sequence[UUID], ui: str, stuck: int, late: int) -> list[Automation]:
    """Every alert, sent to every block.

    Args:
        blocks: the notification blocks.
        ui: address of the Prefect UI.
        stuck: seconds without a heartbeat after which a running run is told of.
        late: seconds after which a run that no worker picks up is reported.
    """
    link = f"{ui}/runs/flow-run/{{{{ flow_run.id }}}}"
    message = "Message: {{ flow_run.state.message }}\n"
    return [
        _alert(
            "failed", _ended_badly(), blocks, "{{ flow_run.state.name }}: {{ flow_run.name }}", RUN + message + link
        ),
        _alert(
            "stuck",
            # What follows a heartbeat, be it Suspended or the end, is a sign of life; only silence is none.
            _silence_after("prefect.flow-run.heartbeat", stuck),
            blocks,
            STILL_RUNNING + "Stuck? {{ flow_run.name }}",
            RUN + SILENT % {"minutes": _minutes(stuck)} + link,
        ),
        _alert(
            "late",
            _silence_after("prefect.flow-run.Late", late),
            blocks,
            "Late: {{ flow_run.name }}",
            RUN + LATE % {"minutes": _minutes(late)} + link,
        ),
        _alert("event lost", _action_failed(), blocks, "Lost: {{ event.resource.name }}", LOST % {"ui": ui}),
        *(
            _alert(kind, _told(kind), blocks, "{{ event.payload.subject }}", "{{ event.payload.body }}")
            for kind in get_args(Kind)
        ),
    ]


def _alert(what: str, trigger: EventTrigger, blocks: Sequence[UUID], subject: str, body: str) -> Automation:
    # Named unlike the triggers of prefect.yaml, "flowise-...": an alert that fails must not alert itself.
    return Automation(
        name=f"Flowise alert: {what}",
        description="Made by flowise-setup, which keeps it as it is there; switch it off here.",
        trigger=trigger,
        actions=[
            SendNotification(block_document_id=block, subject=f"[Flowise] {subject}", body=body) for block in blocks
        ],
    )


def _ended_badly() -> EventTrigger:
    return EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"},
        posture=Posture.Reactive,
        threshold=1,
        **_each_run(),
    )


def _silence_after(event: str, seconds: int) -> EventTrigger:
    return EventTrigger(
        after={event},
        expect={"prefect.flow-run.*"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
        **_each_run(),
    )


def _action_failed() -> EventTrigger:
    return EventTrigger(
        match={"prefect.resource.id": "prefect.automation.*", "prefect.resource.name": "flowise-*"},
        expect={"prefect.automation.action.failed"},
        posture=Posture.Reactive,
        threshold=1,
    )


def _told(kind: str) -> EventTrigger:
    return EventTrigger(
        match={"prefect.resource.id": "flowise.environment.*"},
        for_each={"prefect.resource.id"},
        expect={PREFIX + kind},
        posture=Posture.Reactive,
        threshold=1,
    )


def _each_run() -> dict[str, Any]:
    return {
        "match": {"prefect.resource.id": "prefect.flow-run.*"},
        "match_related": {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
        "for_each": {"prefect.resource.id"},
    }


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} minutes"
