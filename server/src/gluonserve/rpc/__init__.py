"""The gRPC front: the Open Inference Protocol over a data plane."""
