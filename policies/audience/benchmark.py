"""What an audience's predictions cost: `python -m policies.audience.benchmark [FOLDER]`.

FOLDER is an exported bundle or a stored model, by default the one that comes with Interlude.

One bid request: a listener's history becomes an embedding, and every campaign's belief an expected affinity;
cold is the first one of the process, which loads its kernels. A batch: the listeners of 1,024 markets are
embedded once a flight, as their histories end where it begins, and the table of their affinities is made
anew in every interval, as beliefs move.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from envs.errors import InterludeError
from envs.histories import Listening
from envs.market import VectorMarket
from envs.output import format_table
from envs.scenario import Scenario, load_scenario
from envs.seeds import market_seeds
from envs.state import Float
from policies.audience.agent import NOISE
from policies.audience.listener_model import (
    ListenerModel,
    embed_listeners,
    load_listener_model,
    shipped_session_model,
)
from policies.audience.taste_belief import TasteBelief, listener_table, new_belief
from policies.bundle import SCENARIO as BUNDLE_SCENARIO
from policies.bundle import open_bundle

MARKETS: Final = 1024
SAMPLE: Final = 256
"""Markets that are timed, and count for MARKETS of them."""
REQUESTS: Final = 4000
REPEATS: Final = 5


class Cost(NamedTuple):
    """What was measured."""

    request_cold_ms: float
    """Wall time of the first one."""
    request_p50_ms: float
    request_p99_ms: float
    """Wall time, neighbours on the machine included."""
    request_p99_processor_ms: float
    """Without them."""
    embedding_seconds: float
    """Processor time for the listeners of MARKETS markets, once a flight."""
    table_seconds: float
    """The same for their table, in one interval."""


def measure(model: ListenerModel, scenario: Scenario, requests: int = REQUESTS, sample: int = SAMPLE) -> Cost:
    """Times a model on training markets of a scenario."""
    market = VectorMarket(scenario, sample)
    market.reset(market_seeds("train", 0, 0, sample))
    listening, listeners = market.listening(order=True), scenario.listeners.count
    level = np.zeros((sample, scenario.campaigns, market.parameters.affinity_hint.shape[2]))
    belief = new_belief(scenario.campaigns, listeners, level, NOISE)
    rng = np.random.default_rng(0)
    belief.taste[:] = rng.normal(0.0, 0.1, belief.taste.shape)
    value = market.parameters.affinity_hint
    each = np.array([_timed(answer) for answer in _requests(model, listening, belief, value, requests)])
    wall, own = 1e3 * each[requests // 20 :].T  # the first ones warm up
    embedding, doubt = embed_listeners(model, listening)
    x = np.ascontiguousarray(embedding.transpose(0, 2, 1))
    table = np.empty((sample, scenario.campaigns, listeners))
    scale = MARKETS / sample
    return Cost(
        request_cold_ms=1e3 * float(each[0, 0]),
        request_p50_ms=float(np.percentile(wall, 50)),
        request_p99_ms=float(np.percentile(wall, 99)),
        request_p99_processor_ms=float(np.percentile(own, 99)),
        embedding_seconds=scale * _processor(lambda: embed_listeners(model, listening)),
        table_seconds=scale
        * _processor(lambda: listener_table(belief, x, doubt, listening.segment, value, table)),
    )


def _requests(
    model: ListenerModel, listening: Listening, belief: TasteBelief, value: Float, count: int
) -> Iterator[Callable[[], object]]:
    """Bid requests of one listener each, a market after the other."""
    markets, listeners = listening.segment.shape
    for n in range(count):
        b, i = n % markets, (n * 7) % listeners
        recent = None if listening.recent is None else listening.recent[b : b + 1, i : i + 1]
        one = Listening(
            listening.plays[b : b + 1, i : i + 1], listening.segment[b : b + 1, i : i + 1], recent
        )
        mine = TasteBelief(*(array[b : b + 1] for array in belief))
        table = np.empty((1, belief.taste.shape[1], 1))

        yield partial(_answer, model, one, mine, value[b : b + 1], table)


def _answer(model: ListenerModel, one: Listening, belief: TasteBelief, value: Float, table: Float) -> None:
    embedding, doubt = embed_listeners(model, one)
    x = np.ascontiguousarray(embedding.transpose(0, 2, 1))
    listener_table(belief, x, doubt, one.segment, value, table)


def _timed(answer: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, own = time.perf_counter(), time.thread_time()
    answer()
    return time.perf_counter() - wall, time.thread_time() - own


def _processor(work: Callable[[], object]) -> float:
    """Least processor time of a few runs."""
    found = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def main(arguments: list[str]) -> int:
    """Prints what the stored model in the folder costs, or the one that comes with Interlude."""
    if len(arguments) > 1:
        print("usage: python -m policies.audience.benchmark [FOLDER]", file=sys.stderr)
        return 2
    try:
        model = _model_in(Path(arguments[0])) if arguments else shipped_session_model()
    except InterludeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    scenario = load_scenario("default")
    rows = []
    for one in dict.fromkeys((model.name, "taste")):
        cost = measure(model if one == model.name else ListenerModel(model.taste), scenario)
        rows.append(
            (
                one,
                f"{cost.request_cold_ms:.1f} ms" if one == model.name else "",
                f"{cost.request_p50_ms:.3f} ms",
                f"{cost.request_p99_ms:.3f} ms",
                f"{cost.request_p99_processor_ms:.3f} ms",
                f"{cost.embedding_seconds:.2f} s",
                f"{cost.table_seconds:.3f} s",
                f"{cost.embedding_seconds + scenario.intervals * cost.table_seconds:.2f} s",
            )
        )
    head = (
        "model",
        "request, cold",
        "p50",
        "p99",
        "p99 of its own",
        f"embed {MARKETS:,} markets",
        "their table",
        "both, a flight",
    )
    print(format_table(head, rows))
    return 0


def _model_in(folder: Path) -> ListenerModel:
    """The model of a folder, or of the bundle that it is."""
    if not (folder / BUNDLE_SCENARIO).exists():
        return load_listener_model(folder)
    listeners = open_bundle(folder, verify=False).listeners
    if listeners is None:
        raise InterludeError(f"{folder}: the bundle's audience tells no listeners apart")
    return listeners


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
