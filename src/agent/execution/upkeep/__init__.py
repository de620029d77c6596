"""Looking after what runs leave: gc, backup and restore, integrity, reproduction."""
