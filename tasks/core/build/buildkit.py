"""What BuildKit says while it builds: steps and log lines, as ``docker build --progress=plain`` has them."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from tasks.core.build.dockerfile import Dockerfile
from tasks.core.build.solve_status import Event, Output, Vertex, Warned, from_json, from_trace

KEPT_LINES = 20
"""How many lines of a step's output a failure is explained with."""

CACHE = ("importing cache manifest", "exporting cache")
"""Begin the names of the steps that look for layers in the registry, and keep them there; a build goes on without."""


@dataclass(frozen=True)
class Help:
    """What a build may take from elsewhere, and leaves for others.

    ``cache_from`` is an image whose layers are used where they fit. ``keep`` makes the built image one that can be
    used so (BuildKit's inline cache). Such an image knows the layers it has itself, and so those of the last stage of
    its Dockerfile alone: stages before it are skipped where all that follows is unchanged, and are otherwise built.
    A cache that knows all stages (``mode=max``) is buildx's, and not the engine's.

    ``session`` is the id of the BuildKit session that has the logins for this, and for private base images.

    ``again`` takes nothing from any cache, and pulls base images anew.
    """

    cache_from: str = ""
    session: str = ""
    keep: bool = False
    again: bool = False

    def params(self, build_args: Mapping[str, str]) -> dict[str, str]:
        """Return the parameters of the engine's call, the build's own arguments among them."""
        arguments = {**build_args, "BUILDKIT_INLINE_CACHE": "1"} if self.keep else dict(build_args)
        cache = {"cachefrom": json.dumps([self.cache_from])} if self.cache_from else {}
        again = {"nocache": "1", "pull": "1"} if self.again else {}
        session = {"session": self.session} if self.session else {}
        return {"buildargs": json.dumps(arguments)} | cache | again | session


ALONE = Help()
"""Nothing from elsewhere, and nothing for others."""


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


class Recipe(NamedTuple):
    """What is built.

    Args:
        path: the Dockerfile's path in the repository.
        dockerfile: its content.
        target: the stage; the last one by default.
        apart: the Dockerfile as it is, if the context doesn't have it: ignored there, or outside of it.
    """

    path: str
    dockerfile: Dockerfile
    target: str = ""
    apart: bytes | None = None


class Progress:
    """Follows a build and tells it in lines, as ``docker build --progress=plain`` does.

    Args:
        log: is called with each line; with several at once, where steps said them at once.
        progress: is called with the fraction of the Dockerfile's steps that are done; what comes after them, the
            export, counts as one more.
        recipe: the Dockerfile's path, its content, and the target.
        clean: takes from a text what nobody may read.
        platforms: for how many platforms each step is executed.
    """

    def __init__(
        self,
        log: Callable[[str], None],
        progress: Callable[[float], None] = lambda _: None,
        recipe: Recipe | None = None,
        clean: Callable[[str], str] = str,
        platforms: int = 1,
    ) -> None:
        self._log, self._progress, self._recipe, self._clean = log, progress, recipe, clean
        self._steps: dict[str, Step] = {}
        self._ended = set[str]()
        self._all = recipe.dockerfile.steps(recipe.target) * platforms if recipe else 0
        self._said: list[str] = []
        self._warned = set[str]()

    def record(self, aux: str) -> None:
        """Take one ``moby.buildkit.trace`` record of the engine's API.

        One that can't be read is left out: it tells how far a build is, not how it ends.
        """
        with suppress(LookupError, TypeError, ValueError, AttributeError):
            self._take(from_trace(aux))
        self._flush()

    def record_json(self, line: bytes) -> bool:
        """Take one line of ``--progress=rawjson``, and return whether it was one."""
        try:
            self._take(from_json(line))
        except (LookupError, TypeError, ValueError, AttributeError):
            return False
        finally:
            self._flush()
        return True

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Vertex):
                self._vertex(event)
            elif isinstance(event, Output):
                self._output(event)
            else:
                self._warning(event)

    @property
    def failed(self) -> Step | None:
        """The step that failed by itself: not one cancelled with the others, nor one that a build goes on without."""
        failures = [step for step in self._steps.values() if step.error and not step.name.startswith(CACHE)]
        return next((step for step in failures if not step.error.endswith("context canceled")), None)

    def line_of(self, step: Step) -> int:
        """Return the Dockerfile's line that a step executes; 0 if it executes none."""
        return self._recipe.dockerfile.line_of(step.name) if self._recipe else 0

    def _warning(self, warned: Warned) -> None:
        path = self._recipe.path if self._recipe else "Dockerfile"
        url = f" ({warned.url})" if warned.url else ""
        text = self._clean(f"{path}:{warned.line}: warning: {warned.text}{url}")
        if text not in self._warned:
            self._warned.add(text)
            self._said.append(text)

    def _step(self, digest: str) -> Step:
        return self._steps.setdefault(digest, Step(len(self._steps) + 1))

    def _vertex(self, vertex: Vertex) -> None:
        step = self._step(vertex.digest)
        step.name = self._clean(vertex.name)
        if vertex.started and not step.started:
            step.started = vertex.started
            if not vertex.cached:
                self._flush()
                self._log(f"#{step.number} {step.name}")
        if vertex.completed and not step.done:
            for rest in step.unfinished.values():
                self._tell(step, rest)
            step.done, step.error = True, self._clean(vertex.error)
            self._flush()
            self._log(f"#{step.number} {_outcome(step, vertex)}")
            if self._all and not step.error and self.line_of(step):
                self._ended.add(step.name)
                self._progress(min(len(self._ended), self._all) / (self._all + 1))

    def _output(self, output: Output) -> None:
        step = self._step(output.digest)
        said = step.unfinished.pop(output.stream, b"") + output.text  # a message may end within a line
        whole, end, rest = (said, b"", b"") if step.done else said.rpartition(b"\n")
        step.unfinished[output.stream] = rest
        self._tell(step, whole + end)

    def _tell(self, step: Step, output: bytes) -> None:
        for line in output.decode(errors="replace").splitlines():
            step.lines.append(self._clean(line))
            self._said.append(f"#{step.number} {step.lines[-1]}")

    def _flush(self) -> None:
        # What the steps said at once is told at once: a call for each line costs Prefect fifteen times as much.
        if self._said:
            self._log("\n".join(self._said))
            self._said.clear()


def _outcome(step: Step, vertex: Vertex) -> str:
    if step.error:
        return f"ERROR {step.error}"
    if vertex.cached:
        return f"CACHED {step.name}"
    return f"DONE {max(0.0, vertex.completed - step.started):.1f}s"
