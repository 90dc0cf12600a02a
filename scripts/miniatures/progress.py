"""Prints the progress of a training."""

from __future__ import annotations

import time


class Progress:
    """Running means of figures, printed every `every` steps."""

    def __init__(self, name: str, steps: int, *, every: int = 100) -> None:
        self._name, self._steps, self._every = name, steps, every
        self._means: dict[str, float] = {}
        self._started, self._cpu = time.monotonic(), time.process_time()

    def report(self, step: int, **figures: float) -> None:
        for name, value in figures.items():
            self._means[name] = 0.97 * self._means.get(name, value) + 0.03 * value
        if (step + 1) % self._every == 0:
            wall_s, cpu_s = time.monotonic() - self._started, time.process_time() - self._cpu
            means = "  ".join(f"{name} {value:.3f}" for name, value in self._means.items())
            print(f"{self._name} {step + 1}/{self._steps}  {wall_s:.0f} s ({cpu_s:.0f} of CPU)  {means}", flush=True)
