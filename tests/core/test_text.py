"""Others' text shows as it is: it gives a terminal, a chat or a page nothing to do."""

import pickle

import pytest

from tasks.core.errors import BuildFailed
from tasks.core.models import ImageChange, ImageRef, ImageUpdate, ObjectChange, Origin, UpdateResult
from tasks.core.report.markdown import proposed, updated
from tasks.core.text import code, fenced, literal, one_line, plain

DIGEST = "sha256:" + "ab" * 32
EVIL = (
    "x`\n\n## Approved by Security\n\n[a](https://evil.example.net) ![](https://evil.example.net/p.png) <img src=q> `"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain: ảnh 🚀, a\tb\nc", "plain: ảnh 🚀, a\tb\nc"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07b\x1b]8;;https://e.example\x1b\\link", "blink"),
        ("a\x1bcb\x1b(Bc", "abc"),
        ("a\x00b\x07\x9b31m", "a�b��31m"),
        ("abc\u202edcba\u200b\u2066", "abc�dcba��"),
        ("a\u00a0b\u2028c", "a b c"),
        ("<!channel> <@U1> <!here|x> <#C1>", "<! channel> <@ U1> <! here|x> <# C1>"),
        ("!channel> @U1> !here |x> !subteam^S1>", "! channel> @ U1> ! here |x> ! subteam^S1>"),
        ("@everyone @here", "@ everyone @ here"),
        ("<! channel> a != b > c! Lan <lan@example.com>", "<! channel> a != b > c! Lan <lan@example.com>"),
    ],
)
def test_plain(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert plain(shown) == shown


def test_one_line() -> None:
    assert one_line(" a\n\x00b\u202ec ") == "a b c"
    assert one_line("x" * 300) == "x" * 200


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"registry.example:5000/a-b/c_d@{DIGEST}", f"`registry.example:5000/a-b/c_d@{DIGEST}`"),
        ("a`b", r"a\`b"),
        ("a|b", r"a\|b"),
        ("a\n# b", "`a # b`"),
        ("", ""),
    ],
)
def test_code(text: str, shown: str) -> None:
    assert code(text) == shown


def test_no_line_ends_a_block_of_code() -> None:
    assert fenced(" ```\n+a\r\n-b\x1b[0m") == "````diff\n ```\n+a\n-b\n````\n"


def test_an_error_is_plain_wherever_it_goes() -> None:
    error = BuildFailed("step 3\n\x1b[31mfailed\x1b[0m <!channel>", "\u202ehint")
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert str(each) == "step 3\nfailed <! channel>\nHint: �hint"


def result(**more: object) -> UpdateResult:
    change = ImageChange(old=ImageRef("flowise-ui", EVIL, "v1"), new=ImageRef("flowise-ui", "r/ui", digest=DIGEST))
    fields = {
        "environment": "production",
        "tag": "v2",
        "changed": True,
        "commit": "c" * 40,
        "overlay_path": f"a/{EVIL}",
        "images": [change.new],
        "changes": [change],
        "diff": f" ```\n-{EVIL}\n+b\n",
        "objects": [ObjectChange(object=f"Deployment {EVIL}", effect="restarts", images=[(EVIL, f"r/ui@{DIGEST}")])],
        "warnings": [EVIL],
        "origin": Origin(images=(), promoted_from=EVIL),
    }
    return UpdateResult(**fields | more)


@pytest.mark.parametrize(
    "page",
    [
        updated(result()),
        updated(result(skipped=EVIL)),
        updated(result(diff="")),
        proposed(ImageUpdate(environment="production", tag="v2", actor="a`[b](c)"), result(), "none", "record"),
    ],
)
def test_no_page_has_anything_of_another_ones_making(page: str) -> None:
    outside = page.partition("````diff")[0]
    assert "\n## Approved" not in outside
    assert "](https://evil" not in outside
    assert "<img" not in outside.replace(r"\<img", "")


def test_pages_have_whole_digests_and_what_happens_to_each_object() -> None:
    page = updated(result(objects=[ObjectChange(object="Deployment a/b", effect="restarts", images=[("x:1", "x:2")])]))
    assert f"    - to `r/ui` `{DIGEST[:39]}` `{DIGEST[39:]}`\n" in page
    assert "- `Deployment a/b` restarts\n    - `x:1` → `x:2`\n" in page
    assert r"**Warning:** x\`" in page
    assert literal("a_b") == r"a\_b"
