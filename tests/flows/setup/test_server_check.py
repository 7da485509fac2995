"""What flowise-setup says of the server: where it keeps things, and what a restart loses."""

from pathlib import Path
from typing import Any

from prefect.settings import Settings

from flows.setup.server_check import NOTHING, kept

ENV = Path(__file__).parents[3] / "docs" / "examples" / "replicas" / "prefect.env"


def served(monkeypatch: Any, **variables: str) -> dict[str, Any]:
    """The settings of a server that is started with these variables, as it tells them."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings().model_dump(mode="json")["server"]


def test_a_server_by_itself_keeps_events_and_leases_in_memory(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # without the project's own settings
    said = {row.what: row for row in kept(served(monkeypatch))}
    assert "use PostgreSQL" in said.pop("database").lost
    assert {what for what, row in said.items() if row.where == "memory"} == set(said)
    assert said["events"].lost == "events that it hasn't handled, and the runs they would start"
    assert NOTHING not in {row.lost for row in said.values()}


def test_leases_in_files_survive(monkeypatch: Any) -> None:
    said = {row.what: row for row in kept(served(monkeypatch))}  # [tool.prefect.server] of this project
    assert said["leases of slots"] == ("leases of slots", "files", NOTHING)


def test_the_example_of_two_servers_loses_nothing(monkeypatch: Any) -> None:
    lines = [line.split("=", 1) for line in ENV.read_text().splitlines() if line and not line.startswith("#")]
    said = kept(served(monkeypatch, **dict(lines)))
    assert {row.where for row in said[1:]} == {"Redis"}
    assert {row.lost for row in said[1:]} == {NOTHING}
    assert len(said) == 7


def test_a_server_without_some_settings_is_told_of_as_far_as_it_goes() -> None:
    _, events = kept({"events": {"messaging_broker": "other.broker"}})
    assert events == ("events", "other.broker", NOTHING)
