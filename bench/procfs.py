"""What the kernel says of a process."""

from __future__ import annotations

from pathlib import Path


def resident_mb(pid: int) -> tuple[float, float]:
    """(RSS, PSS) in MB: what it has in memory, and the same with what it shares divided among the sharers."""
    sizes = {line.split(":")[0]: line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()}
    return _mb(sizes["Rss"]), _mb(sizes["Pss"])


def _mb(line: str) -> float:
    return int(line.split()[1]) * 1024 / 1e6


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [pid, *(each for child in children for each in family(child))]


def cpu_ns(pid: int) -> dict[str, int]:
    """Nanoseconds that each thread of a process and of its descendants has run."""
    tasks = [task for member in family(pid) for task in Path(f"/proc/{member}/task").iterdir()]
    return {task.name: int((task / "schedstat").read_text().split()[0]) for task in tasks}


def between_ns(before: dict[str, int], after: dict[str, int]) -> int:
    """What was run between two answers of :func:`cpu_ns`; a thread that ended meanwhile is not counted."""
    return sum(ran - before.get(thread, 0) for thread, ran in after.items())


def ticks() -> tuple[int, int]:
    """(all, of them stolen) ticks of all cores since the start: stolen is what the host gave to other machines while
    this one wanted it."""
    counts = [int(count) for count in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(counts), counts[7]


def rss_mb(pid: int) -> float:
    """What a process has in memory, in MB: less exact than :func:`resident_mb`, and a hundred times cheaper."""
    sizes = {line.split(":")[0]: line for line in Path(f"/proc/{pid}/status").read_text().splitlines()}
    return _mb(sizes["VmRSS"]) if "VmRSS" in sizes else 0.0


def peak_mb(pid: int) -> float:
    """The most that a process has had in memory, in MB."""
    sizes = {line.split(":")[0]: line for line in Path(f"/proc/{pid}/status").read_text().splitlines()}
    return _mb(sizes["VmHWM"])
