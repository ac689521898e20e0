"""Small predictions that the tests of drawings share."""

import numpy as np

from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment

ROAD, CAR, SKY = range(3)
INFO = DatasetInfo(
    "toy",
    (
        Category("road", False, (128, 64, 128), 7),
        Category("car", True, (0, 0, 142), 26),
        Category("sky", False, (70, 130, 180), 23),
    ),
)
WHITE, BLACK = [255, 255, 255], [0, 0, 0]


def touching_cars() -> Prediction:
    """Sky above, road below, one column of void; two cars side by side on the road."""
    ids = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1, 1, 0],
            [1, 1, 1, 1, 1, 1, 1, 1, 0],
            [2, 3, 3, 3, 4, 4, 4, 2, 0],
            [2, 3, 3, 3, 4, 4, 4, 2, 0],
            [2, 3, 3, 3, 4, 4, 4, 2, 0],
            [2, 2, 2, 2, 2, 2, 2, 2, 0],
        ],
        np.int32,
    )
    cars = [Segment(3, CAR, score=0.93), Segment(4, CAR, score=0.5)]
    return Prediction(ids, [Segment(1, SKY), Segment(2, ROAD), *cars])


def street(height: int, width: int) -> Prediction:
    """Sky over road with a row of five cars, the last cut by the border."""
    ids = np.full((height, width), 1, np.int32)
    ids[height // 2 :] = 2
    segments = [Segment(1, SKY, score=0.9), Segment(2, ROAD)]
    for n in range(5):
        left = n * width // 5
        ids[height // 3 : height * 3 // 4, left : left + max(1, width // 6)] = 10 + n
        segments.append(Segment(10 + n, CAR, is_thing=True, score=0.5 + n / 10))
    return Prediction(ids, segments)


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)
