"""The command `audience`: fit a model of who will care to a listening history, or say how good one is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from envs.errors import ConfigurationError
from envs.output import JsonOption, check_new_folder, check_writable, emit, format_table

if TYPE_CHECKING:
    from policies.audience.artefact import DataDescription, ModelName
    from policies.audience.evaluate import Figure


def audience(
    action: Annotated[
        Literal["fit", "evaluate"],
        typer.Argument(help="`fit`: a model into a folder; `evaluate`: held-out figures, beside baselines."),
    ],
    listening_history: Annotated[
        Path,
        typer.Option(
            "--listening-history",
            metavar="DIR",
            help="Folder of user_artists.dat (counts: als, bpr) or sequences.txt (order: sasrec, gru).",
        ),
    ],
    model: Annotated[
        Literal["als", "bpr", "sasrec", "gru"] | None,
        typer.Option("--model", help="The model to fit; the one to evaluate, all if left out."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Where `fit` writes: a folder that is new or empty."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of the fit; of the first split, or start, evaluated.")
    ] = 0,
    splits: Annotated[
        int, typer.Option("--splits", min=1, help="How many seeds `evaluate` takes; `fit` takes one.")
    ] = 3,
    json_out: JsonOption = None,
) -> None:
    """Learn who will care from who listened to what; say how well that foretells what was kept apart."""
    check_writable(json_out)
    if action == "fit":
        if output is None:
            raise typer.BadParameter("`fit` needs a folder to write", param_hint="--output")
        if model is None:
            raise typer.BadParameter("`fit` needs a model", param_hint="--model")
        _fit(listening_history, model, output, seed, json_out)
    else:
        if output is not None:
            raise typer.BadParameter("`evaluate` writes no model: use --json", param_hint="--output")
        _evaluate(listening_history, model, range(seed, seed + splits), json_out)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _fit(directory: Path, model: ModelName, output: Path, seed: int, json_out: str | None) -> None:
    from policies.audience.artefact import DataDescription
    from policies.audience.history import HISTORY_FILE, read_listening_history
    from policies.audience.sequences import ORDER_NOTE, SEQUENCE_FILE, read_listening_sequences

    file = directory / (HISTORY_FILE if model in ("als", "bpr") else SEQUENCE_FILE)
    save: Callable[[Path, DataDescription], None]
    if model in ("als", "bpr"):
        from policies.audience.collaborative import AlsSettings, BprSettings, fit_collaborative

        history = read_listening_history(directory)
        check_new_folder(output)
        counted = (len(history.listener_id), len(history.item_id), len(history.plays))
        note = "play counts, no order"
        save = fit_collaborative(history, (AlsSettings if model == "als" else BprSettings)(seed=seed)).save
    else:
        from policies.audience.sequence_model import default_settings, fit_sequence_model

        sequences = read_listening_sequences(directory)
        check_new_folder(output)
        counted = (len(sequences.listener_id), len(sequences.item_id), len(sequences.item))
        note = ORDER_NOTE
        network, training = default_settings(model, counted[1], seed)
        fitted, epochs = fit_sequence_model(
            sequences,
            network,
            training,
            lambda epoch: _say(
                f"epoch {epoch.epoch}  loss {epoch.loss:.4f}  validation HR@10 {epoch.validation:.4f}"
            ),
        )
        save = fitted.save
        note = f"{note}; epoch {max(epochs, key=lambda e: e.validation).epoch} of {len(epochs)} kept"
    data = DataDescription(
        file=file.name,
        sha256=_sha256(file),
        listeners=counted[0],
        items=counted[1],
        events=counted[2],
        note=note,
    )
    save(output, data)
    text = (
        f"{model} fitted to {file}: {counted[0]:,} listeners, {counted[1]:,} items, {counted[2]:,} events "
        f"({note})\n{output}"
    )
    emit({"output": output, "model": model, "seed": seed, "data": data}, text, json_out)


def _evaluate(directory: Path, model: ModelName | None, seeds: range, json_out: str | None) -> None:
    from policies.audience.artefact import MODELS
    from policies.audience.evaluate import evaluate_counts, evaluate_sequences
    from policies.audience.history import HISTORY_FILE, read_listening_history
    from policies.audience.sequences import ORDER_NOTE, SEQUENCE_FILE, read_listening_sequences

    wanted = MODELS if model is None else (model,)
    counts = (directory / HISTORY_FILE).is_file() and any(m in wanted for m in ("als", "bpr"))
    order = (directory / SEQUENCE_FILE).is_file() and any(m in wanted for m in ("sasrec", "gru"))
    if not counts and not order:
        raise ConfigurationError(
            f"{directory}: nothing here to evaluate {', '.join(wanted)} on: als and bpr need {HISTORY_FILE}, "
            f"sasrec and gru {SEQUENCE_FILE}"
        )
    texts: list[str] = []
    result: dict[str, Any] = {"seeds": list(seeds)}
    if counts:
        figures = evaluate_counts(read_listening_history(directory), wanted, seeds, _say)
        about = f"{HISTORY_FILE}: a fifth of each listener's items held out, {len(seeds)} splits"
        texts.append(f"{about}\n{_table(figures)}")
        result["counts"] = {"about": about, "models": [_as_json(figure) for figure in figures]}
    if order:
        figures = evaluate_sequences(read_listening_sequences(directory), wanted, seeds, _say)
        about = (
            f"{SEQUENCE_FILE}: last item held out, {len(seeds)} seeds; sampled = among 99 uniform negatives; "
            f"{ORDER_NOTE}"
        )
        texts.append(f"{about}\n{_table(figures)}")
        result["sequences"] = {"about": about, "models": [_as_json(figure) for figure in figures]}
    emit(result, "\n\n".join(texts), json_out)


def _table(figures: list[Figure]) -> str:
    metrics = list(figures[0].metrics)
    rows = [
        (
            f.model,
            *(f"{f.mean(m):.4f} ± {f.deviation(m):.4f}" for m in metrics),
            f"{max(f.fit_seconds):.1f} s",
        )
        for f in figures
    ]
    return format_table(("model", *(f"{m}, mean ± sd" for m in metrics), "slowest fit"), rows)


def _as_json(figure: Figure) -> dict[str, Any]:
    return {
        "model": figure.model,
        "metrics": {
            name: {"mean": figure.mean(name), "sd": figure.deviation(name), "by_seed": values}
            for name, values in figure.metrics.items()
        },
        "fit_seconds": figure.fit_seconds,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
