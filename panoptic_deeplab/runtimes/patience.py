"""When it pays to compile a network."""

from __future__ import annotations

_SECONDS = 2.5
"""Of Paddle's computing that make compiling worth it.

Paddle waits for the tracing and the first look: 1.5 s for the small network, 4.5 s for ResNet50,
and for the converter where no other core is free. A compiled network saves more than half of what
Paddle takes, in later runs too.
"""


class Patience:
    """Watches Paddle compute, and tells when compiling pays.

    Where the number of images is known, that is when enough of them are still to come; else when
    Paddle has computed for so long that as much may come again. A single image is never kept
    waiting.

    Args:
        images: how many there are in all; None where nobody knows.
    """

    def __init__(self, images: int | None = None) -> None:
        self._images = images
        self._seen = 0
        self._seconds = 0.0

    def note(self, images: int, seconds: float) -> None:
        """Paddle computed so many images in so many seconds."""
        self._seen += images
        self._seconds += seconds

    def is_over(self, images: int) -> bool:
        """Whether to compile now, before the next `images` of them are computed."""
        if self._seen == 0:
            return False
        if self._images is None or self._seen >= self._images:  # each view or tile is one
            return self._seconds >= _SECONDS
        after = self._images - self._seen - images
        return after * self._seconds / self._seen >= _SECONDS


class NoPatience(Patience):
    """For those who asked for a compiled network: before the first image, which waits for it."""

    def is_over(self, images: int) -> bool:
        return True
