"""Command lines of random words."""

from random import Random
from unittest import mock

from tests.fuzz.checking import ended, nothing_written

COMMANDS = ["run", "resume", "status", "replay", "report", "list", "doctor"]
PLACES = [
    "nowhere",
    ".",
    "..",
    "/dev/null",
    "/dev/full",
    "/proc/self/mem",
    "/",
    "",
    "~nobody-of-this-name/x",
    "file:///nowhere",
    "file:/x",
    "gs:/x",
    "ftp://x",
    "http://x/y",
    "a\nb",
    "\udcff",
    "a" * 5000,
    "-",
    "--",
    "lola_table",
    "lola_tabel",
    "\u202e\u0000",
]
NUMBERS = ["0", "-1", "1e9", "nan", str(2**63), "x", "", "3.5", "\u0663", "9" * 5000]
SETTINGS = [
    "matches=3",
    "matches",
    "=3",
    "updates=-1",
    "players.*=3",
    "players.*.rule=lola",
    "players..rule=x",
    "nothing.at.all=1",
    "matches=[",
    "matches=",
    "sweep.seed=[0, 1]",
    "a" * 5000,
    "\udcff=1",
]
OPTIONS = {
    "--out": PLACES,
    "--set": SETTINGS,
    "--match": NUMBERS,
    "--last": NUMBERS,
    "--processes": NUMBERS,
    "--process": NUMBERS,
    "--coordinator": ["localhost", "localhost:0", "", ":", "x:y"],
    "--quiet": None,
    "--dry-run": None,
    "--help": None,
    "--nonsense": None,
}


def command_line(random):
    """Words of a command line that starts no training."""
    command = random.choice(COMMANDS)
    words = [command]
    if command not in ("list", "doctor"):
        words.append(random.choice(PLACES))
    if command == "replay" and random.random() < 0.8:
        words += ["--match", random.choice(NUMBERS)]
    for _ in range(random.choice([0, 0, 1, 1, 2, 3])):
        option = random.choice(list(OPTIONS))
        words.append(option)
        if OPTIONS[option] is not None:
            words.append(random.choice(OPTIONS[option]))
    random.random() < 0.1 and random.shuffle(words)
    return [*words, "--dry-run"] if "run" in words else words


def check_case(seed, elsewhere):
    """Tries one command line.

    Args:
      seed: of the case.
      elsewhere: an empty folder, the working folder meanwhile.

    Raises:
      AssertionError: tells the command line and what went wrong.
    """
    words = command_line(Random(seed))
    with (
        mock.patch("shaping.runtime.devices.prepare_process", lambda: None),
        mock.patch("shaping.runtime.devices.compile_for_scalars", lambda: None),
        nothing_written(elsewhere),
    ):
        try:
            ended(words)
        except AssertionError as failure:
            raise AssertionError(f"case {seed}: {words}: {failure}") from failure
