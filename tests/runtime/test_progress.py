"""The progress bar on standard error."""

import io

import pytest

from shaping.runtime.progress import Progress, size_of


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_no_line_is_printed_twice():
    stream = io.StringIO()
    progress = Progress(10, stream)
    progress.advance(10)
    progress.close()
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("[" + "#" * 30 + "] 100%")


def test_the_end_is_shown_though_the_last_advance_came_too_soon_to_be():
    stream = io.StringIO()
    progress = Progress(10, stream)
    progress.advance(5)
    progress.advance(5)
    progress.close()
    assert [line[33:37] for line in stream.getvalue().splitlines()] == [" 50%", "100%"]


def test_on_a_terminal_the_line_is_rewritten_and_ended_once():
    stream = Terminal()
    progress = Progress(10, stream)
    progress.advance(5)
    progress.advance(5)
    progress.close()
    assert stream.getvalue().count("\r") == 2 and stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("enabled", [True, False])
def test_nothing_is_shown_of_what_an_earlier_process_did_or_where_it_is_not_wanted(enabled):
    stream = io.StringIO()
    progress = Progress(10, stream, enabled)
    progress.skip(10)
    if not enabled:
        progress.advance(1)
    progress.close()
    assert stream.getvalue() == ""


def test_sizes_just_below_the_next_unit_have_no_exponent():
    assert [size_of(n) for n in (1_047_000, 2**20, 999 * 1024, 1500)] == ["1022 KiB", "1 MiB", "999 KiB", "1.46 KiB"]
