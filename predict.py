"""The `predict` verb as PaddleSeg's users call it; see `panoptic_deeplab.cli.predict`."""

import sys

from panoptic_deeplab.cli.predict import main

if __name__ == "__main__":
    sys.exit(main())
