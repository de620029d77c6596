"""What out-of-fold forecasts are worth, with how sure one can be of it. Pure: arrays and frozen dataclasses, no files,
no clock, no fitted estimator."""
