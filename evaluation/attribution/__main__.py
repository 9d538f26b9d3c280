"""`python -m evaluation.attribution`: see `report`."""

import sys

from evaluation.attribution.report import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
