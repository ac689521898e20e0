"""The machine that was measured on."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

from panoptic_deeplab.environment import describe_environment

_ALSO = ("cityscapesscripts", "onnxruntime", "openvino", "numba")


def describe_machine(threads: int) -> dict[str, str | int | float]:
    """Processor, cores, threads, memory, load and versions."""
    versions = {}
    for name in _ALSO:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    environment = describe_environment()
    return {
        "processor": processor(),
        "cores": environment.pop("cores"),
        "threads": threads,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load": round(os.getloadavg()[0], 2),
        **environment,
        **versions,
    }


def processor() -> str:
    """The name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"
