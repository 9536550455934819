"""Files of episodes: what was written is read, and what was changed is found."""

from __future__ import annotations

import gzip
import io
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_SINGLE_ARG

from gatewright.agents.errors import IntegrityError, NotFoundError, UsageError
from gatewright.runtime.episodes import Entry, Episode, Request, Run, Thread, Value
from gatewright.safety.ledger import records
from gatewright.scenarios.episodes import Recorded, Writer, read, schema
from gatewright.scenarios.episodes.files import writing
from gatewright.scenarios.episodes.texts import KEPT, LONG, Texts

SALT = b"0123456789abcdef"
TEXT = "We are sorry to hear that. " * 20


def episode(name: str = "thread-1", text: str = TEXT, result: Value | None = None) -> Episode:
    given = orjson.dumps({"text": text, "$text": "not a reference", "n": 1.5})
    record = records.Record(
        kind="effect",
        time="2026-01-02T03:04:05.000006Z",
        deployment="office",
        run_id="run-1",
        thread_id=name,
        case_id=name,
        step="a@1",
        effect=records.EffectPart(kind="tool", name="pay", key="a@1/tool:pay/x:0", digest="0" * 64),
        outcome="ok",
        sealed={"args": sha256(SALT + given).hexdigest()},
    )
    values = {"args": Value("json", given, SALT), "result": result or Value("bytes", b"\x00\x01", SALT)}
    return Episode(
        name,
        [Thread(name, "desk", "office", {"tone": text}, SALT)],
        [Run("run-1", name, "desk", "office", "succeeded", 5, b'{"amount":1}', None)],
        [Entry(3, record.encode(), values)],
        [Request("run-1", "interrupt:1", 4, {"question": text}, True, "kim", "yes", 6)],
    )


def untrusted(found: Episode) -> Episode:
    """As it comes out of a file: its values are not trusted."""
    entries = [
        Entry(entry.position, entry.body, {name: v._replace(trusted=False) for name, v in entry.values.items()})
        for entry in found.entries
    ]
    return Episode(found.id, found.threads, found.runs, entries, found.requests)


def written(path: Path, *episodes: Episode) -> list[str]:
    with writing(path) as writer:
        return [writer.write(Recorded(episode=each, reward=1.0)) for each in episodes]


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz"])
def test_what_was_written_is_read(tmp_path: Path, name: str) -> None:
    digests = written(tmp_path / name, episode("a"), episode("b"))

    found = list(read(tmp_path / name))

    assert [each.episode for each in found] == [untrusted(episode("a")), untrusted(episode("b"))]
    assert [each.digest for each in found] == digests
    assert [each.reward for each in found] == [1.0, 1.0]


def test_the_same_episodes_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.jsonl.gz", "two.jsonl.gz"):
        written(tmp_path / name, episode())

    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()


def test_a_long_text_is_written_once(tmp_path: Path) -> None:
    written(tmp_path / "e.jsonl", episode("a"), episode("b"))

    assert (tmp_path / "e.jsonl").read_text("utf-8").count(TEXT) == 1


def test_files_may_be_put_one_after_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path / f"{name}.jsonl.gz", episode(name))
    both = tmp_path / "both.jsonl.gz"
    both.write_bytes((tmp_path / "a.jsonl.gz").read_bytes() + (tmp_path / "b.jsonl.gz").read_bytes())

    assert [each.episode.id for each in read(both)] == ["a", "b"]


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    written(path, episode())
    lines = path.read_bytes().splitlines(keepends=True)

    for number, line in enumerate(lines[1:-1], start=1):
        changed = line.replace(b"office", b"0ffice").replace(b"sorry", b"happy").replace(b'"yes"', b'"no!"')
        assert changed != line or b"office" not in line
        if changed == line:
            continue
        path.write_bytes(b"".join([*lines[:number], changed, *lines[number + 1 :]]))
        with pytest.raises(IntegrityError, match=r"e\.jsonl', line \d+: "):
            list(read(path))


def test_a_file_that_is_cut_off_is_found(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    written(path, episode())
    lines = path.read_bytes().splitlines(keepends=True)

    path.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(IntegrityError, match="ends within episode 'thread-1'"):
        list(read(path))
    packed = gzip.compress(b"".join(lines))
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(IntegrityError, match="cut off"):
        list(read(path))


@pytest.mark.parametrize("text", ["", "[1, 2]\n", "hello\n", '{"task_id": 1}\n'])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text(text, "utf-8")

    if not text:
        assert list(read(path)) == []
        return
    with pytest.raises(UsageError, match="is no file of episodes"):
        list(read(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no file '.*gone\.jsonl'"):
        list(read(tmp_path / "gone.jsonl"))


def test_writing_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    written(path, episode())
    before = path.read_bytes()

    with pytest.raises(ZeroDivisionError), writing(path) as writer:
        writer.write(Recorded(episode=episode("b")))
        raise ZeroDivisionError

    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["e.jsonl"]


def test_a_value_from_a_file_makes_no_class_and_calls_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "called"
    call = ormsgpack.packb(("os", "mkdir", str(mark)))
    evil = Value("msgpack", ormsgpack.packb(ormsgpack.Ext(EXT_CONSTRUCTOR_SINGLE_ARG, call)), SALT)
    path = tmp_path / "e.jsonl"
    given = _line(episode(result=Value("bytes", b"", SALT)), evil)
    path.write_bytes(given)

    (found,) = read(path)
    found.episode.entries[0].values["result"].decoded()

    assert not mark.exists()


def _line(plain: Episode, evil: Value) -> bytes:
    """A file whose writer did not look at the value it wrote."""
    stream = io.BytesIO()
    Writer(stream).write(Recorded(episode=plain))
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    for line in lines:
        if line["line"] == "record":
            line["values"]["result"] = {
                "type": evil.type,
                "salt": b64encode(evil.salt).decode(),
                "data": b64encode(evil.data).decode(),
            }
    total = sha256()
    for line in lines[1:-1]:
        if line["line"] != "text":
            total.update(orjson.dumps(line) + b"\n")
    lines[-1]["sha256"] = total.hexdigest()
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=2 * LONG),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "$text", "$pairs", "b"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=5))
def test_folding_loses_nothing(values: list[Any]) -> None:
    ours, theirs = Texts(), Texts()

    for value in values:
        news: list[str] = []
        folded = ours.folded(value, news)
        for text in news:
            theirs.add(text)
        assert theirs.unfolded(folded) == value


def test_texts_that_were_forgotten_are_written_again() -> None:
    texts = Texts()
    for number in range(KEPT + 1):
        texts.add(f"{number} {TEXT}")

    news: list[str] = []
    texts.folded([f"0 {TEXT}", f"{KEPT} {TEXT}"], news)

    assert news == [f"0 {TEXT}"]


def test_what_is_written_fits_the_published_schema(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    written(path, episode())
    validator = jsonschema.Draft202012Validator(schema())
    texts = Texts()

    for line in path.read_bytes().splitlines():
        plain = orjson.loads(line)
        if plain["line"] == "text":
            texts.add(plain["text"])
        validator.validate(texts.unfolded(plain))
