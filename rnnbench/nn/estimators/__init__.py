"""What estimators of the gradient share: observing cells, one differentiable step, forward mode."""
