"""What pages draw of values: answers as cards, the grid of runs, the graph of components and the timeline of a run."""
