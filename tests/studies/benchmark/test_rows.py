"""The rows for other documents hold the record's numbers, and say which record they are of."""

import csv

from cnn_jax.studies.benchmark import record, rows
from tests.studies.benchmark.made import DEVICE, content, measurement, target


def cases() -> list:
    return [measurement(what, batch_size=size) for size in (64, 256) for what in ("training step", "inference")]


def test_markdown_has_a_row_for_each_batch_size_and_dtype() -> None:
    found = record.sealed(content(*cases(), target=target([20.0, 22.0])))
    head, rule, first, second = rows.as_markdown(found).splitlines()
    assert {line.count("|") for line in (head, rule, first, second)} == {head.count("|")}
    assert "| time to 99 % |" in head
    # Of seven rounds the interval of the median reaches from the fastest to the slowest.
    assert (
        "| lecture_cnn, 104,202 parameters | 64 | float32 | 1,000 (971 to 1,031) | 1,000 (971 to 1,031) | 21" in first
    )
    assert "| 256 | float32 | 1,000 (971 to 1,031) | 1,000 (971 to 1,031) | - |" in second
    assert first.endswith(f"| 2026-12-01 | {found['sha256'][:12]} |") and f"| {DEVICE} |" in first


def test_markdown_says_when_files_were_changed() -> None:
    found = content(*cases())
    found["machine"] = found["machine"] | {"git_commit": "0123456789abcdef-dirty"}
    assert ", 0123456789ab-dirty |" in rows.as_markdown(record.sealed(found))
    found["machine"] = found["machine"] | {"git_commit": None}
    assert "None" not in rows.as_markdown(record.sealed(found))


def test_csv_has_a_line_for_each_case_and_each_seed() -> None:
    found = record.sealed(content(*cases(), target=target([20.0, None])))
    lines = list(csv.DictReader(rows.as_csv(found).splitlines()))
    assert [line["what"] for line in lines[:2]] == ["training step", "inference"]
    assert [float(lines[0][name]) for name in ("images_per_second", "seconds", "seconds_low", "seconds_high")] == [
        *(1000.0, 1.0, 0.97, 1.03)
    ]
    assert [(line["what"], line["seconds"]) for line in lines[-2:]] == [
        ("training to 99 %, seed 0", "20.0"),
        ("training to 99 %, seed 1", ""),
    ]
    assert {line["sha256"] for line in lines} == {found["sha256"]}
