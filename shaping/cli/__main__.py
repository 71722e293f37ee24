"""`python -m shaping.cli` is the command `shaping`."""

import sys

from shaping.cli import main

sys.exit(main())
