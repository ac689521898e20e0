"""Ctrl-C and SIGTERM: finish the current step, save, and say how to resume."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.errors import UserError


class StoppedError(UserError):
    """A signal asked to stop, and the work done by then is saved.

    Args:
        signal: its number.
        saved: what is saved, and how to resume.
    """

    def __init__(self, signal: int, saved: str) -> None:
        super().__init__(f"stopped by signal {signal}; {saved}")
        self.exit_code = 128 + signal  # as a shell reports it


class Interruption:
    """While this context is open, a first signal only asks to stop; a later one stops at once.

    Repeats within `GRACE_SECONDS` are the same request: Paddle's launcher passes a signal on and
    sends its own a moment later, and a terminal's Ctrl-C reaches the launcher's processes too.
    The sudden end of the launcher is as the SIGTERM that it can send no more.

    Attributes:
        signal: the signal that asked, or None.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    GRACE_SECONDS = 5.0

    def __init__(self) -> None:
        self.signal: int | None = None
        self._asked_at = 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in self.SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._asked_at = number, time.monotonic()
        elif time.monotonic() - self._asked_at > self.GRACE_SECONDS:
            raise KeyboardInterrupt

    def is_asked(self) -> bool:
        """Return whether this process received a signal, or has lost its launcher."""
        if self.signal is None and distributed.has_lost_launcher():
            self.signal = signal.SIGTERM
        return self.signal is not None

    def agreed(self) -> int | None:
        """Return the signal that any process received; all processes must call this together."""
        self.is_asked()
        asked = [number for number in distributed.gather(self.signal) if number is not None]
        return asked[0] if asked else None
