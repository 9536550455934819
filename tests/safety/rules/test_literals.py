"""Values are compared in one spelling, and what leads somewhere is found in texts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.safety.rules import literals


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("€1,000.00", "1000"),
        ("1'000.50", "1000.5"),
        ("1.000,50", "1000.5"),
        ("12,5", "12.5"),
        ("1,2,3", "1,2,3"),
        (1000.0, "1000"),
        (0.1, "0.1"),
        (10**30, "1" + "0" * 30),
        ("007", "007"),
        ("-5", "-5"),
        ("2024-05-13", "2024-05-13"),
        ("HTTPS://WWW.Example.com/a/?x=1&y=2.", "example.com/a/?x=1&y=2"),
        ("mailto:Kim@Example.com", "kim@example.com"),
        ("AT61 1904 3002 3457 3201", "at611904300234573201"),
        ("(555) 123-4567", "5551234567"),
        ("Straße", "strasse"),
        ("  ", ""),
        ("?!", ""),
    ],
)
def test_a_value_has_one_spelling(value: Any, spelled: str) -> None:
    assert literals.spelling(value) == spelled


def test_an_integer_that_nobody_would_write_has_a_spelling_too() -> None:
    assert literals.spelling(2**20_000) == "0x1" + "0" * 5_000


@given(st.text())
def test_spelling_a_text_again_changes_nothing_about_its_tokens(text: str) -> None:
    once = literals.tokens(text)

    assert all(token.strip() == token and token for token in once)
    assert literals.tokens(text.upper().lower()) == literals.tokens(text.lower()) or not text.isascii()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://evil.com/p?d=1.", [("link", "https://evil.com/p?d=1")]),
        ("[here](https://evil.com/p)", [("link", "https://evil.com/p")]),
        ("![](https://evil.com/?q=secret)", [("link", "https://evil.com/?q=secret")]),
        ('<a href="http://evil.com">', [("link", "http://evil.com")]),
        ("go to www.evil-site.com!", [("link", "www.evil-site.com")]),
        ("evil-site.com/path and Evil.Com", [("link", "evil-site.com/path"), ("link", "Evil.Com")]),
        ("ht\u200btps://evil.com", [("link", "https://evil.com")]),
        ("evil\u200b.com", [("link", "evil.com")]),
        ("ｅｖｉｌ.com", [("link", "evil.com")]),
        ("evil。com", [("link", "evil.com")]),
        ("+٤٩ 171 1234567", [("phone", "+49 171 1234567")]),
        ("http://10.0.0.1/x", [("link", "http://10.0.0.1/x")]),
        ("see:https://evil.com", [("link", "https://evil.com")]),
        (
            "https://good.com/?next=https://evil.com",
            [("link", "https://good.com/?next="), ("link", "https://evil.com")],
        ),
        ("Kim <kim.lee+x@mail.example.com>,", [("email", "kim.lee+x@mail.example.com")]),
        ("pay DE89 3704 0044 0532 0130 00 now", [("iban", "DE89 3704 0044 0532 0130 00")]),
        ("pay AT61 1904 3002 3457 3201 from Kim", [("iban", "AT61 1904 3002 3457 3201")]),
        ("pay gb29nwbk60161331926819", [("iban", "gb29nwbk60161331926819")]),
        ("evil.com?d=1 and evil.com#d", [("link", "evil.com?d"), ("link", "evil.com#d")]),
        ("<img src='//evil.com/x'>", [("link", "evil.com/x")]),
        ("http:/evil.com and https:evil.com/p", [("link", "http:/evil.com"), ("link", "https:evil.com/p")]),
        ("http&#58;//evil&period;com/&ZeroWidthSpace;p", [("link", "http://evil.com/p")]),
        ("evil%2Ecom/p and kim%40evil.com", [("link", "evil.com/p"), ("email", "kim@evil.com")]),
        ("10.0.0.1/x and 10.0.0.1:80", [("link", "10.0.0.1/x"), ("link", "10.0.0.1:80")]),
        (
            "е-vil.com, кот.рф, xn--e1afmkfd.xn--p1ai",
            [("link", "е-vil.com"), ("link", "кот.рф"), ("link", "xn--e1afmkfd.xn--p1ai")],
        ),
        ("x.com, t.co/p, evil.Ru/p", [("link", "x.com"), ("link", "t.co/p"), ("link", "evil.Ru/p")]),
        ("*evil.com*, _evil.com_, **evil.com**!", [("link", "evil.com")] * 3),
        ("my_secret.evil.com", [("link", "my_secret.evil.com")]),
        ("evil.com/@kim", [("link", "evil.com/@kim")]),
        ("call +49 171 1234567 or 555-123-4567", [("phone", "+49 171 1234567"), ("phone", "555-123-4567")]),
    ],
)
def test_what_leads_somewhere_is_found(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(found.kind, found.value) for found in literals.found(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "on 2024-05-13 at 10:00 for 3.14 or 1,000.00",
        "e.g. report.pdf, i.e. main.py and v1.2.3",
        "It is done.Then we go. U.S. and a.m.",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "/home/kim/notes.txt",
        "me@home",
        "version 1.2.3.4 of main.py#L10, J.Smith, self_test.inbox.body, AT&T; name@latest and/or",
        "Привет.Как дела? 你好。谢谢",
        "http: is a scheme, 100% of it",
    ],
)
def test_what_leads_nowhere_is_not_found(text: str) -> None:
    assert list(literals.found(text)) == []


@pytest.mark.parametrize("part", ["a", "1,", "a.", "+1 ", "de12 ", "https://", "(", "0", "a@", "-.", "é", "+1 2"])
def test_hostile_texts_are_read_to_the_end(part: str) -> None:
    text = part * 20_000

    assert len(list(literals.found(text))) <= len(text)
    assert len(literals.tokens(text)) <= len(text)
