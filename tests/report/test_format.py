"""Numbers read the same everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.report import format as written


@pytest.mark.parametrize(("p", "text"), [(None, "-"), (0.0412, "0.041"), (1.0, "1"), (3.21e-7, "3e-07"), (0.0, "0")])
def test_p_values_are_short(p: float | None, text: str) -> None:
    assert written.p_value(p) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *(
            (0.0, "0 s"),
            (3e-9, "3 ns"),
            (4.56e-6, "4.56 µs"),
            (0.00983, "9.83 ms"),
            (0.9996, "1,000 ms"),
            (1.3, "1.3 s"),
        ),
        *((78.04, "78 s"), (119.9, "120 s"), (852.0, "14.2 min"), (9000.0, "2.5 h"), (3.6e6, "1,000 h")),
    ],
)
def test_durations_have_three_digits_and_a_unit(seconds: float, text: str) -> None:
    assert written.duration(seconds) == text


def test_estimates_are_written_with_half_the_width_of_their_interval() -> None:
    assert written.percent_estimate({"mean": 0.9907, "interval": (0.9902, 0.9912)}) == "99.07 ± 0.05 %"
    assert written.percent_estimate({"mean": 0.9907, "interval": None}) == "99.07 %"
    assert written.loss_estimate({"mean": 0.0285, "interval": [0.0273, 0.0297]}) == "0.0285 ± 0.0012"
    assert written.duration_estimate({"mean": 70.1, "interval": [53.1, 87.1]}) == "70.1 s ± 17 s"


def test_estimates_with_an_uneven_interval_are_written_with_its_ends() -> None:
    assert written.percent_estimate({"mean": 0.3846, "interval": (0.0612, 0.863)}) == "38.46 (6.12 to 86.30) %"
    assert written.loss_estimate({"mean": 0.0285, "interval": [0.0042, 0.1934]}) == "0.0285 (0.0042 to 0.1934)"
    assert written.duration_estimate({"mean": 0.0589, "interval": [7.81e-6, 444.0]}) == "58.9 ms (7.81 µs to 7.4 min)"


def test_intervals_lists_and_counts() -> None:
    assert written.interval((0.0117, 0.0133), written.points) == "+1.17 to +1.33"
    assert written.interval(None, written.points) == "-"
    assert [written.listed(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert [written.counted(n, "seed") for n in (0, 1, 1234)] == ["0 seeds", "1 seed", "1,234 seeds"]


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        *((0.9998, 1, ">99.9 %"), (0.99996, 2, ">99.99 %"), (0.996, 0, ">99 %"), (0.9998, 2, "99.98 %")),
        *((0.0004, 1, "<0.1 %"), (1e-12, 2, "<0.01 %"), (0.004, 0, "<1 %"), (0.0006, 1, "0.1 %")),
        *((1.0, 1, "100.0 %"), (0.0, 2, "0.00 %"), (1.00001, 1, "100.0 %")),
    ],
)
def test_share_that_is_not_quite_0_or_1_is_never_shown_so(share: float, digits: int, text: str) -> None:
    assert written.percent(share, digits) == text


@given(share=st.floats(0, 1), digits=st.integers(0, 3))
def test_any_share_is_100_percent_or_0_percent_only_where_it_is(share: float, digits: int) -> None:
    text = written.percent(share, digits)
    assert (float(text.lstrip("<>").removesuffix(" %")) == 100 and text[0] != ">") == (share == 1)
    assert (float(text.lstrip("<>").removesuffix(" %")) == 0 and text[0] != "<") == (share == 0)


def test_estimated_share_that_is_not_quite_1_gets_the_digits_that_show_it() -> None:
    assert written.percent_estimate({"mean": 0.99998, "interval": (0.99996, 1.0)}) == "99.998 ± 0.002 %"
    assert written.percent_estimate({"mean": 1.0, "interval": None}) == "100.00 %"
