"""What runs for a long time: the background runner, the queue and its worker, projects, alerts."""
