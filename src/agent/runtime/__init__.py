"""What every long-lived process needs: signals, leases kept alive, patience with a database, alerts, retention."""
