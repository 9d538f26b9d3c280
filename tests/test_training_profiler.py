import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interlude import app
from tests.support.runs import a_scenario
from training.profiler import FILE, Phases, profiled

TRAINING = """
name: tiny
scenario: SCENARIO
iterations: 2
networks: {creative_hidden: 8, bidding_hidden: 8, critic_hidden: 8}
ppo: {epochs: 1, minibatches: 2}
sampling: {markets: 4}
development: {every: 2, markets: 3}
"""


def a_slow_function() -> None:
    time.sleep(0.02)


def test_phases_add_up_and_the_rest_is_named() -> None:
    phases = Phases()
    for _ in range(2):
        with phases("sampling"):
            time.sleep(0.01)
    with pytest.raises(ZeroDivisionError), phases("learning"):
        raise ZeroDivisionError
    assert phases.seconds["sampling"] >= 0.02
    assert phases.seconds.keys() == {"sampling", "learning"}
    lines = Phases().table(2.0).splitlines()
    assert [line.split() for line in lines[2:]] == [["other", "2.00", "100.0", "%"], ["all", "2.00"]]


def test_the_profile_is_written_whatever_ends_the_run(tmp_path: Path) -> None:
    phases, said = Phases(), list[str]()
    with pytest.raises(KeyboardInterrupt), profiled(tmp_path / FILE, phases, said.append):
        with phases("sampling"):
            a_slow_function()
        raise KeyboardInterrupt
    text = (tmp_path / FILE).read_text()
    assert "a_slow_function" in text
    assert "Ordered by: cumulative time" in text
    assert "Ordered by: internal time" in text
    assert said[0].endswith(str(tmp_path / FILE))
    table = {line.split()[0]: float(line.split()[1]) for line in text.splitlines()[2:5]}
    assert table["all"] == pytest.approx(table["sampling"] + table["other"], abs=0.02)


def test_train_profiles_on_demand(one_ray: None, tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(TRAINING.replace("SCENARIO", str(a_scenario(tmp_path))))
    command = ["train", "--config", str(config), "--json", "-", "--run-dir"]
    done = CliRunner().invoke(app, [*command, str(tmp_path / "profiled"), "--profile"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "profiled" / FILE).read_text()
    phases = {line.split()[0] for line in text.partition("\n\n")[0].splitlines()[2:]}
    assert phases == {"sampling", "learning", "weights", "development", "saving", "other", "all"}
    assert text.partition("\n\n")[0] in done.stderr
    assert "play_rollout" in text
    assert json.loads(done.stdout)["iteration"] == 2
    plain = CliRunner().invoke(app, [*command, str(tmp_path / "plain")])
    assert plain.exit_code == 0, plain.output
    assert not (tmp_path / "plain" / FILE).exists()
