"""Measures the targets of explanations: planted shortcuts, and published figures (`make bench-explanations`).

python -m export.bench.explanation_bench --json build/bench-explanations.json"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from tabulate import tabulate

from export.bench.published import Repeated, is_same, list_pairs, repeat
from export.bench.report import BenchTarget
from export.bench.shortcut import FLOOR, ROWS, JudgedVariant, run_seed
from export.cpu import read_cpu
from export.proof.bootstrap import share_interval
from export.scratch_folder import scratch_folder
from serve.base.record import Record
from serve.bundles.bundle import Cpu

_SEEDS = 100
Positive = Annotated[int, Field(ge=1)]


class RejectionCounts(Record):
    """One kind of variant over all seeds."""

    variant: str
    judged: Positive
    # How often the floor of explanations rejects it, with the interval of the share, and the usual floor.
    rejected: int
    rejected_low: float
    rejected_high: float
    usually_rejected: int
    # Means over the seeds.
    accuracy_change: float
    agreement: float
    overlap: float
    rank: float
    # The worst of the seeds: the highest overlap of the shortcut, the lowest of a harmless variant.
    worst_overlap: float


class ExplanationReport(Record):
    """The JSON that --json writes, schema version 1."""

    schema_version: Literal[1] = 1
    cpu: Cpu
    rows: Positive
    explanation_overlap: float | None
    shortcut: tuple[RejectionCounts, ...]
    published: tuple[Repeated, ...]
    targets: tuple[BenchTarget, ...]


def bench(seeds: int) -> ExplanationReport:
    """Run this many seeds, and repeat the published figures."""
    torch.set_num_threads(1)
    with scratch_folder() as scratch:
        judged = [each for seed in range(seeds) for each in run_seed(seed, scratch)]
    names = dict.fromkeys(each.variant for each in judged)
    counts = tuple(_count([each for each in judged if each.variant == name]) for name in names)
    published = tuple(figure for pair in list_pairs() for figure in repeat(pair))
    return ExplanationReport(
        cpu=read_cpu(),
        rows=ROWS,
        explanation_overlap=FLOOR.explanation_overlap,
        shortcut=counts,
        published=published,
        targets=judge_targets(counts, published),
    )


def judge_targets(
    counts: Sequence[RejectionCounts], published: Sequence[Repeated]
) -> tuple[BenchTarget, ...]:
    """Judge each target."""
    found = next(each for each in counts if each.variant == "shortcut")
    harmless = [each for each in counts if each.variant != "shortcut"]
    alarms, judged = sum(each.rejected for each in harmless), sum(each.judged for each in harmless)
    cosmetic = next(each for each in counts if each.variant == "equivalent")
    other = [each for each in published if not is_same(each)]
    return (
        BenchTarget(
            asked="at least 95 % of the shortcuts rejected",
            got=f"{found.rejected} of {found.judged}, and {found.usually_rejected} by accuracy and agreement",
            met=found.rejected >= 0.95 * found.judged,
        ),
        BenchTarget(
            asked="at most 1 % of the harmless variants rejected",
            got=f"{alarms} of {judged}",
            met=alarms <= 0.01 * judged,
        ),
        BenchTarget(
            asked="an equivalent graph has overlap 1 and rank 1",
            got=f"at worst {cosmetic.worst_overlap:g}, mean rank {cosmetic.rank:g}",
            met=cosmetic.worst_overlap == 1 == cosmetic.rank,
        ),
        BenchTarget(
            asked="the published figures",
            got=f"{len(published) - len(other)} of {len(published)} within 0.01, or 5 % of a conservation",
            met=not other,
        ),
    )


def show(report: ExplanationReport) -> str:
    """Render the report as tables."""
    shortcut = [
        [
            each.variant,
            f"{each.rejected} of {each.judged} [{each.rejected_low:.3f}, {each.rejected_high:.3f}]",
            each.usually_rejected,
            f"{each.accuracy_change:+.4f}",
            *(f"{value:.4f}" for value in (each.agreement, each.overlap, each.worst_overlap, each.rank)),
        ]
        for each in report.shortcut
    ]
    published = [
        [each.data, each.change, each.figure, f"{each.published:g}", f"{each.ours:.4g}"]
        for each in report.published
    ]
    targets = [[target.asked, target.got, "met" if target.met else "MISSED"] for target in report.targets]
    head = ["variant", "rejected", "usual floor", "accuracy", "agreement", "overlap", "worst", "rank"]
    tables = (
        (shortcut, head),
        (published, ["data", "change", "figure", "published", "ours"]),
        (targets, ["asked", "got", ""]),
    )
    return "\n\n".join(tabulate(rows, names, disable_numparse=True) for rows, names in tables)


def _count(judged: Sequence[JudgedVariant]) -> RejectionCounts:
    hits = np.array([each.rejected for each in judged], np.float64)
    low, high = share_interval(hits, np.ones(len(hits)))
    qualities = [each.quality for each in judged]
    overlaps = [each.explanation_overlap.value for each in qualities if each.explanation_overlap]
    worst = max if judged[0].variant == "shortcut" else min
    return RejectionCounts(
        variant=judged[0].variant,
        judged=len(judged),
        rejected=int(hits.sum()),
        rejected_low=low,
        rejected_high=high,
        usually_rejected=sum(each.usually_rejected for each in judged),
        accuracy_change=_mean([each.accuracy.change for each in qualities if each.accuracy]),
        agreement=_mean([each.agreement.value for each in qualities if each.agreement]),
        overlap=_mean(overlaps),
        rank=_mean([each.explanation_rank.value for each in qualities if each.explanation_rank]),
        worst_overlap=worst(overlaps),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def main(arguments: list[str]) -> int:
    """Run the benchmark. The exit code is 0, or 1 if a target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m export.bench.explanation_bench",
        description="Compare explanations of networks that lean on a planted shortcut, of harmless variants, "
        "and of published pairs of models.",
        epilog="example: python -m export.bench.explanation_bench --json build/bench-explanations.json",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report to this file")
    options = parser.parse_args(arguments)
    report = bench(_SEEDS)
    sys.stdout.write(show(report) + "\n")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(report.model_dump_json(indent=2) + "\n")
    return 0 if all(target.met for target in report.targets) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
