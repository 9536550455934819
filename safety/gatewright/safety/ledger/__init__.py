"""The mathematics of the ledger: decision records, the Merkle log, signed checkpoints, proofs."""
