"""What load can be put on: instances, onnxruntime here, and other servers."""
