"""The tables, sentences and page of a sweep. The console shows the same table and sentences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cnn_jax import program
from cnn_jax.report import estimates
from cnn_jax.report.format import MISSING, counted, duration, interval, listed, loss, percent, percent_estimate
from cnn_jax.report.page import Figure, Page, Section, render
from cnn_jax.report.tables import Table, flat_settings, machine_table, seeds_table, setting_text, settings_table
from cnn_jax.studies.sweep import figures
from cnn_jax.studies.sweep.space import setting_words

Record = Mapping[str, Any]

MOST_ROWS = 500  # of the page's table; the record has all settings


def settings_ranking(record: Record, most: int) -> Table:
    """The settings, best first; at most `most` of them."""
    names = [field["name"] for field in record["fields"]]
    rows = [
        [str(rank), *(setting_text(setting["settings"][name]) for name in names), *_scores(setting)]
        for rank, setting in enumerate(record["settings"][:most], start=1)
    ]
    headings = ["rank", *names, "seeds", "validation accuracy", "95 % interval", "validation loss"]
    number = len(record["settings"])
    title = f"{counted(number, 'setting')}, best first" + (f"; the first {most:,} are shown" if number > most else "")
    return Table(title, [*headings, "training accuracy", "training time"], rows)


def _scores(setting: Record) -> list[str]:
    seeds = f"{len(setting['seeds'])}" + (f", {len(setting['diverged'])} diverged" if setting["diverged"] else "")
    accuracy = setting["validation_accuracy"]
    if accuracy is None:
        return [seeds, *[MISSING] * 5]
    return [
        seeds,
        percent(accuracy["mean"]),
        interval(accuracy["interval"], percent),
        loss(setting["validation_loss"]["mean"]),
        percent(setting["train_accuracy"]["mean"]),
        duration(setting["seconds"]["mean"]),
    ]


def sentences(record: Record) -> list[str]:
    """The result in plain words."""
    search, best = record["search"], record["winner"]
    if best is None:
        said = ["No setting can win, because each has a seed that diverged. Try smaller learning rates."]
    else:
        said = [_winner_sentence(record), *(_edge_sentence(name, best) for name in best["at_the_end"])]
    if search["diverged"]:
        said.append(f"Diverged: {search['diverged']:,} of {counted(search['trials'], 'trial')}.")
    return [*said, *([_test_sentence(record)] if best else []), *estimates.remarks(_estimates(record))]


def _estimates(record: Record) -> Iterator[Record]:
    """The estimates that the table of settings and the sentences show."""
    yield from (setting["validation_accuracy"] for setting in record["settings"] if setting["seeds"])
    if record["winner"]:
        yield estimates.of_seeds(record["winner"]["test"], "test_accuracy")


def _winner_sentence(record: Record) -> str:
    search, best = record["search"], record["winner"]
    accuracy, number = best["validation_accuracy"], search["settings"]
    bounds = accuracy["interval"]
    shown = f"95 % interval {interval(bounds, percent)}, " if bounds else ""
    sentence = (
        f"{f'The best of {number:,} settings' if number > 1 else 'The only setting'} is "
        f"{setting_words(best['settings'])}, with an accuracy of {percent(accuracy['mean'])} on "
        f"{counted(search['validation_examples'], 'held-out training image')} ({shown}n = {accuracy['n']})."
    )
    is_best_of_many = number > 1 or record["base"]["keep"] == "best"
    bias = " The best of many tries looks better than it is, so it is trained again." if is_best_of_many else ""
    return f"{sentence}{bias} The test images were not used to choose it."


def _chooses_epochs(record: Record) -> bool:
    """Whether held-out images choose the epochs of every run."""
    return record["base"]["keep"] == "best" or record["base"]["patience"] is not None


def _edge_sentence(name: str, best: Record) -> str:
    value = setting_text(best["settings"][name])
    return f"{name}={value} is the smallest or largest value that was tried: better values may lie beyond it."


def _test_sentence(record: Record) -> str:
    """The winner's scores on the test images."""
    found = record["winner"]["test"]
    seeds = listed([str(seed["seed"]) for seed in found["seeds"]])
    if found["n"] == 0:
        return f"The winner was trained again with seeds {seeds} and diverged: it has no test score."
    accuracy = estimates.of_seeds(found, "test_accuracy")
    kind = "95 % CI" if accuracy["interval"] else "no interval"
    examples = (record["base"] | record["winner"]["settings"])["train_examples"]
    images = "all training images" if examples is None else f"the first {examples:,} training images"
    if examples is None and _chooses_epochs(record):
        images = "the training images that are not held out"
    diverged = [str(seed["seed"]) for seed in found["seeds"] if seed["status"] == "diverged"]
    return (
        f"The winner was trained again on {images} with seeds {seeds}, which no trial had used, and each of these runs "
        f"was scored once: {record['dataset']} test accuracy {percent_estimate(accuracy)} ({kind}, n = {found['n']}), "
        f"loss {loss(found['mean']['test_loss'])}." + (f" Diverged: seed {', '.join(diverged)}." if diverged else "")
    )


def render_page(record: Record) -> str:
    """The page as HTML."""
    search, names = record["search"], listed([field["name"] for field in record["fields"]])
    sections = [
        Section("Result", sentences(record)),
        Section("How accuracy depends on each field", list(_responses(record))),
        Section("All settings", [_RANKING_TEXT, settings_ranking(record, MOST_ROWS)]),
    ]
    if record["winner"]:
        seeds = seeds_table(setting_words(record["winner"]["settings"]), record["winner"]["test"]["seeds"])
        sections.append(Section("The winner on the test images", [seeds]))
    sections.append(Section("What was run", [_search(record), _base(record), machine_table([record["machine"]])]))
    lead = (
        f"{counted(search['settings'], 'setting')} of {names} on {record['dataset']}, with "
        f"{counted(len(search['seeds']), 'seed')} each. The best one was chosen on held-out training images and then "
        "scored on the test images."
    )
    title = f"Sweep of {record['base']['experiment']} over {names}"
    return render(Page(title, lead, sections, f"Made by {program.name()} --mode=sweep, {record['date']}."))


_RANKING_TEXT = (
    "Settings are sorted by mean accuracy on the held-out images, then by mean loss. A setting with a seed that "
    "diverged cannot win and comes after the others. Where the intervals of two settings overlap, their order may be "
    "chance."
)


def _responses(record: Record) -> Iterator[str | Figure]:
    yield (
        "Marks are means over the seeds, with bars from the lowest to the highest seed. The ring marks the winner. A "
        "cross at the axis is a setting of which every seed diverged."
    )
    best = record["winner"]
    shown = [field for field in record["fields"] if len(_values(field)) > 1]
    for field in shown:
        name, lines = field["name"], field["lines"]
        alt = f"Validation accuracy by {name}. The table of all settings has the numbers."
        mark = (best["settings"][name], best["validation_accuracy"]["mean"]) if best else None
        if field["is_numeric"]:
            labels = [setting_words(line["others"]) for line in lines]
            svg = figures.by_number(lines, labels, name, mark, alt, is_logarithmic=field["is_logarithmic"])
            yield Figure(svg, f"Validation accuracy by {name}.")
        else:
            svg = figures.by_name(lines, _values(field), name, mark, alt)
            yield Figure(svg, f"Validation accuracy by {name}. Each mark is a setting.")
    if not shown:
        yield "No field has more than one value."


def _values(field: Record) -> list[str]:
    """The values that were tried, in ascending order where they are numbers."""
    values = [point["value"] for line in field["lines"] for point in line["points"]]
    return list(dict.fromkeys(map(setting_text, sorted(values) if field["is_numeric"] else values)))


def _search(record: Record) -> Table:
    search = record["search"]
    rows: Sequence[Sequence[str]] = [
        ["sweep", search["sweep"]],
        ["search", counted(search["samples"], "random setting") if search["samples"] else "all combinations"],
        ["seeds of the trials", ", ".join(map(str, search["seeds"]))],
        ["trials", f"{search['trials']:,}, of which {search['diverged']:,} diverged"],
        ["held-out training images", f"{search['validation_examples']:,}"],
    ]
    return Table("The search", ["", "value"], rows)


def _base(record: Record) -> Table:
    swept = {field["name"] for field in record["fields"]}
    settings = {
        name: value
        for name, value in flat_settings(record["base"])
        if name not in swept and name.rpartition(".")[0] not in swept  # the settings of a swept part are not in common
    }
    return settings_table("Settings that all trials have in common", {"value": settings})
