"""Bases of tasks that a family shares: language, translation, labels, forecasting, synthetic."""
