"""What a person reads: no foreign link or image, no mention, no HTML, nothing hidden; and the words stay."""
# ruff: noqa: E501 (cases read better unbroken)

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.guard.output import LONGEST, clean

OURS = "https://watch.example.com"
HARM = re.compile(
    r"(?i)(?:https?|ftp|ssh|javascript|data):(?!//watch\.example\.com/)(?://|\w)|www\.|<[a-z/!?@#]|(?:^|\W)@(?:here|channel|everyone)|!\[|\x1b|"
    r"[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
HARMFUL = (
    "<@U123ABC> hi <!channel> <!here|here> <!subteam^S1|@ops> <#C1|general>", "@here @channel @everyone ＠everyone @ana",
    "![x](http://evil.example/y.png?d=1)", "![x][r]\n\n[r]: http://evil.example", "[a](https://watch.example.com.evil.example/incidents/i-abcdefgh)",
    "https://watch.example.com@evil.example/incidents/i-abcdefgh", "[a](//evil.example)", "[a](javascript:alert(1))", "<https://evil.example|click>",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<<b>script>alert(1)</script>", "<svg/onload=1>", "<a href=http://evil.example>x</a>",
    "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07", "\x1b[2J\x1b[31mred", "\x9b31mred", "h\u200bttps://evil.example/q", "HTTPS://EVIL.EXAMPLE/q",
    "https:evil.example", "https:/evil.example", "//evil.example/x", "\\\\evil.example\\share", "see evil.example/x?k=1 there", "www.evil.example", "1.2.3.4/x",
    "mailto:a@evil.example", "data:text/html;base64,xx", "[link=https://evil.example]x[/link]", "a\u202eb\u2066c", "[a [b](http://e.example)](http://e.example)",
    "https://watch.example.com/incidents/i-abcdefgh?leak=1", "[x](<http://evil.example/a b>)", "ht\x00tps://evil.example",
)  # fmt: skip


@pytest.mark.parametrize("text", HARMFUL)
def test_harm_is_taken_out(text: str) -> None:
    shown = clean(f"before {text} after", OURS)
    assert not HARM.search(shown), shown
    assert "evil.example/" not in shown
    assert shown.startswith("before")
    assert "after" in shown or "[r]:" in text


def test_the_search_for_harm_finds_it() -> None:
    assert sum(HARM.search(text) is not None for text in HARMFUL) > 0.6 * len(HARMFUL)


@pytest.mark.parametrize(
    "text",
    [
        "mae < 20 and p<0.05, a -> b, c > d", "[i-7k2m9xq4c1]", "[d-7k2m9xq4c1/E3, E2]", "performance.mae rose; see `train.py`", "**bold** _and_ `code`",
        "- one\n- two\n\n| a | b |\n|---|---|", "at 12:30 UTC; version 1.2.3.4", "ana@house.org approved it", "温度 and حرارة", "status: ok, model:bike-demand",
        f"[i-7k2m9xq4c1]({OURS}/incidents/i-7k2m9xq4c1)", f"see {OURS}/reports/t-7k2m9xq4c1.", "[i-7k2m9xq4c1](/incidents/i-7k2m9xq4c1)", "1 < 2 & 3 > 2",
    ],
)  # fmt: skip
def test_plain_words_stay(text: str) -> None:
    assert clean(text, OURS).replace("[.]", ".") == text


@given(st.text(alphabet=st.sampled_from(list("<>[]()!@#|:/\\.ehtpsxw \n\u200b\u202e\x1b1-")), max_size=200))
def test_whatever_is_written_stays_harmless(text: str) -> None:
    shown = clean(text, OURS)
    assert not re.search(r"<[a-z/!?@#]|!\[[^\]]*\]\(|[\x1b\u200b\u202e]|https?:/", shown, re.IGNORECASE)
    assert len(shown) <= LONGEST + 10


def test_secrets_are_never_shown() -> None:
    assert clean("the key is sk-canary-012345", secrets=["sk-canary-012345", ""]) == "the key is (secret removed)"


def test_it_has_an_end() -> None:
    assert clean("x" * 100_000).endswith("(cut)")
