"""Other programs end in time with all they started, say nothing secret, and see nothing of the user's settings."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.core.system import process
from tasks.core.system.process import CommandFailed

MEGABYTES = 5 * 2**20


def python(code: str, *args: str) -> list[str]:
    return [sys.executable, "-c", code, *args]


def run(command: list[str], timeout: float = 30, **options: object) -> bytes:
    return process.run(command, env=process.clean_environment(), timeout=timeout, **options)


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits for nothing but its parent's attention."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while not ended(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return ended(pid)


def test_output_and_input_are_bytes_as_they_are() -> None:
    assert run(["cat"], stdin=b"\x00\xff\r\n") == b"\x00\xff\r\n"


def test_an_exit_status_is_an_error_with_the_programs_words_but_no_secrets() -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", "read word; echo lost $word, $word >&2; exit 7"], stdin=b"hunter2\n", secrets=["", "hunter2"])
    assert (caught.value.code, caught.value.stderr) == (7, "lost ********, ********\n")
    assert "hunter2" not in f"{caught.value!r} {caught.value}"


def test_a_signal_is_a_negative_status() -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", "kill -9 $$"])
    assert caught.value.code == -9


@pytest.mark.parametrize("leader", ["stays", "ends at once"])
def test_when_time_runs_out_the_whole_group_ends(leader: str, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"sleep 300 & echo $! > {note}" + ("; wait" if leader == "stays" else "")
    started = time.monotonic()
    with pytest.raises(CommandFailed, match=r"ran out of time: no end after 0\.5 seconds") as caught:
        run(["sh", "-c", script], timeout=0.5)
    assert caught.value.code is None
    assert time.monotonic() - started < 5
    assert ends(int(note.read_text()))


def test_floods_on_both_outputs_and_the_input_do_not_block_each_other() -> None:
    code = (
        "import sys\n"
        f"for _ in range({MEGABYTES} // 65536):\n"
        " sys.stderr.write('e' * 65536); sys.stdout.write('o' * 65536)\n"
        "print(len(sys.stdin.buffer.read()))\n"
        "sys.exit(3)"
    )
    with pytest.raises(CommandFailed) as caught:
        run(python(code), stdin=b"i" * MEGABYTES)
    assert caught.value.stderr == "e" * MEGABYTES
    assert run(python(code.replace("exit(3)", "exit(0)")), stdin=b"i" * MEGABYTES) == b"o" * MEGABYTES + b"5242880\n"


def test_a_child_sees_only_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "GIT_DIR",
        "GIT_TRACE",
        "GIT_CONFIG_GLOBAL",
        "HOME",
        "XDG_CONFIG_HOME",
        "AWS_SECRET_ACCESS_KEY",
        "LANG",
    ):
        monkeypatch.setenv(name, "/somewhere")
    for name in ("TMPDIR", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "kept")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("SSL_CERT_FILE")
    printed = process.run(["env", "-0"], env=process.clean_environment({"EXTRA": "a\nb"}), timeout=30)
    assert dict(row.split("=", 1) for row in printed.decode().rstrip("\0").split("\0")) == {
        "PATH": "/usr/bin:/bin",
        "TMPDIR": "kept",
        "HTTPS_PROXY": "kept",
        "no_proxy": "kept",
        "LC_ALL": "C",
        "EXTRA": "a\nb",
    }


def test_a_stream_is_read_as_it_comes() -> None:
    with process.stream(["sh", "-c", "echo one; exec sleep 0.1"], env=process.clean_environment()) as out:
        assert out.readline() == b"one\n"


def test_a_stream_that_fails_at_its_end_is_not_complete() -> None:
    with (
        pytest.raises(CommandFailed, match="ended with 4: its output is not complete"),
        process.stream(["sh", "-c", "echo one; exit 4"], env=process.clean_environment()) as out,
    ):
        assert out.read() == b"one\n"


def test_a_stream_left_by_an_error_ends_with_all_it_started() -> None:
    with (
        pytest.raises(LookupError),
        process.stream(["sh", "-c", "sleep 300 & echo $$ $!; exec yes"], env=process.clean_environment()) as out,
    ):
        pids = [int(word) for word in out.readline().split()]
        raise LookupError
    assert len(pids) == 2
    assert all(map(ends, pids))


def test_what_was_said_before_the_time_ran_out_is_nowhere_in_the_failure() -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", "echo hunter$((1 + 1)) >&2; exec sleep 60"], timeout=0.5, secrets=["hunter2"])
    chain: list[BaseException | None] = [caught.value]
    while chain[-1]:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    assert "hunter2" not in "".join(f"{each!r} {vars(each)}" for each in chain[:-1])


def test_what_a_program_prints_may_be_bounded() -> None:
    assert run(python("print('x' * 1000)"), most=2000) == b"x" * 1000 + b"\n"
    with pytest.raises(CommandFailed, match="ended with 3: sorry"):
        run(python("import sys; sys.stderr.write('sorry'); sys.exit(3)"), most=2000)
    with pytest.raises(CommandFailed, match="more than 2,000 bytes of output"):
        run(python("while True: print('x' * 1000, flush=True)"), most=2000)
    with pytest.raises(CommandFailed, match=r"no end after 0\.5 seconds"):
        run(python("import sys, time; sys.stdout.close(); time.sleep(60)"), timeout=0.5, most=2000)


def fed(command: list[str], stdin: Iterator[bytes], timeout: float = 30) -> tuple[int, bytes]:
    with process.fed(command, stdin, env=process.clean_environment(), timeout=timeout) as child:
        said = child.stdout.read()
    return child.returncode, said


def test_a_program_is_fed_while_it_is_read() -> None:
    pieces = (b"x" * MEGABYTES for _ in range(3))
    assert fed(["sh", "-c", "cat; echo end >&2; exit 3"], pieces) == (3, b"x" * 3 * MEGABYTES + b"end\n")


def test_a_program_that_needs_no_more_is_not_waited_for() -> None:
    assert fed(["sh", "-c", "exit 4"], (b"x" * MEGABYTES for _ in range(3))) == (4, b"")


def test_what_feeds_a_program_may_fail() -> None:
    def failing() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        fed(["sh", "-c", "cat; sleep 60"], failing())


def test_a_fed_program_ends_in_time_with_all_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with pytest.raises(CommandFailed, match=r"no end after 0\.5 seconds"):
        fed(["sh", "-c", f"sleep 300 & echo $! > {note}; wait"], (b"" for _ in range(1)), timeout=0.5)
    assert ends(int(note.read_text()))
