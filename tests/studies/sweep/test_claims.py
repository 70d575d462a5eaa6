"""One process at a time holds a claim, for as long as it gives a sign of life."""

import os
import threading
import time
from pathlib import Path

import pytest

from cnn_jax.studies.sweep import claims
from cnn_jax.studies.sweep.claims import Claim, claimed, newest

LONG = 60.0  # seconds; longer than any test


def leave(path: Path, text: str | bytes = "a machine, process 7", *, age: float = 0.0, number: int = 1) -> Path:
    """A claim as a process leaves it that died `age` seconds ago."""
    file = path.with_name(f"{path.name}.claim-{number}")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(file, (time.time() - age,) * 2)
    return file


def test_only_one_holds_a_claim_and_the_others_see_who(tmp_path: Path) -> None:
    with claimed(tmp_path / "trial", LONG) as first:
        assert first is None
        with claimed(tmp_path / "trial", LONG) as second, claimed(tmp_path / "other", LONG) as other:
            assert second is not None and other is None
            assert second.holder.endswith(f", process {os.getpid()}") and 0 <= second.age < LONG
    assert not list(tmp_path.iterdir())
    with claimed(tmp_path / "trial", LONG) as again:
        assert again is None


def test_claim_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path / "trial", LONG):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_claim_is_renewed_while_its_holder_does_something_else(tmp_path: Path) -> None:
    with claimed(tmp_path / "trial", 1.0):
        for _ in range(15):
            time.sleep(0.1)
            with claimed(tmp_path / "trial", 1.0) as other:
                assert other is not None


def test_claim_that_is_not_renewed_is_taken_over_by_one_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them have seen that its holder is gone before the first one acts."""
    together, find, got = threading.Barrier(8, timeout=60), claims._newest, list[bool]()
    leave(tmp_path / "trial", age=2 * LONG)

    def find_together(path: Path) -> tuple[int, Claim | None]:
        found = find(path)
        together.wait()
        return found

    def take() -> None:
        with claimed(tmp_path / "trial", LONG) as other:
            got.append(other is None)
            together.wait()  # nobody gives it back before all have tried

    monkeypatch.setattr(claims, "_newest", find_together)
    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 7 + [True]
    assert not list(tmp_path.iterdir())


def test_holder_that_wakes_up_leaves_the_claim_of_the_one_that_took_over(tmp_path: Path) -> None:
    path, asleep = tmp_path / "trial", claimed(tmp_path / "trial", LONG)
    asleep.__enter__()
    os.utime(tmp_path / "trial.claim-1", (0, 0))
    with claimed(path, LONG) as other:
        assert other is None
        asleep.__exit__(None, None, None)
        found = newest(path)
        assert found is not None and found.age < LONG
        with claimed(path, LONG) as third:
            assert third is not None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", b"\xff\xfe\x00\x1b[2J\n", "x" * 10_000_000], ids=["empty", "no text", "long"])
def test_claim_with_anything_in_it_counts_by_its_time(tmp_path: Path, text: str | bytes) -> None:
    file = leave(tmp_path / "trial", text)
    with claimed(tmp_path / "trial", LONG) as other:
        assert other is not None and 0 < len(other.holder) < 2000 and other.holder.isprintable()
    os.utime(file, (0, 0))
    with claimed(tmp_path / "trial", LONG) as other:
        assert other is None


def test_clock_of_this_machine_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file server has a clock of its own: here it is an hour ahead of this machine."""
    now = claims._now
    monkeypatch.setattr(claims, "_now", lambda folder: now(folder) + 3600)
    leave(tmp_path / "trial", age=-3600)
    with claimed(tmp_path / "trial", LONG) as other:
        assert other is not None and other.age < LONG
    leave(tmp_path / "trial", age=-3600 + 2 * LONG)
    with claimed(tmp_path / "trial", LONG) as other:
        assert other is None
