"""`python -m shaping` is the command `shaping`."""

import sys

from shaping.cli import main

sys.exit(main())
