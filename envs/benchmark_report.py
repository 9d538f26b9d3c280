"""The market's benchmark in words and tables."""

from __future__ import annotations

from envs.benchmark import Course, MarketSpeed, Pace
from envs.output import format_table

_RATES = ("market-steps/s", "auctions/s", "bids/s", "impressions/s", "market-steps/processor-s")


def market_report(speed: MarketSpeed) -> str:
    """All that was measured, for people."""
    where, limits, memory = speed.machine, speed.limits, speed.memory
    parts = [
        f"{where['processor']}, {where['cores']} cores, load {where['load_average_1_minute']:.1f}; "
        f"Python {where['python']}, NumPy {where['numpy']}, numba {where['numba']}",
        *(_course(course) for course in speed.courses),
        "by bidders (bids and impressions are those of our campaigns)",
        _paces(speed.bidders),
        f"PettingZoo view of one market: {speed.pettingzoo_steps_per_second:,.0f} steps/s",
        f"{memory.markets:,} markets: {memory.array_bytes / 1e6:,.0f} MB of arrays; the process grew "
        f"by {memory.resident_growth_bytes / 1e6:,.0f} MB, at its peak by "
        f"{memory.peak_growth_bytes / 1e6:,.0f} MB",
        f"one core copies {limits.bytes_per_second / 1e9:.0f} GB/s and does "
        f"{limits.operations_per_second / 1e9:.0f} G multiplications and additions/s",
        format_table(
            ("target", "aim", "measured", "met"),
            [
                (target.name, _short(target.target), _short(target.measured), "yes" if target.met else "no")
                for target in speed.targets
            ],
        ),
    ]
    return "\n\n".join(parts)


def _course(course: Course) -> str:
    roof = course.roofline
    slots, pricing = "/".join(map(str, course.slots)), course.pricing.replace("_", " ")
    one = max(pace.market_steps_per_second for pace in course.paces if pace.threads == 1)
    auctions = max(pace.auctions_per_second for pace in course.paces if pace.threads == 1)
    ratios = ", ".join(f"{ratio:.2f} ({batch})" for batch, ratio in course.two_threads_over_one.items())
    lines = [
        f"{course.scenario}: {course.opportunities_per_interval:,} opportunities an interval, "
        f"pods of {slots}, {pricing}; bids e^{course.log_multiplier:.2f} times the value, "
        f"{course.spent_fraction:.0%} of the budgets spent in a flight",
        _paces(course.paces),
        f"two threads over one (by markets): {ratios or 'not measured'}; the same of pure arithmetic "
        f"{course.second_core:.2f}",
        f"{course.resets_per_second:,.0f} markets reset a second",
        f"roofline of one core: {roof.memory_bound_steps_per_second:,.0f} market-steps/s by memory "
        f"({roof.bytes / 1e3:,.0f} kB a step), {roof.compute_bound_steps_per_second:,.0f} by arithmetic "
        f"({sum(roof.operations.values()) / 1e3:,.0f} k operations a step); "
        f"reached {one / roof.steps_per_second:.0%}",
        f"the inner auction alone, one core: {course.python_auctions_per_second:,.0f} auctions/s in plain "
        f"Python, {course.numpy_auctions_per_second:,.0f} in NumPy; the whole market {auctions:,.0f}",
    ]
    return "\n".join(lines)


def _paces(paces: list[Pace]) -> str:
    rows = [(*pace[:4], *(_short(rate) for rate in pace[4:])) for pace in paces]
    return format_table(("campaigns", "rivals", "markets", "threads", *_RATES), rows)


def _short(number: float) -> str:
    """1,234 or 12.3 M or 2.00 G or 1.77."""
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if abs(number) >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.2f}"
