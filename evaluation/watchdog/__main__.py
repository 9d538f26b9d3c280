"""`python -m evaluation.watchdog`: see `report`."""

import sys

from evaluation.watchdog.report import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
