"""A sweep of a minute, for tests of how clusters start one."""

TINY_SWEEP = """
name: tiny
tasks: [{name: adding, length: 10}]
architectures: [elman, gru]
settings: {adding: {budget.steps: 60, budget.validate_every: 30}}
search: {trials: 1, space: {optimizer.lr: {low: 1e-3, high: 1e-2}}}
final: {seeds: [1]}
workers: 2
"""
