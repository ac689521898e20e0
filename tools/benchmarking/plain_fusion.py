"""EfficientPS's fusion by its plain formula: a map of the whole image for every instance.

What `panoptic_deeplab.fusion.adaptive` is compared with, in results and in time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FACTOR = 4.0


def plain_fusion(
    semantic: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    classes: np.ndarray,
    masks: np.ndarray,
    *,
    thing_ids: Sequence[int],
    min_stuff_area: int,
    strict_reference: bool,
) -> tuple[np.ndarray, list[int]]:
    """Ids from logits [C, H, W] at full size, and the class of each id 1, 2, ...

    With `strict_reference` as the released code: an instance's logits are 0 beyond its mask, and
    the semantic ones in the first row and column of its box too; and the lowest value in the map
    counts as background. Else an instance competes on the pixels that its box touches.
    """
    stuff = [c for c in range(len(semantic)) if c not in thing_ids]
    kept = []
    occupied = np.zeros(semantic.shape[1:], bool)
    fused = []
    for k in np.argsort(-scores, kind="stable"):
        pasted = _paste_everywhere(masks[k], boxes[k], semantic.shape[1:])
        inside = _inside(boxes[k], semantic.shape[1:], strict_reference)
        mask = (pasted > 0) & (strict_reference | inside)
        if (mask & occupied).sum() > 0.5 * mask.sum():
            continue
        occupied |= mask
        mask_logits = FACTOR * pasted
        semantic_logits = np.where(inside, semantic[classes[k]], np.float32(0))
        logits = (_sigmoid(mask_logits) + _sigmoid(semantic_logits)) * (
            mask_logits + semantic_logits
        )
        fused.append(logits if strict_reference else np.where(inside, logits, -np.inf))
        kept.append(k)
    winner = np.concatenate([semantic[stuff], *(f[None] for f in fused)]).argmax(axis=0)
    instance = np.maximum(winner - len(stuff) + 1, 0)
    values, instance = np.unique(instance, return_inverse=True)
    if not strict_reference and values[0] != 0:
        values, instance = np.concatenate([[0], values]), instance + 1
    category = [classes[kept[v - 1]] if v else 255 for v in values]
    ids = instance.reshape(winner.shape).copy()
    background = ids == 0
    labels = semantic.argmax(axis=0)
    for c in stuff:
        found = background & (labels == c)
        if found.any() and found.sum() >= min_stuff_area:
            ids[found] = len(category)
            category.append(c)
    present = [i for i in range(len(category)) if (ids == i).any() and category[i] != 255]
    table = np.zeros(len(category), int)
    table[present] = np.arange(1, len(present) + 1)
    return table[ids], [int(category[i]) for i in present]


def _paste_everywhere(mask: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[H, W] float32: bilinear from four neighbors each, those outside the mask being 0."""
    x0, y0, x1, y1 = box.astype(np.float64)
    height, width = mask.shape
    rows = (np.arange(size[0]) + 0.5 - y0) / (y1 - y0) * height - 0.5
    columns = (np.arange(size[1]) + 0.5 - x0) / (x1 - x0) * width - 0.5
    rows, columns = np.clip(rows, -2, height + 1), np.clip(columns, -2, width + 1)
    around = np.pad(mask, 3)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down = (rows - top).astype(np.float32)[:, None]
    right = (columns - left).astype(np.float32)[None]
    corner = [[around[np.ix_(top + 3 + i, left + 3 + j)] for j in (0, 1)] for i in (0, 1)]
    upper = corner[0][0] * (1 - right) + corner[0][1] * right
    lower = corner[1][0] * (1 - right) + corner[1][1] * right
    return upper * (1 - down) + lower * down


def _inside(box: np.ndarray, size: tuple[int, int], strict_reference: bool) -> np.ndarray:
    """[H, W] bool, where the semantic logits of an instance's class count."""
    x0, y0, x1, y1 = (float(side) for side in box)
    inside = np.zeros(size, bool)
    if strict_reference:
        rows = slice(max(int(y0 + 1), 0), min(int(round(y1 - 1) + 1), size[0]))
        columns = slice(max(int(x0 + 1), 0), min(int(round(x1 - 1) + 1), size[1]))
    else:
        rows = slice(max(int(np.floor(y0)), 0), max(int(np.floor(y1)) + 1, 0))
        columns = slice(max(int(np.floor(x0)), 0), max(int(np.floor(x1)) + 1, 0))
    inside[rows, columns] = True
    return inside


def _sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))
