"""Parts of estimators of the gradient: observing cells, one differentiable step, forward mode."""
