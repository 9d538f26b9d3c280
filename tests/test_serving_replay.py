"""The simulator against a served team over HTTP, and the same team in this process."""

from pathlib import Path

import pytest
from support.runs import exported

from serving.load_test import served
from serving.replay import compare


@pytest.mark.parametrize(
    ("base_team", "attribution"),
    [("certainty-equivalent", None), ("listener-aware", None), ("certainty-equivalent", "linear")],
)
def test_a_served_team_earns_what_it_earns_in_this_process(
    base_team: str, attribution: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.getbasetemp()
    bundle: Path = exported(base, base_team=base_team, attribution=attribution)[1]
    with served(bundle, "--deadline-seconds", "60") as (url, token, _):
        result = compare(bundle, url, token, "development", 3, 2)
    assert not result["stand_ins"]
    assert result["served_usd"] == pytest.approx(result["in_process_usd"], rel=1e-6)
    assert result["equal"] and all(usd != 0 for usd in result["served_usd"])
