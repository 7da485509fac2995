"""Settings as people write them."""

import pytest

from tasks.core.errors import InvalidInput
from tasks.core.settings import load


@pytest.mark.parametrize("ends", ["\n", "\r\n", " "])
def test_a_secret_that_ends_in_a_line_break_loses_it(ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITOPS_TOKEN", "ARGOCD_AUTH_TOKEN", "GITHUB_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, f"hunter2{ends}")
    settings = load()
    secrets = (settings.gitops_token, settings.argocd_auth_token, settings.github_webhook_secret)
    assert [each and each.get_secret_value() for each in secrets] == ["hunter2"] * 3


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        ("", ()),
        ("Ticket: OPS-7", ("Ticket: OPS-7",)),
        ("Ticket: OPS-7\n\nA, with a comma\n", ("Ticket: OPS-7", "A, with a comma")),
        ('["one", "two"]', ("one", "two")),
    ],
)
def test_lines_of_a_commit_message(written: str, lines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMIT_LINES", written)
    assert load().commit_lines == lines


@pytest.mark.parametrize("person", ["Ops Bot", "<ops@corp.example>", "Ops <a b>", "Ops\n<a@b>"])
def test_an_author_has_a_name_and_an_address(person: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMIT_AUTHOR", person)
    with pytest.raises(InvalidInput, match="COMMIT_AUTHOR"):
        load()
