"""What may be done: rules, approvals, ledger proofs. Pure: opens no database and no socket."""
