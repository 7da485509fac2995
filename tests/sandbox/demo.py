"""``make demo`` and ``make ui``: the pipeline on this machine, from a commit to the commit it leads to.

Nothing is left running and nothing is left behind: everything lives in a temporary folder.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from tests.sandbox.cluster import board, cluster, first_steps
from tests.sandbox.processes import SandboxError
from tests.sandbox.stage import Stage, stage
from tests.sandbox.worker import PROJECT, workers

DEPLOY = "from flows import deploy_to_k8s as d; print(d(environment='dev', ref='main').model_dump_json())"

console = Console(highlight=False)


def main() -> int:
    """Run the demo; the exit status is 0 when both runs did what they should."""
    options = argparse.ArgumentParser(description="The pipeline, end to end, on this machine.")
    options.add_argument("--stay", action="store_true", help="leave the Prefect UI up, with both deployments served")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="flowise-demo-", ignore_cleanup_errors=True) as folder:
        try:
            return show(Path(folder), stay=options.parse_args().stay)
        except SandboxError as error:
            console.print(f"[red]{error}")
            return 1
        except KeyboardInterrupt:
            console.print("\nEnded.")
            return 130


def show(folder: Path, *, stay: bool) -> int:
    """The demo itself: set up, deploy, deploy again."""
    with stage(folder, lambda part: console.print(f"[dim]Starting:[/] {part}")) as here:
        console.rule("First run: a new commit")
        first = deploy(here)
        console.rule("Second run: the same commit")
        if not first or not (second := deploy(here)):
            return 1
        summarize(here, first, second)
        if stay:
            serve(here)
    console.print("Everything that was started has ended.")
    return 0


def deploy(here: Stage) -> dict[str, Any] | None:
    """Run ``deploy-to-k8s`` as a Python caller would, with its log on the screen; ``None`` when it failed."""
    command = [sys.executable, "-c", DEPLOY]
    with subprocess.Popen(
        command, cwd=PROJECT, env=here.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        errors = threading.Thread(target=follow, args=(run.stderr,))
        errors.start()
        answer = run.stdout.read() if run.stdout else ""
        errors.join()
    if run.returncode:
        console.print(f"[red]The run ended with {run.returncode}.")
        return None
    return dict(json.loads(answer.splitlines()[-1]))


def follow(lines: Iterator[str]) -> None:
    """The run's log, without times and levels; what is no log line (a diff, a traceback) is dimmed."""
    for line in lines:
        _, _, said = line.partition(" | INFO    | ")
        console.print(Text(said.rstrip() or line.rstrip(), style="" if said else "dim"), soft_wrap=True)


def summarize(here: Stage, first: dict[str, Any], second: dict[str, Any]) -> None:
    """What happened, in a person's order: images, overlay, commit, time, and that nothing happened twice."""
    update = first["update"]
    console.rule("What happened")
    for image in (first["server"], first["ui"]):
        say(f"[bold]{image['uri']}[/] {'built' if image['built'] else 'built before'}")
        say(f"  {image['digest']}\n  also tagged {', '.join(image['tags'][1:])}")
    say(f"\nThe overlay [bold]{update['overlay_path']}[/] in commit [bold]{update['commit'][:12]}[/]:")
    for line in update["diff"].splitlines():
        console.print(Text(line, style={"+": "green", "-": "red"}.get(line[:1], "dim")), soft_wrap=True)
    say("\nRendered by kustomize before the commit:")
    for each in update["objects"]:
        say(f"[bold]{each['object']}[/] {each['effect']}")
    console.print(times_table(here))
    say(f"\nSecond run: {nothing_twice(first, second)}")
    say(f"The run history is in the Prefect UI: {here.server.ui_url}/v2/runs (make ui keeps it up)")


def say(text: str) -> None:
    """A line that is not broken where the terminal ends, so that it can be copied."""
    console.print(text, soft_wrap=True)


def times_table(here: Stage) -> Table:
    """Each step's time in the first and in the second run, as Prefect recorded it."""
    steps: dict[str, list[str]] = {}
    for run in task_runs(here):
        how = " (cached)" if run["state"]["name"] == "Cached" else ""
        steps.setdefault(run["name"], []).append(f"{run['total_run_time']:.2f} s{how}")
    table = Table("step", "first run", "second run")
    for name, times in steps.items():
        table.add_row(name, *times[:2])
    return table


def task_runs(here: Stage) -> list[dict[str, Any]]:
    """All task runs, oldest first."""
    answer = httpx.post(
        f"{here.server.api_url}/task_runs/filter", json={"sort": "EXPECTED_START_TIME_ASC"}, trust_env=False
    )
    return [run for run in answer.raise_for_status().json() if run["state"]["type"] == "COMPLETED"]


def nothing_twice(first: dict[str, Any], second: dict[str, Any]) -> str:
    """What the second run did not do again."""
    built = [image["repository"] for image in (second["server"], second["ui"]) if image["built"]]
    committed = second["update"]["changed"]
    same = second["update"]["commit"] == first["update"]["commit"]
    if built or committed or not same:
        return f"[red]built {built}, committed: {committed}[/]"
    return "[green]nothing built, nothing committed[/]; the overlay is as the first run left it."


def serve(here: Stage) -> None:
    """Keep the UI up, with both deployments of prefect.yaml and workers for them, until Ctrl-C."""
    prefect, broken = [sys.executable, "-m", "prefect", "--no-prompt"], here.source.with_name("dev-is-broken")
    with ExitStack() as parts:
        env = here.environment() | parts.enter_context(cluster(here, broken))
        for command in ([sys.executable, "-m", "flows.setup"], [*prefect, "deploy", "--all"]):
            subprocess.run(command, cwd=PROJECT, env=env, check=True, stdout=subprocess.DEVNULL)
        parts.enter_context(workers(env, here.server.home, "--name", "demo"))
        pages = parts.enter_context(board(env, here.server.home / "board.log"))
        console.rule("Ready")
        say(first_steps(here, pages, broken) + "\nCtrl-C ends it all.")
        with Live(Spinner("dots", "waiting for you"), console=console, transient=True):
            signal.pause()


if __name__ == "__main__":
    sys.exit(main())
