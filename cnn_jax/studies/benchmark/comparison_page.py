"""A comparison of two benchmarks for people: the same tables and sentences on the console and on a page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnn_jax import program
from cnn_jax.report.format import MISSING, counted, interval, listed, percent, three_digits
from cnn_jax.report.page import Block, Page, Section, render
from cnn_jax.report.tables import Table
from cnn_jax.studies.benchmark.comparison import FASTER, FEW_ROUNDS, MACHINE, SLOWER, UNDECIDED, WIDE, WITHIN

Comparison = Mapping[str, Any]


def page(comparison: Comparison, command_line: Sequence[str]) -> str:
    """The comparison of two stored benchmarks as a page."""
    lead = f"{comparison['now']}, compared with {comparison['baseline']}."
    footer = f"Made by {program.name()} {' '.join(command_line)}."
    return render(Page("Two benchmarks compared", lead, sections(comparison), footer))


def sections(comparison: Comparison) -> list[Section]:
    """The parts of a page that show the comparison."""
    blocks: list[Block] = [*sentences(comparison), _MEANING.format(*_limits(comparison)), _INTERVALS]
    differences = [_OTHERS, *map(_difference, comparison["differences"])] if comparison["differences"] else [_NOTHING]
    return [
        Section("Comparison", [*blocks, *_tables_of_cases(comparison)]),
        # Commits and file names are long: as text they are broken where a phone ends.
        Section("What else differs", differences),
    ]


def tables(comparison: Comparison) -> list[Table]:
    """All tables of the console."""
    differences = [differences_table(comparison)] if comparison["differences"] else []
    return [*_tables_of_cases(comparison), *differences]


def _tables_of_cases(comparison: Comparison) -> list[Table]:
    """Verdicts and speeds at each batch size and dtype: a phone has no room for these in every row."""
    variants: dict[str, list[Mapping[str, Any]]] = {}
    for row in comparison["rows"]:
        variants.setdefault(f"batch size {row['batch_size']:,} in {row['dtype']}", []).append(row)
    verdicts = [verdict_table(rows, title) for title, rows in variants.items()]
    return verdicts + [speed_table(rows, title) for title, rows in variants.items()]


def verdict_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """The ratio of each case and what it shows."""
    cells = [
        [row["what"], f"{row['ratio']:.2f}", interval(row["interval"], "{:.2f}".format), row["verdict"]] for row in rows
    ]
    return Table(f"Speed now over that of the baseline, {title}", ["case", "ratio", "95 % interval", "verdict"], cells)


def speed_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """What was measured in both."""
    cells = [[row["what"], *(_measured(row[of], row["unit"]) for of in ("baseline", "now"))] for row in rows]
    return Table(f"What was measured, {title}", ["case", "baseline", "now"], cells)


def differences_table(comparison: Comparison) -> Table:
    """Machine, versions, settings and state, where they differ."""
    rows = [[one["name"], *(_text(one[of]) for of in ("baseline", "now"))] for one in comparison["differences"]]
    return Table("What else differs", ["", "baseline", "now"], rows)


def sentences(comparison: Comparison) -> list[str]:
    """The warnings, the result, and what to do about the cases that are undecided."""
    rows = comparison["rows"]
    counts = [f"{sum(row['verdict'] == verdict for row in rows)} {verdict}" for verdict in (FASTER, SLOWER, UNDECIDED)]
    result = f"{counted(len(rows), 'case')}: {listed(counts)}."
    return [*comparison["warnings"], result, *_advice(rows, comparison["tolerance"])]


def _advice(rows: Iterable[Mapping[str, Any]], tolerance: float) -> Iterable[str]:
    """For each reason why cases are undecided, which they are and what would decide them."""
    undecided: dict[str, list[str]] = {}
    for row in rows:
        if row["reason"]:
            undecided.setdefault(row["reason"], []).append(_name(row))
    for reason, names in undecided.items():
        yield f"Undecided, {_REASONS[reason].format(percent(tolerance, 0))} ({'; '.join(names)})"


_REASONS = {
    WITHIN: "and no more than {} apart: a smaller --tolerance asks for less.",
    FEW_ROUNDS: "because there are too few rounds: measure both again with more --seconds and --repeats.",
    MACHINE: "because the machine itself was not as fast in one of the two: measure both again, one after the other, "
    "when no other program runs.",
    WIDE: "because the rounds vary too much: measure both again with more --repeats, when no other program runs.",
}
_MEANING = (
    "A ratio above 1 is faster. A case is slower if the whole interval lies below {:.2f}, and faster if it lies above "
    "{:.2f}, which is the same in the other direction. Everything else is undecided."
)
_INTERVALS = (
    "The ratio is the median of the ratios of each round to each round of the other record (Hodges and Lehmann); for "
    "the time to an accuracy it is the geometric mean over seeds. On the same device the interval also holds that of "
    "the ratio in units of the reference, a program that is always the same and that ran before each call: if the "
    "machine was slower in one of the records, the reference was too. What slows down the case and not the reference "
    "is in no interval."
)
_NOTHING = "Nothing that the records tell."
_OTHERS = "Any of these may be the reason for a difference of the speeds. A dash stands for what a record does not say."


def _limits(comparison: Comparison) -> tuple[float, float]:
    return 1 - comparison["tolerance"], 1 / (1 - comparison["tolerance"])


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['what']}, {row['batch_size']:,}, {row['dtype']}"


def _difference(one: Mapping[str, Any]) -> str:
    return f"{one['name']}: {_text(one['baseline'])} in the baseline, {_text(one['now'])} now."


def _measured(value: float, unit: str) -> str:
    return f"{three_digits(value)} {unit}"


def _text(value: Any) -> str:
    return MISSING if value is None else str(value)
