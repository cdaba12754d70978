"""The leaderboard as a site: overview, a page a task, a run, a sweep. No torch, no network.

`gather` reads a store, `pages` renders, `writer` writes files; `rnnbench.report.site.server`
shows the same live.
"""
