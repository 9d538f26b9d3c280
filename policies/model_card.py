"""The model card of a bundle: what it is, how good it is, what it is not for; made from its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from envs.output import plain
from policies.critic_orchestrator import OWN_CRITIC


def model_card(manifest: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """Markdown from a manifest and, unless it is empty, the JSON of `interlude evaluate`."""
    facts = plain(manifest)
    parts = (
        _what(facts),
        _tensors(facts),
        _training(facts),
        _parity(facts),
        _figures(facts, plain(evaluation)),
        _limits(facts),
    )
    return "\n\n".join(parts) + "\n"


_LISTENERS: Final = (
    "\n\nIts audience reads what listeners played and who answered: make the market with "
    "`impressions=True`, start the team with `flight_of(market, listening=True)` and let it act by "
    "`team.act(observations, market.impressions)`, as `interlude evaluate` does. Without them the stand-in's "
    "segment averages take over from the first interval, and `team.incapacities` says so."
)

_ATTRIBUTION: Final = (
    "\n\nA sixth role attributes conversions by `{}`: the market has to have journeys, and a service has to "
    "be told of them (`POST /journeys`)."
)


def _what(facts: dict[str, Any]) -> str:
    roles = " and ".join(facts["learned_roles"])
    aware = (
        "It is **model-aware**: it stands on a desk (beliefs, scores, base bids) that knows the simulator's "
        "equations, though not its hidden parameters."
        if facts["model_aware"]
        else "It is **model-free**: it knows nothing of the simulator's equations."
    )
    split = (
        " The orchestrator splits budgets by bids' margins and by the run's critic."
        if facts["orchestrator"] == OWN_CRITIC
        else ""
    )
    return (
        f"# {facts['name']}\n\nA team of five advertising agents for audio streams. Learned: {roles}. The "
        f"other roles follow the rules of the scripted team `{facts['base_team']['name']}`; where a role "
        f"fails, `{facts['stand_in_team']['name']}` stands in.{split} {aware}\n\n"
        '```python\nfrom policies import load_team\n\nteam = load_team("path/to/this/folder")\n```'
        + (_LISTENERS if facts["reads_listeners"] else "")
        + (_ATTRIBUTION.format(facts["attribution"]) if facts.get("attribution") else "")
    )


def _tensors(facts: dict[str, Any]) -> str:
    rows = [
        (
            f"`{model}/model.onnx`",
            kind.removesuffix("s"),
            f"`{t['name']}`",
            t["dtype"],
            " × ".join(map(str, t["shape"])),
            t["unit"],
            t["meaning"],
        )
        for model, spec in facts["models"].items()
        for kind in ("inputs", "outputs")
        for t in spec[kind]
    ]
    table = _table(("file", "", "tensor", "type", "shape", "unit", "meaning"), rows)
    recurrent = (
        " The actors are recurrent: a memory starts at zero with a flight, and what an interval gives as "
        "`…_memory_next` goes in as `…_memory` in the next; `load_team` sees to it."
    )
    tally = (
        " The actors stand on a tally: what each asset brought so far in the flight, summed from "
        "observations (`policies/tally.py`) from an empty one at its start; `load_team` sees to it."
    )
    beside = (recurrent if facts["memory"] else "") + (tally if facts.get("tally") else "")
    return (
        "## Networks\n\nN: campaigns of any number of markets; C: campaigns of one market. Normalisation, "
        f"masks and decoding are in the graph.{beside}\n\n{table}\n\n"
        f"Observation schema `{facts['schema_hash']}`; "
        "fields and bounds in `schema/`. What the desk computes comes from Interlude's `CampaignDesk` with "
        "the knobs in `manifest.json`."
    )


def _training(facts: dict[str, Any]) -> str:
    training, sources = facts["training"], facts["data_sources"]
    rows = [
        ("scenario", facts["scenario"]),
        ("configuration", f"`{training['configuration_hash']}`, in full in `manifest.json`"),
        ("seed", training["seed"]),
        ("iterations", training["iteration"]),
        ("market-intervals played", training["market_steps"]),
        ("git commit", facts["git_commit"]),
        ("prices", sources["prices"]),
        ("listeners", sources["listeners"]),
    ]
    return "## Training\n\n" + _table(("", ""), rows)


def _parity(facts: dict[str, Any]) -> str:
    parity, versions = facts["parity"], facts["versions"]
    rows = [(f"`{name}`", f"{apart:.1e}") for name, apart in parity["largest_difference"].items()]
    if "creative_disagreements" in parity:
        rows.append(("creatives that differ", str(parity["creative_disagreements"])))
    return (
        f"## Parity\n\nonnxruntime {versions['onnxruntime']} against PyTorch {versions['torch']} on "
        f"{parity['observations']:,} observations of development flights; {parity['tolerance']:g} is allowed "
        "(absolute up to 1, relative above; USD relative to the largest value).\n\n"
        + _table(("output", "largest difference"), rows)
    )


def _figures(facts: dict[str, Any], evaluation: dict[str, Any]) -> str:
    if not evaluation:
        return "## Figures\n\nNone were given at export (`interlude export … --evaluation FILE`)."
    rows = []
    for team in evaluation["teams"]:
        lift = team.get("lift_fraction", {}).get(evaluation.get("baseline"))
        rows.append(
            (
                f"**{team['team']}**" if team["team"] == facts["name"] else team["team"],
                ("learned, " if team.get("learned_roles") else "") + str(team.get("knowledge")),
                _interval(team.get("objective_usd"), "{:,.0f}"),
                _interval(lift, "{:+.1%}") if lift else "",
            )
        )
    lifted = f"lift over {evaluation.get('baseline')}"
    return (
        f"## Figures\n\nThe same {evaluation.get('markets')} {evaluation.get('split')} markets of scenario "
        f"`{evaluation.get('scenario')}` for every team; 95 % intervals over markets.\n\n"
        + _table(("team", "knowledge", "objective, USD a market", lifted), rows)
    )


def _limits(facts: dict[str, Any]) -> str:
    return (
        "## Limits\n\n"
        "- Trained and compared in a simulator; no figure here was measured on live traffic.\n"
        f"- Prices: {facts['data_sources']['prices']}; listeners: {facts['data_sources']['listeners']}. "
        "Another market wants calibration and another run.\n"
        "- It bids relative to predicted values and price levels of its scenario (`scenario.json`).\n"
        "- It sees segments and aggregates of listeners, never a person's identity."
    )


def _interval(interval: dict[str, Any] | None, form: str) -> str:
    if not interval or interval.get("estimate") is None:
        return ""
    return "{} [{}, {}]".format(*(form.format(interval[key]) for key in ("estimate", "low", "high")))


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
