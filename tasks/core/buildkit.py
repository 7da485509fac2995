"""What BuildKit says while it builds: its trace records, read into steps and log lines."""

import base64
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

KEPT_LINES = 20
"""How many lines of a step's output a failure is explained with."""


@dataclass
class Step:
    """One vertex of the build graph: a line of a Dockerfile, or something BuildKit does beside them."""

    number: int
    name: str = ""
    started: float = 0.0
    done: bool = False
    error: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    unfinished: dict[int, bytes] = field(default_factory=dict)
    """The beginning of a line whose end has not come yet, by stream."""


class Progress:
    """Follows a build and tells it line by line, as ``docker build --progress=plain`` does.

    Args:
        log: is called with each line.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._steps: dict[str, Step] = {}

    def record(self, aux: str) -> None:
        """Take one ``moby.buildkit.trace`` record: a base64 ``StatusResponse`` of BuildKit's control API."""
        for number, value in _fields(base64.b64decode(aux)):
            if number == 1:
                self._vertex(dict(_fields(value)))
            elif number == 3:
                self._output(dict(_fields(value)))

    @property
    def failed(self) -> Step | None:
        """The step that failed by itself, rather than being cancelled with the others."""
        failures = [step for step in self._steps.values() if step.error]
        return next((step for step in failures if not step.error.endswith("context canceled")), None)

    def _step(self, digest: bytes) -> Step:
        return self._steps.setdefault(digest.decode(), Step(len(self._steps) + 1))

    def _vertex(self, vertex: dict[int, Any]) -> None:
        # control.proto: Vertex {digest=1 inputs=2 name=3 cached=4 started=5 completed=6 error=7}
        step = self._step(vertex[1])
        step.name = vertex.get(3, b"").decode(errors="replace")
        if 5 in vertex and not step.started:
            step.started = _seconds(vertex[5])
            if not vertex.get(4):
                self._log(f"#{step.number} {step.name}")
        if 6 in vertex and not step.done:
            for rest in step.unfinished.values():
                self._tell(step, rest)
            step.done, step.error = True, vertex.get(7, b"").decode(errors="replace")
            self._log(f"#{step.number} {_outcome(step, vertex)}")

    def _output(self, entry: dict[int, Any]) -> None:
        # control.proto: VertexLog {vertex=1 timestamp=2 stream=3 msg=4}; a message may end within a line
        step, stream = self._step(entry[1]), entry.get(3, 0)
        said = step.unfinished.pop(stream, b"") + entry.get(4, b"")
        whole, end, rest = (said, b"", b"") if step.done else said.rpartition(b"\n")
        step.unfinished[stream] = rest
        self._tell(step, whole + end)

    def _tell(self, step: Step, output: bytes) -> None:
        for line in output.decode(errors="replace").splitlines():
            step.lines.append(line)
            self._log(f"#{step.number} {line}")


def _outcome(step: Step, vertex: dict[int, Any]) -> str:
    if step.error:
        return f"ERROR {step.error}"
    if vertex.get(4):
        return f"CACHED {step.name}"
    return f"DONE {max(0.0, _seconds(vertex[6]) - step.started):.1f}s"


def _seconds(timestamp: bytes) -> float:
    parts = dict(_fields(timestamp))
    return float(parts.get(1, 0)) + float(parts.get(2, 0)) / 1e9


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: numbers, and bytes for everything that has a length.

    By hand, because BuildKit's messages are not packaged for Python and these few fields need no schema.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        size, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
