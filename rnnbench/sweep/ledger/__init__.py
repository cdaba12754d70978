"""The ledger of a sweep's trials in the results database: the truth about what ran."""
