"""Dockerfiles by their grammar; the lines and stages are counted by hand, what is a step is BuildKit's word."""

import secrets
import time

import pytest

from tasks.core.build import docker_engine
from tasks.core.build.buildkit import Help
from tasks.core.build.connection import connect
from tasks.core.build.dockerfile import Dockerfile
from tests.core.build.test_docker_engine import IMAGE, context


def asks(text: str) -> tuple[int, str] | None:
    return next(((each.line, each.asks_for) for each in Dockerfile(text).private()), None)


PRIVATE = {
    "plain": ("FROM a\nRUN --mount=type=secret,id=npmrc npm ci\n", (2, "RUN --mount=type=secret")),
    "ssh": ("FROM a\nrun --mount=type=ssh git clone\n", (2, "RUN --mount=type=ssh")),
    "continued": ("FROM a\nRUN \\\n  --mount=type=secret \\\n  npm ci\n", (2, "RUN --mount=type=secret")),
    "comment between": ("FROM a\nRUN \\\n# why\n\n  --mount=type=secret npm ci\n", (2, "RUN --mount=type=secret")),
    "space after the escape": ("FROM a\nRUN \\ \t\n--mount=type=secret x\n", (2, "RUN --mount=type=secret")),
    "escape directive": ("# escape=`\nFROM a\nRUN `\n --mount=type=secret x\n", (3, "RUN --mount=type=secret")),
    "spaced": ("#syntax = x\n#  Escape =  `  \nFROM a\nRUN `\n--mount=type=ssh x\n", (4, "RUN --mount=type=ssh")),
    "CRLF": ("FROM a\r\nRUN \\\r\n --mount=type=secret x\r\n", (2, "RUN --mount=type=secret")),
    "BOM": ("\ufeffFROM a\nRUN --mount=type=secret x\n", (2, "RUN --mount=type=secret")),
    "quoted": ('FROM a\nRUN --mount="type=secret,id=x" y\n', (2, "RUN --mount=type=secret")),
    "second flag": ("FROM a\nRUN --network=none --mount=id=x,Type=secret y\n", (2, "RUN --mount=type=secret")),
    "second mount": ("FROM a\nRUN --mount=type=cache,target=/c --mount=type=ssh y\n", (2, "RUN --mount=type=ssh")),
    "by a variable": ("FROM a\nARG T=secret\nRUN --mount=type=$T,id=x y\n", (3, "RUN --mount=type=$t")),
    "ONBUILD": ("FROM a\nONBUILD RUN --mount=type=secret y\n", (2, "RUN --mount=type=secret")),
    "exec form": ('FROM a\nRUN --mount=type=secret,id=x ["npm", "ci"]\n', (2, "RUN --mount=type=secret")),
    "after a here-document": ("FROM a\nRUN <<EOF\nx\nEOF\nRUN --mount=type=ssh y\n", (5, "RUN --mount=type=ssh")),
    "none in an exec form": ('FROM a\nRUN ["x", "<<EOF"]\nRUN --mount=type=ssh y\n', (3, "RUN --mount=type=ssh")),
    "none in CMD": ("FROM a\nCMD <<EOF\nRUN --mount=type=ssh y\nEOF\n", (3, "RUN --mount=type=ssh")),
    "git over ssh": ("FROM a\nADD git@github.com:o/r.git#main /src\n", (2, "ADD git@github.com:o/r.git#main")),
}  # fmt: skip


@pytest.mark.parametrize(("text", "found"), PRIVATE.values(), ids=PRIVATE)
def test_what_is_wanted_from_whoever_builds(text: str, found: tuple[int, str]) -> None:
    assert asks(text) == found


ORDINARY = {
    "here-document": "FROM a\nCOPY <<EOF /Dockerfile\nFROM b\nRUN --mount=type=secret x\nEOF\nRUN y\n",
    "quoted here-document": "FROM a\nRUN <<'E F' sh\nRUN --mount=type=secret x\nE F\n",
    "tabs before its end": "FROM a\nRUN <<-EOF\n\tRUN --mount=type=secret x\n\tEOF\n",
    "two of them": "FROM a\nCOPY <<A <<B /\nRUN --mount=type=ssh x\nA\nRUN --mount=type=ssh x\nB\n",
    "comment": "FROM a\n# RUN --mount=type=secret x\nRUN y\n",
    "comment in a step": "FROM a\nRUN y && \\\n# --mount=type=secret\n z\n",
    "escape comes too late": "# a comment\n# escape=`\nFROM a\nRUN y `\nENV A=--mount=type=secret\n",
    "escaped escape": "FROM a\nRUN echo \\\\\nENV A=b\n",
    "after the command": "FROM a\nRUN echo --mount=type=secret\n",
    "other mounts": "FROM a\nRUN --mount=type=cache,target=/x --mount=target=/y,from=z npm ci\n",
    "git over https": "FROM a\nADD https://github.com/o/r.git /src\n",
    "nothing": "",
}


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_what_only_looks_so(text: str) -> None:
    assert asks(text) is None


STAGES = """\
# syntax=docker/dockerfile:1
ARG V=20
FROM node:$V AS Base
WORKDIR /app
ENV A=b

FROM base AS deps
COPY package.json .
RUN npm \\
    ci

FROM base
RUN --mount=from=deps,source=/app,target=/deps npm run build

FROM alpine AS unused
RUN a
RUN b

FROM scratch AS final
COPY --from=2 /app /app
COPY --from=nginx:1 /etc /etc
"""


def test_the_steps_of_a_target() -> None:
    dockerfile = Dockerfile(STAGES)
    assert dockerfile.steps() == 2 + 1 + 2 + 2  # final, the third stage, deps, base
    assert dockerfile.steps("FINAL") == 7
    assert dockerfile.steps("deps") == 4
    assert dockerfile.steps("unused") == 3
    assert dockerfile.steps("missing") == 0
    assert Dockerfile("").steps() == 0


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("[base 1/2] FROM docker.io/library/node:20", 3),
        ("[base 2/2] WORKDIR /app", 4),
        ("[deps 2/2] RUN npm     ci", 9),
        ("[stage-2 1/1] RUN npm run build", 13),
        ("[linux/amd64 final 2/3] COPY --from=nginx:1 /etc /etc", 0),  # it has two
        ("[linux/amd64 final 2/2] COPY --from=nginx:1 /etc /etc", 21),
        ("[internal] load build definition from Dockerfile", 0),
        ("exporting to image", 0),
    ],
)
def test_the_line_of_a_step(step: str, line: int) -> None:
    assert Dockerfile(STAGES).line_of(step) == line


def test_buildkit_counts_the_same_steps(docker_host: str) -> None:
    nonce, lines = secrets.token_hex(4), []
    shell = 'COPY busybox /bin/busybox\nSHELL ["/bin/busybox", "sh", "-c"]\n'
    text = f"FROM scratch AS one\n{shell}WORKDIR /w\nRUN echo {nonce} \\\n > it\nFROM scratch\nCOPY --from=one /w /w\n"
    with connect(30) as engine:
        docker_engine.build(engine, IMAGE, context(text), {}, timeout=30, log=lines.append, helped=Help(), name="x:1")
        engine.remove_image("x:1")
    dockerfile = Dockerfile(text)
    names = {line.partition(" ")[2].removeprefix("CACHED ") for line in lines}
    found = sorted(found for name in names if (found := dockerfile.line_of(name)))
    assert found == [2, 4, 5, 8]
    assert dockerfile.steps() == 4


@pytest.mark.parametrize(
    "text", ['"' * 200_000, "\\\n" * 100_000, "FROM a\nRUN " + "<<A " * 50_000, "RUN --a=" + "\\" * 100_001]
)
def test_time_is_linear(text: str) -> None:
    started = time.monotonic()
    list(Dockerfile(text).private())
    assert time.monotonic() - started < 5


FRONTENDS = {
    "FROM a\n": ("", True),
    "# syntax=docker/dockerfile:1\nFROM a\n": ("docker/dockerfile:1", True),
    "#syntax = docker/dockerfile:1.7-labs \nFROM a\n": ("docker/dockerfile:1.7-labs", True),
    "# escape=`\n# syntax=mirror.example:5000/docker/dockerfile:1\nFROM a\n": (
        "mirror.example:5000/docker/dockerfile:1",
        True,
    ),
    "#!/usr/bin/env docker\n# syntax=acme/frontend\nFROM a\n": ("acme/frontend", False),
    "// syntax=acme/frontend:2\nwhatever\n": ("acme/frontend:2", False),
    '{"syntax": "acme/frontend"}': ("acme/frontend", False),
    "# a comment\n# syntax=acme/frontend\nFROM a\n": ("", True),
    "FROM a\n# syntax=acme/frontend\n": ("", True),
    "\n# syntax=acme/frontend\nFROM a\n": ("", True),
    "# syntax=evil/docker/dockerfile-x\nFROM a\n": ("evil/docker/dockerfile-x", False),
    "": ("", True),
}


@pytest.mark.parametrize(("text", "wanted"), FRONTENDS.items())
def test_who_reads_it(text: str, wanted: tuple[str, bool]) -> None:
    dockerfile = Dockerfile(text)
    assert (dockerfile.frontend, dockerfile.standard) == wanted


def test_an_argument_chooses_who_reads_it() -> None:
    text = "# syntax=docker/dockerfile:1\nFROM a\n"
    assert Dockerfile(text, {"BUILDKIT_SYNTAX": "acme/frontend"}).frontend == "acme/frontend"


BASES = {
    "ARG B=scratch\nFROM $B\nCOPY x /\n": ("scratch", 1),
    "ARG B=scratch\nFROM ${B}\nCOPY x /\n": ("scratch", 1),
    "ARG B=\nFROM ${B:-scratch}\nCOPY x /\n": ("scratch", 1),
    "ARG B=x\nFROM ${B:+node}\nCOPY x /\n": ("node", 2),
    "ARG A=scr B=${A}atch\nFROM $B\nCOPY x /\n": ("scratch", 1),
    "ARG V=20\nFROM node:$V-alpine\nCOPY x /\n": ("node:20-alpine", 2),
    "ARG GIVEN\nFROM ${GIVEN}\nCOPY x /\n": ("scratch", 1),
    "FROM ${UNKNOWN}\nCOPY x /\n": ("${UNKNOWN}", 2),
    "FROM --platform=$BUILDPLATFORM node\nCOPY x /\n": ("node", 2),
}


@pytest.mark.parametrize(("text", "wanted"), BASES.items())
def test_a_base_that_an_argument_names(text: str, wanted: tuple[str, int]) -> None:
    dockerfile = Dockerfile(text, {"GIVEN": "scratch"})
    assert (dockerfile.stages[-1].base, dockerfile.steps()) == wanted


def test_a_stage_that_an_argument_chooses_counts_with_its_steps() -> None:
    text = "ARG KIND=small\nFROM scratch AS small\nCOPY a b /\nRUN c\nFROM scratch AS large\nCOPY c /\n"
    assert Dockerfile(f"{text}FROM $KIND\nCOPY d /\n").steps() == 3
    assert Dockerfile(f"{text}FROM $KIND\nCOPY d /\n", {"KIND": "large"}).steps() == 2
