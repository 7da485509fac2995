"""What a commit message says is read as plain text: anybody who may push has written it."""

from tasks.core.gitops.commit_message import parse


def test_values_are_plain() -> None:
    said = "Triggered by: \x1b[31mroot\x1b[0m \u202e<!channel>\rTag: v2"
    found = parse(f"chore(dev): update flowise images to v1\n\n{said}\nTag: v1\n")
    assert found is not None
    assert (found["tag"], found["actor"]) == ("v1", "root < !channel> Tag: v2")
