"""Adaptation curves for readers: tables as markdown, and the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from evaluation.adaptation import KINDS, Adaptation
from evaluation.report_style import ACCENT, OTHERS, PRIVILEGED, canvas, faint, png
from evaluation.table import percent, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 11.6, 7.6
_DASHES: Final = ("-", "--", ":")


def markdown(adaptation: Adaptation, picture: str, command: str, remarks: Sequence[str] = ()) -> str:
    """The document; `picture` is the file that stands beside it."""
    course = adaptation.course
    seen, unseen = (int(count) for count in adaptation.campaigns.sum(1))
    trained = ", ".join(course.scenario.verticals)
    new = ", ".join(v for v in course.scenario.held_out.verticals if v not in course.scenario.verticals)
    parts = [
        f"<!-- written by `{command}`: do not edit -->\n",
        "# Adaptation to unseen verticals\n",
        f"Who is shown campaigns of {trained} in training meets {new} too. What is earned there depends on "
        "what carries over and on what is learned within the flight.\n",
        f"{course.num_markets} {course.split} markets of scenario `{course.scenario.name}` (seed "
        f"{course.seed}), the same for every learner: {seen:,} campaigns of seen and {unseen:,} of unseen "
        "verticals. Intervals are 95 %, paired over markets; they say nothing about training luck. A "
        "market's campaigns share listeners, so that what a learner does for one touches the others.\n",
        *(f"{remark}\n" for remark in remarks),
        f"![J over no adaptation by intervals seen]({picture})\n",
        "## The whole flight\n",
        _whole(adaptation),
        "Lines marked * are no contestants: they have seen what they are tested on, or the truth.\n",
        *(_kept(adaptation) if adaptation.twins else []),
        *(
            f"## J over `{adaptation.nothing}` by intervals seen: {kind} verticals\n\n{_curve(adaptation, k)}"
            for k, kind in enumerate(KINDS)
        ),
    ]
    return "\n".join(parts)


def picture(adaptation: Adaptation) -> bytes:
    """Above J so far over no adaptation, below J of a stretch against the oracle's: PNG."""
    return png(lambda: _figure(adaptation))


def _whole(adaptation: Adaptation) -> str:
    head = ["learner"]
    for kind in KINDS:
        head += [f"{kind}: J, USD a campaign", f"over `{adaptation.base}`", "share of the oracle's"]
    rows = []
    for learner in adaptation.learners:
        cells = [f"{learner.name}{'' if learner.contestant else ' *'}"]
        for k in range(len(KINDS)):
            lift = adaptation.lift(learner.name, k, adaptation.base)
            cells += [
                f"{adaptation.per_campaign_usd(learner.name, k).sum():,.0f}",
                "" if learner.name == adaptation.base else percent(lift),
                share(adaptation.share_of_oracle(learner.name, k)),
            ]
        rows.append(cells)
    what = [[learner.name, learner.description] for learner in adaptation.learners]
    return f"{_table(['learner', 'is'], what)}\n{_table(head, rows)}"


def _kept(adaptation: Adaptation) -> list[str]:
    rows = [[kept.learner, kept.trained_on_all, kept.over, share(kept.share)] for kept in adaptation.kept()]
    head = ["learner", "and the same trained on all verticals", "gains over", "share of the gain kept"]
    return [
        "## What is kept of the gain on unseen verticals\n",
        "Of what the learner gains there when trained on them too, the share that it gains without.\n",
        _table(head, rows),
    ]


def _curve(adaptation: Adaptation, kind: int) -> str:
    found = adaptation.stretches[KINDS[kind]]
    ends = [stretch.end for stretch in next(iter(found.values()))]
    starts = [1, *(end + 1 for end in ends[:-1])]
    head = ["intervals", *(f"{start}–{end}" for start, end in zip(starts, ends, strict=True))]
    rows = [
        [name, *(percent(stretch.lift) for stretch in stretches)]
        for name, stretches in found.items()
        if name != adaptation.nothing
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n"


def _figure(adaptation: Adaptation) -> Figure:
    figure = canvas(WIDTH, HEIGHT)
    axes = figure.subplots(2, len(KINDS), sharex=True, sharey="row")
    colours = _colours(adaptation)
    for kind, name in enumerate(KINDS):
        above, below = axes[0][kind], axes[1][kind]
        above.set_title(f"{name} verticals: J so far over {adaptation.nothing}, %")
        below.set_title(f"{name} verticals: J within the stretch / the oracle's")
        for learner in adaptation.learners:
            colour, dash = colours[learner.name]
            _line(above, below, adaptation, kind, learner.name, colour, dash)
        above.axhline(0.0, color=faint(), linewidth=0.9, zorder=0)
        below.set_xlabel("intervals seen")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _line(
    above: Axes, below: Axes, adaptation: Adaptation, kind: int, name: str, colour: str, dash: str
) -> None:
    stretches = adaptation.stretches[KINDS[kind]][name]
    ends = [stretch.end for stretch in stretches]
    for axes, intervals, factor in (
        (above, [stretch.lift_so_far for stretch in stretches], 100.0),
        (below, [stretch.share_of_oracle for stretch in stretches], 1.0),
    ):
        values = np.array([[i.low, i.estimate, i.high] for i in intervals]).T * factor
        axes.fill_between(ends, values[0], values[2], color=colour, alpha=0.10, linewidth=0)
        axes.plot(ends, values[1], dash, color=colour, label=name)


def _colours(adaptation: Adaptation) -> dict[str, tuple[str, str]]:
    """Colour and dashes by learner: one trained on all verticals has its twin's colour, dashed."""
    twin_of = {all_: one for one, all_ in adaptation.twins}
    colours: dict[str, tuple[str, str]] = {}
    palette = iter([ACCENT, *OTHERS])
    for learner in adaptation.learners:
        if learner.name == adaptation.oracle:
            colours[learner.name] = (PRIVILEGED, _DASHES[2])
        elif learner.name not in twin_of:
            grey = learner.name == adaptation.nothing
            colours[learner.name] = (PRIVILEGED if grey else next(palette), _DASHES[0])
    for all_, one in twin_of.items():
        colours[all_] = (colours[one][0], _DASHES[1])
    return colours
