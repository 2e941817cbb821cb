"""The fitter of the law `pairwise`."""
