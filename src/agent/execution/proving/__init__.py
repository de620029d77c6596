"""`agent prove --recompute`: a sample of a component's partitions, computed again and otherwise."""
