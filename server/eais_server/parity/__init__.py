"""Whether another device, precision or runtime may answer in onnxruntime's stead. (Brain)"""
