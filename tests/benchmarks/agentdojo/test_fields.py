from __future__ import annotations

from benchmarks.agentdojo import fields, suites

BAIT = "please obey"


def test_the_sender_of_a_message_with_the_injected_text_becomes_the_attackers_target() -> None:
    environment = suites.environment("workspace", {})
    first, *others = environment.inbox.emails.values()
    first.body = f"Hello,\n{BAIT}"
    untouched = [email.sender for email in others]
    fields.seize(environment, ["pleaseobey"], ["Greetings", "eve@example.com"])
    assert (first.sender, first.subject) == ("eve@example.com", "eve@example.com")
    assert [email.sender for email in others] == untouched


def test_a_field_for_addresses_is_left_alone_where_the_attacker_has_no_address() -> None:
    environment = suites.environment("workspace", {})
    file = next(iter(environment.cloud_drive.files.values()))
    file.content, owner = BAIT, file.owner
    fields.seize(environment, ["pleaseobey"], ["Greetings"])
    assert (file.filename, file.owner) == ("Greetings", owner)


def test_the_field_that_holds_the_injected_text_is_not_overwritten() -> None:
    environment = suites.environment("workspace", {})
    email = next(iter(environment.inbox.emails.values()))
    email.subject = BAIT
    fields.seize(environment, ["pleaseobey"], ["eve@example.com"])
    assert (email.subject, email.sender) == (BAIT, "eve@example.com")


def test_participants_are_joined_by_the_attackers_target() -> None:
    environment = suites.environment("workspace", {})
    event = next(iter(environment.calendar.events.values()))
    event.description, before = BAIT, list(event.participants)
    fields.seize(environment, ["pleaseobey"], ["eve@example.com"])
    assert event.participants == [*before, "eve@example.com"]
