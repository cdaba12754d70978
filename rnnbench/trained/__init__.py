"""Using finished runs: loading, generating, predicting, diagnosing, verifying."""
