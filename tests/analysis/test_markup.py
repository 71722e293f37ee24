"""Numbers and intervals in reports."""

import re

from shaping.analysis.markup import interval, number, percent, table


def test_an_end_without_bound_is_shown_though_json_has_it_as_text():
    assert interval([0.5, "inf"]) == " <small>[0.500, &infin;]</small>"
    assert number("-inf") == "&minus;&infin;"


def test_what_is_not_known_has_no_interval():
    assert number(None) == "&ndash;" and interval([None, None]) == interval(None) == ""


def test_cells_are_sorted_by_the_numbers_in_them():
    cells = [number(-1.25) + interval([-2, 3]), percent(0.12), f"{1234:,}", number("inf"), "tft", "3 and following"]
    page = table(["a"] * len(cells), [cells], 0)
    keys = [re.search(r'data-order="([^"]*)"', cell) for cell in page.split("<td")[1:]]
    assert [key and key[1] for key in keys] == ["-1.250", "12.0", "1234", "1e999", None, "3"]


def test_long_tables_can_be_searched_and_rows_can_be_led_to():
    assert 'data-searching="false"' in table(["a"], [["1"]] * 9, 0)
    page = table(["a"], [["1"]] * 10, 0, [f"row-{i}" for i in range(10)])
    assert 'data-searching="true"' in page and '<tr id="row-9">' in page
