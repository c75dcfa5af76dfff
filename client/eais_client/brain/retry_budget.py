"""How much may be sent again: a bucket of tokens, refilled by time and by answers. (Brain)

Each failure that would be retried takes one token. With one token a second and a tenth of
a token an answer, retries add at most about a tenth to the load of a service in trouble.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RetryBudget:
    """A bucket of at most `capacity` tokens, full at first."""

    capacity: float = 10.0
    per_second: float = 1.0
    per_answer: float = 0.1
    tokens: float = 10.0
    refilled_at: float = 0.0

    def answered(self) -> None:
        """A call was answered: a part of a token comes back."""
        self.tokens = min(self.capacity, self.tokens + self.per_answer)

    def take(self, now: float) -> bool:
        """Take one token for a retry at `now` (seconds); False if there is none."""
        passed_s = max(0.0, now - self.refilled_at)
        self.tokens = min(self.capacity, self.tokens + passed_s * self.per_second)
        self.refilled_at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True
