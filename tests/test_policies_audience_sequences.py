from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.listening import rounds

from envs.errors import ConfigurationError
from policies.audience import spool
from policies.audience.sequences import plays_of, read_listening_sequences


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "sequences.txt").write_bytes(text.encode())
    return tmp_path


@pytest.mark.parametrize("chunk", [2, 1 << 20])
def test_sequences_are_read_and_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(spool, "CHUNK_VALUES", chunk)
    sequences = read_listening_sequences(write(tmp_path, "\ufeff9 70 51 70\r\n2 51 3\r\n"))
    assert sequences.listener_id.tolist() == [9, 2] and sequences.item_id.tolist() == [3, 51, 70]
    assert sequences.of(0).tolist() == [2, 1, 2] and sequences.of(1).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the file is empty"),
        ("1 2 3\n\n", "2:1: the line is empty"),
        ("1 2 3\n4 5 x7 8\n", "2:3: item must be a whole number >= 0, got 'x7'"),
        ("one 2 3\n", "1:1: listener must be a whole number >= 0, got 'one'"),
        ("1 2 -3\n", "1:3: item must be a whole number >= 0, got '-3'"),
        ("1 2.5\n", "1:2: item .* got '2.5'"),
        ("1 " + "9" * 30 + "\n", "1:2: item"),
        ("1 2 3\n7\n", "2:2: listener 7 has no items"),
        ("1 2 3\n7 4\n1 5\n", "3:1: listener 1 stands twice, first on line 1"),
    ],
)
def test_malformed_sequences_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_listening_sequences(write(tmp_path, text))
    assert str(caught.value).startswith(f"{tmp_path / 'sequences.txt'}:{message.partition(' ')[0]}")


def test_a_folder_without_sequences_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"sequences.txt: no such file; listening in order is"):
        read_listening_sequences(tmp_path)
    (tmp_path / "sequences.txt").write_bytes(b"1 \xff\n")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_listening_sequences(tmp_path)


def test_the_end_of_every_sequence_can_be_cut_off(tmp_path: Path) -> None:
    sequences = read_listening_sequences(write(tmp_path, "1 10 20 30\n2 40\n3 20 10\n"))
    short = sequences.without_last(2)
    assert [short.of(row).tolist() for row in range(3)] == [[0], [], []]
    assert short.item_id is sequences.item_id


def test_plays_without_order(tmp_path: Path) -> None:
    history = plays_of(read_listening_sequences(write(tmp_path, "9 70 51 70\n2 51 3\n")))
    triples = zip(history.listener.tolist(), history.item.tolist(), history.plays.tolist(), strict=True)
    assert list(triples) == [(0, 1, 1), (0, 2, 2), (1, 0, 1), (1, 1, 1)]
    whole = plays_of(rounds(5, 24, 12))
    assert np.bincount(whole.listener).tolist() == [12] * 5


def test_the_real_sequences_have_their_known_size(data_dir: Path) -> None:
    folder = data_dir / "lastfm-sequences"
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist")
    sequences = read_listening_sequences(folder)
    assert (len(sequences.listener_id), len(sequences.item_id)) == (1_090, 3_646)
    assert len(sequences.item) == 52_551
