"""What the parts of a source contribute to ticks: bars unfolded, contributions compared, bulk set aside on disk."""
