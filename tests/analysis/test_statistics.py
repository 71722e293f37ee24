import warnings

import numpy as np
import pytest
import scipy.stats

from shaping.analysis import statistics


def test_the_bootstrap_t_is_that_of_resamples_drawn_one_by_one():
    x = np.random.default_rng(1).exponential(size=40)
    low, high, method = statistics.mean_ci95(x)
    rng, ratios = np.random.default_rng(2), []
    for _ in range(20_000):
        again = rng.choice(x, len(x))
        ratios.append((again.mean() - x.mean()) / (again.std(ddof=1) / np.sqrt(len(x))))
    error = x.std(ddof=1) / np.sqrt(len(x))
    theirs = x.mean() - np.percentile(ratios, [97.5, 2.5]) * error
    assert method == "bootstrap_t"
    assert (low, high) == pytest.approx(tuple(theirs), abs=0.08 * np.ptp(theirs))


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 8, 31, 99, 5000])
def test_students_quantile_is_scipys(freedom):
    assert statistics.student_t975(freedom) == pytest.approx(scipy.stats.t.ppf(0.975, freedom), abs=1e-6)


def test_bootstrap_and_normal_intervals_agree_on_a_big_sample_and_switch_above_ten_thousand():
    x = np.random.default_rng(0).normal(size=10_001)
    low, high, method = statistics.mean_ci95(x[:-1])
    assert method == "bootstrap_t"
    assert (high - low) == pytest.approx(2 * statistics.Z95 * x.std() / 100, rel=0.06)
    big = statistics.mean_ci95(x)
    assert big[2] == "normal"
    assert big[:2] == pytest.approx((low, high), abs=0.06 * (high - low))


def test_the_switch_counts_finite_matches():
    x = np.random.default_rng(0).normal(size=10_500)
    x[:600] = np.nan
    assert statistics.mean_ci95(x)[2] == "bootstrap_t"
    x[:600] = 0.0
    assert statistics.mean_ci95(x)[2] == "normal"


@pytest.mark.parametrize("others", [[0.999] * 9, [0.999 + 1e-4 * k for k in range(9)], [0.999] * 199])
def test_matches_that_agree_except_for_one_have_an_interval_of_use(others):
    x = np.array([*others, 0.746])
    low, high, method = statistics.mean_ci95(x)
    theirs = scipy.stats.t.interval(0.95, len(x) - 1, x.mean(), scipy.stats.sem(x))
    assert method == "bootstrap_t"
    # On the side of the outlier wider than Student's, but not by much; the other one can be narrower.
    assert 1 < (x.mean() - low) / (x.mean() - theirs[0]) < 2
    assert 0.3 < (high - x.mean()) / (theirs[1] - x.mean()) < 1


def test_fewer_than_eight_matches_get_students_interval():
    x = np.array([0.0] * 6 + [1.0])
    low, high, method = statistics.mean_ci95(x)
    theirs = scipy.stats.t.interval(0.95, 6, x.mean(), scipy.stats.sem(x))
    assert method == "student_t" and (low, high) == pytest.approx(theirs)


def test_nothing_one_value_and_a_constant_need_no_resampling_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for nothing in (np.array([]), np.array([np.nan, np.nan])):
            assert statistics.mean_ci95(nothing)[:2] == (None, None)
        assert statistics.mean_ci95(np.array([np.nan, -1.3]))[:2] == (-1.3, -1.3)
        assert statistics.mean_ci95(np.full(7, 0.1))[:2] == (0.1, 0.1)


def test_columns_give_what_each_gives_alone_and_nan_rows_do_not_count():
    x = np.random.default_rng(3).normal(size=(200, 3)) + [0, 5, -100]
    x[150:, 1] = np.nan
    low, high, _ = statistics.mean_ci95_columns(x)
    for column in (0, 2):
        assert statistics.mean_ci95(x[:, column])[:2] == pytest.approx((low[column], high[column]), rel=1e-6)
    kept = statistics.mean_ci95(x[:150, 1])
    assert (low[1], high[1]) == pytest.approx(kept[:2], abs=0.1 * (high[1] - low[1]))


DRAWN = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "log-normal": (lambda rng, shape: np.exp(0.5 * rng.normal(size=shape)), np.exp(0.125)),
}


@pytest.mark.parametrize("matches", [8, *(pytest.param(n, marks=pytest.mark.slow) for n in (16, 32, 100))])
@pytest.mark.parametrize("name", DRAWN)
def test_the_interval_holds_its_level_at_few_matches_too(name, matches):
    draw, mean = DRAWN[name]
    low, high, _ = statistics.mean_ci95_columns(draw(np.random.default_rng(5), (matches, 3000)))
    covered = ((low < mean) & (mean < high)).mean()
    # The percentile bootstrap covers .89, .84 and .86 with 8 matches; of 3,000 samples 3 standard errors are .012.
    assert 0.92 < covered < 0.965


@pytest.mark.parametrize(("apart", "matches"), [(0.1, 32), (0.2, 16), (0.2, 100)])
def test_the_interval_holds_its_level_where_most_matches_agree(apart, matches):
    rng, shape = np.random.default_rng(6), (matches, 1000)
    # Anything that looks only at the sample takes one without an outlier for constant, as it should.
    away = rng.uniform(size=shape) < apart
    x = np.where(away, 1 - rng.uniform(size=shape), 1.0) + 0.003 * rng.normal(size=shape)
    low, high, _ = statistics.mean_ci95_columns(x)
    mean, some = 1 - apart / 2, away.any(axis=0)
    covered = ((low < mean) & (mean < high))[some].mean()
    width = 2 * scipy.stats.t.ppf(0.975, matches - 1) * scipy.stats.sem(x)
    # Student's covers .89, .89 and .92; of 1,000 samples 3 standard errors are .02.
    assert 0.91 < covered < 0.985
    assert ((high - low) / width).max() < 2


def test_wilson_matches_scipy_at_the_ends_and_inside():
    for k, n in ((0, 20), (20, 20), (7, 31)):
        theirs = scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
        assert statistics.wilson_ci95(k, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert statistics.wilson_ci95(0, 0) == (None, None)


def test_the_error_of_a_standard_deviation_is_the_normal_one_for_normal_data():
    x = np.random.default_rng(0).normal(size=200_000)
    assert statistics.deviation_relative_error(x) == pytest.approx(1 / np.sqrt(2), rel=0.02)


def test_a_fraction_of_none_or_all_has_an_interval_that_begins_or_ends_there_exactly():
    for n in range(1, 400):
        low, high = statistics.wilson_ci95(0, n)
        assert low == 0 and 0 < high < 1
        low, high = statistics.wilson_ci95(n * (1 + 1e-16), n)
        assert high == 1 and 0 < low < 1
    low, high = statistics.wilson_ci95(7.000000001, 7)
    assert high == 1 and np.isfinite(low)
