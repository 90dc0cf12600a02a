"""The checks of merged_parquet: whether its tables agree with each other, and whether their content is plausible.

They run in the asset's own step and take a fifth of a second.
"""

import warnings
from collections.abc import Iterator, Mapping

import dagster as dg

from sensory_pipeline.core.quality import RULES, PartitionCounts, verdicts

INVARIANTS = "invariants"
_DESCRIPTIONS = {
    INVARIANTS: "The tables agree with each other: nothing twice, nothing orphaned, times in order.",
    **RULES,
}


def specs(partitions: dg.PartitionsDefinition) -> list[dg.AssetCheckSpec]:
    """Return the specification of every check, each executed per partition."""
    with warnings.catch_warnings():
        # partitioned checks are a preview feature of Dagster, whose version is pinned; without them the partition of
        # a check would not be visible
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(name, asset="merged_parquet", partitions_def=partitions, description=description)
            for name, description in _DESCRIPTIONS.items()
        ]


def results(broken: Mapping[str, int], counts: PartitionCounts) -> Iterator[dg.AssetCheckResult]:
    """Return a result for each of `specs`: an error if tables are broken, a warning if they are not plausible.

    Args:
        broken: Number of violations by rule.
        counts: What the quality rules need.
    """
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
