"""A sweep's record for people: the same tables and sentences on the console and on a page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cnn_jax.config import as_text
from cnn_jax.report.page import Figure, Page, Section, Table, render
from cnn_jax.studies.sweep import figures as drawings

Record = Mapping[str, Any]

MOST_ROWS = 500  # of the page's table; the record has all of them
_MOST_SAID = 20  # values that a figure's alternative text names


def settings(record: Record, most: int) -> Table:
    """The settings, best first, so many at the most."""
    names = [field["name"] for field in record["fields"]]
    rows = [
        [str(rank), *(_value(found["settings"][name]) for name in names), *_numbers(found)]
        for rank, found in enumerate(record["settings"][:most], start=1)
    ]
    headings = ["", *names, "seeds", "validation accuracy", "95 % interval", "loss", "training accuracy", "trained"]
    count = len(record["settings"])
    title = f"{count:,} settings, best first" + (f"; the first {most:,}" if count > most else "")
    return Table(title, headings, rows)


def _numbers(found: Record) -> list[str]:
    seeds = f"{len(found['seeds'])}" + (f", {len(found['diverged'])} diverged" if found["diverged"] else "")
    accuracy = found["validation_accuracy"]
    if accuracy is None:
        return [seeds, "-", "-", "-", "-", "-"]
    return [
        seeds,
        _percent(accuracy["mean"]),
        _range(accuracy["interval"]),
        _loss(found["validation_loss"]["mean"]),
        _percent(found["train_accuracy"]["mean"]),
        f"{found['seconds']['mean']:.1f} s",
    ]


def sentences(record: Record) -> list[str]:
    """What came of it, in plain words."""
    search, best = record["search"], record["winner"]
    held_out = f"{search['validation_examples']:,} held-out training images"
    said = []
    if best is None:
        said.append("No setting is left to win: in each of them a seed has diverged. Try smaller learning rates.")
    else:
        accuracy, count = best["validation_accuracy"], search["settings"]
        choice = "It is the largest of all that were tried, so that it flatters the winner; the"
        said.append(
            f"{f'The best of {count:,} settings' if count > 1 else 'The only setting'} is {words(best['settings'])}: "
            f"{_percent(accuracy['mean'])} on {held_out} ({_interval_words(accuracy['interval'])}n = {accuracy['n']}). "
            f"{choice if count > 1 else 'The'} test images played no part."
        )
        said += [_edge(name, best) for name in best["at_the_end"]]
    if search["diverged"]:
        said.append(f"Diverged: {search['diverged']:,} of {search['trials']:,} trials; the sweep went on.")
    return said + ([test(record)] if best and best["test"] else [])


def _edge(name: str, best: Record) -> str:
    value = _value(best["settings"][name])
    return f"{name}={value} is an end of what was tried: better values may lie beyond it."


def test(record: Record) -> str:
    """What the winner reaches on the test images."""
    found = record["winner"]["test"]
    seeds = ", ".join(str(seed["seed"]) for seed in found["seeds"])
    if found["n"] == 0:
        return f"Trained again with seeds {seeds}, it diverged: it has no test score."
    accuracy, interval = found["mean"]["test_accuracy"], found["ci95"]["test_accuracy"]
    spread = f" ± {100 * (interval[1] - accuracy):.2f}" if interval else ""
    known = "95 % CI" if interval else "no interval"
    bad = [str(seed["seed"]) for seed in found["seeds"] if seed["status"] == "diverged"]
    return (
        f"Trained again on {_trained_on(record)} with seeds {seeds}, which no trial had, and scored once each: "
        f"{record['dataset']} test accuracy {100 * accuracy:.2f}{spread} % ({known}, n = {found['n']}), loss "
        f"{_loss(found['mean']['test_loss'])}." + (f" Diverged: seed {', '.join(bad)}." if bad else "")
    )


def _trained_on(record: Record) -> str:
    examples = (record["base"] | record["winner"]["settings"])["train_examples"]
    return "all training images" if examples is None else f"the first {examples:,} training images"


def words(settings: Mapping[str, Any]) -> str:
    """A setting in words."""
    return ", ".join(f"{name}={_value(value)}" for name, value in settings.items())


def page(record: Record) -> str:
    """The whole record as a page."""
    search, names = record["search"], ", ".join(field["name"] for field in record["fields"])
    seeds = f"{len(search['seeds'])} {'seeds' if len(search['seeds']) > 1 else 'seed'}"
    sections = [
        Section("In words", sentences(record)),
        Section("How accuracy responds", list(_responses(record))),
        Section("All settings", [_ranking_words(), settings(record, MOST_ROWS)]),
        *([Section("The winner on the test images", [_seeds(record)])] if record["winner"] else []),
        Section("What was run", [_search(record), _base(record), _machine(record)]),
    ]
    lead = (
        f"{search['settings']:,} settings of {names} on {record['dataset']}, {seeds} each: chosen on held-out training "
        "images, scored on test images at the end."
    )
    title = f"Sweep of {record['base']['experiment']} over {names}"
    return render(Page(title, lead, sections, f"Made by run.py --mode=sweep, {record['date']}."))


def _responses(record: Record) -> Iterator[str | Figure]:
    yield (
        "Marks are means over the seeds, bars reach from the lowest seed to the highest, and the ring is around the "
        "winner. A cross on the axis is a setting of which every seed has diverged."
    )
    shown = [field for field in record["fields"] if len(_values(field)) > 1]
    for field in shown:
        best = _best(record, field["name"])
        if field["is_numeric"]:
            names = [words(line["others"]) for line in field["lines"]]
            svg = drawings.numbers(
                field["lines"], names, field["name"], best, _alt(field), logarithmic=field["is_logarithmic"]
            )
        else:
            best = best and (_value(best[0]), best[1])  # as the drawing names it
            lines = [_named(line) for line in field["lines"]]
            svg = drawings.words(lines, _values(field), field["name"], best, _alt(field))
        caption = f"Validation accuracy against {field['name']}"
        yield Figure(svg, caption + ("" if field["is_numeric"] else ". Each mark is a setting."))
    if not shown:
        yield "No field has more than one value."


def _named(line: Record) -> Record:
    return {**line, "points": [{**point, "value": _value(point["value"])} for point in line["points"]]}


def _best(record: Record, name: str) -> tuple[Any, float] | None:
    best = record["winner"]
    return (best["settings"][name], best["validation_accuracy"]["mean"]) if best else None


def _values(field: Record) -> list[str]:
    """The values that were tried, in their order."""
    values = [point["value"] for line in field["lines"] for point in line["points"]]
    return list(dict.fromkeys(map(_value, sorted(values) if field["is_numeric"] else values)))


def _alt(field: Record) -> str:
    """The best mean of each value, in words."""
    reached: dict[str, list[float]] = {value: [] for value in _values(field)}
    for line in field["lines"]:
        for point in line["points"]:
            reached[_value(point["value"])] += [] if point["mean"] is None else [point["mean"]]
    said = [f"{value} {_percent(max(means)) if means else 'diverged'}" for value, means in reached.items()]
    rest = f"; and {len(said) - _MOST_SAID:,} more" if len(said) > _MOST_SAID else ""
    return f"Validation accuracy against {field['name']}, the best of each value: {'; '.join(said[:_MOST_SAID])}{rest}."


def _ranking_words() -> str:
    return (
        "Ranked by mean accuracy on the held-out images, and where that ties by mean loss. A setting of which a seed "
        "has diverged cannot win and stands behind the others. Neighbours whose intervals overlap may owe their order "
        "to chance."
    )


def _seeds(record: Record) -> Table:
    found = record["winner"]["test"]
    rows = [
        [
            str(seed["seed"]),
            seed["status"],
            "-" if seed["test_accuracy"] is None else _percent(seed["test_accuracy"]),
            "-" if seed["test_loss"] is None else _loss(seed["test_loss"]),
            f"{seed['train_seconds']:.1f} s",
        ]
        for seed in (found["seeds"] if found else [])
    ]
    return Table(words(record["winner"]["settings"]), ["seed", "status", "test accuracy", "test loss", "trained"], rows)


def _search(record: Record) -> Table:
    search = record["search"]
    rows = [
        ["sweep", search["sweep"]],
        ["search", f"{search['samples']:,} drawn at random" if search["samples"] else "all combinations"],
        ["seeds of the trials", ", ".join(map(str, search["seeds"]))],
        ["trials", f"{search['trials']:,}, {search['diverged']:,} of them diverged"],
        ["held-out images", f"{search['validation_examples']:,}"],
    ]
    return Table("The search", ["", "as run"], rows)


def _base(record: Record) -> Table:
    swept = {field["name"] for field in record["fields"]}
    rows = [[name, _value(value)] for name, value in record["base"].items() if name not in swept]
    return Table("What all trials have in common", ["setting", "value"], rows)


def _machine(record: Record) -> Table:
    machine = record["machine"]
    names = ("device", "cores", "system", "python", "xla_flags", "git_commit")
    rows = [[name, "none" if machine[name] is None else str(machine[name])] for name in names]
    rows.append(["versions", ", ".join(f"{name} {version}" for name, version in machine["versions"].items())])
    return Table("Machine", ["", "of the last start"], rows)


def _value(value: Any) -> str:
    return as_text(tuple(value) if isinstance(value, list) else value)


def _loss(value: float) -> str:
    """With four decimals, which those that are nearly divergent do not need."""
    return f"{value:.4f}" if value < 1000 else f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _range(interval: Sequence[float] | None) -> str:
    return f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}" if interval else "-"


def _interval_words(interval: Sequence[float] | None) -> str:
    return f"95 % interval {_range(interval)}, " if interval else ""
