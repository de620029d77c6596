"""What components produced: the catalog of snapshots, projections and releases."""
