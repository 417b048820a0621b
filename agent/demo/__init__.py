"""The whole loop on real data with a replayed clock: three stories, the driver, and what came of each chapter."""
