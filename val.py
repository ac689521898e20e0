"""The `val` verb as PaddleSeg's users call it; see `panoptic_deeplab.cli.val`."""

import sys

from panoptic_deeplab.cli.val import main

if __name__ == "__main__":
    sys.exit(main())
