"""The list of tables: what it promises to readers."""

from envs.bids import LOST, SERVED, UNHEARD
from envs.event_schema import STATUSES, STORED_AS, TABLES


def test_columns_are_told_apart_and_known() -> None:
    for table in TABLES.values():
        names = [column.name for column in table.columns]
        assert len(set(names)) == len(names)
        for column in table.columns:
            assert column.kind in STORED_AS
            assert (column.kind == "word") == bool(column.words)


def test_incidents_are_truth_but_for_their_market() -> None:
    assert [column.name for column in TABLES["incidents"].columns if not column.truth] == ["market"]


def test_statuses_stand_in_the_kernels_order() -> None:
    assert [STATUSES[status] for status in (LOST, SERVED, UNHEARD)] == ["lost", "served", "unheard"]
