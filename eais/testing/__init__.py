"""What tests of programs that stand on the kernel need of it."""
