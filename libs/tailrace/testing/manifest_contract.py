"""What every manifest keeps; the test of a manifest inherits `ManifestContract` and gives it the vendor's samples.

The promises are tried against a stand-in that the manifest itself describes. The samples, from the vendor's documents,
say whether that is the vendor; the mutants say whether the samples are enough.
"""

from collections.abc import Sequence
from typing import ClassVar

import pytest

from tailrace.connector_kit import registry
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.rehearsal import PROMISES, Promise, rehearse
from tailrace.testing.samples import Sample, disagreement, mutants


class ManifestContract:
    """`unseen` names, by their beginning, the parts that no sample can judge, each of which needs a reason there."""

    manifest: ClassVar[Manifest]
    samples: ClassVar[Sequence[Sample]]
    unseen: ClassVar[Sequence[str]] = ()

    def test_connector_is_found_by_its_name(self) -> None:
        assert registry.destination_type(self.manifest.name).label == self.manifest.label

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    async def test_promise_holds_for_each_operation(self, promise: Promise) -> None:
        assert await rehearse(self.manifest, promise) == []

    async def test_manifest_agrees_with_every_sample(self) -> None:
        connector = destination_of(self.manifest)

        disagreements = {at: await disagreement(connector, sample) for at, sample in enumerate(self.samples)}

        assert {at: told for at, told in disagreements.items() if told is not None} == {}

    async def test_nothing_of_the_manifest_can_change_without_a_sample_that_disagrees(self) -> None:
        unnoticed = [name for name, mutant in mutants(self.manifest) if not await self._is_noticed(mutant)]

        survivors = [name for name in unnoticed if not name.startswith(tuple(self.unseen))]
        assert not survivors, "\n".join(survivors)

    async def _is_noticed(self, mutant: Manifest) -> bool:
        try:
            connector = destination_of(mutant)
            for sample in self.samples:
                if await disagreement(connector, sample) is not None:
                    return True
        except (LookupError, ValueError, TypeError):  # what was changed made no sense at all
            return True
        return False
