"""What decides in a load test: when requests are due, what figures mean. No I/O. (Brain)"""
