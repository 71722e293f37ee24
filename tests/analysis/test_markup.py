"""Numbers and intervals in reports."""

from shaping.analysis.markup import interval, number


def test_an_end_without_bound_is_shown_though_json_has_it_as_text():
    assert interval([0.5, "inf"]) == " <small>[0.500, &infin;]</small>"
    assert number("-inf") == "&minus;&infin;"


def test_what_is_not_known_has_no_interval():
    assert number(None) == "&ndash;" and interval([None, None]) == interval(None) == ""
