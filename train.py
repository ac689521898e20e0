"""The `train` verb as PaddleSeg's users call it; see `panoptic_deeplab.cli.train`."""

import sys

from panoptic_deeplab.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
