"""BuildKit's trace records, written here by the rules of protobuf's encoding and BuildKit's control.proto."""

import base64
import json

import pytest

from tasks.core.build.buildkit import KEPT_LINES, Progress, Recipe
from tasks.core.build.dockerfile import Dockerfile

COMPILE, TEST = b"sha256:" + b"1" * 64, b"sha256:" + b"2" * 64


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def progress(told: list[str]) -> Progress:
    return Progress(told.append)


def test_a_step_from_begin_to_end(progress: Progress, told: list[str]) -> None:
    progress.record(vertex(COMPILE, "RUN make"))
    assert told == []  # known, but not begun
    progress.record(vertex(COMPILE, "RUN make", started=1_700_000_000.5))
    progress.record(output(COMPILE, b"one\ntwo\n"))
    progress.record(vertex(COMPILE, "RUN make", started=1_700_000_000.5, completed=1_700_000_003.75))
    progress.record(vertex(COMPILE, "RUN make", started=1_700_000_000.5, completed=1_700_000_003.75))
    assert told == ["#1 RUN make", "#1 one\n#1 two", "#1 DONE 3.2s"]
    assert progress.failed is None


def test_the_same_as_buildx_prints_it(told: list[str]) -> None:
    """Lines as buildx 0.29 prints them with ``--progress=rawjson``, shortened."""
    step = {"digest": "sha256:1", "name": "[2/2] RUN cat token", "started": "2026-11-25T23:25:29.792433747Z"}
    ended = {**step, "completed": "2026-11-25T23:25:33.042433747Z", "error": "exit code: 7, hunter2"}
    said = [{"vertex": "sha256:1", "stream": 1, "data": base64.b64encode(b"one hunter2\ntw").decode()}]
    warned = {"short": base64.b64encode(b"JSON arguments recommended").decode(), "range": [{"start": {"line": 3}}]}
    recipe = Recipe("app/Dockerfile", Dockerfile("FROM scratch\nCOPY a /\nRUN cat token\n"))
    progress = Progress(told.append, recipe=recipe, clean=lambda text: text.replace("hunter2", "***"))
    for status in ({"vertexes": [step]}, {"logs": said}, {"vertexes": [ended]}, {"warnings": [warned]}):
        assert progress.record_json(json.dumps(status).encode())
    for line in (b"ERROR: failed to build: failed to solve: exit code: 7", b"[]", b'{"vertexes": [{}]}'):
        assert not progress.record_json(line)
    assert told == [
        "#1 [2/2] RUN cat token",
        "#1 one ***",
        "#1 tw",
        "#1 ERROR exit code: 7, ***",
        "app/Dockerfile:3: warning: JSON arguments recommended",
    ]
    assert progress.failed is not None
    assert (progress.line_of(progress.failed), [*progress.failed.lines]) == (3, ["one ***", "tw"])


def test_a_cached_step_is_one_line(progress: Progress, told: list[str]) -> None:
    progress.record(vertex(COMPILE, "COPY . .", started=5, completed=5, cached=True))
    assert told == ["#1 CACHED COPY . ."]


def test_lines_are_put_together_by_stream(progress: Progress, told: list[str]) -> None:
    progress.record(vertex(COMPILE, "RUN make", started=1))
    told.clear()
    word = "größer".encode()
    progress.record(output(COMPILE, b"first " + word[:3]))  # in the middle of the ö
    progress.record(output(COMPILE, b"warn", stream=2))
    assert told == []
    progress.record(output(COMPILE, word[3:] + b"\nopen"))
    progress.record(output(COMPILE, b"ing\n", stream=2))
    assert told == ["#1 first größer", "#1 warning"]
    progress.record(vertex(COMPILE, "RUN make", started=1, completed=2))
    assert told[2:] == ["#1 open", "#1 DONE 1.0s"]


def test_output_after_the_end_is_told_at_once(progress: Progress, told: list[str]) -> None:
    progress.record(vertex(COMPILE, "RUN make", started=1, completed=2))
    progress.record(output(COMPILE, b"late"))
    assert told[-1] == "#1 late"


def test_bytes_that_are_no_text(progress: Progress, told: list[str]) -> None:
    progress.record(output(COMPILE, b"\xff\xfe!\n"))
    assert told == ["#1 \ufffd\ufffd!"]


def test_the_failed_step_is_not_a_cancelled_one(progress: Progress, told: list[str]) -> None:
    progress.record(vertex(TEST, "RUN test", started=1, completed=2, error="process: context canceled"))
    assert progress.failed is None
    progress.record(output(COMPILE, b"".join(b"line %d\n" % number for number in range(50))))
    progress.record(vertex(COMPILE, "RUN make", started=1, completed=2, error="exit code: 2"))
    assert progress.failed is not None
    assert progress.failed.name == "RUN make"
    assert [*progress.failed.lines] == [f"line {number}" for number in range(50 - KEPT_LINES, 50)]
    assert told[-1] == "#2 ERROR exit code: 2"


def test_several_things_in_one_record_and_fields_nobody_knows(progress: Progress, told: list[str]) -> None:
    unknown = number(90, 1 << 40) + tag(91, 1) + bytes(8) + tag(92, 5) + bytes(4) + text(200, b"?" * 300)
    both = [
        base64.b64decode(record)
        for record in (vertex(COMPILE, "RUN make", started=1), output(COMPILE, b"x" * 200 + b"\n"))
    ]
    progress.record(base64.b64encode(unknown + both[0] + unknown + both[1] + unknown).decode())
    assert told == ["#1 RUN make", "#1 " + "x" * 200]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def tag(field: int, kind: int) -> bytes:
    return varint(field << 3 | kind)


def number(field: int, value: int) -> bytes:
    return tag(field, 0) + varint(value)


def text(field: int, value: bytes) -> bytes:
    return tag(field, 2) + varint(len(value)) + value


def moment(field: int, seconds: float) -> bytes:
    return text(field, number(1, int(seconds)) + number(2, round(seconds % 1 * 1e9)))


def vertex(
    digest: bytes, name: str, *, started: float = 0, completed: float = 0, cached: bool = False, error: str = ""
) -> str:
    message = text(1, digest) + text(2, TEST) + text(3, name.encode())
    message += number(4, 1) if cached else b""
    message += moment(5, started) if started else b""
    message += moment(6, completed) if completed else b""
    message += text(7, error.encode()) if error else b""
    return base64.b64encode(text(1, message)).decode()


def output(digest: bytes, said: bytes, stream: int = 1) -> str:
    message = text(1, digest) + moment(2, 7) + number(3, stream) + text(4, said)
    return base64.b64encode(text(3, message)).decode()


def test_what_is_said_at_once_is_told_at_once(progress: Progress, told: list[str]) -> None:
    """One record, as the engine sends several times a second, with the output of two steps."""
    said = [output(COMPILE, b"one\ntwo\n"), output(TEST, b"three\n"), output(COMPILE, b"four\n")]
    progress.record(base64.b64encode(b"".join(map(base64.b64decode, said))).decode())
    assert told == ["#1 one\n#1 two\n#2 three\n#1 four"]


def test_how_much_is_done() -> None:
    """Of the steps the Dockerfile has, and not of those that BuildKit has told of by now; the export is one more."""
    told: list[float] = []
    recipe = Recipe("docker/Dockerfile", Dockerfile("FROM a\nRUN make\nRUN test\nCOPY x y\n"))
    progress = Progress(lambda _: None, told.append, recipe)
    progress.record(vertex(b"sha256:0", "[internal] load metadata", started=1, completed=2))
    progress.record(vertex(b"sha256:1", "[1/4] FROM a", started=1, completed=2))
    progress.record(vertex(COMPILE, "[2/4] RUN make", started=1))
    progress.record(vertex(COMPILE, "[2/4] RUN make", started=1, completed=2))
    progress.record(vertex(COMPILE, "[2/4] RUN make", started=1, completed=2))
    progress.record(vertex(TEST, "[3/4] RUN test", started=1, completed=2))
    progress.record(vertex(b"sha256:4", "[4/4] COPY x y", started=1, completed=2))
    assert told == [0.2, 0.4, 0.6, 0.8]


def test_a_warning_with_its_line(told: list[str]) -> None:
    """A message as Docker 28.5 sends it for the rule FromAsCasing."""
    progress = Progress(told.append, recipe=Recipe("docker/Dockerfile", Dockerfile("")))
    place = text(1, number(1, 7)) + text(2, number(1, 7))
    warning = text(1, COMPILE) + number(2, 1) + text(3, b"FromAsCasing: 'as' and 'FROM'") + text(4, b"more of it")
    warning += text(5, b"https://docs.docker.com/go/x/") + text(7, place) + text(7, place)
    record = base64.b64encode(text(4, warning)).decode()
    progress.record(record)
    progress.record(record)
    expected = "docker/Dockerfile:7: warning: FromAsCasing: 'as' and 'FROM' (https://docs.docker.com/go/x/)"
    assert told == [expected]


def test_a_cache_that_is_not_there_is_no_failure(progress: Progress) -> None:
    progress.record(vertex(COMPILE, "importing cache manifest from registry/app", started=1, completed=2, error="no"))
    assert progress.failed is None
