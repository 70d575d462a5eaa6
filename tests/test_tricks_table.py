"""The tables of what each trick buys are made from the stored comparisons, with the tests of the right pairs."""

import json
from typing import Any

import numpy as np
import pytest
import scipy.stats

from experiments.results import readme, tricks_table
from tests.conftest import PROJECT


def stored(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((PROJECT / "experiments" / "results" / f"{name}.json").read_text())
    return record


@pytest.mark.parametrize("name", tricks_table.NAMES)
def test_readme_shows_the_stored_records(name: str) -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert readme.replaced(text, name, tricks_table.part(stored(name))) == text


@pytest.mark.parametrize("name", tricks_table.NAMES)
def test_each_row_compares_with_the_plain_network_and_counts_these_pairs_alone(name: str) -> None:
    record = stored(name)
    plain, *others = [np.array(model["test_accuracy"]["values"]) for model in record["models"]]
    p_values = [scipy.stats.ttest_rel(other, plain).pvalue for other in others]
    rows = tricks_table.part(record).splitlines()[3 : 3 + len(others)]
    for row, other, p in zip(rows, others, p_values, strict=True):
        *_, above, _, verdict, _ = (cell.strip() for cell in row.split("|"))
        assert above.startswith(f"{100 * np.mean(other - plain):+.2f} (")
        # Holm: the smallest p decides first, by the number of comparisons; where it fails, all later ones do.
        order = sorted(p_values)
        is_shown = all(q * (len(order) - rank) < 0.05 for rank, q in enumerate(order) if q <= p)
        assert (verdict == "no difference shown") == (not is_shown)
        assert verdict in ("no difference shown", "better" if np.mean(other) > np.mean(plain) else "worse")
