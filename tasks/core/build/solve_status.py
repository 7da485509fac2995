"""What BuildKit reports of a build, as the engine passes it on (protobuf) and as buildx prints it (JSON)."""

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from tasks.core.build.protobuf import fields


class Vertex(NamedTuple):
    """A step of a build, as far as it is; times are seconds, and 0 if there is none yet."""

    digest: str
    name: str
    started: float
    completed: float
    cached: bool
    error: str


class Output(NamedTuple):
    """What a step printed to one of its streams."""

    digest: str
    stream: int
    text: bytes


class Warned(NamedTuple):
    """What BuildKit finds at a line of the Dockerfile."""

    line: int
    text: str
    url: str


Event = Vertex | Output | Warned


def from_trace(aux: str) -> Iterator[Event]:
    """Read the base64 ``StatusResponse`` of a ``moby.buildkit.trace`` record.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: it isn't one.
    """
    for number, value in fields(base64.b64decode(aux)):
        if number == 1:
            yield _vertex(dict(fields(value)))
        elif number == 3:
            # control.proto: VertexLog {vertex=1 timestamp=2 stream=3 msg=4}
            entry = dict(fields(value))
            yield Output(entry[1].decode(), entry.get(3, 0), entry.get(4, b""))
        elif number == 4:
            yield _warning(list(fields(value)))


def from_json(line: bytes) -> Iterator[Event]:
    """Read a line of ``--progress=rawjson``: a ``SolveStatus`` of BuildKit's Go client.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: it isn't one.
    """
    status: Mapping[str, Any] = json.loads(line)
    for vertex in status.get("vertexes", ()):
        begun, ended = _time(vertex.get("started")), _time(vertex.get("completed"))
        cached, error = bool(vertex.get("cached")), vertex.get("error", "")
        yield Vertex(vertex["digest"], vertex.get("name", ""), begun, ended, cached, error)
    for entry in status.get("logs", ()):
        yield Output(entry["vertex"], entry.get("stream", 0), base64.b64decode(entry.get("data", "")))
    for warned in status.get("warnings", ()):
        start = (warned.get("range") or [{}])[0].get("start") or {}
        text = base64.b64decode(warned.get("short", "")).decode(errors="replace")
        yield Warned(start.get("line", 0), text, warned.get("url", ""))


def _vertex(vertex: Mapping[int, Any]) -> Vertex:
    # control.proto: Vertex {digest=1 inputs=2 name=3 cached=4 started=5 completed=6 error=7}
    return Vertex(
        vertex[1].decode(),
        vertex.get(3, b"").decode(errors="replace"),
        _seconds(vertex.get(5)),
        _seconds(vertex.get(6)),
        bool(vertex.get(4)),
        vertex.get(7, b"").decode(errors="replace"),
    )


def _warning(warning: list[tuple[int, Any]]) -> Warned:
    # control.proto: VertexWarning {short=3 url=5 ranges=7}; ops.proto: Range {start=1}, Position {line=1}
    said = dict(reversed(warning))
    start = dict(fields(dict(fields(said[7])).get(1, b""))) if 7 in said else {}
    return Warned(start.get(1, 0), said.get(3, b"").decode(errors="replace"), said.get(5, b"").decode(errors="replace"))


def _seconds(timestamp: bytes | None) -> float:
    parts = dict(fields(timestamp or b""))
    return float(parts.get(1, 0)) + float(parts.get(2, 0)) / 1e9


def _time(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
