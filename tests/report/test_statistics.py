"""The statistics are those of textbooks, and are defined for all numbers that runs can give."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from cnn_jax.report import statistics

# Student, "The probable error of a mean" (1908): hours of sleep that two drugs gave the same ten patients.
FIRST_DRUG = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND_DRUG = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

# Student's t at 97.5 % by degrees of freedom, from printed tables.
T_TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 9: 2.262}

number = st.floats(-1e6, 1e6)
probability = st.floats(0, 1)
few = settings(max_examples=40)  # scipy goes through all permutations of signs where differences are tied
pairs = st.lists(st.tuples(number, number), min_size=1, max_size=7)


def test_paired_difference_is_students_own_example() -> None:
    found = statistics.paired_difference(FIRST_DRUG, SECOND_DRUG)
    # R: t.test(extra ~ group, data = sleep, paired = TRUE)
    assert found.p == pytest.approx(0.002832890)
    assert (found.estimate.n, found.estimate.mean) == (10, pytest.approx(-1.58))
    assert found.estimate.interval == pytest.approx((-2.4598858, -0.7001142))
    # One difference is 0; the nine others have one sign, which two of the 2^9 arrangements of signs have.
    assert found.wilcoxon.p == pytest.approx(2 / 2**9)


def test_estimate_is_mean_deviation_and_interval() -> None:
    found = statistics.estimate([2.0, 4.0, 4.0, 6.0])
    assert (found.n, found.mean, found.std) == (4, 4.0, pytest.approx(math.sqrt(8 / 3)))
    half = 3.182446305284264 * math.sqrt(8 / 3) / 2  # Student's t at 97.5 % with 3 degrees of freedom
    assert found.interval == pytest.approx((4 - half, 4 + half))


def test_one_run_has_no_spread_and_no_test() -> None:
    found = statistics.paired_difference([0.99], [0.98])
    assert dataclasses.asdict(found.estimate) == {"n": 1, "mean": pytest.approx(0.01), "std": None, "interval": None}
    assert (found.p, statistics.seeds_needed(0.0005, found.estimate.std)) == (None, None)


def test_two_pairs_give_a_wide_interval() -> None:
    found = statistics.paired_difference([2.0, 4.0], [1.0, 1.0])
    # With one degree of freedom, t is Cauchy's distribution: p = 1 - 2 atan(t) / pi, here with t = 2 / 1.
    assert found.p == pytest.approx(1 - 2 * math.atan(2) / math.pi)
    assert found.estimate.interval == pytest.approx((2 - 12.706204736, 2 + 12.706204736))


@pytest.mark.parametrize("difference", [0.0, 0.001])
def test_differences_without_spread_are_no_proof(difference: float) -> None:
    accuracies = np.array([0.9911, 0.9907, 0.9899])
    found = statistics.paired_difference(accuracies + difference, accuracies)
    assert found.estimate == statistics.Estimate(3, pytest.approx(difference), 0.0, None)
    assert found.p is None


def test_wilcoxon_is_powerless_for_fewer_than_six_pairs() -> None:
    smallest = {}
    for n in range(1, 9):
        found = statistics.paired_difference(np.arange(1.0, n + 1), np.zeros(n)).wilcoxon
        smallest[n] = found.smallest_p
        assert (found.p, found.is_powerless) == (found.smallest_p, n < 6)
    assert smallest == pytest.approx({n: min(1.0, 2.0 ** (1 - n)) for n in range(1, 9)})


def test_mcnemar_counts_the_images_that_one_alone_gets_right() -> None:
    first = np.array([True] * 10 + [False] * 3 + [True] * 80 + [False] * 7)
    second = np.array([False] * 10 + [True] * 3 + [True] * 80 + [False] * 7)
    found = statistics.mcnemar(first, second)
    assert (found.only_first, found.only_second) == (10, 3)
    assert found.p == pytest.approx(2 * sum(math.comb(13, k) for k in range(4)) / 2**13)
    assert statistics.mcnemar(first, first) == statistics.McNemarResult(0, 0, 1.0)


def test_holm_is_that_of_r() -> None:
    found = statistics.holm([0.01, 0.04, None, 0.03, 0.005])
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert found == [pytest.approx(0.03), 0.06, None, 0.06, pytest.approx(0.02)]


@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_seeds_needed_are_those_of_power_tables(effect: float, seeds: int) -> None:
    # R: ceiling(power.t.test(delta = effect, power = 0.8, type = "paired")$n)
    assert statistics.seeds_needed(effect, 1.0) == seeds


def test_power_is_what_simulated_experiments_have() -> None:
    samples = np.random.default_rng(0).normal(0.5, 1.0, (20_000, 34))
    shown = np.mean(stats.ttest_rel(samples, np.zeros_like(samples), axis=1).pvalue < 0.05)
    assert statistics.power(34, 0.5) == pytest.approx(shown, abs=0.01)


@few
@given(pairs)
@example([(0.0, 0.0)] * 3)
@example([(1e-300, 0.0), (0.0, 0.0)])
@example([(0.1 + 0.2, 0.3), (0.3, 0.3)])
@example([(1.0, 0.0)] * 60)
def test_every_pair_of_samples_gives_finite_numbers_or_none(values: list[tuple[float, float]]) -> None:
    first, second = zip(*values, strict=True)
    found = statistics.paired_difference(first, second)
    text = json.dumps(dataclasses.asdict(found), allow_nan=False)
    assert json.loads(text)["estimate"]["n"] == len(values)
    assert found.p is None or 0 <= found.p <= 1
    assert found.wilcoxon.p is None or found.wilcoxon.p >= found.wilcoxon.smallest_p * (1 - 1e-9)
    statistics.seeds_needed(0.0005, found.estimate.std)


@few
@given(pairs)
def test_swapping_the_models_changes_only_the_sign(values: list[tuple[float, float]]) -> None:
    first, second = zip(*values, strict=True)
    one, other = statistics.paired_difference(first, second), statistics.paired_difference(second, first)
    assert (one.estimate.mean, one.p, one.wilcoxon) == (-other.estimate.mean, other.p, other.wilcoxon)


@few
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=2, max_size=7))
def test_p_is_small_where_the_interval_is_without_zero(hits: list[tuple[int, int]]) -> None:
    first, second = np.array(hits).T / 10_000
    found = statistics.paired_difference(first, second)
    if found.p is not None:
        assert found.p == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-6)
        low, high = found.estimate.interval
        assert (found.p < 0.05) == (not low <= 0 <= high)


@few
@given(st.lists(st.tuples(st.floats(0.1, 1e4), st.floats(0.1, 1e4)), min_size=2, max_size=7), st.floats(0.5, 2.0))
def test_ratio_grows_with_the_first_times(times: list[tuple[float, float]], factor: float) -> None:
    first, second = np.array(times).T
    assert statistics.ratio(factor * first, second).ratio == pytest.approx(
        factor * statistics.ratio(first, second).ratio
    )


def test_ratio_of_times_is_a_geometric_mean_with_its_interval() -> None:
    found = statistics.ratio([2.0, 8.0, 4.0], [1.0, 1.0, 1.0])
    half = 4.302652729911275 * math.log(2) / math.sqrt(3)  # Student's t at 97.5 % with 2 degrees of freedom
    assert found.ratio == pytest.approx(4.0)
    assert found.interval == pytest.approx((4 * math.exp(-half), 4 * math.exp(half)))


@given(st.lists(probability, min_size=1, max_size=6))
def test_holm_is_between_the_raw_p_and_bonferroni(p_values: list[float]) -> None:
    corrected = statistics.holm(p_values)
    for raw, p in zip(p_values, corrected, strict=True):
        assert raw <= p <= min(1.0, len(p_values) * raw)
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    assert [corrected[index] for index in order] == sorted(corrected)


@pytest.mark.parametrize("limits", [statistics.NO_LIMITS, statistics.POSITIVE, statistics.SHARE])
def test_intervals_of_rows_are_those_of_estimates(limits: statistics.Limits) -> None:
    values = np.array([[0.1, 0.2, 0.4], [0.5, 0.7, 0.6], [0.01, 0.9, 0.99], [0.3, 0.3, 0.3]])
    for interval, sample in zip(statistics.intervals(values, limits), values, strict=True):
        assert tuple(interval) == (statistics.estimate(sample, limits).interval or (0.3, 0.3))


def students(values: np.ndarray) -> tuple[float, float]:
    margin = T_TABLE[len(values) - 1] * np.std(values, ddof=1) / math.sqrt(len(values))
    return np.mean(values) - margin, np.mean(values) + margin


def test_interval_that_would_leave_its_limits_is_cut_or_logarithmic() -> None:
    values = np.array([0.3, 0.9])
    assert students(values)[0] < 0
    assert statistics.estimate(values, statistics.SHARE).interval == (0, 1)
    low, high = students(np.array([0.98, 0.99]))
    assert statistics.estimate([0.98, 0.99], statistics.SHARE).interval == pytest.approx((low, 1.0), rel=1e-4)
    assert high > 1
    shift = T_TABLE[1] * 0.3  # the standard error of two values is half their distance
    positive = 0.6 * np.exp(np.array([-shift, shift]) / 0.6)
    assert statistics.estimate(values, statistics.POSITIVE).interval == pytest.approx(tuple(positive), rel=1e-2)


def require_honest(values: list[float], limits: statistics.Limits) -> None:
    """The interval lies within its limits, contains the mean, and is Student's wherever that is possible."""
    found = statistics.estimate(values, limits)
    if found.interval is None:
        return
    (low, high), student = found.interval, statistics.estimate(values).interval or (0.0, 0.0)
    assert limits[0] <= low <= found.mean <= high <= limits[1]
    is_possible = limits[0] <= student[0] and student[1] <= limits[1]
    assert (found.interval == student) == is_possible


@given(st.lists(probability, min_size=2, max_size=7))
@example([1.0, 1 - 2**-53])
@example([0.0, 5e-324])
@example([0.0, 1.0])
def test_interval_of_shares_is_honest(values: list[float]) -> None:
    require_honest(values, statistics.SHARE)


@given(st.lists(st.floats(0, 1e100), min_size=2, max_size=7))
@example([0.0, 1e-150])
@example([0.984, 1.326])
def test_interval_of_positive_values_is_honest(values: list[float]) -> None:
    require_honest(values, statistics.POSITIVE)


@given(st.lists(number, min_size=2, max_size=7).filter(lambda values: min(values) < 0))
def test_limits_that_a_value_crosses_are_none(values: list[float]) -> None:
    assert statistics.estimate(values, statistics.POSITIVE) == statistics.estimate(values)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_intervals_within_limits_contain_the_true_mean_at_least_as_often_as_students(n: int) -> None:
    random = np.random.default_rng(0)
    for samples, mean, limits in (
        (random.lognormal(0, 0.5, (20_000, n)), math.exp(0.125), statistics.POSITIVE),
        (random.beta(12, 3, (20_000, n)), 0.8, statistics.SHARE),
    ):
        within, student = (
            np.mean((found[:, 0] <= mean) & (mean <= found[:, 1]))
            for found in (statistics.intervals(samples, limits), statistics.intervals(samples))
        )
        assert student <= within < 0.98


@pytest.mark.parametrize(("freedom", "t"), T_TABLE.items())
def test_margins_are_those_of_t_tables(freedom: int, t: float) -> None:
    assert round(statistics.margin_in_standard_errors(freedom + 1), 3) == t


def test_start_of_a_run_does_not_load_scipy_s_statistics() -> None:
    check = "import sys; from cnn_jax.report import console, statistics; assert 'scipy.stats' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_interval_of_a_median_is_that_of_the_sign_test() -> None:
    # Conover, "Practical Nonparametric Statistics": for n = 16 the 4th and the 13th value, with 97.9 % confidence.
    assert statistics.median_interval(range(1, 17)) == (4, 13)
    assert statistics.median_interval([5.0, 1.0, 2.0, 4.0, 3.0, 6.0]) == (1, 6)
    assert statistics.median_interval([1.0] * 5) is None


@pytest.mark.parametrize(("n", "m"), [(4, 4), (3, 5), (7, 7), (11, 4), (41, 41)])
def test_interval_of_a_ratio_holds_what_mann_and_whitneys_test_does_not_reject(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    first, second = np.exp(rng.normal(0.3, 0.2, n)), np.exp(rng.normal(0, 0.2, m))
    ratio, interval = statistics.ratio_of_samples(first, second)
    assert interval and ratio == pytest.approx(np.exp(np.median(np.subtract.outer(np.log(first), np.log(second)))))
    method = "exact" if n * m < 1600 else "asymptotic"
    for end, inside in zip(interval, (1, -1), strict=True):
        near, far = (
            stats.mannwhitneyu(first, second * end * (1 + side * 1e-9), method=method).pvalue
            for side in (inside, -inside)
        )
        assert far <= 0.05 < near


def test_too_few_values_have_a_ratio_and_no_interval() -> None:
    assert statistics.ratio_of_samples([2.0, 8.0], [1.0]) == (4.0, None)
    assert statistics.ratio_of_samples([2.0] * 3, [1.0] * 4) == (2.0, None)
    assert statistics.ratio_of_samples([2.0] * 4, [1.0] * 4) == (2.0, (2.0, 2.0))


def test_interval_of_a_ratio_contains_it_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(1000):
        first, second = (np.exp(0.1 * rng.standard_t(2, 7)) for _ in range(2))  # far from normal
        _, interval = statistics.ratio_of_samples(1.5 * first, second)
        assert interval
        hits += interval[0] <= 1.5 <= interval[1]
    assert hits >= 940
