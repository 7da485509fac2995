"""Which events of this project people should hear of, and in which words: Prefect automations as data.

What belongs to the project is told by the tag, the application's name, that every deployment of prefect.yaml gives its
runs. A Python caller's run has none: its failure is an exception there. Nothing here changes a run: a silent one may
still be at work behind a broken network, and is for a person to judge.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, get_args
from uuid import UUID

from prefect.automations import Automation
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture

from tasks.core.names import Names
from tasks.core.settings import Settings
from tasks.runtime.notify import Kind

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


AS_HTML = "<pre>{% filter escape %}", "{% endfilter %}</pre>"
"""Goes around a body for a block that sends it as HTML: what people typed stays text, and lines stay lines."""


class Recipient(NamedTuple):
    """A notification block, and whether it sends HTML."""

    block: UUID
    html: bool


def automations(settings: Settings, recipients: Sequence[Recipient], ui: str) -> list[Automation]:
    """Every alert, sent to every block.

    Args:
        settings: the application, and when a run counts as stuck or late.
        recipients: the notification blocks.
        ui: address of the Prefect UI.
    """
    link = f"{ui}/runs/flow-run/{{{{ flow_run.id }}}}"
    message = "Message: {{ (flow_run.state.message or '') | truncate(1500) }}\n"
    stuck, late, names = settings.alert_stuck_seconds, settings.alert_late_seconds, settings.names
    alert = partial(_alert, names, recipients)
    return [
        alert("failed", _ended_badly(names), "{{ flow_run.state.name }}: {{ flow_run.name }}", RUN + message + link),
        alert(
            "stuck",
            # What follows a heartbeat, be it Suspended or the end, is a sign of life; only silence is none.
            _silence_after("prefect.flow-run.heartbeat", stuck, names),
            STILL_RUNNING + "Stuck? {{ flow_run.name }}",
            RUN + SILENT % {"minutes": _minutes(stuck)} + link,
        ),
        alert(
            "late",
            _silence_after("prefect.flow-run.Late", late, names),
            "Late: {{ flow_run.name }}",
            RUN + LATE % {"minutes": _minutes(late)} + link,
        ),
        alert("event lost", _action_failed(names), "Lost: {{ event.resource.name }}", LOST % {"ui": ui}),
        *(
            alert(kind, _told(kind, names), "{{ event.payload.subject }}", "{{ event.payload.body }}")
            for kind in get_args(Kind)
        ),
    ]


def _alert(
    names: Names, recipients: Sequence[Recipient], what: str, trigger: EventTrigger, subject: str, body: str
) -> Automation:
    title = f"[{names.title}] {subject}"
    return Automation(
        name=names.alert(what),
        description="Made by flowise-setup, which keeps it as it is there; switch it off here.",
        trigger=trigger,
        actions=[
            SendNotification(block_document_id=block, subject=title, body=body.join(AS_HTML) if html else body)
            for block, html in recipients
        ],
    )


def _ended_badly(names: Names) -> EventTrigger:
    return EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"},
        posture=Posture.Reactive,
        threshold=1,
        **_each_run(names.tag),
    )


def _silence_after(event: str, seconds: int, names: Names) -> EventTrigger:
    return EventTrigger(
        after={event},
        expect={"prefect.flow-run.*"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
        **_each_run(names.tag),
    )


def _action_failed(names: Names) -> EventTrigger:
    return EventTrigger(
        match={"prefect.resource.id": "prefect.automation.*", "prefect.resource.name": names.event},
        expect={"prefect.automation.action.failed"},
        posture=Posture.Reactive,
        threshold=1,
    )


def _told(kind: str, names: Names) -> EventTrigger:
    return EventTrigger(
        match={"prefect.resource.id": names.environment_resource("*")},
        for_each={"prefect.resource.id"},
        expect={names.notification(kind)},
        posture=Posture.Reactive,
        threshold=1,
    )


def _each_run(tag: str) -> dict[str, Any]:
    return {
        "match": {"prefect.resource.id": "prefect.flow-run.*"},
        "match_related": {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag}"},
        "for_each": {"prefect.resource.id"},
    }


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} minutes"
