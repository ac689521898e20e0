"""When compiling pays: by the images that are still to come, or by those that have been."""

from __future__ import annotations

import pytest

from panoptic_deeplab.runtimes.patience import NoPatience, Patience


@pytest.mark.parametrize(
    ("images", "seen", "seconds", "is_over"),
    [
        (1, 0, 0.0, False),  # nothing is known of the time
        (50, 1, 2.0, True),  # 48 after the next one
        (3, 1, 2.0, False),  # one, which saves less than tracing takes
        (4, 1, 1.9, True),
        (50, 1, 0.06, True),
        (50, 1, 0.05, False),  # 2.4 s in all
        (3, 3, 2.4, False),  # tiles: more of them than images
        (3, 3, 2.6, True),
        (None, 1, 2.4, False),
        (None, 40, 2.6, True),
    ],
)
def test_compiling_pays(images: int | None, seen: int, seconds: float, is_over: bool) -> None:
    patience = Patience(images)
    if seen:
        patience.note(seen, seconds)
    assert patience.is_over(1) is is_over


def test_a_batch_counts_as_its_images() -> None:
    patience = Patience(8)
    patience.note(4, 12.0)
    assert not patience.is_over(4)


def test_who_asks_for_a_compiled_network_gets_it_at_once() -> None:
    assert NoPatience().is_over(1)
