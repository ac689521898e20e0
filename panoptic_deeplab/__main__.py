"""`python -m panoptic_deeplab` is the command `panoptic-deeplab`."""

import sys

from panoptic_deeplab.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
