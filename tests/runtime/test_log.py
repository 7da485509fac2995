"""What a run logs of others' words has no meaning to a terminal."""

import logging

import pytest

from tasks.runtime import log


def test_lines_are_plain(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(log, "get_run_logger", lambda: logging.getLogger("run"))
    caplog.set_level(logging.INFO, "run")
    say = log.info()
    say("%s took %.1f s", "\x1b[2Jbuild\r", 1.25)
    say("100% \u202e<!here>")
    assert caplog.messages == ["build\n took 1.2 s", "100% �<! here>"]
