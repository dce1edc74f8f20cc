"""Generated from protos/ by `make api`; do not edit."""
