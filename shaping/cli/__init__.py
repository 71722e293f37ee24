"""The command line: carries out a command and turns what went wrong into one line and an exit status."""

import argparse
import gc
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from shaping import exit_statuses as statuses
from shaping.cli.commands import COMMANDS
from shaping.cli.devices import begin
from shaping.cli.options import parser
from shaping.cli.output import OutputError, complain, discard_output, print_lines, silence_libraries


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status; `shaping.exit_statuses` says what each means."""
    if argv is None:
        # JAX makes many objects and few cycles while it writes a program: to look for them as often as Python does by
        # default takes an eighth of that time. A program that calls this function keeps its own thresholds.
        gc.set_threshold(100_000, 50, 100)
    arguments = parser().parse_args(argv)
    from shaping.config.errors import ConfigError, LostError
    from shaping.runtime.failures import ExhaustedError, is_exhausted, is_out_of_memory, reason

    if getattr(arguments, "quiet", False):
        silence_libraries()
    try:
        _use_plugins(arguments)
        with _naming_damage(arguments):
            status = COMMANDS[arguments.command](arguments)
        print_lines([])
        return status
    except ExhaustedError as error:
        if argv is None:
            # Objects that could not be created because files ran out would complain again when they are deleted.
            sys.unraisablehook = lambda unraisable: None
            warnings.simplefilter("ignore")
        complain(str(error))
        return statuses.STOPPED
    except ConfigError as error:
        complain(str(error))
        return statuses.REFUSED
    except LostError as error:
        complain(str(error))
        return statuses.LOST
    except OutputError as error:
        discard_output()
        if isinstance(error.__cause__, BrokenPipeError):
            # The reader of the pipe (head, less) has closed it.
            return statuses.FINISHED
        complain(f"standard output: cannot be written: {reason(error.__cause__ or error)}")
        return statuses.REFUSED
    except KeyboardInterrupt:
        complain("interrupted")
        return statuses.INTERRUPTED
    except RecursionError:
        complain("something in a file or on the command line is nested too deeply")
        return statuses.REFUSED
    except Exception as error:
        if is_out_of_memory(error):
            complain(f"out of memory: {reason(error)[:300]}" if str(error) else "out of memory")
            return statuses.REFUSED
        if is_exhausted(error):
            complain(reason(error)[:300])
            return statuses.STOPPED
        if isinstance(error, OSError):
            place = f"{str(error.filename)[:200]}: " if error.filename else ""
            complain(f"{place}{reason(error)[:300]}")
            return statuses.REFUSED
        raise


@contextmanager
def _naming_damage(arguments: argparse.Namespace) -> Iterator[None]:
    """If a command fails that reads the records of other runs, looks for damage in those and reports that instead."""
    places = getattr(arguments, "sources", None) or [getattr(arguments, "source", None)]
    if places == [None]:
        yield
        return
    from shaping.runtime.damaged_records import explaining_damage
    from shaping.runtime.storage import folder_at

    with ExitStack() as stack:
        for place in places:
            record = folder_at(place) / "record.zarr"
            if record.is_dir():
                stack.enter_context(explaining_damage(record))
        yield


def _use_plugins(arguments: argparse.Namespace) -> None:
    from shaping.config.errors import ConfigError

    if getattr(arguments, "plugins", []):
        from shaping.plugins import ExtensionError, use_plugin

        begin()
        try:
            for source in arguments.plugins:
                use_plugin(source)
        except ExtensionError as error:
            raise ConfigError(str(error)) from error
