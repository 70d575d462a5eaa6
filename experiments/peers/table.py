"""Writes the README's table of peers from experiments/results/peers.json.

    python experiments/peers/table.py            # replaces the text between the README's two markers
    python experiments/peers/table.py --check    # changes nothing, exits 1 when the README differs

The markers are the HTML comments peers:begin and peers:end, each on a line of its own.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from experiments.results import readme

COLUMNS = {
    ("training", "pooling"): "training",
    ("training", "no_pooling"): "training, no pooling",
    ("inference", "pooling"): "inference",
    ("inference", "no_pooling"): "inference, no pooling",
    ("whole", "pooling"): "{epochs} epochs",
}


def number(value: float, measure: str) -> str:
    return f"{value:,.0f}" if measure != "whole" else f"{value:,.1f} s"


def cell(row: dict | None, measure: str) -> str:
    """A median, followed by how many times as fast this project is, with the interval of that ratio."""
    if row is None:
        return "-"
    if "failed" in row:
        return "failed"
    text = number(row["median"], measure)
    ratio = row.get("speedup_of_ours")
    if ratio is None:
        return text
    low_high = ratio["interval"]
    interval = f" ({low_high[0]:.2f} to {low_high[1]:.2f})" if low_high else ""
    return f"{text} · {ratio['median']:.2f} x{interval}"


def caption(result: dict) -> str:
    settings, machine = result["settings"], result["machine"]
    packages: dict[str, str] = {}
    for versions in result["versions"].values():
        packages |= versions
    listed = ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))
    whole, device = "", f"{machine['gpu']}, on " if "gpu" in machine else ""
    if settings["whole_rounds"]:
        runs = f"medians of {settings['whole_rounds']}" if settings["whole_rounds"] > 1 else "one run"
        whole = f"; {settings['epochs']} epochs with pooling from start to exit, {runs}"
    return (
        f"Images per second at batch size {settings['batch_size']} (inference: 1,000), medians of {settings['rounds']}"
        f" interleaved rounds{whole}. After the dot: how many times as fast this project is, the median of the rounds'"
        f" ratios, and the 95 % confidence interval of that median if there are at least six rounds."
        f" {device}{machine['cpu']}, {machine['cores']} cores, {machine['os']}; {listed}; {result['date']}."
    )


def table(result: dict) -> str:
    summary = result["summary"]
    columns = {key: title for key, title in COLUMNS.items() if key[1] in summary.get(key[0], {})}
    titles = [title.format(epochs=result["settings"]["epochs"]) for title in columns.values()]
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + "--:|" * len(columns)]
    for peer, title in result["titles"].items():
        cells = [cell(summary[measure][variant].get(peer), measure) for measure, variant in columns]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", caption(result)])


if __name__ == "__main__":
    sys.exit(readme.main(__file__, __doc__, "peers", table))
