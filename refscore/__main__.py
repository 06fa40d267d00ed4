"""``python -m refscore`` is the command ``refscore``."""

import sys

from refscore.cli import main

sys.exit(main())
