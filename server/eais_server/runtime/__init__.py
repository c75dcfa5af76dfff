"""onnxruntime behind the device drivers: sessions, options, and its failures in our words."""
