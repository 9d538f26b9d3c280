from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs.errors import ConfigurationError
from policies.audience import spool
from policies.audience.history import ListeningHistory, read_listening_history

HEADER = "userID\tartistID\tweight\r\n"


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "user_artists.dat").write_bytes(text.encode())
    return tmp_path


def test_a_history_is_read_and_numbered(tmp_path: Path) -> None:
    history = read_listening_history(write(tmp_path, HEADER + "9\t70\t3\r\n2\t70\t1\r\n9\t51\t13883\r\n"))
    assert history.listener_id.tolist() == [2, 9] and history.item_id.tolist() == [51, 70]
    assert history.listener.tolist() == [0, 1, 1]
    assert history.item.tolist() == [1, 0, 1]
    assert history.plays.tolist() == [1, 13883, 3]


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    text = "\ufeffweight\textra\tartistID\tuserID\n3\tx\t70\t9\n"
    history = read_listening_history(write(tmp_path, text))
    assert (history.listener_id[0], history.item_id[0], history.plays[0]) == (9, 70, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the file is empty"),
        (HEADER, "1:1: the header is all there is"),
        ("userID\tartistID\n1\t2\n", "1:3: column 'weight' is missing; the header has 'userID'"),
        ("userID,artistID,weight\n1,2,3\n", "1:2: column 'userID' is missing"),
        ("userID\tuserID\tartistID\tweight\n", "1:2: column 'userID' stands twice"),
        (HEADER + "1\t2\t3\n1\tabba\t3\n", "3:2: column 'artistID' must be a whole number >= 0, got 'abba'"),
        (HEADER + "1\t2\tmany\n", "2:3: column 'weight' must be a whole number >= 1, got 'many'"),
        (HEADER + "1\t2\t2.5\n", "2:3: column 'weight' .*got '2.5'"),
        (HEADER + "1\t2\t-3\n", "2:3: column 'weight' .*got '-3'"),
        (HEADER + "1\t2\t0\n", "2:3: column 'weight' must be a whole number >= 1, got '0'"),
        (HEADER + "1\t2\t" + "9" * 40 + "\n", "2:3: column 'weight'"),
        (HEADER + "\t2\t3\n", "2:1: column 'userID' .*got ''"),
        (HEADER + "1\t2\n", "2:3: the line has 2 tab-separated fields, the header has 3"),
        (HEADER + "1\t2\t3\t4\n", "2:4: the line has 4 tab-separated fields"),
        (HEADER + "1\t2\t3\n\n", "3:2: the line has 1 tab-separated fields"),
        (
            HEADER + "1\t2\t3\n1\t3\t3\n4\t2\t3\n1\t2\t9\n4\t2\t1\n",
            "5:2: columns 'userID' and 'artistID': listener 1 with item 2 stands twice, first on line 2",
        ),
    ],
)
def test_a_malformed_history_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_listening_history(write(tmp_path, text))
    assert str(caught.value).startswith(f"{tmp_path / 'user_artists.dat'}:{message.partition(' ')[0]}")


def test_a_folder_that_is_no_history_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(
            ConfigurationError, match=r"user_artists.dat: no such file; a listening history is"
        ):
            read_listening_history(folder)
    (tmp_path / "user_artists.dat").write_bytes(HEADER.encode() + b"1\t\xff\t3\n")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_listening_history(tmp_path)


@pytest.fixture(scope="module")
def real_history(data_dir: Path) -> ListeningHistory:
    folder = data_dir / "lastfm-hetrec2011"
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist")
    return read_listening_history(folder)


def test_the_real_history_has_its_known_size(real_history: ListeningHistory) -> None:
    assert len(real_history.plays) == 92_834
    assert len(real_history.listener_id) == 1_892
    assert len(real_history.item_id) == 17_632
    assert np.median(np.bincount(real_history.listener)) == 50
    plays_of_item = np.sort(np.bincount(real_history.item, real_history.plays))[::-1]
    assert plays_of_item[:176].sum() / plays_of_item.sum() == pytest.approx(0.52, abs=0.01)


def test_a_file_is_read_in_pieces_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    pair = generator.choice(30 * 20, 100, replace=False)
    rows = [(7 * (at // 20), 3 * (at % 20), at + 1) for at in pair.tolist()]
    folder = write(tmp_path, HEADER + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    monkeypatch.setattr(spool, "CHUNK_VALUES", 7)
    history = read_listening_history(folder)
    found = zip(
        history.listener_id[history.listener], history.item_id[history.item], history.plays, strict=True
    )
    assert [tuple(map(int, row)) for row in found] == sorted(rows)


def test_a_part_keeps_the_numbers(tmp_path: Path) -> None:
    history = read_listening_history(write(tmp_path, HEADER + "9\t70\t3\n2\t70\t1\n9\t51\t4\n"))
    part = history.part(history.plays > 1)
    assert part.listener.tolist() == [1, 1] and part.item.tolist() == [0, 1] and part.plays.tolist() == [4, 3]
    assert part.listener_id is history.listener_id and part.item_id is history.item_id
