"""The processor's model and flags, read from /proc/cpuinfo."""

from pathlib import Path

import pytest

from export.cpu import read_cpu


@pytest.mark.parametrize(
    ("text", "model", "flags"),
    [
        ("model name\t: Xeon\nflags\t\t: sse avx2 amx_int8 avx2x\n", "Xeon", ("avx2", "amx_int8")),
        ("BogoMIPS\t: 50.00\nFeatures\t: fp asimd asimddp\n", None, ("asimd", "asimddp")),
    ],
    ids=["x86", "arm"],
)
def test_reads_model_and_decisive_flags(
    tmp_path: Path, text: str, model: str | None, flags: tuple[str, ...]
) -> None:
    """Only the flags that decide the speed of arithmetic are kept."""
    (tmp_path / "cpuinfo").write_text(text)
    cpu = read_cpu(tmp_path / "cpuinfo")
    assert cpu.model == model or model is None
    assert cpu.flags == flags


def test_a_kernel_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    """Without /proc/cpuinfo the model is the architecture, without flags."""
    cpu = read_cpu(tmp_path / "none")
    assert cpu.model
    assert cpu.flags == ()
