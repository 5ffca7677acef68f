"""Describes the processor on which a bundle is made and measured."""

import platform
from pathlib import Path

from serve.bundles.bundle import Cpu

# Instruction sets that determine the speed of float and 8-bit arithmetic, on x86 and ARM.
_DECISIVE = (
    "avx2",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
)


def read_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Cpu:
    """Describe this machine's processor; if the kernel gives no details, only its architecture."""
    lines: dict[str, str] = {}
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            lines.setdefault(key.strip(), value.strip())
    flags = set((lines.get("flags") or lines.get("Features") or "").split())
    return Cpu(
        model=lines.get("model name") or platform.machine(),
        flags=tuple(flag for flag in _DECISIVE if flag in flags),
    )
