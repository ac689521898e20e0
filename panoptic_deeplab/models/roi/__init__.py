"""The two-stage detector: anchors, proposals, regions and the heads on them.

Boxes are [..., 4] (x1, y1, x2, y2) in pixels of the input, half-open: x2 and y2 are where the next
column and row begin, so that a box of one pixel is 1 wide. The released EfficientPS keeps closed
boxes, one less at x2 and y2, and adds 1 wherever it measures; that gives the same numbers. Where
the two conventions differ, an argument says so (`legacy`).

Classes of regions are 1..T for the things in the order of their class indices; 0 is background.
"""
