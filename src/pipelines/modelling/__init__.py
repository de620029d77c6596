"""From labelled rows to a judged model: folds, labels, learner, metrics, simulation, report."""
