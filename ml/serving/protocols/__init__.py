"""The two protocols that clients speak: MLflow's scoring protocol, and the Open Inference Protocol v2."""
