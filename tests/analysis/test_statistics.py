import warnings

import numpy as np
import pytest
import scipy.stats

from shaping.analysis import statistics


def test_the_bootstrap_is_scipys_percentile_bootstrap():
    x = np.random.default_rng(1).exponential(size=80)
    low, high, method = statistics.mean_ci95(x)
    theirs = scipy.stats.bootstrap(
        (x,), np.mean, method="percentile", n_resamples=20_000, random_state=2
    ).confidence_interval
    assert method == "percentile_bootstrap"
    assert (low, high) == pytest.approx(tuple(theirs), abs=0.06 * (theirs.high - theirs.low))


def test_bootstrap_and_normal_intervals_agree_on_a_big_sample_and_switch_above_ten_thousand():
    x = np.random.default_rng(0).normal(size=10_001)
    low, high, method = statistics.mean_ci95(x[:-1])
    assert method == "percentile_bootstrap"
    assert (high - low) == pytest.approx(2 * statistics.Z95 * x.std() / 100, rel=0.06)
    big = statistics.mean_ci95(x)
    assert big[2] == "normal"
    assert big[:2] == pytest.approx((low, high), abs=0.06 * (high - low))


def test_the_switch_counts_finite_matches():
    x = np.random.default_rng(0).normal(size=10_500)
    x[:600] = np.nan
    assert statistics.mean_ci95(x)[2] == "percentile_bootstrap"
    x[:600] = 0.0
    assert statistics.mean_ci95(x)[2] == "normal"


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


def test_the_interval_covers_the_mean_about_95_times_of_100():
    x = np.random.default_rng(5).normal(size=(60, 2000))
    low, high, _ = statistics.mean_ci95_columns(x)
    assert ((low < 0) & (high > 0)).mean() == pytest.approx(0.94, abs=0.025)


def test_wilson_matches_scipy_at_the_ends_and_inside():
    for k, n in ((0, 20), (20, 20), (7, 31)):
        theirs = scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
        assert statistics.wilson_ci95(k, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert statistics.wilson_ci95(0, 0) == (None, None)


def test_the_error_of_a_standard_deviation_is_the_normal_one_for_normal_data():
    x = np.random.default_rng(0).normal(size=200_000)
    assert statistics.deviation_relative_error(x) == pytest.approx(1 / np.sqrt(2), rel=0.02)
