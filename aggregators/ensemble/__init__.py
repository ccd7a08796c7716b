"""Join sub-models that were fitted on shares of the data into one model: an ensemble."""
