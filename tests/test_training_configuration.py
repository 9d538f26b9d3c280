import hashlib
import json
from pathlib import Path

import pytest

from envs.configuration import load_yaml, validate
from envs.errors import ConfigurationError, UnknownNameError
from envs.paths import configs_directory
from training.configuration import TrainingConfiguration, load_training

NAMES = sorted(path.stem for path in (configs_directory() / "training").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_configuration_is_valid_and_named_like_its_file(name: str) -> None:
    configuration = load_training(name)
    assert configuration.name == name
    assert configuration.description
    assert configuration.load_scenario().campaigns >= 1


def test_the_resolved_copy_is_the_same_configuration(tmp_path: Path) -> None:
    configuration = load_training("quick", ["ppo.gamma=0.9"], seed=5)
    path = tmp_path / "config.yaml"
    path.write_text(configuration.to_yaml())
    assert validate(TrainingConfiguration, load_yaml(path), path) == configuration
    assert (configuration.ppo.gamma, configuration.seed) == (0.9, 5)


def test_the_hash_names_the_experiment_and_not_the_seed() -> None:
    plain = load_training("quick")
    assert plain.hash == load_training("quick", seed=9).hash
    assert plain.hash != load_training("quick", ["ppo.gamma=0.9"]).hash


def test_a_run_may_stand_on_the_team_of_a_rule() -> None:
    assert load_training("quick", ["base_team=engagement"]).base_team == "engagement"
    assert load_training("from-scratch").base_team == load_training("model-free").base_team == "engagement"


def test_a_run_without_attribution_or_overlap_is_named_as_before_there_was_any() -> None:
    plain = load_training("quick")
    settings = plain.model_dump(mode="json", exclude={"name", "description", "seed", "attribution"})
    del settings["networks"]["credit"], settings["sampling"]["overlap"]
    before = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    assert plain.hash == before
    assert load_training("attribution").hash != load_training("attribution", ["attribution=last"]).hash


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ppo.gama=0.9", "did you mean 'gamma'"),
        ("attribution=linear", "has no journeys"),
        ("attribution=linar", "did you mean 'linear'"),
        ("networks.credit=true", "wants attribution"),
        ("ppo.gamma=2", "ppo.gamma"),
        ("critic=sharred", "did you mean 'shared'"),
        ("base_team=oracel", "did you mean 'oracle'"),
        ("scenario=quik", "quick"),
        ("learned_roles=[]", "learned_roles must name"),
        ("learned_roles=[bidding, bidding]", "each once"),
        (
            "networks.monolithic=true",
            r"monolithic learns creative and bidding, but learned_roles is \['bidding'\]",
        ),
        ("ppo.own_reward=diference", "did you mean 'difference'"),
        ("ppo.minibatches=1024", "sampling.markets|rows"),
        ("sampling.markets=0", "sampling.markets"),
        ("sampling.overlap=true", "wants remote runners, but sampling.num_env_runners is 0"),
    ],
)
def test_a_fault_names_the_key_and_what_is_valid(override: str, message: str) -> None:
    more = {
        "ppo.minibatches=1024": "sampling.markets=1",
        "networks.monolithic=true": "learned_roles=[bidding]",
    }
    overrides = [override, *([more[override]] if override in more else [])]
    with pytest.raises(ConfigurationError, match=message):
        load_training("quick", overrides)


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(UnknownNameError, match="quick"):
        load_training("quickk")


def test_a_monolithic_policy_is_one_module_with_a_learning_rate_of_its_own() -> None:
    apart, whole = load_training("quick"), load_training("quick", ["networks.monolithic=true"])
    assert apart.actor_modules == {"creative": ("creative",), "bidding": ("bidding",)}
    assert whole.actor_modules == {"team": ("creative", "bidding")}
    assert load_training("quick", ["learned_roles=[bidding]"]).actor_modules == {"bidding": ("bidding",)}
    whole = load_training(
        "observations-alone", ["networks.monolithic=true", "ppo.creative_learning_rate=3e-3"]
    )
    rates = {module: whole.ppo.learning_rate(module, 0.0) for module in ("creative", "bidding", "team")}
    assert rates["team"] == whole.ppo.team_learning_rate < min(rates["creative"], rates["bidding"])
