"""`python -m eplb_opt` is the command line."""

import sys

from eplb_opt.cli import main

sys.exit(main())
