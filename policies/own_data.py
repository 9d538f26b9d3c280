"""What `interlude calibrate` does with a user's own data: prices, listeners, and a scenario of both."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from envs.calibration.fit import ListenerSpread, write_scenario
from envs.output import emit, write_text_atomically
from envs.price_log import derive
from policies.audience.history import read_listening_history
from policies.listener_fit import fit_listeners


def fit(
    price_log: Path | None,
    listening_history: Path | None,
    scenario_out: Path | None = None,
    base: str = "default",
    report: Path | None = None,
    probability_within_table: float | None = None,
    json_out: str | None = None,
) -> None:
    """Fits what the data tell; prints a summary, writes scenario, page and JSON as asked for.

    The JSON object is the price landscape where there is a price log (so that a scenario can name the file),
    with the listeners under `derivation`; else it holds the listeners alone.

    Raises:
        ConfigurationError: malformed data, or too few to tell.
        InterludeError: an output that cannot be written.
    """
    derived = derive(price_log, probability_within_table) if price_log is not None else None
    result: dict[str, Any] = dict(derived.landscape) if derived is not None else {}
    said = [] if derived is None else [derived.summary]
    spread: ListenerSpread | None = None
    if listening_history is not None:
        history = read_listening_history(listening_history)
        spread = fit_listeners(history)
        listeners = {
            "listeners": len(history.listener_id),
            "items": len(history.item_id),
            "pairs": len(history.plays),
            **spread._asdict(),
        }
        result["derivation"] = {**result.get("derivation", {}), "listening_history": listeners}
        said.append(
            f"listening history  {listening_history}: {listeners['listeners']:,} listeners, "
            f"{listeners['items']:,} items\n"
            f"activity           standard deviation of log plays {spread.activity_sd:.3f}\n"
            f"taste              standard deviation of log affinity {spread.taste_sd:.3f}, for music, as far "
            "as factors of the history can tell"
        )
    if scenario_out is not None:
        write_scenario(scenario_out, base, derived.landscape if derived is not None else None, spread)
        said.append(f"scenario           {scenario_out}")
    summary = "\n".join(said)
    if report is not None:
        shown = derived.report(price_log.name) if derived is not None and price_log is not None else None
        write_text_atomically(report, shown or _page(summary))
    emit(result, summary, json_out)


def _page(summary: str) -> str:
    title = "Listeners of a listening history"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
        '<body style="font-family: sans-serif; max-width: 62em; margin: 2em auto">\n'
        f"<h1>{title}</h1>\n<pre>{html.escape(summary)}</pre>\n</body></html>\n"
    )
