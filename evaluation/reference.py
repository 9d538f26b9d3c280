"""The reference of KPIs and of the JSON output, written from the tables that the code itself uses.

`python -m evaluation.reference docs` writes `metrics.md` and `evaluation_json.md`; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from envs.errors import InterludeError
from envs.output import write_text_atomically
from evaluation.comparison_json import FIELDS, TYPES
from evaluation.metric_table import HEADLINES, KPIS, NOTES

NOTE: Final = "<!-- written by `python -m evaluation.reference docs`: change the code, not this file -->\n"


def metrics_text() -> str:
    """`docs/metrics.md`."""
    rows = [
        (
            f"`{tag}`",
            kpi.unit,
            kpi.formula.replace("|", "\\|"),
            kpi.when_empty or "–",
            kpi.better if kpi.better != "neither" else "–",
            "yes" if kpi.truth else "",
        )
        for tag, kpi in KPIS.items()
    ]
    results = ", ".join(f"{result} (`{tag}`)" for result, tag in HEADLINES)
    parts = [
        NOTE,
        "# Metrics\n",
        "What every team is judged by: one number a market and KPI, over the whole flight. A KPI's name is "
        "its TensorBoard tag; training, evaluation and reports log the same ones.\n",
        f"What the project is for stands on top of every comparison: {results}.\n",
        markdown_table(
            ("KPI", "unit", "formula", "where the denominator is 0", "better", "needs the simulator's truth"),
            rows,
        ),
        *(f"{note}\n" for note in NOTES),
    ]
    return "\n".join(parts)


def json_text() -> str:
    """`docs/evaluation_json.md`."""
    parts = [
        NOTE,
        "# JSON of `interlude evaluate`\n",
        "`--json FILE` writes one object. `[]` stands for a list's entries, `<team>`, `<method>` and `<kpi>` "
        "for names. Numbers that have no value (a ratio of nothing, a lift over a loss) are null.\n",
        markdown_table(
            ("path", "type", "meaning"), [(f"`{path}`", *field) for path, field in FIELDS.items()]
        ),
        "Types:\n",
        "\n".join(f"- {name}: {form}" for name, form in TYPES.items()) + "\n",
        "## marl-eval\n",
        "`--marl-eval FILE` writes the same figures per market in the format of marl-eval (Gorsane et al. "
        "2022): `{environment: {task: {algorithm: {run: {step_0: {step_count, metric: [by market]}, "
        "absolute_metrics: {metric: [by market]}}}}}}`. The environment is `interlude`, the task "
        "`<scenario>_<split>`, the algorithm a method or a team, a run `run_<number>`, best "
        "first; a metric's name is its KPI with `_` for `/`. A team that nobody trained stands under every "
        "run's number, for marl-eval wants the same runs of all; where methods differ in their number of "
        "runs, the command says that it will not aggregate them. `absolute_metrics` of the leading team come "
        "from `--absolute` where it was given, and else are the lists of `step_0`. Loaded with marl-eval "
        "0.0.4 (`data_process_pipeline`, `create_matrices_for_rliable`), whose pins do not go with ours: it "
        "wants an environment of its own.\n",
    ]
    return "\n".join(parts)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n"


DOCUMENTS: Final = {"metrics.md": metrics_text, "evaluation_json.md": json_text}


def main(arguments: Sequence[str]) -> int:
    """Writes both documents into the folder named."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python -m evaluation.reference FOLDER (an existing one)", file=sys.stderr)
        return 2
    try:
        for name, text in DOCUMENTS.items():
            write_text_atomically(Path(arguments[0]) / name, text())
    except InterludeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
