"""Areas for annotations whose files list none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from panoptic_deeplab.id_maps import measure_ids
from panoptic_deeplab.structures import VOID_ID, PanopticMap, Segment


def measured(ids: np.ndarray, segments: Iterable[Segment]) -> PanopticMap:
    """Keep these segments alone in a map, each with its area.

    Ids that no segment has become void; segments without a pixel are left out.

    Args:
        ids: [H, W] int32, not negative.
        segments: what the ids are.
    """
    measures = measure_ids(ids)
    areas = dict(zip(measures.ids.tolist(), measures.areas.tolist(), strict=True))
    present = [replace(s, area=areas[s.id]) for s in segments if s.id in areas]
    kept = np.array([VOID_ID, *(segment.id for segment in present)])
    if not np.isin(measures.ids, kept).all():
        ids = np.where(np.isin(ids, kept), ids, VOID_ID)
    return PanopticMap(ids, present)
