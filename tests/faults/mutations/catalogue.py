"""All mutations there are."""

from tests.faults.mutations import access, edges, engine, outages, shares, spools, store

MUTATIONS = (
    *engine.MUTATIONS,
    *outages.MUTATIONS,
    *shares.MUTATIONS,
    *spools.MUTATIONS,
    *store.MUTATIONS,
    *access.MUTATIONS,
    *edges.MUTATIONS,
)
