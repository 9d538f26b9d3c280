"""What `interlude calibrate` does without data of the user's: every row, simulated."""

from __future__ import annotations

from pathlib import Path

from envs.calibration.page import page, picture, text
from envs.calibration.rows import NOT_EXPRESSED
from envs.calibration.simulate import compare_all
from envs.output import emit, write_bytes_atomically, write_text_atomically


def compare_with_sources(
    report: Path | None = None, drawing: Path | None = None, json_out: str | None = None
) -> None:
    """Simulates, prints the table, writes the page, the picture and the JSON asked for.

    Raises:
        InterludeError: an output that cannot be written.
    """
    comparisons = compare_all()
    if report is not None or drawing is not None:
        drawn = picture()
        if report is not None:
            write_text_atomically(report, page(comparisons, drawn))
        if drawing is not None:
            write_bytes_atomically(drawing, drawn)
    rows = [{**c.row._asdict(), "simulated": c.simulated, "holds": c.holds} for c in comparisons]
    short = [c.row.key for c in comparisons if not c.holds]
    result = {"rows": rows, "short": short, "not_expressed": NOT_EXPRESSED}
    emit(result, text(comparisons), json_out)
