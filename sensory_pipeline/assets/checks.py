"""The checks of merged_parquet: that its tables agree with each other, and that what they say is plausible.

They belong to the asset's own step, where they cost a fifth of a second.
"""

import warnings
from collections.abc import Iterator, Mapping

import dagster as dg

from sensory_pipeline.core.quality import RULES, PartitionCounts, verdicts

INVARIANTS = "invariants"
_DEMANDS = {
    INVARIANTS: "The tables agree with each other: nothing twice, nothing orphaned, times in order.",
    **RULES,
}


def specs(partitions: dg.PartitionsDefinition) -> list[dg.AssetCheckSpec]:
    """Of all checks, each made for one partition."""
    with warnings.catch_warnings():
        # a preview in Dagster, and without it nobody would see which partition a check is about; its version is pinned
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(name, asset="merged_parquet", partitions_def=partitions, description=demand)
            for name, demand in _DEMANDS.items()
        ]


def results(broken: Mapping[str, int], counts: PartitionCounts) -> Iterator[dg.AssetCheckResult]:
    """One for each of `specs`: an error where the tables are broken, a warning where they are doubtful."""
    yield dg.AssetCheckResult(
        check_name=INVARIANTS, passed=not broken, metadata={"violations": dg.MetadataValue.json(broken)}
    )
    for name, verdict in verdicts(counts).items():
        yield dg.AssetCheckResult(
            check_name=name,
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity.WARN,
            description=verdict.text,
            metadata={"value": float(verdict.value), "limit": float(verdict.limit)},
        )
