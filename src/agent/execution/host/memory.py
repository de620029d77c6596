"""How much memory a process held at most."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def reset_peak_memory() -> None:
    """Begin to measure again in this process, where the system lets us."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory(pid: int) -> int | None:
    """Most memory process `pid` has held since the last reset, in bytes; None where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        if pid == os.getpid() and sys.platform != "win32":
            import resource

            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, which has no /proc
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
