"""What the data plane adds to a model's own run, beside the floors that it can't get below."""
