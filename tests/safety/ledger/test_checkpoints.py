from base64 import b64decode, b64encode

import pytest

from gatewright.agents.errors import IntegrityError, UsageError
from gatewright.safety.ledger import merkle
from gatewright.safety.ledger.checkpoints import (
    MAX_SIGNATURES,
    Checkpoint,
    SigningKey,
    VerifierKey,
    open_checkpoint,
    open_note,
    sign,
)

# The example of C2SP signed-note, "Verifier keys" (https://c2sp.org/signed-note, repository C2SP/C2SP).
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
ORIGIN = "example.org/support/decisions"
KEY = SigningKey("example.org/support/decisions", "log", bytes(range(32)))
WITNESS_KEY = SigningKey("audit.example.org", "witness", bytes(range(1, 33)))
LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(20)]
NOW = 1_787_000_000


def checkpoint(size: int) -> Checkpoint:
    return Checkpoint(origin=ORIGIN, size=size, root=merkle.root(LEAVES[:size]))


def test_the_published_example_verifies() -> None:
    key = VerifierKey.parse(EXAMPLE_KEY)

    opened = open_note(EXAMPLE_NOTE, [key])

    assert str(key) == EXAMPLE_KEY
    assert opened.text == "This is an example message.\n"
    assert [(each.key, each.at) for each in opened.signatures] == [(key, None)]


def test_the_published_example_with_another_text_is_refused() -> None:
    with pytest.raises(IntegrityError, match="does not belong"):
        open_note(EXAMPLE_NOTE.replace("example message", "other message"), [VerifierKey.parse(EXAMPLE_KEY)])


@pytest.mark.parametrize("purpose", ["log", "witness"])
def test_keys_survive_being_written_down(purpose: str) -> None:
    key = SigningKey.generate("example.org/a", purpose="witness" if purpose == "witness" else "log")

    assert SigningKey.load(key.dump() + "\n") == key
    assert VerifierKey.parse(str(key.verifier)) == key.verifier
    assert key.dump().startswith("PRIVATE+KEY+example.org/a+")


def test_two_generated_keys_differ() -> None:
    assert SigningKey.generate("a").seed != SigningKey.generate("a").seed


def test_a_key_does_not_show_its_secret() -> None:
    assert "seed" not in repr(KEY) and str(KEY.seed) not in repr(KEY)
    with pytest.raises(UsageError) as refusal:
        SigningKey.load(KEY.dump().replace(KEY.verifier.id.hex(), "00000000"))
    assert KEY.dump().rsplit("+", 1)[1] not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+530d903a",
        "name+530d903a+!!",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/fou+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+" + b64encode(b"\x02" + bytes(32)).decode(),
        "example.com/foo+530d903a+" + b64encode(b"\x01" + bytes(31)).decode(),
        "two words+530d903a+" + b64encode(b"\x01" + bytes(32)).decode(),
    ],
)
def test_a_malformed_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        VerifierKey.parse(text)
    with pytest.raises(UsageError):
        SigningKey.load(text)
    with pytest.raises(UsageError):
        SigningKey.load("PRIVATE+KEY+" + text)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "line\nbreak", "wide\u2003space"])
def test_a_name_that_notes_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="must be non-empty"):
        SigningKey.generate(name)


def test_one_seed_has_another_id_for_each_purpose() -> None:
    assert SigningKey("a", "log", KEY.seed).verifier.id != SigningKey("a", "witness", KEY.seed).verifier.id


def test_a_signed_checkpoint_opens_with_the_public_key_alone() -> None:
    note = sign(checkpoint(7), KEY)

    opened = open_checkpoint(note, [VerifierKey.parse(str(KEY.verifier))])

    assert opened.checkpoint == checkpoint(7)
    assert opened.cosignatures == ()
    assert note.startswith(f"{ORIGIN}\n7\n{b64encode(checkpoint(7).root).decode()}\n\n— {ORIGIN} ")


def test_only_the_log_itself_may_sign_its_checkpoints() -> None:
    with pytest.raises(UsageError, match="cannot sign"):
        sign(checkpoint(7), SigningKey("example.org/other", "log", KEY.seed))
    with pytest.raises(UsageError, match="cannot sign"):
        sign(checkpoint(7), SigningKey(ORIGIN, "witness", KEY.seed))
    other = SigningKey.generate("example.org/other")
    note = f"{checkpoint(7)}\n{other.signature_line(str(checkpoint(7)))}"
    with pytest.raises(IntegrityError, match="did not sign"):
        open_checkpoint(note, [other.verifier, KEY.verifier])


def test_every_changed_character_of_a_checkpoint_is_noticed() -> None:
    note = sign(checkpoint(7), KEY)
    for place, character in enumerate(note):
        changed = note[:place] + ("x" if character != "x" else "y") + note[place + 1 :]
        with pytest.raises(IntegrityError):
            open_checkpoint(changed, [KEY.verifier])


def test_signatures_of_unknown_keys_are_ignored() -> None:
    stranger = SigningKey.generate("stranger.example")
    namesake = SigningKey.generate(ORIGIN)
    note = sign(checkpoint(7), KEY)
    note += stranger.signature_line(str(checkpoint(7))) + namesake.signature_line(str(checkpoint(7)))

    assert [each.key for each in open_note(note, [KEY.verifier]).signatures] == [KEY.verifier]
    with pytest.raises(IntegrityError, match="no known key"):
        open_note(note, [SigningKey.generate(ORIGIN).verifier])


def test_a_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    note = sign(checkpoint(7), KEY) + WITNESS_KEY.signature_line(str(checkpoint(8)), at=NOW)

    assert open_checkpoint(note, [KEY.verifier]).checkpoint.size == 7
    with pytest.raises(IntegrityError, match="does not belong"):
        open_checkpoint(note, [KEY.verifier, WITNESS_KEY.verifier])


SIGNED = sign(checkpoint(7), KEY)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        SIGNED[:-1],
        SIGNED.replace("— ", "- "),
        SIGNED.replace("\n7\n", "\n7\r\n"),
        SIGNED + "\n",
        SIGNED + "— short AAAA\n",
        SIGNED + SIGNED.splitlines(keepends=True)[-1] * MAX_SIGNATURES,
        "\ud800" + SIGNED,
    ],
    ids=range(10),
)
def test_a_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(IntegrityError):
        open_note(note, [KEY.verifier])


@pytest.mark.parametrize(
    "text",
    [
        "origin\n07\n" + b64encode(bytes(32)).decode() + "\n",
        "origin\n-1\n" + b64encode(bytes(32)).decode() + "\n",
        "origin\n7\n" + b64encode(bytes(31)).decode() + "\n",
        "origin\n7\n" + b64encode(bytes(32)).decode() + "\nextension\n",
        "\n7\n" + b64encode(bytes(32)).decode() + "\n",
        "origin\n7\n" + b64encode(bytes(32)).decode(),
        # the same bytes as 43 zeros and a sign, with padding bits that are not zero
        "origin\n7\n" + "A" * 42 + "B=\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError, match="not a checkpoint"):
        Checkpoint.parse(text)


def test_a_cosignature_states_its_time_and_is_checked() -> None:
    note = sign(checkpoint(7), KEY)
    note += WITNESS_KEY.signature_line(str(checkpoint(7)), at=NOW)

    opened = open_checkpoint(note, [KEY.verifier, WITNESS_KEY.verifier])

    assert [(each.key, each.at) for each in opened.cosignatures] == [(WITNESS_KEY.verifier, NOW)]


def test_a_cosignature_signs_the_message_of_the_format() -> None:
    line = WITNESS_KEY.signature_line("log\n1\nroot\n", at=NOW)

    key_id, time, signature = (data := b64decode(line.split()[2]))[:4], data[4:12], data[12:]
    assert (key_id, int.from_bytes(time, "big")) == (WITNESS_KEY.verifier.id, NOW)
    plain = VerifierKey(WITNESS_KEY.name, "log", WITNESS_KEY.verifier.public)
    assert plain.verify(f"cosignature/v1\ntime {NOW}\nlog\n1\nroot\n", signature) is None


def test_exactly_witnesses_state_a_time() -> None:
    with pytest.raises(UsageError, match="states no time"):
        KEY.signature_line("text\n", at=NOW)
    with pytest.raises(UsageError, match="must state a time"):
        WITNESS_KEY.signature_line("text\n")
