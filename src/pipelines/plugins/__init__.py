"""How plug-ins are found, loaded and fingerprinted. Computes nothing."""
