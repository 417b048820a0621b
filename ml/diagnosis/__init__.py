"""From numbers to one action: evidence, attribution, trial by counterfactual replay, and the decision."""
