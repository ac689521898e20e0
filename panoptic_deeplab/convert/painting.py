"""Painting objects over each other into a map."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from panoptic_deeplab.formats.annotations import measured
from panoptic_deeplab.structures import VOID_ID, DatasetInfo, PanopticMap, Segment


@dataclass(frozen=True)
class Piece:
    """A part of an object, cut out of its image.

    Attributes:
        owner: equal for the pieces of one object.
        category: the object's class index, or None for pixels to leave void.
        iscrowd: whether it is a group of instances that are not separated.
        corner: (top, left) of the piece.
        mask: [h, w] bool.
    """

    owner: Hashable
    category: int | None
    iscrowd: bool
    corner: tuple[int, int]
    mask: np.ndarray

    @classmethod
    def cut(
        cls, owner: Hashable, category: int | None, iscrowd: bool, mask: np.ndarray
    ) -> Piece | None:
        """Cut the piece out of a mask [H, W] of the whole image; None if it is empty."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            return None
        part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return cls(owner, category, iscrowd, (int(rows[0]), int(columns[0])), part.copy())


Order = Callable[[Sequence[Piece]], Sequence[Piece]]


def last_on_top(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Keep the order of the list: the later piece covers."""
    return pieces


def first_on_top(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Reverse the order of the list: the earlier piece covers."""
    return pieces[::-1]


def small_on_top(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Sort crowds to the bottom, then larger objects; among equal ones the later covers."""
    areas: dict[Hashable, int] = {}
    for piece in pieces:
        areas[piece.owner] = areas.get(piece.owner, 0) + int(np.count_nonzero(piece.mask))
    return sorted(pieces, key=lambda piece: (not piece.iscrowd, -areas[piece.owner]))


ORDERS: dict[str, Order] = {
    "last": last_on_top,
    "first": first_on_top,
    "small_on_top": small_on_top,
}
"""The values of `--overlap`."""


def paint(ids: np.ndarray, pieces: Sequence[Piece], order: Order) -> PanopticMap:
    """Paint objects over a map.

    Args:
        ids: [H, W] int32, what lies beneath; changed where a piece lies.
        pieces: in the order of their file.
        order: which covers which.

    Returns:
        ids that are those of `ids`, and above them one for each object in the order of the file;
        segments for the objects only, areas not counted.
    """
    first = int(ids.max(initial=VOID_ID)) + 1
    segments: dict[Hashable, Segment] = {}
    for piece in pieces:
        if piece.category is not None and piece.owner not in segments:
            number = first + len(segments)
            segments[piece.owner] = Segment(number, piece.category, piece.iscrowd)
    for piece in order(pieces):
        (top, left), (height, width) = piece.corner, piece.mask.shape
        window = ids[top : top + height, left : left + width]
        window[piece.mask] = segments[piece.owner].id if piece.category is not None else VOID_ID
    return PanopticMap(ids, list(segments.values()))


def stuff_joined(panoptic: PanopticMap, info: DatasetInfo) -> PanopticMap:
    """Join the segments of each stuff class into one, crowds apart, and measure areas.

    Ids that no segment has become void; segments without a pixel are left out.
    """
    first: dict[tuple[int, bool], Segment] = {}
    kept: list[Segment] = []
    joined: dict[int, int] = {}
    for segment in panoptic.segments:
        kind = (segment.category, segment.iscrowd)
        is_thing = info.categories[segment.category].is_thing
        owner = segment if is_thing else first.setdefault(kind, segment)
        if owner is segment:
            kept.append(replace(segment, is_thing=is_thing))
        else:
            joined[segment.id] = owner.id
    return measured(_renamed(panoptic.ids, joined), kept)


def _renamed(ids: np.ndarray, names: dict[int, int]) -> np.ndarray:
    if not names:
        return ids
    table = np.arange(max(int(ids.max(initial=VOID_ID)), *names) + 1, dtype=np.int32)
    table[list(names)] = list(names.values())
    return table[ids]


def pieces_of(candidates: Iterable[Piece | None]) -> list[Piece]:
    """Keep the candidates that cover a pixel."""
    return [piece for piece in candidates if piece is not None]
