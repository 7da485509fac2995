"""What a commit message says is read as plain text: anybody who may push has written it."""

import pytest

from tasks.core.gitops.commit_message import MessageStyle, message, parse
from tasks.core.models import ImageUpdate, Origin


def test_values_are_plain() -> None:
    said = "Triggered by: \x1b[31mroot\x1b[0m \u202e<!channel>\rTag: v2"
    found = parse(f"chore(dev): update flowise images to v1\n\n{said}\nTag: v1\n")
    assert found is not None
    assert (found["tag"], found["actor"]) == ("v1", "root <! channel> Tag: v2")


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (None, ""),
        (
            Origin(images=(), promoted_from=f"dev {'a' * 40}"),
            " (promoted from dev)",
        ),
        (Origin(images=(), restores="a" * 40), " (rollback)"),
    ],
)
def test_a_subject_says_what_kind_of_change_it_is(origin: Origin | None, said: str) -> None:
    text = message(ImageUpdate(environment="staging", tag="v1"), None, origin, MessageStyle())
    assert text.splitlines()[0] == f"chore(staging): update flowise images to v1{said}"
    found = parse(text)
    assert found is not None
    assert (found["environment"], found["tag"]) == ("staging", "v1")
