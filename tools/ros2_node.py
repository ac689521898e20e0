"""The `ros` verb as OpenDR's users know its node; see `panoptic_deeplab.cli.ros`."""

import sys

from panoptic_deeplab.cli.ros import main

if __name__ == "__main__":
    sys.exit(main())
