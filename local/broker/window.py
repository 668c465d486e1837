"""How many pushes a subscription may have in flight: slow start, then slower growth, as TCP's window. Pure.

A refusal (429) says "a little less"; any other failure says "something is wrong". At the floor the subscription
pauses between probes, so that an endpoint that is down does not use up the attempts of every waiting message.
"""

from __future__ import annotations

FIRST = 4  # pushes in flight before anything is known
GROWTH = 1 / 8  # per success beyond the threshold: a refusal costs little here, an idle network costs photos
BUSY_FACTOR, FAILURE_FACTOR = 0.8, 0.5
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0  # s between probes of an endpoint that is down


class Window:
    def __init__(self, most: int) -> None:
        self.most = most
        self.size = float(min(FIRST, most))
        self.threshold = float(most)  # slow start below it
        self.cuts = 0  # stamps each push: one bad moment fails many pushes but cuts once
        self.paused_until = 0.0
        self._pause = 0.0

    def room(self, outstanding: int, now: float) -> int:
        return 0 if now < self.paused_until else max(0, int(self.size) - outstanding)

    def succeeded(self) -> None:
        self._pause = 0.0
        self.paused_until = 0.0
        step = 1.0 if self.size < self.threshold else max(1.0 / self.size, GROWTH)
        self.size = min(self.size + step, float(self.most))

    def failed(self, stamp: int, now: float, busy: bool) -> None:
        """`stamp` is `cuts` as it was when the push left."""
        if stamp < self.cuts:
            return
        self.cuts += 1
        if self.size < 2:
            self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
            self.paused_until = now + self._pause
            self.threshold = float(self.most)  # after an outage nothing is known: slow start again
        else:
            self.threshold = max(1.0, self.size * (BUSY_FACTOR if busy else FAILURE_FACTOR))
        self.size = max(1.0, self.size * (BUSY_FACTOR if busy else FAILURE_FACTOR))
