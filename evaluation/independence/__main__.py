"""`python -m evaluation.independence`: see `report`."""

import sys

from evaluation.independence.report import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
