"""Recordings of other harnesses become episodes that say what they said."""

from __future__ import annotations

from pathlib import Path

from gatewright.scenarios.episodes import read
from gatewright.scenarios.episodes.files import writing
from gatewright.scenarios.importers import episodes
from gatewright.scenarios.importers import read as recordings
from gatewright.scenarios.replay.tape import check_seals


def test_an_imported_episode_has_every_call_with_its_result(small: Path) -> None:
    for recording in recordings(small).recordings:
        found = episodes.recorded(recording)

        calls = [
            (e.record.effect.name, e.values["args"].decoded(), e.values["result"].decoded())
            for e in found.episode.entries
            if e.record.effect is not None and e.record.effect.kind == "tool"
        ]
        assert [(name, args, result) for name, args, result in calls if result is not None] == [
            (call.name, dict(call.args), call.result) for call in recording.calls
        ]
        assert found.reward == recording.reward
        assert found.outcome["task_id"] == recording.task_id


def test_an_imported_episode_is_written_and_read_with_seals_that_hold(small: Path, tmp_path: Path) -> None:
    made = [episodes.recorded(recording) for recording in recordings(small).recordings]
    with writing(tmp_path / "e.jsonl.gz") as writer:
        for each in made:
            writer.write(each)

    found = list(read(tmp_path / "e.jsonl.gz"))

    assert [each.episode for each in found] == [each.episode for each in made]
    for each in found:
        for entry in each.episode.entries:
            check_seals(entry)


def test_what_was_not_recorded_is_unknown(small: Path) -> None:
    (found, *_) = (episodes.recorded(recording) for recording in recordings(small).recordings)

    assert "cost" not in found.outcome
    assert all(entry.record.usage is None and entry.record.guard is None for entry in found.episode.entries)


def test_labels_of_failures_come_along(shared: Path) -> None:
    (file,) = (shared / "whowhen").glob("*.json")

    found = [episodes.recorded(recording) for recording in recordings(file).recordings]

    assert len(found) == 184
    assert all({"agent", "step", "reason"} <= each.outcome["failure"].keys() for each in found)
    assert (
        sum("finding" in each.outcome["failure"] and each.outcome["failure"]["finding"] is not None for each in found)
        == 6
    )
