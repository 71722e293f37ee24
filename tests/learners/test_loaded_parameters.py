"""Parameters that a file or another run holds."""

import numpy as np
import pytest

from shaping.learners import loaded_parameters
from shaping.policies import tabular


def test_a_file_may_hold_one_players_parameters_or_everybodys(tmp_path):
    everybody = np.arange(10.0).reshape(2, 5)
    np.save(tmp_path / "two.npy", everybody)
    np.save(tmp_path / "one.npy", everybody[0])
    np.testing.assert_array_equal(loaded_parameters.of_file(str(tmp_path / "two.npy"), 1, tabular(5)), everybody[1])
    np.testing.assert_array_equal(loaded_parameters.of_file(str(tmp_path / "one.npy"), 1, tabular(5)), everybody[0])


def test_what_is_padded_behind_the_parameters_is_left_out(tmp_path):
    np.save(tmp_path / "padded.npy", np.array([1.0, np.nan, np.nan]))
    np.testing.assert_array_equal(loaded_parameters.of_file(str(tmp_path / "padded.npy"), 0, tabular(1)), [1.0])


@pytest.mark.parametrize("row", [[1.0, 2.0], [np.nan, 1.0], []])
def test_parameters_of_another_policy_are_refused(tmp_path, row):
    np.save(tmp_path / "row.npy", np.array(row))
    with pytest.raises(ValueError, match="this policy has"):
        loaded_parameters.of_file(str(tmp_path / "row.npy"), 0, tabular(5 if row else 1))


def test_what_is_not_there_is_refused_in_one_line(tmp_path):
    for found in (
        lambda: loaded_parameters.of_file("nowhere.npy", 0, tabular(5)),
        lambda: loaded_parameters.of_run("nowhere", 0, 0, tabular(5)),
    ):
        with pytest.raises(ValueError, match="nowhere.* holds no such parameters") as error:
            found()
        assert "\n" not in str(error.value)
