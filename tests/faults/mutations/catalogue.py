"""All mutations there are."""

from tests.faults.mutations import access, edges, engine, outages, store

MUTATIONS = (*engine.MUTATIONS, *outages.MUTATIONS, *store.MUTATIONS, *access.MUTATIONS, *edges.MUTATIONS)
