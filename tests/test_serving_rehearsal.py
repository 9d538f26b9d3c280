from pathlib import Path

from support.asgi import a_bundle

from policies.audience.taste_belief import learn_impressions
from policies.bundle import open_bundle
from policies.team import Team
from serving.rehearsal import rehearse


def test_every_role_has_answered_and_read_impressions(tmp_path: Path) -> None:
    bundle, teams = open_bundle(a_bundle(tmp_path), verify=False), list[Team]()
    make = bundle.team

    def team() -> Team:
        teams.append(make())
        return teams[-1]

    object.__setattr__(bundle, "team", team)
    rehearse(bundle)
    assert not teams[0].incapacities
    assert learn_impressions.signatures  # compiled, or loaded
